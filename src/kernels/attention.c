/* Causal attention over the sequence, scale D^-1/2, grouped key and value heads:
 *
 *     S = Q K^T / sqrt(D) on j <= i,   P = softmax(S),   out = P V,   lse_i = ln sum_j e^(S_ij)
 *
 * Scores exist for one tile of query rows, up to the diagonal. Backward makes P again from lse:
 *     delta_i = dout_i . out_i,   dP = dout V^T,   dS = P (dP - delta) / sqrt(D)
 *     dV = P^T dout,   dQ = dS K,   dK = dS^T Q
 * A task is a (sequence, head) in forward and a (sequence, key head) in backward, whose query heads
 * add to dK and dV in their order. Each product is one BLAS call of a size set by the shape. */
#include "level.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "exponential.h"
#include "lanes.h"
#include "product.h"

/* The rows of one sequence and head, and where its tile of scores stands. */
struct view {
    int64_t T, D;
    int64_t stride, out_stride, score_stride;
    float scale;
};

static struct view view_of(const struct attention_shape *shape)
{
    const int64_t D = shape->head_dim;
    return (struct view){.T = shape->n_tokens,
                         .D = D,
                         .stride = (shape->n_heads + 2 * shape->n_kv_heads) * D,
                         .out_stride = shape->n_heads * D,
                         .score_stride = kernels_score_stride(shape->n_tokens),
                         .scale = 1.0F / sqrtf((float)D)};
}

static int n_workers(void)
{
    const int n = omp_get_max_threads();
    return n < MAX_ATTENTION_SLOTS ? n : MAX_ATTENTION_SLOTS;
}

static void exponentials(float *restrict p, float scale, float top, int64_t count)
{
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        p[j] = exponential(p[j] * scale - top);
    }
}

static void scale_row(float *restrict x, float factor, int64_t count)
{
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        x[j] *= factor;
    }
}

static float row_sum(const float *restrict p, int64_t count)
{
    float lane[LANES] = {0};
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES) {
#pragma omp simd
        for (int k = 0; k < LANES; k++) {
            lane[k] += p[j + k];
        }
    }
    for (int k = 0; j + k < count; k++) {
        lane[k] += p[j + k];
    }
    return lanes_sum(lane);
}

/* p (width): raw products in, e^(S - max) out, 0 beyond the n_seen keys of this row. The inverse of
 * the sum is left to the output row, which is shorter. */
static float softmax_row(float *restrict p, float *restrict lse, float scale, int64_t n_seen,
                         int64_t width)
{
    const float top = lanes_max(p, n_seen) * scale;
    exponentials(p, scale, top, n_seen);
    memset(p + n_seen, 0, (size_t)(width - n_seen) * sizeof *p);
    const float sum = row_sum(p, n_seen);
    *lse = top + logarithm(sum);
    return 1.0F / sum;
}

static void forward_tile(float *out, float *lse, const float *q, const float *k, const float *v,
                         float *p, const struct view *view, int64_t first)
{
    const int64_t rows = kernels_min(view->T - first, QUERY_TILE), width = first + rows;
    const struct product scores = {.m = rows, .n = width, .k = view->D};
    const struct product values = {.m = rows, .n = view->D, .k = width};
    float inverse[QUERY_TILE];
    product_nt(p, view->score_stride, q + first * view->stride, view->stride, k, view->stride,
               &scores);
    for (int64_t i = 0; i < rows; i++) {
        inverse[i] = softmax_row(p + i * view->score_stride, lse + first + i, view->scale,
                                 first + i + 1, width);
    }
    float *tile_out = out + first * view->out_stride;
    product_nn(tile_out, view->out_stride, p, view->score_stride, v, view->stride, &values);
    for (int64_t i = 0; i < rows; i++) {
        scale_row(tile_out + i * view->out_stride, inverse[i], view->D);
    }
}

void KERNEL(attention_forward)(float *restrict out, float *restrict lse, const float *restrict qkv,
                               float *restrict scratch, const struct attention_shape *shape)
{
    const struct view view = view_of(shape);
    const int64_t H = shape->n_heads, KV = shape->n_kv_heads, D = view.D;
    const int64_t n_tasks = shape->n_sequences * H;
    const int64_t slot_size = 2 * QUERY_TILE * view.score_stride;
/* Round robin, so that thread numbers stay below the number of tasks, which is that of slots. */
#pragma omp parallel for schedule(static, 1) num_threads(n_workers())
    for (int64_t task = 0; task < n_tasks; task++) {
        const int64_t sequence = task / H, head = task % H;
        const float *base = qkv + sequence * view.T * view.stride;
        const float *k = base + (H + head / (H / KV)) * D, *v = k + KV * D;
        float *p = scratch + omp_get_thread_num() * slot_size;
        for (int64_t first = 0; first < view.T; first += QUERY_TILE) {
            forward_tile(out + sequence * view.T * view.out_stride + head * D, lse + task * view.T,
                         base + head * D, k, v, p, &view, first);
        }
    }
}

/* p (n_seen): raw products in, P out; ds: dP in, dS out; both 0 beyond n_seen. */
static void backward_row(float *restrict p, float *restrict ds, float lse, float delta, float scale,
                         int64_t n_seen, int64_t width)
{
#pragma omp simd
    for (int64_t j = 0; j < n_seen; j++) {
        p[j] = exponential(p[j] * scale - lse);
        ds[j] = p[j] * (ds[j] - delta) * scale;
    }
    memset(p + n_seen, 0, (size_t)(width - n_seen) * sizeof *p);
    memset(ds + n_seen, 0, (size_t)(width - n_seen) * sizeof *ds);
}

/* What one query head reads and writes in backward, at its own columns. */
struct head {
    float *dq, *dk, *dv;
    const float *q, *k, *v, *out, *dout, *lse;
};

static void make_p_and_ds(float *p, float *ds, const struct head *head, const struct view *view,
                          int64_t first)
{
    const int64_t rows = kernels_min(view->T - first, QUERY_TILE), width = first + rows;
    const struct product scores = {.m = rows, .n = width, .k = view->D};
    const float *dout = head->dout + first * view->out_stride;
    const float *out = head->out + first * view->out_stride;
    product_nt(p, view->score_stride, head->q + first * view->stride, view->stride, head->k,
               view->stride, &scores);
    product_nt(ds, view->score_stride, dout, view->out_stride, head->v, view->stride, &scores);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t at = i * view->score_stride;
        const float delta =
            lanes_dot(dout + i * view->out_stride, out + i * view->out_stride, view->D);
        backward_row(p + at, ds + at, head->lse[first + i], delta, view->scale, first + i + 1,
                     width);
    }
}

static void backward_tile(const struct head *head, float *p, const struct view *view, int64_t first)
{
    const int64_t rows = kernels_min(view->T - first, QUERY_TILE), width = first + rows;
    const struct product to_keys = {.m = width, .n = view->D, .k = rows, .accumulate = true};
    const struct product to_queries = {.m = rows, .n = view->D, .k = width};
    const float *q = head->q + first * view->stride;
    const float *dout = head->dout + first * view->out_stride;
    float *ds = p + QUERY_TILE * view->score_stride;
    make_p_and_ds(p, ds, head, view, first);
    product_tn(head->dv, view->stride, p, view->score_stride, dout, view->out_stride, &to_keys);
    product_tn(head->dk, view->stride, ds, view->score_stride, q, view->stride, &to_keys);
    product_nn(head->dq + first * view->stride, view->stride, ds, view->score_stride, head->k,
               view->stride, &to_queries);
}

static void clear_rows(float *x, const struct view *view)
{
    for (int64_t t = 0; t < view->T; t++) {
        memset(x + t * view->stride, 0, (size_t)view->D * sizeof *x);
    }
}

void KERNEL(attention_backward)(float *restrict dqkv, const float *restrict dout,
                                const float *restrict qkv, const float *restrict out,
                                const float *restrict lse, float *restrict scratch,
                                const struct attention_shape *shape)
{
    const struct view view = view_of(shape);
    const int64_t H = shape->n_heads, KV = shape->n_kv_heads, D = view.D, T = view.T;
    const int64_t group = H / KV, slot_size = 2 * QUERY_TILE * view.score_stride;
#pragma omp parallel for schedule(static, 1) num_threads(n_workers())
    for (int64_t task = 0; task < shape->n_sequences * KV; task++) {
        const int64_t sequence = task / KV, key_head = task % KV;
        const int64_t row = sequence * T * view.stride, out_row = sequence * T * view.out_stride;
        const int64_t k_at = row + (H + key_head) * D, v_at = k_at + KV * D;
        clear_rows(dqkv + k_at, &view);
        clear_rows(dqkv + v_at, &view);
        for (int64_t h = key_head * group; h < (key_head + 1) * group; h++) {
            const struct head head = {.dq = dqkv + row + h * D,
                                      .dk = dqkv + k_at,
                                      .dv = dqkv + v_at,
                                      .q = qkv + row + h * D,
                                      .k = qkv + k_at,
                                      .v = qkv + v_at,
                                      .out = out + out_row + h * D,
                                      .dout = dout + out_row + h * D,
                                      .lse = lse + (sequence * H + h) * T};
            float *p = scratch + omp_get_thread_num() * slot_size;
            for (int64_t first = 0; first < T; first += QUERY_TILE) {
                backward_tile(&head, p, &view, first);
            }
        }
    }
}

static void add_scaled_row(float *restrict out, const float *restrict v, float a, int64_t D)
{
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        out[d] += a * v[d];
    }
}

void KERNEL(attention_decode)(float *restrict out, const float *restrict q,
                              const float *restrict keys, const float *restrict values,
                              float *restrict scratch, int64_t n_past, int64_t stride,
                              const struct attention_shape *shape)
{
    const int64_t D = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
    const float scale = 1.0F / sqrtf((float)D);
#pragma omp parallel for schedule(static)
    for (int64_t head = 0; head < shape->n_heads; head++) {
        const int64_t at = head / group * D;
        float *p = scratch + head * n_past, lse;
        for (int64_t j = 0; j < n_past; j++) {
            p[j] = lanes_dot(q + head * D, keys + j * stride + at, D);
        }
        const float inverse = softmax_row(p, &lse, scale, n_past, n_past);
        memset(out + head * D, 0, (size_t)D * sizeof *out);
        for (int64_t j = 0; j < n_past; j++) {
            add_scaled_row(out + head * D, values + j * stride + at, p[j] * inverse, D);
        }
    }
}
