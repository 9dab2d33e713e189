#include <attnres/clock.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void monotonic_time_passes_while_sleeping(void **state)
{
    (void)state;
    const double start_s = clock_monotonic_s();
    clock_sleep_s(0.01);
    const double passed_s = clock_monotonic_s() - start_s;
    assert_true(passed_s >= 0.009 && passed_s < 5.0);
    clock_sleep_s(0.0);
    clock_sleep_s(-1.0);
    clock_sleep_s(NAN);
}

static void wall_time_is_the_system_s(void **state)
{
    (void)state;
    assert_true(fabs(clock_wall_s() - (double)time(NULL)) < 2.0);
}

static void format_utc_agrees_with_the_c_library(void **state)
{
    (void)state;
    /* Ends of months and of leap years lie within a step of 86399 s times 37. */
    for (int64_t s = 0; s < INT64_C(8000000000); s += 86399 * 37) {
        const time_t seconds = (time_t)s;
        struct tm parts;
        char expected[32], text[21];
        assert_non_null(gmtime_r(&seconds, &parts));
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
        clock_format_utc((double)s + 0.5, text);
        assert_string_equal(text, expected);
    }
}

static void format_utc_knows_leap_days_and_bounds(void **state)
{
    (void)state;
    char text[21];
    clock_format_utc(951782400.0, text);
    assert_string_equal(text, "2000-02-29T00:00:00Z");
    clock_format_utc(4107542399.0, text);
    assert_string_equal(text, "2100-02-28T23:59:59Z");
    clock_format_utc(4107542400.0, text);
    assert_string_equal(text, "2100-03-01T00:00:00Z");
    clock_format_utc(-5.0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    clock_format_utc(INFINITY, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static void format_duration_has_hours_where_there_are_some(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } CASES[] = {
        {0.0, "0:00"},         {59.6, "1:00"}, {3599.4, "59:59"}, {3599.6, "1:00:00"},
        {90061.0, "25:01:01"}, {-3.0, "0:00"}, {NAN, "0:00"},     {INFINITY, "277777:46:40"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[CLOCK_DURATION_BYTES];
        clock_format_duration(CASES[i].seconds, text);
        assert_string_equal(text, CASES[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_passes_while_sleeping),
        cmocka_unit_test(wall_time_is_the_system_s),
        cmocka_unit_test(format_utc_agrees_with_the_c_library),
        cmocka_unit_test(format_utc_knows_leap_days_and_bounds),
        cmocka_unit_test(format_duration_has_hours_where_there_are_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
