#include <attnres/optim.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The formulas of the training semantics are short sums of f64: a few units in the last place. */
static const double TOLERANCE = 1e-12;

static struct optim_config config_of(enum lr_schedule_kind schedule, int64_t warmup_steps)
{
    return (struct optim_config){.lr = 2.0,
                                 .schedule = schedule,
                                 .warmup_steps = warmup_steps,
                                 .min_lr_ratio = 0.1,
                                 .cooldown_ratio = 0.2,
                                 .clip = 1.0};
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) <= TOLERANCE * fabs(b));
}

static void warmup_rises_to_the_peak(void **state)
{
    (void)state;
    const struct optim_config c = config_of(LR_CONSTANT, 10);
    assert_near(optim_lr(&c, 100, 0), 0.2);
    assert_near(optim_lr(&c, 100, 8), 1.8);
    assert_near(optim_lr(&c, 100, 9), 2.0);
    assert_near(optim_lr(&c, 100, 99), 2.0);
}

static void cosine_falls_from_peak_to_the_floor(void **state)
{
    (void)state;
    const struct optim_config c = config_of(LR_COSINE, 10);
    assert_near(optim_lr(&c, 110, 10), 2.0);
    assert_near(optim_lr(&c, 110, 60), 2.0 * (0.1 + 0.9 * 0.5));
    assert_near(optim_lr(&c, 110, 110), 0.2);
    assert_near(optim_lr(&c, 110, 500), 0.2);
}

static void cosine_survives_more_warmup_than_steps(void **state)
{
    (void)state;
    const struct optim_config c = config_of(LR_COSINE, 10);
    assert_near(optim_lr(&c, 10, 9), 2.0);
    assert_near(optim_lr(&c, 5, 4), 1.0);
}

static void wsd_stays_flat_until_the_cooldown(void **state)
{
    (void)state;
    const struct optim_config c = config_of(LR_WSD, 10);
    assert_near(optim_lr(&c, 100, 79), 2.0);
    assert_near(optim_lr(&c, 100, 80), 2.0);
    assert_near(optim_lr(&c, 100, 85), 2.0 * (0.1 + 0.9 * 0.5)); /* sqrt(5 / 20) = 1/2 */
    assert_near(optim_lr(&c, 100, 100), 0.2);
}

static void clipping_follows_pytorch(void **state)
{
    (void)state;
    struct optim_config c = config_of(LR_CONSTANT, 0);
    assert_near(optim_clip_factor(&c, 4.0), 1.0 / (4.0 + 1e-6));
    assert_near(optim_clip_factor(&c, 0.5), 1.0);
    c.clip = 0.0;
    assert_near(optim_clip_factor(&c, 1e9), 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warmup_rises_to_the_peak),
        cmocka_unit_test(cosine_falls_from_peak_to_the_floor),
        cmocka_unit_test(cosine_survives_more_warmup_than_steps),
        cmocka_unit_test(wsd_stays_flat_until_the_cooldown),
        cmocka_unit_test(clipping_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
