#include <attnres/journal.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/clock.h>

static struct journal *make_journal(void)
{
    struct journal *j = malloc(sizeof *j);
    assert_non_null(j);
    journal_init(j);
    return j;
}

static void an_event_carries_what_it_was_given_and_its_step_and_times(void **state)
{
    (void)state;
    struct journal *j = make_journal();
    struct journal_event e;
    assert_int_equal(journal_count(j), 0);
    assert_false(journal_read(j, 0, &e));
    journal_set_step(j, 1LL << 40);
    journal_set_microbatch(j, 7);
    const double before_s = clock_monotonic_s();
    journal_begin(j, &(struct journal_event){.kind = JOURNAL_WAIT_TO_RECEIVE,
                                             .peer = 3,
                                             .channel = 1,
                                             .chunk = 2,
                                             .bytes = 1LL << 33});
    assert_int_equal(journal_count(j), 1);
    assert_true(journal_read(j, 0, &e));
    assert_int_equal(e.kind, JOURNAL_WAIT_TO_RECEIVE);
    assert_int_equal(e.peer, 3);
    assert_int_equal(e.channel, 1);
    assert_int_equal(e.chunk, 2);
    assert_int_equal(e.step, 1LL << 40);
    assert_int_equal(e.microbatch, 7);
    assert_int_equal(e.bytes, 1LL << 33);
    assert_true(e.begin_s >= before_s - 1e-6 && e.end_s == 0.0);
    journal_end(j);
    assert_true(journal_read(j, 0, &e));
    assert_true(e.end_s >= e.begin_s && e.end_s <= clock_monotonic_s() + 1e-6);
    journal_set_microbatch(j, -1);
    journal_begin_alone(j, JOURNAL_UPDATE, -1);
    assert_true(journal_read(j, 1, &e));
    assert_int_equal(e.peer, -1);
    assert_int_equal(e.microbatch, -1);
    assert_int_equal(e.bytes, -1);
    free(j);
}

static void only_the_last_events_are_kept(void **state)
{
    (void)state;
    struct journal *j = make_journal();
    struct journal_event e;
    const int64_t n = JOURNAL_EVENTS + 5;
    for (int64_t i = 0; i < n; i++) {
        journal_begin_alone(j, JOURNAL_FORWARD, i);
        journal_end(j);
    }
    assert_int_equal(journal_count(j), n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(journal_read(j, i, &e), i >= n - JOURNAL_EVENTS);
        assert_true(i < n - JOURNAL_EVENTS || e.bytes == i);
    }
    assert_false(journal_read(j, n, &e));
    assert_false(journal_read(j, -1, &e));
    free(j);
}

static void standing_still_is_measured_from_the_last_thing_done(void **state)
{
    (void)state;
    struct journal *j = make_journal();
    clock_sleep_s(0.02);
    assert_true(journal_idle_s(j, clock_monotonic_s()) >= 0.019);
    double before_s = clock_monotonic_s();
    journal_begin_alone(j, JOURNAL_UPDATE, -1);
    double after_s = clock_monotonic_s();
    assert_true(journal_idle_s(j, after_s) <= after_s - before_s + 1e-6);
    assert_true(journal_idle_s(j, clock_monotonic_s() + 5.0) >= 5.0);
    assert_int_equal(journal_phase(j), JOURNAL_STARTING);
    clock_sleep_s(0.02);
    before_s = clock_monotonic_s();
    journal_set_phase(j, JOURNAL_SAVING);
    assert_int_equal(journal_phase(j), JOURNAL_SAVING);
    after_s = clock_monotonic_s();
    assert_true(journal_idle_s(j, after_s) <= after_s - before_s + 1e-6);
    free(j);
}

static void no_journal_notes_nothing(void **state)
{
    (void)state;
    journal_set_phase(NULL, JOURNAL_TRAINING);
    journal_set_step(NULL, 1);
    journal_set_microbatch(NULL, 1);
    journal_begin_alone(NULL, JOURNAL_UPDATE, -1);
    journal_end(NULL);
}

static void *write_events(void *argument)
{
    struct journal *j = argument;
    for (int64_t i = 0; i < 200000; i++) {
        journal_set_step(j, i);
        journal_set_microbatch(j, 3 * i);
        journal_begin(j, &(struct journal_event){.kind = JOURNAL_PACK,
                                                 .peer = (int32_t)(i % 1000),
                                                 .channel = (int32_t)(i % 5),
                                                 .chunk = (int32_t)(i % 7),
                                                 .bytes = 2 * i});
        journal_end(j);
    }
    return NULL;
}

/** Not the writer's thread: what is read is whole or refused. */
static void a_reader_beside_the_writer_sees_whole_events(void **state)
{
    (void)state;
    struct journal *j = make_journal();
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_events, j), 0);
    int64_t n_read = 0;
    for (int64_t count = 0; count < 200000;) {
        count = journal_count(j);
        const int64_t first = count > JOURNAL_EVENTS ? count - JOURNAL_EVENTS : 0;
        for (int64_t i = first; i < count; i++) {
            struct journal_event e;
            if (!journal_read(j, i, &e)) {
                continue;
            }
            n_read++;
            if (e.step != i || e.microbatch != 3 * i || e.bytes != 2 * i || e.peer != i % 1000 ||
                e.channel != i % 5 || e.chunk != i % 7 || e.kind != JOURNAL_PACK) {
                fail_msg("event %lld is torn", (long long)i);
            }
        }
    }
    pthread_join(writer, NULL);
    assert_true(n_read >= JOURNAL_EVENTS);
    free(j);
}

/* A tape of three places. */
struct short_tape {
    struct journal_tape tape;
    struct journal_event events[3];
    int n_emptied;
};

static void empty(void *user)
{
    struct short_tape *t = user;
    assert_int_equal(t->tape.count, 3);
    t->tape.count = 0;
    t->n_emptied++;
}

static void a_tape_keeps_every_event_that_ends_while_it_is_set(void **state)
{
    (void)state;
    struct journal *j = make_journal();
    struct short_tape t = {.n_emptied = 0};
    t.tape =
        (struct journal_tape){.events = t.events, .capacity = 3, .when_full = empty, .user = &t};
    journal_begin_alone(j, JOURNAL_UPDATE, 100);
    journal_end(j);
    journal_begin_alone(j, JOURNAL_FORWARD, 0); /* begun before, ended on the tape */
    journal_set_tape(j, &t.tape);
    for (int i = 1; i < 5; i++) {
        journal_end(j);
        journal_set_step(j, i);
        journal_begin_alone(j, JOURNAL_FORWARD, i);
    }
    assert_int_equal(t.n_emptied, 1);
    assert_int_equal(t.tape.count, 1);
    assert_int_equal(t.events[0].bytes, 3);
    assert_int_equal(t.events[0].step, 3);
    assert_int_equal(t.events[1].bytes, 1);
    assert_true(t.events[0].end_s >= t.events[0].begin_s && t.events[0].begin_s > 0.0);
    journal_set_tape(j, NULL);
    journal_end(j);
    assert_int_equal(t.tape.count, 1);
    free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_carries_what_it_was_given_and_its_step_and_times),
        cmocka_unit_test(only_the_last_events_are_kept),
        cmocka_unit_test(standing_still_is_measured_from_the_last_thing_done),
        cmocka_unit_test(no_journal_notes_nothing),
        cmocka_unit_test(a_tape_keeps_every_event_that_ends_while_it_is_set),
        cmocka_unit_test(a_reader_beside_the_writer_sees_whole_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
