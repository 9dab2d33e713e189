#include "../support/compare.h"
#include "../support/oracle.h"
#include "../support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* One exponential, one division, a few products of 6e-8 each. */
static const double ERROR_F32 = 5e-7;

/* n, F */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1}, {7, 3}, {33, 17}, {5, 176}, {65, 113}};

static void run(struct trial *trial)
{
    const int64_t n = trial->size[0], F = trial->size[1];
    const size_t count = (size_t)(n * F);
    struct tensors *memory = &trial->tensors;
    float *gate_up = tensors_random(memory, 2 * count, 1, 8.0); /* then its gradient */
    float *dact = tensors_random(memory, count, 2, 1.0);        /* then act again */
    float *act = tensors_nan(memory, count);
    const double *gate_up64 = tensors_widen(memory, gate_up, 2 * count);
    double *act64 = tensors_zeros_f64(memory, count);
    double *dgate_up64 = tensors_zeros_f64(memory, 2 * count);

    trial->kernels->swiglu_forward(act, gate_up, n, F);
    oracle_swiglu_forward(act64, gate_up64, n, F);
    trial_expect(trial, "act", act, act64, n * F, ERROR_F32);
    oracle_swiglu_backward(dgate_up64, tensors_widen(memory, dact, count), gate_up64, n, F);
    trial->kernels->swiglu_backward(gate_up, dact, n, F);
    trial_expect(trial, "dgate_up", gate_up, dgate_up64, 2 * n * F, ERROR_F32);
    assert_true(compare_same_bits(dact, act, n * F));
}

static void agrees_with_the_oracle(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void large_gates_saturate_without_nan(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        float act[2], dact[2] = {1.0F, 1.0F}, gate_up[4] = {-1e4F, 1e4F, 1.0F, 1.0F};
        kernels_select(level)->swiglu_forward(act, gate_up, 1, 2);
        kernels_select(level)->swiglu_backward(gate_up, dact, 1, 2);
        assert_true(fabsf(act[0]) < 1e-30F && act[1] == 1e4F);
        assert_true(fabsf(gate_up[0]) < 1e-30F && gate_up[1] == 1.0F);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_oracle),
                                       cmocka_unit_test(large_gates_saturate_without_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
