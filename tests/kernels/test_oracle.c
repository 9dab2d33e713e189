#include "../support/compare.h"
#include "../support/oracle.h"
#include "../support/tensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Central differences with this step err by about STEP^2 and by 1e-16/STEP. */
static const double STEP = 1e-5, DIFFERENCE_ERROR = 1e-8;
static const double EPS = 1e-3;

/* One operation as a function of all its inputs laid end to end. */
struct operation {
    const char *name;
    size_t n_in, n_out;
    void (*forward)(double *out, const double *in);
    void (*backward)(double *din, const double *dout, const double *in);
};

enum { N = 3, C = 5, OUT = 4, SOURCES = 3 };
static const int32_t TOKENS[N] = {1, 0, 1};
static const int32_t TARGETS[N] = {4, -1, 2};
static const struct matmul_shape MATMUL = {N, C, OUT, OUT};
static const struct attention_shape ATTENTION = {2, 3, 4, 2, 2};
enum { ATTENTION_IN = 2 * 3 * (4 + 2 * 2) * 2, ATTENTION_OUT = 2 * 3 * 4 * 2 };

static void embed_forward(double *out, const double *in)
{
    oracle_embed_forward(out, in, TOKENS, N, C);
}

static void embed_backward(double *din, const double *dout, const double *in)
{
    (void)in;
    oracle_embed_backward(din, dout, TOKENS, N, C);
}

static void matmul_forward_of(double *out, const double *in)
{
    oracle_matmul_forward(out, in, in + N * C, &MATMUL);
}

static void matmul_backward_of(double *din, const double *dout, const double *in)
{
    oracle_matmul_input_gradient(din, dout, in + N * C, &MATMUL);
    oracle_matmul_weight_gradient(din + N * C, dout, in, &MATMUL);
}

static void rmsnorm_forward(double *out, const double *in)
{
    oracle_rmsnorm_forward(out, in, in + N * C, N, C, EPS);
}

static void rmsnorm_backward(double *din, const double *dout, const double *in)
{
    oracle_rmsnorm_backward(din, din + N * C, dout, in, in + N * C, N, C, EPS);
}

static void rope_forward(double *out, const double *in)
{
    memcpy(out, in, ATTENTION_IN * sizeof *out);
    oracle_rope_forward(out, &ATTENTION, 0);
}

static void rope_backward(double *din, const double *dout, const double *in)
{
    (void)in;
    memcpy(din, dout, ATTENTION_IN * sizeof *din);
    oracle_rope_backward(din, &ATTENTION);
}

static void attention_forward(double *out, const double *in)
{
    oracle_attention_forward(out, NULL, in, &ATTENTION);
}

static void attention_backward(double *din, const double *dout, const double *in)
{
    oracle_attention_backward(din, dout, in, &ATTENTION);
}

static void swiglu_forward(double *out, const double *in)
{
    oracle_swiglu_forward(out, in, N, C);
}

static void swiglu_backward(double *din, const double *dout, const double *in)
{
    oracle_swiglu_backward(din, dout, in, N, C);
}

/* Sources first, then the query or the logits. */
static struct oracle_read read_of(const double **v, const double *in, bool is_static)
{
    for (int i = 0; i < SOURCES; i++) {
        v[i] = in + i * N * C;
    }
    const double *last = in + SOURCES * N * C;
    return (struct oracle_read){.v = v,
                                .w = is_static ? NULL : last,
                                .logits = is_static ? last : NULL,
                                .n_sources = SOURCES,
                                .n = N,
                                .C = C,
                                .eps = EPS};
}

static void depth_backward_of(double *din, const double *dout, const double *in, bool is_static)
{
    const double *v[SOURCES];
    double *dv[SOURCES];
    const struct oracle_read read = read_of(v, in, is_static);
    for (int i = 0; i < SOURCES; i++) {
        dv[i] = din + i * N * C;
    }
    oracle_depth_backward(dv, din + SOURCES * N * C, dout, &read);
}

static void depth_forward(double *out, const double *in)
{
    const double *v[SOURCES];
    const struct oracle_read read = read_of(v, in, false);
    oracle_depth_forward(out, NULL, &read);
}

static void depth_backward(double *din, const double *dout, const double *in)
{
    depth_backward_of(din, dout, in, false);
}

static void static_forward(double *out, const double *in)
{
    const double *v[SOURCES];
    const struct oracle_read read = read_of(v, in, true);
    oracle_depth_forward(out, NULL, &read);
}

static void static_backward(double *din, const double *dout, const double *in)
{
    depth_backward_of(din, dout, in, true);
}

/* The sum of the losses, so that its gradient is what the function returns at scale 1. */
static void cross_entropy_forward(double *out, const double *in)
{
    double losses[N];
    oracle_cross_entropy(losses, NULL, in, TARGETS, 1.0, N, C);
    *out = losses[0] + losses[1] + losses[2];
}

static void cross_entropy_backward(double *din, const double *dout, const double *in)
{
    double losses[N];
    oracle_cross_entropy(losses, din, in, TARGETS, *dout, N, C);
}

static const struct operation OPERATIONS[] = {
    {"embed", 2 * C, N *C, embed_forward, embed_backward},
    {"matmul", N *C + OUT *C, N *OUT, matmul_forward_of, matmul_backward_of},
    {"rmsnorm", N *C + C, N *C, rmsnorm_forward, rmsnorm_backward},
    {"rope", ATTENTION_IN, ATTENTION_IN, rope_forward, rope_backward},
    {"attention", ATTENTION_IN, ATTENTION_OUT, attention_forward, attention_backward},
    {"swiglu", 2 * N *C, N *C, swiglu_forward, swiglu_backward},
    {"depth", SOURCES *N *C + C, N *C, depth_forward, depth_backward},
    {"static depth", SOURCES *N *C + SOURCES, N *C, static_forward, static_backward},
    {"cross_entropy", N *C, 1, cross_entropy_forward, cross_entropy_backward},
};

static double weighted_sum(const double *out, const double *weight, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += out[i] * weight[i];
    }
    return sum;
}

static double difference_error(const struct operation *operation)
{
    struct tensors memory = {0};
    double *in = tensors_random_f64(&memory, operation->n_in, 1, 1.0);
    const double *dout = tensors_random_f64(&memory, operation->n_out, 2, 1.0);
    double *out = tensors_zeros_f64(&memory, operation->n_out);
    double *din = tensors_zeros_f64(&memory, operation->n_in);
    double *slope = tensors_zeros_f64(&memory, operation->n_in);
    operation->backward(din, dout, in);
    for (size_t i = 0; i < operation->n_in; i++) {
        const double x = in[i];
        in[i] = x + STEP;
        operation->forward(out, in);
        slope[i] = weighted_sum(out, dout, operation->n_out);
        in[i] = x - STEP;
        operation->forward(out, in);
        slope[i] = (slope[i] - weighted_sum(out, dout, operation->n_out)) / (2.0 * STEP);
        in[i] = x;
    }
    const double error = compare_relative_error_f64(din, slope, operation->n_in);
    tensors_finish(&memory);
    return error;
}

static void backward_is_the_slope_of_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof OPERATIONS[0]; i++) {
        const double error = difference_error(&OPERATIONS[i]);
        if (!(error < DIFFERENCE_ERROR)) {
            fail_msg("%s: error %g", OPERATIONS[i].name, error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(backward_is_the_slope_of_forward)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
