#include "golden.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/checkpoint.h>
#include <attnres/rng.h>
#include <attnres/session.h>
#include <attnres/train.h>

enum { MAX_OVERRIDES = 64, CONFIG_BYTES = 4096 };

/* As make_golden.py starts: zero queries and unit gains would hide errors. */
static const double READ_STD = 0.5;
static const double GAIN_STD = 0.1;

struct job {
    struct golden_run *run;
    struct transport *transport;
    struct error err;
    bool ok;
};

/* Sublayers of three stages, uneven and with cuts inside blocks. */
static const char *find_partition(const struct golden_run *run, int64_t n_layers)
{
    static const char *const PARTITIONS[] = {[2] = "[1,2,1]", [3] = "[1,3,2]", [4] = "[1,4,3]"};
    assert(n_layers >= 2 && n_layers <= 4);
    return run->n_stages == 1 ? "blocks" : PARTITIONS[n_layers];
}

bool golden_load_config(struct config *config, const struct golden_run *run, const char *init,
                        struct error *err)
{
    char text[CONFIG_BYTES], own[4][FILE_PATH_BYTES + 32];
    const char *overrides[MAX_OVERRIDES] = {"train.log_every=1", "checkpoint.every=0",
                                            "compute.threads=1", "run.stall_s=60"};
    int n = 4;
    int64_t n_layers = 0;
    const char *recorded = safetensors_metadata(&run->golden, "config");
    assert(recorded != NULL && strlen(recorded) < sizeof text);
    snprintf(text, sizeof text, "%s", recorded);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "model.layers=", 13) == 0) {
            n_layers = strtol(line + 13, NULL, 10);
        }
        overrides[n++] = line;
        assert(n + 4 <= MAX_OVERRIDES);
    }
    snprintf(own[0], sizeof own[0], "run.dir=%s/run", run->folder);
    snprintf(own[1], sizeof own[1], "data.train=%s/tokens", run->folder);
    snprintf(own[2], sizeof own[2], "train.init=%s", init);
    snprintf(own[3], sizeof own[3], "pipeline.partition=%s", find_partition(run, n_layers));
    for (int i = 0; i < 4; i++) {
        overrides[n++] = own[i];
    }
    return config_load(config, NULL, n, overrides, err);
}

int32_t golden_draw_token(const struct config *config, int64_t index)
{
    const uint64_t key = rng_key((uint64_t)config->run.seed, "golden.tokens");
    return (int32_t)(rng_at(key, (uint64_t)index) % (uint64_t)config->model.vocab);
}

/* Element i is the mean plus std times the i-th normal under the tensor's name. */
static void draw_weight(float *out, const struct param *param, int64_t seed)
{
    const uint64_t key = rng_key((uint64_t)seed, param->name);
    const double std = param->role == PARAM_READ   ? READ_STD
                       : param->role == PARAM_GAIN ? GAIN_STD
                                                   : param->init_std;
    const double mean = param->role == PARAM_GAIN ? 1.0 : 0.0;
    for (int64_t i = 0; i < param->count; i++) {
        out[i] = (float)(mean + std * rng_normal_at(key, (uint64_t)i));
    }
}

static void draw_weights(const struct session *s)
{
    for (int chunk = 0; chunk < s->plan.n_chunks; chunk++) {
        const struct model *model = &s->models[chunk];
        for (int64_t i = model->stage->first_param; i < model->stage->end_param; i++) {
            const struct param *param = &s->plan.params.rows[i];
            draw_weight(model_weight(model, param), param, s->config.run.seed);
        }
        if (model->stage->is_last && s->config.model.tied) {
            const struct param *embedding = params_find(&s->plan.params, -1, PARAM_EMBEDDING);
            draw_weight(model_head_weight(model), embedding, s->config.run.seed);
        }
    }
}

static void fill_batch(const struct session *s, int32_t *tokens, int32_t *targets)
{
    const int64_t T = s->config.model.seq_len;
    for (int64_t i = 0; i < s->config.batch.n_sequences; i++) {
        for (int64_t t = 0; t < T; t++) {
            tokens[i * T + t] = golden_draw_token(&s->config, i * (T + 1) + t);
            targets[i * T + t] = golden_draw_token(&s->config, i * (T + 1) + t + 1);
        }
    }
}

/* Logits of the first microbatch, then loss and gradients of the whole batch. */
static void run_by_hand(struct session *s, struct golden_run *run)
{
    const int64_t n_targets = s->config.batch.n_sequences * s->config.model.seq_len;
    int32_t *tokens = calloc((size_t)n_targets, sizeof *tokens);
    int32_t *targets = calloc((size_t)n_targets, sizeof *targets);
    double *losses = calloc((size_t)s->plan.n_microbatches, sizeof *losses);
    assert(tokens != NULL && targets != NULL && losses != NULL);
    fill_batch(s, tokens, targets);
    struct engine_batch batch = {.tokens = tokens, .targets = targets, .losses = losses};
    const int last_chunk = s->plan.n_chunks - 1;
    engine_run(&s->engine, &s->plan.forward, &batch);
    if (s->own->has_last) {
        const size_t count = (size_t)(s->plan.microbatch_tokens * s->config.model.vocab);
        memcpy(run->logits, model_logits(&s->models[last_chunk], 0), count * sizeof(float));
    }
    batch.loss_scale = (float)(1.0 / (double)n_targets);
    engine_run(&s->engine, &s->plan.schedule, &batch);
    engine_drain(&s->engine);
    if (s->own->has_last) {
        run->loss = 0.0;
        for (int64_t i = 0; i < s->plan.n_microbatches; i++) {
            run->loss += losses[i] / (double)n_targets;
        }
    }
    free(tokens);
    free(targets);
    free(losses);
}

static void copy_gradients(const struct session *s, struct golden_run *run)
{
    for (int chunk = 0; chunk < s->plan.n_chunks; chunk++) {
        const struct model *model = &s->models[chunk];
        for (int64_t i = model->stage->first_param; i < model->stage->end_param; i++) {
            const struct param *param = &s->plan.params.rows[i];
            memcpy(run->gradients + param->offset, model_gradient(model, param),
                   (size_t)param->count * sizeof(float));
        }
        if (model->stage->is_last && s->config.model.tied) {
            const struct param *embedding = params_find(&s->plan.params, -1, PARAM_EMBEDDING);
            memcpy(run->head_gradient, model_head_gradient(model),
                   (size_t)embedding->count * sizeof(float));
        }
    }
}

static bool save_start(const struct session *s, const struct golden_run *run, struct error *err)
{
    char path[FILE_PATH_BYTES], config_text[1 << 15];
    const struct checkpoint_state state = {.data = {-1, -1, -1, -1}};
    config_dump(&s->config, false, config_text, sizeof config_text);
    const struct checkpoint_saver_spec spec = {.models = s->models,
                                               .transport = s->transport,
                                               .run_path = path,
                                               .config_text = config_text};
    if (!file_join(path, run->folder, "start", err)) {
        return false;
    }
    struct checkpoint_saver *saver = checkpoint_saver_create(&spec, err);
    const bool ok = saver != NULL && checkpoint_save(saver, &state, err);
    checkpoint_saver_destroy(saver);
    return ok;
}

static bool run_rank(struct job *job, struct config *config)
{
    struct session s = {0};
    struct log log;
    log_init(&log, transport_rank(job->transport));
    log.quiet = true;
    bool ok = golden_load_config(config, job->run, "none", &job->err) &&
              session_plan(&s, config, job->transport, &log, PLAN_TRAIN, &job->err) &&
              session_start(&s, &job->err);
    if (ok) {
        draw_weights(&s);
        run_by_hand(&s, job->run);
        copy_gradients(&s, job->run);
        ok = save_start(&s, job->run, &job->err);
    }
    session_finish(&s);
    char start[FILE_PATH_BYTES];
    const struct train_options options = {.build = {"test", "test", "test", "test"}};
    struct train_result result;
    ok = ok && file_join(start, job->run->folder, "start", &job->err) &&
         golden_load_config(config, job->run, start, &job->err) &&
         train_run(&result, config, &options, job->transport, &log, &job->err);
    log_finish(&log);
    return ok;
}

static void *run_job(void *user)
{
    struct job *job = user;
    struct config *config = calloc(1, sizeof *config);
    assert(config != NULL);
    job->ok = run_rank(job, config);
    free(config);
    return NULL;
}

bool golden_run_ranks(struct golden_run *run)
{
    struct transport_world *world = transport_world_create(run->n_stages);
    struct job *jobs = calloc(GOLDEN_MAX_STAGES, sizeof *jobs);
    pthread_t threads[GOLDEN_MAX_STAGES];
    assert(world != NULL && jobs != NULL && run->n_stages <= GOLDEN_MAX_STAGES);
    for (int rank = 0; rank < run->n_stages; rank++) {
        jobs[rank] = (struct job){.run = run, .transport = transport_world_rank(world, rank)};
        const int failure = pthread_create(&threads[rank], NULL, run_job, &jobs[rank]);
        assert(failure == 0);
        (void)failure;
    }
    bool ok = true;
    for (int rank = 0; rank < run->n_stages; rank++) {
        pthread_join(threads[rank], NULL);
        ok = ok && jobs[rank].ok;
        if (jobs[rank].err.kind != ERROR_NONE) {
            printf("rank %d: %s\n", rank, jobs[rank].err.message);
        }
    }
    const char *aborted = transport_world_aborted(world);
    if (aborted != NULL) {
        printf("aborted: %s\n", aborted);
        ok = false;
    }
    transport_world_destroy(world);
    free(jobs);
    return ok;
}
