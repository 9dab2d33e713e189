/** Sums over tokens: each tile of tokens leaves one partial row, and the rows are added in
 * ascending order, whatever thread made them. */
#ifndef ATTNRES_KERNELS_PARTIALS_H
#define ATTNRES_KERNELS_PARTIALS_H

#include <stdint.h>

/* sum (C) += all rows of partials (n_rows, C), first added up in row 0, which is overwritten. */
static inline void partials_add(float *restrict sum, float *restrict partials, int64_t n_rows,
                                int64_t C)
{
    for (int64_t row = 1; row < n_rows; row++) {
        const float *next = partials + row * C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            partials[c] += next[c];
        }
    }
    if (n_rows > 0) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            sum[c] += partials[c];
        }
    }
}

#endif
