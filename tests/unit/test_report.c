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
    assert_true(trial.run.is_done && report_has_val_loss(&trial.run));
    assert_true(report_loss_of(report_last_line(&trial.run)) == 2.5);
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
    begin(&trial, "run");
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
    write_file(&trial, "inspect.json", ""); /* what the shell leaves of a command that failed */
    expect_no_look(&trial, "inspect.json");
    end(&trial);
}

/** Draw depth against width of runs of depths 1, 2 ... that have spent `flops`. Returns how many
 * points there are. */
static int count_compared(const double *flops, int n)
{
    struct report_line lines[8];
    struct report_run runs[8] = {{.path = ""}};
    struct report *report = calloc(1, sizeof *report);
    assert_non_null(report);
    for (int i = 0; i < n; i++) {
        lines[i] = (struct report_line){.step = 1, .loss = 1.0, .val_loss = 1.0, .flops = flops[i]};
        runs[i] = (struct report_run){
            .n_layers = i + 1, .dim = 8, .lines = &lines[i], .n_lines = 1, .is_done = true};
    }
    report->runs = runs;
    report->n_runs = n;
    report->n_kinds = 1;
    char data[512] = "", body[4096], why[512];
    struct text data_text = {data, sizeof data, 0}, body_text = {body, sizeof body, 0},
                why_text = {why, sizeof why, 0};
    struct figure figure = {.data = &data_text, .body = &body_text};
    const bool is_drawn = report_draw_shape(&figure, report, &why_text);
    int n_lines = -2; /* around the points */
    for (const char *newline = data; (newline = strchr(newline, '\n')) != NULL; newline++) {
        n_lines++;
    }
    free(report);
    return is_drawn ? n_lines : 0;
}

/* A chain of neighbours may end far from where it begins. */
static void depths_are_compared_where_all_have_spent_about_the_same(void **state)
{
    (void)state;
    assert_int_equal(count_compared((double[]){1.0, 1.1, 1.2, 1.3, 1.4}, 5), 0);
    assert_int_equal(count_compared((double[]){1.0, 1.1, 1.12, 1.14, 1.25}, 5), 4);
    assert_int_equal(count_compared((double[]){1.0, 1.14, 1.26, 1.27, 1.28, 1.29}, 6), 5);
    assert_int_equal(count_compared((double[]){NAN, 1.0, 1.0, 1.0}, 4), 3);
}

/** A figure as text, of a report that is not read from files; rows are the points of its fit. */
struct drawing {
    struct report *report;
    char data[16384], body[16384], why[512];
    struct figure figure;
    struct text data_text, body_text, why_text;
};

static struct drawing *draw(figure_function *function, struct report_run *runs, int n,
                            struct fit_point *rows)
{
    static const char KINDS[][FIT_KIND_BYTES] = {"standard", "block", "full"};
    struct drawing *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->report = calloc(1, sizeof *d->report);
    assert_non_null(d->report);
    d->data_text = (struct text){d->data, sizeof d->data, 0};
    d->body_text = (struct text){d->body, sizeof d->body, 0};
    d->why_text = (struct text){d->why, sizeof d->why, 0};
    d->figure = (struct figure){.data = &d->data_text, .body = &d->body_text};
    d->report->runs = runs;
    d->report->n_runs = n;
    d->report->points = (struct fit_points){.rows = rows, .n = rows != NULL ? n : 0};
    d->report->n_kinds = 3;
    memcpy(d->report->kinds, KINDS, sizeof KINDS);
    assert_true(function(&d->figure, d->report, &d->why_text));
    assert_true(d->data_text.length < sizeof d->data && d->body_text.length < sizeof d->body);
    return d;
}

static void finish_drawing(struct drawing *d)
{
    free(d->report);
    free(d);
}

static struct report_hops answered(double accuracy, int64_t n_items, double constant)
{
    return (struct report_hops){.task = TASK_PERM,
                                .hops = 1,
                                .n_items = n_items,
                                .trained = true,
                                .accuracy = accuracy,
                                .chance = 0.2,
                                .constant = constant};
}

/* Seeds of one size are one mean with an error; a run of another size is a series of its own, whose
 * error is that of its items. */
static void accuracies_are_means_over_runs_that_differ_in_their_seed(void **state)
{
    (void)state;
    struct report_hops hops[] = {answered(0.2, 4, 0.5), answered(0.4, 100, 0.3),
                                 answered(0.5, 100, 0.3)};
    struct report_run runs[] = {
        {.kind = 1, .n_layers = 4, .dim = 8, .n_steps = 9, .hops = &hops[0], .n_hops = 1},
        {.kind = 1, .n_layers = 4, .dim = 8, .n_steps = 9, .hops = &hops[1], .n_hops = 1},
        {.kind = 1, .n_layers = 6, .dim = 8, .n_steps = 9, .hops = &hops[2], .n_hops = 1},
    };
    struct drawing *d = draw(report_draw_hops, runs, 3, NULL);
    assert_non_null(strstr(d->data, "$h0_0 << EOD\n0.93 0.3 0.1\nEOD\n"));
    assert_non_null(strstr(d->data, "$h0_1 << EOD\n1.07 0.5 0.05\nEOD\n"));
    assert_non_null(strstr(d->data, "$i0_0 << EOD\n0.93 0.2\n0.93 0.4\nEOD\n"));
    assert_non_null(strstr(d->data, "$g0 << EOD\n1 0.2 0.3\nEOD\n")); /* of 100 items, not 4 */
    assert_non_null(strstr(d->body, "title 'block 4 × 8'"));
    assert_non_null(strstr(d->body, "title 'block 6 × 8'"));
    assert_non_null(strstr(d->body, "set yrange [0.1825:0.5675]"));
    finish_drawing(d);
}

/* Kinds whose lines lie on each other: 1 % above and below one curve. */
static void ends_are_drawn_off_the_curve_of_all(void **state)
{
    (void)state;
    struct report_line lines[6];
    struct report_run runs[6];
    struct fit_point rows[6];
    for (int i = 0; i < 6; i++) {
        const double flops = 1e9 * pow(4.0, i / 2), one = 3.0 * pow(flops, -0.05);
        lines[i] = (struct report_line){
            .step = 9, .loss = 1.0, .val_loss = one * (i % 2 == 0 ? 1.01 : 0.99), .flops = flops};
        runs[i] = (struct report_run){.kind = i % 2,
                                      .n_layers = 1 + i / 2,
                                      .dim = 8,
                                      .lines = &lines[i],
                                      .n_lines = 1,
                                      .is_done = true};
        rows[i] = (struct fit_point){.kind = i % 2, .group = i / 2, .loss = lines[i].val_loss};
        rows[i].spent[FIT_FLOPS] = flops;
    }
    struct drawing *d = draw(report_draw_compute, runs, 6, rows);
    const struct fit_curve all = fit_curve_of(&d->report->points, -1, FIT_FLOPS);
    assert_true(fabs(all.alpha - 0.05) < 1e-12);
    assert_true(fabs(exp(all.a) - 3.0 * sqrt(1.01 * 0.99)) < 1e-12);
    for (int series = 0; series < 6; series++) { /* by kind, then size */
        char block[16];
        double compute = 0.0, residual = 0.0, error = 1.0;
        snprintf(block, sizeof block, "$s%d << EOD", series);
        const char *found = strstr(d->data, block);
        assert_non_null(found);
        assert_int_equal(sscanf(found + strlen(block), "%lf %lf %lf", &compute, &residual, &error),
                         3);
        assert_true(fabs(residual - (series < 3 ? 1.005 : -0.995)) < 1e-3 && error == 0.0);
    }
    assert_non_null(strstr(d->body, "title 'training loss of a run'"));
    assert_non_null(strstr(d->body, "title 'block, validation at the end'"));
    finish_drawing(d);
    d = draw(report_draw_compute, runs, 2, rows); /* of one compute: no curve */
    assert_null(strstr(d->body, "off one curve"));
    finish_drawing(d);
}

/* Two seeds, 1 % and 3 % above standard's of theirs at the 3rd of 40 steps and 2 % below at the
 * last; a run of another seed, and a step that only one has logged, have nothing beside them. */
static void kinds_are_compared_seed_by_seed(void **state)
{
    (void)state;
    struct report_line lines[5][3];
    struct report_run runs[5];
    static const double LOSS[5][3] = {
        {2.0, 2.0, 2.0}, {2.02, 9.0, 1.96}, {4.0, 4.0, 4.0}, {4.12, 9.0, 3.92}, {7.0, 7.0, 7.0}};
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 3; k++) {
            lines[i][k] = (struct report_line){
                .step = k == 0 ? 3 : 20 * k, .loss = LOSS[i][k], .val_loss = NAN};
        }
        lines[i][1].step += i % 2;
        runs[i] = (struct report_run){.kind = i % 2,
                                      .n_layers = 4,
                                      .dim = 8,
                                      .seed = 1 + i / 2,
                                      .n_steps = 40,
                                      .lines = lines[i],
                                      .n_lines = 3};
    }
    runs[4].kind = 1;
    struct drawing *d = draw(report_draw_steps, runs, 5, NULL);
    assert_non_null(strstr(d->data, "$g1 << EOD\n6.25 2 1\n98.75 -2 0\nEOD\n"));
    assert_null(strstr(d->data, "$g0"));
    assert_non_null(strstr(d->body, "title 'block (2 pairs)'"));
    finish_drawing(d);
    d = draw(report_draw_steps, &runs[1], 1, NULL);
    assert_null(strstr(d->body, "multiplot"));
    finish_drawing(d);
}

/* The run of another size has spent the most, and its kind has no other. */
static void kinds_are_compared_along_one_depth(void **state)
{
    (void)state;
    struct trial trial;
    begin(&trial, "run");
    struct report *report = trial.report;
    struct report_line lines[] = {
        {.step = 1, .flops = 1.0}, {.step = 1, .flops = 1.0}, {.step = 1, .flops = 9.0}};
    struct report_run runs[3];
    for (int i = 0; i < 3; i++) {
        runs[i] = (struct report_run){.kind = i,
                                      .n_layers = i < 2 ? 12 : 24,
                                      .dim = 64,
                                      .lines = &lines[i],
                                      .n_lines = 1,
                                      .n_looks = 1};
        snprintf(report->kinds[i], FIT_KIND_BYTES, "kind%d", i);
    }
    report->runs = runs;
    report->n_runs = report->n_kinds = 3;
    int chosen[FIT_MAX_KINDS];
    assert_int_equal(report_choose_alike(report, chosen), 2);
    assert_true(chosen[0] == 0 && chosen[1] == 1);
    report_note_looks(report);
    assert_non_null(strstr(trial.note_bytes, "kind2 is not among the magnitudes"));
    assert_null(strstr(trial.note_bytes, "kind1 is not"));
    end(&trial);
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
        cmocka_unit_test(depths_are_compared_where_all_have_spent_about_the_same),
        cmocka_unit_test(accuracies_are_means_over_runs_that_differ_in_their_seed),
        cmocka_unit_test(ends_are_drawn_off_the_curve_of_all),
        cmocka_unit_test(kinds_are_compared_seed_by_seed),
        cmocka_unit_test(kinds_are_compared_along_one_depth),
        cmocka_unit_test(logarithmic_axes_have_round_tics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
