/* Replicas: the same bits from run to run; numbers that depend on the number of
 * replicas and on nothing else of the grid; the loss of the same weights and the state that passes
 * from grid to grid to the last bit; one step's gradients within a tolerance of one replica's. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/checkpoint.h>
#include <attnres/file.h>

#include "../support/folder.h"
#include "../support/local_train.h"

/* Sums over microbatches group differently: a few roundings of f32. */
static const double GRADIENT = 1e-6;

enum { START_STEPS = 60, STEPS = 3, SAVED_STEP = 2, MOST_OVERRIDES = 40, MOST_REPLICAS = 3 };

/** A model, of which every grid below is compared with one rank. */
struct variant {
    const char *kind, *tied;
};

static const struct variant MODELS[] = {
    {"standard", "false"},  {"full", "true"},        {"block", "true"},
    {"block_full", "true"}, {"block_full", "false"},
};

struct grid_row {
    int n_replicas, n_places;
    const char *schedule, *chunks;
};

/** The first row of each number of replicas is what the others of that number must equal. */
static const struct grid_row GRIDS[] = {
    {1, 1, "1f1b", "1"},        {1, 2, "zb_h1", "1"},       {2, 1, "1f1b", "1"},
    {2, 2, "1f1b", "1"},        {2, 2, "zb_h1", "1"},       {2, 2, "interleaved", "2"},
    {2, 1, "interleaved", "2"}, {2, 2, "zb_v", "2"},        {3, 1, "zb_h1", "1"},
    {3, 2, "1f1b", "1"},        {3, 2, "interleaved", "2"},
};
enum { N_GRIDS = sizeof GRIDS / sizeof GRIDS[0] };

static const char *const COMMON[] = {
    "model.layers=4",          "model.blocks=4",       "model.dim=16",       "model.heads=2",
    "model.kv_heads=1",        "model.ff=24",          "model.seq_len=24",   "batch.sequences=12",
    "batch.microbatch=1",      "data.task=vars",       "data.loss=answer",   "train.log_every=1",
    "train.eval_tokens=170",   "train.eval_every=100", "checkpoint.every=1", "checkpoint.keep=9",
    "compute.threads=1",       "optim.warmup_steps=0", "optim.lr=1e-3",      "optim.clip=0",
    "optim.schedule=constant",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0] };

/** One run of a model on a grid. */
struct run {
    const struct variant *model;
    const struct grid_row *grid;
    const char *dir, *init, *resume_from; /* init, resume_from: run folders, or NULL */
    int n_steps;
    const char *extra; /* one more override, or NULL */
    int resume_step;
};

static struct config *config_of(const struct run *run)
{
    char text[9][FILE_PATH_BYTES + 64];
    const char *overrides[MOST_OVERRIDES];
    int n = 0;
    for (int i = 0; i < N_COMMON; i++) {
        overrides[n++] = COMMON[i];
    }
    snprintf(text[0], sizeof text[0], "run.dir=%s", run->dir);
    snprintf(text[1], sizeof text[1], "pipeline.schedule=%s", run->grid->schedule);
    snprintf(text[2], sizeof text[2], "pipeline.chunks=%s", run->grid->chunks);
    snprintf(text[3], sizeof text[3], "pipeline.replicas=%d", run->grid->n_replicas);
    snprintf(text[4], sizeof text[4], "model.kind=%s", run->model->kind);
    snprintf(text[5], sizeof text[5], "model.tied=%s", run->model->tied);
    snprintf(text[6], sizeof text[6], "train.steps=%d", run->n_steps);
    snprintf(text[7], sizeof text[7], "train.init=%s", run->init != NULL ? run->init : "none");
    for (int i = 0; i < 8; i++) {
        overrides[n++] = text[i];
    }
    if (run->extra != NULL) {
        overrides[n++] = run->extra;
    }
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    assert(config != NULL);
    if (!config_load(config, NULL, n, overrides, &err)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return config;
}

/** Run it in a fresh folder. */
static struct train_result carry_out(const struct run *run)
{
    char step_path[FILE_PATH_BYTES];
    struct config *config = config_of(run);
    struct train_result result = {0};
    file_remove_tree(run->dir, NULL);
    if (run->resume_from != NULL) {
        checkpoint_step_path(step_path, run->resume_from, run->resume_step, NULL);
    }
    if (!local_train(&result, config, run->grid->n_replicas * run->grid->n_places,
                     run->resume_from != NULL ? step_path : NULL)) {
        result = (struct train_result){.loss = NAN, .grad_norm = NAN, .val_loss = NAN};
    }
    free(config);
    return result;
}

/** What all grids of a model are compared with. */
struct reference {
    char start[FILE_PATH_BYTES];      /* one rank, START_STEPS steps */
    char one_step[FILE_PATH_BYTES];   /* one rank, one step more */
    struct train_result step;         /* of that step */
    struct train_result still;        /* a step that changes nothing, for its val_loss */
    uint64_t hash[MOST_REPLICAS + 1]; /* after STEPS steps, by replicas; 0: not run yet */
};

static void report(const struct variant *model, const struct grid_row *grid, const char *what,
                   bool ok, int *n_failed)
{
    if (!ok) {
        printf("FAILED  %d x %d ranks, %s %s, %s%s: %s\n", grid->n_replicas, grid->n_places,
               grid->schedule, grid->chunks, model->kind,
               strcmp(model->tied, "true") == 0 ? ", tied" : "", what);
    }
    *n_failed += !ok;
}

static void check_repeats(struct reference *r, struct run run, int *n_failed)
{
    run.n_steps = STEPS;
    const struct train_result once = carry_out(&run), again = carry_out(&run);
    report(run.model, run.grid, "runs differ",
           once.weights_hash != 0 && once.weights_hash == again.weights_hash &&
               once.loss == again.loss && once.grad_norm == again.grad_norm,
           n_failed);
    uint64_t *hash = &r->hash[run.grid->n_replicas];
    *hash = *hash == 0 ? once.weights_hash : *hash;
    report(run.model, run.grid, "differs from another grid of as many replicas",
           once.weights_hash == *hash, n_failed);
}

static void check_one_step(const struct reference *r, struct run run, int *n_failed)
{
    run.n_steps = 1;
    run.init = r->start;
    const struct train_result step = carry_out(&run);
    struct config *config = config_of(&run);
    const double error = local_train_compare_moments(run.dir, r->one_step, config, 1);
    report(run.model, run.grid, "loss of the same weights differs", step.loss == r->step.loss,
           n_failed);
    report(run.model, run.grid, "gradients differ", error <= GRADIENT, n_failed);
    report(run.model, run.grid, "gradients equal one replica's: they were not added otherwise",
           run.grid->n_replicas == 1 || error > 0.0, n_failed);
    run.extra = "optim.lr=0";
    report(run.model, run.grid, "validation loss of the same weights differs",
           carry_out(&run).val_loss == r->still.val_loss, n_failed);
    free(config);
}

/** From this grid's checkpoint on: on it again to where it would have come without a stop; on one
 * rank with the same loss, and back with the same loss as that rank alone. */
static void check_resume(const struct reference *r, const struct run *straight,
                         const struct run *other, int *n_failed)
{
    static const struct grid_row ONE = {1, 1, "1f1b", "1"};
    const struct variant *model = straight->model;
    struct run run = *straight;
    run.n_steps = STEPS;
    const struct train_result whole = carry_out(&run);
    struct run on = *other;
    on.n_steps = STEPS;
    on.resume_from = straight->dir;
    on.resume_step = SAVED_STEP;
    const struct train_result resumed = carry_out(&on);
    report(model, straight->grid, "resumed, differs", resumed.weights_hash == whole.weights_hash,
           n_failed);
    on.grid = &ONE;
    const struct train_result alone = carry_out(&on);
    report(model, straight->grid, "on one rank, loss differs", alone.loss == whole.loss, n_failed);
    struct config *config = config_of(&on);
    report(model, straight->grid, "on one rank, moments differ",
           local_train_compare_moments(on.dir, straight->dir, config, STEPS) <= GRADIENT, n_failed);
    free(config);
    /* On from the one rank's checkpoint: on one rank, and back on the grid. */
    struct run back = {.model = model,
                       .grid = &ONE,
                       .dir = r->one_step,
                       .resume_from = on.dir,
                       .resume_step = STEPS,
                       .n_steps = STEPS + 1};
    const struct train_result longer = carry_out(&back);
    back.grid = straight->grid;
    report(model, straight->grid, "back from one rank, loss differs",
           carry_out(&back).loss == longer.loss, n_failed);
}

static void check_model(const struct variant *model, const char *folder, int *n_failed)
{
    struct reference r = {.start = ""};
    char dir[FILE_PATH_BYTES], other_dir[FILE_PATH_BYTES];
    file_join(r.start, folder, "start", NULL);
    file_join(r.one_step, folder, "step", NULL);
    file_join(dir, folder, "run", NULL);
    file_join(other_dir, folder, "other", NULL);
    struct run run = {.model = model, .grid = &GRIDS[0], .dir = r.start, .n_steps = START_STEPS};
    carry_out(&run);
    run =
        (struct run){.model = model, .grid = &GRIDS[0], .dir = dir, .init = r.start, .n_steps = 1};
    run.extra = "optim.lr=0";
    r.still = carry_out(&run);
    run.extra = NULL;
    run.dir = r.one_step;
    r.step = carry_out(&run);
    report(model, &GRIDS[0], "the reference failed",
           isfinite(r.step.loss) && isfinite(r.still.val_loss), n_failed);
    for (int i = 0; i < N_GRIDS; i++) {
        const struct run here = {.model = model, .grid = &GRIDS[i], .dir = dir};
        check_repeats(&r, here, n_failed);
        check_one_step(&r, here, n_failed);
    }
    const struct run straight = {.model = model, .grid = &GRIDS[3], .dir = dir};
    const struct run other = {.model = model, .grid = &GRIDS[2], .dir = other_dir};
    check_resume(&r, &straight, &other, n_failed);
}

int main(void)
{
    char folder[FILE_PATH_BYTES];
    int n_failed = 0;
    if (!folder_make(folder, sizeof folder, "replicas")) {
        return 1;
    }
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        check_model(&MODELS[i], folder, &n_failed);
    }
    file_remove_tree(folder, NULL);
    printf("%d models on %d grids each, %d differences\n", (int)(sizeof MODELS / sizeof MODELS[0]),
           N_GRIDS, n_failed);
    return n_failed == 0 ? 0 : 1;
}
