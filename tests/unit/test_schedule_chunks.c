/* The schedules beyond 1f1b: several stages per rank, and weight gradients that wait. */
#include <attnres/schedule.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../support/sample.h"

static const struct {
    enum schedule_kind kind;
    int n_chunks;
} KINDS[] = {
    {SCHEDULE_GPIPE, 1},       {SCHEDULE_1F1B, 1},    {SCHEDULE_INTERLEAVED, 2},
    {SCHEDULE_INTERLEAVED, 3}, {SCHEDULE_ZB_H1, 1},   {SCHEDULE_ZB_V, 2},
    {SCHEDULE_FORWARD, 1},     {SCHEDULE_FORWARD, 3}, {SCHEDULE_FORWARD_V, 2},
};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static struct schedule_spec make_spec(enum schedule_kind kind, int n_chunks, int P, int M)
{
    return (struct schedule_spec){
        .kind = kind, .n_ranks = P, .n_chunks = n_chunks, .n_microbatches = M};
}

static struct schedule build(const struct schedule_spec *spec)
{
    struct schedule schedule;
    struct error err = {0};
    if (!schedule_init(&schedule, spec, &err)) {
        fail_msg("%s", err.message);
    }
    return schedule;
}

static struct schedule_simulation simulate(const struct schedule *schedule, bool after_weights)
{
    const double share = 1.0 / schedule->spec.n_chunks;
    const struct schedule_costs costs = {.forward = share,
                                         .input_gradient = share,
                                         .weight_gradient = share,
                                         .send_after_weights = after_weights};
    struct schedule_simulation simulation;
    struct error err = {0};
    if (!schedule_simulate(&simulation, schedule, &costs, &err)) {
        fail_msg("%s", err.message);
    }
    return simulation;
}

static double makespan(const struct schedule_spec *spec, bool after_weights)
{
    struct schedule schedule = build(spec);
    struct schedule_simulation simulation = simulate(&schedule, after_weights);
    const double result = simulation.makespan;
    schedule_simulation_finish(&simulation);
    schedule_finish(&schedule);
    return result;
}

static void makespans_equal_the_published_table(void **state)
{
    (void)state;
    static const struct {
        int P, M;
        double twice_after_weights, twice, four_after_weights, four, zb_h1, zb_v;
    } rows[] = {
        {2, 4, 13.5, 13, 12.75, 12.5, 13, 12.5},      {4, 8, 28.5, 27, 26.25, 25.5, 27, 25.5},
        {4, 16, 52.5, 51, 50.25, 49.5, 51, 49.5},     {8, 16, 58.5, 55, 53.25, 51.5, 55, 51.5},
        {8, 32, 106.5, 103, 101.25, 99.5, 103, 99.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int P = rows[i].P, M = rows[i].M;
        const struct schedule_spec two = make_spec(SCHEDULE_INTERLEAVED, 2, P, M),
                                   four = make_spec(SCHEDULE_INTERLEAVED, 4, P, M),
                                   zb_h1 = make_spec(SCHEDULE_ZB_H1, 1, P, M),
                                   zb_v = make_spec(SCHEDULE_ZB_V, 2, P, M);
        assert_true(makespan(&two, true) == rows[i].twice_after_weights);
        assert_true(makespan(&two, false) == rows[i].twice);
        assert_true(makespan(&four, true) == rows[i].four_after_weights);
        assert_true(makespan(&four, false) == rows[i].four);
        assert_true(makespan(&zb_h1, false) == rows[i].zb_h1);
        assert_true(makespan(&zb_v, false) == rows[i].zb_v);
    }
}

static void peak_live_microbatches_follow_the_kind(void **state)
{
    (void)state;
    for (int M = 8; M <= 16; M++) {
        const struct schedule_spec specs[] = {make_spec(SCHEDULE_INTERLEAVED, 2, 4, M - M % 4),
                                              make_spec(SCHEDULE_ZB_H1, 1, 4, M),
                                              make_spec(SCHEDULE_ZB_V, 2, 4, M)};
        for (int k = 0; k < 3; k++) {
            struct schedule schedule = build(&specs[k]);
            struct schedule_simulation simulation = simulate(&schedule, false);
            for (int rank = 0; rank < 4; rank++) {
                const int live[] = {11 - 2 * rank, 4, 8};
                const int gradients[] = {1, 1 + rank, 1 + 2 * rank};
                assert_int_equal(simulation.peak_live[rank], live[k]);
                assert_int_equal(schedule.n_slots[rank], live[k]);
                assert_int_equal(schedule.n_gradient_slots[rank], gradients[k]);
            }
            schedule_simulation_finish(&simulation);
            schedule_finish(&schedule);
        }
    }
}

static void text_equals_the_fixture(void **state)
{
    (void)state;
    static const struct {
        struct schedule_spec spec;
        const char *text;
    } rows[] = {
        {{SCHEDULE_INTERLEAVED, 2, 2, 0, 2},
         "0F0 0F1 1F0 1F1 1B0 1B1 0B0 0B1\n0F0 0F1 1F0 1B0 1F1 1B1 0B0 0B1\n"},
        {{SCHEDULE_INTERLEAVED, 2, 2, 3, 5},
         "0F0 0F1 0F2 1F0 1F1 1F2 1B0 0F3 1B1 0F4 1B2 1F3 0B0 1F4 0B1 0B2 1B3 1B4 0B3 0B4\n"
         "0F0 0F1 0F2 1F0 1B0 1F1 1B1 1F2 1B2 0F3 0B0 0F4 0B1 1F3 0B2 1F4 1B3 1B4 0B3 0B4\n"},
        {{SCHEDULE_INTERLEAVED, 1, 2, 0, 2}, "0F0 1F0 1B0 0F1 0B0 1F1 1B1 0B1\n"},
        {{SCHEDULE_ZB_H1, 3, 1, 0, 4},
         "F0 F1 F2 B0 F3 B1 B2 B3\nF0 F1 I0 F2 I1 W0 F3 I2 W1 I3 W2 W3\n"
         "F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3\n"},
        {{SCHEDULE_ZB_H1, 3, 1, 0, 1}, "F0 B0\nF0 B0\nF0 B0\n"},
        {{SCHEDULE_ZB_V, 2, 2, 0, 3},
         "0F0 0F1 0F2 1F0 1B0 1F1 1B1 0B0 1F2 1B2 0B1 0B2\n"
         "0F0 1F0 0F1 1F1 1B0 0F2 0B0 1F2 1B1 0I1 1I2 0I2 0W1 1W2 0W2\n"},
        {{SCHEDULE_ZB_V, 2, 2, 0, 1}, "0F0 1F0 1B0 0B0\n0F0 1F0 1B0 0B0\n"},
        {{SCHEDULE_FORWARD, 2, 2, 0, 3}, "0F0 0F1 1F0 1F1 0F2 1F2\n0F0 0F1 1F0 1F1 0F2 1F2\n"},
        {{SCHEDULE_FORWARD_V, 2, 2, 0, 4},
         "0F0 0F1 0F2 1F0 0F3 1F1 1F2 1F3\n0F0 1F0 0F1 1F1 0F2 1F2 0F3 1F3\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule = build(&rows[i].spec), parsed;
        char text[512];
        struct error err = {0};
        const size_t length = schedule_print(&schedule, text, sizeof text);
        assert_string_equal(text, rows[i].text);
        assert_true(schedule_parse(&parsed, &rows[i].spec, text, length, &err));
        const size_t n = (size_t)schedule.first_action[schedule.spec.n_ranks];
        assert_memory_equal(parsed.actions, schedule.actions, n * sizeof *parsed.actions);
        assert_int_equal(parsed.channel_depth, schedule.channel_depth);
        schedule_finish(&parsed);
        schedule_finish(&schedule);
    }
}

static void grid_shows_chunks_and_waiting(void **state)
{
    (void)state;
    const struct schedule_spec spec = make_spec(SCHEDULE_ZB_V, 2, 2, 3);
    struct schedule schedule = build(&spec);
    char text[512];
    schedule_print_grid(&schedule, 100, text, sizeof text);
    assert_string_equal(
        text, "rank 0    0F0 0F1 0F2 1F0 1I0 1W0 1F1 1I1 1W1 0I0 0W0 1F2 1I2 1W2 0I1 0W1 0I2 0W2 \n"
              "rank 1    .   0F0 1F0 0F1 1F1 1I0 1W0 0F2 0I0 0W0 1F2 1I1 1W1 0I1 1I2 0I2 0W1 1W2 "
              "0W2 \n");
    schedule_finish(&schedule);
}

static void stages_and_places_are_inverse(void **state)
{
    (void)state;
    const struct schedule_spec v = make_spec(SCHEDULE_ZB_V, 2, 4, 8);
    const int ranks[] = {0, 1, 2, 3, 3, 2, 1, 0};
    for (int stage = 0; stage < 8; stage++) {
        int rank = -1, chunk = -1;
        schedule_place(&v, stage, &rank, &chunk);
        assert_int_equal(rank, ranks[stage]);
        assert_int_equal(chunk, stage / 4);
    }
    for (int k = 0; k < N_KINDS; k++) {
        const struct schedule_spec spec = make_spec(KINDS[k].kind, KINDS[k].n_chunks, 5, 5);
        struct schedule_spec forward = spec;
        forward.kind = schedule_forward_kind(spec.kind);
        for (int stage = 0; stage < 5 * spec.n_chunks; stage++) {
            int rank = -1, chunk = -1, forward_rank = -1;
            schedule_place(&spec, stage, &rank, &chunk);
            assert_int_equal(schedule_stage(&spec, rank, chunk), stage);
            schedule_place(&forward, stage, &forward_rank, &chunk);
            assert_int_equal(forward_rank, rank);
        }
    }
}

/* Weights' gradients add up in microbatch order, and messages are taken first in,
 * first out: in each chunk every kind of action takes the microbatches in ascending order. */
static void check_ascending(const struct schedule *schedule)
{
    for (int rank = 0; rank < schedule->spec.n_ranks; rank++) {
        int next[3][ACTION_WEIGHT_GRADIENT + 1] = {{0}};
        for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
            const struct action *action = &schedule->actions[i];
            assert_int_equal(action->microbatch, next[action->chunk][action->op]++);
        }
    }
}

static void every_small_grid_simulates_in_order_and_without_spare_slots(void **state)
{
    (void)state;
    for (int P = 1; P <= 8; P++) {
        for (int M = 1; M <= 24; M++) {
            for (int k = 0; k < N_KINDS; k++) {
                const struct schedule_spec spec = make_spec(KINDS[k].kind, KINDS[k].n_chunks, P, M);
                const bool interleaved = spec.kind == SCHEDULE_INTERLEAVED;
                if (interleaved && M < P) {
                    continue;
                }
                if (interleaved && M % P != 0) {
                    continue; /* the last group would be short of the ranks */
                }
                struct schedule schedule = build(&spec);
                struct schedule_simulation simulation = simulate(&schedule, false);
                check_ascending(&schedule);
                assert_in_range(schedule.channel_depth, 1,
                                interleaved && P > 2 ? (P + 1) / 2 + 1 : 2);
                const bool forward = spec.kind >= SCHEDULE_FORWARD;
                for (int rank = 0; rank < P; rank++) {
                    assert_true(forward || schedule.n_slots[rank] == simulation.peak_live[rank]);
                }
                schedule_simulation_finish(&simulation);
                schedule_finish(&schedule);
            }
        }
    }
}

static void groups_are_legal_exactly_as_the_rule_says(void **state)
{
    (void)state;
    for (int P = 1; P <= 8; P++) {
        for (int M = 1; M <= 24; M += P % 3 + 1) {
            for (int N = 1; N <= M + 2; N++) {
                struct schedule_spec spec = make_spec(SCHEDULE_INTERLEAVED, 2, P, M);
                spec.group = N;
                struct schedule schedule = {0};
                struct error err = {0};
                const bool legal = P <= N && N <= M && (M % N == 0 || M % N >= P);
                assert_int_equal(schedule_init(&schedule, &spec, &err), legal);
                if (legal) {
                    check_ascending(&schedule);
                    const int most = N > (P + 1) / 2 + 1 ? N : (P + 1) / 2 + 1;
                    assert_in_range(schedule.channel_depth, 1, most > 2 ? most : 2);
                }
                schedule_finish(&schedule);
            }
        }
    }
}

static void illegal_specs_name_the_rule_and_the_nearest_legal_value(void **state)
{
    (void)state;
    static const struct {
        struct schedule_spec spec;
        const char *found, *rule, *nearest;
    } rows[] = {
        {{SCHEDULE_1F1B, 2, 2, 0, 4},
         "pipeline.chunks is 2",
         "1f1b gives each rank 1",
         "nearest legal value 1"},
        {{SCHEDULE_ZB_H1, 2, 3, 0, 4},
         "pipeline.chunks is 3",
         "zb_h1 gives each rank 1",
         "nearest legal value 1"},
        {{SCHEDULE_ZB_V, 2, 1, 0, 4},
         "pipeline.chunks is 1",
         "zb_v gives each rank 2",
         "nearest legal value 2"},
        {{SCHEDULE_ZB_V, 2, 4, 0, 4},
         "pipeline.chunks is 4",
         "zb_v gives each rank 2",
         "nearest legal value 2"},
        {{SCHEDULE_INTERLEAVED, 2, 1, 0, 4},
         "pipeline.chunks is 1",
         "interleaved gives each rank at least 2",
         "nearest legal value 2"},
        {{SCHEDULE_INTERLEAVED, 4, 2, 0, 3},
         "3 microbatches",
         "at least as many as stages, 4",
         "nearest legal value 4 microbatches"},
        {{SCHEDULE_INTERLEAVED, 4, 2, 3, 8},
         "pipeline.group is 3",
         "4 to 8",
         "nearest legal value 4"},
        {{SCHEDULE_INTERLEAVED, 4, 2, 9, 8},
         "pipeline.group is 9",
         "4 to 8",
         "nearest legal value 8"},
        {{SCHEDULE_INTERLEAVED, 4, 2, 0, 9},
         "pipeline.group is 4 (auto",
         "a last group of 1 of the 9",
         "nearest legal value 5, or 8 microbatches"},
        {{SCHEDULE_INTERLEAVED, 4, 2, 7, 10},
         "pipeline.group is 7",
         "a last group of 3 of the 10",
         "nearest legal value 6, or 11 microbatches"},
        {{SCHEDULE_INTERLEAVED, 2, 2, 200, 200},
         "pipeline.group is 200",
         "more than 64 messages at a time",
         "nearest legal value 66"},
        {{SCHEDULE_1F1B, 2, 1, 2, 4}, "pipeline.group is 2", "no groups", "auto"},
        {{SCHEDULE_INTERLEAVED, 4096, 1 << 30, 0, 4096}, "4096 microbatches", "actions", "fit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule;
        struct error err = {0};
        assert_false(schedule_init(&schedule, &rows[i].spec, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        if (strstr(err.message, rows[i].found) == NULL ||
            strstr(err.message, rows[i].rule) == NULL ||
            strstr(err.message, rows[i].nearest) == NULL) {
            fail_msg("row %zu: %s", i, err.message);
        }
    }
}

/* Tries every group: those that are refused for their messages name the widest that is not. */
static void check_widest_group(int P, int n_chunks, int M)
{
    int widest = 0;
    for (int N = P; N <= M; N++) {
        struct schedule_spec spec = make_spec(SCHEDULE_INTERLEAVED, n_chunks, P, M);
        struct schedule schedule = {0};
        struct error err = {0};
        spec.group = N;
        if (schedule_init(&schedule, &spec, &err)) {
            schedule_finish(&schedule);
            widest = N;
        } else if (strstr(err.message, "messages at a time") != NULL) {
            char nearest[64];
            snprintf(nearest, sizeof nearest,
                     widest > 0 ? "nearest legal value %d" : "take auto and %d microbatches",
                     widest > 0 ? widest : M / P * P);
            const char *said = strstr(err.message, nearest);
            if (said == NULL || strlen(said) != strlen(nearest)) {
                fail_msg("%d ranks, %d chunks, %d microbatches, widest %d: %s", P, n_chunks, M,
                         widest, err.message);
            }
        }
    }
}

static void groups_of_too_many_messages_name_the_widest_of_fewer(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, n_chunks, n_microbatches;
    } CASES[] = {{2, 2, 68}, {5, 2, 79}, {3, 2, 101},
                 {2, 3, 68}, {5, 3, 79}, {66, 2, 131}}; /* one group of all is the only legal one */
    for (int i = 0; i < (int)(sizeof CASES / sizeof CASES[0]); i++) {
        if (sample_takes(i)) {
            check_widest_group(CASES[i].n_ranks, CASES[i].n_chunks, CASES[i].n_microbatches);
        }
    }
}

static void expect_failure(const struct schedule *schedule, const char *reason)
{
    const struct schedule_costs costs = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    struct schedule_simulation simulation;
    struct error err = {0};
    assert_false(schedule_simulate(&simulation, schedule, &costs, &err));
    if (strstr(err.message, reason) == NULL) {
        fail_msg("%s", err.message);
    }
}

/* Rank 1 of two holds the stages in the middle: the upper one takes its values from the slot of the
 * lower one, which takes its gradients from that of the upper one. */
static void losing_what_a_local_hop_takes_over_fails(void **state)
{
    (void)state;
    const struct schedule_spec spec = make_spec(SCHEDULE_ZB_V, 2, 2, 3);
    struct schedule schedule = build(&spec);
    const int64_t lower = 2 * 3, upper = 3 * 3; /* of microbatch 0 */
    assert_int_equal(schedule_slot(&schedule, 1, 0, 0), schedule.slots[lower]);
    schedule.slots[lower] ^= 1;
    expect_failure(&schedule, "has lost the values it takes over");
    schedule.slots[lower] ^= 1;
    assert_int_equal(schedule_gradient_slot(&schedule, 1, 1, 0), schedule.gradient_slots[upper]);
    schedule.gradient_slots[upper] += 1;
    expect_failure(&schedule, "has lost what it takes over");
    schedule_finish(&schedule);
}

static void chunks_are_read_back_and_refused_beyond_the_last(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"0F0 2F0 1B0 0B0\n", "line 1, token 2"},
        {"0F0 F0 1B0 0B0\n", "line 1, token 2"},
        {"0F0 1F0 1B0 0B1\n", "line 1, token 4"},
    };
    const struct schedule_spec spec = make_spec(SCHEDULE_ZB_V, 2, 1, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule;
        struct error err = {0};
        assert_false(schedule_parse(&schedule, &spec, rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_non_null(strstr(err.message, rows[i].place));
    }
}

static void broken_chunk_order_fails(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"1F0 0F0 1B0 0B0\n", "rank 0 fails at 1F0: its values are not there yet"},
        {"0F0 1F0 0B0 1B0\n", "rank 0 fails at 0I0: its gradients are not there yet"},
    };
    const struct schedule_spec spec = make_spec(SCHEDULE_ZB_V, 2, 1, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule;
        struct error err = {0};
        assert_true(schedule_parse(&schedule, &spec, rows[i].text, strlen(rows[i].text), &err));
        expect_failure(&schedule, rows[i].reason);
        schedule_finish(&schedule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makespans_equal_the_published_table),
        cmocka_unit_test(peak_live_microbatches_follow_the_kind),
        cmocka_unit_test(text_equals_the_fixture),
        cmocka_unit_test(grid_shows_chunks_and_waiting),
        cmocka_unit_test(stages_and_places_are_inverse),
        cmocka_unit_test(every_small_grid_simulates_in_order_and_without_spare_slots),
        cmocka_unit_test(groups_are_legal_exactly_as_the_rule_says),
        cmocka_unit_test(groups_of_too_many_messages_name_the_widest_of_fewer),
        cmocka_unit_test(illegal_specs_name_the_rule_and_the_nearest_legal_value),
        cmocka_unit_test(losing_what_a_local_hop_takes_over_fails),
        cmocka_unit_test(chunks_are_read_back_and_refused_beyond_the_last),
        cmocka_unit_test(broken_chunk_order_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
