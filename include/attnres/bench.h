/** What each kernel does with the processor, at the shapes of a configuration: operations and bytes
 * counted from the equations, times measured, and both set against a floor.
 *
 *  The floor of a kernel is the longer of its operations at the rate of a product of 512-cubes in
 * f32 and its bytes at the rate of a sum of two arrays that no cache holds. A share of 1 is as fast
 * as this processor goes; in bf16, and from a cache, more is possible. */
#ifndef ATTNRES_BENCH_H
#define ATTNRES_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>
#include <attnres/kernels.h>

enum { BENCH_MAX_ROWS = 40 };

struct bench_row {
    char name[48];
    double seconds;      /* the fastest of many runs: other load only adds */
    double flops, bytes; /* of one run; 0 where a kernel has none to speak of */
    double share;        /* floor / seconds */
};

struct bench_result {
    double product_rate, memory_rate; /* FLOP/s, bytes/s: what floors are made of */
    int n_rows;
    struct bench_row rows[BENCH_MAX_ROWS];
};

/** Run every kernel on one microbatch of the configuration, on as many threads as
 * kernels_set_threads said. ERROR_CREATE if memory is short; compute.precision: bf16 must have been
 * checked. */
bool bench_run(struct bench_result *result, const struct config *config,
               const struct kernels *kernels, int n_threads, struct error *err);

/** For people. Length like snprintf. */
size_t bench_print(const struct bench_result *result, char *text, size_t capacity);
/** As one JSON object. */
size_t bench_print_json(const struct bench_result *result, char *text, size_t capacity);

#endif
