/** The numerics: one implementation of each operation, in plain C, compiled once per
 * instruction-set level.
 *
 *  `struct kernels` is the table of one level; kernels_select picks it at start-up. Every function
 * takes bare pointers in the order outputs, inputs, what forward saved, sizes. Forward overwrites,
 * backward accumulates, unless said otherwise. Nothing here allocates, prints or remembers. Threads
 * (OpenMP, as many as omp_set_num_threads said in the calling thread) split outputs in tiles of
 * fixed size, so results do not depend on their number. Layout is row major; n is a number of
 * tokens (B*T); pointers are aligned as their type (the plan's buffers start on 64 bytes, a row
 * inside one need not). Letters: B sequences, T tokens, C channels, H heads, D head size, F
 * feed-forward width, V vocabulary. */
#ifndef ATTNRES_KERNELS_H
#define ATTNRES_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One source as a read sees it: values v (n,C) and inverse root mean squares r (n). */
struct depth_source {
    const float *v;
    const float *r;
};

/** Where a source's gradient goes: dv (n,C) = base + ..., which may be dv itself. */
struct depth_gradient {
    float *dv;
    const float *base;
};

/** One read in progress: o (n,C) holds the running weighted sum until finish, then h,
 * and in backward dh; m and d (n) the running maximum and denominator, after finish m is m + ln d,
 * and in backward d is dh.h; s (sources of the read, n) the scores, row i of source i of the read.
 * w (C) is the query; `read: static` uses `logits` (one per source) instead and w is NULL. n_seen
 * counts the sources taken, and in backward those whose terms are still to come. Backward alone
 * needs the gradient dw of w, or of logits, and partials: kernels_partials_count(n, C) floats
 * (static: C = number of sources), sums over tiles of tokens that it keeps from begin to end. */
struct depth_read {
    float *o, *m, *d, *s;
    const float *w;
    const float *logits;
    int64_t n_seen;
    float *dw, *partials;
};

struct attention_shape {
    int64_t n_sequences, n_tokens; /* B, T: B*T rows */
    int64_t n_heads, n_kv_heads, head_dim;
};

struct adamw_step {
    float lr, beta2, eps, weight_decay;
    float new1, new2; /* 1 - beta1, 1 - beta2, rounded once: near 1 a rounded beta has lost them */
    float correction1, correction2_root; /* 1 - beta1^t, sqrt(1 - beta2^t) */
    float gradient_scale;                /* clip factor */
};

struct kernels {
    const char *level; /* "x86-64-v2", "x86-64-v3", "x86-64-v4" or "generic" */

    /** x (n,C) = table (V,C) rows of tokens (n). */
    void (*embed_forward)(float *x, const float *table, const int32_t *tokens, int64_t n,
                          int64_t C);
    /** dtable (V,C) += dx (n,C) at tokens, tokens in order. */
    void (*embed_backward)(float *dtable, const float *dx, const int32_t *tokens, int64_t n,
                           int64_t C);

    /** out (n,C) = x / rms(x) * gain, rstd (n) kept. arXiv:1910.07467. */
    void (*rmsnorm_forward)(float *out, float *rstd, const float *x, const float *gain, int64_t n,
                            int64_t C, float eps);
    /** out again, bit for bit, from the rstd that forward kept. */
    void (*rmsnorm_again)(float *out, const float *x, const float *gain, const float *rstd,
                          int64_t n, int64_t C);
    /** dx (n,C) = base + ..., where base may be dx; dgain (C) += ...; scratch:
     * kernels_partials_count(n, C) floats. */
    void (*rmsnorm_backward)(float *dx, float *dgain, const float *base, const float *dout,
                             const float *x, const float *gain, const float *rstd, float *scratch,
                             int64_t n, int64_t C);

    /** Rotate the q and k parts of qkv (n, (H + 2 KV) D) in place; half-split pairing. cos_sin (T,
     * 2, D/2) from kernels_rope_table; row t of each sequence uses position first_position + t.
     * arXiv:2104.09864. */
    void (*rope_forward)(float *qkv, const float *cos_sin, const struct attention_shape *shape,
                         int64_t first_position);
    /** The transposed rotation of dqkv in place. */
    void (*rope_backward)(float *dqkv, const float *cos_sin, const struct attention_shape *shape);

    /** Causal attention: out (n, H D), lse (B, H, T) kept, from rotated qkv (n, (H + 2 KV) D),
     * scale D^-1/2. scratch: kernels_attention_scratch_count(shape) floats. No (T,T) tensor is
     * kept. */
    void (*attention_forward)(float *out, float *lse, const float *qkv, float *scratch,
                              const struct attention_shape *shape);
    /** qkv (n, (H + 2 KV) D) is REPLACED by its gradient (it has no other contribution). */
    void (*attention_backward)(float *qkv, const float *dout, const float *out, const float *lse,
                               float *scratch, const struct attention_shape *shape);
    /** One query row against cached keys: out (H D), q (H D) rotated, keys and values (n_past, KV
     * D) each with row stride `stride` floats; scratch n_past floats a head. For generation. */
    void (*attention_decode)(float *out, const float *q, const float *keys, const float *values,
                             float *scratch, int64_t n_past, int64_t stride,
                             const struct attention_shape *shape);

    /** act (n,F) = silu(gate) * up, gate_up (n, 2F): gate then up in each row. arXiv:2002.05202. */
    void (*swiglu_forward)(float *act, const float *gate_up, int64_t n, int64_t F);
    /** gate_up (n, 2F) is REPLACED by its gradient, and the gradient of act that stands in act
     * (n,F) by act: the bits of swiglu_forward. */
    void (*swiglu_backward)(float *gate_up, float *act, int64_t n, int64_t F);

    /** r (n) = 1/sqrt(mean(v^2) + eps) of a source v (n,C). */
    void (*depth_inverse_rms)(float *r, const float *v, int64_t n, int64_t C, float eps);
    /** Run the recurrence of each of n_reads reads over the next n_sources sources (ids ascending),
     * in one sweep over the sources while a tile is in cache. Any grouping of calls gives the same
     * bits. Advances n_seen. */
    void (*depth_read_advance)(struct depth_read *reads, int64_t n_reads,
                               const struct depth_source *sources, int64_t n_sources, int64_t n,
                               int64_t C);
    /** The recurrence over the read's last n_sources sources (0 or more), then h = o / d in place
     * and m = m + ln d, and the norm behind it: out (n,C) and rstd (n) as in rmsnorm_forward. */
    void (*depth_read_finish)(float *out, float *rstd, struct depth_read *read,
                              const struct depth_source *sources, int64_t n_sources,
                              const float *gain, int64_t n, int64_t C, float eps);
    /** First phase of backward: through the norm, dgain (C) += ..., to dh; then the terms of the
     * read's last n_sources sources (0 or more), in descending id,
     *     dv_i += a_i dh + ds_i (r_i w - (s_i r_i^2 / C) v_i),   dw (C) += sum ds_i r_i v_i,
     * or for `read: static` dv_i += a_i dh, dlogits_i += sum ds_i. The read is as finish left it,
     * n_seen all its sources. scratch: kernels_partials_count(n, C) floats. */
    void (*depth_read_begin_backward)(const struct depth_gradient *dv, float *dgain,
                                      struct depth_read *read, const float *dout, const float *gain,
                                      const float *rstd, const struct depth_source *sources,
                                      int64_t n_sources, float *scratch, int64_t n, int64_t C);
    /** Second phase: the terms of the sources that are left, which n_reads reads have in common, in
     * one sweep; of a source the last read's first. Then dw += ... of each. */
    void (*depth_read_end_backward)(const struct depth_gradient *dv, struct depth_read *reads,
                                    int64_t n_reads, const struct depth_source *sources,
                                    int64_t n_sources, int64_t n, int64_t C);

    /** losses (n) = -log softmax(logits)[target], 0 where target < 0; logits (n,V) is replaced by
     * its gradient (p - y) * scale on counted rows and by 0 elsewhere; scale 0 leaves the logits
     * alone (evaluation). best (n), if not NULL, gets the argmax of each row (the lowest index of
     * equals). */
    void (*cross_entropy)(float *losses, int32_t *best, float *logits, const int32_t *targets,
                          float scale, int64_t n, int64_t V);

    /** out = a + b, element by element; out may be a. */
    void (*add)(float *out, const float *a, const float *b, int64_t count);

    /** x (count) to bf16 and back in place, nearest even. */
    void (*round_bf16)(float *x, int64_t count);
    /** out (count) = x in bf16, nearest even. */
    void (*to_bf16)(uint16_t *out, const float *x, int64_t count);
    /** Each row of x (n,C) is replaced by itself in bf16, in the first half of its bytes. */
    void (*rows_to_bf16)(float *x, int64_t n, int64_t C);
    /** v (n,C) in place, per token: q = rint(v (127 / absmax)) clamped to +-127, value q (absmax /
     * 127); scales (n) gets absmax / 127. An absmax below 2^-100 gives 0. */
    void (*round_int8)(float *v, float *scales, int64_t n, int64_t C);

    /** Sum of squares in f64 over fixed chunks of 65,536 elements, chunks summed in order.
     * partials: one f64 per chunk, kernels_chunk_count(count) of them. */
    double (*sum_squares)(const float *x, double *partials, int64_t count);

    /** AdamW as PyTorch's (arXiv:1711.05101): p *= 1 - lr wd first; bias correction; eps outside
     * the root. */
    void (*adamw)(float *p, float *exp_avg, float *exp_avg_sq, const float *g,
                  const struct adamw_step *step, int64_t count);
};

/** The levels this build has and this processor can run, lowest first; kernels_level_count of them.
 *  kernels_select(i) returns the table of level i (0 is always there). */
int kernels_level_count(void);
const struct kernels *kernels_select(int level);
/** The name of the i-th level that this build has, whatever the processor; NULL behind the last. */
const char *kernels_built_level(int i);

/** What the BLAS calls its core type, e.g. "SkylakeX"; and its version line. */
const char *kernels_blas_core(void);
const char *kernels_blas_version(void);
/** Threads that a BLAS call takes by itself, and whether the library was built without any. */
int kernels_blas_threads(void);
bool kernels_blas_is_serial(void);
/** Whether the process's limits leave room for what OpenBLAS takes, once, for each thread that
 * calls it. Where they do not it asks again for ever. */
enum { KERNELS_BLAS_MIB = 128 };
bool kernels_blas_fits(int n_threads);
/** Ids of the processors that threads of this process may run on, ascending; returns how many. With
 * OMP_PROC_BIND the calling thread is bound to one place of several: all count. */
int kernels_find_processors(int *ids, int capacity);
/** oneDNN's version, and the instruction set it found; empty in a build without it. */
const char *kernels_onednn_version(void);
const char *kernels_onednn_core(void);
/** Where the bits of a level's products come from: OpenBLAS's core type, and oneDNN's where it is
 * used. */
enum { KERNELS_CORE_BYTES = 96 };
void kernels_name_core(char name[KERNELS_CORE_BYTES], const struct kernels *kernels);

/** Make every BLAS call single-threaded in this process, and OpenMP regions of the calling thread
 * n_threads wide. */
void kernels_set_threads(int n_threads);

/** Sizes of scratch, in elements. */
size_t kernels_partials_count(int64_t n, int64_t C);
size_t kernels_attention_scratch_count(const struct attention_shape *shape);
size_t kernels_chunk_count(int64_t count);

/** cos_sin (T, 2, D/2): cosines then sines of position t times theta^(-2i/D), theta 10000, in f64
 * rounded to f32. */
void kernels_rope_table(float *cos_sin, int64_t T, int64_t D);

/** Matrix products with weights w (out,in), planned at start-up for a shape and a precision:
 *
 *      forward:          y (n,out)   = x (n,in) w^T
 *      input gradient:   dx (n,in)   = dy (n,out) w
 *      weight gradient:  dw (out,in) += dy^T x
 *
 * Each is cut into panels by its shape alone; a panel is one single-threaded call of oneDNN where
 * build and level have it, else of OpenBLAS. In MATMUL_BF16 x, dy and w are bf16, and y, dx, dw and
 * every sum are f32. */
struct matmul_shape {
    int64_t n, in, out;
    int64_t dy_stride; /* elements from a row of dy to the next; out, or more */
};
enum matmul_precision { MATMUL_F32, MATMUL_BF16 };
struct matmul;

/** Whether products of more than one row go through oneDNN at this level. */
bool matmul_uses_onednn(const struct kernels *kernels);
/** Why products of a precision cannot run at this level, and what to do; NULL if they can. */
const char *matmul_refusal(enum matmul_precision precision, const struct kernels *kernels);

/** Plan the three products for as many threads as OpenMP gives the calling one now. Asserts that
 * matmul_refusal has nothing to say. */
struct matmul *matmul_create(const struct matmul_shape *shape, enum matmul_precision precision,
                             const struct kernels *kernels);
void matmul_destroy(struct matmul *matmul);

/** Bytes of scratch that any one of a shape's products needs while it runs, at most. Never less for
 * a larger n or out, so that the scratch of the largest serves all. */
size_t matmul_scratch_bytes(const struct matmul_shape *shape);

void matmul_forward(const struct matmul *matmul, float *y, const void *x, const void *w,
                    void *scratch);
void matmul_input_gradient(const struct matmul *matmul, float *dx, const void *dy, const void *w,
                           void *scratch);
void matmul_weight_gradient(const struct matmul *matmul, float *dw, const void *dy, const void *x,
                            void *scratch);

#endif
