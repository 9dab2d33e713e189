#include <attnres/error.h>

#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void set_records_kind_and_message_and_returns_false(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(error_set(&err, ERROR_IO, "%s: %d", "file", 7));
    assert_int_equal(err.kind, ERROR_IO);
    assert_string_equal(err.message, "file: 7");
    assert_false(error_set(NULL, ERROR_IO, "nobody listens"));
}

static void add_appends_lines_and_keeps_the_first_kind(void **state)
{
    (void)state;
    struct error err = {0};
    error_add(&err, ERROR_CONFIG, "one");
    error_add(&err, ERROR_IO, "two");
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_string_equal(err.message, "one\ntwo");
}

static void add_stops_at_the_end_of_the_buffer(void **state)
{
    (void)state;
    struct error err = {0};
    for (int i = 0; i < 10000; i++) {
        error_add(&err, ERROR_CONFIG, "line %d", i);
    }
    assert_true(strlen(err.message) < sizeof err.message);
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_records_kind_and_message_and_returns_false),
        cmocka_unit_test(add_appends_lines_and_keeps_the_first_kind),
        cmocka_unit_test(add_stops_at_the_end_of_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
