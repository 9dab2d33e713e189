/* The rule for schedules that are too long to simulate, against the simulator. */
#include <attnres/schedule.h>

#include "../support/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Sums of the same numbers in another order. */
static const double ROUNDING = 1e-12;

static const struct {
    enum schedule_kind kind;
    int n_chunks;
} KINDS[] = {
    {SCHEDULE_GPIPE, 1}, {SCHEDULE_1F1B, 1},    {SCHEDULE_INTERLEAVED, 2}, {SCHEDULE_ZB_H1, 1},
    {SCHEDULE_ZB_V, 2},  {SCHEDULE_FORWARD, 2}, {SCHEDULE_FORWARD_V, 2},
};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0], N_TRAINING_KINDS = 5 };

static struct schedule_summary summarize(const struct schedule_spec *spec,
                                         const struct schedule_costs *costs, int64_t max_actions)
{
    struct schedule_summary summary;
    struct error err = {0};
    if (!schedule_summarize(&summary, spec, costs, max_actions, &err)) {
        fail_msg("%s", err.message);
    }
    return summary;
}

/* True if the rule was used. */
static bool compare(const struct schedule_spec *spec, const struct schedule_costs *costs)
{
    struct schedule_summary ruled = summarize(spec, costs, 0);
    const bool is_ruled = !ruled.is_whole;
    if (is_ruled) {
        struct schedule_summary whole = summarize(spec, costs, SCHEDULE_MAX_ACTIONS);
        assert_true(whole.is_whole);
        assert_true(fabs(ruled.makespan - whole.makespan) <= ROUNDING * whole.makespan);
        assert_int_equal(ruled.channel_depth, whole.channel_depth);
        for (int rank = 0; rank < spec->n_ranks; rank++) {
            assert_true(fabs(ruled.busy[rank] - whole.busy[rank]) <= ROUNDING * whole.busy[rank]);
            assert_int_equal(ruled.peak_live[rank], whole.peak_live[rank]);
            assert_int_equal(ruled.n_slots[rank], whole.n_slots[rank]);
            assert_int_equal(ruled.n_gradient_slots[rank], whole.n_gradient_slots[rank]);
        }
        schedule_summary_finish(&whole);
    }
    schedule_summary_finish(&ruled);
    return is_ruled;
}

static void rule_equals_the_simulator_up_to_16_ranks_and_64_microbatches(void **state)
{
    (void)state;
    const struct schedule_costs unit = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    int n_ruled = 0, n_legal = 0;
    for (int k = 0; k < N_TRAINING_KINDS; k++) {
        for (int P = 1; P <= 16; P++) {
            for (int M = 1; M <= 64; M++) {
                const struct schedule_spec spec = {KINDS[k].kind, P, KINDS[k].n_chunks, 0, M};
                const bool legal = KINDS[k].kind != SCHEDULE_INTERLEAVED || M % P == 0;
                n_ruled += legal && sample_takes(n_legal++) && compare(&spec, &unit);
            }
        }
    }
    /* All of at least 4 P microbatches. */
    assert_true(sample_every() > 1 || n_ruled == 4 * 496 + 163);
}

static void rule_holds_where_messages_take_time(void **state)
{
    (void)state;
    static const struct schedule_costs costs[] = {
        {.forward = 1, .input_gradient = 1, .weight_gradient = 1, .send_after_weights = true},
        {.forward = 1, .input_gradient = 1.3, .weight_gradient = 0.8, .send = 0.2},
        {.forward = 1, .input_gradient = 1, .weight_gradient = 1, .send = 2},
        {.forward = 1, .input_gradient = 2, .weight_gradient = 0.5, .send = 0.05}};
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        for (int k = 0; k < N_KINDS; k++) {
            for (int P = 2; P <= 5; P++) {
                const struct schedule_spec spec = {KINDS[k].kind, P, KINDS[k].n_chunks, 0, 12 * P};
                assert_true(compare(&spec, &costs[i]));
            }
        }
    }
}

static void groups_other_than_the_ranks_are_the_period(void **state)
{
    (void)state;
    const struct schedule_costs unit = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    for (int M = 20; M <= 60; M++) {
        const struct schedule_spec spec = {SCHEDULE_INTERLEAVED, 3, 2, 5, M};
        if (M % 5 == 0 || M % 5 >= 3) {
            assert_true(compare(&spec, &unit));
        }
    }
}

static void long_schedules_are_summarised_without_building_them(void **state)
{
    (void)state;
    const struct schedule_costs unit = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    const struct schedule_spec spec = {SCHEDULE_1F1B, 64, 1, 0, 1000000000};
    struct schedule schedule;
    struct error err = {0};
    assert_false(schedule_init(&schedule, &spec, &err));
    struct schedule_summary summary = summarize(&spec, &unit, SCHEDULE_MAX_ACTIONS);
    assert_false(summary.is_whole);
    assert_true(summary.makespan == 3e9 + 2 * 63);
    assert_int_equal(summary.n_slots[0], 64);
    schedule_summary_finish(&summary);
}

static void illegal_specs_are_refused(void **state)
{
    (void)state;
    const struct schedule_costs unit = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    const struct schedule_spec spec = {SCHEDULE_INTERLEAVED, 4, 2, 0, 1000000001};
    struct schedule_summary summary;
    struct error err = {0};
    assert_false(schedule_summarize(&summary, &spec, &unit, SCHEDULE_MAX_ACTIONS, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.message, "1000000000 microbatches"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_equals_the_simulator_up_to_16_ranks_and_64_microbatches),
        cmocka_unit_test(rule_holds_where_messages_take_time),
        cmocka_unit_test(groups_other_than_the_ranks_are_the_period),
        cmocka_unit_test(long_schedules_are_summarised_without_building_them),
        cmocka_unit_test(illegal_specs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
