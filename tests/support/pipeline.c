#include "pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/kernels.h>
#include <attnres/rng.h>

static int64_t count_tokens(const struct pipeline *p)
{
    return p->config.batch.n_sequences * p->config.model.seq_len;
}

static void fill_batch(struct pipeline *p)
{
    const int64_t n = count_tokens(p);
    const uint64_t vocab = (uint64_t)p->config.model.vocab, key = rng_key(1, "batch");
    p->tokens = calloc((size_t)n, sizeof *p->tokens);
    p->targets = calloc((size_t)n, sizeof *p->targets);
    p->losses = calloc((size_t)p->plan.n_microbatches, sizeof *p->losses);
    assert(p->tokens != NULL && p->targets != NULL && p->losses != NULL);
    for (int64_t i = 0; i < n; i++) {
        p->tokens[i] = (int32_t)(rng_at(key, 2 * (uint64_t)i) % vocab);
        p->targets[i] = (int32_t)(rng_at(key, 2 * (uint64_t)i + 1) % vocab);
    }
}

static bool start_rank(struct pipeline *p, int rank, struct error *err)
{
    struct pipeline_rank *r = &p->ranks[rank];
    const int n_chunks = p->plan.n_chunks;
    if (!memory_init(&r->memory, &p->plan, rank, err)) {
        return false;
    }
    r->models = calloc((size_t)n_chunks, sizeof *r->models);
    assert(r->models != NULL);
    for (int chunk = 0; chunk < n_chunks; chunk++) {
        model_init(&r->models[chunk], &p->plan, plan_stage(&p->plan, rank, chunk)->index,
                   &r->memory, kernels_select(kernels_level_count() - 1));
        model_draw_weights(&r->models[chunk], p->config.run.seed);
    }
    engine_init(&r->engine, &p->plan, r->models, &r->memory, transport_world_rank(p->world, rank));
    return true;
}

struct pipeline *pipeline_create(int n_ranks, const char *const *overrides, int n,
                                 struct error *err)
{
    assert(n_ranks <= PIPELINE_MAX_RANKS);
    struct pipeline *p = calloc(1, sizeof *p);
    assert(p != NULL);
    if (!config_load(&p->config, NULL, n, overrides, err) ||
        !plan_init(&p->plan, &p->config, n_ranks, PLAN_TRAIN, err)) {
        free(p);
        return NULL;
    }
    p->world = transport_world_create(n_ranks);
    assert(p->world != NULL);
    kernels_set_threads(1);
    fill_batch(p);
    for (int rank = 0; rank < n_ranks; rank++) {
        if (!start_rank(p, rank, err)) {
            pipeline_destroy(p);
            return NULL;
        }
    }
    return p;
}

void pipeline_destroy(struct pipeline *p)
{
    if (p == NULL) {
        return;
    }
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        struct pipeline_rank *r = &p->ranks[rank];
        engine_finish(&r->engine);
        for (int chunk = 0; r->models != NULL && chunk < p->plan.n_chunks; chunk++) {
            model_finish(&r->models[chunk]);
        }
        free(r->models);
        memory_finish(&r->memory);
    }
    transport_world_destroy(p->world);
    plan_finish(&p->plan);
    free(p->tokens);
    free(p->targets);
    free(p->losses);
    free(p);
}

void pipeline_begin(struct pipeline *p, const struct schedule *schedule, float scale)
{
    const struct engine_batch batch = {
        .tokens = p->tokens, .targets = p->targets, .loss_scale = scale, .losses = p->losses};
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        engine_begin(&p->ranks[rank].engine, schedule, &batch);
    }
}

bool pipeline_advance(struct pipeline *p)
{
    bool worked = false;
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        worked = engine_advance(&p->ranks[rank].engine) == ENGINE_WORKED || worked;
    }
    return worked;
}

bool pipeline_is_done(const struct pipeline *p)
{
    bool done = true;
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        done = done && p->ranks[rank].engine.counter == p->ranks[rank].engine.end;
    }
    return done;
}

/** Each rank and the action it cannot perform. */
static void note_where(struct pipeline *p)
{
    static const char *const NAMES[] = {
        [ACTION_RECEIVE_VALUES] = "receive values",
        [ACTION_FORWARD] = "forward",
        [ACTION_SEND_VALUES] = "send values",
        [ACTION_RECEIVE_GRADIENTS] = "receive gradients",
        [ACTION_INPUT_GRADIENT] = "input gradient",
        [ACTION_SEND_GRADIENTS] = "send gradients",
        [ACTION_WEIGHT_GRADIENT] = "weight gradient",
    };
    size_t length = 0;
    for (int rank = 0; rank < p->plan.n_ranks && length < sizeof p->stuck; rank++) {
        const struct engine *engine = &p->ranks[rank].engine;
        if (engine->counter < engine->end) {
            const struct action *action = &engine->schedule->actions[engine->counter];
            length +=
                (size_t)snprintf(p->stuck + length, sizeof p->stuck - length,
                                 "%srank %d waits at: %s, microbatch %d", length > 0 ? "; " : "",
                                 rank, NAMES[action->op], (int)action->microbatch);
        }
    }
}

bool pipeline_run(struct pipeline *p, const struct schedule *schedule, float scale)
{
    pipeline_begin(p, schedule, scale);
    while (pipeline_advance(p)) {
    }
    if (!pipeline_is_done(p)) {
        note_where(p);
        return false;
    }
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        engine_drain(&p->ranks[rank].engine);
    }
    return true;
}

void pipeline_zero_gradients(struct pipeline *p)
{
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        const struct memory *memory = &p->ranks[rank].memory;
        for (enum buffer_id id = BUFFER_GRADIENTS; id <= BUFFER_HEAD_GRADIENT; id++) {
            void *gradients = memory_buffer(memory, id, 0);
            if (gradients != NULL) {
                memset(gradients, 0, memory_slot_bytes(memory, id));
            }
        }
    }
}

float pipeline_scale(const struct pipeline *p)
{
    return (float)(1.0 / (double)count_tokens(p));
}

bool pipeline_train(struct pipeline *p)
{
    pipeline_zero_gradients(p);
    return pipeline_run(p, &p->plan.schedule, pipeline_scale(p));
}

double pipeline_loss(const struct pipeline *p)
{
    double sum = 0.0;
    for (int64_t i = 0; i < p->plan.n_microbatches; i++) {
        sum += p->losses[i];
    }
    return sum / (double)count_tokens(p);
}

const struct model *pipeline_owner(const struct pipeline *p, const struct param *param)
{
    const int64_t row = param - p->plan.params.rows;
    for (int i = 0; i < p->plan.n_stages; i++) {
        const struct stage *stage = &p->plan.stages[i];
        if (row >= stage->first_param && row < stage->end_param) {
            return &p->ranks[stage->rank].models[stage->chunk];
        }
    }
    assert(!"every row has an owner");
    return NULL;
}

const struct model *pipeline_last(const struct pipeline *p)
{
    const struct stage *stage = &p->plan.stages[p->plan.n_stages - 1];
    return &p->ranks[stage->rank].models[stage->chunk];
}
