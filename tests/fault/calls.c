/* A fault at every file call of a run, one after the other, until a run gets through. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <attnres/error.h>
#include <attnres/file.h>

#include "trial.h"

static bool ends_by_itself(int code)
{
    return code == ERROR_NONE || code == ERROR_DATA || code == ERROR_NO_INPUT ||
           code == ERROR_CREATE || code == ERROR_IO;
}

/** "EIO", "EIO-for-good", "EINTR-3-times" */
static bool parse_fault(struct inject_fault *fault, const char *word)
{
    char name[32];
    const size_t length = strcspn(word, "-");
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    fault->times = strcmp(word + length, "-for-good") == 0  ? INT64_MAX
                   : strcmp(word + length, "-3-times") == 0 ? 3
                                                            : 1;
    return inject_parse(fault, name);
}

/** "run": from its start to its end; "resume": the same from a checkpoint on; "save": its calls on
 * checkpoints alone, a load, a save and the removal of an old one. Each also with "-async". */
static bool parse_moment(struct trial *trial, const char *word)
{
    const bool saves = strncmp(word, "save", 4) == 0;
    trial->in_background = strstr(word, "-async") != NULL;
    trial->resumes = saves || strncmp(word, "resume", 6) == 0;
    trial->scope = saves ? "run/checkpoints" : NULL;
    return trial->resumes || strncmp(word, "run", 3) == 0;
}

static void expect_end(const struct row *row, const struct trial *trial, const struct outcome *o,
                       const char *what)
{
    const bool kills = trial->fault.action == INJECT_KILL || trial->fault.action == INJECT_TEAR;
    if (kills ? o->signal != SIGKILL : o->signal != 0 || !ends_by_itself(o->code)) {
        trial_fail("%s: ends with signal %d, code %d: %s", what, o->signal, o->code, o->message);
    }
    const bool absorbs = strcmp(row->expected, "absorbed") == 0;
    if ((absorbs || o->code == 0) && !kills && o->hash != trial_expected_hash(TRIAL_STEPS)) {
        trial_fail("%s: ends with code %d, weights %016" PRIx64 ": %s", what, o->code, o->hash,
                   o->message);
    }
}

/** One case; false if the fault came too late to hit anything. */
static bool try_call(struct tally *tally, const struct row *row, const struct trial *trial)
{
    char what[128];
    snprintf(what, sizeof what, "%s %s, call %" PRId64, row->fault, row->moment, trial->fault.at);
    TRIAL_REQUIRE(file_remove_tree("run", NULL));
    if (trial->resumes) {
        trial_copy("base", "run");
    }
    const struct outcome *o = trial_run(trial);
    if (o->n_calls <= trial->fault.at) {
        if (o->code != 0 || o->hash != trial_expected_hash(TRIAL_STEPS)) {
            trial_fail("%s: nothing hit, yet code %d: %s", what, o->code, o->message);
        }
        return false;
    }
    const struct outcome ended = *o;
    expect_end(row, trial, &ended, what);
    tally->n_cases++;
    tally->n_refused += ended.code > 0;
    /* A killed run loses what it did since the last save, in the background since the one before.
     */
    const bool kills = trial->fault.action == INJECT_KILL || trial->fault.action == INJECT_TEAR;
    const int64_t most = trial->in_background ? 2 * TRIAL_EVERY : TRIAL_EVERY;
    trial_expect_resumed(tally, trial, ended.step, kills ? most : TRIAL_STEPS, what);
    return true;
}

bool calls_row(struct tally *tally, const struct row *row)
{
    struct trial trial = {0};
    if (!parse_fault(&trial.fault, row->fault) || !parse_moment(&trial, row->moment)) {
        return false;
    }
    trial_expected_hash(TRIAL_STEPS);
    if (trial.resumes) { /* from step 4 of 6 */
        TRIAL_REQUIRE(trial_run(&(struct trial){.steps = 4})->code == 0);
        TRIAL_REQUIRE(file_rename("run", "base", NULL));
    }
    while (try_call(tally, row, &trial)) {
        trial.fault.at += row->stride;
    }
    return true;
}
