/* The figure of accuracies per hop, as text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../support/drawing.h"

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
    assert_non_null(strstr(d->body, "$h0_0 using 1:2 with lines"));
    assert_non_null(strstr(d->body, "$h0_1 using 1:2 with lines"));
    assert_non_null(strstr(d->data, "$i0_0 << EOD\n0.93 0.2\n0.93 0.4\nEOD\n"));
    assert_non_null(strstr(d->data, "$g0 << EOD\n1 0.2 0.3 0\nEOD\n")); /* of 100 items, not 4 */
    assert_non_null(strstr(d->body, "title 'block 4 × 8'"));
    assert_non_null(strstr(d->body, "title 'block 6 × 8'"));
    assert_non_null(strstr(d->body, "set yrange [0.1825:0.5675]"));
    finish_drawing(d);
}

/* In panels of tasks that have one; the first panel names it. Older files have none. */
static void the_best_shortcut_is_a_line_beside_guesses(void **state)
{
    (void)state;
    struct report_hops one = answered(0.4, 100, 0.3), hops[] = {one, one, one};
    hops[0].task = TASK_PTR;
    hops[1].shortcut = 0.625;
    hops[2].hops = 2;
    hops[2].shortcut = NAN;
    struct report_run run = {.kind = 1, .hops = hops, .n_hops = 3};
    struct drawing *d = draw(report_draw_hops, &run, 1, NULL);
    assert_non_null(strstr(d->data, "$g1 << EOD\n1 0.2 0.3 0.625\n2 0.2 0.3 nan\nEOD\n"));
    assert_non_null(strstr(d->body, "NaN with lines dt 4 lw 1.5 lc rgb '#888888' title"));
    assert_true(strstr(d->body, "$g1 using 1:4") != NULL &&
                strstr(d->body, "$g0 using 1:4") == NULL);
    assert_non_null(strstr(d->body, "set yrange [0.17875:0.64625]"));
    finish_drawing(d);
}

/* Two rates of one kind with one seed are no two seeds: neither is drawn. Cut items are told. */
static void twins_have_no_mean(void **state)
{
    (void)state;
    char bytes[512] = "";
    struct text notes = {bytes, sizeof bytes, 0};
    struct report_hops hops[4];
    struct report_run runs[4];
    for (int i = 0; i < 4; i++) {
        hops[i] = answered(0.2 + 0.1 * i, 100, 0.3);
        runs[i] = (struct report_run){.kind = 1,
                                      .n_layers = 4,
                                      .dim = 8,
                                      .n_steps = 9,
                                      .seed = i == 0 ? 2 : i,
                                      .hops = &hops[i],
                                      .n_hops = 1};
    }
    hops[3].n_cut = 1;
    struct drawing *d = begin_drawing(runs, 4);
    d->report->notes = &notes;
    report_check_hops(d->report);
    draw_on(d, report_draw_hops);
    assert_non_null(strstr(d->data, "$i0_0 << EOD\n1 0.3\n1 0.5\nEOD\n"));
    assert_non_null(strstr(bytes, "share kind, size, steps and seed with another one (2): give"));
    assert_non_null(strstr(bytes, "accuracies per hop of 1 run count items that lost"));
    finish_drawing(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracies_are_means_over_runs_that_differ_in_their_seed),
        cmocka_unit_test(the_best_shortcut_is_a_line_beside_guesses),
        cmocka_unit_test(twins_have_no_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
