/* SwiGLU, arXiv:2002.05202: act = silu(gate) up, silu(g) = g sigma(g).
 *
 * Backward:  dup = dact silu(g),  dgate = dact up sigma(g) (1 + g (1 - sigma(g))). */
#include "level.h"

#include "exponential.h"

static void forward_row(float *restrict act, const float *restrict gate, const float *restrict up,
                        int64_t F)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        act[f] = gate[f] * up[f] / (1.0F + exponential(-gate[f]));
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

static void backward_row(float *restrict gate, float *restrict up, const float *restrict dact,
                         int64_t F)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        const float g = gate[f], u = up[f], sigma = 1.0F / (1.0F + exponential(-g));
        up[f] = dact[f] * g * sigma;
        gate[f] = dact[f] * u * sigma * (1.0F + g * (1.0F - sigma));
    }
}

void KERNEL(swiglu_backward)(float *restrict gate_up, const float *restrict dact, int64_t n,
                             int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        float *gate = gate_up + t * 2 * F;
        backward_row(gate, gate + F, dact + t * F, F);
    }
}
