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

#include "../support/drawing.h"

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

/* Kinds' marks of a shape stand beside each other, their lines do not: so what is below everywhere
 * is drawn below everywhere. */
static void lines_of_kinds_go_through_the_same_shapes(void **state)
{
    (void)state;
    struct report_line lines[6];
    struct report_run runs[6];
    for (int i = 0; i < 6; i++) {
        lines[i] = (struct report_line){.step = 1,
                                        .loss = 3.0,
                                        .val_loss = 3.0 - (double)(i / 2) - 0.25 * (i % 2),
                                        .flops = 1e9};
        runs[i] = (struct report_run){.kind = i % 2,
                                      .n_layers = 1 << (i / 2),
                                      .dim = 16,
                                      .lines = &lines[i],
                                      .n_lines = 1,
                                      .is_done = true};
    }
    struct drawing *d = draw(report_draw_shape, runs, 6, NULL);
    assert_non_null(strstr(d->data, " 3 16\n"));
    assert_non_null(strstr(d->data, " 2.75 16\n"));
    assert_non_null(strstr(d->data, " 1 4\n"));
    assert_non_null(strstr(d->data, " 0.75 4\n"));
    assert_null(strstr(d->data, "\n16 "));
    assert_non_null(strstr(d->body, "$k0 using 3:2 smooth unique with lines"));
    assert_non_null(strstr(d->body, "$k1 using 3:2 smooth unique with lines"));
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

/* One sort of loss says nothing of the other, so no figure draws some runs' this and others' that.
 */
static void lines_are_of_one_sort_of_loss(void **state)
{
    (void)state;
    enum { N = 9 };
    struct report_line lines[2][N];
    struct report_run runs[2];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < N; k++) {
            lines[i][k] = (struct report_line){
                .step = k + 1, .loss = 2.0 + i, .val_loss = 5.0 + i, .flops = 1e9 * (k + 1)};
        }
        runs[i] = (struct report_run){.n_steps = N, .lines = lines[i], .n_lines = N};
    }
    struct drawing *d = draw(report_draw_steps, runs, 2, NULL);
    assert_non_null(strstr(d->body, "set ylabel 'validation loss, "));
    assert_non_null(strstr(d->data, "9 5\n"));
    assert_non_null(strstr(d->data, "9 6\n"));
    finish_drawing(d);
    lines[1][3].val_loss = lines[1][4].val_loss = NAN; /* too few now, of one of them */
    d = draw(report_draw_steps, runs, 2, NULL);
    assert_non_null(strstr(d->body, "set ylabel 'training loss, "));
    assert_non_null(strstr(d->data, "9 2\n"));
    assert_non_null(strstr(d->data, "9 3\n"));
    draw_on(d, report_draw_compute);
    assert_non_null(strstr(d->body, "title 'training loss of a run'"));
    runs[1].is_apart = true; /* what is not drawn has no say */
    draw_on(d, report_draw_compute);
    assert_non_null(strstr(d->body, "title 'validation loss of a run'"));
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
    pairs.runs[2].n_steps = 41; /* at equal compute kinds differ by as much */
    expect_pairs(&pairs, 6, "title 'block (2 pairs)'");
    pairs.runs[2].n_steps = 43;
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

/** An inspection of two layers; what is along the depth is larger by `more` for each number. */
static struct report_look look_of(const char *map, int64_t step, int more)
{
    char bytes[1024];
    struct text t = {bytes, sizeof bytes, 0};
    struct error err = {0};
    struct report_look look = {
        .step = step, .n_layers = 2, .n_sources = 3, .n_columns = 3, .has_map = true};
    text_add(&t, "{\"sources\": [\"b0\", \"b1\", \"0.attn\"], \"map\": %s, ", map);
    text_add(&t, "\"inputs\": [%d, %d, %d, %d, %d], ", 1 + more, 2 + more, 3 + more, 4 + more,
             5 + more);
    text_add(&t, "\"outputs\": [%d, %d, %d, %d], ", 6 + more, 7 + more, 8 + more, 9 + more);
    text_add(&t, "\"weight_gradients\": [3, 4, 5, 12], \"output_gradients\": [6, 8, 8, 15]}");
    assert_true(json_parse(&look.document, bytes, t.length, "look", &err));
    return look;
}

/* Reads before attention, MLPs, attention, MLPs, the head. */
static const char MAP[] = "[[1, null, null], [0.64, null, 0.36], [0.16, 0.84, null], "
                          "[0.09, null, 0.91], [0.04, 0.96, null]]";

/** Runs of standard and block, the first one looked at twice, as long as `check` takes. */
static void draw_looks(figure_function *function, void (*check)(const struct drawing *d))
{
    struct report_line line = {.step = 4, .flops = 1.0};
    struct report_run runs[2];
    for (int i = 0; i < 2; i++) {
        runs[i] = (struct report_run){.kind = i,
                                      .n_layers = 2,
                                      .dim = 8,
                                      .lines = &line,
                                      .n_lines = 1,
                                      .looks = {look_of(MAP, i == 0 ? 2 : 4, 20 * i)},
                                      .n_looks = 1};
    }
    runs[0].looks[runs[0].n_looks++] = look_of(MAP, 4, 10);
    runs[0].looks[1].has_map = false;
    struct drawing *d = draw(function, runs, 2, NULL);
    check(d);
    finish_drawing(d);
    for (int i = 0; i < 2; i++) {
        for (int look = 0; look < runs[i].n_looks; look++) {
            json_document_finish(&runs[i].looks[look].document);
        }
    }
}

static void expect_data(const struct drawing *d, const char *const *blocks, int n)
{
    for (int i = 0; i < n; i++) {
        if (strstr(d->data, blocks[i]) == NULL) {
            fail_msg("%s is not in\n%s", blocks[i], d->data);
        }
    }
}

static void check_magnitudes(const struct drawing *d)
{
    static const char *const BLOCKS[] = {
        "$p0_0_0 << EOD\n0 1\n1 3\n2 5\nEOD\n",    "$p1_0_0 << EOD\n0 7\n1 9\nEOD\n",
        "$p0_1_0 << EOD\n0 11\n1 13\n2 15\nEOD\n", "$p1_1_0 << EOD\n0 17\n1 19\nEOD\n",
        "$p0_1_1 << EOD\n0 21\n1 23\n2 25\nEOD\n", "$p1_1_1 << EOD\n0 27\n1 29\nEOD\n",
    };
    expect_data(d, BLOCKS, 6);
    assert_null(strstr(d->data, "$p0_0_1"));
    assert_non_null(strstr(d->body, "'step 2: what the attention of a layer reads'"));
    assert_non_null(strstr(d->body, "'step 4: what the MLP of a layer puts out'"));
    assert_non_null(strstr(d->body, "set xtics (0, 1, 'head' 2)\n"));
    assert_non_null(strstr(d->body, "set xtics (0, 1)\n"));
}

/* Columns: what attention reads and the head; what MLPs put out. Rows: step 2 of one, step 4. */
static void magnitudes_are_read_by_attention_and_put_out_by_mlps(void **state)
{
    (void)state;
    draw_looks(report_draw_magnitude, check_magnitudes);
}

static void check_gradients(const struct drawing *d)
{
    static const char *const BLOCKS[] = {"$p0_0_0 << EOD\n0 5\n1 13\nEOD\n",
                                         "$p1_0_0 << EOD\n0 10\n1 17\nEOD\n",
                                         "$p1_1_1 << EOD\n0 10\n1 17\nEOD\n"};
    expect_data(d, BLOCKS, 3);
    assert_non_null(strstr(d->body, "of the weights of a layer"));
}

static void gradients_are_of_both_sublayers_of_a_layer(void **state)
{
    (void)state;
    draw_looks(report_draw_gradient, check_gradients);
}

/** Where in the body a text stands behind another one. */
static const char *find_behind(const char *place, const char *text)
{
    const char *found = strstr(place, text);
    if (found == NULL) {
        fail_msg("no %s in\n%s", text, place);
    }
    return found;
}

/* Roots of weights. The last look of standard has no map. */
static void check_maps(const struct drawing *d)
{
    static const char *const BLOCKS[] = {
        "$m1_0 << EOD\n1.0000 NaN \n0.4000 0.9165 \n0.2000 0.9798 \nEOD\n",
        "$m1_1 << EOD\n0.8000 0.6000 \n0.3000 0.9539 \nEOD\n"};
    static const char *const BODY[] = {"('b0' 0, 'b1' 1)",
                                       "('0' 0, '1' 1, 'head' 2)",
                                       "block 2 × 8: sources of the reads before attention",
                                       "plot $m1_0 ",
                                       "('b0' 0, '0.attn' 1)",
                                       "('0' 0, '1' 1)",
                                       "block 2 × 8: sources of the reads before the MLP",
                                       "plot $m1_1 "};
    const char *place = d->body;
    expect_data(d, BLOCKS, 2);
    for (int i = 0; i < 8; i++) {
        place = find_behind(place, BODY[i]);
    }
    assert_null(strstr(d->data, "$m0_"));
}

static void maps_are_of_the_reads_that_their_titles_name(void **state)
{
    (void)state;
    draw_looks(report_draw_maps, check_maps);
}

/* Rows from above; of each a mark for its own slopes above one for a common slope. An interval ends
 * a little beyond the frame at most, for gnuplot draws no bar that reaches far. */
static void multipliers_stand_in_the_row_of_their_kind(void **state)
{
    (void)state;
    struct fit_without without[2] = {{.multiplier = {1.3, 1.22}}, {.multiplier = {NAN, 1.23}}},
                       none[2] = {{.multiplier = {NAN, NAN}}, {.multiplier = {NAN, NAN}}};
    struct drawing *d = begin_drawing(NULL, 0);
    struct report *r = d->report;
    memcpy(r->points.kinds, r->kinds, sizeof r->kinds);
    r->points.n_kinds = 3;
    r->points.n_groups = 2;
    r->has_fit[FIT_FLOPS] = true;
    r->fits[FIT_FLOPS].n_comparisons = 2;
    r->fits[FIT_FLOPS].comparisons[0] = (struct fit_comparison){.kind = 1,
                                                                .at = 3e9,
                                                                .multiplier = {1.25, 1.2},
                                                                .low = {1.1, 1.05},
                                                                .high = {1e12, 1.35},
                                                                .without = without};
    r->fits[FIT_FLOPS].comparisons[1] = (struct fit_comparison){.kind = 2,
                                                                .at = 5e9,
                                                                .multiplier = {0.75, 0.875},
                                                                .low = {0.5, 0.5},
                                                                .no_interval = "one seed",
                                                                .without = none};
    static const char *const BLOCKS[] = {
        "$m0 << EOD\n1.25 0.170 1.1 8 0x0072b2\n0.75 -0.830 0.75 0.75 0x009e73\nEOD\n",
        "$m1 << EOD\n1.2 -0.170 1.05 1.35 0x0072b2\n0.875 -1.170 0.875 0.875 0x009e73\nEOD\n",
        "$left << EOD\n1.3 0.170\n1.22 -0.170\n1.23 -0.170\nEOD\n"};
    draw_on(d, report_draw_multiplier);
    expect_data(d, BLOCKS, 3);
    assert_non_null(
        strstr(d->body, "(\"block\\nat 3e+09 FLOPs\" 0, \"full\\nat 5e+09 FLOPs\" -1)"));
    assert_non_null(strstr(d->body, "times as much standard needs"));
    assert_non_null(strstr(d->body, "$m0 using ($4 > $3 ? $1 : NaN):2:3:4:5 with xerrorbars lc"));
    finish_drawing(d);
}

enum { N_SEEDS = 9, N_SIZES = 4, N_FORGED = 3 * N_SIZES * N_SEEDS };

/** Three kinds, in three depths of about one compute and a larger size, of nine seeds each. */
struct forgery {
    struct report_line lines[N_FORGED][3];
    struct report_run runs[N_FORGED];
    struct report_look look;
    struct report_hops hops;
    char csv[N_FORGED * 80];
};

static void forge(struct forgery *f)
{
    struct text csv = {f->csv, sizeof f->csv, 0};
    f->look = look_of(MAP, 40, 0);
    f->hops = (struct report_hops){.task = TASK_PERM,
                                   .hops = 1,
                                   .n_items = 100,
                                   .trained = true,
                                   .accuracy = 0.4,
                                   .chance = 0.2,
                                   .constant = 0.3};
    text_add(&csv, "kind,size,seed,compute,tokens,loss\n");
    for (int i = 0; i < N_FORGED; i++) {
        const int kind = i % 3, size = i / 3 % N_SIZES, seed = 1 + i / 3 / N_SIZES;
        const double flops = size == 3 ? 4e9 : 1e9 + 1e7 * size,
                     loss = (3.0 + 0.01 * seed - 0.02 * kind) * pow(flops, -0.05);
        for (int k = 0; k < 3; k++) {
            f->lines[i][k] = (struct report_line){.step = 10 + 15 * k,
                                                  .loss = loss * (1.2 - 0.1 * k),
                                                  .val_loss = k == 2 ? loss : NAN,
                                                  .flops = flops * (k + 1) / 3.0};
        }
        f->runs[i] = (struct report_run){.kind = kind,
                                         .n_layers = 2 + size,
                                         .dim = 8,
                                         .size_hash = (uint64_t)size,
                                         .seed = seed,
                                         .n_steps = 40,
                                         .lines = f->lines[i],
                                         .n_lines = 3,
                                         .looks = {f->look},
                                         .n_looks = 1,
                                         .hops = &f->hops,
                                         .n_hops = 1,
                                         .is_done = true};
        snprintf(f->runs[i].name, sizeof f->runs[i].name, "run-%d", i);
        text_add(&csv, "%s,%d,%d,%.9g,%d,%.9g\n",
                 (const char *[]){"standard", "block", "full"}[kind], 100 * (size + 1), seed, flops,
                 1000 * (size + 1), loss);
    }
    assert_true(csv.length < sizeof f->csv);
}

static void fit_forgery(struct report *r, const char *csv)
{
    const struct fit_options options = {.axis = FIT_FLOPS, .seed = 1, .n_redraws = 20};
    struct error err = {0};
    if (!fit_points_parse(&r->points, "forgery", csv, strlen(csv), &err) ||
        !fit_points_arrange(&r->points, &err) ||
        !fit_report_make(&r->fits[FIT_FLOPS], &r->points,
                         fit_points_find_kind(&r->points, "standard"), &options, &err)) {
        fail_msg("%s", err.message);
    }
    r->has_fit[FIT_FLOPS] = true;
}

/* Legends have a line for each kind, or for each kind and size, not one for each run. */
static void a_hundred_runs_are_drawn_by_kind(void **state)
{
    (void)state;
    static const struct {
        figure_function *draw;
        const char *legend;
    } FIGURES[] = {
        {report_draw_steps, "title 'block (36 runs)'"},
        {report_draw_steps, "title 'block (36 pairs, 4 sizes)'"},
        {report_draw_compute, "title 'block, validation at the end'"},
        {report_draw_multiplier, "title 'a slope for each kind'"},
        {report_draw_shape, "title 'block'"},
        {report_draw_hops, "title 'block 5 × 8'"},
        {report_draw_maps, "'block 5 × 8: sources of the reads before the MLP"},
        {report_draw_magnitude, "title 'block'"},
        {report_draw_gradient, "title 'block'"},
    };
    struct forgery *f = calloc(1, sizeof *f);
    assert_non_null(f);
    forge(f);
    struct drawing *d = begin_drawing(f->runs, N_FORGED);
    fit_forgery(d->report, f->csv);
    for (size_t i = 0; i < sizeof FIGURES / sizeof FIGURES[0]; i++) {
        draw_on(d, FIGURES[i].draw);
        find_behind(d->body, FIGURES[i].legend);
        assert_null(strstr(d->body, "run-"));
        assert_null(strstr(d->data, "nan"));
        assert_null(strstr(d->data, "inf"));
        assert_non_null(d->figure.caption);
    }
    fit_report_finish(&d->report->fits[FIT_FLOPS]);
    fit_points_finish(&d->report->points);
    finish_drawing(d);
    json_document_finish(&f->look.document);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depths_are_compared_where_all_have_spent_about_the_same),
        cmocka_unit_test(lines_of_kinds_go_through_the_same_shapes),
        cmocka_unit_test(ends_are_drawn_off_the_curve_of_all),
        cmocka_unit_test(lines_are_of_one_sort_of_loss),
        cmocka_unit_test(kinds_are_compared_seed_by_seed),
        cmocka_unit_test(pairs_have_seen_the_same_batches),
        cmocka_unit_test(twins_are_in_no_pair),
        cmocka_unit_test(kinds_are_compared_along_one_depth),
        cmocka_unit_test(magnitudes_are_read_by_attention_and_put_out_by_mlps),
        cmocka_unit_test(gradients_are_of_both_sublayers_of_a_layer),
        cmocka_unit_test(maps_are_of_the_reads_that_their_titles_name),
        cmocka_unit_test(multipliers_stand_in_the_row_of_their_kind),
        cmocka_unit_test(a_hundred_runs_are_drawn_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
