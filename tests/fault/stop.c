/* A stop that is asked for while a save in the background is under way: it waits for that save,
 * then saves the step that it has come to. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <attnres/checkpoint.h>
#include <attnres/error.h>
#include <attnres/file.h>

#include "trial.h"

/** On a busy machine a step may take longer than a slow save, which then proves nothing. */
enum { TRIES = 10, LOG_BYTES = 1 << 20 };

/** Steps done when the stop is asked for: a save has just begun. */
static int64_t asked_at;

static void ask_to_stop(int64_t step)
{
    if (step == asked_at) {
        TRIAL_REQUIRE(file_replace("run/STOP", "", 0, NULL));
    }
}

/** Whether the save that was under way ended behind the last step: the log has them in order. */
static bool outlasted_the_step(void)
{
    struct file_bytes log;
    char step[32], saved[64];
    snprintf(step, sizeof step, "step %" PRId64 "/%d ", asked_at + 1, TRIAL_STEPS);
    snprintf(saved, sizeof saved, "saved checkpoints/step-%08" PRId64 " ", asked_at);
    TRIAL_REQUIRE(file_read(&log, "run/log.txt", LOG_BYTES, NULL));
    const char *step_at = strstr((const char *)log.bytes, step),
               *saved_at = strstr((const char *)log.bytes, saved);
    if (step_at == NULL || saved_at == NULL) {
        trial_fail("the log lacks '%s' or '%s':\n%s", step, saved, (const char *)log.bytes);
    }
    const bool is_behind = saved_at > step_at;
    file_bytes_finish(&log);
    return is_behind;
}

static void expect_whole(int64_t step)
{
    char path[FILE_PATH_BYTES];
    struct checkpoint_contents contents;
    struct error err = {0};
    TRIAL_REQUIRE(checkpoint_step_path(path, "run", step, NULL));
    if (!checkpoint_verify(&contents, path, &err) || contents.step != step) {
        trial_fail("stopped after step %" PRId64 ", checkpoint %" PRId64 ": %s", asked_at + 1, step,
                   err.message);
    }
}

static void expect_early_end(const struct outcome *o)
{
    if (o->signal != 0 || o->code != ERROR_EARLY || o->step != asked_at + 1) {
        trial_fail("asked to stop after step %" PRId64 ": ends after %" PRId64
                   " with signal %d, code %d: %s",
                   asked_at, o->step, o->signal, o->code, o->message);
    }
}

/** The save that was under way stands and so does that of the last step, which nobody does again.
 */
static void expect_resumed(struct tally *tally, const struct trial *trial)
{
    int64_t steps[3] = {-1, -1, -1};
    TRIAL_REQUIRE(checkpoint_list(steps, 3, "run", NULL) == 2);
    TRIAL_REQUIRE(steps[0] == asked_at + 1 && steps[1] == asked_at);
    expect_whole(steps[0]);
    expect_whole(steps[1]);
    trial_expect_resumed(tally, trial, asked_at + 1, 0, "stopped during a save");
}

static void stop_during_a_save(struct tally *tally, const struct trial *trial)
{
    bool was_under_way = false;
    for (int i = 0; i < TRIES && !was_under_way; i++) {
        TRIAL_REQUIRE(file_remove_tree("run", NULL));
        expect_early_end(trial_run(trial));
        was_under_way = outlasted_the_step();
        expect_resumed(tally, trial);
    }
    if (!was_under_way) {
        trial_fail("of %d slow saves none was under way when step %" PRId64 " ended", TRIES,
                   asked_at + 1);
    }
    tally->n_cases++;
}

bool stop_row(struct tally *tally, const struct row *row)
{
    struct trial trial = {
        .in_background = true, .scope = "run/checkpoints", .before_step = ask_to_stop};
    if (strcmp(row->fault, "slow-for-good") != 0 || strcmp(row->moment, "stop-async") != 0) {
        return false;
    }
    TRIAL_REQUIRE(inject_parse(&trial.fault, "slow"));
    trial.fault.times = INT64_MAX;
    trial_expected_hash(TRIAL_STEPS);
    for (asked_at = TRIAL_EVERY; asked_at < TRIAL_STEPS; asked_at += TRIAL_EVERY) {
        stop_during_a_save(tally, &trial);
    }
    return true;
}
