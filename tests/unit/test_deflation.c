#include <attnres/deflation.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/file.h>

#include "../support/folder.h"
#include "../support/ranks.h"
#include "../support/small_rank.h"

enum { RANKS = 3, LOG_BYTES = 1 << 14 };

static const char *const AUTO[] = {"model.layers=3",
                                   "model.blocks=3",
                                   "representative.value=bf16",
                                   "representative.gradient=bf16",
                                   "pipeline.deflate=auto",
                                   NULL};

/** What a rank does with its four links. */
struct sides {
    bool values_in, values_out, gradients_in, gradients_out;
};

/* What the ranks' threads of a test share; each writes its own sides, rank 0 the log's text. */
static struct {
    char folder[64];
    bool shares_host;
    struct sides sides[RANKS];
    char log[LOG_BYTES];
} job;

static int make_folder(void **state)
{
    (void)state;
    return !folder_make(job.folder, sizeof job.folder, "deflation");
}

static int remove_folder(void **state)
{
    (void)state;
    return file_remove_tree(job.folder, NULL) ? 0 : 1;
}

static void read_log(struct transport *t, const char *path)
{
    struct file_bytes f;
    CHECK(t, file_read(&f, path, LOG_BYTES - 1, NULL));
    memcpy(job.log, f.bytes, f.length);
    job.log[f.length] = '\0';
    file_bytes_finish(&f);
}

/** Rank r is on host r, or all are on one. */
static void choose(struct transport *t)
{
    struct small_rank r;
    struct engine engine;
    struct log log;
    char path[FILE_PATH_BYTES];
    const int rank = transport_rank(t);
    small_rank_init(&r, t, PLAN_TRAIN, AUTO);
    engine_init(&engine, &r.plan, &r.model, &r.memory, t);
    log_init(&log, rank);
    log.quiet = true;
    CHECK(t, file_join(path, job.folder, "log.txt", NULL));
    CHECK(t, rank != 0 || log_open_file(&log, path, NULL));
    uint64_t hosts[RANKS];
    for (int i = 0; i < transport_size(t); i++) {
        hosts[i] = job.shares_host ? 7 : (uint64_t)i;
    }
    deflation_choose(&engine, hosts, &log);
    const struct engine_chunk *c = &engine.chunks[0];
    job.sides[rank] =
        (struct sides){c->values_in.layout.codec != NULL, c->values_out.layout.codec != NULL,
                       c->gradients_in.layout.codec != NULL, c->gradients_out.layout.codec != NULL};
    log_finish(&log);
    if (rank == 0) {
        read_log(t, path);
    }
    engine_finish(&engine);
    small_rank_finish(&r);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static void both_sides_of_a_link_choose_the_same_and_say_why(void **state)
{
    (void)state;
    char message[1024] = "", line[64];
    job.shares_host = false;
    assert_true(ranks_run_local(RANKS, choose, message));
    int n_on = 0;
    for (int cut = 0; cut < RANKS - 1; cut++) {
        assert_int_equal(job.sides[cut].values_out, job.sides[cut + 1].values_in);
        assert_int_equal(job.sides[cut].gradients_in, job.sides[cut + 1].gradients_out);
        n_on += job.sides[cut].values_out + job.sides[cut].gradients_in;
    }
    assert_int_equal(count(job.log, "MB takes"), 2 * (RANKS - 1));
    assert_int_equal(count(job.log, "deflate on for"), n_on);
    snprintf(line, sizeof line, "deflate auto: on for %d of 4 directions between hosts", n_on);
    assert_int_equal(count(job.log, line), 1);
}

static void nothing_is_measured_within_a_host(void **state)
{
    (void)state;
    char message[1024] = "";
    job.shares_host = true;
    assert_true(ranks_run_local(RANKS, choose, message));
    for (int rank = 0; rank < RANKS; rank++) {
        const struct sides none = {false, false, false, false};
        assert_memory_equal(&job.sides[rank], &none, sizeof none);
    }
    assert_int_equal(count(job.log, "MB takes"), 0);
    assert_int_equal(count(job.log, "deflate auto: off, all neighbours share a host"), 1);
}

static void one_rank_says_nothing(void **state)
{
    (void)state;
    char message[1024] = "";
    assert_true(ranks_run_local(1, choose, message));
    assert_int_equal(count(job.log, "deflate"), 0);
}

static void it_pays_from_a_twentieth_on(void **state)
{
    (void)state;
    assert_true(deflation_pays(1.0, 0.94));
    assert_false(deflation_pays(1.0, 0.96));
    assert_false(deflation_pays(1.0, 2.0));
}

static void a_choice_is_printed_with_its_numbers(void **state)
{
    (void)state;
    const struct deflation d = {.cut = 3,
                                .direction = WIRE_GRADIENTS,
                                .plain_s = 0.084,
                                .deflated_s = 0.0725,
                                .pack_s = 0.002,
                                .unpack_s = 0.001,
                                .frame_bytes = 1050000,
                                .message_bytes = 862000,
                                .deflates = true};
    char text[512];
    const size_t length = deflation_print(&d, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "deflate on for gradients between stages 3 and 4: a message of "
                              "1.050 MB takes 84.00 ms, deflated to 0.862 MB 72.50 ms (link 12.5 "
                              "MB/s, deflating 525 MB/s, inflating 1050 MB/s)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_sides_of_a_link_choose_the_same_and_say_why,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(nothing_is_measured_within_a_host, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(one_rank_says_nothing, make_folder, remove_folder),
        cmocka_unit_test(it_pays_from_a_twentieth_on),
        cmocka_unit_test(a_choice_is_printed_with_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
