#include <attnres/train.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/checkpoint.h>
#include <attnres/clock.h>

#include "../../src/train/train_internal.h"
#include "../support/folder.h"
#include "../support/ranks.h"

/* A run of two ranks in a folder of its own, with what a test varies. */
static struct {
    char folder[64];
    const char *steps, *keep, *async;
    struct train_options options;
    struct train_result result[2];
    enum error_kind kind[2];
} job;

static int enter_folder(void **state)
{
    (void)state;
    memset(&job, 0, sizeof job);
    return !folder_enter(job.folder, sizeof job.folder, "resume");
}

static int leave_folder(void **state)
{
    (void)state;
    return !folder_leave(job.folder);
}

static void train(struct transport *t)
{
    const int rank = transport_rank(t);
    const char *const overrides[] = {job.steps,
                                     job.keep,
                                     job.async != NULL ? job.async : "checkpoint.async=false",
                                     "checkpoint.snapshot_bytes=100",
                                     "run.dir=run",
                                     "model.layers=2",
                                     "model.dim=8",
                                     "model.heads=2",
                                     "model.kv_heads=1",
                                     "model.ff=12",
                                     "model.seq_len=8",
                                     "batch.sequences=2",
                                     "checkpoint.every=2",
                                     "train.log_every=1",
                                     "train.eval_every=0",
                                     "compute.threads=1"};
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    struct log log;
    CHECK(t, config != NULL);
    CHECK(t, config_load(config, NULL, sizeof overrides / sizeof overrides[0], overrides, &err));
    log_init(&log, rank);
    log.quiet = true;
    job.options.build.version = job.options.build.revision = "test";
    job.options.build.compiler = job.options.build.flags = "test";
    const bool ok = train_run(&job.result[rank], config, &job.options, t, &log, &err);
    job.kind[rank] = ok ? ERROR_NONE : err.kind;
    log_finish(&log);
    free(config);
}

static void run(const char *steps, const char *keep)
{
    char message[1024];
    job.steps = steps;
    job.keep = keep;
    if (!ranks_run_local(2, train, message)) {
        fail_msg("%s", message);
    }
    assert_int_equal(job.kind[0], job.kind[1]);
}

static void damage(const char *path)
{
    struct file_bytes f;
    struct error err = {0};
    if (!file_read(&f, path, 1 << 20, &err)) {
        fail_msg("%s", err.message);
    }
    f.bytes[f.length - 1] ^= 1;
    assert_true(file_replace(path, f.bytes, f.length, NULL));
    file_bytes_finish(&f);
}

/* Rank 0's files are whole: it has loaded the state before it hears that rank 1 could not. */
static void all_ranks_start_fresh_when_one_cannot_load(void **state)
{
    (void)state;
    run("train.steps=2", "checkpoint.keep=3");
    const uint64_t hash = job.result[0].weights_hash;
    damage("run/checkpoints/step-00000002/optim-00002.safetensors");
    job.options.resume = true;
    run("train.steps=2", "checkpoint.keep=3");
    assert_int_equal(job.kind[0], ERROR_NONE);
    assert_int_equal(job.result[0].step, 2);
    assert_int_equal(job.result[1].step, 2);
    assert_true(job.result[0].weights_hash == hash);
    assert_true(file_exists("run/metrics.before.jsonl"));
    assert_true(file_exists("run/checkpoints/step-00000002.damaged/manifest.json"));
    damage("run/checkpoints/step-00000002/optim-00001.safetensors");
    run("train.steps=2", "checkpoint.keep=3");
    assert_int_equal(job.kind[0], ERROR_NONE);
    int64_t steps[4];
    assert_int_equal(checkpoint_list(steps, 4, "run", NULL), 1);
}

/* Counted as the newest, the damaged one would be kept in the place of what was just saved. */
static void a_damaged_later_checkpoint_takes_no_place(void **state)
{
    (void)state;
    run("train.steps=4", "checkpoint.keep=3");
    damage("run/checkpoints/step-00000004/model-00001.safetensors");
    job.options.resume = true;
    run("train.steps=3", "checkpoint.keep=1");
    assert_int_equal(job.kind[0], ERROR_NONE);
    int64_t steps[4];
    assert_int_equal(checkpoint_list(steps, 4, "run", NULL), 1);
    assert_int_equal(steps[0], 3);
}

static void what_killed_saves_left_is_removed(void **state)
{
    (void)state;
    assert_true(file_make_folders("run/checkpoints/.step-00000001.partial", NULL));
    job.options.resume = true;
    run("train.steps=2", "checkpoint.keep=1");
    assert_int_equal(job.kind[0], ERROR_NONE);
    assert_false(file_exists("run/checkpoints/.step-00000001.partial"));
}

static void a_stop_seen_in_the_last_step_is_removed(void **state)
{
    (void)state;
    assert_true(file_make_folders("run", NULL));
    assert_true(file_replace("run/STOP", "", 0, NULL));
    run("train.steps=1", "checkpoint.keep=1");
    assert_int_equal(job.kind[0], ERROR_NONE);
    assert_false(file_exists("run/STOP"));
}

static void expect_status(enum run_state state, const char *reason, bool resumable)
{
    struct rundir_status status;
    assert_true(rundir_read_status(&status, "run", NULL));
    assert_int_equal(status.state, state);
    assert_string_equal(status.reason, reason);
    assert_int_equal(status.resumable, resumable);
    assert_true(status.save_rate > 0.0 || !resumable);
}

/* How long a save takes is guessed, or was measured in another job: as long as nothing is gained it
 * is tried, else such a run would come back to the same step each time. */
static void a_job_that_has_gained_nothing_tries_to_save(void **state)
{
    (void)state;
    job.options.job_end_s = clock_monotonic_s();
    run("train.steps=9", "checkpoint.keep=9");
    assert_int_equal(job.kind[0], ERROR_EARLY);
    expect_status(RUN_STOPPED,
                  "stopped by the job's end after step 1 of 9, saved; continue with --resume",
                  true);
    job.options = (struct train_options){.resume = true};
    run("train.steps=2", "checkpoint.keep=9");
    assert_int_equal(job.kind[0], ERROR_NONE);
    job.options.job_end_s = clock_monotonic_s();
    run("train.steps=9", "checkpoint.keep=9");
    assert_int_equal(job.kind[0], ERROR_EARLY);
    expect_status(RUN_STOPPED,
                  "stopped by the job's end after step 3 of 9, saved; continue with --resume",
                  true);
}

/* However many folders beside it hold no checkpoint. */
static void the_only_good_checkpoint_is_found(void **state)
{
    (void)state;
    char path[FILE_PATH_BYTES];
    run("train.steps=2", "checkpoint.keep=9");
    for (int64_t step = 3; step < 103; step++) {
        assert_true(checkpoint_step_path(path, "run", step, NULL) && file_make_folders(path, NULL));
    }
    job.options = (struct train_options){.resume = true};
    run("train.steps=4", "checkpoint.keep=9");
    assert_int_equal(job.kind[0], ERROR_NONE);
    assert_int_equal(job.result[0].summary.n_steps, 2);
}

/* A run after a step of 10 s, an evaluation of 2 s and a save of 20 s; one rank. */
static struct train *make_slow_run(const struct train_options *options)
{
    struct train *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->options = options;
    t->start_s = clock_monotonic_s();
    t->step_s = 10.0;
    t->step_start_s = t->start_s;
    t->evaluate_s = 2.0;
    t->save_s = 20.0;
    t->session.config.batch.n_sequences = 3;
    t->session.config.train.eval_every = 5;
    t->state.step = 4;
    return t;
}

/* 1.5 x 20 s to save and 2 s to end; before that 1.5 x 12 s for the step, and 3 s. */
static void time_is_left_to_step_and_save_or_to_save_or_none(void **state)
{
    (void)state;
    static const struct {
        double left_s;
        enum train_stop stop;
        bool has_time_to_save;
    } CASES[] = {{60.0, TRAIN_GOES_ON, true},
                 {50.0, TRAIN_STOP_JOB_END, true},
                 {35.0, TRAIN_STOP_JOB_END, true},
                 {29.0, TRAIN_STOP_JOB_END, false}};
    struct train_options options = {0};
    struct train *t = make_slow_run(&options);
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    assert_true(train_has_time_to_save(t));
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        options.job_end_s = clock_monotonic_s() + CASES[i].left_s;
        assert_int_equal(train_find_stop(t, false), CASES[i].stop);
        assert_int_equal(train_has_time_to_save(t), CASES[i].has_time_to_save);
    }
    assert_int_equal(train_find_stop(t, true), TRAIN_STOP_SIGNAL);
    free(t);
}

/* The first step of a process is as long as what is done of it. */
static void the_step_in_hand_counts_before_any_was_measured(void **state)
{
    (void)state;
    struct train_options options = {.job_end_s = clock_monotonic_s() + 50.0};
    struct train *t = make_slow_run(&options);
    t->step_s = 0.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    t->step_start_s -= 10.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_STOP_JOB_END);
    options.job_end_s += 10.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    free(t);
}

/* Behind the step in hand, and behind the last one; not yet measured, a third of three steps. */
static void evaluations_take_time_where_they_are_due(void **state)
{
    (void)state;
    static const struct {
        int64_t step, n_steps;
        double evaluate_s, least_s;
    } CASES[] = {{3, 9, 2.0, 50.0}, {4, 9, 2.0, 53.0}, {7, 9, 2.0, 53.0},
                 {4, 6, 2.0, 56.0}, {4, 9, 0.0, 65.0}, {5, 9, 0.0, 50.0}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct train_options options = {0};
        struct train *t = make_slow_run(&options);
        t->state.step = CASES[i].step;
        t->session.config.train.n_steps = CASES[i].n_steps;
        t->evaluate_s = CASES[i].evaluate_s;
        t->n_val_windows = 9;
        options.job_end_s = clock_monotonic_s() + CASES[i].least_s + 0.5;
        assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
        options.job_end_s = clock_monotonic_s() + CASES[i].least_s - 0.5;
        assert_int_equal(train_find_stop(t, false), TRAIN_STOP_JOB_END);
        free(t);
    }
}

/* 20 s for the 12 GB of the rank that owns the most, as the one above. */
static void a_first_save_is_as_fast_as_those_before_the_resume(void **state)
{
    (void)state;
    int64_t owned[] = {500000000, 1000000000};
    struct train_options options = {.job_end_s = clock_monotonic_s() + 60.0};
    struct train *t = make_slow_run(&options);
    t->session.plan.grid = (struct grid){.n_replicas = 1, .n_places = 2};
    t->session.plan.owned_counts = owned;
    assert_true(train_save_rate(t) == 600e6);
    t->save_s = 0.0;
    t->save_rate = 600e6;
    assert_true(train_save_rate(t) == 600e6);
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    t->save_rate = 400e6;
    assert_int_equal(train_find_stop(t, false), TRAIN_STOP_JOB_END);
    free(t);
}

static void a_save_is_due_after_so_many_minutes(void **state)
{
    (void)state;
    const struct train_options options = {0};
    struct train *t = make_slow_run(&options);
    t->save_at_s = clock_monotonic_s() - 1e6;
    assert_false(train_save_is_due(t)); /* checkpoint.minutes is 0 */
    t->session.config.checkpoint.minutes = 2.0;
    assert_true(train_save_is_due(t));
    t->save_at_s = clock_monotonic_s() - 110.0;
    assert_false(train_save_is_due(t));
    t->save_at_s = clock_monotonic_s() - 121.0;
    assert_true(train_save_is_due(t));
    free(t);
}

/* The one under way and the next: 1.5 x 20 s more than above, where 60 s are enough. */
static void a_save_waits_for_the_one_under_way(void **state)
{
    (void)state;
    struct train_options options = {.job_end_s = clock_monotonic_s() + 60.0};
    struct train *t = make_slow_run(&options);
    t->is_saving = true;
    assert_int_equal(train_find_stop(t, false), TRAIN_STOP_JOB_END);
    options.job_end_s += 30.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    free(t);
}

/* Nobody kills the run behind its hours, so a save is never too late for them. */
static void the_last_save_fits_into_the_hours(void **state)
{
    (void)state;
    const struct train_options options = {0};
    struct train *t = make_slow_run(&options);
    t->session.config.run.max_hours = 60.0 / 3600.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_GOES_ON);
    t->session.config.run.max_hours = 50.0 / 3600.0;
    assert_int_equal(train_find_stop(t, false), TRAIN_STOP_TIME);
    t->session.config.run.max_hours = 1e-9;
    assert_int_equal(train_find_stop(t, false), TRAIN_STOP_TIME);
    assert_true(train_has_time_to_save(t));
    free(t);
}

static void expect_same_checkpoint(int64_t step)
{
    static const char *const NAMES[] = {"model-00001.safetensors", "model-00002.safetensors",
                                        "optim-00001.safetensors", "optim-00002.safetensors"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char path[FILE_PATH_BYTES];
        struct file_bytes a, b;
        assert_true(checkpoint_step_path(path, "run", step, NULL));
        assert_true(file_join(path, path, NAMES[i], NULL) && file_read(&a, path, 1 << 20, NULL));
        assert_true(checkpoint_step_path(path, "other", step, NULL));
        assert_true(file_join(path, path, NAMES[i], NULL) && file_read(&b, path, 1 << 20, NULL));
        assert_int_equal(a.length, b.length);
        assert_memory_equal(a.bytes, b.bytes, a.length);
        file_bytes_finish(&a);
        file_bytes_finish(&b);
    }
}

/* A save every second step, so that each waits for the one before; the buffer is always full. */
static void saving_in_the_background_changes_no_byte(void **state)
{
    (void)state;
    run("train.steps=12", "checkpoint.keep=9");
    const uint64_t hash = job.result[0].weights_hash;
    assert_true(file_rename("run", "other", NULL));
    job.async = "checkpoint.async=true";
    run("train.steps=12", "checkpoint.keep=9");
    assert_int_equal(job.kind[0], ERROR_NONE);
    assert_true(job.result[0].weights_hash == hash);
    for (int64_t step = 2; step <= 12; step += 2) {
        expect_same_checkpoint(step);
    }
    damage("run/checkpoints/step-00000012/model-00001.safetensors");
    job.options.resume = true;
    run("train.steps=12", "checkpoint.keep=9");
    assert_true(job.result[0].weights_hash == hash);
    expect_same_checkpoint(12);
}

static void what_ranks_report_decides_about_a_save(void **state)
{
    (void)state;
    enum {
        IDLE = 1 << CHECKPOINT_IDLE,
        WRITING = 1 << CHECKPOINT_WRITING,
        WRITTEN = 1 << CHECKPOINT_WRITTEN,
        PUBLISHING = 1 << CHECKPOINT_PUBLISHING,
        STANDS = 1 << CHECKPOINT_STANDS,
        FAILED = 1 << CHECKPOINT_FAILED
    };
    static const struct {
        unsigned phases;
        enum train_save action;
    } CASES[] = {
        {IDLE, TRAIN_SAVE_GOES_ON},
        {WRITING, TRAIN_SAVE_GOES_ON},
        {WRITING | WRITTEN, TRAIN_SAVE_GOES_ON},
        {WRITING | FAILED, TRAIN_SAVE_GOES_ON}, /* its folder is not to be taken away yet */
        {WRITING | WRITTEN | FAILED, TRAIN_SAVE_GOES_ON},
        {WRITTEN, TRAIN_SAVE_COLLECT},
        {WRITTEN | FAILED, TRAIN_SAVE_END},
        {FAILED, TRAIN_SAVE_END},
        {WRITTEN | PUBLISHING, TRAIN_SAVE_GOES_ON},
        {PUBLISHING, TRAIN_SAVE_GOES_ON}, /* one rank */
        {WRITTEN | STANDS, TRAIN_SAVE_END},
        {STANDS, TRAIN_SAVE_END},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(train_judge_save(CASES[i].phases), CASES[i].action);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(all_ranks_start_fresh_when_one_cannot_load),
        IN_FOLDER(a_damaged_later_checkpoint_takes_no_place),
        IN_FOLDER(what_killed_saves_left_is_removed),
        cmocka_unit_test(a_save_is_due_after_so_many_minutes),
        cmocka_unit_test(a_save_waits_for_the_one_under_way),
        IN_FOLDER(a_stop_seen_in_the_last_step_is_removed),
        IN_FOLDER(a_job_that_has_gained_nothing_tries_to_save),
        IN_FOLDER(time_is_left_to_step_and_save_or_to_save_or_none),
        IN_FOLDER(the_step_in_hand_counts_before_any_was_measured),
        IN_FOLDER(the_only_good_checkpoint_is_found),
        IN_FOLDER(evaluations_take_time_where_they_are_due),
        IN_FOLDER(a_first_save_is_as_fast_as_those_before_the_resume),
        IN_FOLDER(the_last_save_fits_into_the_hours),
        IN_FOLDER(saving_in_the_background_changes_no_byte),
        cmocka_unit_test(what_ranks_report_decides_about_a_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
