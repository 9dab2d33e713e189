#include "oracle.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static double *doubles(int64_t count)
{
    double *x = calloc((size_t)count, sizeof *x);
    assert(x);
    return x;
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* x = softmax(x); returns ln sum e^x. */
static double softmax(double *x, int64_t count)
{
    double top = x[0], sum = 0.0;
    for (int64_t i = 1; i < count; i++) {
        top = fmax(top, x[i]);
    }
    for (int64_t i = 0; i < count; i++) {
        x[i] = exp(x[i] - top);
        sum += x[i];
    }
    for (int64_t i = 0; i < count; i++) {
        x[i] /= sum;
    }
    return top + log(sum);
}

void oracle_embed_forward(double *x, const double *table, const int32_t *tokens, int64_t n,
                          int64_t C)
{
    for (int64_t t = 0; t < n; t++) {
        for (int64_t c = 0; c < C; c++) {
            x[t * C + c] = table[tokens[t] * C + c];
        }
    }
}

void oracle_embed_backward(double *dtable, const double *dx, const int32_t *tokens, int64_t n,
                           int64_t C)
{
    for (int64_t t = 0; t < n; t++) {
        for (int64_t c = 0; c < C; c++) {
            dtable[tokens[t] * C + c] += dx[t * C + c];
        }
    }
}

void oracle_matmul_forward(double *y, const double *x, const double *w,
                           const struct matmul_shape *shape)
{
    for (int64_t t = 0; t < shape->n; t++) {
        for (int64_t o = 0; o < shape->out; o++) {
            y[t * shape->out + o] = dot(x + t * shape->in, w + o * shape->in, shape->in);
        }
    }
}

void oracle_matmul_input_gradient(double *dx, const double *dy, const double *w,
                                  const struct matmul_shape *shape)
{
    for (int64_t t = 0; t < shape->n; t++) {
        for (int64_t o = 0; o < shape->out; o++) {
            for (int64_t i = 0; i < shape->in; i++) {
                dx[t * shape->in + i] += dy[t * shape->out + o] * w[o * shape->in + i];
            }
        }
    }
}

void oracle_matmul_weight_gradient(double *dw, const double *dy, const double *x,
                                   const struct matmul_shape *shape)
{
    for (int64_t t = 0; t < shape->n; t++) {
        for (int64_t o = 0; o < shape->out; o++) {
            for (int64_t i = 0; i < shape->in; i++) {
                dw[o * shape->in + i] += dy[t * shape->out + o] * x[t * shape->in + i];
            }
        }
    }
}

static double inverse_rms(const double *x, int64_t C, double eps)
{
    return 1.0 / sqrt(dot(x, x, C) / (double)C + eps);
}

void oracle_rmsnorm_forward(double *out, const double *x, const double *gain, int64_t n, int64_t C,
                            double eps)
{
    for (int64_t t = 0; t < n; t++) {
        const double r = inverse_rms(x + t * C, C, eps);
        for (int64_t c = 0; c < C; c++) {
            out[t * C + c] = x[t * C + c] * r * gain[c];
        }
    }
}

void oracle_rmsnorm_backward(double *dx, double *dgain, const double *dout, const double *x,
                             const double *gain, int64_t n, int64_t C, double eps)
{
    for (int64_t t = 0; t < n; t++) {
        const double *row = x + t * C, *drow = dout + t * C, r = inverse_rms(row, C, eps);
        double along = 0.0;
        for (int64_t c = 0; c < C; c++) {
            along += drow[c] * gain[c] * row[c] / (double)C;
        }
        for (int64_t c = 0; c < C; c++) {
            dx[t * C + c] += r * drow[c] * gain[c] - r * r * r * along * row[c];
            dgain[c] += drow[c] * row[c] * r;
        }
    }
}

static void rotate(double *x, int64_t position, int64_t D, double direction)
{
    for (int64_t i = 0; i < D / 2; i++) {
        const double frequency = pow(10000.0, -2.0 * (double)i / (double)D);
        const double angle = direction * (double)position * frequency;
        const double a = x[i], b = x[i + D / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + D / 2] = b * cos(angle) + a * sin(angle);
    }
}

static void rotate_all(double *qkv, const struct attention_shape *shape, int64_t first_position,
                       double direction)
{
    const int64_t rotated = shape->n_heads + shape->n_kv_heads, D = shape->head_dim;
    const int64_t stride = (rotated + shape->n_kv_heads) * D;
    for (int64_t row = 0; row < shape->n_sequences * shape->n_tokens; row++) {
        for (int64_t head = 0; head < rotated; head++) {
            rotate(qkv + row * stride + head * D, first_position + row % shape->n_tokens, D,
                   direction);
        }
    }
}

void oracle_rope_forward(double *qkv, const struct attention_shape *shape, int64_t first_position)
{
    rotate_all(qkv, shape, first_position, 1.0);
}

void oracle_rope_backward(double *dqkv, const struct attention_shape *shape)
{
    rotate_all(dqkv, shape, 0, -1.0);
}

/* Where query head `head` of a sequence finds its columns, for row 0 of the sequence. */
struct columns {
    int64_t stride, q, k, v, out;
};

static struct columns columns_of(const struct attention_shape *shape, int64_t sequence,
                                 int64_t head)
{
    const int64_t H = shape->n_heads, KV = shape->n_kv_heads, D = shape->head_dim;
    const int64_t stride = (H + 2 * KV) * D, row = sequence * shape->n_tokens;
    const int64_t key_head = head / (H / KV);
    return (struct columns){.stride = stride,
                            .q = row * stride + head * D,
                            .k = row * stride + (H + key_head) * D,
                            .v = row * stride + (H + KV + key_head) * D,
                            .out = row * H * D + head * D};
}

/* p (i+1): weights of query row i; returns their log-sum-exp. */
static double attention_row(double *p, const double *qkv, const struct columns *at, int64_t i,
                            int64_t D)
{
    for (int64_t j = 0; j <= i; j++) {
        p[j] = dot(qkv + at->q + i * at->stride, qkv + at->k + j * at->stride, D) / sqrt((double)D);
    }
    return softmax(p, i + 1);
}

void oracle_attention_forward(double *out, double *lse, const double *qkv,
                              const struct attention_shape *shape)
{
    const int64_t T = shape->n_tokens, H = shape->n_heads, D = shape->head_dim;
    double *p = doubles(T);
    for (int64_t task = 0; task < shape->n_sequences * H; task++) {
        const struct columns at = columns_of(shape, task / H, task % H);
        for (int64_t i = 0; i < T; i++) {
            const double row_lse = attention_row(p, qkv, &at, i, D);
            if (lse) {
                lse[task * T + i] = row_lse;
            }
            for (int64_t d = 0; d < D; d++) {
                double sum = 0.0;
                for (int64_t j = 0; j <= i; j++) {
                    sum += p[j] * qkv[at.v + j * at.stride + d];
                }
                out[at.out + i * H * D + d] = sum;
            }
        }
    }
    free(p);
}

static void attention_row_backward(double *dqkv, const double *drow, const double *qkv,
                                   const double *p, const struct columns *at, int64_t i, int64_t D)
{
    double delta = 0.0;
    for (int64_t j = 0; j <= i; j++) {
        delta += p[j] * dot(drow, qkv + at->v + j * at->stride, D);
    }
    for (int64_t j = 0; j <= i; j++) {
        const double dp = dot(drow, qkv + at->v + j * at->stride, D);
        const double ds = p[j] * (dp - delta) / sqrt((double)D);
        for (int64_t d = 0; d < D; d++) {
            dqkv[at->q + i * at->stride + d] += ds * qkv[at->k + j * at->stride + d];
            dqkv[at->k + j * at->stride + d] += ds * qkv[at->q + i * at->stride + d];
            dqkv[at->v + j * at->stride + d] += p[j] * drow[d];
        }
    }
}

void oracle_attention_backward(double *dqkv, const double *dout, const double *qkv,
                               const struct attention_shape *shape)
{
    const int64_t T = shape->n_tokens, H = shape->n_heads, D = shape->head_dim;
    double *p = doubles(T);
    for (int64_t task = 0; task < shape->n_sequences * H; task++) {
        const struct columns at = columns_of(shape, task / H, task % H);
        for (int64_t i = 0; i < T; i++) {
            attention_row(p, qkv, &at, i, D);
            attention_row_backward(dqkv, dout + at.out + i * H * D, qkv, p, &at, i, D);
        }
    }
    free(p);
}

void oracle_swiglu_forward(double *act, const double *gate_up, int64_t n, int64_t F)
{
    for (int64_t t = 0; t < n; t++) {
        for (int64_t f = 0; f < F; f++) {
            const double g = gate_up[t * 2 * F + f], u = gate_up[t * 2 * F + F + f];
            act[t * F + f] = g / (1.0 + exp(-g)) * u;
        }
    }
}

void oracle_swiglu_backward(double *dgate_up, const double *dact, const double *gate_up, int64_t n,
                            int64_t F)
{
    for (int64_t t = 0; t < n; t++) {
        for (int64_t f = 0; f < F; f++) {
            const double g = gate_up[t * 2 * F + f], u = gate_up[t * 2 * F + F + f];
            const double sigma = 1.0 / (1.0 + exp(-g)), d = dact[t * F + f];
            dgate_up[t * 2 * F + f] += d * u * (sigma + g * sigma * (1.0 - sigma));
            dgate_up[t * 2 * F + F + f] += d * g * sigma;
        }
    }
}

/* a (n_sources): weights of token t. */
static void depth_weights(double *a, const struct oracle_read *read, int64_t t)
{
    const int64_t C = read->C;
    for (int64_t i = 0; i < read->n_sources; i++) {
        const double *v = read->v[i] + t * C;
        a[i] = read->w ? inverse_rms(v, C, read->eps) * dot(read->w, v, C) : read->logits[i];
    }
    softmax(a, read->n_sources);
}

void oracle_depth_forward(double *h, double *a, const struct oracle_read *read)
{
    const int64_t C = read->C;
    double *weights = doubles(read->n_sources);
    for (int64_t t = 0; t < read->n; t++) {
        depth_weights(weights, read, t);
        for (int64_t c = 0; c < C; c++) {
            h[t * C + c] = 0.0;
            for (int64_t i = 0; i < read->n_sources; i++) {
                h[t * C + c] += weights[i] * read->v[i][t * C + c];
            }
        }
        for (int64_t i = 0; a && i < read->n_sources; i++) {
            a[i * read->n + t] = weights[i];
        }
    }
    free(weights);
}

static void depth_source_backward(double *dv, double *dw, const double *dh, const double *v,
                                  double a, double ds, const struct oracle_read *read)
{
    const int64_t C = read->C;
    const double r = read->w ? inverse_rms(v, C, read->eps) : 0.0;
    const double s = read->w ? r * dot(read->w, v, C) : 0.0;
    for (int64_t c = 0; c < C; c++) {
        dv[c] += a * dh[c];
        if (read->w) {
            dv[c] += ds * (r * read->w[c] - s * r * r / (double)C * v[c]);
            dw[c] += ds * r * v[c];
        }
    }
}

void oracle_depth_backward(double *const *dv, double *dw, const double *dh,
                           const struct oracle_read *read)
{
    const int64_t C = read->C;
    double *a = doubles(read->n_sources);
    for (int64_t t = 0; t < read->n; t++) {
        double dh_h = 0.0;
        depth_weights(a, read, t);
        for (int64_t i = 0; i < read->n_sources; i++) {
            dh_h += a[i] * dot(dh + t * C, read->v[i] + t * C, C);
        }
        for (int64_t i = 0; i < read->n_sources; i++) {
            const double *v = read->v[i] + t * C;
            const double ds = a[i] * (dot(dh + t * C, v, C) - dh_h);
            depth_source_backward(dv[i] + t * C, dw, dh + t * C, v, a[i], ds, read);
            if (!read->w) {
                dw[i] += ds;
            }
        }
    }
    free(a);
}

void oracle_cross_entropy(double *losses, double *dlogits, const double *logits,
                          const int32_t *targets, double scale, int64_t n, int64_t V)
{
    double *p = doubles(V);
    for (int64_t t = 0; t < n; t++) {
        const bool counted = targets[t] >= 0;
        for (int64_t i = 0; i < V; i++) {
            p[i] = logits[t * V + i];
        }
        const double lse = softmax(p, V);
        losses[t] = counted ? lse - logits[t * V + targets[t]] : 0.0;
        for (int64_t i = 0; dlogits && i < V; i++) {
            const double y = i == targets[t] ? 1.0 : 0.0;
            dlogits[t * V + i] = counted ? (p[i] - y) * scale : 0.0;
        }
    }
    free(p);
}

double oracle_sum_squares(const double *x, int64_t count)
{
    return dot(x, x, count);
}

void oracle_adamw(double *p, double *exp_avg, double *exp_avg_sq, const double *g,
                  const struct oracle_adamw *adamw, int64_t count)
{
    const double correction1 = 1.0 - pow(adamw->beta1, (double)adamw->step);
    const double correction2 = 1.0 - pow(adamw->beta2, (double)adamw->step);
    for (int64_t i = 0; i < count; i++) {
        const double gradient = g[i] * adamw->gradient_scale;
        p[i] *= 1.0 - adamw->lr * adamw->weight_decay;
        exp_avg[i] = adamw->beta1 * exp_avg[i] + (1.0 - adamw->beta1) * gradient;
        exp_avg_sq[i] = adamw->beta2 * exp_avg_sq[i] + (1.0 - adamw->beta2) * gradient * gradient;
        const double root = sqrt(exp_avg_sq[i]) / sqrt(correction2) + adamw->eps;
        p[i] -= adamw->lr / correction1 * exp_avg[i] / root;
    }
}
