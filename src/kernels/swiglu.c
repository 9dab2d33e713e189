/* SwiGLU, arXiv:2002.05202: act = silu(gate) up, silu(g) = g sigma(g).
 *
 * Backward:  dup = dact silu(g),  dgate = dact up sigma(g) (1 + g (1 - sigma(g))), and act again
 * by the formula of forward. */
#include "level.h"

#include "exponential.h"

/* e is exp(-g). */
static inline float activate(float g, float u, float e)
{
    return g * u / (1.0F + e);
}

static void forward_row(float *restrict act, const float *restrict gate, const float *restrict up,
                        int64_t F)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        act[f] = activate(gate[f], up[f], exponential(-gate[f]));
    }
}

void KERNEL(swiglu_forward)(float *restrict act, const float *restrict gate_up, int64_t n,
                            int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        forward_row(act + t * F, gate_up + t * 2 * F, gate_up + t * 2 * F + F, F);
    }
}

static void backward_row(float *restrict gate, float *restrict up, float *restrict act, int64_t F)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        const float g = gate[f], u = up[f], d = act[f];
        const float e = exponential(-g), sigma = 1.0F / (1.0F + e);
        up[f] = d * g * sigma;
        gate[f] = d * u * sigma * (1.0F + g * (1.0F - sigma));
        act[f] = activate(g, u, e);
    }
}

void KERNEL(swiglu_backward)(float *restrict gate_up, float *restrict act, int64_t n, int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        float *gate = gate_up + t * 2 * F;
        backward_row(gate, gate + F, act + t * F, F);
    }
}
