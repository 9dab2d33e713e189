#include <attnres/fit.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/rng.h>

#include "../support/fitting.h"
#include "../support/sample.h"

static const double PRINTED = 0.002; /* what is printed has three digits */
static const double QUANTILE = 5e-4; /* tables of t have three decimals */
static const double SOLVED = 1e-6;   /* relative */
static const double UNEQUAL = 3.3;   /* a scatter from which people are told */

/* Attention Residuals, arXiv 2603.15031: PFLOP/s-days and loss. */
static const char PAPER[] = "kind,compute,loss\n"
                            "standard,0.69,1.931\nstandard,1.04,1.895\nstandard,1.69,1.829\n"
                            "standard,3.35,1.766\nstandard,5.60,1.719\n"
                            "block,0.69,1.909\nblock,1.04,1.875\nblock,1.69,1.809\n"
                            "block,3.35,1.746\nblock,5.60,1.693\n";

static void printed_fits_give_the_printed_multiplier(void **state)
{
    (void)state;
    const struct fit_curve standard = {log(1.891), 0.057}, block = {log(1.870), 0.058};
    assert_true(fabs(fit_multiplier(standard, block, 5.6) - 1.254) < PRINTED);
}

static void printed_points_give_their_multipliers(void **state)
{
    (void)state;
    struct fit_points points = {0};
    fitting_parse(&points, PAPER);
    struct fit_comparison c = fitting_compare(&points, "block", 5.6, 100, 1);
    assert_true(fabs(c.multiplier[FIT_SEPARATE] - 1.274) < PRINTED);
    assert_true(fabs(c.multiplier[FIT_COMMON] - 1.232) < PRINTED);
    assert_string_equal(c.no_interval, "no size has two seeds that both kinds ran for as many "
                                       "tokens: what another seed would change is not known");
    assert_true(isnan(c.low[FIT_SEPARATE]) && isnan(c.high[FIT_COMMON]));
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

static void a_size_left_out_is_as_if_it_had_not_been_run(void **state)
{
    (void)state;
    struct fit_points all = {0}, rest = {0};
    char text[sizeof PAPER];
    memcpy(text, PAPER, sizeof PAPER);
    for (char *found = text; (found = strstr(found, ",1.69,")) != NULL; found++) {
        char *start = found;
        while (start[-1] != '\n') {
            start--;
        }
        *start = '#';
    }
    fitting_parse(&all, PAPER);
    fitting_parse(&rest, text);
    assert_int_equal(rest.n, 8);
    struct fit_comparison a = fitting_compare(&all, "block", 5.6, 100, 1);
    struct fit_comparison b = fitting_compare(&rest, "block", 5.6, 100, 1);
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        assert_true(a.without[2].multiplier[slopes] == b.multiplier[slopes]);
    }
    fit_comparison_finish(&a);
    fit_comparison_finish(&b);
    fit_points_finish(&all);
    fit_points_finish(&rest);
}

/* Exact power laws, and what seeds do to them: partly the same for both kinds. */
struct known {
    double alpha, multiplier;
    double shared_noise, own_noise;
    int n_sizes, n_seeds;
    double first_noise, last_noise; /* of the smallest and the largest size, in times */
};

static void draw_points(struct fit_points *points, const struct known *known, uint64_t seed)
{
    enum { LINE = 128 };
    const uint64_t key = rng_key(seed, "known law");
    const size_t capacity = (size_t)(known->n_sizes * known->n_seeds * 2 + 1) * LINE;
    char *text = calloc(capacity, 1);
    assert_non_null(text);
    size_t length = (size_t)snprintf(text, capacity, "kind,size,compute,loss,seed\n");
    uint64_t draw = 0;
    for (int size = 0; size < known->n_sizes; size++) {
        const double times = size == 0                    ? known->first_noise
                             : size == known->n_sizes - 1 ? known->last_noise
                                                          : 1.0;
        for (int s = 0; s < known->n_seeds; s++) {
            const double shared = times * known->shared_noise * rng_normal_at(key, draw++);
            for (int kind = 0; kind < 2; kind++) {
                const double compute = pow(7.0, size) * (kind == 0 ? 1.0 : 1.02);
                const double worth = kind == 0 ? 1.0 : known->multiplier;
                const double noise = shared + times * known->own_noise * rng_normal_at(key, draw++);
                length +=
                    (size_t)snprintf(text + length, capacity - length, "%s,%d,%.17g,%.17g,%d\n",
                                     kind == 0 ? "standard" : "block", size + 1, compute,
                                     2.0 * pow(worth * compute, -known->alpha) * exp(noise), s);
            }
        }
    }
    fitting_parse(points, text);
    free(text);
}

enum { DRAWS = 1000, REDRAWS = 400 };

/** Of DRAWS (fewer where no share of them is asserted): whose interval holds the true multiplier,
 * and whose scatter is at least UNEQUAL. */
struct covered {
    int inside[FIT_SLOPES], scattered;
};

static struct covered cover(const struct known *known)
{
    struct covered covered = {0};
    for (int draw = 0; draw < DRAWS / sample_every(); draw++) {
        struct fit_points points = {0};
        draw_points(&points, known, (uint64_t)draw);
        struct fit_comparison c = fitting_compare(&points, "block", 0.0, REDRAWS, (uint64_t)draw);
        assert_null(c.no_interval);
        assert_int_equal(c.freedom, known->n_sizes * (known->n_seeds - 1));
        for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
            covered.inside[slopes] +=
                c.low[slopes] <= known->multiplier && known->multiplier <= c.high[slopes];
        }
        covered.scattered += c.scatter >= UNEQUAL;
        fit_comparison_finish(&c);
        fit_points_finish(&points);
    }
    return covered;
}

static void intervals_hold_the_true_multiplier_in_95_of_100_draws(void **state)
{
    (void)state;
    enum { LEAST = 930, MOST = 970 };
    static const struct known KNOWN[] = {{0.06, 1.25, 0.002, 0.001, 3, 3, 1.0, 1.0},
                                         {0.10, 1.10, 0.000, 0.003, 4, 3, 1.0, 1.0},
                                         {0.05, 1.00, 0.003, 0.001, 5, 2, 1.0, 1.0}};
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        const struct covered covered = cover(&KNOWN[i]);
        for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
            if (sample_every() == 1 &&
                (covered.inside[slopes] < LEAST || covered.inside[slopes] > MOST)) {
                fail_msg("law %zu, slopes %d: %d of %d inside", i, (int)slopes,
                         covered.inside[slopes], DRAWS);
            }
        }
    }
}

/* Four sizes and three seeds. Whether kinds share their noise matters to chance alone. */
static void unequal_noise_is_mostly_told_and_equal_noise_seldom(void **state)
{
    (void)state;
    static const struct {
        struct known known;
        int inside[FIT_SLOPES][2], scattered[2]; /* least and most of 1000 */
    } CASES[] = {
        {{0.1, 1.1, 0.002, 0.002, 4, 3, 1.0, 1.0}, {{930, 970}, {930, 970}}, {0, 20}},
        {{0.1, 1.1, 0.003, 0.001, 4, 3, 1.0, 1.0}, {{930, 970}, {930, 970}}, {10, 50}},
        {{0.1, 1.1, 0.002, 0.002, 4, 3, 4.0, 1.0}, {{960, 990}, {880, 930}}, {550, 680}},
        {{0.1, 1.1, 0.002, 0.002, 4, 3, 1.0, 4.0}, {{750, 820}, {880, 930}}, {550, 680}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct covered covered = cover(&CASES[i].known);
        const int found[] = {covered.inside[0], covered.inside[1], covered.scattered};
        const int *const bounds[] = {CASES[i].inside[0], CASES[i].inside[1], CASES[i].scattered};
        for (int k = 0; k < 3; k++) {
            if (sample_every() == 1 && (found[k] < bounds[k][0] || found[k] > bounds[k][1])) {
                fail_msg("case %zu, number %d: %d of %d", i, k, found[k], DRAWS);
            }
        }
    }
}

/* Deviations of -d, 0, d are of variance d^2. */
static void scatter_is_that_of_one_size_against_the_others(void **state)
{
    (void)state;
    static const struct {
        double first_gap;
        int n_seeds;
        double scatter;
        const char *line;
    } CASES[] = {
        {0.04, 3, 4.0,
         "    seeds scatter 4.0 times as much at size 1 as at the others: the interval pools them, "
         "and may be too narrow\n"},
        {0.02, 3, 2.0, NULL},
        {0.04, 2, NAN, NULL},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fit_points points = {0};
        char text[8192];
        struct text csv = {text, sizeof text, 0};
        text_add(&csv, "kind,size,compute,loss,seed\n");
        for (int run = 0; run < 6 * CASES[i].n_seeds; run++) {
            const int size = run / (2 * CASES[i].n_seeds), seed = run / 2 % CASES[i].n_seeds;
            const double gap = size == 0 ? CASES[i].first_gap : 0.01;
            text_add(&csv, "%s,%d,%g,%.17g,%d\n", run % 2 == 0 ? "standard" : "block", size + 1,
                     pow(10.0, size), exp(1.0 - 0.1 * size + gap * (seed - 1)), seed);
        }
        fitting_parse(&points, text);
        struct fit_report report;
        struct error err = {0};
        const struct fit_options options = {.seed = 1, .n_redraws = 100};
        assert_true(fit_report_make(&report, &points, 0, &options, &err));
        assert_true(fit_report_print(&report, &points, text, sizeof text) < sizeof text);
        assert_true((strstr(text, "scatter") != NULL) == (CASES[i].line != NULL));
        assert_true(CASES[i].line == NULL || strstr(text, CASES[i].line) != NULL);
        struct json_writer w;
        json_writer_init(&w, text, sizeof text);
        json_begin_object(&w, NULL);
        fit_report_write_json(&w, &report, &points);
        json_end_object(&w);
        assert_true(json_writer_ok(&w));
        const double scatter = report.comparisons[0].scatter;
        assert_true(isnan(CASES[i].scatter) ? isnan(scatter)
                                            : fabs(scatter - CASES[i].scatter) < SOLVED);
        assert_non_null(strstr(text, isnan(scatter) ? "\"scatter\": null" : "\"scatter\": "));
        fit_report_finish(&report);
        fit_points_finish(&points);
    }
}

static void seeds_shared_by_the_kinds_cancel(void **state)
{
    (void)state;
    struct fit_points points = {0};
    draw_points(&points, &(struct known){0.06, 1.25, 0.01, 0.0, 3, 3, 1.0, 1.0}, 1);
    struct fit_comparison c = fitting_compare(&points, "block", 49.0, 400, 1);
    assert_null(c.no_interval);
    assert_true(fabs(c.multiplier[FIT_COMMON] - 1.25) < 0.01);
    /* Left is what the noise does to the slope, in a kind that has 2 % more compute. */
    assert_true(c.high[FIT_COMMON] - c.low[FIT_COMMON] < 0.06);
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

static void redraws_depend_on_their_seed_alone(void **state)
{
    (void)state;
    struct fit_points points = {0};
    draw_points(&points, &(struct known){0.06, 1.25, 0.002, 0.001, 3, 3, 1.0, 1.0}, 1);
    struct fit_comparison a = fitting_compare(&points, "block", 49.0, 400, 1),
                          b = fitting_compare(&points, "block", 49.0, 400, 1),
                          other = fitting_compare(&points, "block", 49.0, 400, 2);
    assert_true(a.low[FIT_SEPARATE] == b.low[FIT_SEPARATE]);
    assert_true(a.low[FIT_SEPARATE] != other.low[FIT_SEPARATE]);
    fit_comparison_finish(&a);
    fit_comparison_finish(&b);
    fit_comparison_finish(&other);
    fit_points_finish(&points);
}

static void another_kind_changes_no_comparison(void **state)
{
    (void)state;
    char text[sizeof PAPER + 64];
    snprintf(text, sizeof text, "%sfull,0.69,1.899\nfull,5.60,1.692\n", PAPER);
    struct fit_points two = {0}, three = {0};
    fitting_parse(&two, PAPER);
    fitting_parse(&three, text);
    struct fit_comparison a = fitting_compare(&two, "block", 5.6, 100, 1);
    struct fit_comparison b = fitting_compare(&three, "block", 5.6, 100, 1);
    assert_true(a.multiplier[FIT_COMMON] == b.multiplier[FIT_COMMON]);
    fit_comparison_finish(&a);
    fit_comparison_finish(&b);
    fit_points_finish(&two);
    fit_points_finish(&three);
}

static void an_interval_that_reaches_zero_has_no_low_end(void **state)
{
    (void)state;
    char words[64] = "";
    struct text t = {words, sizeof words, 0};
    fit_add_interval(&t, 2, 1.2, 1.3);
    text_add(&t, "; ");
    fit_add_interval(&t, 2, -0.85, 4.8);
    text_add(&t, "; ");
    fit_add_interval(&t, 4, -1e99, 1e99);
    assert_string_equal(words, "1.20 to 1.30; below 4.80; below 1e+99");
}

static void a_multiplier_of_any_size_is_printed_whole(void **state)
{
    (void)state;
    struct fit_points points = {0};
    struct fit_report report;
    struct error err = {0};
    const struct fit_options options = {.seed = 1, .n_redraws = 100};
    char text[4096];
    fitting_parse(&points, "kind,compute,loss\nstandard,1,2.0\nstandard,4,1.999\n"
                           "block,1,1.6\nblock,4,1.5\n");
    assert_true(fit_report_make(&report, &points, 0, &options, &err));
    assert_true(report.comparisons[0].multiplier[FIT_SEPARATE] > 1e100);
    assert_true(fit_report_print(&report, &points, text, sizeof text) < sizeof text);
    char expected[32];
    snprintf(expected, sizeof expected, " %.4g\n", report.comparisons[0].multiplier[FIT_SEPARATE]);
    assert_non_null(strstr(text, expected));
    fit_report_finish(&report);
    fit_points_finish(&points);
}

static void quantiles_are_those_of_the_tables(void **state)
{
    (void)state;
    static const struct {
        double p;
        int freedom;
        double t;
    } TABLE[] = {
        {0.975, 1, 12.706}, {0.975, 2, 4.303},  {0.975, 3, 3.182},    {0.975, 4, 2.776},
        {0.975, 6, 2.447},  {0.975, 7, 2.365},  {0.975, 18, 2.101},   {0.975, 30, 2.042},
        {0.95, 5, 2.015},   {0.995, 10, 3.169}, {0.9, 1, 3.078},      {0.975, 120, 1.980},
        {0.5, 4, 0.0},      {0.75, 1, 1.0},     {0.975, 9999, 1.960},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        const double t = fit_student_quantile(TABLE[i].p, TABLE[i].freedom);
        if (fabs(t - TABLE[i].t) > QUANTILE) {
            fail_msg("t(%g, %d) = %.4f, not %.3f", TABLE[i].p, TABLE[i].freedom, t, TABLE[i].t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printed_fits_give_the_printed_multiplier),
        cmocka_unit_test(printed_points_give_their_multipliers),
        cmocka_unit_test(a_size_left_out_is_as_if_it_had_not_been_run),
        cmocka_unit_test(intervals_hold_the_true_multiplier_in_95_of_100_draws),
        cmocka_unit_test(unequal_noise_is_mostly_told_and_equal_noise_seldom),
        cmocka_unit_test(scatter_is_that_of_one_size_against_the_others),
        cmocka_unit_test(seeds_shared_by_the_kinds_cancel),
        cmocka_unit_test(redraws_depend_on_their_seed_alone),
        cmocka_unit_test(another_kind_changes_no_comparison),
        cmocka_unit_test(an_interval_that_reaches_zero_has_no_low_end),
        cmocka_unit_test(a_multiplier_of_any_size_is_printed_whole),
        cmocka_unit_test(quantiles_are_those_of_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
