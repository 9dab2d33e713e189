#include "../../src/kernels/exponential.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* What exponential.h promises. Every 997th float is tried: a prime, so that all exponents and all
 * kinds of mantissas come up. */
static const double EXP_ERROR = 2e-7, LOG_ERROR = 1e-7;
enum { STRIDE = 997 };

static void exponential_keeps_its_stated_error(void **state)
{
    (void)state;
    double worst = 0.0;
    for (union float_bits x = {.f = 0x1p-60F}; x.f < 88.0F; x.i += STRIDE) {
        worst = fmax(worst, fabs((double)exponential(x.f) / exp((double)x.f) - 1.0));
        if (x.f < 87.3F) {
            worst = fmax(worst, fabs((double)exponential(-x.f) / exp(-(double)x.f) - 1.0));
        }
    }
    print_message("largest relative error of exponential: %.3g\n", worst);
    assert_true(worst < EXP_ERROR);
}

static void exponential_at_the_ends(void **state)
{
    (void)state;
    assert_true(exponential(0.0F) == 1.0F && exponential(-0.0F) == 1.0F);
    assert_true(exponential(-88.0F) == 0.0F && exponential(-INFINITY) == 0.0F);
    assert_true(isfinite(exponential(INFINITY)) && exponential(INFINITY) > 1e38F);
    assert_true(isnan(exponential(NAN)));
}

static void logarithm_keeps_its_stated_error(void **state)
{
    (void)state;
    double worst = 0.0;
    for (union float_bits x = {.f = FLT_MIN}; x.f < FLT_MAX / 2.0F; x.i += STRIDE) {
        const double exact = log((double)x.f);
        worst = fmax(worst, fabs((double)logarithm(x.f) - exact) / fmax(fabs(exact), 1.0));
    }
    print_message("largest error of logarithm: %.3g\n", worst);
    assert_true(worst < LOG_ERROR);
}

static void logarithm_at_the_ends(void **state)
{
    (void)state;
    assert_true(logarithm(1.0F) == 0.0F);
    assert_true(isnan(logarithm(NAN)) && isnan(logarithm(-NAN)) && isnan(logarithm(INFINITY)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_keeps_its_stated_error),
        cmocka_unit_test(exponential_at_the_ends),
        cmocka_unit_test(logarithm_keeps_its_stated_error),
        cmocka_unit_test(logarithm_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
