/** One tile of tokens of attention over depth: the steps of which depth.c makes reads. They stand
 * in a translation unit of their own, so that each formula has one compiled form whoever calls it,
 * and equal bits do not hang on how a loop around it was inlined (model.md 3). */
#ifndef ATTNRES_KERNELS_DEPTH_STEP_H
#define ATTNRES_KERNELS_DEPTH_STEP_H

#include "level.h"

/* Tokens begin .. end-1 of tensors of n tokens, at most LONG_TILE of them. */
struct depth_tile {
    int64_t begin, end, n, C;
};

void KERNEL(depth_step_inverse_rms)(float *r, const float *v, const struct depth_tile *tile,
                                    float eps);
/* Take source i of the read into the recurrence. */
void KERNEL(depth_step_advance)(const struct depth_read *read, int64_t i,
                                const struct depth_source *source, const struct depth_tile *tile);
void KERNEL(depth_step_finish)(const struct depth_read *read, const struct depth_tile *tile);
/* dh_h (LONG_TILE) = dh . h per token. */
void KERNEL(depth_step_dot)(float *dh_h, const float *dh, const float *h,
                            const struct depth_tile *tile);
/* dv and dw_partial (C) gain the terms of source i. */
void KERNEL(depth_step_backward)(float *dv, float *dw_partial, const float *dh, const float *dh_h,
                                 const struct depth_read *read, int64_t i,
                                 const struct depth_source *source, const struct depth_tile *tile);
/* The same for `read: static`, where dlogit gains the sum over the tile's tokens of ds. */
void KERNEL(depth_step_backward_static)(float *dv, float *dlogit, const float *dh,
                                        const float *dh_h, const struct depth_read *read, int64_t i,
                                        const struct depth_source *source,
                                        const struct depth_tile *tile);

#endif
