/* Bits that flip in received messages, over `local`: each trial is a short run of its own process
 * in which one bit of one message flips, and the run must end naming both ranks. Any message of any
 * channel, header, checksum, length and padding included, and no run may come to its end. But for a
 * bit of a deflated message that nobody reads (test_wire.c has them all): then the weights are
 * those of a run that nothing happened to.
 *
 * usage: test_messages [N]     N trials (default 200), drawn by a fixed seed */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <attnres/config.h>
#include <attnres/file.h>
#include <attnres/rng.h>
#include <attnres/train.h>

#include "../support/folder.h"
#include "../support/overrides.h"
#include "../support/ranks.h"
#include "flip.h"

enum { MOST_OVERRIDES = 48, N_SETTINGS = 5, MESSAGE_BYTES = 1024 };

/** Sorts of runs: together they use every channel and encoding. */
static const struct {
    int n_ranks;
    const char *settings[N_SETTINGS];
} RUNS[] = {
    {3, {"pipeline.schedule=1f1b", "model.tied=true"}},
    {2, {"pipeline.deflate=on", "representative.value=bf16", "representative.gradient=bf16"}},
    {2, {"representative.value=int8", "pipeline.deflate=on", "pipeline.schedule=zb_h1"}},
    {2, {"pipeline.schedule=interleaved", "pipeline.chunks=2", "pipeline.cache=on"}},
    {4, {"pipeline.replicas=2", "guard.check_every=1"}},
};
enum { N_RUNS = sizeof RUNS / sizeof RUNS[0] };

static int sort;              /* of the run in hand */
static uint64_t weights_hash; /* of the run in this process */

static void train(struct transport *t)
{
    static const char *const COMMON[] = {
        "run.dir=run",        "run.stall_s=0",        "model.layers=4",     "model.blocks=2",
        "model.dim=8",        "model.heads=2",        "model.kv_heads=1",   "model.ff=12",
        "model.seq_len=8",    "batch.sequences=4",    "batch.microbatch=1", "train.steps=2",
        "train.eval_every=2", "train.eval_tokens=32", "data.task=ptr",      "compute.threads=1"};
    const char *all[MOST_OVERRIDES];
    const int n = overrides_join(all, COMMON, sizeof COMMON / sizeof COMMON[0], RUNS[sort].settings,
                                 N_SETTINGS);
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    struct train_result result;
    struct log log;
    CHECK(t, config != NULL && config_load(config, NULL, n, all, &err));
    log_init(&log, transport_rank(t));
    log.quiet = true;
    const struct train_options options = {.build = {"test", "test", "test", "test"}};
    const bool ok = train_run(&result, config, &options, t, &log, &err);
    CHECK(t, ok);
    if (transport_rank(t) == 0) {
        weights_hash = result.weights_hash;
    }
    log_finish(&log);
    free(config);
}

/** What a trial's process tells. */
struct outcome {
    bool ended; /* as if nothing had happened */
    uint64_t weights_hash;
    int64_t n_received[FLIP_MAX_RANKS];
    char message[MESSAGE_BYTES];
};

/** One run in a process of its own, so that threads and memory of an aborted one are gone. */
static struct outcome try(const struct flip *flip)
{
    int ends[2];
    struct outcome outcome = {0};
    assert(pipe(ends) == 0);
    const pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        flip_arm(flip);
        outcome.ended = ranks_run_local(RUNS[sort].n_ranks, train, outcome.message);
        outcome.weights_hash = weights_hash;
        for (int rank = 0; rank < FLIP_MAX_RANKS; rank++) {
            outcome.n_received[rank] = flip_count(rank);
        }
        _exit(write(ends[1], &outcome, sizeof outcome) != sizeof outcome);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n = 1; n > 0; got += (size_t)(n > 0 ? n : 0)) {
        n = read(ends[0], (unsigned char *)&outcome + got, sizeof outcome - got);
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (got != sizeof outcome || status != 0) {
        outcome = (struct outcome){.ended = true};
        snprintf(outcome.message, sizeof outcome.message, "ended with status %d", status);
    }
    assert(file_remove_tree("run", NULL));
    return outcome;
}

/** Whether the message is of damage, and names a rank that sent and this one. */
static bool names_both(const char *message, int receiver)
{
    int from = -1, to = -1;
    const char *damage = strstr(message, "damaged message from rank ");
    return damage != NULL &&
           sscanf(damage, "damaged message from rank %d to rank %d", &from, &to) == 2 &&
           to == receiver && from != to && from >= 0 && from < RUNS[sort].n_ranks;
}

/** Of each sort of run, when nothing happens to it. */
static int64_t n_received[N_RUNS][FLIP_MAX_RANKS];
static uint64_t expected_hash[N_RUNS];
static long n_without_effect;

static bool deflates(void)
{
    bool deflates = false;
    for (int i = 0; i < 5 && RUNS[sort].settings[i] != NULL; i++) {
        deflates = deflates || strcmp(RUNS[sort].settings[i], "pipeline.deflate=on") == 0;
    }
    return deflates;
}

/** One bit of one message, drawn; whether it was found. */
static bool flip_one(struct rng *rng)
{
    sort = (int)rng_below(rng, N_RUNS);
    struct flip flip = {.rank = (int)rng_below(rng, (uint64_t)RUNS[sort].n_ranks), .channel = -1};
    flip.message = (int64_t)rng_below(rng, (uint64_t)n_received[sort][flip.rank]);
    flip.bit = rng_next(rng);
    const struct outcome outcome = try(&flip);
    const bool found = !outcome.ended && names_both(outcome.message, flip.rank);
    if (outcome.ended && deflates() && outcome.weights_hash == expected_hash[sort]) {
        n_without_effect++;
        return true;
    }
    if (!found) {
        printf("FAILED: run %d, rank %d, message %lld, bit %llu: %s\n", sort, flip.rank,
               (long long)flip.message, (unsigned long long)flip.bit,
               outcome.ended && outcome.message[0] == '\0' ? "not noticed" : outcome.message);
    }
    return found;
}

int main(int argc, char **argv)
{
    const long n_trials = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
    char folder[FILE_PATH_BYTES];
    if (!folder_enter(folder, sizeof folder, "messages")) {
        return 73;
    }
    int64_t n_messages = 0;
    int n_failed = 0;
    for (sort = 0; sort < N_RUNS; sort++) {
        const struct outcome whole = try(&(struct flip){.rank = -1, .channel = -1, .message = -1});
        if (!whole.ended || whole.message[0] != '\0') {
            printf("FAILED: run %d without a flip: %s\n", sort, whole.message);
            return 1;
        }
        expected_hash[sort] = whole.weights_hash;
        memcpy(n_received[sort], whole.n_received, sizeof whole.n_received);
        for (int rank = 0; rank < RUNS[sort].n_ranks; rank++) {
            n_messages += whole.n_received[rank];
        }
    }
    struct rng rng = rng_stream(1);
    for (long i = 0; i < n_trials; i++) {
        n_failed += !flip_one(&rng);
    }
    printf("%ld flips in %lld messages of %d runs: %ld found, %ld without effect, %d not\n",
           n_trials, (long long)n_messages, N_RUNS, n_trials - n_failed - n_without_effect,
           n_without_effect, n_failed);
    return chdir("/") != 0 || !file_remove_tree(folder, NULL) || n_failed > 0;
}
