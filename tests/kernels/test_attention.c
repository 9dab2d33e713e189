#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Softmax of sums of D products, then sums of T: some tens of roundings of 6e-8. */
static const double ERROR_F32 = 2e-6;

/* B, T, H, KV, D: one, odd, prime, one past a tile of 64 queries, grouped keys */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1, 1, 1, 2},    {2, 7, 3, 3, 6},
                                             {1, 65, 2, 1, 16},  {2, 31, 6, 2, 10},
                                             {1, 131, 4, 2, 32}, {3, 64, 1, 1, 64}};

static void run(struct trial *trial)
{
    const int64_t *s = trial->size;
    const struct attention_shape shape = {s[0], s[1], s[2], s[3], s[4]};
    const int64_t n_out = s[0] * s[1] * s[2] * s[4], n_lse = s[0] * s[1] * s[2];
    const int64_t n_qkv = s[0] * s[1] * (s[2] + 2 * s[3]) * s[4];
    struct tensors *memory = &trial->tensors;
    float *qkv = tensors_random(memory, (size_t)n_qkv, 1, 2.0); /* then dqkv */
    const float *dout = tensors_random(memory, (size_t)n_out, 2, 1.0);
    float *out = tensors_nan(memory, (size_t)n_out), *lse = tensors_nan(memory, (size_t)n_lse);
    float *scratch = tensors_nan(memory, kernels_attention_scratch_count(&shape));
    const double *qkv64 = tensors_widen(memory, qkv, (size_t)n_qkv);
    double *out64 = tensors_zeros_f64(memory, (size_t)n_out);
    double *lse64 = tensors_zeros_f64(memory, (size_t)n_lse);
    double *dqkv64 = tensors_zeros_f64(memory, (size_t)n_qkv);

    trial->kernels->attention_forward(out, lse, qkv, scratch, &shape);
    oracle_attention_forward(out64, lse64, qkv64, &shape);
    trial_expect(trial, "out", out, out64, n_out, ERROR_F32);
    trial_expect(trial, "lse", lse, lse64, n_lse, ERROR_F32);
    trial->kernels->attention_backward(qkv, dout, out, lse, scratch, &shape);
    oracle_attention_backward(dqkv64, tensors_widen(memory, dout, (size_t)n_out), qkv64, &shape);
    trial_expect(trial, "dqkv", qkv, dqkv64, n_qkv, ERROR_F32);
}

static void agrees_with_the_oracle(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

/* The last row of attention_forward is what decoding makes of the cached keys and values. */
static void run_decode(struct trial *trial)
{
    const int64_t *s = trial->size, T = s[1], H = s[2], KV = s[3], D = s[4];
    const struct attention_shape shape = {1, T, H, KV, D};
    const int64_t stride = (H + 2 * KV) * D;
    struct tensors *memory = &trial->tensors;
    const float *qkv = tensors_random(memory, (size_t)(T * stride), 1, 2.0);
    const float *last = qkv + (T - 1) * stride;
    float *out = tensors_nan(memory, (size_t)(H * D));
    float *scratch = tensors_nan(memory, (size_t)(H * T));
    double *out64 = tensors_zeros_f64(memory, (size_t)(T * H * D));

    trial->kernels->attention_decode(out, last, qkv + H * D, qkv + (H + KV) * D, scratch, T, stride,
                                     &shape);
    oracle_attention_forward(out64, NULL, tensors_widen(memory, qkv, (size_t)(T * stride)), &shape);
    trial_expect(trial, "decoded", out, out64 + (T - 1) * H * D, H * D, ERROR_F32);
}

static void decoding_equals_the_last_row(void **state)
{
    (void)state;
    trial_each(run_decode, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void a_row_does_not_see_later_tokens(void **state)
{
    (void)state;
    const struct attention_shape shape = {1, 70, 1, 1, 8};
    struct tensors memory = {0};
    float *qkv = tensors_random(&memory, 70 * 24, 1, 1.0);
    float *lse = tensors_nan(&memory, 70);
    float *scratch = tensors_nan(&memory, kernels_attention_scratch_count(&shape));
    float *before = tensors_nan(&memory, 70 * 8), *after = tensors_nan(&memory, 70 * 8);
    const struct kernels *kernels = kernels_select(kernels_level_count() - 1);
    kernels->attention_forward(before, lse, qkv, scratch, &shape);
    for (int i = 0; i < 24; i++) {
        qkv[67 * 24 + i] += 1.0F;
    }
    kernels->attention_forward(after, lse, qkv, scratch, &shape);
    assert_memory_equal(before, after, 67 * 8 * sizeof *before);
    assert_true(memcmp(before + 67 * 8, after + 67 * 8, 8 * sizeof *before) != 0);
    tensors_finish(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_oracle),
                                       cmocka_unit_test(decoding_equals_the_last_row),
                                       cmocka_unit_test(a_row_does_not_see_later_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
