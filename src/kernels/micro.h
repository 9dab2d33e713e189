/** A small product held in registers: MICRO_ROWS by MICRO_COLUMNS sums of k products. Tiles of the
 * caller are whole multiples of both, so there are no edges. The block is as large as the level's
 * vector registers hold beside their operands. */
#ifndef ATTNRES_KERNELS_MICRO_H
#define ATTNRES_KERNELS_MICRO_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__AVX512F__)
enum { MICRO_ROWS = 8, MICRO_COLUMNS = 32 };
#elif defined(__AVX__)
enum { MICRO_ROWS = 4, MICRO_COLUMNS = 16 };
#else
enum { MICRO_ROWS = 4, MICRO_COLUMNS = 8 };
#endif

/* The left factor: element (row, k) at a[row * row_step + k * k_step]. */
struct micro_left {
    const float *a;
    int64_t row_step, k_step;
};

/* c (MICRO_ROWS, MICRO_COLUMNS), rows c_stride apart, = left b, or += with accumulate; b (k,
 * MICRO_COLUMNS), rows b_stride apart. */
static inline void micro_product(float *restrict c, int64_t c_stride, struct micro_left left,
                                 const float *restrict b, int64_t b_stride, int64_t k,
                                 bool accumulate)
{
    float sum[MICRO_ROWS][MICRO_COLUMNS];
    for (int row = 0; row < MICRO_ROWS; row++) {
#pragma omp simd
        for (int x = 0; x < MICRO_COLUMNS; x++) {
            sum[row][x] = accumulate ? c[row * c_stride + x] : 0.0F;
        }
    }
    for (int64_t i = 0; i < k; i++) {
        for (int row = 0; row < MICRO_ROWS; row++) {
            const float a = left.a[row * left.row_step + i * left.k_step];
#pragma omp simd
            for (int x = 0; x < MICRO_COLUMNS; x++) {
                sum[row][x] += a * b[i * b_stride + x];
            }
        }
    }
    for (int row = 0; row < MICRO_ROWS; row++) {
#pragma omp simd
        for (int x = 0; x < MICRO_COLUMNS; x++) {
            c[row * c_stride + x] = sum[row][x];
        }
    }
}

#endif
