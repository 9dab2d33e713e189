/* Root mean square norm, arXiv:1910.07467: out = x rstd gain, rstd = 1/sqrt(mean(x^2) + eps).
 *
 * Backward, with y = dout gain:  dx = rstd (y - x rstd^2 mean(y x)),  dgain = sum dout x rstd. */
#include "level.h"

#include <string.h>

#include "lanes.h"
#include "norm_row.h"
#include "partials.h"

void KERNEL(rmsnorm_forward)(float *restrict out, float *restrict rstd, const float *restrict x,
                             const float *restrict gain, int64_t n, int64_t C, float eps)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        rstd[t] = norm_row(out + t * C, x + t * C, gain, C, eps);
    }
}

void KERNEL(rmsnorm_again)(float *restrict out, const float *restrict x, const float *restrict gain,
                           const float *restrict rstd, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        norm_scale_row(out + t * C, x + t * C, gain, rstd[t], C);
    }
}

/* dx may be base. */
static void backward_row(float *dx, float *restrict dgain, const float *base,
                         const float *restrict dout, const float *restrict x,
                         const float *restrict gain, float r, int64_t C)
{
    const float mean = lanes_dot3(dout, gain, x, C) / (float)C;
    const float along = r * r * r * mean;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dx[c] = base[c] + (r * dout[c] * gain[c] - along * x[c]);
        dgain[c] += dout[c] * x[c] * r;
    }
}

void KERNEL(rmsnorm_backward)(float *dx, float *restrict dgain, const float *base,
                              const float *restrict dout, const float *restrict x,
                              const float *restrict gain, const float *restrict rstd,
                              float *restrict scratch, int64_t n, int64_t C)
{
    const int64_t n_tiles = kernels_tile_count(n, TILE);
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        float *partial = scratch + tile * C;
        memset(partial, 0, (size_t)C * sizeof *partial);
        const int64_t end = kernels_min(n, (tile + 1) * TILE);
        for (int64_t t = tile * TILE; t < end; t++) {
            const int64_t at = t * C;
            backward_row(dx + at, partial, base + at, dout + at, x + at, gain, rstd[t], C);
        }
    }
    partials_add(dgain, scratch, n_tiles, C);
}
