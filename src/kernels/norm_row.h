/** One row of the root mean square norm, forward: what rmsnorm.c does to every row, and
 * depth_step.c to the result of a read. */
#ifndef ATTNRES_KERNELS_NORM_ROW_H
#define ATTNRES_KERNELS_NORM_ROW_H

#include <math.h>
#include <stdint.h>

#include "lanes.h"

/* out (C) = x r gain: two products, which no compiler contracts. */
static inline void norm_scale_row(float *restrict out, const float *restrict x,
                                  const float *restrict gain, float r, int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        out[c] = x[c] * r * gain[c];
    }
}

/* out (C) = x rstd gain; returns rstd. */
static inline float norm_row(float *restrict out, const float *restrict x,
                             const float *restrict gain, int64_t C, float eps)
{
    const float r = 1.0F / sqrtf(lanes_dot(x, x, C) / (float)C + eps);
    norm_scale_row(out, x, gain, r, C);
    return r;
}

#endif
