#include <attnres/json.h>

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/rng.h>

static bool parse_text(struct json_document *d, const char *text, struct error *err)
{
    return json_parse(d, text, strlen(text), "test.json", err);
}

static void writer_prints_one_line(void **state)
{
    (void)state;
    char text[200];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    json_text(&w, "name", "a \"b\"\\\n\x01");
    json_int(&w, "least", INT64_MIN);
    json_number(&w, "rate", 3e-3);
    json_number(&w, "absent", NAN);
    json_number_or_null(&w, "unknown", NAN);
    json_begin_array(&w, "list");
    json_bool(&w, NULL, true);
    json_number(&w, NULL, INFINITY);
    json_number(&w, NULL, -0.0);
    json_end_array(&w);
    json_begin_object(&w, "empty");
    json_end_object(&w);
    assert_false(json_writer_ok(&w));
    json_end_object(&w);
    assert_true(json_writer_ok(&w));
    assert_string_equal(text,
                        "{\"name\": \"a \\\"b\\\"\\\\\\n\\u0001\", "
                        "\"least\": -9223372036854775808, \"rate\": 0.003, \"unknown\": null, "
                        "\"list\": [true, null, -0.0], \"empty\": {}}");
}

static void check_round_trip(double value)
{
    char text[64];
    struct json_writer w;
    struct json_document d;
    double read = 0.0;
    json_writer_init(&w, text, sizeof text);
    json_begin_array(&w, NULL);
    json_number(&w, NULL, value);
    json_end_array(&w);
    assert_true(json_writer_ok(&w));
    assert_true(parse_text(&d, text, NULL));
    assert_true(json_as_real(json_at(d.root, 0), &read));
    assert_memory_equal(&read, &value, sizeof value);
    json_document_finish(&d);
}

static void numbers_read_back_with_the_same_bits(void **state)
{
    (void)state;
    const double values[] = {0.0,     -0.0,    1.0,  0.1,          1.0 / 3.0,
                             DBL_MAX, DBL_MIN, 1e22, DBL_TRUE_MIN, 9007199254740993.0,
                             1e15,    -1e300};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        check_round_trip(values[i]);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        const uint64_t bits = rng_at(1, i);
        double value = 0.0;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            check_round_trip(value);
        }
    }
}

static void writer_remembers_running_out_of_room(void **state)
{
    (void)state;
    char text[16];
    memset(text, 'x', sizeof text);
    struct json_writer w;
    json_writer_init(&w, text, 8);
    json_begin_array(&w, NULL);
    json_text(&w, NULL, "too long for it");
    json_end_array(&w);
    assert_false(json_writer_ok(&w));
    assert_true(strlen(text) < 8);
    assert_int_equal(text[8], 'x');
}

static void writer_fills_its_room_to_the_last_byte(void **state)
{
    (void)state;
    char text[5];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text);
    json_bool(&w, NULL, true);
    assert_true(json_writer_ok(&w));
    assert_string_equal(text, "true");
}

static void writer_replaces_what_is_no_utf8(void **state)
{
    (void)state;
    const char *texts[][2] = {
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[64];
        struct json_writer w;
        struct json_document d;
        json_writer_init(&w, text, sizeof text);
        json_begin_array(&w, NULL);
        json_text(&w, NULL, texts[i][0]);
        json_end_array(&w);
        assert_true(parse_text(&d, text, NULL));
        assert_string_equal(json_as_text(json_at(d.root, 0)), texts[i][1]);
        json_document_finish(&d);
    }
}

static void reader_gives_members_in_file_order(void **state)
{
    (void)state;
    struct json_document d;
    const struct json_value *value = NULL;
    assert_true(parse_text(&d, "{\"z\": 1, \"a\": [2, 3], \"m\": {\"k\": \"v\"}}", NULL));
    assert_int_equal(json_count(d.root), 3);
    const char *key = json_next(d.root, NULL, &value);
    assert_string_equal(key, "z");
    key = json_next(d.root, key, &value);
    assert_string_equal(key, "a");
    assert_int_equal(json_count(value), 2);
    key = json_next(d.root, key, &value);
    assert_string_equal(key, "m");
    assert_string_equal(json_as_text(json_get(value, "k")), "v");
    assert_null(json_next(d.root, key, &value));
    assert_null(json_next(json_get(d.root, "a"), NULL, &value));
    assert_null(json_next(NULL, NULL, &value));
    json_document_finish(&d);
    json_document_finish(&d);
}

static void values_of_another_kind_are_refused_not_converted(void **state)
{
    (void)state;
    struct json_document d;
    int64_t whole = 7;
    double number = 7.0;
    bool flag = true;
    assert_true(parse_text(&d, "[1, 2.5, true, \"text\", null]", NULL));
    assert_true(json_as_int(json_at(d.root, 0), &whole) && whole == 1);
    assert_false(json_as_int(json_at(d.root, 1), &whole));
    assert_true(json_as_real(json_at(d.root, 0), &number) && number == 1.0);
    assert_true(json_as_real(json_at(d.root, 1), &number) && number == 2.5);
    assert_false(json_as_real(json_at(d.root, 3), &number));
    assert_false(json_as_bool(json_at(d.root, 0), &flag));
    assert_true(json_as_bool(json_at(d.root, 2), &flag) && flag);
    assert_null(json_as_text(json_at(d.root, 4)));
    assert_null(json_at(d.root, 5));
    assert_null(json_get(d.root, "key"));
    assert_null(json_get(NULL, "key"));
    assert_null(json_at(NULL, 0));
    assert_int_equal(json_count(NULL), 0);
    assert_int_equal(json_count(json_at(d.root, 3)), 0);
    assert_false(json_as_int(NULL, &whole));
    json_document_finish(&d);
}

static void damaged_texts_are_refused_with_their_place(void **state)
{
    (void)state;
    const char *texts[] = {"",
                           "{",
                           "[1,]",
                           "{\"a\": 1, \"a\": 2}",
                           "[1] garbage",
                           "[\"\xFF\"]",
                           "[1e999]",
                           "[99999999999999999999]",
                           "[\"\x1B[2J\"]",
                           "7",
                           "[\"\\u0000\"]",
                           "[NaN]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json_document d = {0};
        struct error err = {0};
        assert_false(parse_text(&d, texts[i], &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_ptr_equal(strstr(err.message, "test.json:"), err.message);
        assert_null(strchr(err.message, '\x1B'));
        assert_null(d.root);
    }
}

static void depth_and_number_of_values_are_bounded(void **state)
{
    (void)state;
    struct json_document d = {0};
    struct error err = {0};
    char nested[67] = {0};
    memset(nested, '[', 32);
    memset(nested + 32, ']', 32);
    assert_true(parse_text(&d, nested, NULL));
    json_document_finish(&d);
    memset(nested, '[', 33);
    memset(nested + 33, ']', 33);
    assert_false(parse_text(&d, nested, &err));
    assert_non_null(strstr(err.message, "33 levels"));
    assert_true(parse_text(&d, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"]", NULL));
    json_document_finish(&d);
    const size_t length = (size_t)3 << 20;
    char *many = malloc(length);
    assert_non_null(many);
    memset(many, ',', length);
    assert_false(json_parse(&d, many, length, "many", &err));
    assert_non_null(strstr(err.message, "values"));
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_prints_one_line),
        cmocka_unit_test(numbers_read_back_with_the_same_bits),
        cmocka_unit_test(writer_remembers_running_out_of_room),
        cmocka_unit_test(writer_fills_its_room_to_the_last_byte),
        cmocka_unit_test(writer_replaces_what_is_no_utf8),
        cmocka_unit_test(reader_gives_members_in_file_order),
        cmocka_unit_test(values_of_another_kind_are_refused_not_converted),
        cmocka_unit_test(damaged_texts_are_refused_with_their_place),
        cmocka_unit_test(depth_and_number_of_values_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
