#include <attnres/metrics.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/file.h>

#include "../support/folder.h"

static char folder[64];
static char path[128];

static int make_folder(void **state)
{
    (void)state;
    const bool ok = folder_make(folder, sizeof folder, "metrics");
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    return !ok;
}

static int remove_folder(void **state)
{
    (void)state;
    return !file_remove_tree(folder, NULL);
}

static void assert_contents(const char *expected)
{
    struct file_bytes f = {0};
    assert_true(file_read(&f, path, 10000, NULL));
    assert_string_equal((const char *)f.bytes, expected);
    file_bytes_finish(&f);
}

/* A line with nothing but its step. */
static struct metrics_line bare_line(int64_t step)
{
    return (struct metrics_line){.step = step,
                                 .loss = NAN,
                                 .grad_norm = NAN,
                                 .lr = NAN,
                                 .tokens = -1,
                                 .flops = NAN,
                                 .time_s = NAN,
                                 .step_s = NAN,
                                 .tokens_per_s = NAN,
                                 .wire_bytes = NAN,
                                 .bubble = NAN,
                                 .val_loss = NAN,
                                 .bits_per_byte = NAN};
}

static void line_holds_the_keys_in_order(void **state)
{
    (void)state;
    struct metrics m = {0};
    const struct metrics_line line = {.step = 10,
                                      .loss = 2.5,
                                      .grad_norm = 0.1,
                                      .lr = 3e-3,
                                      .tokens = 4096,
                                      .flops = 1.5e12,
                                      .time_s = 2.0,
                                      .step_s = 0.25,
                                      .tokens_per_s = 16384.0,
                                      .wire_bytes = 0.0,
                                      .bubble = 0.125,
                                      .val_loss = 1.0 / 3.0,
                                      .bits_per_byte = 0.48089834696298783,
                                      .skipped = true};
    assert_true(metrics_open(&m, path, -1, NULL));
    assert_true(metrics_write(&m, &line, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_contents("{\"step\": 10, \"loss\": 2.5, \"grad_norm\": 0.1, \"lr\": 0.003, "
                    "\"tokens\": 4096, \"flops\": 1500000000000.0, \"time_s\": 2.0, "
                    "\"step_s\": 0.25, \"tokens_per_s\": 16384.0, \"wire_bytes\": 0.0, "
                    "\"bubble\": 0.125, \"val_loss\": 0.3333333333333333, "
                    "\"bits_per_byte\": 0.48089834696298783, \"skipped\": true}\n");
}

static void longest_line_fits(void **state)
{
    (void)state;
    const double longest = -1.2345678901234567e-308;
    const struct metrics_line line = {INT64_MIN, longest, longest, longest, INT64_MAX,
                                      longest,   longest, longest, longest, longest,
                                      longest,   longest, longest, true};
    struct metrics m = {0};
    assert_true(metrics_open(&m, path, -1, NULL));
    assert_true(metrics_write(&m, &line, NULL));
    assert_true(metrics_close(&m, NULL));
}

static void unknown_values_leave_their_keys_out(void **state)
{
    (void)state;
    struct metrics m = {0};
    const struct metrics_line line = bare_line(3);
    assert_true(metrics_open(&m, path, -1, NULL));
    assert_true(metrics_write(&m, &line, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_contents("{\"step\": 3}\n");
}

static void resume_cuts_after_the_step_and_goes_on(void **state)
{
    (void)state;
    struct metrics m = {0};
    const char before[] = "{\"step\": 1, \"loss\": 2.0}\n{\"step\": 10}\n{\"step\": 20}\n";
    const struct metrics_line line = bare_line(15);
    assert_true(file_replace(path, before, strlen(before), NULL));
    assert_true(metrics_open(&m, path, 10, NULL));
    assert_contents("{\"step\": 1, \"loss\": 2.0}\n{\"step\": 10}\n");
    assert_true(metrics_write(&m, &line, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_contents("{\"step\": 1, \"loss\": 2.0}\n{\"step\": 10}\n{\"step\": 15}\n");
}

static void resume_drops_torn_and_foreign_lines(void **state)
{
    (void)state;
    const char *torn[] = {"{\"step\": 2}",
                          "{\"step\": 2, \"lo",
                          "{\"step\": 2, \"lo\n",
                          "\n",
                          "{\"loss\": 1}\n",
                          "{\"step\": \"1\"}\n",
                          "[1]\n",
                          "{\"step\": 1.0}\n"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        struct metrics m = {0};
        char before[100];
        snprintf(before, sizeof before, "{\"step\": 1}\n%s", torn[i]);
        assert_true(file_replace(path, before, strlen(before), NULL));
        assert_true(metrics_open(&m, path, 10, NULL));
        assert_true(metrics_close(&m, NULL));
        assert_contents("{\"step\": 1}\n");
    }
}

static void fresh_start_empties_and_resume_without_a_file_creates(void **state)
{
    (void)state;
    struct metrics m = {0};
    assert_true(metrics_open(&m, path, 5, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_contents("");
    assert_true(file_replace(path, "{\"step\": 1}\n", 12, NULL));
    assert_true(metrics_open(&m, path, -1, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_true(metrics_close(NULL, NULL));
    assert_contents("");
}

static void the_last_whole_line_is_read_back(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct metrics_line line = bare_line(3), last;
    line.val_loss = 0.1;
    line.tokens = 1LL << 60;
    line.skipped = true;
    assert_true(metrics_open(&m, path, -1, NULL));
    assert_true(metrics_write(&m, &(struct metrics_line){.step = 2}, NULL));
    assert_true(metrics_write(&m, &line, NULL));
    assert_true(file_writer_write(&m.file, "{\"step\": 4", 10, NULL));
    assert_true(metrics_close(&m, NULL));
    assert_true(metrics_read_last(&last, path, NULL));
    assert_int_equal(last.step, 3);
    assert_int_equal(last.tokens, 1LL << 60);
    assert_true(last.val_loss == 0.1 && last.skipped && isnan(last.loss) && isnan(last.time_s));
}

static void a_file_without_a_last_line_is_refused(void **state)
{
    (void)state;
    const char *const files[] = {"", "{\"step\": 2}", "{\"step\": 2}\n[1]\n", "{}\n", "\n"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct metrics_line last;
        struct error err = {0};
        assert_true(file_replace(path, files[i], strlen(files[i]), NULL));
        assert_false(metrics_read_last(&last, path, &err));
        assert_int_equal(err.kind, ERROR_DATA);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(line_holds_the_keys_in_order),
        IN_FOLDER(longest_line_fits),
        IN_FOLDER(unknown_values_leave_their_keys_out),
        IN_FOLDER(resume_cuts_after_the_step_and_goes_on),
        IN_FOLDER(resume_drops_torn_and_foreign_lines),
        IN_FOLDER(fresh_start_empties_and_resume_without_a_file_creates),
        IN_FOLDER(the_last_whole_line_is_read_back),
        IN_FOLDER(a_file_without_a_last_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
