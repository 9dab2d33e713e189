/** Whether deflating pays, link by link: what pipeline.deflate: auto measures before the first
 * step.
 *
 *  Between two hosts a few messages of the real size go across each cut in each direction, plain
 * and deflated by turns, from packing to unpacking; the quicker way is taken on both sides.
 * Between ranks of one host nothing is measured: memory is always quicker than coding. Values are
 * drawn from a normal distribution, whose exponents deflate about as those of trained models. What
 * is chosen changes no number of the model. */
#ifndef ATTNRES_DEFLATION_H
#define ATTNRES_DEFLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/engine.h>
#include <attnres/log.h>

/** What was found for one direction across one cut. */
struct deflation {
    int cut; /* behind this stage */
    enum wire_direction direction;
    double plain_s, deflated_s; /* of a message, from packing to unpacked: the quickest */
    double pack_s, unpack_s;    /* the parts of deflated_s that keep a processor busy */
    int64_t frame_bytes, message_bytes;
    bool deflates;
};

/** Whether it saves enough of the time to be worth a processor's. */
bool deflation_pays(double plain_s, double deflated_s);

/** Under pipeline.deflate: auto measure the links between ranks of different hosts, tell the
 * engine, and log on rank 0 what was chosen and why. Otherwise, or without such links, nothing is
 * sent. hosts: by rank, any number that is the same on ranks of one host only. To be called before
 * the engine's first schedule. Collective over all ranks. */
void deflation_choose(struct engine *engine, const uint64_t *hosts, struct log *log);

/** One choice as the log has it. Length like snprintf. */
size_t deflation_print(const struct deflation *d, char *text, size_t capacity);

#endif
