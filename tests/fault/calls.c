/* A fault at every file call of a run, one after the other, until a run gets through. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <attnres/error.h>
#include <attnres/file.h>

#include "trial.h"

static const char DATA[] = "data.bin";

static bool ends_by_itself(const struct trial *trial, int code)
{
    const bool reads_data = trial->scope != NULL && strcmp(trial->scope, DATA) == 0;
    return code == ERROR_NONE || code == ERROR_DATA || code == ERROR_CREATE || code == ERROR_IO ||
           code == ERROR_LAUNCH ||                  /* the folder not seen */
           (code == ERROR_NO_INPUT && !reads_data); /* the data are there */
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
 * checkpoints alone, a load, a save and the removal of an old one. Each also with "-async". "data":
 * from start to end, the calls on the training data; "data-folder": on these in a folder. */
static bool parse_moment(struct trial *trial, const char *word)
{
    const bool saves = strncmp(word, "save", 4) == 0;
    trial->in_background = strstr(word, "-async") != NULL;
    trial->resumes = saves || strncmp(word, "resume", 6) == 0;
    const bool reads = strncmp(word, "data", 4) == 0;
    trial->override = strcmp(word, "data-folder") == 0 ? "data.train=shards" : NULL;
    trial->scope = saves ? "run/checkpoints" : reads ? DATA : NULL;
    return trial->resumes || reads || strncmp(word, "run", 3) == 0;
}

static void expect_end(const struct row *row, const struct trial *trial, const struct outcome *o,
                       const char *what)
{
    const bool kills = trial->fault.action == INJECT_KILL || trial->fault.action == INJECT_TEAR;
    if (kills ? o->signal != SIGKILL : o->signal != 0 || !ends_by_itself(trial, o->code)) {
        trial_fail("%s: ends with signal %d, code %d: %s", what, o->signal, o->code, o->message);
    }
    /* From `base`, of two checkpoints: one that is hard to read may be passed over, not all. */
    if (trial->resumes && o->first_step == 0) {
        trial_fail("%s: starts over", what);
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
    /* A run that ends loses what it did since the last save, in the background since the one
     * before; a fault that lasts may have left it none. */
    const int64_t most = trial->in_background ? 2 * TRIAL_EVERY : TRIAL_EVERY;
    const bool lasts = strstr(row->fault, "-for-good") != NULL;
    trial_expect_resumed(tally, trial, ended.step, lasts ? TRIAL_STEPS : most, what);
    return true;
}

static const char *const FILES[] = {
    "step-00000004/model-00001.safetensors", "step-00000004/model-00002.safetensors",
    "step-00000004/optim-00001.safetensors", "step-00000004/optim-00002.safetensors",
    "step-00000006/model-00001.safetensors", "step-00000006/model-00002.safetensors",
    "step-00000006/optim-00001.safetensors", "step-00000006/optim-00002.safetensors",
};
enum { N_FILES = sizeof FILES / sizeof FILES[0] };

static void expect_same(const char *name)
{
    struct file_bytes a, b;
    char path[FILE_PATH_BYTES];
    TRIAL_REQUIRE(file_join(path, "slow/checkpoints", name, NULL) &&
                  file_read(&a, path, 1 << 24, NULL));
    TRIAL_REQUIRE(file_join(path, "run/checkpoints", name, NULL) &&
                  file_read(&b, path, 1 << 24, NULL));
    if (a.length != b.length || memcmp(a.bytes, b.bytes, a.length) != 0) {
        trial_fail("%s: a slow save in the background has written other bytes", name);
    }
    file_bytes_finish(&a);
    file_bytes_finish(&b);
}

/** Every write is slow: updates overtake the save, its buffer fills, and the log says so. */
static bool slow_row(struct tally *tally, const struct row *row)
{
    struct file_bytes log;
    struct trial trial = {.in_background = true, .scope = "run/checkpoints"};
    if (strcmp(row->fault, "slow-for-good") != 0 || strcmp(row->moment, "run-async") != 0) {
        return false;
    }
    TRIAL_REQUIRE(parse_fault(&trial.fault, row->fault));
    const uint64_t expected = trial_expected_hash(TRIAL_STEPS);
    const struct outcome *o = trial_run(&trial);
    TRIAL_REQUIRE(file_read(&log, "run/log.txt", 1 << 20, NULL));
    const bool is_told = strstr((const char *)log.bytes, "the snapshot's") != NULL;
    file_bytes_finish(&log);
    if (o->code != 0 || o->hash != expected || !is_told) {
        trial_fail("slow writes: ends with code %d, weights %016" PRIx64 ", the log %s of waiting",
                   o->code, o->hash, is_told ? "tells" : "does not tell");
    }
    TRIAL_REQUIRE(file_rename("run", "slow", NULL));
    TRIAL_REQUIRE(trial_run(&(struct trial){0})->code == 0);
    for (int i = 0; i < N_FILES; i++) {
        expect_same(FILES[i]);
    }
    tally->n_cases++;
    return true;
}

bool calls_row(struct tally *tally, const struct row *row)
{
    struct trial trial = {0};
    if (slow_row(tally, row)) {
        return true;
    }
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
