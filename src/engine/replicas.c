/* What the replicas of a rank exchange: sums of gradients to their owners while other parts still
 * compute, and new weights from the owners. */
#include "engine_internal.h"

#include <assert.h>
#include <stdlib.h>

#include <attnres/clock.h>
#include <attnres/heap.h>

static const struct stage *stage_of(const struct engine *engine, int64_t row)
{
    for (int chunk = 0; chunk < engine->plan->n_chunks; chunk++) {
        const struct stage *stage = engine->models[chunk].stage;
        if (row >= stage->first_param && row < stage->end_param) {
            return stage;
        }
    }
    assert(!"the row is one of the rank's");
    return NULL;
}

static struct collective_tensor tensor_of(const struct engine *engine, int64_t row,
                                          enum buffer_id id)
{
    const struct plan *plan = engine->plan;
    const struct param *param = &plan->params.rows[row];
    return (struct collective_tensor){
        .values = memory_tensor(engine->memory, plan, stage_of(engine, row), param, id),
        .count = param->count,
        .owner = plan->owners[row].replica};
}

void engine_join_replicas(struct engine *engine)
{
    const struct plan *plan = engine->plan;
    const struct buffer *out = &engine->memory->table.rows[BUFFER_REPLICA_OUT],
                        *scratch = &engine->memory->table.rows[BUFFER_REPLICA_SUM];
    if (out->n_slots == 0) {
        return;
    }
    const int n_peers = plan->grid.n_replicas - 1;
    const size_t n = (size_t)plan->ranks[engine->rank].n_params;
    int64_t *order = heap_take(n, sizeof *order, "the sums over replicas");
    engine->gradients = heap_take(n, sizeof *engine->gradients, "the sums over replicas");
    engine->weights = heap_take(n, sizeof *engine->weights, "the sums over replicas");
    engine->awaited =
        heap_take(2 * (size_t)out->n_slots + 1, sizeof *engine->awaited, "the sums over replicas");
    plan_list_finished(plan, engine->rank, order);
    for (size_t i = 0; i < n; i++) {
        engine->gradients[i] = tensor_of(engine, order[i], BUFFER_GRADIENTS);
        engine->weights[i] = tensor_of(engine, order[i], BUFFER_WEIGHTS);
    }
    free(order);
    const struct collective_exchange_spec spec = {
        .transport = engine->transport,
        .group = {.first = engine->rank,
                  .size = plan->grid.n_replicas,
                  .stride = plan->grid.n_places},
        .chunk_count = scratch->shape[0],
        .depth = (int)out->n_slots / n_peers,
        .out = memory_buffer(engine->memory, BUFFER_REPLICA_OUT, 0),
        .in = memory_buffer(engine->memory, BUFFER_REPLICA_IN, 0),
        .scratch = memory_buffer(engine->memory, BUFFER_REPLICA_SUM, 0),
        .add = engine->models[0].kernels->add};
    assert(out->slot_bytes == collective_frame_bytes(spec.chunk_count));
    engine->exchange = collective_exchange_create(&spec);
}

void engine_leave_replicas(struct engine *engine)
{
    collective_exchange_destroy(engine->exchange);
    free(engine->gradients);
    free(engine->weights);
    free(engine->awaited);
}

void engine_begin_sums(struct engine *engine)
{
    if (engine->exchange != NULL) {
        collective_begin_sum(engine->exchange, engine->gradients,
                             engine->plan->ranks[engine->rank].n_params);
    }
}

void engine_release(struct engine *engine, const struct action *action, int part)
{
    if (engine->exchange == NULL || action->microbatch + 1 < engine->plan->n_microbatches) {
        return;
    }
    const struct stage *stage = engine->models[action->chunk].stage;
    int n = 0;
    while (plan_finished(engine->plan, stage, part, action->op, n) != NULL) {
        n++;
    }
    collective_release(engine->exchange, n);
}

/** Get on with a sum or a hand-out without waiting; whether anything was done. */
static bool advance_exchange(struct engine *engine)
{
    if (engine->exchange == NULL) {
        return false;
    }
    const double start_s = clock_monotonic_s();
    const bool worked = collective_advance(engine->exchange);
    /* A look that finds nothing may give the processor to others (mpi_yield_when_idle). */
    *(worked ? &engine->times.reduce_s : &engine->times.wait_s) += clock_monotonic_s() - start_s;
    const int64_t bytes = collective_take_bytes(engine->exchange);
    engine->times.bytes_raw += bytes;
    engine->times.bytes_sent += bytes;
    return worked;
}

/** The same where the rank has nothing else to do: an event of its own. */
static bool advance_alone(struct engine *engine)
{
    struct journal *journal = transport_journal(engine->transport);
    journal_begin_alone(journal, JOURNAL_REDUCE, -1);
    const bool worked = advance_exchange(engine);
    while (worked && !collective_is_done(engine->exchange) && advance_exchange(engine)) {
    }
    journal_end(journal);
    return worked;
}

void engine_drive_exchange(struct engine *engine)
{
    const int most = engine->exchange != NULL ? engine->plan->grid.n_replicas : 0;
    for (int i = 0; i < most && advance_exchange(engine); i++) {
    }
}

/** Until some request of the exchange, or `request` if that is not NULL, is done. */
static void wait_for_some(struct engine *engine, struct transport_request *request)
{
    struct transport_request *const *others = NULL;
    const int n_others = collective_list_requests(engine->exchange, &others);
    int n = 0;
    if (request != NULL) {
        engine->awaited[n++] = request;
    }
    for (int i = 0; i < n_others; i++) {
        engine->awaited[n++] = others[i];
    }
    const double start_s = clock_monotonic_s();
    transport_wait_any(engine->transport, engine->awaited, n);
    engine->times.wait_s += clock_monotonic_s() - start_s;
}

void engine_wait(struct engine *engine, struct transport_request *request)
{
    while (engine->exchange != NULL && !transport_test(engine->transport, request)) {
        if (!advance_alone(engine)) {
            wait_for_some(engine, request);
        }
    }
    const double start_s = clock_monotonic_s();
    transport_wait(engine->transport, request);
    engine->times.wait_s += clock_monotonic_s() - start_s;
}

static void complete(struct engine *engine)
{
    const int64_t n_left = collective_count_unreleased(engine->exchange);
    if (n_left > 0) { /* else all may be done already, and no sum in progress */
        collective_release(engine->exchange, n_left);
    }
    while (!collective_is_done(engine->exchange)) {
        if (!advance_alone(engine)) {
            wait_for_some(engine, NULL);
        }
    }
}

void engine_sum_gradients(struct engine *engine)
{
    if (engine->exchange != NULL) {
        complete(engine);
    }
}

void engine_hand_out_weights(struct engine *engine)
{
    if (engine->exchange != NULL) {
        collective_begin_hand_out(engine->exchange, engine->weights,
                                  engine->plan->ranks[engine->rank].n_params);
        complete(engine);
    }
}
