/* What a run really takes against what it planned: anonymous and shared memory that is resident
 * after three steps, less what was resident before the arena was taken. The linker hands the calls
 * of the loop to __wrap_train_step (--wrap, tests/meson.build), and saves no checkpoint, which
 * would only take time. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>

#include "../../src/train/train_internal.h"
#include "../support/folder.h"
#include "../support/overrides.h"
#include "../support/ranks.h"

static const double MIB = 1048576.0;

static const char *const COMMON[] = {
    "model.blocks=4",     "pipeline.schedule=gpipe", "train.steps=3",     "train.eval_every=0",
    "checkpoint.every=0", "run.stall_s=60",          "compute.threads=1",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 7 };
enum { LAYERS_PER_RANK = 8, MEASURED_STEP = 3 };

/** Mostly parameters and what belongs to them, the rest activations: few tokens make it quick. */
static const char *const PARAMETERS[N_OWN] = {
    "model.dim=512",    "model.heads=8",    "model.kv_heads=8",      "model.ff=1536",
    "model.vocab=4608", "model.seq_len=32", "memory.recompute=none",
};
/** Mostly what backward makes again. */
static const char *const RECOMPUTED[][N_OWN] = {
    {"model.dim=128", "model.heads=4", "model.kv_heads=4", "model.ff=384", "model.vocab=256",
     "model.seq_len=128", "memory.recompute=block"},
    {"model.dim=128", "model.heads=4", "model.kv_heads=4", "model.ff=384", "model.vocab=256",
     "model.seq_len=128", "memory.recompute=all"},
};
static const double LEAST_PARAMETERS_MIB = 512.0, LEAST_REPLICA_MIB = 384.0,
                    LEAST_RECOMPUTED_MIB = 192.0;
/** Of the plan; the issue's own bound. Libraries take buffers during the first steps that the plan
 * knows nothing of, and a page that is never touched is not resident. */
static const double TOLERANCE = 0.10;

/** Filled by the wrapped step, which has no other way to tell. */
static struct {
    double planned_mib, resident_mib;
} measured;

struct train_decision __real_train_step(struct train *t);
struct train_decision __wrap_train_step(struct train *t);
void __wrap_train_save(struct train *t);

void __wrap_train_save(struct train *t)
{
    (void)t;
}

struct train_decision __wrap_train_step(struct train *t)
{
    const struct train_decision decision = __real_train_step(t);
    if (t->state.step == MEASURED_STEP) {
        const struct session *s = &t->session;
        measured.planned_mib = (double)s->memory.table.total_bytes / MIB;
        measured.resident_mib = (double)(session_resident_bytes() - s->base_bytes) / MIB;
    }
    return decision;
}

/** How a step's sequences are cut. */
struct cut {
    int n_sequences, microbatch;
};

static bool train(struct transport *t, const char *folder, const char *const *own, struct cut cut,
                  int n_replicas)
{
    const char *overrides[N_COMMON + N_OWN + 5];
    char run_dir[FILE_PATH_BYTES + 16], layers[32], replicas[32], sequences[32], microbatch[32];
    int n = overrides_join(overrides, COMMON, N_COMMON, own, N_OWN);
    snprintf(run_dir, sizeof run_dir, "run.dir=%s/run", folder);
    snprintf(layers, sizeof layers, "model.layers=%d",
             LAYERS_PER_RANK * transport_size(t) / n_replicas);
    snprintf(replicas, sizeof replicas, "pipeline.replicas=%d", n_replicas);
    snprintf(sequences, sizeof sequences, "batch.sequences=%d", cut.n_sequences);
    snprintf(microbatch, sizeof microbatch, "batch.microbatch=%d", cut.microbatch);
    overrides[n++] = sequences;
    overrides[n++] = microbatch;
    overrides[n++] = run_dir;
    overrides[n++] = replicas;
    overrides[n++] = layers;
    struct error err = {0};
    struct config *config = calloc(1, sizeof *config);
    CHECK(t, config != NULL);
    struct log log;
    log_init(&log, transport_rank(t));
    log.quiet = true;
    const struct train_options options = {.build = {"test", "test", "test", "test"}};
    struct train_result result;
    const bool ok = config_load(config, NULL, n, overrides, &err) &&
                    train_run(&result, config, &options, t, &log, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.message);
    }
    log_finish(&log);
    free(config);
    return ok;
}

static void measure(struct transport *t, const char *const *own, struct cut cut, int n_replicas,
                    double least_mib)
{
    char folder[FILE_PATH_BYTES] = "";
    if (transport_rank(t) == 0) {
        CHECK(t, folder_make(folder, sizeof folder, "memory"));
    }
    transport_broadcast(t, 0, folder, sizeof folder);
    CHECK(t, train(t, folder, own, cut, n_replicas));
    printf("rank %d of %d: planned %.1f MiB, resident %.1f MiB (%+.1f %%)\n", transport_rank(t),
           transport_size(t), measured.planned_mib, measured.resident_mib,
           100.0 * (measured.resident_mib / measured.planned_mib - 1.0));
    fflush(stdout);
    CHECK(t, measured.planned_mib >= least_mib);
    CHECK(t,
          fabs(measured.resident_mib - measured.planned_mib) <= TOLERANCE * measured.planned_mib);
    transport_barrier(t);
    if (transport_rank(t) == 0) {
        CHECK(t, file_remove_tree(folder, NULL));
    }
}

static const struct cut EIGHT = {8, 1};

static void a_rank_takes_what_its_plan_says(struct transport *t)
{
    measure(t, PARAMETERS, EIGHT, 1, LEAST_PARAMETERS_MIB);
}

static void a_rank_that_recomputes_takes_what_its_plan_says(struct transport *t)
{
    /* A rank of two has the blocks of the other as well: fewer tokens take as much. */
    const int n = transport_size(t) == 1 ? 64 : 36;
    for (size_t i = 0; i < sizeof RECOMPUTED / sizeof RECOMPUTED[0]; i++) {
        measure(t, RECOMPUTED[i], (struct cut){n, n}, 1, LEAST_RECOMPUTED_MIB);
    }
}

/* Each keeps the moments of about half the tensors. */
static void a_replica_takes_what_its_plan_says(struct transport *t)
{
    measure(t, PARAMETERS, EIGHT, 2, LEAST_REPLICA_MIB);
}

int main(int argc, char **argv)
{
    static const struct ranks_case PIPELINE[] = {
        {"a_rank_takes_what_its_plan_says", a_rank_takes_what_its_plan_says},
        {"a_rank_that_recomputes_takes_what_its_plan_says",
         a_rank_that_recomputes_takes_what_its_plan_says},
        {NULL, NULL},
    };
    static const struct ranks_case REPLICAS[] = {
        {"a_replica_takes_what_its_plan_says", a_replica_takes_what_its_plan_says},
        {NULL, NULL},
    };
    const bool replicas = argc > 1 && strcmp(argv[1], "replicas") == 0;
    return ranks_run_suite_mpi(argc, argv, replicas ? REPLICAS : PIPELINE);
}
