/** What the kernels of one instruction-set level share. The folder is compiled once per level;
 * KERNEL(name) gives each level's copy its own name, and table.c gathers them in `struct kernels`,
 * whose comments in attnres/kernels.h document every function below. */
#ifndef ATTNRES_KERNELS_LEVEL_H
#define ATTNRES_KERNELS_LEVEL_H

#include <attnres/kernels.h>

#include "tiles.h"

#define KERNEL_PASTE(name, level) name##_##level
#define KERNEL_NAME(name, level) KERNEL_PASTE(name, level)
#define KERNEL(name) KERNEL_NAME(name, KERNELS_LEVEL)

extern const struct kernels KERNEL(kernels);

void KERNEL(embed_forward)(float *restrict x, const float *restrict table,
                           const int32_t *restrict tokens, int64_t n, int64_t C);
void KERNEL(embed_backward)(float *restrict dtable, const float *restrict dx,
                            const int32_t *restrict tokens, int64_t n, int64_t C);
void KERNEL(rmsnorm_forward)(float *restrict out, float *restrict rstd, const float *restrict x,
                             const float *restrict gain, int64_t n, int64_t C, float eps);
void KERNEL(rmsnorm_again)(float *restrict out, const float *restrict x, const float *restrict gain,
                           const float *restrict rstd, int64_t n, int64_t C);
void KERNEL(rmsnorm_backward)(float *dx, float *restrict dgain, const float *base,
                              const float *restrict dout, const float *restrict x,
                              const float *restrict gain, const float *restrict rstd,
                              float *restrict scratch, int64_t n, int64_t C);
void KERNEL(rope_forward)(float *restrict qkv, const float *restrict cos_sin,
                          const struct attention_shape *shape, int64_t first_position);
void KERNEL(rope_backward)(float *restrict dqkv, const float *restrict cos_sin,
                           const struct attention_shape *shape);
void KERNEL(attention_forward)(float *restrict out, float *restrict lse, const float *restrict qkv,
                               float *restrict scratch, const struct attention_shape *shape);
void KERNEL(attention_backward)(float *restrict qkv, const float *restrict dout,
                                const float *restrict out, const float *restrict lse,
                                float *restrict scratch, const struct attention_shape *shape);
void KERNEL(attention_decode)(float *restrict out, const float *restrict q,
                              const float *restrict keys, const float *restrict values,
                              float *restrict scratch, int64_t n_past, int64_t stride,
                              const struct attention_shape *shape);
void KERNEL(swiglu_forward)(float *restrict act, const float *restrict gate_up, int64_t n,
                            int64_t F);
void KERNEL(swiglu_backward)(float *restrict gate_up, float *restrict act, int64_t n, int64_t F);
void KERNEL(depth_inverse_rms)(float *restrict r, const float *restrict v, int64_t n, int64_t C,
                               float eps);
void KERNEL(depth_read_advance)(struct depth_read *reads, int64_t n_reads,
                                const struct depth_source *sources, int64_t n_sources, int64_t n,
                                int64_t C);
void KERNEL(depth_read_finish)(float *restrict out, float *restrict rstd, struct depth_read *read,
                               const struct depth_source *sources, int64_t n_sources,
                               const float *restrict gain, int64_t n, int64_t C, float eps);
void KERNEL(depth_read_begin_backward)(const struct depth_gradient *dv, float *restrict dgain,
                                       struct depth_read *read, const float *restrict dout,
                                       const float *restrict gain, const float *restrict rstd,
                                       const struct depth_source *sources, int64_t n_sources,
                                       float *restrict scratch, int64_t n, int64_t C);
void KERNEL(depth_read_end_backward)(const struct depth_gradient *dv, struct depth_read *reads,
                                     int64_t n_reads, const struct depth_source *sources,
                                     int64_t n_sources, int64_t n, int64_t C);
void KERNEL(cross_entropy)(float *restrict losses, int32_t *restrict best, float *restrict logits,
                           const int32_t *restrict targets, float scale, int64_t n, int64_t V);
void KERNEL(add)(float *out, const float *a, const float *b, int64_t count);
void KERNEL(round_bf16)(float *x, int64_t count);
void KERNEL(to_bf16)(uint16_t *out, const float *x, int64_t count);
void KERNEL(rows_to_bf16)(float *x, int64_t n, int64_t C);
void KERNEL(round_int8)(float *v, float *scales, int64_t n, int64_t C);
double KERNEL(sum_squares)(const float *restrict x, double *restrict partials, int64_t count);
void KERNEL(adamw)(float *restrict p, float *restrict exp_avg, float *restrict exp_avg_sq,
                   const float *restrict g, const struct adamw_step *step, int64_t count);

#endif
