#include <attnres/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void text_counts_on_when_it_is_full(void **state)
{
    (void)state;
    char bytes[8];
    struct text text = {.bytes = bytes, .capacity = sizeof bytes};
    text_add(&text, "%s-%d", "abc", 12);
    assert_string_equal(bytes, "abc-12");
    text_add(&text, "xyz");
    text_add(&text, "more");
    assert_string_equal(bytes, "abc-12x");
    assert_int_equal(text.length, 13);
}

static void no_capacity_only_measures(void **state)
{
    (void)state;
    struct text text = {0};
    text_add(&text, "%d", 12345);
    assert_int_equal(text.length, 5);
}

static void a_byte_order_mark_is_three_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_mark_length("\xef\xbb\xbf"
                                      "a",
                                      4),
                     3);
    assert_int_equal(text_mark_length("\xef\xbb\xbf", 2), 0);
    assert_int_equal(text_mark_length("abc", 3), 0);
    assert_int_equal(text_mark_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_counts_on_when_it_is_full),
        cmocka_unit_test(no_capacity_only_measures),
        cmocka_unit_test(a_byte_order_mark_is_three_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
