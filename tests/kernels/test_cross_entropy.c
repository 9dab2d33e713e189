#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* An exponential each and a sum over V in lanes. */
static const double ERROR_F32 = 5e-7;
static const float SCALE = 0.125F;

/* n, V */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1}, {7, 3}, {33, 17}, {65, 256}, {3, 1009}};

static void run(struct trial *trial)
{
    const int64_t n = trial->size[0], V = trial->size[1];
    const size_t count = (size_t)(n * V);
    struct tensors *memory = &trial->tensors;
    float *logits = tensors_random(memory, count, 1, 20.0);
    const float *before = tensors_copy(memory, logits, count);
    int32_t *targets = tensors_random_tokens(memory, (size_t)n, 2, (int32_t)V);
    float *losses = tensors_nan(memory, (size_t)n), *again = tensors_nan(memory, (size_t)n);
    const double *logits64 = tensors_widen(memory, logits, count);
    double *losses64 = tensors_zeros_f64(memory, (size_t)n);
    double *dlogits64 = tensors_zeros_f64(memory, count);
    targets[n / 2] = n > 1 ? -1 : targets[0];

    oracle_cross_entropy(losses64, dlogits64, logits64, targets, (double)SCALE, n, V);
    trial->kernels->cross_entropy(again, NULL, logits, targets, 0.0F, n, V);
    assert_memory_equal(logits, before, count * sizeof *logits);
    trial->kernels->cross_entropy(losses, NULL, logits, targets, SCALE, n, V);
    assert_memory_equal(losses, again, (size_t)n * sizeof *losses);
    trial_expect(trial, "losses", losses, losses64, n, ERROR_F32);
    trial_expect(trial, "dlogits", logits, dlogits64, n * V, ERROR_F32);
}

static void agrees_with_the_oracle_and_scale_zero_leaves_the_logits(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void best_is_the_lowest_index_of_equals(void **state)
{
    (void)state;
    float logits[8] = {0.0F, 3.0F, 3.0F, 1.0F, -2.0F, -3.0F, -2.0F, -2.0F};
    const int32_t targets[2] = {1, -1};
    for (int level = 0; level < kernels_level_count(); level++) {
        float losses[2];
        int32_t best[2] = {-1, -1};
        kernels_select(level)->cross_entropy(losses, best, logits, targets, 0.0F, 2, 4);
        assert_int_equal(best[0], 1);
        assert_int_equal(best[1], 0);
        assert_true(losses[1] == 0.0F);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_and_scale_zero_leaves_the_logits),
        cmocka_unit_test(best_is_the_lowest_index_of_equals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
