#include <attnres/transport.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/clock.h>

#include "../support/ranks.h"

static void local_passes_the_suite_on_1_to_6_ranks(void **state)
{
    (void)state;
    ranks_run_suite_local(transport_suite, 6);
}

static void one_thread_can_step_all_ranks(void **state)
{
    (void)state;
    enum { SIZE = 5 };
    struct transport_world *world = transport_world_create(SIZE);
    struct transport_request sends[SIZE] = {{0}}, receives[SIZE] = {{0}};
    int in[SIZE] = {0}, out[SIZE] = {0};
    for (int rank = 0; rank < SIZE; rank++) {
        struct transport *t = transport_world_rank(world, rank);
        out[rank] = rank;
        transport_post_send(t, (rank + 1) % SIZE, CHANNEL_VALUES, 0, &out[rank], sizeof out[rank],
                            &sends[rank]);
        assert_false(transport_test(t, &sends[rank]));
    }
    for (int rank = 0; rank < SIZE; rank++) {
        struct transport *t = transport_world_rank(world, rank);
        const int before = (rank + SIZE - 1) % SIZE;
        transport_post_receive(t, before, CHANNEL_VALUES, 0, &in[rank], sizeof in[rank],
                               &receives[rank]);
        assert_true(transport_test(t, &receives[rank]));
        assert_true(transport_test(transport_world_rank(world, before), &sends[before]));
        assert_int_equal(in[rank], before);
    }
    transport_world_destroy(world);
}

static void abort_on_last_rank(struct transport *t)
{
    if (transport_rank(t) == transport_size(t) - 1) {
        transport_abort(t, ERROR_DATA, "the frame is damaged");
    }
    transport_barrier(t);
    transport_abort(t, ERROR_INTERNAL, "the barrier was passed");
}

static void abort_ends_waiting_ranks_and_keeps_the_message(void **state)
{
    (void)state;
    char message[1024];
    assert_false(ranks_run_local(4, abort_on_last_rank, message));
    assert_string_equal(message, "rank 3: the frame is damaged (exit code 65)");
}

static void wait_for_nothing_on_rank_0(struct transport *t)
{
    struct transport_request request = {0};
    unsigned char bytes[3];
    transport_set_deadline(t, 0.01);
    if (transport_rank(t) == 0) {
        transport_post_receive(t, 1, CHANNEL_GRADIENTS, 2, bytes, sizeof bytes, &request);
        transport_wait(t, &request);
    }
}

static void a_late_wait_aborts_naming_whom_it_waits_for(void **state)
{
    (void)state;
    char message[1024];
    assert_false(ranks_run_local(2, wait_for_nothing_on_rank_0, message));
    assert_non_null(strstr(message, "rank 0: stalled: waited "));
    assert_non_null(strstr(message, "for rank 1 to send 3 bytes on channel gradients, chunk 2"));
    assert_non_null(strstr(message, "(exit code 69)"));
}

/** Rank 1 keeps rank 0 waiting; rank 0 reads what its own wait was noted as. */
static void send_late_to_rank_0(struct transport *t)
{
    struct transport_request request = {0};
    unsigned char bytes[3] = {0};
    if (transport_rank(t) == 1) {
        clock_sleep_s(0.2); /* rank 0 is at its wait by then */
        transport_post_send(t, 0, CHANNEL_VALUES, 2, bytes, sizeof bytes, &request);
        transport_wait(t, &request);
        return;
    }
    struct journal *journal = malloc(sizeof *journal);
    CHECK(t, journal != NULL);
    journal_init(journal);
    transport_set_journal(t, journal);
    transport_post_receive(t, 1, CHANNEL_VALUES, 2, bytes, sizeof bytes, &request);
    transport_wait(t, &request);
    struct journal_event e;
    CHECK(t, journal_count(journal) == 1 && journal_read(journal, 0, &e));
    CHECK(t, e.kind == JOURNAL_WAIT_TO_RECEIVE && e.peer == 1 && e.chunk == 2 && e.bytes == 3);
    CHECK(t, e.channel == CHANNEL_VALUES && e.end_s > e.begin_s);
    transport_set_journal(t, NULL);
    free(journal);
}

static void a_wait_is_noted_in_the_journal(void **state)
{
    (void)state;
    char message[1024] = "";
    assert_true(ranks_run_local(2, send_late_to_rank_0, message));
}

static void leave_on_last_rank(struct transport *t)
{
    unsigned char byte = 0;
    if (transport_rank(t) == 2) {
        transport_leave(t, ERROR_LAUNCH, "stalled");
    }
    transport_receive(t, (transport_rank(t) + 1) % 3, CHANNEL_COLLECTIVE, &byte, 1);
}

static void leaving_ends_all_ranks(void **state)
{
    (void)state;
    char message[1024];
    assert_false(ranks_run_local(3, leave_on_last_rank, message));
    assert_string_equal(message, "rank 2: stalled (exit code 69)");
}

/* What the sender meant ends with its checksum; here it ends with something else. */
static void damage_a_message(struct transport *t)
{
    const unsigned char payload[8] = "payload", end[16] = {8};
    unsigned char in[8];
    struct transport_request requests[2] = {{0}};
    if (transport_rank(t) == 1) {
        transport_post_send(t, 0, CHANNEL_TIED_HEAD, 0, payload, sizeof payload, &requests[0]);
        transport_post_send(t, 0, CHANNEL_TIED_HEAD, 0, end, sizeof end, &requests[1]);
        transport_wait(t, &requests[0]);
        transport_wait(t, &requests[1]);
    } else {
        transport_receive(t, 1, CHANNEL_TIED_HEAD, in, sizeof in);
    }
}

static void a_damaged_message_aborts_naming_both_ranks(void **state)
{
    (void)state;
    char message[1024];
    assert_false(ranks_run_local(2, damage_a_message, message));
    assert_non_null(strstr(message, "damaged message from rank 1 to rank 0 on channel tied "
                                    "head: 8 of 8 bytes, of checksum "));
    assert_non_null(strstr(message, "(exit code 69)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_passes_the_suite_on_1_to_6_ranks),
        cmocka_unit_test(one_thread_can_step_all_ranks),
        cmocka_unit_test(abort_ends_waiting_ranks_and_keeps_the_message),
        cmocka_unit_test(a_damaged_message_aborts_naming_both_ranks),
        cmocka_unit_test(a_late_wait_aborts_naming_whom_it_waits_for),
        cmocka_unit_test(a_wait_is_noted_in_the_journal),
        cmocka_unit_test(leaving_ends_all_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
