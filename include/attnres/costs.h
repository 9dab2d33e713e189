/** What work and messages take on some machine: measured by `attnres plan --calibrate`, or rates
 * given by hand. Plain data in seconds, kept in a small JSON file that people can read and write.
 *
 *  Measured work is that of the parts of one microbatch at the shapes of one configuration, and
 * good for no other. Rates alone are good for every configuration: work is then counted in FLOPs
 * and bytes of memory (plan). A rate of 0 is not known. */
#ifndef ATTNRES_COSTS_H
#define ATTNRES_COSTS_H

#include <stdbool.h>
#include <stddef.h>

#include <attnres/config.h>
#include <attnres/error.h>

enum { COSTS_SHAPE_BYTES = 160, COSTS_MAX_FILE_BYTES = 1 << 16 };

/** Seconds of one microbatch's forward, input gradient and weight gradient. */
struct costs_passes {
    double forward, input_gradient, weight_gradient;
};

struct costs {
    char shape[COSTS_SHAPE_BYTES]; /* what the parts were measured for; empty: there are none */
    struct costs_passes embedding, attention, mlp, head; /* sublayers with their norm, no read */
    struct costs_passes read_source;                     /* a read of several sources, per source */
    double update_s;         /* per parameter and step: clearing, the norm, AdamW */
    double pack_s, unpack_s; /* per byte of a message, its checksum included */
    double flops_per_s, memory_bytes_per_s;
    double link_latency_s, link_bytes_per_s; /* between neighbours */
};

bool costs_has_parts(const struct costs *costs);
/** The shapes that measured parts hold for, as one line. */
void costs_describe_shape(char text[COSTS_SHAPE_BYTES], const struct config *config);

/** Read a file and check that it holds for the configuration. ERROR_NO_INPUT if it is absent,
 * ERROR_DATA with file and line if it is not such a file or measured for other shapes. */
bool costs_read(struct costs *costs, const char *path, const struct config *config,
                struct error *err);
/** The same from memory, without the check of shapes; `name` stands in messages. Pure. */
bool costs_parse(struct costs *costs, const char *name, const char *bytes, size_t length,
                 struct error *err);

/** Packing and unpacking, where they are not known: COSTS_ASSUMED_PACK_S a byte, what one core of a
 * 2020s server takes to copy it and check it. */
#define COSTS_ASSUMED_PACK_S 0.4e-9
void costs_assume_packing(struct costs *costs);

/** Each number's mean over those of n costs that know it. */
void costs_mean(struct costs *mean, const struct costs *all, int n);

/** The file's text, a line per key; what is not known is left out. Length like snprintf. */
size_t costs_print(const struct costs *costs, char *text, size_t capacity);

#endif
