#include <attnres/schedule.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct schedule_costs UNIT = {
    .forward = 1, .input_gradient = 1, .weight_gradient = 1, .send = 0};
static const struct schedule_costs UNIT_AFTER_WEIGHTS = {
    .forward = 1, .input_gradient = 1, .weight_gradient = 1, .send = 0, .send_after_weights = true};

static const enum schedule_kind KINDS[] = {SCHEDULE_GPIPE, SCHEDULE_1F1B, SCHEDULE_FORWARD};

static struct schedule_spec make_spec(enum schedule_kind kind, int n_ranks, int n_microbatches)
{
    return (struct schedule_spec){
        .kind = kind, .n_ranks = n_ranks, .n_chunks = 1, .n_microbatches = n_microbatches};
}

static struct schedule build(enum schedule_kind kind, int n_ranks, int n_microbatches)
{
    struct schedule schedule;
    struct error err = {0};
    const struct schedule_spec spec = make_spec(kind, n_ranks, n_microbatches);
    if (!schedule_init(&schedule, &spec, &err)) {
        fail_msg("%s", err.message);
    }
    return schedule;
}

static struct schedule_simulation simulate(const struct schedule *schedule,
                                           const struct schedule_costs *costs)
{
    struct schedule_simulation simulation;
    struct error err = {0};
    if (!schedule_simulate(&simulation, schedule, costs, &err)) {
        fail_msg("%s", err.message);
    }
    return simulation;
}

static double makespan(enum schedule_kind kind, int n_ranks, int n_microbatches,
                       const struct schedule_costs *costs)
{
    struct schedule schedule = build(kind, n_ranks, n_microbatches);
    struct schedule_simulation simulation = simulate(&schedule, costs);
    const double result = simulation.makespan;
    schedule_simulation_finish(&simulation);
    schedule_finish(&schedule);
    return result;
}

static void makespans_equal_the_published_table(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, n_microbatches;
        double after_weights, after_input;
    } rows[] = {
        {2, 4, 15, 14}, {4, 8, 33, 30}, {4, 16, 57, 54}, {8, 16, 69, 62}, {8, 32, 117, 110}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int P = rows[i].n_ranks, M = rows[i].n_microbatches;
        for (int k = 0; k < 2; k++) {
            assert_true(makespan(KINDS[k], P, M, &UNIT_AFTER_WEIGHTS) == rows[i].after_weights);
            assert_true(makespan(KINDS[k], P, M, &UNIT) == rows[i].after_input);
        }
        assert_true(makespan(SCHEDULE_FORWARD, P, M, &UNIT) == P - 1 + M);
    }
}

static void peak_live_microbatches_follow_the_kind(void **state)
{
    (void)state;
    for (int M = 8; M <= 16; M += 4) {
        struct schedule schedules[] = {build(SCHEDULE_GPIPE, 4, M), build(SCHEDULE_1F1B, 4, M),
                                       build(SCHEDULE_FORWARD, 4, M)};
        for (int k = 0; k < 3; k++) {
            struct schedule_simulation simulation = simulate(&schedules[k], &UNIT);
            for (int rank = 0; rank < 4; rank++) {
                const int expected[] = {M, 4 - rank, 1};
                assert_int_equal(simulation.peak_live[rank], expected[k]);
                assert_int_equal(schedules[k].n_slots[rank], expected[k]);
                assert_int_equal(schedules[k].n_gradient_slots[rank], k == 2 ? 0 : 1);
                assert_int_equal(schedules[k].alternates[rank], k < 2 && rank == 0);
                assert_true(simulation.busy[rank] == (k == 2 ? M : 3 * M));
            }
            schedule_simulation_finish(&simulation);
            schedule_finish(&schedules[k]);
        }
    }
}

static void text_equals_the_fixture(void **state)
{
    (void)state;
    static const struct {
        enum schedule_kind kind;
        int n_ranks, n_microbatches;
        const char *text;
    } rows[] = {
        {SCHEDULE_1F1B, 1, 2, "F0 B0 F1 B1\n"},
        {SCHEDULE_1F1B, 3, 4,
         "F0 F1 F2 B0 F3 B1 B2 B3\nF0 F1 B0 F2 B1 F3 B2 B3\nF0 B0 F1 B1 F2 B2 F3 B3\n"},
        {SCHEDULE_1F1B, 4, 2, "F0 F1 B0 B1\nF0 F1 B0 B1\nF0 F1 B0 B1\nF0 B0 F1 B1\n"},
        {SCHEDULE_GPIPE, 2, 3, "F0 F1 F2 B0 B1 B2\nF0 F1 F2 B0 B1 B2\n"},
        {SCHEDULE_FORWARD, 2, 3, "F0 F1 F2\nF0 F1 F2\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule = build(rows[i].kind, rows[i].n_ranks, rows[i].n_microbatches);
        char text[256];
        const size_t length = schedule_print(&schedule, text, sizeof text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(length, strlen(text));
        assert_int_equal(schedule_print(&schedule, NULL, 0), length);
        schedule_finish(&schedule);
    }
}

static void second_pass_puts_messages_next_to_their_actions(void **state)
{
    (void)state;
    struct schedule schedule = build(SCHEDULE_1F1B, 3, 2);
    static const enum action_op middle[] = {
        ACTION_RECEIVE_VALUES,    ACTION_FORWARD,           ACTION_SEND_VALUES,
        ACTION_RECEIVE_VALUES,    ACTION_FORWARD,           ACTION_SEND_VALUES,
        ACTION_RECEIVE_GRADIENTS, ACTION_INPUT_GRADIENT,    ACTION_SEND_GRADIENTS,
        ACTION_WEIGHT_GRADIENT,   ACTION_RECEIVE_GRADIENTS, ACTION_INPUT_GRADIENT,
        ACTION_SEND_GRADIENTS,    ACTION_WEIGHT_GRADIENT};
    assert_int_equal(schedule.first_action[2] - schedule.first_action[1], 14);
    for (int i = 0; i < 14; i++) {
        const struct action *action = &schedule.actions[schedule.first_action[1] + i];
        assert_int_equal(action->op, middle[i]);
        assert_int_equal(action->gradient_slot, i < 6 ? -1 : 0);
    }
    schedule_finish(&schedule);
}

static void parse_reads_back_what_print_wrote(void **state)
{
    (void)state;
    for (int P = 1; P <= 5; P++) {
        for (int k = 0; k < 3; k++) {
            const struct schedule_spec spec = make_spec(KINDS[k], P, 7);
            struct schedule built = build(KINDS[k], P, 7), parsed;
            struct error err = {0};
            char text[1024];
            const size_t length = schedule_print(&built, text, sizeof text);
            assert_true(schedule_parse(&parsed, &spec, text, length, &err));
            const int64_t n = built.first_action[P];
            assert_int_equal(parsed.first_action[P], n);
            assert_memory_equal(parsed.actions, built.actions, (size_t)n * sizeof *built.actions);
            assert_int_equal(parsed.channel_depth, built.channel_depth);
            schedule_finish(&parsed);
            schedule_finish(&built);
        }
    }
}

static void parse_refuses_what_is_no_schedule_naming_the_token(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"", "line 1, token 1"},
        {"F0 F1 B0 B1\nF0 B0 F1 X1\n", "line 2, token 4"},
        {"F0 F2 B0 B1\nF0 B0 F1 B1\n", "line 1, token 2"},
        {"F0 F99999999999999999999 B0 B1\n", "line 1, token 2"},
        {"F0 F B0 B1\n", "line 1, token 2"},
        {"F0 F1 B0\n", "line 1, token 4"},
        {"F0 F1 B0 B1 F0\n", "line 1, token 5"},
        {"F0 F1  B0 B1\n", "line 1, token 3"},
        {"F0 F1 B0 B1", "line 1, token 5"},
        {"F0 F1 B0 B1\nF0 B0 F1 B1\nF0\n", "more than 2 lines"},
    };
    const struct schedule_spec spec = make_spec(SCHEDULE_1F1B, 2, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule;
        struct error err = {0};
        assert_false(schedule_parse(&schedule, &spec, rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_non_null(strstr(err.message, rows[i].place));
    }
}

static void broken_order_fails_with_the_cell_marked(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason, *cell;
    } rows[] = {
        {"F0 F1 B0 B1\nB0 F0 F1 B1\n", "rank 1 fails at I0: backward precedes forward", "I0!"},
        {"F0 F1 B0 B1\nF1 B1 F0 B0\n",
         "rank 1 fails at F1: the next message on this link is "
         "microbatch 0",
         "F1!"},
        {"F0 B0 F1 B1\nF0 F1 B0 B1\n", "rank 0 fails at I0: it waits for rank 1 for ever", "I0!"},
        {"F0 F1 B0 B0\nF0 B0 F1 B1\n", "rank 0 fails at I0: it is done twice", "I0!"},
        {"F0 F1 W0 I0 B1\nF0 B0 F1 B1\n", "weight gradient precedes input gradient", "W0!"},
    };
    const struct schedule_spec spec = make_spec(SCHEDULE_1F1B, 2, 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule;
        struct schedule_simulation simulation;
        struct error err = {0};
        assert_true(schedule_parse(&schedule, &spec, rows[i].text, strlen(rows[i].text), &err));
        assert_false(schedule_simulate(&simulation, &schedule, &UNIT, &err));
        assert_int_equal(err.kind, ERROR_INTERNAL);
        assert_int_not_equal(err.message[strlen(err.message) - 1], '\n');
        if (strstr(err.message, rows[i].reason) == NULL ||
            strstr(err.message, rows[i].cell) == NULL) {
            fail_msg("%s", err.message);
        }
        schedule_finish(&schedule);
    }
}

/* Whatever a file says: refused, failed in the simulation, or a schedule that runs. */
static void damaged_text_never_gets_past_parser_and_simulation(void **state)
{
    (void)state;
    static const char alphabet[] = "F0B1I2W3 \n9x";
    const struct schedule_spec spec = make_spec(SCHEDULE_1F1B, 3, 4);
    struct schedule whole = build(SCHEDULE_1F1B, 3, 4);
    char text[256], damaged[256];
    const size_t length = schedule_print(&whole, text, sizeof text);
    int n_refused = 0, n_failed = 0, n_run = 0;
    for (size_t at = 0; at < length; at++) {
        for (size_t i = 0; i + 1 < sizeof alphabet; i++) {
            memcpy(damaged, text, length);
            damaged[at] = alphabet[i];
            struct schedule schedule;
            struct schedule_simulation simulation;
            struct error err = {0};
            if (!schedule_parse(&schedule, &spec, damaged, length, &err)) {
                n_refused++;
                continue;
            }
            if (schedule_simulate(&simulation, &schedule, &UNIT, &err)) {
                assert_true(simulation.makespan >= 12);
                n_run++;
                schedule_simulation_finish(&simulation);
            } else {
                n_failed++;
            }
            schedule_finish(&schedule);
        }
    }
    assert_true(n_refused > 0 && n_failed > 0 && n_run >= (int)length);
    schedule_finish(&whole);
}

static struct action *find_action(struct schedule *schedule, int rank, enum action_op op, int nth)
{
    int64_t i = schedule->first_action[rank];
    for (; schedule->actions[i].op != op || nth-- > 0; i++) {
    }
    return &schedule->actions[i];
}

static void expect_failure(const struct schedule *schedule, const char *reason)
{
    struct schedule_simulation simulation;
    struct error err = {0};
    assert_false(schedule_simulate(&simulation, schedule, &UNIT, &err));
    if (strstr(err.message, reason) == NULL) {
        fail_msg("%s", err.message);
    }
}

static void damaged_slots_and_messages_fail(void **state)
{
    (void)state;
    struct schedule schedule = build(SCHEDULE_1F1B, 3, 4);
    struct action *action = find_action(&schedule, 0, ACTION_FORWARD, 1);
    const struct action whole = *action;
    action->slot = 0;
    expect_failure(&schedule, "slot 0 still holds microbatch 0");
    action->slot = 3;
    expect_failure(&schedule, "slot 3 is not one of the rank's 3");
    *action = whole;
    action = find_action(&schedule, 1, ACTION_SEND_VALUES, 3);
    action->op = ACTION_SEND_GRADIENTS;
    expect_failure(&schedule, "there are no gradients to send");
    action->op = ACTION_SEND_VALUES;
    schedule.first_action[3] -= 1;
    expect_failure(&schedule, "microbatch 3 is not finished");
    schedule_finish(&schedule);
}

static void more_messages_than_the_channel_holds_are_a_deadlock(void **state)
{
    (void)state;
    /* Rank 2 answers each value at once, while rank 1 sends all values before it takes a gradient:
     * with room for one message both end up sending to each other. */
    const struct schedule_spec spec = make_spec(SCHEDULE_GPIPE, 3, 4);
    const char *text =
        "F0 F1 F2 F3 B0 B1 B2 B3\nF0 F1 F2 F3 B0 B1 B2 B3\nF0 B0 F1 B1 F2 B2 F3 B3\n";
    struct schedule schedule;
    struct error err = {0};
    assert_true(schedule_parse(&schedule, &spec, text, strlen(text), &err));
    struct schedule_simulation simulation = simulate(&schedule, &UNIT);
    schedule_simulation_finish(&simulation);
    assert_true(schedule.channel_depth > 1);
    schedule.channel_depth = 1;
    expect_failure(&schedule, "for ever");
    schedule_finish(&schedule);
}

static void every_small_grid_simulates_at_its_channel_depth(void **state)
{
    (void)state;
    for (int P = 1; P <= 9; P++) {
        for (int M = 1; M <= 20; M++) {
            for (int k = 0; k < 3; k++) {
                struct schedule schedule = build(KINDS[k], P, M);
                assert_in_range(schedule.channel_depth, 1, 2);
                struct schedule_simulation simulation = simulate(&schedule, &UNIT);
                const int chain = k == 2 ? P - 1 + M : 2 * (P - 1) + 3 * M;
                assert_true(simulation.makespan == chain);
                schedule_simulation_finish(&simulation);
                schedule_finish(&schedule);
            }
        }
    }
}

static void message_time_lengthens_the_fill(void **state)
{
    (void)state;
    const struct schedule_costs costs = {
        .forward = 1, .input_gradient = 1, .weight_gradient = 1, .send = 0.5};
    assert_true(makespan(SCHEDULE_1F1B, 2, 1, &costs) == 1 + 0.5 + 1 + 1 + 0.5 + 2);
}

static void message_takes_time_of_its_ranks_and_its_way(void **state)
{
    (void)state;
    static const struct schedule_stage_costs stage = {.forward = 1,
                                                      .input_gradient = 1,
                                                      .weight_gradient = 1,
                                                      .pack_values = 0.25,
                                                      .values_transit = 0.5,
                                                      .unpack_values = 0.0625,
                                                      .pack_gradients = 0.125,
                                                      .gradients_transit = 2,
                                                      .unpack_gradients = 0.03125};
    const struct schedule_stage_costs stages[] = {stage, stage};
    const struct schedule_costs costs = {.send = 8, .stages = stages};
    const double there = 0.25 + 0.5 + 8 + 0.0625, back = 0.125 + 2 + 8 + 0.03125;
    assert_true(makespan(SCHEDULE_1F1B, 2, 1, &costs) == 1 + there + 1 + 1 + back + 2);
}

static void messages_of_a_rank_leave_one_after_another(void **state)
{
    (void)state;
    static const struct schedule_stage_costs stage = {.forward = 1,
                                                      .input_gradient = 1,
                                                      .weight_gradient = 1,
                                                      .values_transit = 4,
                                                      .gradients_transit = 4};
    const struct schedule_stage_costs stages[] = {stage, stage};
    const struct schedule_costs costs = {.stages = stages};
    /* Values arrive at 5 and at 9. I0 ends at 11: gradients arrive at 15 and at 19. */
    assert_true(makespan(SCHEDULE_GPIPE, 2, 2, &costs) == 19 + 2);
}

static void grid_shows_a_cell_per_unit_of_time(void **state)
{
    (void)state;
    struct schedule schedule = build(SCHEDULE_1F1B, 3, 4);
    char text[1024];
    schedule_print_grid(&schedule, 80, text, sizeof text);
    assert_string_equal(text, "rank 0    F0 F1 F2 .  .  I0 W0 F3 I1 W1 .  I2 W2 .  I3 W3 \n"
                              "rank 1    .  F0 F1 .  I0 W0 F2 I1 W1 F3 I2 W2 .  I3 W3 \n"
                              "rank 2    .  .  F0 I0 W0 F1 I1 W1 F2 I2 W2 F3 I3 W3 \n");
    schedule_print_grid(&schedule, 25, text, sizeof text);
    assert_string_equal(text, "rank 0    F0 F1 F2 .  ...\nrank 1    .  F0 F1 .  ...\n"
                              "rank 2    .  .  F0 I0 ...\n");
    schedule_finish(&schedule);
}

static void a_slow_stage_sets_the_pace(void **state)
{
    (void)state;
    enum { P = 3, M = 8 };
    static const struct schedule_stage_costs
        even[P] = {{.forward = 1, .input_gradient = 1, .weight_gradient = 1},
                   {.forward = 1, .input_gradient = 1, .weight_gradient = 1},
                   {.forward = 1, .input_gradient = 1, .weight_gradient = 1}},
        slow[P] = {{.forward = 1, .input_gradient = 1, .weight_gradient = 1},
                   {.forward = 2, .input_gradient = 3, .weight_gradient = 4},
                   {.forward = 1, .input_gradient = 1, .weight_gradient = 1}};
    assert_true(makespan(SCHEDULE_1F1B, P, M, &(struct schedule_costs){.stages = even}) ==
                makespan(SCHEDULE_1F1B, P, M, &UNIT));
    /* Filled by the first forward, drained by the first stage's last I and W. */
    assert_true(makespan(SCHEDULE_1F1B, P, M, &(struct schedule_costs){.stages = slow}) >=
                1 + M * (2 + 3 + 4));
    struct schedule schedule = build(SCHEDULE_1F1B, P, M);
    struct schedule_simulation s = simulate(&schedule, &(struct schedule_costs){.stages = slow});
    assert_true(s.busy[0] == 3 * M && s.busy[1] == 9 * M && s.busy[2] == 3 * M);
    schedule_simulation_finish(&s);
    schedule_finish(&schedule);
}

static void illegal_specs_are_refused(void **state)
{
    (void)state;
    const struct schedule_spec specs[] = {
        {.kind = SCHEDULE_1F1B, .n_ranks = 2, .n_chunks = 2, .n_microbatches = 4},
        {.kind = SCHEDULE_1F1B, .n_ranks = 2, .n_chunks = 1, .n_microbatches = 0},
        {.kind = SCHEDULE_1F1B, .n_ranks = 0, .n_chunks = 1, .n_microbatches = 4},
        {.kind = SCHEDULE_1F1B, .n_ranks = 4096, .n_chunks = 1, .n_microbatches = 2000000000},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct schedule schedule;
        struct error err = {0};
        assert_false(schedule_init(&schedule, &specs[i], &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makespans_equal_the_published_table),
        cmocka_unit_test(peak_live_microbatches_follow_the_kind),
        cmocka_unit_test(text_equals_the_fixture),
        cmocka_unit_test(second_pass_puts_messages_next_to_their_actions),
        cmocka_unit_test(parse_reads_back_what_print_wrote),
        cmocka_unit_test(parse_refuses_what_is_no_schedule_naming_the_token),
        cmocka_unit_test(broken_order_fails_with_the_cell_marked),
        cmocka_unit_test(damaged_text_never_gets_past_parser_and_simulation),
        cmocka_unit_test(damaged_slots_and_messages_fail),
        cmocka_unit_test(more_messages_than_the_channel_holds_are_a_deadlock),
        cmocka_unit_test(every_small_grid_simulates_at_its_channel_depth),
        cmocka_unit_test(message_time_lengthens_the_fill),
        cmocka_unit_test(message_takes_time_of_its_ranks_and_its_way),
        cmocka_unit_test(messages_of_a_rank_leave_one_after_another),
        cmocka_unit_test(grid_shows_a_cell_per_unit_of_time),
        cmocka_unit_test(a_slow_stage_sets_the_pace),
        cmocka_unit_test(illegal_specs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
