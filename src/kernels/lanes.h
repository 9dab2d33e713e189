/** Sums and maxima over a row in a fixed order: element c goes to lane c % 16, the lanes are folded
 * in halves. The order is written out, so a compiler vectorises it without leave to reassociate,
 * and the result depends on the row alone. */
#ifndef ATTNRES_KERNELS_LANES_H
#define ATTNRES_KERNELS_LANES_H

#include <stdint.h>

enum { LANES = 16 };

static inline float lanes_sum(float *lane)
{
#pragma omp simd
    for (int j = 0; j < 8; j++) {
        lane[j] += lane[j + 8];
    }
#pragma omp simd
    for (int j = 0; j < 4; j++) {
        lane[j] += lane[j + 4];
    }
    lane[0] += lane[2];
    lane[1] += lane[3];
    return lane[0] + lane[1];
}

/* sum_c a[c] b[c] */
static inline float lanes_dot(const float *a, const float *b, int64_t C)
{
    float lane[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane[j] += a[c + j] * b[c + j];
        }
    }
    for (int j = 0; c + j < C; j++) {
        lane[j] += a[c + j] * b[c + j];
    }
    return lanes_sum(lane);
}

/* sum_c a[c] b[c] w[c] */
static inline float lanes_dot3(const float *a, const float *b, const float *w, int64_t C)
{
    float lane[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane[j] += a[c + j] * b[c + j] * w[c + j];
        }
    }
    for (int j = 0; c + j < C; j++) {
        lane[j] += a[c + j] * b[c + j] * w[c + j];
    }
    return lanes_sum(lane);
}

/* max_c a[c]; C > 0. A NaN may be passed over: the sum of exponentials taken next finds it. */
static inline float lanes_max(const float *a, int64_t C)
{
    float lane[LANES];
    for (int j = 0; j < LANES; j++) {
        lane[j] = a[0];
    }
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane[j] = lane[j] > a[c + j] ? lane[j] : a[c + j];
        }
    }
    for (int j = 0; c + j < C; j++) {
        lane[j] = lane[j] > a[c + j] ? lane[j] : a[c + j];
    }
    float top = lane[0];
    for (int j = 1; j < LANES; j++) {
        top = top > lane[j] ? top : lane[j];
    }
    return top;
}

#endif
