/** What bench.c measures and on what. */
#ifndef ATTNRES_BENCH_INTERNAL_H
#define ATTNRES_BENCH_INTERNAL_H

#include <attnres/bench.h>

/** Tensors are shared among operations: each only needs some numbers of about the right size. */
struct workbench {
    const struct kernels *kernels;
    int64_t n, C, D, QKV, F, V; /* tokens of a microbatch; widths */
    /* The reads of the last block: completed sources, reads, open sources of its last read. No
     * reads for `standard`. */
    int64_t n_sources, n_reads, n_open;
    struct attention_shape shape;
    float *x, *y, *z, *w; /* the widest operand or weight, four times */
    float *small;         /* a number per token and head */
    float *scratch, *rope;
    int32_t *tokens;
    void *product_scratch;
    struct depth_source *depth_sources;
    struct depth_read *reads;
    struct depth_gradient *dsources;
};

/** One kernel as called in a step. Counts are of one run. */
struct operation {
    const char *name;
    void (*run)(const struct workbench *b);
    double (*flops)(const struct workbench *b);
    double (*bytes)(const struct workbench *b);
    bool needs_reads;
};

/** Every kernel but products; terminated by a row without name. */
extern const struct operation bench_operations[];

#endif
