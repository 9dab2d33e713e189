#include <attnres/watch.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/clock.h>
#include <attnres/file.h>

#include "../support/folder.h"
#include "../support/name_cache.h"

enum { MOST_RANKS = 4096, LINE_BYTES = 512 };

static struct watch_state waiting(int peer, double idle_s)
{
    return (struct watch_state){.answered = true,
                                .is_busy = true,
                                .idle_s = idle_s,
                                .limit_s = 120.0,
                                .phase = JOURNAL_TRAINING,
                                .event = {.kind = JOURNAL_WAIT_TO_RECEIVE,
                                          .peer = peer,
                                          .step = 17,
                                          .microbatch = 3,
                                          .bytes = 4160}};
}

static struct watch_state computing(double idle_s)
{
    struct watch_state s = waiting(-1, idle_s);
    s.event.kind = JOURNAL_FORWARD;
    return s;
}

static const struct watch_state SILENT = {.answered = false};

static void a_silent_rank_at_the_end_of_the_chain_is_the_culprit(void **state)
{
    (void)state;
    const struct watch_state states[] = {waiting(2, 121.0), SILENT, waiting(1, 120.5),
                                         waiting(0, 119.0)};
    const struct watch_verdict v = watch_judge(states, 4);
    char text[WATCH_TEXT_BYTES];
    assert_int_equal(v.cause, WATCH_SILENT);
    assert_int_equal(v.culprit, 1);
    assert_int_equal(v.n_chain, 2);
    assert_int_equal(v.chain[0], 0);
    assert_int_equal(v.chain[1], 2);
    watch_explain(text, &v, states, 4);
    assert_string_equal(text,
                        "stalled: rank 1 does not answer: it is stopped or dead, or its host is "
                        "cut off (run.json names it)\n"
                        "  rank 0 has waited 121.0 s for rank 2 to send values of microbatch 3, "
                        "step 17 (training, chunk 0, 4160 bytes)\n"
                        "  rank 2 has waited 120.5 s for rank 1 to send values of microbatch 3, "
                        "step 17 (training, chunk 0, 4160 bytes)");
}

static void a_rank_that_is_late_and_waits_for_nobody_is_stuck(void **state)
{
    (void)state;
    const struct watch_state states[] = {computing(300.0), waiting(0, 299.0), waiting(1, 301.0)};
    const struct watch_verdict v = watch_judge(states, 3);
    char text[WATCH_TEXT_BYTES];
    assert_int_equal(v.cause, WATCH_STUCK);
    assert_int_equal(v.culprit, 0);
    assert_int_equal(v.n_chain, 2);
    watch_explain(text, &v, states, 3);
    assert_non_null(strstr(text, "stalled: rank 0 waits for nobody and has been in \"forward\" of "
                                 "microbatch 3, step 17 (training), for 300.0 s\n  rank 2 has"));
}

static void waiting_long_for_a_rank_that_gets_on_is_no_stall(void **state)
{
    (void)state;
    struct watch_state states[] = {computing(0.1), waiting(0, 60.0), waiting(1, 130.0),
                                   waiting(2, 190.0)};
    assert_int_equal(watch_judge(states, 4).cause, WATCH_NO_STALL);
    /* It may be allowed more time than the others, as when it alone removes old checkpoints. */
    states[0].idle_s = 400.0;
    states[0].limit_s = 600.0;
    assert_int_equal(watch_judge(states, 4).cause, WATCH_NO_STALL);
    states[0].limit_s = 120.0;
    assert_int_equal(watch_judge(states, 4).cause, WATCH_STUCK);
    const struct watch_state none_late[] = {waiting(1, 119.0), SILENT};
    assert_int_equal(watch_judge(none_late, 2).cause, WATCH_NO_STALL);
}

static void a_circle_of_late_ranks_is_a_deadlock(void **state)
{
    (void)state;
    struct watch_state states[] = {waiting(1, 125.0), waiting(2, 121.0), waiting(3, 122.0),
                                   waiting(1, 123.0)};
    const struct watch_verdict v = watch_judge(states, 4);
    char text[WATCH_TEXT_BYTES];
    assert_int_equal(v.cause, WATCH_CIRCLE);
    assert_int_equal(v.culprit, -1);
    assert_int_equal(v.n_chain, 3);
    watch_explain(text, &v, states, 4);
    assert_non_null(strstr(text, "stalled: 3 ranks wait for each other in a circle: what one has "
                                 "sent another has not got, so their network is cut or has lost "
                                 "it\n"));
    /* Answers of different moments can look like a circle. */
    states[2].idle_s = 0.5;
    assert_int_equal(watch_judge(states, 4).cause, WATCH_NO_STALL);
    const struct watch_state itself[] = {waiting(0, 125.0)};
    assert_int_equal(watch_judge(itself, 1).cause, WATCH_CIRCLE);
}

static void the_last_done_of_a_rank_that_is_between_two_things_is_named(void **state)
{
    (void)state;
    struct watch_state states[] = {waiting(1, 125.0)};
    states[0].is_busy = false; /* the wait is over: it waits for nobody */
    const struct watch_verdict v = watch_judge(states, 1);
    char text[WATCH_TEXT_BYTES];
    assert_int_equal(v.cause, WATCH_STUCK);
    watch_explain(text, &v, states, 1);
    assert_non_null(strstr(text, "has been past \"wait to receive\""));
}

static void a_long_pipeline_is_followed_to_its_end(void **state)
{
    (void)state;
    struct watch_state *states = calloc(MOST_RANKS, sizeof *states);
    char text[WATCH_TEXT_BYTES];
    assert_non_null(states);
    for (int rank = 1; rank < MOST_RANKS; rank++) {
        states[rank] = waiting(rank - 1, 120.0 + rank);
    }
    const struct watch_verdict v = watch_judge(states, MOST_RANKS);
    assert_int_equal(v.cause, WATCH_SILENT);
    assert_int_equal(v.culprit, 0);
    assert_int_equal(v.n_chain, MOST_RANKS - 1);
    assert_int_equal(v.chain[0], MOST_RANKS - 1);
    watch_explain(text, &v, states, MOST_RANKS);
    assert_non_null(strstr(text, "\n  ... and 4087 more on the way"));
    for (int rank = 0; rank < 64; rank++) {
        states[rank] = SILENT;
    }
    const struct watch_verdict many = watch_judge(states, MOST_RANKS);
    assert_int_equal(many.culprit, 63);
    watch_explain(text, &many, states, MOST_RANKS);
    assert_non_null(strstr(text, "\n  silent ranks: 0 1 2 "));
    assert_non_null(strstr(text, " 31 ... (64 of 4096)"));
    free(states);
}

static void an_answer_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct watch_state written = waiting(7, 123.456), read = {0};
    written.event.channel = CHANNEL_TIED_HEAD;
    written.event.chunk = 3;
    char line[LINE_BYTES];
    const size_t length = watch_format(line, sizeof line, &written);
    assert_true(length > 0 && length < sizeof line);
    assert_true(watch_parse(&read, line, 8));
    assert_memory_equal(&read.event, &written.event, sizeof read.event);
    assert_true(read.answered && read.is_busy && fabs(read.idle_s - 123.456) < 1e-6);
    assert_true(read.limit_s == 120.0 && read.phase == JOURNAL_TRAINING);
    assert_false(watch_parse(&read, line, 7)); /* there is no rank 7 of 7 */
}

static void a_foreign_or_torn_answer_is_none(void **state)
{
    (void)state;
    static const char *const FOREIGN[] = {
        "",
        "\n",
        "attnres-stall 2 idle_s 1 limit_s 1 phase 1 busy 1 kind 6 peer 0 channel 0 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s nan limit_s 1 phase 1 busy 1 kind 6 peer 0 channel 0 chunk 0 step "
        "1 microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s inf phase 1 busy 1 kind 6 peer 0 channel 0 chunk 0 step "
        "1 microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 5 busy 1 kind 6 peer 0 channel 0 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 2 kind 6 peer 0 channel 0 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 1 kind 99 peer 0 channel 0 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 1 kind 6 peer -2 channel 0 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 1 kind 6 peer 0 channel 9 chunk 0 step 1 "
        "microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 1 kind 6 peer 99999999999999999999 "
        "channel 0 chunk 0 step 1 microbatch 0 bytes 1 end\n",
        "attnres-stall 1 idle_s 1 limit_s 1 phase 1 busy 1 kind 6 peer 0 channel 0 chunk 0 step "
        "99999999999999999999 microbatch 0 bytes 1 end\n",
    };
    struct watch_state read = {0};
    for (size_t i = 0; i < sizeof FOREIGN / sizeof FOREIGN[0]; i++) {
        assert_false(watch_parse(&read, FOREIGN[i], 8));
    }
    const struct watch_state written = waiting(7, 1.0);
    char line[LINE_BYTES];
    const size_t length = watch_format(line, sizeof line, &written);
    for (size_t cut = 0; cut < length; cut++) {
        char torn[LINE_BYTES] = "";
        memcpy(torn, line, cut);
        assert_false(watch_parse(&read, torn, 8));
    }
    assert_false(read.answered);
}

enum { N_RANKS = 3 };

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    return !folder_make(folder, sizeof folder, "watch");
}

static int remove_folder(void **state)
{
    (void)state;
    return !file_remove_tree(folder, NULL);
}

/** One rank of a world whose watches outlive the threads of the ranks. */
struct watched_rank {
    struct transport *transport;
    struct watch *watch;
    void (*run)(struct transport *t);
    pthread_t thread;
};

static void *run_rank(void *argument)
{
    const struct watched_rank *r = argument;
    journal_set_phase(transport_journal(r->transport), JOURNAL_TRAINING);
    r->run(r->transport);
    return NULL;
}

/** In a folder without traces of a stall. The message of the abort, or "" if all ranks ended by
 * themselves. */
static void run_watched_for(char message[WATCH_TEXT_BYTES], double stall_s,
                            void (*run)(struct transport *t))
{
    struct transport_world *world = transport_world_create(N_RANKS);
    struct watched_rank ranks[N_RANKS];
    const struct watch_options options = {/* A loaded machine may be slow to start a thread. */
                                          .folder = folder,
                                          .stall_s = stall_s,
                                          .start_s = 30.0,
                                          .save_s = 20.0,
                                          .quiet = true};
    assert_non_null(world);
    for (int rank = 0; rank < N_RANKS; rank++) {
        ranks[rank] = (struct watched_rank){transport_world_rank(world, rank), NULL, run, 0};
        ranks[rank].watch = watch_start(&options, ranks[rank].transport, NULL);
        assert_non_null(ranks[rank].watch);
    }
    for (int rank = 0; rank < N_RANKS; rank++) {
        assert_int_equal(pthread_create(&ranks[rank].thread, NULL, run_rank, &ranks[rank]), 0);
    }
    for (int rank = 0; rank < N_RANKS; rank++) {
        assert_int_equal(pthread_join(ranks[rank].thread, NULL), 0);
    }
    for (int rank = 0; rank < N_RANKS; rank++) {
        watch_stop(ranks[rank].watch);
    }
    const char *aborted = transport_world_aborted(world);
    snprintf(message, WATCH_TEXT_BYTES, "%s", aborted != NULL ? aborted : "");
    transport_world_destroy(world);
}

static void run_watched(char message[WATCH_TEXT_BYTES], void (*run)(struct transport *t))
{
    run_watched_for(message, 0.3, run);
}

static void receive_from(struct transport *t, int peer)
{
    unsigned char byte = 0;
    transport_receive(t, peer, CHANNEL_REPLICAS, &byte, 1);
}

/** However long the machine takes to come to a verdict. */
static void hang_until_judged(void)
{
    char path[FILE_PATH_BYTES];
    assert_true(file_join(path, folder, "stall.txt", NULL));
    for (int i = 0; i < 1200 && !file_exists(path); i++) {
        clock_sleep_s(0.05);
    }
}

static void assert_log_says(const char *text)
{
    char path[FILE_PATH_BYTES];
    struct file_bytes log = {0};
    assert_true(file_join(path, folder, "log.txt", NULL) && file_read(&log, path, 100000, NULL));
    assert_non_null(strstr((const char *)log.bytes, text));
    file_bytes_finish(&log);
}

static void rank_1_hangs(struct transport *t)
{
    const int rank = transport_rank(t);
    if (rank != 1) {
        receive_from(t, rank == 0 ? 2 : 1);
    }
    struct journal *journal = transport_journal(t);
    journal_set_step(journal, 5);
    journal_begin_alone(journal, JOURNAL_UPDATE, -1);
    hang_until_judged();
    journal_end(journal);
    receive_from(t, 0);
}

/** Five times as long as a step may take. */
static void rank_0_is_slow(struct transport *t, enum journal_phase phase)
{
    journal_set_phase(transport_journal(t), phase);
    if (transport_rank(t) == 0) {
        clock_sleep_s(1.5);
    }
    transport_barrier(t);
}

static void rank_0_saves(struct transport *t)
{
    rank_0_is_slow(t, JOURNAL_SAVING);
}

static void rank_0_starts(struct transport *t)
{
    rank_0_is_slow(t, JOURNAL_STARTING);
}

static void rank_0_ends(struct transport *t)
{
    rank_0_is_slow(t, JOURNAL_ENDING);
}

static void saves_and_starts_have_limits_of_their_own(void **state)
{
    (void)state;
    static void (*const SLOW[])(struct transport *) = {rank_0_saves, rank_0_starts, rank_0_ends};
    for (size_t i = 0; i < sizeof SLOW / sizeof SLOW[0]; i++) {
        char message[WATCH_TEXT_BYTES];
        run_watched(message, SLOW[i]);
        assert_string_equal(message, "");
    }
}

static void a_rank_that_hangs_is_named_and_the_job_ends(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES], path[FILE_PATH_BYTES];
    run_watched(message, rank_1_hangs);
    /* Usually rank 0 judges; another one does if it is late. */
    assert_non_null(strstr(message, ": stalled: rank 1 waits for nobody and has been in "
                                    "\"update\", step 5"));
    struct file_bytes answer = {0}, status = {0};
    assert_log_says("error: stalled: rank 1");
    assert_true(file_join(path, folder, "stall-rank-0002.txt", NULL));
    assert_true(file_read(&answer, path, 1000000, NULL));
    assert_non_null(strstr((const char *)answer.bytes, "rank 2 on "));
    assert_non_null(strstr((const char *)answer.bytes, "wait to receive     1  replicas"));
    assert_true(file_join(path, folder, "STATUS", NULL) && file_read(&status, path, 10000, NULL));
    assert_non_null(strstr((const char *)status.bytes, "\"failed\""));
    assert_non_null(strstr((const char *)status.bytes, "\"resumable\": false"));
    file_bytes_finish(&answer);
    file_bytes_finish(&status);
    assert_true(watch_clear(folder, NULL));
    assert_true(file_join(path, folder, "stall-rank-0002.txt", NULL) && !file_exists(path));
    assert_true(file_join(path, folder, "log.txt", NULL) && file_exists(path));
}

static void all_wait_in_a_circle(struct transport *t)
{
    receive_from(t, (transport_rank(t) + 1) % N_RANKS);
}

static void a_deadlock_ends_the_job(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES];
    run_watched(message, all_wait_in_a_circle);
    assert_non_null(strstr(message, "stalled: 3 ranks wait for each other in a circle"));
}

static void wait_while_rank_0_gets_on(struct transport *t, double seconds)
{
    unsigned char byte = 0;
    const double end_s = clock_monotonic_s() + seconds;
    if (transport_rank(t) != 0) {
        receive_from(t, transport_rank(t) - 1);
    }
    while (transport_rank(t) == 0 && clock_monotonic_s() < end_s) {
        journal_begin_alone(transport_journal(t), JOURNAL_FORWARD, -1);
        clock_sleep_s(0.01);
        journal_end(transport_journal(t));
    }
    if (transport_rank(t) + 1 < N_RANKS) {
        transport_send(t, transport_rank(t) + 1, CHANNEL_REPLICAS, &byte, 1);
    }
}

static void the_others_wait_while_rank_0_gets_on(struct transport *t)
{
    wait_while_rank_0_gets_on(t, 1.0);
}

/** Longer than a rank may take to answer. */
static void the_others_wait_for_long_while_rank_0_gets_on(struct transport *t)
{
    wait_while_rank_0_gets_on(t, 4.0);
}

static void a_long_wait_for_a_rank_that_gets_on_is_let_be(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES], path[FILE_PATH_BYTES];
    run_watched(message, the_others_wait_while_rank_0_gets_on);
    assert_string_equal(message, "");
    assert_true(file_join(path, folder, "stall.txt", NULL) && !file_exists(path));
    assert_true(file_join(path, folder, "stall-rank-0002.txt", NULL) && !file_exists(path));
    assert_false(watch_has_verdict(NULL));
}

static void on_hosts_that_remember_names_a_rank_that_gets_on_is_let_be(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES];
    name_cache_is_on = true;
    run_watched(message, the_others_wait_for_long_while_rank_0_gets_on);
    name_cache_is_on = false;
    assert_string_equal(message, "");
}

/** 1.5 s, of which none pass while the process is stopped. */
static void rank_0_takes_long_for_one_event(struct transport *t)
{
    unsigned char byte = 0;
    if (transport_rank(t) != 0) {
        receive_from(t, transport_rank(t) - 1);
    } else {
        journal_begin_alone(transport_journal(t), JOURNAL_UPDATE, -1);
        for (int i = 0; i < 30; i++) {
            clock_sleep_s(0.05);
        }
        journal_end(transport_journal(t));
    }
    if (transport_rank(t) + 1 < N_RANKS) {
        transport_send(t, transport_rank(t) + 1, CHANNEL_REPLICAS, &byte, 1);
    }
}

static void a_job_that_was_suspended_goes_on(void **state)
{
    (void)state;
    const pid_t job = fork();
    if (job == 0) {
        char message[WATCH_TEXT_BYTES];
        run_watched_for(message, 3.0, rank_0_takes_long_for_one_event);
        _exit(message[0] != '\0');
    }
    int status = 0;
    clock_sleep_s(0.5);
    assert_int_equal(kill(job, SIGSTOP), 0);
    clock_sleep_s(4.0);
    assert_int_equal(kill(job, SIGCONT), 0);
    assert_int_equal(waitpid(job, &status, 0), job);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/** Something is in the way of the rank's answer. */
static void make_mute(int rank)
{
    char name[64], path[FILE_PATH_BYTES];
    snprintf(name, sizeof name, "stall-rank-%04d.txt.partial", rank);
    assert_true(file_join(path, folder, name, NULL) && file_make_folders(path, NULL));
}

static void a_rank_that_gets_on_and_cannot_answer_is_let_be(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES];
    make_mute(0);
    run_watched(message, the_others_wait_while_rank_0_gets_on);
    assert_string_equal(message, "");
    assert_log_says("warning: until this is mended no stall can be found: ");
}

static void ranks_that_cannot_answer_end_alone_at_twice_their_limit(void **state)
{
    (void)state;
    char message[WATCH_TEXT_BYTES];
    double waited_s = 0.0;
    for (int rank = 0; rank < N_RANKS; rank++) {
        make_mute(rank);
    }
    run_watched(message, all_wait_in_a_circle);
    const char *said = strstr(message, "has waited ");
    assert_non_null(said);
    assert_int_equal(sscanf(said, "has waited %lf s for rank ", &waited_s), 1);
    assert_true(waited_s >= 2 * 0.3);
    assert_log_says("the other ranks cannot be asked, so it ends alone: ");
}

static volatile int n_requests;

static int count_requests(void)
{
    return n_requests;
}

static void asked_for_its_events_a_rank_writes_them_and_goes_on(void **state)
{
    (void)state;
    char path[FILE_PATH_BYTES];
    struct transport_world *world = transport_world_create(1);
    struct transport *t = transport_world_rank(world, 0);
    const struct watch_options options = {
        .folder = folder, .stall_s = 0.0, .n_asked = count_requests, .quiet = true};
    struct watch *watch = watch_start(&options, t, NULL);
    assert_non_null(watch);
    for (int i = 0; i < 3000; i++) {
        journal_begin_alone(transport_journal(t), JOURNAL_FORWARD, i);
        journal_end(transport_journal(t));
    }
    assert_true(file_join(path, folder, "events-rank-0000.txt", NULL));
    n_requests++;
    for (int i = 0; i < 500 && !file_exists(path); i++) {
        clock_sleep_s(0.01);
    }
    watch_stop(watch);
    assert_null(transport_journal(t));
    struct file_bytes f = {0};
    assert_true(file_read(&f, path, 1000000, NULL));
    int n_lines = 0;
    for (const char *c = (const char *)f.bytes; *c != '\0'; c++) {
        n_lines += *c == '\n';
    }
    assert_int_equal(n_lines, 4 + JOURNAL_EVENTS);
    assert_non_null(strstr((const char *)f.bytes, "The last of 3000 events"));
    assert_non_null(strstr((const char *)f.bytes, " 2999\n"));
    assert_null(strstr((const char *)f.bytes, " 951\n"));
    file_bytes_finish(&f);
    assert_null(transport_world_aborted(world));
    transport_world_destroy(world);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_rank_at_the_end_of_the_chain_is_the_culprit),
        cmocka_unit_test(a_rank_that_is_late_and_waits_for_nobody_is_stuck),
        cmocka_unit_test(waiting_long_for_a_rank_that_gets_on_is_no_stall),
        cmocka_unit_test(a_circle_of_late_ranks_is_a_deadlock),
        cmocka_unit_test(the_last_done_of_a_rank_that_is_between_two_things_is_named),
        cmocka_unit_test(a_long_pipeline_is_followed_to_its_end),
        cmocka_unit_test(an_answer_reads_back_as_it_was_written),
        cmocka_unit_test(a_foreign_or_torn_answer_is_none),
        IN_FOLDER(a_rank_that_hangs_is_named_and_the_job_ends),
        IN_FOLDER(saves_and_starts_have_limits_of_their_own),
        IN_FOLDER(a_deadlock_ends_the_job),
        IN_FOLDER(a_long_wait_for_a_rank_that_gets_on_is_let_be),
        IN_FOLDER(a_job_that_was_suspended_goes_on),
        IN_FOLDER(on_hosts_that_remember_names_a_rank_that_gets_on_is_let_be),
        IN_FOLDER(a_rank_that_gets_on_and_cannot_answer_is_let_be),
        IN_FOLDER(ranks_that_cannot_answer_end_alone_at_twice_their_limit),
        IN_FOLDER(asked_for_its_events_a_rank_writes_them_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
