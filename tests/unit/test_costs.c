#include <attnres/costs.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/file.h>
#include <attnres/plan.h>

#include "../support/folder.h"

static struct config *load(const char *override)
{
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    assert_non_null(config);
    if (!config_load(config, NULL, 1, &override, &err)) {
        fail_msg("%s", err.message);
    }
    return config;
}

/* Attention and MLP of a millisecond, no reads; the head as much as so many sublayers. */
static struct costs make_costs(const struct config *config, double head)
{
    static const struct costs_passes ms = {1e-3, 1e-3, 1e-3};
    struct costs costs = {.attention = ms,
                          .mlp = ms,
                          .head = {head * 1e-3, head * 1e-3, head * 1e-3},
                          .pack_s = 1e-12,
                          .unpack_s = 1e-12,
                          .memory_bytes_per_s = 1e10};
    costs_describe_shape(costs.shape, config);
    return costs;
}

static void what_is_printed_is_read_back(void **state)
{
    (void)state;
    struct config *config = load("model.dim=256");
    const struct costs costs = make_costs(config, 4.0);
    struct costs read;
    struct error err = {0};
    char text[4096], again[4096];
    const size_t length = costs_print(&costs, text, sizeof text);
    assert_true(length < sizeof text);
    if (!costs_parse(&read, "measured", text, length, &err)) {
        fail_msg("%s", err.message);
    }
    costs_print(&read, again, sizeof again);
    assert_string_equal(text, again);
    assert_true(costs_has_parts(&read));
    assert_true(read.head.weight_gradient == 4e-3 && read.link_bytes_per_s == 0.0);
    free(config);
}

static void rates_alone_are_a_file(void **state)
{
    (void)state;
    static const char text[] = "{\"flops_per_s\": 2e12, \"link_bytes_per_s\": 12500000000}";
    struct costs read;
    struct error err = {0};
    assert_true(costs_parse(&read, "rates.json", text, strlen(text), &err));
    assert_false(costs_has_parts(&read));
    assert_true(read.flops_per_s == 2e12 && read.link_bytes_per_s == 1.25e10);
}

static void forged_files_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "c.json:1:"},
        {"[]", "c.json:1: expected an object"},
        {"{}", "c.json:1: expected an object"},
        {"{\"flops_per_s\": 0, \"pack_s_per_byte\": 0}", "c.json:1: all of its rates are 0"},
        {"{\n\"flops_per_s\": 1,\n\"flop_per_s\": 2}", "c.json:3: flop_per_s: no such key"},
        {"{\n\n\"flops_per_s\": \"fast\"}", "c.json:3: flops_per_s: expected a number"},
        {"{\"flops_per_s\": -1}", "c.json:1: flops_per_s: expected a number from 0"},
        {"{\"flops_per_s\": 1e22}", "flops_per_s: expected a number from 0 to 1e21"},
        {"{\"flops_per_s\": 1e999}", "c.json:1:"},
        {"{\"flops_per_s\": 1, \"flops_per_s\": 2}", "c.json:1:"},
        {"{\n\"measured_for\": \"x\",\n\"mlp_s\": [1, 2]}", "c.json:3: mlp_s: expected [forward"},
        {"{\n\"measured_for\": \"x\",\n\"mlp_s\": [1, 2, \"3\"]}", "c.json:3: mlp_s: expected ["},
        {"{\"mlp_s\": [1, 2, 3]}", "mlp_s without measured_for"},
        {"{\n\"measured_for\": \"x\"}", "c.json:2: measured_for without embedding_s"},
        {"{\"measured_for\": \"x\", \"embedding_s\": [0, 0, 0],\n\"attention_s\": [0, 0, 0], "
         "\"mlp_s\": [0, 0, 0], \"head_s\": [0, 0, 0], \"read_source_s\": [0, 0, 0], "
         "\"update_s_per_parameter\": 0}",
         "c.json:2: attention_s: expected some time"},
        {"{\"measured_for\": \"\"}", "measured_for: expected a line of text"},
        {"{\"measured_for\": \"a\\u001b[2J\"}", "measured_for: expected a line of text"},
        {"{\"\\u001b[2J\": 1}", "c.json:1: ?: no such key"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct costs costs = {.flops_per_s = 7};
        struct error err = {0};
        assert_false(costs_parse(&costs, "c.json", rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(err.kind, ERROR_DATA);
        if (strstr(err.message, rows[i].message) == NULL) {
            fail_msg("expected: %s\nfound: %s", rows[i].message, err.message);
        }
        assert_true(costs.flops_per_s == 7);
    }
}

static void files_that_are_too_large_are_refused(void **state)
{
    (void)state;
    char *text = malloc(COSTS_MAX_FILE_BYTES + 1);
    assert_non_null(text);
    memset(text, ' ', COSTS_MAX_FILE_BYTES + 1);
    struct costs costs;
    struct error err = {0};
    assert_false(costs_parse(&costs, "c.json", text, COSTS_MAX_FILE_BYTES + 1, &err));
    assert_non_null(strstr(err.message, "65537 bytes, more than the 65536"));
    free(text);
}

static void measurements_hold_for_their_shapes_only(void **state)
{
    (void)state;
    char folder[64], text[4096];
    assert_true(folder_enter(folder, sizeof folder, "costs"));
    struct config *config = load("model.dim=256"), *other = load("model.dim=128");
    const struct costs costs = make_costs(config, 1.0);
    const size_t length = costs_print(&costs, text, sizeof text);
    struct costs read;
    struct error err = {0};
    struct file_writer file;
    assert_true(file_writer_create(&file, "measured", &err));
    assert_true(file_writer_write(&file, text, length, &err));
    assert_true(file_writer_close(&file, &err));
    assert_true(costs_read(&read, "measured", config, &err));
    assert_false(costs_read(&read, "measured", other, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_non_null(strstr(err.message, ":2: measured for block_full, dim 256"));
    assert_non_null(strstr(err.message, "but the configuration is block_full, dim 128"));
    assert_true(folder_leave(folder));
    free(other);
    free(config);
}

/* 16 sublayers on two ranks: a head that takes as long as four of them moves the cut by two. */
static void measured_costs_move_the_cut(void **state)
{
    (void)state;
    struct config *config = load("model.dim=256");
    for (int head = 0; head <= 4; head += 4) {
        const struct costs costs = make_costs(config, (double)head);
        struct plan plan;
        struct error err = {0};
        if (!plan_init_measured(&plan, config, &costs, 2, PLAN_TRAIN, &err)) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(plan.stages[0].end, 8 + head / 2);
        plan_finish(&plan);
    }
    free(config);
}

/* Per source and pass, and not where a read has one source only. */
static void reads_cost_by_their_sources(void **state)
{
    (void)state;
    struct config *config = load("model.kind=full");
    struct costs costs = make_costs(config, 0.0);
    costs.read_source = (struct costs_passes){1e-4, 2e-4, 0};
    struct plan plan;
    struct error err = {0};
    assert_true(plan_init_measured(&plan, config, &costs, 1, PLAN_TRAIN, &err));
    assert_true(plan_part_costs(&plan, &costs, 0).passes.forward == 1e-3);
    const struct plan_part last = plan_part_costs(&plan, &costs, 16);
    assert_true(last.passes.forward == 17 * 1e-4 && last.passes.input_gradient == 17 * 2e-4);
    assert_true(plan_part_costs(&plan, &costs, 5).passes.weight_gradient == 1e-3);
    plan_finish(&plan);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(rates_alone_are_a_file),
        cmocka_unit_test(forged_files_are_refused_with_their_line),
        cmocka_unit_test(files_that_are_too_large_are_refused),
        cmocka_unit_test(measurements_hold_for_their_shapes_only),
        cmocka_unit_test(measured_costs_move_the_cut),
        cmocka_unit_test(reads_cost_by_their_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
