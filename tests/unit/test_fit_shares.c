/* What of two kinds is compared: sizes, budgets and seeds that both have. */
#include <attnres/fit.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../support/fitting.h"

static const double SOLVED = 1e-6; /* relative */

/* The clock differs between seeds; that is no slope. */
static const char TIMES[] = "kind,size,compute,time,loss,seed\n"
                            "standard,1,1,1.00,2.00,1\nblock,1,1,1.10,1.95,1\n"
                            "standard,1,1,1.03,1.99,2\nblock,1,1,1.06,1.94,2\n"
                            "standard,1,1,1.01,2.01,3\nblock,1,1,1.08,1.96,3\n";

static void sizes_of_about_the_same_x_give_no_slope(void **state)
{
    (void)state;
    static const char NEAR[] = "standard,2,2,1.49,1.8,1\nblock,2,2,1.59,1.7,1\n",
                      FAR[] = "standard,3,4,1.61,1.6,1\nblock,3,4,1.77,1.5,1\n";
    for (int n_sizes = 1; n_sizes <= 3; n_sizes++) {
        char text[sizeof TIMES + sizeof NEAR + sizeof FAR];
        struct fit_points points = {0};
        snprintf(text, sizeof text, "%s%s%s", TIMES, n_sizes > 1 ? NEAR : "",
                 n_sizes > 2 ? FAR : "");
        fitting_parse(&points, text);
        struct fit_comparison c = fitting_compare_on(&points, FIT_TIME);
        for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
            assert_true(isnan(c.multiplier[slopes]) == (n_sizes < 3));
            assert_true(isnan(c.low[slopes]) == (n_sizes < 3));
            for (int group = 0; group < n_sizes; group++) { /* the one between the ends */
                assert_true(isnan(c.without[group].multiplier[slopes]) ==
                            (n_sizes < 3 || group != 1));
            }
        }
        assert_true(isnan(fit_curve_of(&points, 0, FIT_TIME).alpha) == (n_sizes < 3));
        fit_comparison_finish(&c);
        fit_points_finish(&points);
    }
}

static void kinds_are_compared_where_both_have_runs(void **state)
{
    (void)state;
    static const char BOTH[] = "kind,size,compute,loss\nstandard,1,1,2.0\nblock,1,1.02,1.9\n"
                               "standard,2,2,1.8\nblock,2,2.02,1.7\n";
    char text[sizeof BOTH + 32];
    struct fit_points both = {0}, more = {0};
    snprintf(text, sizeof text, "%sstandard,3,8,1.79\n", BOTH);
    fitting_parse(&both, BOTH);
    fitting_parse(&more, text);
    struct fit_comparison a = fitting_compare_on(&both, FIT_FLOPS),
                          b = fitting_compare_on(&more, FIT_FLOPS);
    assert_true(a.at == 2.0 && b.at == 2.0 && b.reach == 2.0);
    assert_true(a.multiplier[FIT_SEPARATE] == b.multiplier[FIT_SEPARATE]);
    assert_true(isnan(b.without[2].multiplier[FIT_COMMON]));
    assert_int_equal(a.n_left_out, 0);
    assert_int_equal(b.n_left_out, 1);
    fit_comparison_finish(&a);
    fit_comparison_finish(&b);
    fit_points_finish(&both);
    fit_points_finish(&more);
}

/* The kinds are the same; one has a run of the first size more, of half as many tokens again. */
static void a_budget_that_only_one_kind_has_moves_no_multiplier(void **state)
{
    (void)state;
    static const char BOTH[] = "kind,size,tokens,compute,loss\n"
                               "standard,1,20,20,2.0\nblock,1,20,20,2.0\n"
                               "standard,2,40,80,1.8\nblock,2,40,80,1.8\n"
                               "standard,4,80,320,1.65\nblock,4,80,320,1.65\n";
    char text[sizeof BOTH + 32];
    struct fit_points points = {0};
    snprintf(text, sizeof text, "%sstandard,1,30,30,1.95\n", BOTH);
    fitting_parse(&points, text);
    struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
    assert_int_equal(c.n_left_out, 1);
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        assert_true(fabs(c.multiplier[slopes] - 1.0) < SOLVED);
        assert_true(fabs(c.without[1].multiplier[slopes] - 1.0) < SOLVED);
    }
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

/* The kinds are the same, and no power law fits them; the baseline has two seeds more of the
 * largest. */
static void seeds_that_only_one_kind_has_move_no_multiplier(void **state)
{
    (void)state;
    static const char TEXT[] = "kind,size,tokens,compute,loss,seed\n"
                               "standard,1,20,1,2.0,1\nblock,1,20,1,2.0,1\n"
                               "standard,1,20,1,2.1,2\nblock,1,20,1,2.1,2\n"
                               "standard,2,40,4,1.6,1\nblock,2,40,4,1.6,1\n"
                               "standard,4,80,16,1.5,1\nblock,4,80,16,1.5,1\n"
                               "standard,4,80,16,1.51,2\nstandard,4,80,16,1.49,3\n";
    struct fit_points points = {0};
    fitting_parse(&points, TEXT);
    struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
    assert_int_equal(c.n_left_out, 2);
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        assert_true(fabs(c.multiplier[slopes] - 1.0) < SOLVED);
        assert_true(fabs(c.low[slopes] - 1.0) < SOLVED && fabs(c.high[slopes] - 1.0) < SOLVED);
    }
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

/* As many seeds, if not the same, weigh the same. */
static void other_seeds_are_as_good_where_there_are_as_many(void **state)
{
    (void)state;
    struct fit_points points = {0};
    fitting_parse(&points, "kind,size,tokens,compute,loss,seed\n"
                           "standard,1,20,1,2.0,1\nblock,1,20,1,2.0,4\n"
                           "standard,2,40,4,1.6,2\nblock,2,40,4,1.6,5\n");
    struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
    assert_int_equal(c.n_left_out, 0);
    assert_true(fabs(c.multiplier[FIT_SEPARATE] - 1.0) < SOLVED);
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

/* Without sizes kinds whose compute differs a little share no cell; and to leave one of its points
 * out would turn one curve alone. */
static void no_point_of_one_kind_alone_is_left_out(void **state)
{
    (void)state;
    struct fit_points points = {0};
    fitting_parse(&points, "kind,compute,loss\n"
                           "standard,1,2.0\nstandard,4,1.8\nstandard,16,1.7\n"
                           "block,1.01,2.0\nblock,4.04,1.8\nblock,16,1.7\n");
    struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
    assert_int_equal(points.n_groups, 5);
    for (int group = 0; group < 5; group++) {
        assert_int_equal(isnan(c.without[group].multiplier[FIT_SEPARATE]), group < 4);
    }
    fit_comparison_finish(&c);
    fit_points_finish(&points);
}

/* ln L = 3, 2, 1 - 0.3, with seeds at +-0.1: the line through these has the slope of the ends, and
 * its middle lies 0.1 below the mean of the middle, the ends 0.05 above theirs. */
static void a_misfit_is_that_of_the_mean_farthest_off(void **state)
{
    (void)state;
    static const double Y[3] = {3.0, 2.0, 0.7};
    char csv[1024];
    struct text t = {csv, sizeof csv, 0};
    struct fit_points points = {0};
    text_add(&t, "kind,size,compute,loss,seed\n");
    for (int size = 0; size < 3; size++) {
        for (int seed = 0; seed < 2; seed++) {
            text_add(&t, "block,%d,%.17g,%.17g,%d\n", size + 1, exp(size),
                     exp(Y[size] + (seed == 0 ? 0.1 : -0.1)), seed);
        }
    }
    fitting_parse(&points, csv);
    const struct fit_curve curve = fit_curve_of(&points, 0, FIT_FLOPS);
    const struct fit_misfit misfit = fit_misfit_of(&points, 0, curve, FIT_FLOPS);
    assert_true(fabs(curve.alpha - 1.15) < SOLVED);
    assert_int_equal(misfit.group, 1);
    assert_true(fabs(misfit.farthest - 0.1) < SOLVED);
    assert_true(fabs(misfit.scatter - 0.1 * sqrt(2.0)) < SOLVED);
    fit_points_finish(&points);
}

/* A third kind of a little fewer tokens begins the cell of all, and leaves the baseline out of it.
 */
static void cells_of_two_kinds_do_not_depend_on_a_third(void **state)
{
    (void)state;
    char text[512];
    struct fit_points two = {0}, three = {0};
    size_t n = (size_t)snprintf(text, sizeof text, "kind,size,tokens,compute,loss,seed\n");
    for (int i = 0; i < 4; i++) {
        const int size = 1 + i / 2, seed = i % 2;
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "standard,%d,100,%d,%g,%d\nblock,%d,96,%d,%g,%d\n", size, 4 * size,
                              2.0 - 0.2 * size + 0.01 * seed, seed, size, 4 * size,
                              1.9 - 0.2 * size + 0.012 * seed, seed);
    }
    fitting_parse(&two, text);
    snprintf(text + n, sizeof text - n, "full,1,94,4,1.7,0\nfull,2,94,8,1.5,0\n");
    fitting_parse(&three, text);
    assert_int_equal(three.n_cells, 4);
    struct fit_comparison a = fitting_compare_on(&two, FIT_FLOPS),
                          b = fitting_compare_on(&three, FIT_FLOPS);
    assert_null(a.no_interval);
    assert_null(b.no_interval);
    assert_true(a.multiplier[FIT_COMMON] == b.multiplier[FIT_COMMON]);
    assert_true(a.low[FIT_SEPARATE] == b.low[FIT_SEPARATE]);
    fit_comparison_finish(&a);
    fit_comparison_finish(&b);
    fit_points_finish(&two);
    fit_points_finish(&three);
}

/* Equal compute takes a kind that counts its reads fewer tokens. */
static void seeds_pair_where_tokens_are_about_the_same(void **state)
{
    (void)state;
    for (int block_tokens = 96; block_tokens >= 95; block_tokens--) {
        char text[512];
        struct fit_points points = {0};
        size_t n = (size_t)snprintf(text, sizeof text, "kind,size,compute,tokens,loss,seed\n");
        for (int i = 0; i < 4; i++) {
            const int size = 1 + i / 2, seed = i % 2;
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  "standard,%d,%d,100,%g,%d\nblock,%d,%d,%d,%g,%d\n", size,
                                  size * size, 2.0 - 0.2 * size + 0.01 * seed, seed, size,
                                  size * size, block_tokens, 1.9 - 0.2 * size + 0.012 * seed, seed);
        }
        fitting_parse(&points, text);
        assert_int_equal(points.n_groups, 2);
        assert_int_equal(points.n_cells, block_tokens == 96 ? 2 : 4);
        assert_int_equal(points.n_units, block_tokens == 96 ? 4 : 8);
        struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
        assert_true((c.no_interval == NULL) == (block_tokens == 96));
        assert_int_equal(c.n_left_out, block_tokens == 96 ? 0 : points.n);
        fit_comparison_finish(&c);
        fit_points_finish(&points);
    }
}

static void what_keeps_a_comparison_from_an_interval_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } CASES[] = {
        {"kind,compute,loss\nstandard,1,2.0\nblock,1,1.9\n",
         "the curves need two sizes that both kinds ran for as many tokens"},
        {"kind,compute,loss\nstandard,1,2.0\nstandard,1.4,1.9\nblock,1,1.9\nblock,1.4,1.8\n",
         "the curves need two sizes a factor of 1.5 apart or more"},
        {"kind,compute,loss\nstandard,1,2.0\nstandard,4,2.1\nblock,1,1.9\nblock,4,1.8\n",
         "the loss of the baseline does not fall, so that no multiple of it is enough"},
        {"kind,compute,loss\nstandard,1,2.0\nstandard,4,1.9\nblock,1.1,1.9\nblock,4.1,1.8\n",
         "no two points of the kinds have the same compute; their sizes would tell which belong "
         "together: give size"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fit_points points = {0};
        fitting_parse(&points, CASES[i].text);
        struct fit_comparison c = fitting_compare_on(&points, FIT_FLOPS);
        assert_string_equal(c.no_interval, CASES[i].reason);
        fit_comparison_finish(&c);
        fit_points_finish(&points);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_about_the_same_x_give_no_slope),
        cmocka_unit_test(kinds_are_compared_where_both_have_runs),
        cmocka_unit_test(a_budget_that_only_one_kind_has_moves_no_multiplier),
        cmocka_unit_test(seeds_that_only_one_kind_has_move_no_multiplier),
        cmocka_unit_test(other_seeds_are_as_good_where_there_are_as_many),
        cmocka_unit_test(no_point_of_one_kind_alone_is_left_out),
        cmocka_unit_test(a_misfit_is_that_of_the_mean_farthest_off),
        cmocka_unit_test(cells_of_two_kinds_do_not_depend_on_a_third),
        cmocka_unit_test(seeds_pair_where_tokens_are_about_the_same),
        cmocka_unit_test(what_keeps_a_comparison_from_an_interval_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
