#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Two products and a sum per element, angles rounded from f64. */
static const double ERROR_F32 = 2e-7;

/* B, T, H, KV, D, first position */
static const int64_t SIZES[][TRIAL_SIZES] = {
    {1, 1, 1, 1, 2, 0}, {2, 7, 3, 1, 6, 0}, {1, 65, 2, 2, 32, 0}, {1, 1, 4, 2, 16, 41}};

static void run(struct trial *trial)
{
    const int64_t *s = trial->size, T = s[1], D = s[4], first = s[5];
    const struct attention_shape shape = {s[0], T, s[2], s[3], D};
    const int64_t count = s[0] * T * (s[2] + 2 * s[3]) * D;
    struct tensors *memory = &trial->tensors;
    float *cos_sin = tensors_nan(memory, (size_t)((T + first) * D));
    kernels_rope_table(cos_sin, T + first, D);
    float *qkv = tensors_random(memory, (size_t)count, 1, 1.0);
    float *dqkv = tensors_random(memory, (size_t)count, 2, 1.0);
    double *qkv64 = tensors_widen(memory, qkv, (size_t)count);
    double *dqkv64 = tensors_widen(memory, dqkv, (size_t)count);

    trial->kernels->rope_forward(qkv, cos_sin, &shape, first);
    oracle_rope_forward(qkv64, &shape, first);
    trial_expect(trial, "qkv", qkv, qkv64, count, ERROR_F32);
    trial->kernels->rope_backward(dqkv, cos_sin, &shape);
    oracle_rope_backward(dqkv64, &shape);
    trial_expect(trial, "dqkv", dqkv, dqkv64, count, ERROR_F32);
}

static void queries_and_keys_turn_and_values_do_not(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(queries_and_keys_turn_and_values_do_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
