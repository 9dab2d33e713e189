/** One tile of tokens of attention over depth: the steps of which depth.c makes reads. They stand
 * in a translation unit of their own, so that each formula has one compiled form whoever calls it,
 * and equal bits do not hang on how a loop around it was inlined. */
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
/* out = h rstd gain */
void KERNEL(depth_step_norm)(float *out, float *rstd, const float *h, const float *gain,
                             const struct depth_tile *tile, float eps);
/* The read's h becomes dh, and d dh.h; dgain_partial (C) gains its terms. */
void KERNEL(depth_step_norm_backward)(const struct depth_read *read, float *dgain_partial,
                                      const float *dout, const float *gain, const float *rstd,
                                      const struct depth_tile *tile);
/* dv and dw_partial (C) gain the terms of source i. */
void KERNEL(depth_step_backward)(const struct depth_gradient *dv, float *dw_partial,
                                 const struct depth_read *read, int64_t i,
                                 const struct depth_source *source, const struct depth_tile *tile);
/* The same for `read: static`, where dlogit gains the sum over the tile's tokens of ds. */
void KERNEL(depth_step_backward_static)(const struct depth_gradient *dv, float *dlogit,
                                        const struct depth_read *read, int64_t i,
                                        const struct depth_source *source,
                                        const struct depth_tile *tile);

#endif
