#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Copies are exact; a row of the gradient sums a few hundred tokens in f32. */
static const double EXACT = 1e-30, SUM_ERROR = 1e-6;

/* n, C, V */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1, 1}, {7, 3, 5}, {33, 17, 4}, {129, 64, 31}};

static void run(struct trial *trial)
{
    const int64_t n = trial->size[0], C = trial->size[1], V = trial->size[2];
    struct tensors *memory = &trial->tensors;
    const int32_t *tokens = tensors_random_tokens(memory, (size_t)n, 1, (int32_t)V);
    const float *table = tensors_random(memory, (size_t)(V * C), 2, 1.0);
    const float *dx = tensors_random(memory, (size_t)(n * C), 3, 1.0);
    float *x = tensors_nan(memory, (size_t)(n * C));
    float *dtable = tensors_random(memory, (size_t)(V * C), 4, 1.0);
    double *x64 = tensors_zeros_f64(memory, (size_t)(n * C));
    double *dtable64 = tensors_widen(memory, dtable, (size_t)(V * C));

    trial->kernels->embed_forward(x, table, tokens, n, C);
    oracle_embed_forward(x64, tensors_widen(memory, table, (size_t)(V * C)), tokens, n, C);
    trial_expect(trial, "x", x, x64, n * C, EXACT);
    trial->kernels->embed_backward(dtable, dx, tokens, n, C);
    oracle_embed_backward(dtable64, tensors_widen(memory, dx, (size_t)(n * C)), tokens, n, C);
    trial_expect(trial, "dtable", dtable, dtable64, V * C, SUM_ERROR);
}

static void rows_are_looked_up_and_gradients_accumulate(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_looked_up_and_gradients_accumulate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
