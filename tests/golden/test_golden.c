/* Whole models against the runs that make_golden.py recorded, on one stage and on three: loss,
 * logits and gradients of the first step, then five steps of train_run. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/checkpoint.h>
#include <attnres/depth.h>
#include <attnres/params.h>

#include "../support/compare.h"
#include "../support/folder.h"
#include "golden.h"

enum { MAX_STEPS = 8, NAME_BYTES = 128 };

static const char *const CASES[] = {
    "standard",     "standard_tied", "full",       "full_static",       "block",
    "block_static", "block_tied",    "block_full", "block_full_static", "block_full_tied",
};
static const int STAGES[] = {1, 3};

/* What is compared, and the largest relative error of a tensor. PyTorch in f32 is itself up to 8e-6
 * (gradients) from f64, see README.md; an error in an equation is far above 1e-4. */
enum quantity { LOSSES, NORMS, LOGITS, GRADIENTS, WEIGHTS, MOMENTS, QUANTITIES };
static const struct {
    const char *name;
    double tolerance;
} TABLE[QUANTITIES] = {
    [LOSSES] = {"losses", 1e-5},         [NORMS] = {"gradient norms", 1e-4},
    [LOGITS] = {"logits", 1e-4},         [GRADIENTS] = {"gradients", 1e-4},
    [WEIGHTS] = {"final weights", 1e-4}, [MOMENTS] = {"moments", 1e-4},
};

/* One run and how far it is from the golden. */
struct comparison {
    struct golden_run run;
    double worst[QUANTITIES];
    int n_compared[QUANTITIES];
    char where[QUANTITIES][NAME_BYTES];
};

/* Compare with the golden's tensor `prefix` + `name`. */
static void compare(struct comparison *c, enum quantity q, const char *prefix, const char *name,
                    const float *actual, int64_t count)
{
    char full[NAME_BYTES];
    int64_t n_expected = 0;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const float *expected = safetensors_find(&c->run.golden, full, &n_expected);
    const double error = expected != NULL && n_expected == count
                             ? compare_relative_error_f32(actual, expected, count)
                             : INFINITY;
    if (!(error < c->worst[q]) || c->n_compared[q] == 0) {
        c->worst[q] = error;
        snprintf(c->where[q], NAME_BYTES, "%s", full);
    }
    c->n_compared[q]++;
}

/* A file of seq_len + 1 tokens is one window: every epoch is the batch, in some order. */
static bool write_tokens(const struct golden_run *run, const struct config *config,
                         struct error *err)
{
    char path[FILE_PATH_BYTES], name[32];
    unsigned char bytes[512];
    const int64_t n = config->model.seq_len + 1;
    assert(2 * (size_t)n <= sizeof bytes);
    bool ok = file_join(path, run->folder, "tokens", err) && file_make_folders(path, err);
    for (int64_t i = 0; ok && i < config->batch.n_sequences; i++) {
        for (int64_t t = 0; t < n; t++) {
            const int32_t token = golden_draw_token(config, i * n + t);
            bytes[2 * t] = (unsigned char)(token & 0xFF);
            bytes[2 * t + 1] = (unsigned char)(token >> 8);
        }
        snprintf(name, sizeof name, "tokens/%d.bin", (int)i);
        ok = file_join(path, run->folder, name, err) &&
             file_replace(path, bytes, 2 * (size_t)n, err);
    }
    return ok;
}

static void compare_by_hand(struct comparison *c, const struct config *config,
                            const struct params *params)
{
    const int64_t n = config->batch.microbatch * config->model.seq_len;
    compare(c, LOGITS, "", "logits", c->run.logits, n * config->model.vocab);
    for (int64_t i = 0; i < params->n_rows; i++) {
        const struct param *param = &params->rows[i];
        float *gradient = c->run.gradients + param->offset;
        for (int64_t k = 0; param->role == PARAM_EMBEDDING && k < param->count; k++) {
            gradient[k] += c->run.head_gradient[k]; /* zero if the head is a tensor of its own */
        }
        compare(c, GRADIENTS, "grad.", param->name, gradient, param->count);
    }
}

/* Losses and norms of the steps, as the run logged them. */
static bool compare_metrics(struct comparison *c, int64_t n_steps, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_bytes file;
    if (!file_join(path, c->run.folder, "run/metrics.jsonl", err) ||
        !file_read(&file, path, 1 << 20, err)) {
        return false;
    }
    float losses[MAX_STEPS] = {0}, norms[MAX_STEPS] = {0};
    int64_t n_lines = 0;
    bool ok = true;
    char *rest = NULL;
    for (char *line = strtok_r((char *)file.bytes, "\n", &rest); ok && line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        struct json_document d;
        double loss = NAN, norm = NAN;
        ok = n_lines < MAX_STEPS && json_parse(&d, line, strlen(line), path, err);
        if (ok) {
            json_as_real(json_get(d.root, "loss"), &loss);
            json_as_real(json_get(d.root, "grad_norm"), &norm);
            losses[n_lines] = (float)loss;
            norms[n_lines++] = (float)norm;
            json_document_finish(&d);
        }
    }
    file_bytes_finish(&file);
    const float first_loss = (float)c->run.loss;
    ok = ok && n_lines == n_steps;
    compare(c, LOSSES, "losses", "", losses, n_lines);
    const double error = compare_relative_error_f32(&first_loss, losses, 1);
    c->worst[LOSSES] = error <= c->worst[LOSSES] ? c->worst[LOSSES] : error;
    compare(c, NORMS, "grad_norms", "", norms, n_lines);
    return ok;
}

static void compare_moment(struct comparison *c, const struct safetensors *optim, const char *name,
                           const char *moment)
{
    char full[NAME_BYTES], prefix[32];
    int64_t count = 0;
    snprintf(full, sizeof full, "%s.%s", name, moment);
    snprintf(prefix, sizeof prefix, "%s_norm.", moment);
    const float *values = safetensors_find(optim, full, &count);
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)values[i] * (double)values[i];
    }
    const float norm = values != NULL ? (float)sqrt(sum) : NAN;
    compare(c, MOMENTS, prefix, name, &norm, 1);
}

/* The last checkpoint: every row of the table is in exactly one rank's files. */
static bool compare_checkpoint(struct comparison *c, const struct params *params, int64_t n_steps,
                               struct error *err)
{
    for (int rank = 1; rank <= c->run.n_stages; rank++) {
        char name[NAME_BYTES], run_path[FILE_PATH_BYTES], folder[FILE_PATH_BYTES],
            path[FILE_PATH_BYTES];
        struct safetensors model, optim;
        snprintf(name, sizeof name, "model-%05d.safetensors", rank);
        if (!file_join(run_path, c->run.folder, "run", err) ||
            !checkpoint_step_path(folder, run_path, n_steps, err) ||
            !file_join(path, folder, name, err) || !safetensors_open(&model, path, err)) {
            return false;
        }
        snprintf(name, sizeof name, "optim-%05d.safetensors", rank);
        if (!file_join(path, folder, name, err) || !safetensors_open(&optim, path, err)) {
            safetensors_close(&model);
            return false;
        }
        for (int64_t i = 0; i < params->n_rows; i++) {
            int64_t count = 0;
            const float *weight = safetensors_find(&model, params->rows[i].name, &count);
            if (weight != NULL) {
                compare(c, WEIGHTS, "final.", params->rows[i].name, weight, count);
                compare_moment(c, &optim, params->rows[i].name, "exp_avg");
                compare_moment(c, &optim, params->rows[i].name, "exp_avg_sq");
            }
        }
        safetensors_close(&model);
        safetensors_close(&optim);
    }
    return true;
}

/* Whether every quantity was compared as often as it must be and is close enough; prints the worst.
 */
static bool judge(const struct comparison *c, const char *name, int64_t n_params)
{
    const int64_t n_expected[QUANTITIES] = {1, 1, 1, n_params, n_params, 2 * n_params};
    bool ok = true;
    printf("%s, %d stages:", name, c->run.n_stages);
    for (int q = 0; q < QUANTITIES; q++) {
        const bool close = c->worst[q] <= TABLE[q].tolerance;
        const bool complete = c->n_compared[q] == n_expected[q];
        printf(" %s %.1e%s%s%s", TABLE[q].name, c->worst[q], close ? "" : " FAR in ",
               close ? "" : c->where[q], complete ? "" : " INCOMPLETE");
        ok = ok && close && complete;
    }
    printf("\n");
    return ok;
}

static bool run_and_compare(struct comparison *c, const char *name, const struct config *config,
                            struct error *err)
{
    const struct depth_plan depth = depth_plan_make(&config->model);
    struct params params;
    params_init(&params, &config->model, &depth);
    const struct param *last = &params.rows[params.n_rows - 1];
    const int64_t n_logits = config->batch.microbatch * config->model.seq_len * config->model.vocab;
    c->run.gradients = calloc((size_t)(last->offset + last->count), sizeof(float));
    c->run.head_gradient = calloc((size_t)params.rows[0].count, sizeof(float));
    c->run.logits = calloc((size_t)n_logits, sizeof(float));
    assert(c->run.gradients != NULL && c->run.head_gradient != NULL && c->run.logits != NULL);
    bool ok = write_tokens(&c->run, config, err) && golden_run_ranks(&c->run);
    if (ok) {
        compare_by_hand(c, config, &params);
        ok = compare_metrics(c, config->train.n_steps, err) &&
             compare_checkpoint(c, &params, config->train.n_steps, err) &&
             judge(c, name, params.n_rows);
    }
    free(c->run.gradients);
    free(c->run.head_gradient);
    free(c->run.logits);
    params_finish(&params);
    return ok;
}

static bool run_case(const char *goldens, const char *name, int n_stages)
{
    struct error err = {0};
    struct comparison c = {.run = {.n_stages = n_stages}};
    char path[FILE_PATH_BYTES], file[NAME_BYTES];
    struct config *config = calloc(1, sizeof *config);
    assert(config != NULL);
    snprintf(file, sizeof file, "%s.safetensors", name);
    bool ok = folder_make(c.run.folder, sizeof c.run.folder, "golden") &&
              file_join(path, goldens, file, &err) && safetensors_open(&c.run.golden, path, &err);
    if (ok) {
        ok = golden_load_config(config, &c.run, "none", &err) &&
             run_and_compare(&c, name, config, &err);
        safetensors_close(&c.run.golden);
    }
    if (!ok) {
        printf("FAILED %s, %d stages %s\n", name, n_stages, err.message);
    }
    file_remove_tree(c.run.folder, NULL);
    free(config);
    return ok;
}

int main(int argc, char **argv)
{
    assert(argc == 2 && "the folder of the goldens");
    (void)argc;
    int n_run = 0, n_failed = 0;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (size_t k = 0; k < sizeof STAGES / sizeof STAGES[0]; k++) {
            n_failed += !run_case(argv[1], CASES[i], STAGES[k]);
            n_run++;
        }
    }
    printf("%d runs compared with PyTorch, %d failed\n", n_run, n_failed);
    return n_failed > 0;
}
