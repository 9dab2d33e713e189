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

static void backward_row(float *restrict dgate, float *restrict dup, const float *restrict dact,
                         const float *restrict gate, const float *restrict up, int64_t F)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        const float g = gate[f], sigma = 1.0F / (1.0F + exponential(-g));
        dup[f] = dact[f] * g * sigma;
        dgate[f] = dact[f] * up[f] * sigma * (1.0F + g * (1.0F - sigma));
    }
}

void KERNEL(swiglu_backward)(float *restrict dgate_up, const float *restrict dact,
                             const float *restrict gate_up, int64_t n, int64_t F)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        float *dgate = dgate_up + t * 2 * F;
        const float *gate = gate_up + t * 2 * F;
        backward_row(dgate, dgate + F, dact + t * F, gate, gate + F, F);
    }
}
