/* Rounding of representatives and of their gradients. */
#include "level.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Nearest even, f32 -> bf16 -> f32; a NaN stays one. */
static uint32_t round_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffU + (bits >> 16 & 1U)) & 0xffff0000U;
    const uint32_t nan = (bits & 0xffff0000U) | 0x00400000U;
    return (bits & 0x7fffffffU) > 0x7f800000U ? nan : rounded;
}

static float round_one(float x)
{
    const uint32_t bits = round_bits(x);
    memcpy(&x, &bits, sizeof x);
    return x;
}

void KERNEL(round_bf16)(float *x, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < count; begin += COUNT_TILE) {
        const int64_t end = kernels_min(begin + COUNT_TILE, count);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            x[i] = round_one(x[i]);
        }
    }
}

void KERNEL(to_bf16)(uint16_t *restrict out, const float *restrict x, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < count; begin += COUNT_TILE) {
        const int64_t end = kernels_min(begin + COUNT_TILE, count);
#pragma omp simd
        for (int64_t i = begin; i < end; i++) {
            out[i] = (uint16_t)(round_bits(x[i]) >> 16);
        }
    }
}

/* A piece at a time through a buffer, since what is written lies in what is read. */
static void narrow_row(float *x, int64_t C)
{
    enum { PIECE = 256 };
    unsigned char *to = (unsigned char *)x;
    for (int64_t begin = 0; begin < C; begin += PIECE) {
        const int64_t count = kernels_min(C - begin, PIECE);
        uint16_t piece[PIECE];
#pragma omp simd
        for (int64_t c = 0; c < count; c++) {
            piece[c] = (uint16_t)(round_bits(x[begin + c]) >> 16);
        }
        memcpy(to, piece, (size_t)count * sizeof piece[0]);
        to += (size_t)count * sizeof piece[0];
    }
}

void KERNEL(rows_to_bf16)(float *x, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        narrow_row(x + t * C, C);
    }
}

/* One token: q = rint(v * (127 / absmax)) clamped to +-127, value q * (absmax / 127). Below 2^-100
 * all is 0. A NaN or an infinity makes the whole row NaN, so that it reaches the loss on one rank
 * as on many. */
static void round_row(float *v, float *scale, int64_t C)
{
    uint32_t largest = 0; /* Magnitudes are in the order of their bits, what is not finite last. */
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < C; c++) {
        uint32_t bits;
        memcpy(&bits, &v[c], sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffffU;
        largest = magnitude > largest ? magnitude : largest;
    }
    float absmax;
    memcpy(&absmax, &largest, sizeof absmax);
    const bool is_bad = !(absmax <= FLT_MAX), vanishes = absmax < 0x1p-100F;
    const float inverse = vanishes ? 0.0F : 127.0F / absmax;
    const float step = is_bad ? NAN : (vanishes ? 0.0F : absmax / 127.0F);
    *scale = step;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        float q = rintf(v[c] * inverse);
        q = q > 127.0F ? 127.0F : (q < -127.0F ? -127.0F : q);
        v[c] = q * step;
    }
}

void KERNEL(round_int8)(float *v, float *scales, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < n; begin += TILE) {
        const int64_t end = kernels_min(begin + TILE, n);
        for (int64_t t = begin; t < end; t++) {
            round_row(v + t * C, &scales[t], C);
        }
    }
}
