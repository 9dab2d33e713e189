/* Attention over depth (Attention Residuals, arXiv:2603.15031), one tile and source:
 *
 *     r = 1/sqrt(mean(v^2) + eps)        s = r (w . v)
 *     first source: m = s, d = 1, o = v;  later: m' = max(m, s), d = d e^(m-m') + e^(s-m'),
 *     o = o e^(m-m') + e^(s-m') v;  at the end h = o/d, and m + ln d is kept in m.
 *
 * Backward, with a = e^(s - (m + ln d)) and ds = a (dh.v - dh.h):
 *     dv += a dh + ds (r w - (s r^2 / C) v),   dw += ds r v */
#include "depth_step.h"

#include <math.h>
#include <string.h>

#include "exponential.h"
#include "lanes.h"
#include "norm_row.h"

void KERNEL(depth_step_inverse_rms)(float *restrict r, const float *restrict v,
                                    const struct depth_tile *tile, float eps)
{
    const int64_t C = tile->C;
    for (int64_t t = tile->begin; t < tile->end; t++) {
        r[t] = lanes_dot(v + t * C, v + t * C, C);
    }
#pragma omp simd
    for (int64_t t = tile->begin; t < tile->end; t++) {
        r[t] = 1.0F / sqrtf(r[t] / (float)C + eps);
    }
}

/* s = r (w . v), or the read's logit of this source. */
static void score(float *restrict s, const struct depth_read *read, int64_t i,
                  const struct depth_source *source, const struct depth_tile *tile)
{
    const int64_t C = tile->C;
    for (int64_t t = tile->begin; t < tile->end; t++) {
        s[t] = read->w ? source->r[t] * lanes_dot(read->w, source->v + t * C, C) : read->logits[i];
    }
}

/* The recurrence of m and d; old_factor and new_factor (count) get e^(m-m') and e^(s-m'). */
static void advance_softmax(float *restrict m, float *restrict d, float *restrict old_factor,
                            float *restrict new_factor, const float *restrict s, int64_t count)
{
#pragma omp simd
    for (int64_t t = 0; t < count; t++) {
        const float top = m[t] > s[t] ? m[t] : s[t];
        const float old_part = exponential(m[t] - top), new_part = exponential(s[t] - top);
        d[t] = d[t] * old_part + new_part;
        m[t] = top;
        old_factor[t] = old_part;
        new_factor[t] = new_part;
    }
}

static void advance_row(float *restrict o, const float *restrict v, float old_factor,
                        float new_factor, int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        o[c] = o[c] * old_factor + new_factor * v[c];
    }
}

static void take_first(const struct depth_read *read, const float *s, const float *v,
                       const struct depth_tile *tile)
{
    const int64_t C = tile->C, begin = tile->begin, count = tile->end - begin;
    for (int64_t t = begin; t < tile->end; t++) {
        read->m[t] = s[t];
        read->d[t] = 1.0F;
    }
    memcpy(read->o + begin * C, v + begin * C, (size_t)(count * C) * sizeof *v);
}

void KERNEL(depth_step_advance)(const struct depth_read *read, int64_t i,
                                const struct depth_source *source, const struct depth_tile *tile)
{
    const int64_t C = tile->C, begin = tile->begin, count = tile->end - begin;
    float *s = read->s + i * tile->n;
    score(s, read, i, source, tile);
    if (i == 0) {
        take_first(read, s, source->v, tile);
        return;
    }
    float old_factor[LONG_TILE], new_factor[LONG_TILE];
    advance_softmax(read->m + begin, read->d + begin, old_factor, new_factor, s + begin, count);
    for (int64_t t = 0; t < count; t++) {
        const int64_t at = (begin + t) * C;
        advance_row(read->o + at, source->v + at, old_factor[t], new_factor[t], C);
    }
}

static void divide_row(float *restrict o, float d, int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        o[c] = o[c] / d;
    }
}

void KERNEL(depth_step_finish)(const struct depth_read *read, const struct depth_tile *tile)
{
    for (int64_t t = tile->begin; t < tile->end; t++) {
        divide_row(read->o + t * tile->C, read->d[t], tile->C);
    }
#pragma omp simd
    for (int64_t t = tile->begin; t < tile->end; t++) {
        read->m[t] += logarithm(read->d[t]);
    }
}

void KERNEL(depth_step_norm)(float *restrict out, float *restrict rstd, const float *restrict h,
                             const float *restrict gain, const struct depth_tile *tile, float eps)
{
    const int64_t C = tile->C;
    for (int64_t t = tile->begin; t < tile->end; t++) {
        rstd[t] = norm_row(out + t * C, h + t * C, gain, C, eps);
    }
}

/* h (C) becomes dh; returns dh.h. */
static float norm_row_backward(float *restrict h, float *restrict dgain, const float *restrict dout,
                               const float *restrict gain, float r, int64_t C)
{
    const float along = r * r * r * (lanes_dot3(dout, gain, h, C) / (float)C);
    float lane[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            const float x = h[c + j], dh = r * dout[c + j] * gain[c + j] - along * x;
            dgain[c + j] += dout[c + j] * x * r;
            lane[j] += dh * x;
            h[c + j] = dh;
        }
    }
    for (int j = 0; c + j < C; j++) {
        const float x = h[c + j], dh = r * dout[c + j] * gain[c + j] - along * x;
        dgain[c + j] += dout[c + j] * x * r;
        lane[j] += dh * x;
        h[c + j] = dh;
    }
    return lanes_sum(lane);
}

void KERNEL(depth_step_norm_backward)(const struct depth_read *read, float *restrict dgain_partial,
                                      const float *restrict dout, const float *restrict gain,
                                      const float *restrict rstd, const struct depth_tile *tile)
{
    const int64_t C = tile->C;
    for (int64_t t = tile->begin; t < tile->end; t++) {
        read->d[t] =
            norm_row_backward(read->o + t * C, dgain_partial, dout + t * C, gain, rstd[t], C);
    }
}

/* Tokens whose rows of a source are still in the nearest cache when they are needed again. */
enum { GROUP = 8 };

/* a and ds (GROUP) of source i for count tokens from begin on. */
static void weigh(float *restrict a, float *restrict ds, const float *restrict dh,
                  const float *restrict dh_h, const float *restrict s, const float *restrict m,
                  const float *restrict v, int64_t count, int64_t C)
{
    for (int64_t t = 0; t < count; t++) {
        ds[t] = lanes_dot(dh + t * C, v + t * C, C);
    }
#pragma omp simd
    for (int64_t t = 0; t < count; t++) {
        a[t] = exponential(s[t] - m[t]);
        ds[t] = a[t] * (ds[t] - dh_h[t]);
    }
}

static void backward_row(float *dv, float *restrict dw, const float *base, const float *restrict dh,
                         const float *restrict w, const float *restrict v, const float factor[3],
                         int64_t C)
{
    const float a = factor[0], along_w = factor[1], along_v = factor[2];
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dv[c] = base[c] + (a * dh[c] + (along_w * w[c] - along_v * v[c]));
        dw[c] += along_w * v[c];
    }
}

void KERNEL(depth_step_backward)(const struct depth_gradient *dv, float *dw_partial,
                                 const struct depth_read *read, int64_t i,
                                 const struct depth_source *source, const struct depth_tile *tile)
{
    const int64_t C = tile->C;
    const float *s = read->s + i * tile->n, *dh = read->o;
    for (int64_t begin = tile->begin; begin < tile->end; begin += GROUP) {
        const int64_t count = kernels_min(tile->end - begin, GROUP), at = begin * C;
        float a[GROUP], ds[GROUP];
        weigh(a, ds, dh + at, read->d + begin, s + begin, read->m + begin, source->v + at, count,
              C);
        for (int64_t t = 0; t < count; t++) {
            const float r = source->r[begin + t], ds_r = ds[t] * r;
            const float factor[3] = {a[t], ds_r, ds_r * r * s[begin + t] / (float)C};
            const int64_t row = at + t * C;
            backward_row(dv->dv + row, dw_partial, dv->base + row, dh + row, read->w,
                         source->v + row, factor, C);
        }
    }
}

static void add_scaled_row(float *dv, const float *base, const float *restrict dh, float a,
                           int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dv[c] = base[c] + a * dh[c];
    }
}

void KERNEL(depth_step_backward_static)(const struct depth_gradient *dv, float *dlogit,
                                        const struct depth_read *read, int64_t i,
                                        const struct depth_source *source,
                                        const struct depth_tile *tile)
{
    const int64_t C = tile->C;
    const float *s = read->s + i * tile->n, *dh = read->o;
    float sum = 0.0F;
    for (int64_t begin = tile->begin; begin < tile->end; begin += GROUP) {
        const int64_t count = kernels_min(tile->end - begin, GROUP), at = begin * C;
        float a[GROUP], ds[GROUP];
        weigh(a, ds, dh + at, read->d + begin, s + begin, read->m + begin, source->v + at, count,
              C);
        for (int64_t t = 0; t < count; t++) {
            const int64_t row = at + t * C;
            add_scaled_row(dv->dv + row, dv->base + row, dh + row, a[t], C);
            sum += ds[t];
        }
    }
    *dlogit += sum;
}
