/* Rotary position embedding, arXiv:2104.09864, half-split pairing: dimensions i and i + D/2 of each
 * query and key head turn by the angle position * theta^(-2i/D). The map is orthogonal, so backward
 * is the transposed rotation. */
#include "level.h"

static void rotate_head(float *restrict x, const float *restrict cosine, const float *restrict sine,
                        int64_t half)
{
    float *restrict low = x, *restrict high = x + half;
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        const float a = low[i], b = high[i];
        low[i] = a * cosine[i] - b * sine[i];
        high[i] = b * cosine[i] + a * sine[i];
    }
}

static void rotate_head_back(float *restrict x, const float *restrict cosine,
                             const float *restrict sine, int64_t half)
{
    float *restrict low = x, *restrict high = x + half;
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        const float a = low[i], b = high[i];
        low[i] = a * cosine[i] + b * sine[i];
        high[i] = b * cosine[i] - a * sine[i];
    }
}

void KERNEL(rope_forward)(float *restrict qkv, const float *restrict cos_sin,
                          const struct attention_shape *shape, int64_t first_position)
{
    const int64_t T = shape->n_tokens, D = shape->head_dim, n = shape->n_sequences * T;
    const int64_t rotated = shape->n_heads + shape->n_kv_heads;
    const int64_t stride = (rotated + shape->n_kv_heads) * D;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        const float *angles = cos_sin + (first_position + t % T) * D;
        for (int64_t head = 0; head < rotated; head++) {
            rotate_head(qkv + t * stride + head * D, angles, angles + D / 2, D / 2);
        }
    }
}

void KERNEL(rope_backward)(float *restrict dqkv, const float *restrict cos_sin,
                           const struct attention_shape *shape)
{
    const int64_t T = shape->n_tokens, D = shape->head_dim, n = shape->n_sequences * T;
    const int64_t rotated = shape->n_heads + shape->n_kv_heads;
    const int64_t stride = (rotated + shape->n_kv_heads) * D;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        const float *angles = cos_sin + (t % T) * D;
        for (int64_t head = 0; head < rotated; head++) {
            rotate_head_back(dqkv + t * stride + head * D, angles, angles + D / 2, D / 2);
        }
    }
}
