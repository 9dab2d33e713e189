/* Whole runs that are traced: the merged file has every message's arrow, and no number changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/train.h>

#include "../support/folder.h"
#include "../support/overrides.h"
#include "../support/ranks.h"
#include "../support/trace_check.h"

enum { M = 4, FIRST = 2, N_STEPS = 3, EVALUATED = 2, N_WINDOWS = 2, N_OWN = 3, MOST_OWN = 5 };

static const char *const COMMON[] = {
    "model.layers=8",     "model.blocks=4",    "model.dim=16",       "model.heads=2",
    "model.kv_heads=1",   "model.ff=24",       "model.seq_len=32",   "batch.sequences=4",
    "batch.microbatch=1", "train.steps=6",     "train.eval_every=2", "train.eval_tokens=64",
    "run.stall_s=60",     "compute.threads=1", "checkpoint.every=3",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0] };

static void train(struct transport *t, struct train_result *result, const char *folder,
                  const char *const *own)
{
    const char *overrides[N_COMMON + MOST_OWN + 1];
    char run_dir[FILE_PATH_BYTES + 16];
    int n = overrides_join(overrides, COMMON, N_COMMON, own, MOST_OWN);
    snprintf(run_dir, sizeof run_dir, "run.dir=%s", folder);
    overrides[n++] = run_dir;
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    CHECK(t, config != NULL);
    struct log log;
    log_init(&log, transport_rank(t));
    log.quiet = true;
    const struct train_options options = {.build = {"test", "test", "test", "test"}};
    const bool ok = config_load(config, NULL, n, overrides, &err) &&
                    train_run(result, config, &options, t, &log, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.message);
    }
    CHECK(t, ok);
    log_finish(&log);
    free(config);
}

static void check_files(struct transport *t, const char *folder, int n_stages)
{
    char path[FILE_PATH_BYTES], message[1024];
    struct trace_checked checked;
    CHECK(t, file_join(path, folder, "trace/trace.json", NULL));
    if (!trace_check(&checked, path, message, sizeof message)) {
        fprintf(stderr, "%s\n", message);
        CHECK(t, false);
    }
    const int64_t n_ranks = transport_size(t), n_cuts = n_stages - 1;
    CHECK(t, checked.n_processes == n_ranks);
    CHECK(t, checked.n_steps == n_ranks * N_STEPS);
    /* Two of the three steps are followed by an evaluation, of a microbatch per window. */
    CHECK(t, checked.n_arrows == n_cuts * (N_STEPS * 2 * M + EVALUATED * N_WINDOWS));
    CHECK(t, file_join(path, folder, "trace/step.svg", NULL) && file_length(path) > 0);
}

/** Train twice, with own[] on top, the second time traced. */
static void trace_and_compare(struct transport *t, const char *const own[N_OWN], int n_chunks)
{
    const char *traced[MOST_OWN] = {own[0], own[1], own[2], "trace.first=2", "trace.steps=3"};
    const char *plain[MOST_OWN] = {own[0], own[1], own[2]};
    char folder[FILE_PATH_BYTES - 32] = "", run[2][FILE_PATH_BYTES];
    struct train_result results[2];
    if (transport_rank(t) == 0) {
        CHECK(t, folder_make(folder, sizeof folder, "trace"));
    }
    transport_broadcast(t, 0, folder, sizeof folder);
    snprintf(run[0], sizeof run[0], "%s/plain", folder);
    snprintf(run[1], sizeof run[1], "%s/traced", folder);
    train(t, &results[0], run[0], plain);
    train(t, &results[1], run[1], traced);
    CHECK(t, results[0].weights_hash == results[1].weights_hash);
    if (transport_rank(t) == 0) {
        CHECK(t, results[1].summary.n_steps == 6);
        for (int i = 0; i < SUMMARY_SECTIONS; i++) {
            CHECK(t, results[1].summary.sections[i].min_s >= 0.0);
        }
        check_files(t, run[1], transport_size(t) * n_chunks);
    }
    transport_barrier(t);
    if (transport_rank(t) == 0) {
        CHECK(t, file_remove_tree(folder, NULL));
    }
}

static void a_run_of_1f1b(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"pipeline.schedule=1f1b", "pipeline.chunks=1",
                                           "pipeline.group=auto"};
    trace_and_compare(t, OWN, 1);
}

static void a_run_of_interleaved_chunks(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"pipeline.schedule=interleaved", "pipeline.chunks=2",
                                           "pipeline.group=4"};
    if (transport_size(t) > 1) { /* stages of one rank send nothing */
        trace_and_compare(t, OWN, 2);
    }
}

int main(int argc, char **argv)
{
    static const struct ranks_case SUITE[] = {
        {"a_run_of_1f1b", a_run_of_1f1b},
        {"a_run_of_interleaved_chunks", a_run_of_interleaved_chunks},
        {NULL, NULL},
    };
    return ranks_run_suite_mpi(argc, argv, SUITE);
}
