/* Cross entropy of softmax(logits) and its gradient in place: loss = ln sum_j e^(x_j - m) + m -
 * x_y, dx = (p - onehot(y)) scale. */
#include "level.h"

#include <string.h>

#include "exponential.h"
#include "lanes.h"

static float sum_exp(const float *restrict x, float top, int64_t V)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= V; i += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane[j] += exponential(x[i + j] - top);
        }
    }
    for (int j = 0; i + j < V; j++) {
        lane[j] += exponential(x[i + j] - top);
    }
    return lanes_sum(lane);
}

static void replace_by_gradient(float *restrict x, float top, float factor, int64_t V)
{
#pragma omp simd
    for (int64_t i = 0; i < V; i++) {
        x[i] = exponential(x[i] - top) * factor;
    }
}

static int32_t index_of(const float *x, float top, int64_t V)
{
    for (int64_t i = 0; i < V; i++) {
        if (x[i] == top) {
            return (int32_t)i;
        }
    }
    return 0; /* the largest is NaN; the loss says so */
}

static float counted_row(float *restrict x, float top, int32_t target, float scale, int64_t V)
{
    const float sum = sum_exp(x, top, V);
    const float loss = logarithm(sum) + (top - x[target]);
    if (scale != 0.0F) {
        replace_by_gradient(x, top, scale / sum, V);
        x[target] -= scale;
    }
    return loss;
}

void KERNEL(cross_entropy)(float *restrict losses, int32_t *restrict best, float *restrict logits,
                           const int32_t *restrict targets, float scale, int64_t n, int64_t V)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        float *x = logits + t * V;
        const float top = lanes_max(x, V);
        if (best) {
            best[t] = index_of(x, top, V);
        }
        losses[t] = 0.0F;
        if (targets[t] >= 0) {
            losses[t] = counted_row(x, top, targets[t], scale, V);
        } else if (scale != 0.0F) {
            memset(x, 0, (size_t)V * sizeof *x);
        }
    }
}
