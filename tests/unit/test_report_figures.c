/* Figures as text, of runs that are not read from files. */
#include "../../src/report/report_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

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

/** Runs of three logged steps each, standard and block by turns, two of each seed. */
struct pairs {
    struct report_line lines[6][3];
    struct report_run runs[6];
};

static void make_pairs(struct pairs *pairs)
{
    static const double LOSS[6][3] = {{2.0, 2.0, 2.0},   {2.02, 9.0, 1.96}, {4.0, 4.0, 4.0},
                                      {4.12, 9.0, 3.92}, {7.0, 7.0, 7.0},   {7.0, 7.0, 7.0}};
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 3; k++) {
            pairs->lines[i][k] = (struct report_line){
                .step = k == 0 ? 3 : 20 * k, .loss = LOSS[i][k], .val_loss = NAN};
        }
        pairs->lines[i][1].step += i % 2;
        pairs->runs[i] = (struct report_run){.kind = i % 2,
                                             .size_hash = 4,
                                             .batch_hash = 8,
                                             .seed = 1 + i / 2,
                                             .n_steps = 40,
                                             .lines = pairs->lines[i],
                                             .n_lines = 3};
    }
}

/** What the legend says of the pairs of the first n runs; NULL: there is no panel of them. */
static void expect_pairs(struct pairs *pairs, int n, const char *title)
{
    struct drawing *d = draw(report_draw_steps, pairs->runs, n, NULL);
    assert_true((strstr(d->body, "multiplot") != NULL) == (title != NULL));
    assert_true(title == NULL || strstr(d->body, title) != NULL);
    finish_drawing(d);
}

/* Two seeds, 1 % and 3 % above standard's of theirs at the 3rd of 40 steps and 2 % below at the
 * last; a run of another seed, and a step that only one has logged, have nothing beside them. */
static void kinds_are_compared_seed_by_seed(void **state)
{
    (void)state;
    struct pairs pairs;
    make_pairs(&pairs);
    pairs.runs[4].kind = 1;
    struct drawing *d = draw(report_draw_steps, pairs.runs, 5, NULL);
    assert_non_null(strstr(d->data, "$g1 << EOD\n6.25 2 1\n98.75 -2 0\nEOD\n"));
    assert_null(strstr(d->data, "$g0"));
    assert_non_null(strstr(d->body, "title 'block (2 pairs)'"));
    finish_drawing(d);
    expect_pairs(&pairs, 1, NULL);
}

static void pairs_have_seen_the_same_batches(void **state)
{
    (void)state;
    struct pairs pairs;
    make_pairs(&pairs);
    expect_pairs(&pairs, 6, "title 'block (3 pairs)'");
    pairs.runs[0].batch_hash = 9;
    expect_pairs(&pairs, 6, "title 'block (2 pairs)'");
    pairs.runs[2].n_steps = 41;
    expect_pairs(&pairs, 6, "title 'block (1 pair)'");
    pairs.runs[4].size_hash = 5;
    expect_pairs(&pairs, 6, NULL);
    make_pairs(&pairs);
    pairs.runs[2].size_hash = pairs.runs[3].size_hash = 5;
    expect_pairs(&pairs, 6, "title 'block (3 pairs, 2 sizes)'");
}

/* Two rates of one kind with one seed: neither is the one that a pair is made of, on either side.
 */
static void twins_are_in_no_pair(void **state)
{
    (void)state;
    char bytes[512] = "";
    struct text notes = {bytes, sizeof bytes, 0};
    for (int twin = 2; twin < 4; twin++) { /* of the first standard, of the first block */
        struct pairs pairs;
        make_pairs(&pairs);
        pairs.runs[twin].seed = 1;
        expect_pairs(&pairs, 6, "title 'block (1 pair)'");
        expect_pairs(&pairs, 4, NULL);
        struct report report = {.runs = pairs.runs, .n_runs = 6, .n_kinds = 2, .notes = &notes};
        memcpy(report.kinds, (char[][FIT_KIND_BYTES]){"standard", "block"}, 2 * FIT_KIND_BYTES);
        notes.length = 0;
        report_note_gaps(&report);
        assert_non_null(strstr(bytes, twin == 2 ? "standard seed by seed (1): runs that share"
                                                : "standard seed by seed (2): runs that share"));
        pairs.runs[twin].is_apart = true;
        expect_pairs(&pairs, 6, "title 'block (2 pairs)'");
    }
}

/* The run of another size has spent the most, and its kind has no other. */
static void kinds_are_compared_along_one_depth(void **state)
{
    (void)state;
    char bytes[512] = "";
    struct text notes = {bytes, sizeof bytes, 0};
    struct report report = {.n_runs = 3, .n_kinds = 3, .notes = &notes};
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
        snprintf(report.kinds[i], FIT_KIND_BYTES, "kind%d", i);
    }
    report.runs = runs;
    int chosen[FIT_MAX_KINDS];
    assert_int_equal(report_choose_alike(&report, chosen), 2);
    assert_true(chosen[0] == 0 && chosen[1] == 1);
    report_note_looks(&report);
    assert_non_null(strstr(bytes, "kind2 is not among the magnitudes"));
    assert_null(strstr(bytes, "kind1 is not"));
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
        cmocka_unit_test(depths_are_compared_where_all_have_spent_about_the_same),
        cmocka_unit_test(accuracies_are_means_over_runs_that_differ_in_their_seed),
        cmocka_unit_test(ends_are_drawn_off_the_curve_of_all),
        cmocka_unit_test(kinds_are_compared_seed_by_seed),
        cmocka_unit_test(pairs_have_seen_the_same_batches),
        cmocka_unit_test(twins_are_in_no_pair),
        cmocka_unit_test(kinds_are_compared_along_one_depth),
        cmocka_unit_test(logarithmic_axes_have_round_tics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
