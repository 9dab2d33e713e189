/* The message cache: the same bits from run to run, recomputed or not; against the
 * uncached run of the same partition every gradient tensor of one step and the losses of a hundred
 * within their tolerances, and with one chunk a rank, which has nothing to keep, the same bits. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/file.h>

#include "../support/folder.h"
#include "../support/local_train.h"

/* Sums of source gradients group differently: a few roundings of f32, or of bf16 where gradients
 * are. */
static const double GRADIENT_F32 = 1e-6, GRADIENT_BF16 = 1e-2, LOSS_F32 = 1e-4, LOSS_BF16 = 1e-2;
/* Without the cache `full` rounds at each of its 16 borders, with it only where a gradient leaves a
 * rank: what the roundings alone make of one step was 1e-2 to 2e-2. */
static const double GRADIENT_BF16_FULL = 3e-2;

enum { LONG_STEPS = 100, MAX_OVERRIDES = 32 };

/** One comparison: overrides beside the common ones. */
struct row {
    int n_ranks;
    const char *schedule, *chunks, *kind, *gradient;
    bool is_long; /* a hundred steps instead of one */
};

static const struct row ROWS[] = {
    {2, "interleaved", "2", "full", "f32", false},
    {2, "interleaved", "2", "block", "f32", false},
    {2, "interleaved", "2", "block_full", "f32", true},
    {2, "interleaved", "2", "block_full", "bf16", true},
    {2, "interleaved", "4", "block_full", "f32", true},
    {2, "interleaved", "4", "block_full", "bf16", false},
    {4, "interleaved", "2", "block_full", "f32", false},
    {4, "interleaved", "2", "full", "f32", false},
    {2, "zb_v", "2", "block_full", "f32", true},
    {2, "zb_v", "2", "block", "bf16", false},
    {3, "zb_v", "2", "block_full", "f32", false},
    {3, "zb_v", "2", "full", "f32", false},
    {2, "interleaved", "2", "full", "bf16", false},
    {1, "1f1b", "1", "block_full", "bf16", false},
    {2, "1f1b", "1", "block_full", "bf16", false},
    {2, "interleaved", "2", "standard", "f32", false},
};

static double gradient_bound(const struct row *row)
{
    const bool is_full = strcmp(row->kind, "full") == 0;
    return strcmp(row->gradient, "f32") == 0 ? GRADIENT_F32
           : is_full                         ? GRADIENT_BF16_FULL
                                             : GRADIENT_BF16;
}

/** Returns the weights' hash; 0 if it failed. */
static uint64_t train(const struct config *config, int n_ranks)
{
    struct train_result result;
    return local_train(&result, config, n_ranks, NULL) ? result.weights_hash : 0;
}

/** init: NULL, or the run whose weights a short row starts from. */
static void load_config(struct config *config, const struct row *row, const char *cache,
                        const char *recompute, const char *run_dir, const char *init)
{
    char text[9][FILE_PATH_BYTES + 64];
    /* Not partition auto: it counts what is recomputed, and the numbers of cached runs depend on
     * the cuts. */
    const char *overrides[MAX_OVERRIDES] = {"model.layers=8",
                                            "model.blocks=4",
                                            "model.dim=16",
                                            "model.heads=2",
                                            "model.kv_heads=1",
                                            "model.ff=24",
                                            "model.seq_len=24",
                                            "batch.sequences=8",
                                            "batch.microbatch=2",
                                            "data.task=vars",
                                            "train.log_every=1",
                                            "train.eval_every=0",
                                            "checkpoint.every=1",
                                            "checkpoint.keep=1",
                                            "compute.threads=1",
                                            "optim.warmup_steps=0",
                                            "optim.lr=1e-3",
                                            "optim.schedule=constant",
                                            "pipeline.partition=blocks"};
    int n = 19;
    snprintf(text[0], sizeof text[0], "run.dir=%s", run_dir);
    snprintf(text[1], sizeof text[1], "pipeline.schedule=%s", row->schedule);
    snprintf(text[2], sizeof text[2], "pipeline.chunks=%s", row->chunks);
    snprintf(text[3], sizeof text[3], "model.kind=%s", row->kind);
    snprintf(text[4], sizeof text[4], "representative.gradient=%s", row->gradient);
    snprintf(text[5], sizeof text[5], "pipeline.cache=%s", cache);
    snprintf(text[6], sizeof text[6], "train.steps=%d",
             row->is_long || init == NULL ? LONG_STEPS : 1);
    snprintf(text[7], sizeof text[7], "train.init=%s", init != NULL ? init : "none");
    snprintf(text[8], sizeof text[8], "memory.recompute=%s", recompute);
    for (int i = 0; i < 9; i++) {
        overrides[n++] = text[i];
    }
    struct error err = {0};
    if (!config_load(config, NULL, n, overrides, &err)) {
        printf("%s\n", err.message);
        exit(1);
    }
}

static double loss_of(const char *line)
{
    const char *at = strstr(line, "\"loss\": ");
    return at != NULL ? strtod(at + 8, NULL) : NAN;
}

/** Largest difference of losses, line by line. */
static double compare_losses(const char *a_dir, const char *b_dir)
{
    char a_path[FILE_PATH_BYTES], b_path[FILE_PATH_BYTES];
    struct file_bytes a, b;
    file_join(a_path, a_dir, "metrics.jsonl", NULL);
    file_join(b_path, b_dir, "metrics.jsonl", NULL);
    if (!file_read(&a, a_path, 1 << 20, NULL) || !file_read(&b, b_path, 1 << 20, NULL)) {
        return INFINITY;
    }
    double worst = 0.0;
    const char *x = (const char *)a.bytes, *y = (const char *)b.bytes;
    int n = 0;
    for (; x != NULL && y != NULL && *x != '\0' && *y != '\0'; n++) {
        const double difference = fabs(loss_of(x) - loss_of(y));
        worst = difference <= worst ? worst : difference;
        x = strchr(x, '\n') != NULL ? strchr(x, '\n') + 1 : NULL;
        y = strchr(y, '\n') != NULL ? strchr(y, '\n') + 1 : NULL;
    }
    file_bytes_finish(&a);
    file_bytes_finish(&b);
    return n > 0 ? worst : INFINITY;
}

static bool run_row(const struct row *row, const char *folder)
{
    char dirs[4][FILE_PATH_BYTES];
    static const char *const NAMES[] = {"off", "on", "again", "start"};
    static const char *const CACHE[] = {"off", "on", "on", "off"};
    uint64_t hashes[4] = {0};
    struct config *config = calloc(1, sizeof *config);
    assert(config != NULL);
    for (int i = 0; i < 4; i++) {
        file_join(dirs[i], folder, NAMES[i], NULL);
    }
    /* Single steps start from trained weights: at the first step the gradients of queries are sums
     * that all but cancel, 1e-5 of the others in size, and their relative error says nothing. */
    if (!row->is_long) {
        load_config(config, row, CACHE[3], "none", dirs[3], NULL);
        hashes[3] = train(config, row->n_ranks);
    }
    for (int i = 0; i < 3; i++) {
        const char *recompute = i < 2 ? "none" : row->n_ranks == 2 ? "all" : "block";
        load_config(config, row, CACHE[i], recompute, dirs[i], row->is_long ? NULL : dirs[3]);
        hashes[i] = train(config, row->n_ranks);
    }
    bool ok = hashes[0] != 0 && hashes[1] != 0;
    double gradient = 0.0, loss = 0.0;
    if (ok) {
        const bool rounds = strcmp(row->gradient, "bf16") == 0;
        gradient = row->is_long ? 0.0 : local_train_compare_moments(dirs[1], dirs[0], config, 1);
        loss = compare_losses(dirs[1], dirs[0]);
        const bool keeps = strcmp(row->chunks, "1") != 0;
        ok = hashes[1] == hashes[2] && (keeps || hashes[1] == hashes[0]) &&
             gradient <= gradient_bound(row) && loss <= (rounds ? LOSS_BF16 : LOSS_F32);
    }
    printf("%s  %d ranks, %s %s, %s, gradient %s: %s %.1e, losses %.1e, runs %s\n",
           ok ? "ok    " : "FAILED", row->n_ranks, row->schedule, row->chunks, row->kind,
           row->gradient, row->is_long ? "gradients not compared" : "gradients", gradient, loss,
           hashes[1] == hashes[2] ? "repeat" : "DIFFER");
    for (int i = 0; i < 4; i++) {
        file_remove_tree(dirs[i], NULL);
    }
    free(config);
    return ok;
}

int main(void)
{
    char folder[FILE_PATH_BYTES];
    if (!folder_make(folder, sizeof folder, "cache")) {
        return 1;
    }
    int n_failed = 0;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        n_failed += !run_row(&ROWS[i], folder);
    }
    rmdir(folder);
    return n_failed == 0 ? 0 : 1;
}
