/** The equations of the model written plainly in f64, one function per equation, forward and
 * backward; finite differences check them, they check the kernels. Shapes and meaning are those of
 * attnres/kernels.h: forward overwrites, backward accumulates, unless said otherwise. */
#ifndef ATTNRES_TESTS_ORACLE_H
#define ATTNRES_TESTS_ORACLE_H

#include <attnres/kernels.h>

void oracle_embed_forward(double *x, const double *table, const int32_t *tokens, int64_t n,
                          int64_t C);
void oracle_embed_backward(double *dtable, const double *dx, const int32_t *tokens, int64_t n,
                           int64_t C);

void oracle_matmul_forward(double *y, const double *x, const double *w,
                           const struct matmul_shape *shape);
void oracle_matmul_input_gradient(double *dx, const double *dy, const double *w,
                                  const struct matmul_shape *shape);
void oracle_matmul_weight_gradient(double *dw, const double *dy, const double *x,
                                   const struct matmul_shape *shape);

void oracle_rmsnorm_forward(double *out, const double *x, const double *gain, int64_t n, int64_t C,
                            double eps);
void oracle_rmsnorm_backward(double *dx, double *dgain, const double *dout, const double *x,
                             const double *gain, int64_t n, int64_t C, double eps);

/* In place. */
void oracle_rope_forward(double *qkv, const struct attention_shape *shape, int64_t first_position);
void oracle_rope_backward(double *dqkv, const struct attention_shape *shape);

/* lse (B, H, T) may be NULL. */
void oracle_attention_forward(double *out, double *lse, const double *qkv,
                              const struct attention_shape *shape);
void oracle_attention_backward(double *dqkv, const double *dout, const double *qkv,
                               const struct attention_shape *shape);

void oracle_swiglu_forward(double *act, const double *gate_up, int64_t n, int64_t F);
void oracle_swiglu_backward(double *dgate_up, const double *dact, const double *gate_up, int64_t n,
                            int64_t F);

/* A read over sources v[i] (n,C); w (C), or NULL and logits (n_sources). */
struct oracle_read {
    const double *const *v;
    const double *w, *logits;
    int64_t n_sources, n, C;
    double eps;
};
/* a (n_sources, n), the read's weights, may be NULL. */
void oracle_depth_forward(double *h, double *a, const struct oracle_read *read);
/* dw (C), or dlogits (n_sources) where w is NULL. */
void oracle_depth_backward(double *const *dv, double *dw, const double *dh,
                           const struct oracle_read *read);

/* dlogits is overwritten; NULL where only losses are wanted. */
void oracle_cross_entropy(double *losses, double *dlogits, const double *logits,
                          const int32_t *targets, double scale, int64_t n, int64_t V);

double oracle_sum_squares(const double *x, int64_t count);

struct oracle_adamw {
    double lr, beta1, beta2, eps, weight_decay, gradient_scale;
    int64_t step; /* from 1 */
};
void oracle_adamw(double *p, double *exp_avg, double *exp_avg_sq, const double *g,
                  const struct oracle_adamw *adamw, int64_t count);

#endif
