/* Points of files: read, refused, and left out. */
#include <attnres/fit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../support/fitting.h"

static void forged_points_are_refused_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } FORGED[] = {
        {"kind,compute\nblock,1\n", "forged:2: no loss"},
        {"compute,loss\n1,2\n", "forged:2: no kind"},
        {"kind,compute,loss,speed\n", "forged:1: speed: a point has kind, compute, loss, size, "
                                      "seed, tokens, time"},
        {"kind,compute,loss,loss\n", "forged:1: loss stands there twice"},
        {"kind,compute,loss\nblock,1\n", "forged:2: expected 3 values, as there are names above"},
        {"kind,compute,loss\nblock,1,2,3\n",
         "forged:2: expected 3 values, as there are names above"},
        {"kind,compute,loss\nblock,1,nan\n",
         "forged:2: loss: expected a number from 1e-100 to 1e100"},
        {"kind,compute,loss\nblock,0x1p4,2\n",
         "forged:2: compute: expected a number from 1e-100 to 1e100"},
        {"kind,compute,loss\n\n# note\nblock,-1,2\n",
         "forged:4: compute: expected a number from 1e-100 to 1e100"},
        {"kind,compute,loss,seed\nblock,1,2,1.5\n",
         "forged:2: seed: expected a whole number from 0 to 1e15"},
        {"kind,compute,loss,size\nblock,1,2,1e16\n",
         "forged:2: size: expected a whole number from 1 to 1e15"},
        {"kind,compute,loss\nblock block,1,2\n",
         "forged:2: kind: expected a word of 1 to 31 characters"},
        {"{\"kind\": \"block\", \"compute\": 1, \"loss\": \"2\"}\n",
         "forged:1: loss: expected a number from 1e-100 to 1e100"},
        {"{\"kind\": 1, \"compute\": 1, \"loss\": 2}\n",
         "forged:1: kind: expected a word of 1 to 31 characters"},
        {"{\"kind\": \"block\", \"compute\": 1, \"loss\": 2}\n[]\n", "forged:2: no kind"},
    };
    for (size_t i = 0; i < sizeof FORGED / sizeof FORGED[0]; i++) {
        struct fit_points points = {0};
        struct error err = {0};
        assert_false(
            fit_points_parse(&points, "forged", FORGED[i].text, strlen(FORGED[i].text), &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_string_equal(err.message, FORGED[i].message);
        fit_points_finish(&points);
    }
}

static void a_byte_order_mark_and_quotes_are_passed_over(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "\xef\xbb\xbfkind,compute,loss\na,1,2\nb,2,1\n",
        "\"kind\",\"compute\" , \"loss\"\r\n\"a\",1,\"2\"\r\n\"b\",2,1\r\n",
        ("\xef\xbb\xbf{\"kind\": \"a\", \"compute\": 1, \"loss\": 2}\n"
         "{\"kind\": \"b\", \"compute\": 2, \"loss\": 1}\n"),
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct fit_points points = {0};
        fitting_parse(&points, TEXTS[i]);
        assert_int_equal(points.n, 2);
        assert_string_equal(points.kinds[0], "a");
        assert_string_equal(points.kinds[1], "b");
        assert_true(points.rows[0].loss == 2.0 && points.rows[1].loss == 1.0);
        fit_points_finish(&points);
    }
}

/* Tokens of 100 and 104, and of 104 and 108, are the same: one of 108 begins no cell of its own. */
static void points_of_one_kind_size_tokens_and_seed_are_all_left_out(void **state)
{
    (void)state;
    struct fit_points points = {0};
    fitting_parse(&points, "kind,size,tokens,compute,loss,seed\n"
                           "a,1,100,1,2.0,1\na,1,104,1,2.1,1\na,1,108,1,2.2,1\n"
                           "a,1,100,1,2.3,2\nb,1,100,1,2.4,1\na,2,100,1,2.5,1\na,1,114,1,2.6,1\n"
                           "c,1,100,1,2.7,1\nc,1,100,1,2.7,1\n");
    static const double KEPT[] = {2.4, 2.3, 2.6, 2.5};
    assert_int_equal(points.n, 4);
    for (int i = 0; i < points.n; i++) {
        assert_true(points.rows[i].loss == KEPT[i]);
    }
    assert_int_equal(points.n_kinds, 2);
    char text[512] = "";
    struct text t = {text, sizeof text, 0};
    fit_tell_left_out(&t, &points);
    assert_string_equal(text,
                        "5 of 9 runs are left out:\n"
                        "  5 runs: another is of the same kind, size, tokens and seed; give only "
                        "the one that shall count or, of a file's points, their seeds:\n"
                        "    points (line 2), points (line 3), points (line 4), points (line 9) "
                        "and 1 more\n");
    fit_points_finish(&points);
}

/* The cell that the third kind begins would end between 97 and 101. */
static void twins_do_not_depend_on_a_third_kind(void **state)
{
    (void)state;
    struct fit_points points = {0};
    fitting_parse(&points, "kind,size,tokens,compute,loss\nfull,1,95,1,2.0\n"
                           "standard,1,97,1,2.0\nstandard,1,101,1,2.0\n");
    assert_int_equal(points.n, 1);
    assert_string_equal(points.kinds[points.rows[0].kind], "full");
    fit_points_finish(&points);
}

static void without_a_point_that_counts_there_is_no_order(void **state)
{
    (void)state;
    static const char TWINS[] = "kind,compute,loss\na,1,2\na,1,3\n";
    struct fit_points points = {0};
    struct error err = {0};
    assert_true(fit_points_parse(&points, "twins", TWINS, strlen(TWINS), &err));
    assert_false(fit_points_arrange(&points, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_string_equal(err.message, "no finished run is left to fit");
    assert_int_equal(points.n_left_out, 2);
    fit_points_finish(&points);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    struct fit_points points = {0};
    struct error err = {0};
    char line[5000];
    memset(line, '#', sizeof line);
    assert_false(fit_points_parse(&points, "forged", line, sizeof line, &err));
    assert_string_equal(err.message, "forged:1: not a line of text of less than 4096 bytes");
    assert_false(fit_points_parse(&points, "forged", "kind\n\0,\n", 8, &err));
    assert_string_equal(err.message, "forged:2: not a line of text of less than 4096 bytes");
    fit_points_finish(&points);
}

static void more_points_or_kinds_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct fit_points points = {0};
    struct error err = {0};
    char line[128];
    for (int i = 0; i < FIT_MAX_KINDS; i++) {
        snprintf(line, sizeof line, "kind,compute,loss\nkind%d,1,1\n", i);
        assert_true(fit_points_parse(&points, "many", line, strlen(line), &err));
    }
    assert_false(fit_points_parse(&points, "many", "kind,compute,loss\nlast,1,1", 26, &err));
    assert_string_equal(err.message, "many:2: last is one kind too many, at most 16 are compared");
    while (points.n < FIT_MAX_POINTS) {
        assert_true(fit_points_parse(&points, "many", line, strlen(line), &err));
    }
    assert_false(fit_points_parse(&points, "many", line, strlen(line), &err));
    assert_string_equal(err.message, "many:2: one point too many, at most 16384 are read");
    fit_points_finish(&points);
}

static void json_and_csv_say_the_same(void **state)
{
    (void)state;
    struct fit_points csv = {0}, json = {0};
    fitting_parse(&csv, "kind, loss ,compute,seed,time,size,tokens\r\nblock,1.5,2e9,7,,100,\r\n");
    fitting_parse(
        &json,
        "{\"size\": 100, \"seed\": 7, \"loss\": 1.5, \"compute\": 2e9, \"kind\": \"block\"}");
    const struct fit_point *a = csv.rows, *b = json.rows;
    assert_true(csv.n == 1 && json.n == 1);
    assert_true(a->size == b->size && a->seed == b->seed && a->loss == b->loss);
    assert_memory_equal(a->spent, b->spent, sizeof a->spent);
    assert_true(b->spent[FIT_FLOPS] == 2e9 && b->spent[FIT_TIME] == 0.0);
    fit_points_finish(&csv);
    fit_points_finish(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_and_csv_say_the_same),
        cmocka_unit_test(a_byte_order_mark_and_quotes_are_passed_over),
        cmocka_unit_test(forged_points_are_refused_with_file_and_line),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(more_points_or_kinds_than_there_is_room_for_are_refused),
        cmocka_unit_test(points_of_one_kind_size_tokens_and_seed_are_all_left_out),
        cmocka_unit_test(twins_do_not_depend_on_a_third_kind),
        cmocka_unit_test(without_a_point_that_counts_there_is_no_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
