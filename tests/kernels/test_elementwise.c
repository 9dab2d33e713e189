#include "../support/compare.h"
#include "../support/oracle.h"
#include "../support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

/* One rounding; sums of squares are f64 and lose only the order. */
static const double ONE_ROUNDING = 6e-8, ERROR_F64 = 1e-13;
/* Twenty updates of a few roundings; 1 - beta is rounded once in f32. */
static const double ADAMW_ERROR = 2e-6;

/* count: one, odd, one past a tile of elements, one past a chunk */
static const int64_t SIZES[][TRIAL_SIZES] = {{1}, {15}, {17}, {16385}, {131073}};

static void run_add(struct trial *trial)
{
    const int64_t count = trial->size[0];
    struct tensors *memory = &trial->tensors;
    float *a = tensors_random(memory, (size_t)count, 1, 1.0);
    const float *b = tensors_random(memory, (size_t)count, 2, 1.0);
    float *out = tensors_nan(memory, (size_t)count);
    double *sum = tensors_widen(memory, a, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        sum[i] += (double)b[i];
    }
    trial->kernels->add(out, a, b, count);
    trial_expect(trial, "out", out, sum, count, ONE_ROUNDING);
    trial->kernels->add(a, a, b, count);
    assert_true(compare_same_bits(a, out, (size_t)count));
}

static void run_sum_squares(struct trial *trial)
{
    const int64_t count = trial->size[0];
    struct tensors *memory = &trial->tensors;
    const float *x = tensors_random(memory, (size_t)count, 1, 1.0);
    double *partials = tensors_zeros_f64(memory, kernels_chunk_count(count));
    const double sum = trial->kernels->sum_squares(x, partials, count);
    const double expected = oracle_sum_squares(tensors_widen(memory, x, (size_t)count), count);
    assert_true(fabs(sum - expected) <= ERROR_F64 * expected);
    trial_output(trial, &sum, sizeof sum);
}

static struct adamw_step step_of(const struct oracle_adamw *adamw)
{
    const double correction1 = 1.0 - pow(adamw->beta1, (double)adamw->step);
    const double correction2 = 1.0 - pow(adamw->beta2, (double)adamw->step);
    return (struct adamw_step){.lr = (float)adamw->lr,
                               .beta2 = (float)adamw->beta2,
                               .eps = (float)adamw->eps,
                               .new1 = (float)(1.0 - adamw->beta1),
                               .new2 = (float)(1.0 - adamw->beta2),
                               .weight_decay = (float)adamw->weight_decay,
                               .correction1 = (float)correction1,
                               .correction2_root = (float)sqrt(correction2),
                               .gradient_scale = (float)adamw->gradient_scale};
}

static void run_adamw(struct trial *trial)
{
    const int64_t count = trial->size[0];
    const size_t size = (size_t)count;
    struct tensors *memory = &trial->tensors;
    float *p = tensors_random(memory, size, 1, 0.1), *m = tensors_random(memory, size, 2, 0.0);
    float *v = tensors_random(memory, size, 3, 0.0);
    double *p64 = tensors_widen(memory, p, size), *m64 = tensors_widen(memory, m, size);
    double *v64 = tensors_widen(memory, v, size);
    for (int64_t step = 1; step <= 20; step++) {
        const double beta2 = step <= 10 ? 0.95 : 0.999999; /* 1 - beta2 is lost in f32 */
        const struct oracle_adamw adamw = {3e-3, 0.9, beta2, 1e-8, 0.1, 0.5, step};
        const struct adamw_step narrow = step_of(&adamw);
        const float *g = tensors_random(memory, size, (uint64_t)(100 + step), 1.0);
        trial->kernels->adamw(p, m, v, g, &narrow, count);
        oracle_adamw(p64, m64, v64, tensors_widen(memory, g, size), &adamw, count);
    }
    trial_expect(trial, "p", p, p64, count, ADAMW_ERROR);
    trial_expect(trial, "exp_avg", m, m64, count, ADAMW_ERROR);
    trial_expect(trial, "exp_avg_sq", v, v64, count, ADAMW_ERROR);
}

static void add_agrees_and_may_be_in_place(void **state)
{
    (void)state;
    trial_each(run_add, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

/* The definition of the roundings on bits that the reader can check by hand. */
static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    /* 1 + 2^-8 lies between 1 and 1 + 2^-7: to even; 1 + 3 2^-8 likewise, upwards. */
    static const float IN[] = {0.0F,   -0.0F,        1.0F,    1.00390625F, 1.01171875F,
                               1.005F, -3.14159265F, 3.4e38F, INFINITY};
    static const float OUT[] = {0.0F,       -0.0F,      1.0F,     1.0F,    1.015625F,
                                1.0078125F, -3.140625F, INFINITY, INFINITY};
    for (int level = 0; level < kernels_level_count(); level++) {
        float x[9], nan = NAN;
        memcpy(x, IN, sizeof x);
        kernels_select(level)->round_bf16(x, 9);
        assert_memory_equal(x, OUT, sizeof x);
        kernels_select(level)->round_bf16(&nan, 1);
        assert_true(isnan(nan));
    }
}

/* What is kept of a rounded number is its upper half. */
static void to_bf16_keeps_the_upper_half_of_the_rounded(void **state)
{
    (void)state;
    enum { COUNT = 70001 };
    for (int level = 0; level < kernels_level_count(); level++) {
        struct tensors memory = {0};
        float *x = tensors_random(&memory, COUNT, 3, 10.0);
        uint16_t *kept = (uint16_t *)(void *)tensors_nan(&memory, COUNT);
        x[1] = NAN;
        kernels_select(level)->to_bf16(kept, x, COUNT);
        kernels_select(level)->round_bf16(x, COUNT);
        for (int i = 0; i < COUNT; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            assert_int_equal((uint32_t)kept[i] << 16, bits);
        }
        tensors_finish(&memory);
    }
}

/* C: one, odd, past the pieces that a row is narrowed in. */
static void rows_to_bf16_narrows_each_row_in_its_place(void **state)
{
    (void)state;
    static const int64_t WIDTHS[] = {1, 17, 256, 613};
    enum { N = 5 };
    for (int i = 0; i < 4 * kernels_level_count(); i++) {
        const struct kernels *kernels = kernels_select(i / 4);
        const int64_t C = WIDTHS[i % 4];
        struct tensors memory = {0};
        float *x = tensors_random(&memory, (size_t)(N * C), 3, 10.0);
        uint16_t *expected = (uint16_t *)(void *)tensors_nan(&memory, (size_t)(N * C));
        kernels->to_bf16(expected, x, N * C);
        kernels->rows_to_bf16(x, N, C);
        for (int64_t t = 0; t < N; t++) {
            assert_memory_equal(x + t * C, expected + t * C, (size_t)C * sizeof *expected);
        }
        tensors_finish(&memory);
    }
}

static void int8_keeps_a_scale_per_token(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        float v[] = {254.0F, -1.0F, 3.1F, 0x1p-120F, 0x1p-110F, 0.0F,
                     NAN,    1.0F,  2.0F, 1.0F,      INFINITY,  0.0F};
        float scales[4];
        kernels_select(level)->round_int8(v, scales, 4, 3);
        /* scale 2: -1 / 2 = -0.5 and 3.1 / 2 = 1.55, ties to even */
        assert_true(scales[0] == 2.0F && v[0] == 254.0F && v[1] == 0.0F && v[2] == 4.0F);
        assert_true(scales[1] == 0.0F && v[3] == 0.0F && v[4] == 0.0F && v[5] == 0.0F);
        for (int i = 6; i < 12; i++) {
            assert_true(isnan(v[i]));
        }
    }
}

static void rounding_twice_changes_nothing_in_bf16(void **state)
{
    (void)state;
    enum { COUNT = 70001 };
    struct tensors memory = {0};
    float *x = tensors_random(&memory, COUNT, 3, 10.0), *y = tensors_nan(&memory, COUNT);
    const struct kernels *kernels = kernels_select(kernels_level_count() - 1);
    kernels->round_bf16(x, COUNT);
    memcpy(y, x, COUNT * sizeof *x);
    kernels->round_bf16(y, COUNT);
    assert_true(compare_same_bits(x, y, COUNT));
    tensors_finish(&memory);
}

static void sum_squares_agrees(void **state)
{
    (void)state;
    trial_each(run_sum_squares, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void adamw_follows_the_oracle_for_twenty_steps(void **state)
{
    (void)state;
    trial_each(run_adamw, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_agrees_and_may_be_in_place),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(to_bf16_keeps_the_upper_half_of_the_rounded),
        cmocka_unit_test(rows_to_bf16_narrows_each_row_in_its_place),
        cmocka_unit_test(int8_keeps_a_scale_per_token),
        cmocka_unit_test(rounding_twice_changes_nothing_in_bf16),
        cmocka_unit_test(sum_squares_agrees),
        cmocka_unit_test(adamw_follows_the_oracle_for_twenty_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
