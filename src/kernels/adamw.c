/* AdamW, arXiv:1711.05101, in PyTorch's order of operations: decay the weight, then
 * m += (1 - beta1)(g - m),  v = beta2 v + (1 - beta2) g^2,
 * p -= lr/(1 - beta1^t) m / (sqrt(v)/sqrt(1 - beta2^t) + eps). */
#include "level.h"

#include <math.h>

static void update(float *restrict p, float *restrict m, float *restrict v,
                   const float *restrict gradient, const struct adamw_step *step, int64_t count)
{
    const struct adamw_step s = *step;
    const float keep = 1.0F - s.lr * s.weight_decay, rate = s.lr / s.correction1;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float g = gradient[i] * s.gradient_scale;
        m[i] += s.new1 * (g - m[i]);
        v[i] = s.beta2 * v[i] + s.new2 * g * g;
        p[i] = p[i] * keep - rate * m[i] / (sqrtf(v[i]) / s.correction2_root + s.eps);
    }
}

void KERNEL(adamw)(float *restrict p, float *restrict exp_avg, float *restrict exp_avg_sq,
                   const float *restrict g, const struct adamw_step *step, int64_t count)
{
    const int64_t n_tiles = kernels_tile_count(count, COUNT_TILE);
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        const int64_t i = tile * COUNT_TILE;
        update(p + i, exp_avg + i, exp_avg_sq + i, g + i, step, kernels_min(count - i, COUNT_TILE));
    }
}
