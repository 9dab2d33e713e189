#include "single_rank.h"

#include <assert.h>

#include <attnres/kernels.h>

void single_rank_init(struct single_rank *r, const struct config *config, enum plan_purpose purpose)
{
    struct error err = {0};
    const bool ok =
        plan_init(&r->plan, config, 1, purpose, &err) && memory_init(&r->memory, &r->plan, 0, &err);
    assert(ok);
    kernels_set_threads(1);
    model_init(&r->model, &r->plan, 0, &r->memory, kernels_select(kernels_level_count() - 1));
    model_draw_weights(&r->model, config->run.seed);
    r->world = transport_world_create(1);
    assert(r->world != NULL);
    engine_init(&r->engine, &r->plan, &r->model, &r->memory, transport_world_rank(r->world, 0));
}

void single_rank_finish(struct single_rank *r)
{
    engine_finish(&r->engine);
    transport_world_destroy(r->world);
    model_finish(&r->model);
    memory_finish(&r->memory);
    plan_finish(&r->plan);
}
