/* Causal attention over the sequence, scale D^-1/2, grouped key and value heads:
 *
 *     S = Q K^T / sqrt(D) on j <= i,   P = softmax(S),   out = P V,   lse_i = ln sum_j e^(S_ij)
 *
 * in tiles of queries by keys (FlashAttention, arXiv:2205.14135): with the running maximum m and
 * sum d of a query, a tile takes m' = max(m, S), d = d e^(m-m') + sum e^(S-m'), and out alike.
 * Backward makes P again from lse:
 *     delta_i = dout_i . out_i,   dP = dout V^T,   dS = P (dP - delta)
 *     dV = P^T dout,   dQ = dS K / sqrt(D),   dK = dS^T Q / sqrt(D)
 *
 * A tile of scores is held transposed, a row per key: what the softmax does then runs along the
 * queries, without a sum inside a vector. Heads are copied into padded rows, which the products of
 * micro.h need; Q takes the scale on the way. A task is a (sequence, head) in forward and a
 * (sequence, key head) in backward, whose query heads add to dK and dV in their order. */
#include "level.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "exponential.h"
#include "lanes.h"
#include "micro.h"

/* The rows of one sequence and head. */
struct view {
    int64_t T, D, width; /* width: D padded */
    int64_t stride, out_stride;
    float scale;
};

/* A thread's scratch: keys, values and their gradients (padded T, width), and for one tile of
 * queries itself and the rest (QUERY_TILE, width) or transposed (width, QUERY_TILE), and its scores
 * (KEY_TILE, QUERY_TILE). */
struct slot {
    float *k, *v, *dk, *dv;
    float *q, *q_t, *dout, *dout_t, *sum;
    float *p, *ds;
};

static struct view view_of(const struct attention_shape *shape)
{
    const int64_t D = shape->head_dim;
    return (struct view){.T = shape->n_tokens,
                         .D = D,
                         .width = kernels_head_width(D),
                         .stride = (shape->n_heads + 2 * shape->n_kv_heads) * D,
                         .out_stride = shape->n_heads * D,
                         .scale = 1.0F / sqrtf((float)D)};
}

static float *take(float **scratch, int64_t count)
{
    float *start = *scratch;
    *scratch += count;
    return start;
}

static struct slot own_slot(float *scratch, const struct attention_shape *shape,
                            const struct view *view)
{
    const int64_t keys = kernels_padded_keys(view->T) * view->width;
    const int64_t queries = QUERY_TILE * view->width;
    scratch += omp_get_thread_num() * kernels_attention_slot(shape);
    return (struct slot){.k = take(&scratch, keys),
                         .v = take(&scratch, keys),
                         .dk = take(&scratch, keys),
                         .dv = take(&scratch, keys),
                         .q = take(&scratch, queries),
                         .q_t = take(&scratch, queries),
                         .dout = take(&scratch, queries),
                         .dout_t = take(&scratch, queries),
                         .sum = take(&scratch, queries),
                         .p = take(&scratch, KEY_TILE * QUERY_TILE),
                         .ds = take(&scratch, KEY_TILE * QUERY_TILE)};
}

static int n_workers(void)
{
    const int n = omp_get_max_threads();
    return n < MAX_ATTENTION_SLOTS ? n : MAX_ATTENTION_SLOTS;
}

/* to (padded, width) = from (rows, D) scale, 0 beyond. */
static void pack(float *restrict to, const float *restrict from, int64_t stride, int64_t rows,
                 int64_t padded, float scale, const struct view *view)
{
    const int64_t width = view->width, D = view->D;
    for (int64_t t = 0; t < rows; t++) {
#pragma omp simd
        for (int64_t d = 0; d < D; d++) {
            to[t * width + d] = from[t * stride + d] * scale;
        }
        for (int64_t d = D; d < width; d++) {
            to[t * width + d] = 0.0F;
        }
    }
    for (int64_t at = rows * width; at < padded * width; at++) {
        to[at] = 0.0F;
    }
}

/* to (rows, D) = from (rows, width) scale */
static void unpack(float *restrict to, int64_t stride, const float *restrict from, int64_t rows,
                   float scale, const struct view *view)
{
    for (int64_t t = 0; t < rows; t++) {
#pragma omp simd
        for (int64_t d = 0; d < view->D; d++) {
            to[t * stride + d] = from[t * view->width + d] * scale;
        }
    }
}

/* to (width, QUERY_TILE) = from (QUERY_TILE, width) transposed. */
static void transpose(float *restrict to, const float *restrict from, int64_t width)
{
    for (int64_t d = 0; d < width; d++) {
        for (int64_t i = 0; i < QUERY_TILE; i++) {
            to[d * QUERY_TILE + i] = from[i * width + d];
        }
    }
}

/* The keys [first_key, first_key + n_keys) meet the queries from first_query on; ahead is the first
 * key's distance behind the first query, from which on it is on or beyond the diagonal. */
struct tile {
    int64_t n_keys, ahead;
};

static struct tile tile_at(int64_t first_query, int64_t first_key)
{
    const int64_t ahead = first_key - first_query;
    return (struct tile){.n_keys = kernels_min(KEY_TILE, QUERY_TILE - ahead), .ahead = ahead};
}

/* The first query that sees key j of the tile. */
static int64_t first_seeing(const struct tile *tile, int64_t j)
{
    return tile->ahead + j > 0 ? tile->ahead + j : 0;
}

/* s (KEY_TILE, QUERY_TILE) = a (KEY_TILE, width) b_t (width, QUERY_TILE), blocks that no query sees
 * left as they are. */
static void score(float *restrict s, const float *restrict a, const float *restrict b_t,
                  const struct tile *tile, const struct view *view)
{
    for (int64_t j = 0; j < tile->n_keys; j += MICRO_ROWS) {
        const struct micro_left left = {a + j * view->width, view->width, 1};
        const int64_t seen = first_seeing(tile, j) / MICRO_COLUMNS * MICRO_COLUMNS;
        for (int64_t i = seen; i < QUERY_TILE; i += MICRO_COLUMNS) {
            micro_product(s + j * QUERY_TILE + i, QUERY_TILE, left, b_t + i, QUERY_TILE, view->D,
                          false);
        }
    }
}

/* to (QUERY_TILE, width) = p^T (QUERY_TILE, KEY_TILE) from (KEY_TILE, width), or += */
static void gather(float *restrict to, const float *restrict p, const float *restrict from,
                   const struct tile *tile, const struct view *view, bool accumulate)
{
    for (int64_t i = 0; i < QUERY_TILE; i += MICRO_ROWS) {
        const int64_t seen = kernels_min(i + MICRO_ROWS - tile->ahead, tile->n_keys);
        const struct micro_left left = {p + i, 1, QUERY_TILE};
        for (int64_t d = 0; d < view->width; d += MICRO_COLUMNS) {
            micro_product(to + i * view->width + d, view->width, left, from + d, view->width, seen,
                          accumulate);
        }
    }
}

/* to (KEY_TILE, width) = p (KEY_TILE, QUERY_TILE) from (QUERY_TILE, width), or += */
static void scatter(float *restrict to, const float *restrict p, const float *restrict from,
                    const struct tile *tile, const struct view *view, bool accumulate)
{
    for (int64_t j = 0; j < tile->n_keys; j += MICRO_ROWS) {
        const int64_t i = first_seeing(tile, j);
        const struct micro_left left = {p + j * QUERY_TILE + i, QUERY_TILE, 1};
        for (int64_t d = 0; d < view->width; d += MICRO_COLUMNS) {
            micro_product(to + j * view->width + d, view->width, left, from + i * view->width + d,
                          view->width, QUERY_TILE - i, accumulate);
        }
    }
}

_Static_assert(QUERY_TILE % LANES == 0 && LANES % MICRO_ROWS == 0,
               "of every query, the keys that a product looks at are those of LANES queries");

/* Of the tile, the keys that some of the LANES queries from i on see. */
static int64_t keys_of(const struct tile *tile, int64_t i)
{
    return kernels_min(i + LANES - tile->ahead, tile->n_keys);
}

/* Scores of keys behind the query become so low that their exponential is 0. */
static void hide_later_keys(float *s, const struct tile *tile)
{
    for (int64_t j = 0; j < tile->n_keys; j++) {
        const int64_t seen = first_seeing(tile, j);
        for (int64_t i = seen / LANES * LANES; i < seen; i++) {
            s[j * QUERY_TILE + i] = -FLT_MAX;
        }
    }
}

/* One tile's step of the softmax of LANES queries: p is S in and e^(S-m') out; keep gets e^(m-m').
 */
static void advance_softmax(float *restrict p, float *restrict m, float *restrict d,
                            float *restrict keep, int64_t n_keys)
{
    float top[LANES], sum[LANES] = {0};
    memcpy(top, m, sizeof top);
    for (int64_t j = 0; j < n_keys; j++) {
        const float *row = p + j * QUERY_TILE;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            top[i] = top[i] > row[i] ? top[i] : row[i];
        }
    }
    for (int64_t j = 0; j < n_keys; j++) {
        float *row = p + j * QUERY_TILE;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            row[i] = exponential(row[i] - top[i]);
            sum[i] += row[i];
        }
    }
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        keep[i] = exponential(m[i] - top[i]);
        d[i] = d[i] * keep[i] + sum[i];
        m[i] = top[i];
    }
}

/* to (QUERY_TILE, width), each row times its factor. */
static void scale_rows(float *restrict to, const float *restrict factor, int64_t width)
{
    for (int64_t i = 0; i < QUERY_TILE; i++) {
#pragma omp simd
        for (int64_t d = 0; d < width; d++) {
            to[i * width + d] *= factor[i];
        }
    }
}

static void forward_tile(float *out, float *lse, const float *q, const struct slot *slot,
                         const struct view *view, int64_t first)
{
    const int64_t rows = kernels_min(view->T - first, QUERY_TILE), width = view->width;
    _Alignas(64) float m[QUERY_TILE], d[QUERY_TILE] = {0}, keep[QUERY_TILE];
    pack(slot->q, q + first * view->stride, view->stride, rows, QUERY_TILE, view->scale, view);
    transpose(slot->q_t, slot->q, width);
    for (int i = 0; i < QUERY_TILE; i++) {
        m[i] = -FLT_MAX;
    }
    for (int64_t key = 0; key < first + QUERY_TILE; key += KEY_TILE) {
        const struct tile tile = tile_at(first, key);
        score(slot->p, slot->k + key * width, slot->q_t, &tile, view);
        hide_later_keys(slot->p, &tile);
        for (int64_t i = 0; i < QUERY_TILE; i += LANES) {
            advance_softmax(slot->p + i, m + i, d + i, keep + i, keys_of(&tile, i));
        }
        if (key > 0) {
            scale_rows(slot->sum, keep, width);
        }
        gather(slot->sum, slot->p, slot->v + key * width, &tile, view, key > 0);
    }
#pragma omp simd
    for (int i = 0; i < QUERY_TILE; i++) {
        m[i] += logarithm(d[i]);
        d[i] = 1.0F / d[i];
    }
    scale_rows(slot->sum, d, width);
    unpack(out + first * view->out_stride, view->out_stride, slot->sum, rows, 1.0F, view);
    memcpy(lse + first, m, (size_t)rows * sizeof *lse);
}

void KERNEL(attention_forward)(float *restrict out, float *restrict lse, const float *restrict qkv,
                               float *restrict scratch, const struct attention_shape *shape)
{
    const struct view view = view_of(shape);
    const int64_t H = shape->n_heads, KV = shape->n_kv_heads, D = view.D, T = view.T;
    const int64_t padded = kernels_padded_keys(T);
/* Round robin, so that thread numbers stay below the number of tasks, which is that of slots. */
#pragma omp parallel for schedule(static, 1) num_threads(n_workers())
    for (int64_t task = 0; task < shape->n_sequences * H; task++) {
        const int64_t sequence = task / H, head = task % H;
        const float *base = qkv + sequence * T * view.stride;
        const float *k = base + (H + head / (H / KV)) * D;
        const struct slot slot = own_slot(scratch, shape, &view);
        pack(slot.k, k, view.stride, T, padded, 1.0F, &view);
        pack(slot.v, k + KV * D, view.stride, T, padded, 1.0F, &view);
        for (int64_t first = 0; first < T; first += QUERY_TILE) {
            forward_tile(out + sequence * T * view.out_stride + head * D, lse + task * T,
                         base + head * D, &slot, &view, first);
        }
    }
}

/* One query head and what its backward reads and writes. The first of its group finds no dK and dV
 * yet; a tile of keys meets its first queries on the diagonal. */
struct head {
    bool is_first;
    float *q; /* then dq */
    const float *out, *dout, *lse;
};

/* LANES queries. p: S in, P out; ds: dP in, dS out. */
static void make_p_and_ds(float *restrict p, float *restrict ds, const float *restrict lse,
                          const float *restrict delta, int64_t n_keys)
{
    for (int64_t j = 0; j < n_keys; j++) {
        float *p_row = p + j * QUERY_TILE, *ds_row = ds + j * QUERY_TILE;
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            p_row[i] = exponential(p_row[i] - lse[i]);
            ds_row[i] = p_row[i] * (ds_row[i] - delta[i]);
        }
    }
}

_Static_assert(QUERY_TILE % KEY_TILE == 0,
               "one tile of queries is the first to see a tile of keys");

static void backward_tile(const struct head *head, const struct slot *slot, const struct view *view,
                          int64_t first)
{
    const int64_t rows = kernels_min(view->T - first, QUERY_TILE), width = view->width;
    const float *dout = head->dout + first * view->out_stride;
    const float *out = head->out + first * view->out_stride;
    _Alignas(64) float lse[QUERY_TILE] = {0}, delta[QUERY_TILE] = {0};
    memcpy(lse, head->lse + first, (size_t)rows * sizeof *lse);
    for (int64_t i = 0; i < rows; i++) {
        delta[i] = lanes_dot(dout + i * view->out_stride, out + i * view->out_stride, view->D);
    }
    pack(slot->q, head->q + first * view->stride, view->stride, rows, QUERY_TILE, view->scale,
         view);
    pack(slot->dout, dout, view->out_stride, rows, QUERY_TILE, 1.0F, view);
    transpose(slot->q_t, slot->q, width);
    transpose(slot->dout_t, slot->dout, width);
    for (int64_t key = 0; key < first + QUERY_TILE; key += KEY_TILE) {
        const struct tile tile = tile_at(first, key);
        const float *k = slot->k + key * width;
        score(slot->p, k, slot->q_t, &tile, view);
        score(slot->ds, slot->v + key * width, slot->dout_t, &tile, view);
        hide_later_keys(slot->p, &tile);
        for (int64_t i = 0; i < QUERY_TILE; i += LANES) {
            make_p_and_ds(slot->p + i, slot->ds + i, lse + i, delta + i, keys_of(&tile, i));
        }
        const bool is_new = head->is_first && key >= first;
        scatter(slot->dv + key * width, slot->p, slot->dout, &tile, view, !is_new);
        scatter(slot->dk + key * width, slot->ds, slot->q, &tile, view, !is_new);
        gather(slot->sum, slot->ds, k, &tile, view, key > 0);
    }
    unpack(head->q + first * view->stride, view->stride, slot->sum, rows, view->scale, view);
}

/* In place: a task has packed its keys and values before it writes their gradients, and each tile
 * of queries before that of theirs; no other task reads or writes them. */
void KERNEL(attention_backward)(float *restrict qkv, const float *restrict dout,
                                const float *restrict out, const float *restrict lse,
                                float *restrict scratch, const struct attention_shape *shape)
{
    const struct view view = view_of(shape);
    const int64_t H = shape->n_heads, KV = shape->n_kv_heads, D = view.D, T = view.T;
    const int64_t group = H / KV, padded = kernels_padded_keys(T);
#pragma omp parallel for schedule(static, 1) num_threads(n_workers())
    for (int64_t task = 0; task < shape->n_sequences * KV; task++) {
        const int64_t sequence = task / KV, key_head = task % KV;
        const int64_t row = sequence * T * view.stride, out_row = sequence * T * view.out_stride;
        const int64_t k_at = row + (H + key_head) * D, v_at = k_at + KV * D;
        const struct slot slot = own_slot(scratch, shape, &view);
        pack(slot.k, qkv + k_at, view.stride, T, padded, 1.0F, &view);
        pack(slot.v, qkv + v_at, view.stride, T, padded, 1.0F, &view);
        for (int64_t h = key_head * group; h < (key_head + 1) * group; h++) {
            const struct head head = {.is_first = h == key_head * group,
                                      .q = qkv + row + h * D,
                                      .out = out + out_row + h * D,
                                      .dout = dout + out_row + h * D,
                                      .lse = lse + (sequence * H + h) * T};
            for (int64_t first = 0; first < T; first += QUERY_TILE) {
                backward_tile(&head, &slot, &view, first);
            }
        }
        unpack(qkv + k_at, view.stride, slot.dk, T, 1.0F, &view);
        unpack(qkv + v_at, view.stride, slot.dv, T, 1.0F, &view);
    }
}

static float row_sum(const float *restrict p, int64_t count)
{
    float lane[LANES] = {0};
    for (int64_t j = 0; j < count; j++) {
        lane[j % LANES] += p[j];
    }
    return lanes_sum(lane);
}

/* p (n_seen): raw products in, e^(S - max) out. Returns the inverse of their sum. */
static float softmax_row(float *restrict p, float scale, int64_t n_seen)
{
    const float top = lanes_max(p, n_seen) * scale;
#pragma omp simd
    for (int64_t j = 0; j < n_seen; j++) {
        p[j] = exponential(p[j] * scale - top);
    }
    return 1.0F / row_sum(p, n_seen);
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
        float *p = scratch + head * n_past;
        for (int64_t j = 0; j < n_past; j++) {
            p[j] = lanes_dot(q + head * D, keys + j * stride + at, D);
        }
        const float inverse = softmax_row(p, scale, n_past);
        memset(out + head * D, 0, (size_t)D * sizeof *out);
        for (int64_t j = 0; j < n_past; j++) {
            add_scaled_row(out + head * D, values + j * stride + at, p[j] * inverse, D);
        }
    }
}
