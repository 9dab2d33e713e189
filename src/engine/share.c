#include "engine_internal.h"

#include <assert.h>
#include <string.h>

static int64_t tensor_count(const struct engine *engine)
{
    return engine->models[0].n * engine->plan->config->model.dim;
}

static const struct routing_stage *route_of(const struct engine *engine, int chunk)
{
    return &engine->plan->routing.stages[engine->models[chunk].stage->index];
}

/** Copy values of one chunk's slot, with what belongs to them, into the action's slot. */
static void copy_value(struct engine *engine, const struct action *action, int chunk, int64_t id)
{
    const struct model *own = &engine->models[action->chunk], *other = &engine->models[chunk];
    const int slot = schedule_slot(engine->schedule, engine->rank, chunk, action->microbatch);
    memcpy(model_value(own, action->slot, id), model_value(other, slot, id),
           (size_t)tensor_count(engine) * sizeof(float));
    if (id <= engine->plan->depth.n_blocks && model_scales(other, slot, id) != NULL) {
        memcpy(model_scales(own, action->slot, id), model_scales(other, slot, id),
               (size_t)own->n * sizeof(float));
    }
}

void engine_take_values(struct engine *engine, const struct action *action)
{
    const struct routing_stage *route = route_of(engine, action->chunk);
    const int stage = engine->models[action->chunk].stage->index;
    if (route->is_local) {
        const int before = engine->plan->stages[stage - 1].chunk;
        for (int64_t i = 0; i < depth_set_count(&route->received); i++) {
            copy_value(engine, action, before, depth_set_id(&route->received, i));
        }
    }
    for (int64_t i = 0; i < depth_set_count(&route->cached); i++) {
        const int64_t id = depth_set_id(&route->cached, i);
        const int bringer = routing_bringer(&engine->plan->routing, engine->rank, id);
        copy_value(engine, action, engine->plan->stages[bringer].chunk, id);
    }
}

static const struct buffer *deposits_of(const struct engine *engine)
{
    return &engine->memory->table.rows[BUFFER_DEPOSITS];
}

int64_t engine_deposit_cells(const struct engine *engine)
{
    const struct buffer *deposits = deposits_of(engine);
    return deposits->n_slots * deposits->shape[0];
}

/** Where the gradients of a value of this microbatch are deposited; how many lie there. */
static float *deposit_of(const struct engine *engine, const struct action *action, int64_t id,
                         int **n_deposited)
{
    const struct buffer *deposits = deposits_of(engine);
    const int64_t slot = action->microbatch % deposits->n_slots;
    *n_deposited = &engine->n_deposited[slot * deposits->shape[0] + id];
    float *base = memory_buffer(engine->memory, BUFFER_DEPOSITS, slot);
    return base + id * tensor_count(engine);
}

/** Values that are live behind the stage but come back by deposit alone start from zero. */
static void zero_unsent(struct engine *engine, const struct action *action)
{
    const struct model *own = &engine->models[action->chunk];
    if (!engine->plan->routing.cache || own->stage->is_last) {
        return;
    }
    const struct depth_set live = depth_live(&engine->plan->depth, own->stage->end);
    const int64_t first_sent = own->stage->outgoing.n_completed > 0
                                   ? own->stage->outgoing.first_completed
                                   : live.n_completed;
    for (int64_t id = 0; id < first_sent; id++) {
        memset(model_dvalue(own, action->gradient_slot, id), 0,
               (size_t)tensor_count(engine) * sizeof(float));
    }
}

/** Gradients from the stage behind, where that is on the same rank. */
static void take_local_gradients(struct engine *engine, const struct action *action)
{
    const struct stage *own = engine->models[action->chunk].stage;
    if (own->is_last || engine->plan->stages[own->index + 1].rank != engine->rank) {
        return;
    }
    const int chunk = engine->plan->stages[own->index + 1].chunk;
    const int slot =
        schedule_gradient_slot(engine->schedule, engine->rank, chunk, action->microbatch);
    for (int64_t i = 0; i < depth_set_count(&own->outgoing); i++) {
        const int64_t id = depth_set_id(&own->outgoing, i);
        memcpy(model_dvalue(&engine->models[action->chunk], action->gradient_slot, id),
               model_dvalue(&engine->models[chunk], slot, id),
               (size_t)tensor_count(engine) * sizeof(float));
    }
}

void engine_take_gradients(struct engine *engine, const struct action *action)
{
    const struct routing_stage *route = route_of(engine, action->chunk);
    const struct model *own = &engine->models[action->chunk];
    take_local_gradients(engine, action);
    zero_unsent(engine, action);
    for (int64_t i = 0; i < depth_set_count(&route->brought) && route->n_deposits > 0; i++) {
        const int64_t id = depth_set_id(&route->brought, i);
        int *n_deposited = NULL;
        const float *deposit = deposit_of(engine, action, id, &n_deposited);
        assert(*n_deposited == route->n_deposits && "every later stage of the rank has deposited");
        *n_deposited = 0;
        float *dv = model_dvalue(own, action->gradient_slot, id);
        own->kernels->add(dv, dv, deposit, tensor_count(engine));
    }
}

void engine_deposit_gradients(struct engine *engine, const struct action *action)
{
    const struct routing_stage *route = route_of(engine, action->chunk);
    const struct model *own = &engine->models[action->chunk];
    for (int64_t i = 0; i < depth_set_count(&route->cached); i++) {
        const int64_t id = depth_set_id(&route->cached, i);
        const float *dv = model_dvalue(own, action->gradient_slot, id);
        int *n_deposited = NULL;
        float *deposit = deposit_of(engine, action, id, &n_deposited);
        if (*n_deposited == 0) {
            memcpy(deposit, dv, (size_t)tensor_count(engine) * sizeof(float));
        } else {
            own->kernels->add(deposit, deposit, dv, tensor_count(engine));
        }
        ++*n_deposited;
    }
}

void engine_round_gradients(struct engine *engine, const struct engine_link *link,
                            const struct action *action)
{
    const struct model *own = &engine->models[action->chunk];
    if (!engine->plan->routing.cache || link->layout.encoding != WIRE_BF16) {
        return;
    }
    for (int64_t i = 0; i < link->layout.n_encoded; i++) {
        const int64_t id = depth_set_id(link->set, i);
        own->kernels->round_bf16(model_dvalue(own, action->gradient_slot, id),
                                 tensor_count(engine));
    }
}
