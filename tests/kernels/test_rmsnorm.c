#include "../support/compare.h"
#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A few roundings of 6e-8 each; the gain's gradient sums tokens in f32. */
static const double ERROR_F32 = 1e-6;
static const float EPS = 1e-8F;

/* n, C: odd, prime, one past a tile of tokens or of lanes */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1},   {2, 16},  {7, 3},   {33, 17},
                                             {31, 31}, {65, 64}, {97, 127}};

static void run(struct trial *trial)
{
    const int64_t n = trial->size[0], C = trial->size[1];
    const size_t count = (size_t)(n * C);
    struct tensors *memory = &trial->tensors;
    const float *x = tensors_random(memory, count, 1, 2.0);
    const float *gain = tensors_random(memory, (size_t)C, 2, 1.5);
    const float *dout = tensors_random(memory, count, 3, 1.0);
    float *again = tensors_nan(memory, count);
    float *out = tensors_nan(memory, count), *rstd = tensors_nan(memory, (size_t)n);
    const float *base = tensors_random(memory, count, 4, 1.0);
    float *dx = tensors_nan(memory, count), *in_place = tensors_copy(memory, base, count);
    float *dgain = tensors_random(memory, (size_t)C, 5, 1.0);
    float *scratch = tensors_nan(memory, kernels_partials_count(n, C));
    const double *x64 = tensors_widen(memory, x, count);
    const double *gain64 = tensors_widen(memory, gain, (size_t)C);
    double *out64 = tensors_zeros_f64(memory, count), *dx64 = tensors_widen(memory, base, count);
    double *dgain64 = tensors_widen(memory, dgain, (size_t)C);

    trial->kernels->rmsnorm_forward(out, rstd, x, gain, n, C, EPS);
    oracle_rmsnorm_forward(out64, x64, gain64, n, C, (double)EPS);
    trial_expect(trial, "out", out, out64, n * C, ERROR_F32);
    trial->kernels->rmsnorm_again(again, x, gain, rstd, n, C);
    assert_true(compare_same_bits(again, out, n * C));
    trial->kernels->rmsnorm_backward(dx, dgain, base, dout, x, gain, rstd, scratch, n, C);
    oracle_rmsnorm_backward(dx64, dgain64, tensors_widen(memory, dout, count), x64, gain64, n, C,
                            (double)EPS);
    trial_expect(trial, "dx", dx, dx64, n * C, ERROR_F32);
    trial_expect(trial, "dgain", dgain, dgain64, C, ERROR_F32);
    trial->kernels->rmsnorm_backward(in_place, dgain, in_place, dout, x, gain, rstd, scratch, n, C);
    assert_true(compare_same_bits(in_place, dx, n * C));
}

static void agrees_with_the_oracle_and_accumulates(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void a_row_of_zeros_gives_zeros(void **state)
{
    (void)state;
    const float x[3] = {0}, gain[3] = {1.0F, 1.0F, 1.0F};
    for (int level = 0; level < kernels_level_count(); level++) {
        float out[3] = {9.0F, 9.0F, 9.0F}, rstd;
        kernels_select(level)->rmsnorm_forward(out, &rstd, x, gain, 1, 3, EPS);
        for (int c = 0; c < 3; c++) {
            assert_true(out[c] == 0.0F);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_oracle_and_accumulates),
                                       cmocka_unit_test(a_row_of_zeros_gives_zeros)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
