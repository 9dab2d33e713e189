#include "../../src/report/report_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../support/folder.h"

static const char CONFIG[] = "model: {layers: 1, blocks: 1, kind: block_full}\ntrain: {steps: 4}\n";
static const char METRICS[] = "{\"step\": 1, \"loss\": 5.5, \"flops\": 1e9}\n"
                              "{\"step\": 4, \"loss\": 0, \"val_loss\": 2.5, \"flops\": 4e9}\n"
                              "{\"step\": 5, \"lo";
/* What attnres inspect prints of such a run. */
static const char *const LOOK[] = {
    "\"step\": 4",
    "\"kind\": \"block_full\"",
    "\"layers\": 1",
    "\"blocks\": 1",
    "\"sources\": [\"b0\", \"b1\", \"0.attn\", \"0.mlp\"]",
    "\"map\": [[1, null, null, null], [0.4, null, 0.6, null], [0.3, 0.7, null, null]]",
    "\"inputs\": [1, 2, 3]",
    "\"outputs\": [4, 5]",
    "\"weight_gradients\": [3, 4]",
    "\"output_gradients\": [6, 8]",
};
enum { N_MEMBERS = sizeof LOOK / sizeof LOOK[0] };

/** A run's folder, gone afterwards, and what was read of it. */
struct trial {
    char folder[64], path[96];
    struct report *report;
    struct report_run run;
    struct text notes;
    char note_bytes[1024];
    struct error err;
};

static void write_file(const struct trial *trial, const char *name, const char *text)
{
    char path[FILE_PATH_BYTES];
    struct error err = {0};
    assert_true(file_join(path, trial->path, name, &err));
    assert_true(file_replace(path, text, strlen(text), &err));
}

static void begin(struct trial *trial, const char *name)
{
    *trial = (struct trial){.folder = ""};
    trial->notes = (struct text){trial->note_bytes, sizeof trial->note_bytes, 0};
    struct error err = {0};
    assert_true(folder_make(trial->folder, sizeof trial->folder, "report"));
    snprintf(trial->path, sizeof trial->path, "%s/%s", trial->folder, name);
    assert_true(file_make_folders(trial->path, &err));
    trial->report = calloc(1, sizeof *trial->report);
    assert_non_null(trial->report);
    trial->report->notes = &trial->notes;
    write_file(trial, "config.yaml", CONFIG);
    write_file(trial, "metrics.jsonl", METRICS);
}

static bool read_again(struct trial *trial)
{
    report_finish_run(&trial->run);
    trial->err = (struct error){0};
    trial->notes.length = 0;
    trial->note_bytes[0] = '\0';
    return report_read_run(&trial->run, trial->report, trial->path, &trial->err);
}

static void end(struct trial *trial)
{
    struct error err = {0};
    report_finish_run(&trial->run);
    free(trial->report);
    assert_true(file_remove_tree(trial->folder, &err));
}

/** An inspection in which one member is another, or (empty) left out. */
static void write_look(const struct trial *trial, int changed, const char *other)
{
    char bytes[2048];
    struct text t = {bytes, sizeof bytes, 0};
    bool is_first = true;
    for (int i = 0; i < N_MEMBERS; i++) {
        const char *member = i == changed ? other : LOOK[i];
        if (member[0] != '\0') {
            text_add(&t, "%s%s", is_first ? "{" : ", ", member);
            is_first = false;
        }
    }
    text_add(&t, "}\n");
    write_file(trial, "inspect.json", bytes);
}

static void a_run_is_read_without_its_torn_line(void **state)
{
    (void)state;
    struct trial trial;
    begin(&trial, "it's <a> run");
    assert_true(read_again(&trial));
    assert_string_equal(trial.run.name, "it?s??a??run");
    assert_string_equal(trial.report->kinds[trial.run.kind], "block_full");
    assert_int_equal(trial.run.n_lines, 2);
    assert_true(trial.run.is_done && report_last_line(&trial.run)->val_loss == 2.5);
    assert_true(isnan(trial.run.lines[1].loss));
    end(&trial);
}

static void runs_of_one_name_are_told_apart_by_their_folders(void **state)
{
    (void)state;
    static const char *const PATHS[] = {"x/A/run/", "x/B/run", "x/B/other",
                                        "y/B/run",  "/run",    "m\xc3\xbcll\xff<"};
    static const char *const NAMES[] = {"A/run",   "x/B/run", "other",
                                        "y/B/run", "/run",    "m\xc3\xbcll??"};
    enum { N = sizeof PATHS / sizeof PATHS[0] };
    struct report_run runs[N];
    struct report report = {.runs = runs, .n_runs = N};
    for (int i = 0; i < N; i++) {
        struct error err = {0};
        struct text notes = {0};
        report.notes = &notes;
        assert_false(report_read_run(&runs[i], &report, PATHS[i], &err)); /* its name is there */
    }
    report_name_runs(&report);
    for (int i = 0; i < N; i++) {
        assert_string_equal(runs[i].name, NAMES[i]);
        report_finish_run(&runs[i]);
    }
}

static void metrics_that_go_back_are_refused(void **state)
{
    (void)state;
    struct trial trial;
    begin(&trial, "run");
    write_file(&trial, "metrics.jsonl", "{\"step\": 2}\n{\"step\": 2}\n");
    assert_false(read_again(&trial));
    assert_non_null(strstr(trial.err.message, "metrics.jsonl:2: not a line of this file's form"));
    write_file(&trial, "metrics.jsonl", "");
    assert_false(read_again(&trial));
    assert_non_null(strstr(trial.err.message, "no step in it yet"));
    end(&trial);
}

static void accuracies_of_tasks_that_there_are_not_are_left_out(void **state)
{
    (void)state;
    static const char ROW[] = "{\"task\": \"%s\", \"hops\": 2, \"items\": 9, \"trained\": true, "
                              "\"accuracy\": 1, \"chance\": 0.5, \"constant\": 0.5}\n";
    char text[256];
    struct trial trial;
    begin(&trial, "run");
    snprintf(text, sizeof text, ROW, "perm");
    write_file(&trial, "hops.jsonl", text);
    assert_true(read_again(&trial));
    assert_int_equal(trial.run.hops[0].task, TASK_PERM);
    snprintf(text, sizeof text, ROW, "perms");
    write_file(&trial, "hops.jsonl", text);
    assert_true(read_again(&trial));
    assert_int_equal(trial.run.n_hops, 0);
    assert_non_null(strstr(trial.note_bytes, "hops.jsonl:1: not a line of this file's form"));
    end(&trial);
}

static void inspections_are_read_in_the_order_of_steps(void **state)
{
    (void)state;
    struct trial trial;
    begin(&trial, "run");
    write_look(&trial, 0, "\"step\": 2");
    char from[FILE_PATH_BYTES], to[FILE_PATH_BYTES];
    struct error err = {0};
    assert_true(file_join(from, trial.path, "inspect.json", &err) &&
                file_join(to, trial.path, "inspect-2.json", &err) && file_rename(from, to, &err));
    write_look(&trial, -1, "");
    assert_true(read_again(&trial));
    assert_int_equal(trial.run.n_looks, 2);
    assert_int_equal(trial.run.looks[0].step, 2);
    const struct report_look *look = &trial.run.looks[1];
    assert_int_equal(look->step, 4);
    assert_true(report_map_at(look, 1, 2) == 0.6 && isnan(report_map_at(look, 1, 1)));
    assert_true(report_look_at(look, "inputs", 2) == 3.0);
    end(&trial);
}

/* The open sums of `block`, of which a read has one at most, are one column. */
static void open_sums_are_one_column(void **state)
{
    (void)state;
    struct trial trial;
    char config[sizeof CONFIG];
    begin(&trial, "run");
    snprintf(config, sizeof config, "%s", CONFIG);
    memcpy(strstr(config, "block_full"), "block     ", strlen("block_full"));
    write_file(&trial, "config.yaml", config);
    write_look(&trial, 1, "\"kind\": \"block\"");
    assert_true(read_again(&trial));
    const struct report_look *look = &trial.run.looks[0];
    assert_int_equal(look->n_columns, 3);
    assert_true(report_map_at(look, 1, 2) == 0.6 && isnan(report_map_at(look, 0, 2)));
    assert_string_equal(report_column_name(look, 2), "open sum");
    assert_string_equal(report_column_name(look, 1), "b1");
    end(&trial);
}

static void expect_no_look(struct trial *trial, const char *why)
{
    assert_true(read_again(trial));
    assert_int_equal(trial->run.n_looks, 0);
    assert_int_equal(trial->run.n_lines, 2);
    assert_non_null(strstr(trial->note_bytes, why));
}

/* The run itself stays: what fits say must not depend on a damaged picture of its depth. */
static void inspections_that_are_none_are_left_out_alone(void **state)
{
    (void)state;
    static const struct {
        int member;
        const char *other;
    } CASES[] = {
        {0, "\"step\": 1.5"},
        {1, "\"kind\": 3"},
        {2, "\"layers\": 2"},
        {2, "\"layers\": 0"},
        {2, "\"layers\": 4611686018427387905"},
        {3, "\"blocks\": 4"},
        {3, "\"blocks\": -1"},
        {4, "\"sources\": [\"b0\", \"b1\", 7, \"0.mlp\"]"},
        {4, "\"sources\": [\"b0\", \"b1\", \"0.attn\"]"},
        {4, "\"sources\": {\"a\": \"b0\", \"b\": \"b1\", \"c\": \"c\", \"d\": \"d\"}"},
        {5, "\"map\": [[1, null, null, null], [0.4, null, 0.6, null]]"},
        {5, "\"map\": [[1, null, null, null], [0.4, null, 0.6], [0.3, 0.7, null, null]]"},
        {5, "\"map\": [[1, null, null, null], 7, [0.3, 0.7, null, null]]"},
        {6, "\"inputs\": [1, 2]"},
        {7, "\"outputs\": 4"},
        {8, "\"weight_gradients\": [3, 4, 5]"},
        {9, "\"output_gradients\": []"},
    };
    struct trial trial;
    begin(&trial, "run");
    for (int i = 0; i < N_MEMBERS; i++) {
        write_look(&trial, i, "");
        expect_no_look(&trial, "inspect.json: not what attnres inspect --json prints");
    }
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        write_look(&trial, CASES[i].member, CASES[i].other);
        expect_no_look(&trial, "inspect.json: not what attnres inspect --json prints");
    }
    write_look(&trial, 1, "\"kind\": \"full\"");
    expect_no_look(&trial, "inspect.json: of another kind or depth than the run");
    write_file(&trial, "inspect.json", ""); /* what the shell leaves of a command that failed */
    expect_no_look(&trial, "inspect.json");
    end(&trial);
}

/* Settings of which the batches are, or the size, or neither. */
static void settings_tell_batches_and_sizes_apart(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        bool other_size, other_batches;
    } CASES[] = {
        {"model: {layers: 2}", true, false},
        {"model: {dim: 64}", true, false},
        {"model: {ff: 64}", true, false},
        {"model: {heads: 8, kv_heads: 4}", true, false},
        {"model: {kv_heads: 1}", true, false},
        {"model: {vocab: 300}", true, false},
        {"model: {tied: true}", true, false},
        {"model: {seq_len: 64}", false, true},
        {"batch: {sequences: 8}", false, true},
        {"data: {task: ptr}", false, true},
        {"data: {tasks: {ptr: 1}}", false, true},
        {"data: {loss: answer}", false, true},
        {"data: {skip: [3]}", false, true},
        {"data: {kind: text, train: a/b}", false, true},
        {"optim: {lr: 0.5}\nmodel: {kind: standard}\nbatch: {microbatch: 1}\nrun: {seed: 2}", false,
         false},
    };
    struct trial trial;
    begin(&trial, "run");
    write_file(&trial, "config.yaml", "");
    assert_true(read_again(&trial));
    const uint64_t size = trial.run.size_hash, batches = trial.run.batch_hash;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        write_file(&trial, "config.yaml", CASES[i].yaml);
        assert_true(read_again(&trial));
        assert_true((trial.run.size_hash != size) == CASES[i].other_size);
        assert_true((trial.run.batch_hash != batches) == CASES[i].other_batches);
    }
    static const char *const FILES[] = {"train: a/b", "train: a/c", "train: a/b, val: c/d",
                                        "train: a/b, val: c/e"};
    uint64_t hashes[4];
    for (int i = 0; i < 4; i++) {
        char yaml[64];
        snprintf(yaml, sizeof yaml, "data: {kind: text, %s}", FILES[i]);
        write_file(&trial, "config.yaml", yaml);
        assert_true(read_again(&trial));
        hashes[i] = trial.run.batch_hash;
    }
    assert_true(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[2] == hashes[3]);
    end(&trial);
}

static void too_many_runs_are_refused(void **state)
{
    (void)state;
    static const char *runs[REPORT_MAX_RUNS + 1];
    static struct report_notes notes;
    const struct report_options options = {.out = "nowhere"};
    struct error err = {0};
    for (int i = 0; i <= REPORT_MAX_RUNS; i++) {
        runs[i] = "nowhere";
    }
    assert_false(report_write(&options, runs, REPORT_MAX_RUNS + 1, &notes, &err));
    assert_int_equal(err.kind, ERROR_USAGE);
}

static void expect_tics(double low, double high, const char *expected)
{
    char bytes[512] = "";
    struct text t = {bytes, sizeof bytes, 0};
    report_add_tics(&t, "y", low, high);
    assert_string_equal(bytes, expected);
}

static void logarithmic_axes_have_round_tics(void **state)
{
    (void)state;
    expect_tics(1.2, 1.75, "set ytics (1.2, 1.3, 1.4, 1.5, 1.6, 1.7)\n");
    expect_tics(0.09, 3.0, "set ytics (0.1, 0.2, 0.5, 1, 2)\n");
    expect_tics(9e11, 4e12,
                "set ytics ('1·10^{12}' 1e+12, '2·10^{12}' 2e+12, '3·10^{12}' 3e+12)\n");
    expect_tics(0.0411, 0.165, "set ytics (0.05, 0.07, 0.1)\n");
    expect_tics(1.0, 1e6, "set ytics autofreq\n");
    expect_tics(2.0, 2.0, "set ytics autofreq\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_read_without_its_torn_line),
        cmocka_unit_test(runs_of_one_name_are_told_apart_by_their_folders),
        cmocka_unit_test(metrics_that_go_back_are_refused),
        cmocka_unit_test(accuracies_of_tasks_that_there_are_not_are_left_out),
        cmocka_unit_test(inspections_are_read_in_the_order_of_steps),
        cmocka_unit_test(open_sums_are_one_column),
        cmocka_unit_test(inspections_that_are_none_are_left_out_alone),
        cmocka_unit_test(settings_tell_batches_and_sizes_apart),
        cmocka_unit_test(too_many_runs_are_refused),
        cmocka_unit_test(logarithmic_axes_have_round_tics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
