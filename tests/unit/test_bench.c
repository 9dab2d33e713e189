#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/bench.h>
#include <attnres/json.h>

#include "../support/sample.h"

enum { TEXT_BYTES = 1 << 16, N_PRODUCTS = 15 };

static void run(struct bench_result *result, const char *kind)
{
    const char *const overrides[] = {
        kind,          "model.layers=2",   "model.dim=16",      "model.heads=2", "model.kv_heads=1",
        "model.ff=24", "model.seq_len=20", "batch.microbatch=2"};
    struct config config;
    struct error err = {0};
    assert_true(config_load(&config, NULL, 8, overrides, &err));
    kernels_set_threads(1);
    assert_true(bench_run(result, &config, kernels_select(0), 1, &err));
}

static void every_kernel_is_measured_once(void **state)
{
    (void)state;
    struct bench_result result;
    if (!sample_takes(3)) {
        return; /* not under valgrind, which has the kernels' own tests */
    }
    run(&result, "model.kind=block_full");
    assert_true(result.product_rate > 0.0 && result.memory_rate > 0.0);
    assert_true(result.n_rows > N_PRODUCTS && result.n_rows <= BENCH_MAX_ROWS);
    for (int i = 0; i < result.n_rows; i++) {
        const struct bench_row *row = &result.rows[i];
        assert_true(row->seconds > 0.0 && row->bytes > 0.0 && row->share > 0.0);
        for (int other = 0; other < i; other++) {
            assert_string_not_equal(row->name, result.rows[other].name);
        }
    }
    /* q, k, v: 40 tokens, 16 to 32 */
    assert_string_equal(result.rows[0].name, "q, k, v forward");
    assert_true(result.rows[0].flops == 2.0 * 40 * 16 * 32);
}

static void the_standard_residual_has_no_reads(void **state)
{
    (void)state;
    struct bench_result result, block;
    if (!sample_takes(1)) {
        return; /* the case before this one has run all the kernels */
    }
    run(&result, "model.kind=standard");
    run(&block, "model.kind=block");
    for (int i = 0; i < result.n_rows; i++) {
        assert_null(strstr(result.rows[i].name, "depth"));
    }
    assert_int_equal(block.n_rows, result.n_rows + 5);
}

static void json_has_what_is_printed(void **state)
{
    (void)state;
    const struct bench_result result = {.product_rate = 1e11,
                                        .memory_rate = 1e10,
                                        .n_rows = 1,
                                        .rows = {{"add", 0.5, 1e9, 2e9, 0.4}}};
    char *text = calloc(1, TEXT_BYTES);
    struct json_document document;
    struct error err = {0};
    double seconds = 0.0;
    assert_non_null(text);
    assert_true(bench_print(&result, text, TEXT_BYTES) < TEXT_BYTES);
    assert_non_null(strstr(text, "100.0 GFLOP/s"));
    double milliseconds = 0.0, flops_rate = 0.0, byte_rate = 0.0, share = 0.0;
    assert_int_equal(sscanf(strstr(text, "\nadd"), " add %lf %lf %lf %lf", &milliseconds,
                            &flops_rate, &byte_rate, &share),
                     4);
    assert_true(milliseconds == 500.0 && flops_rate == 2.0 && byte_rate == 4.0 && share == 0.4);
    assert_true(
        json_parse(&document, text, bench_print_json(&result, text, TEXT_BYTES), "bench", &err));
    const struct json_value *rows = json_get(document.root, "kernels");
    assert_int_equal(json_count(rows), 1);
    assert_string_equal(json_as_text(json_get(json_at(rows, 0), "name")), "add");
    assert_true(json_as_real(json_get(json_at(rows, 0), "seconds"), &seconds) && seconds == 0.5);
    json_document_finish(&document);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_is_measured_once),
        cmocka_unit_test(the_standard_residual_has_no_reads),
        cmocka_unit_test(json_has_what_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
