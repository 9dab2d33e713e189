#include <attnres/trace.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/clock.h>

#include "../../src/trace/trace_internal.h"
#include "../support/folder.h"
#include "../support/ranks.h"
#include "../support/trace_check.h"

enum { P = 3, M = 4, FIRST = 7, N_STEPS = 5, PATH_BYTES = FILE_PATH_BYTES };

static int make_folder(void **state)
{
    static char folder[64];
    *state = folder;
    return !folder_make(folder, sizeof folder, "trace");
}

static int remove_folder(void **state)
{
    return !file_remove_tree(*state, NULL);
}

/* Clocks of three ranks: rank 0's own, one that is ahead and too fast, one that is behind. */
static const double OFFSET_S[P] = {0.0, 1000.0, -5.0}, RATE[P] = {1.0, 1.0 + 1e-4, 1.0 - 2e-5};

static double clock_of_1(void)
{
    return OFFSET_S[1] + RATE[1] * clock_monotonic_s();
}

static double clock_of_2(void)
{
    return OFFSET_S[2] + RATE[2] * clock_monotonic_s();
}

static void compare_clocks(struct transport *t)
{
    double (*const clocks[P])(void) = {clock_monotonic_s, clock_of_1, clock_of_2};
    const int rank = transport_rank(t);
    const struct trace_clock c = trace_align(t, clocks[rank]);
    const double true_s = (c.at_s - OFFSET_S[rank]) / RATE[rank];
    CHECK(t, fabs(c.at_s + c.offset_s - true_s) <= c.error_s + 1e-9);
    CHECK(t, (rank == 0) == (c.error_s == 0.0));
}

static void clocks_are_compared_within_the_stated_error(void **state)
{
    (void)state;
    char message[1024];
    if (!ranks_run_local(P, compare_clocks, message)) {
        fail_msg("%s", message);
    }
}

/** A rank's file, forged. */
struct forged {
    struct file_writer file;
    int rank;
    int64_t step, n_events;
};

static double own_clock(int rank, double true_s)
{
    return OFFSET_S[rank] + RATE[rank] * true_s;
}

static void put_head(struct forged *f, const char *mark, int n_ranks, double true_s)
{
    const double own_s = own_clock(f->rank, true_s);
    struct trace_head head = {
        .rank = f->rank,
        .n_ranks = n_ranks,
        .clock = {.at_s = own_s, .offset_s = true_s - own_s, .error_s = f->rank > 0 ? 2e-5 : 0.0},
        .n_events = f->n_events};
    memcpy(head.mark, mark, sizeof head.mark);
    snprintf(head.name, sizeof head.name, "rank %d on \"host\"", f->rank);
    assert_true(file_writer_write(&f->file, &head, sizeof head, NULL));
}

static void open_forged(struct forged *f, const char *folder, int rank, int n_ranks, double true_s)
{
    char path[PATH_BYTES];
    *f = (struct forged){.file = {.fd = -1}, .rank = rank};
    assert_true(trace_path(path, folder, rank, NULL));
    assert_true(file_writer_create(&f->file, path, NULL));
    put_head(f, TRACE_BEGINS, n_ranks, true_s);
}

static void put(struct forged *f, struct journal_event e, double begin_s, double end_s)
{
    e.step = f->step;
    e.begin_s = own_clock(f->rank, begin_s);
    e.end_s = own_clock(f->rank, end_s);
    assert_true(file_writer_write(&f->file, &e, sizeof e, NULL));
    f->n_events++;
}

/** An event of what a simulated rank does; messages take no time there, here a microsecond. */
static void put_action(struct forged *f, const struct action *a, double at_s, double end_s)
{
    static const double MOMENT_S = 1e-6;
    struct journal_event e = {.peer = -1, .microbatch = a->microbatch, .bytes = -1};
    const bool values = a->op == ACTION_SEND_VALUES || a->op == ACTION_RECEIVE_VALUES;
    const bool sends = a->op == ACTION_SEND_VALUES || a->op == ACTION_SEND_GRADIENTS;
    switch (a->op) {
    case ACTION_FORWARD:
        e.kind = JOURNAL_FORWARD;
        break;
    case ACTION_INPUT_GRADIENT:
        e.kind = JOURNAL_INPUT_GRADIENT;
        break;
    case ACTION_WEIGHT_GRADIENT:
        e.kind = JOURNAL_WEIGHT_GRADIENT;
        break;
    default:
        e.kind = sends ? JOURNAL_PACK : JOURNAL_UNPACK;
        e.channel = values ? CHANNEL_VALUES : CHANNEL_GRADIENTS;
        e.peer = f->rank + (sends == values ? 1 : -1);
        e.bytes = 4096;
        /* A send ends, and a receive begins, when the message passes. */
        put(f, e, sends ? at_s - MOMENT_S : at_s, sends ? at_s : at_s + MOMENT_S);
        return;
    }
    put(f, e, at_s + 2e-6, end_s - 2e-6);
}

static const struct schedule_stage_costs COSTS[P] = {
    {.forward = 1e-3, .input_gradient = 2e-3, .weight_gradient = 1e-3},
    {.forward = 1.5e-3, .input_gradient = 3e-3, .weight_gradient = 1.5e-3},
    {.forward = 1e-3, .input_gradient = 2e-3, .weight_gradient = 1e-3}};

static double length_of(const struct action *a, int rank)
{
    switch (a->op) {
    case ACTION_FORWARD:
        return COSTS[rank].forward;
    case ACTION_INPUT_GRADIENT:
        return COSTS[rank].input_gradient;
    case ACTION_WEIGHT_GRADIENT:
        return COSTS[rank].weight_gradient;
    default:
        return 0.0;
    }
}

static struct schedule make_schedule(void)
{
    const struct schedule_spec spec = {
        .kind = SCHEDULE_1F1B, .n_ranks = P, .n_chunks = 1, .n_microbatches = M};
    struct schedule schedule;
    struct error err = {0};
    if (!schedule_init(&schedule, &spec, &err)) {
        fail_msg("%s", err.message);
    }
    return schedule;
}

/** Files of three ranks whose clocks disagree: five steps of 1f1b as the simulator has them. */
static void forge(const char *folder, const struct schedule *schedule)
{
    const struct schedule_costs costs = {.stages = COSTS};
    const double begin_s = 50.0, apart_s = 0.1;
    struct schedule_simulation s;
    assert_true(schedule_simulate(&s, schedule, &costs, NULL));
    for (int rank = 0; rank < P; rank++) {
        struct forged f;
        open_forged(&f, folder, rank, P, begin_s - 10.0);
        for (int step = 0; step < N_STEPS; step++) {
            const double at_s = begin_s + step * apart_s;
            f.step = FIRST + step;
            put(&f,
                (struct journal_event){.kind = JOURNAL_READ_BATCH, .peer = -1, .microbatch = -1},
                at_s - 1e-3, at_s - 5e-4);
            for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1];
                 i++) {
                const struct action *a = &schedule->actions[i];
                put_action(&f, a, at_s + s.start[i], at_s + s.start[i] + length_of(a, rank));
            }
            for (int part = 1; part <= 2; part++) { /* a save in the background lies between */
                put(&f,
                    (struct journal_event){.kind = JOURNAL_UPDATE, .peer = -1, .microbatch = -1},
                    at_s + s.makespan + part * 1e-3, at_s + s.makespan + part * 1e-3 + 5e-4);
            }
        }
        put_head(&f, TRACE_ENDS, P, begin_s + 90.0);
        assert_true(file_writer_close(&f.file, NULL));
    }
    schedule_simulation_finish(&s);
}

static void load(struct trace_set *set, const char *folder, int n_ranks)
{
    struct error err = {0};
    if (!trace_load(set, folder, n_ranks, &err)) {
        fail_msg("%s", err.message);
    }
}

static void skewed_clocks_are_set_right_and_every_message_gets_its_arrow(void **state)
{
    char path[PATH_BYTES], message[1024];
    struct schedule schedule = make_schedule();
    struct trace_set set;
    struct trace_merged merged;
    struct trace_checked checked;
    forge(*state, &schedule);
    load(&set, *state, P);
    assert_true(file_join(path, *state, "trace.json", NULL));
    assert_true(trace_write_json(&set, path, &merged, NULL));
    assert_int_equal(merged.n_messages, N_STEPS * 2 * (P - 1) * M);
    assert_int_equal(merged.n_unmatched, 0);
    assert_int_equal(merged.n_early, 0);
    assert_true(merged.error_s == 2e-5);
    if (!trace_check(&checked, path, message, sizeof message)) {
        fail_msg("%s", message);
    }
    assert_int_equal(checked.n_arrows, merged.n_messages);
    assert_int_equal(checked.n_processes, P);
    assert_int_equal(checked.n_steps, P * N_STEPS);
    assert_int_equal(checked.n_slices, merged.n_events + P * N_STEPS);
    trace_unload(&set);
    schedule_finish(&schedule);
}

static void wrong_clocks_are_noticed(void **state)
{
    char path[PATH_BYTES];
    struct schedule schedule = make_schedule();
    struct trace_set set;
    struct trace_merged merged;
    forge(*state, &schedule);
    load(&set, *state, P);
    set.ranks[1].begin.offset_s += 0.02;
    set.ranks[1].end.offset_s += 0.02;
    assert_true(file_join(path, *state, "trace.json", NULL));
    assert_true(trace_write_json(&set, path, &merged, NULL));
    assert_true(merged.n_early > 0);
    trace_unload(&set);
    schedule_finish(&schedule);
}

static void a_message_without_its_other_end_has_no_arrow(void **state)
{
    char path[PATH_BYTES], message[1024];
    struct schedule schedule = make_schedule();
    struct trace_set set;
    struct trace_merged merged;
    struct trace_checked checked;
    forge(*state, &schedule);
    load(&set, *state, P);
    set.ranks[2].n_events /= 2;
    assert_true(file_join(path, *state, "trace.json", NULL));
    assert_true(trace_write_json(&set, path, &merged, NULL));
    assert_true(merged.n_unmatched > 0 && merged.n_messages > 0);
    if (!trace_check(&checked, path, message, sizeof message)) {
        fail_msg("%s", message);
    }
    assert_int_equal(checked.n_arrows, merged.n_messages);
    trace_unload(&set);
    schedule_finish(&schedule);
}

static void the_stages_costs_come_back_from_the_events(void **state)
{
    struct schedule schedule = make_schedule();
    struct schedule_stage_costs stages[P];
    struct trace_set set;
    struct trace_work work;
    forge(*state, &schedule);
    load(&set, *state, P);
    const int64_t step = trace_median_step(&set);
    assert_true(step >= FIRST && step < FIRST + N_STEPS);
    assert_true(trace_measure_step(&work, &set, step));
    trace_stage_costs(stages, &set, &schedule.spec);
    for (int stage = 0; stage < P; stage++) { /* without the 2 us on both sides */
        assert_true(fabs(stages[stage].forward - COSTS[stage].forward + 4e-6) < 1e-6);
        assert_true(fabs(stages[stage].input_gradient - COSTS[stage].input_gradient + 4e-6) < 1e-6);
        assert_true(fabs(stages[stage].weight_gradient - COSTS[stage].weight_gradient + 4e-6) <
                    1e-6);
    }
    trace_unload(&set);
    schedule_finish(&schedule);
}

static int count(const char *text, const char *words)
{
    int n = 0;
    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words)) {
        n++;
    }
    return n;
}

static void a_picture_shows_each_microbatch_measured_and_simulated(void **state)
{
    char path[PATH_BYTES];
    struct schedule schedule = make_schedule();
    struct trace_set set;
    struct file_bytes svg;
    struct error err = {0};
    forge(*state, &schedule);
    load(&set, *state, P);
    assert_true(file_join(path, *state, "step.svg", NULL));
    assert_true(trace_draw(&set, &schedule, path, &err));
    assert_true(file_read(&svg, path, 1 << 20, NULL));
    const char *text = (const char *)svg.bytes;
    assert_int_equal(count(text, ">rank 2<"), 2);
    assert_int_equal(count(text, "fill=\"#56b4e9\""), 2 * P * M + 1);
    assert_int_equal(count(text, "fill=\"#e69f00\""), 2 * P * M + 1);
    assert_int_equal(count(text, "fill=\"#009e73\""), 2 * P * M + 1);
    assert_int_equal(count(text, "fill=\"#cc79a7\""), 3 * P + 1); /* batch, two parts of update */
    assert_int_equal(count(text, "<svg"), count(text, "</svg>"));
    assert_int_equal(count(text, "<text"), count(text, "</text>"));
    assert_int_equal(count(text, "bubble"), 2);
    file_bytes_finish(&svg);
    /* Without a step that all ranks have whole there is nothing to show. */
    set.ranks[2].n_events = 3;
    assert_false(trace_draw(&set, &schedule, path, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    trace_unload(&set);
    schedule_finish(&schedule);
}

/** Eight events a step, as a rank at work notes them. */
static void note_step(struct journal *j, int64_t step)
{
    journal_set_step(j, step);
    for (int i = 0; i < 8; i++) {
        journal_set_microbatch(j, i);
        journal_begin_alone(j, JOURNAL_FORWARD, step);
        journal_end(j);
    }
}

static char recorded_folder[PATH_BYTES];

static void record_steps(struct transport *t)
{
    static struct journal_event tape[TRACE_TAPE_EVENTS];
    struct journal *j = malloc(sizeof *j);
    struct trace trace;
    struct error err = {0};
    const struct trace_options options = {.folder = recorded_folder,
                                          .name = "rank 0",
                                          .first_step = 10,
                                          .n_steps = 1000,
                                          .events = tape};
    CHECK(t, j != NULL);
    journal_init(j);
    transport_set_journal(t, j);
    CHECK(t, trace_start(&trace, &options, t, &err));
    for (int64_t step = 1; step < 1500; step++) {
        trace_begin_step(&trace, step);
        note_step(j, step);
        CHECK(t, trace.tape.count <= TRACE_TAPE_EVENTS);
    }
    CHECK(t, trace_finish(&trace, &err));
    transport_set_journal(t, NULL);
    free(j);
}

static void the_steps_asked_for_are_recorded_in_bounded_memory(void **state)
{
    char message[1024];
    struct trace_set set;
    snprintf(recorded_folder, sizeof recorded_folder, "%s", (const char *)*state);
    if (!ranks_run_local(1, record_steps, message)) {
        fail_msg("%s", message);
    }
    load(&set, *state, 1);
    assert_int_equal(set.ranks[0].n_events, 8 * 1000);
    for (int64_t i = 0; i < set.ranks[0].n_events; i++) {
        const struct journal_event e = trace_event(&set, 0, i);
        assert_int_equal(e.step, 10 + i / 8);
        assert_int_equal(e.microbatch, i % 8);
        assert_true(e.begin_s >= 0.0 && e.end_s >= e.begin_s);
    }
    trace_unload(&set);
}

static void a_file_without_an_end_counts_as_far_as_it_goes(void **state)
{
    char path[PATH_BYTES];
    struct forged f;
    struct trace_set set;
    open_forged(&f, *state, 0, 1, 1.0);
    f.step = 3;
    put(&f, (struct journal_event){.kind = JOURNAL_FORWARD, .peer = -1}, 2.0, 3.0);
    put(&f, (struct journal_event){.kind = JOURNAL_FORWARD, .peer = -1}, 4.0, 5.0);
    assert_true(file_writer_close(&f.file, NULL));
    assert_true(trace_path(path, *state, 0, NULL));
    assert_int_equal(truncate(path, (off_t)(sizeof(struct trace_head) + 56 + 20)), 0);
    load(&set, *state, 1);
    assert_int_equal(set.ranks[0].n_events, 1);
    assert_true(trace_event(&set, 0, 0).end_s == 1.0);
    trace_unload(&set);
}

static void damaged_files_are_refused_or_harmless(void **state)
{
    char path[PATH_BYTES], merged_path[PATH_BYTES];
    struct forged f;
    struct file_bytes good;
    int n_refused = 0;
    open_forged(&f, *state, 0, 1, 1.0);
    put(&f, (struct journal_event){.kind = JOURNAL_PACK, .peer = -1}, 2.0, 3.0);
    put(&f, (struct journal_event){.kind = JOURNAL_UNPACK, .peer = -1}, 4.0, 5.0);
    put_head(&f, TRACE_ENDS, 1, 6.0);
    assert_true(file_writer_close(&f.file, NULL));
    assert_true(trace_path(path, *state, 0, NULL));
    assert_true(file_join(merged_path, *state, "trace.json", NULL));
    assert_true(file_read(&good, path, 1 << 20, NULL));
    for (size_t i = 0; i < 2 * good.length; i++) {
        const unsigned char before = good.bytes[i / 2];
        struct trace_set set;
        struct trace_merged merged;
        struct error err = {0};
        good.bytes[i / 2] ^= i % 2 == 0 ? 0xFF : 0x40;
        assert_true(file_writer_create(&f.file, path, NULL) &&
                    file_writer_write(&f.file, good.bytes, good.length, NULL) &&
                    file_writer_close(&f.file, NULL));
        good.bytes[i / 2] = before;
        if (trace_load(&set, *state, 1, &err)) {
            assert_true(trace_write_json(&set, merged_path, &merged, NULL));
            trace_unload(&set);
        } else {
            n_refused++;
            assert_int_equal(err.kind, ERROR_DATA);
            assert_non_null(strstr(err.message, "rank-0000.bin"));
        }
    }
    assert_true(n_refused > 100);
    file_bytes_finish(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_are_compared_within_the_stated_error),
        cmocka_unit_test_setup_teardown(
            skewed_clocks_are_set_right_and_every_message_gets_its_arrow, make_folder,
            remove_folder),
        cmocka_unit_test_setup_teardown(wrong_clocks_are_noticed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_message_without_its_other_end_has_no_arrow, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_stages_costs_come_back_from_the_events, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_picture_shows_each_microbatch_measured_and_simulated,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_steps_asked_for_are_recorded_in_bounded_memory,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_without_an_end_counts_as_far_as_it_goes, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused_or_harmless, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
