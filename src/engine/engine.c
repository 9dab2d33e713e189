#include "engine_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/clock.h>
#include <attnres/heap.h>
#include <attnres/wire.h>
#include <attnres/zip.h>

/* What a plan may have under way on a rank: four links of each chunk, frames to and from replicas,
 * and one whole message with its checksum. */
_Static_assert(4 * CONFIG_MAX_CHUNKS * SCHEDULE_MAX_DEPTH + 2 * CONFIG_MAX_REPLICAS + 2 <=
                   TRANSPORT_MAX_REQUESTS,
               "every plan has requests enough");

static unsigned char *message_of(const struct engine *engine, const struct engine_link *link,
                                 int64_t message)
{
    const int64_t slot = link->first_slot + message % engine->depth;
    return memory_buffer(engine->memory, link->buffer, slot);
}

/** The link of a stage towards the stage `offset` places on; sends are tagged with the chunk of
 * their receiver. */
static struct engine_link make_link(const struct engine *engine, const struct stage *stage,
                                    int offset, bool sends, enum buffer_id buffer)
{
    const int other = stage->index + offset;
    if (other < 0 || other >= engine->plan->n_stages) {
        return (struct engine_link){.peer = -1};
    }
    const struct stage *neighbour = &engine->plan->stages[other];
    const bool carries_values = sends == (offset > 0);
    const int cut = offset > 0 ? stage->index : other;
    struct wire_layout layout = carries_values ? plan_values_layout(engine->plan, cut)
                                               : plan_gradients_layout(engine->plan, cut);
    if (engine->plan->config->pipeline.deflate == DEFLATE_ON) {
        layout.codec = &engine->codec;
    }
    const struct grid *grid = &engine->plan->grid;
    return (struct engine_link){.peer = grid_rank(grid, engine->memory->replica, neighbour->rank),
                                .peer_stage = other,
                                .tag_chunk = sends ? neighbour->chunk : stage->chunk,
                                .channel = carries_values ? CHANNEL_VALUES : CHANNEL_GRADIENTS,
                                .buffer = buffer,
                                .first_slot = stage->chunk * engine->depth,
                                .set = offset > 0 ? &stage->outgoing : &stage->incoming,
                                .layout = layout};
}

/** Where deflating takes its memory; nothing if the plan has none for it. */
static struct wire_codec make_codec(const struct memory *memory)
{
    void *state = memory_buffer(memory, BUFFER_CODEC, 0);
    return (struct wire_codec){.zip = state != NULL ? zip_codec_init(state) : NULL,
                               .frame = memory_buffer(memory, BUFFER_FRAME, 0),
                               .plane = memory_buffer(memory, BUFFER_PLANE, 0)};
}

void engine_init(struct engine *engine, const struct plan *plan, const struct model *models,
                 const struct memory *memory, struct transport *transport)
{
    *engine = (struct engine){.plan = plan,
                              .models = models,
                              .memory = memory,
                              .transport = transport,
                              .codec = make_codec(memory),
                              .rank = models[0].stage->rank,
                              .depth = plan->channel_depth};
    assert(engine->depth >= 1);
    engine->chunks = heap_take((size_t)plan->n_chunks, sizeof *engine->chunks, "the engine");
    int64_t most = 1;
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        const struct stage *stage = models[chunk].stage;
        most = stage->n_values > most ? stage->n_values : most;
    }
    engine->tensors = heap_take((size_t)most, sizeof *engine->tensors, "the engine");
    engine->scales = heap_take((size_t)most, sizeof *engine->scales, "the engine");
    engine->n_deposited =
        heap_take((size_t)engine_deposit_cells(engine), sizeof *engine->n_deposited, "the engine");
    const size_t n_requests = (size_t)plan->n_chunks * 4 * (size_t)engine->depth;
    engine->requests = heap_take(n_requests, sizeof *engine->requests, "the engine");
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        const struct stage *stage = models[chunk].stage;
        struct engine_chunk *c = &engine->chunks[chunk];
        *c = (struct engine_chunk){
            .values_in = make_link(engine, stage, -1, false, BUFFER_VALUES_IN),
            .values_out = make_link(engine, stage, 1, true, BUFFER_VALUES_OUT),
            .gradients_in = make_link(engine, stage, 1, false, BUFFER_GRADIENTS_IN),
            .gradients_out = make_link(engine, stage, -1, true, BUFFER_GRADIENTS_OUT),
        };
        struct engine_link *links[] = {&c->values_in, &c->values_out, &c->gradients_in,
                                       &c->gradients_out};
        for (int i = 0; i < 4; i++) {
            links[i]->requests = &engine->requests[(chunk * 4 + i) * engine->depth];
        }
    }
    engine_join_replicas(engine);
}

void engine_finish(struct engine *engine)
{
    engine_leave_replicas(engine);
    free(engine->chunks);
    free(engine->requests);
    free(engine->n_deposited);
    free(engine->tensors);
    free(engine->scales);
    *engine = (struct engine){0};
}

void engine_set_deflation(struct engine *engine, int cut, enum wire_direction direction, bool on)
{
    assert(engine->codec.zip != NULL && "the plan has memory for it");
    for (int chunk = 0; chunk < engine->plan->n_chunks; chunk++) {
        struct engine_chunk *c = &engine->chunks[chunk];
        const int stage = engine->models[chunk].stage->index;
        struct engine_link *sends = direction == WIRE_VALUES ? &c->values_out : &c->gradients_in;
        struct engine_link *other = direction == WIRE_VALUES ? &c->values_in : &c->gradients_out;
        struct engine_link *link = stage == cut ? sends : stage == cut + 1 ? other : NULL;
        if (link != NULL) {
            assert(link->n_posted == 0 && "before the first message");
            link->layout.codec = on ? &engine->codec : NULL;
        }
    }
}

/** Post receives up to the link's depth, but no more than are expected. */
static void post_receives(struct engine *engine, struct engine_link *link)
{
    while (link->n_posted < link->n_expected && link->n_posted < link->n_done + engine->depth) {
        transport_post_receive(engine->transport, link->peer, link->channel, link->tag_chunk,
                               message_of(engine, link, link->n_posted),
                               wire_message_bytes(&link->layout),
                               &link->requests[link->n_posted % engine->depth]);
        link->n_posted++;
    }
}

void engine_begin(struct engine *engine, const struct schedule *schedule,
                  const struct engine_batch *batch)
{
    assert(engine->counter == engine->end && "the schedule before is done");
    engine->schedule = schedule;
    engine->counter = schedule->first_action[engine->rank];
    engine->end = schedule->first_action[engine->rank + 1];
    engine->batch = *batch;
    engine->round++;
    /* Weights change between schedules, but only where they are trained. */
    const bool may_have_changed = plan_trains(engine->plan) || engine->round == 1;
    for (int chunk = 0; may_have_changed && chunk < engine->plan->n_chunks; chunk++) {
        model_take_weights(&engine->models[chunk]);
    }
    for (int64_t i = engine->counter; i < engine->end; i++) {
        const struct action *action = &schedule->actions[i];
        struct engine_chunk *chunk = &engine->chunks[action->chunk];
        chunk->values_in.n_expected += action->op == ACTION_RECEIVE_VALUES;
        chunk->gradients_in.n_expected += action->op == ACTION_RECEIVE_GRADIENTS;
    }
    for (int chunk = 0; chunk < engine->plan->n_chunks; chunk++) {
        post_receives(engine, &engine->chunks[chunk].values_in);
        post_receives(engine, &engine->chunks[chunk].gradients_in);
    }
    if (schedule == &engine->plan->schedule) {
        engine_begin_sums(engine);
    }
}

/** Fill engine->tensors with the values or gradients that a link's message carries. */
static void list_tensors(struct engine *engine, const struct engine_link *link,
                         const struct action *action)
{
    const struct model *model = &engine->models[action->chunk];
    for (int64_t i = 0; i < depth_set_count(link->set); i++) {
        const int64_t id = depth_set_id(link->set, i);
        engine->tensors[i] = link->channel == CHANNEL_VALUES
                                 ? model_value(model, action->slot, id)
                                 : model_dvalue(model, action->gradient_slot, id);
        engine->scales[i] = link->layout.encoding == WIRE_INT8 && i < link->layout.n_encoded
                                ? model_scales(model, action->slot, id)
                                : NULL;
    }
}

static struct wire_label label_of(const struct engine *engine, const struct engine_link *link,
                                  const struct action *action, int sender_stage)
{
    return (struct wire_label){
        .step = engine->round,
        .microbatch = action->microbatch,
        .stage = sender_stage,
        .direction = link->channel == CHANNEL_VALUES ? WIRE_VALUES : WIRE_GRADIENTS,
    };
}

/** Whether the next message of a link lies in its buffer; notes in engine->pending what it waits
 * for. */
static bool has_arrived(struct engine *engine, struct engine_link *link)
{
    engine->pending = &link->requests[link->n_done % engine->depth];
    return transport_test(engine->transport, engine->pending);
}

static void note_message(struct engine *engine, enum journal_kind kind,
                         const struct engine_link *link)
{
    const struct journal_event event = {.kind = kind,
                                        .peer = link->peer,
                                        .channel = (int32_t)link->channel,
                                        .chunk = link->tag_chunk,
                                        .bytes = (int64_t)wire_frame_bytes(&link->layout)};
    journal_begin(transport_journal(engine->transport), &event);
}

static void note_work(struct engine *engine, enum journal_kind kind, const struct action *action)
{
    const struct journal_event event = {
        .kind = kind, .peer = -1, .chunk = action->chunk, .bytes = -1};
    journal_begin(transport_journal(engine->transport), &event);
}

static bool receive(struct engine *engine, struct engine_link *link, const struct action *action)
{
    if (!has_arrived(engine, link)) {
        return false;
    }
    const double start_s = clock_monotonic_s();
    note_message(engine, JOURNAL_UNPACK, link);
    const struct wire_label label = label_of(engine, link, action, link->peer_stage);
    struct error err = {0};
    list_tensors(engine, link, action);
    const size_t length = link->requests[link->n_done % engine->depth].length;
    if (!wire_unpack(engine->tensors, engine->scales, message_of(engine, link, link->n_done),
                     length, &label, &link->layout, &err)) {
        char message[sizeof err.message + 64];
        snprintf(message, sizeof message, "damaged message from rank %d to rank %d: %s", link->peer,
                 transport_rank(engine->transport), err.message);
        transport_abort(engine->transport, ERROR_LAUNCH, message);
    }
    link->n_done++;
    post_receives(engine, link);
    engine->times.pack_s += clock_monotonic_s() - start_s;
    journal_end(transport_journal(engine->transport));
    return true;
}

/** Whether the next message's buffer is free again. */
static bool has_room(struct engine *engine, struct engine_link *link)
{
    engine->pending = &link->requests[link->n_posted % engine->depth];
    return transport_test(engine->transport, engine->pending);
}

static bool send(struct engine *engine, struct engine_link *link, const struct action *action)
{
    if (!has_room(engine, link)) {
        return false;
    }
    const double start_s = clock_monotonic_s();
    note_message(engine, JOURNAL_PACK, link);
    unsigned char *message = message_of(engine, link, link->n_posted);
    const struct wire_label label =
        label_of(engine, link, action, engine->models[action->chunk].stage->index);
    list_tensors(engine, link, action);
    if (link->channel == CHANNEL_GRADIENTS) {
        engine_round_gradients(engine, link, action);
    }
    const size_t length =
        wire_pack(message, &label, &link->layout, (const float *const *)engine->tensors,
                  (const float *const *)engine->scales);
    transport_post_send_within(engine->transport, link->peer, link->channel, link->tag_chunk,
                               message, length, wire_message_bytes(&link->layout),
                               &link->requests[link->n_posted % engine->depth]);
    engine->times.bytes_raw += (int64_t)wire_frame_bytes(&link->layout);
    engine->times.bytes_sent += (int64_t)length;
    link->n_posted++;
    engine->times.pack_s += clock_monotonic_s() - start_s;
    journal_end(transport_journal(engine->transport));
    return true;
}

static struct model_work work_of(const struct engine *engine, const struct action *action)
{
    const int64_t offset = action->microbatch * engine->models[0].n;
    return (struct model_work){
        .slot = action->slot,
        .gradient_slot = action->gradient_slot,
        .microbatch = action->microbatch,
        .tokens = engine->batch.tokens != NULL ? engine->batch.tokens + offset : NULL,
        .targets = engine->batch.targets != NULL ? engine->batch.targets + offset : NULL,
        .loss_scale = engine->batch.loss_scale,
        .wants_best = engine->batch.wants_best,
        .position = engine->batch.position,
        .loss = engine->batch.losses != NULL ? &engine->batch.losses[action->microbatch] : NULL,
    };
}

/** Messages at rendezvous size move only inside the transport's calls: look at one of them between
 * kernels. */
static void drive_messages(struct engine *engine)
{
    engine_drive_exchange(engine);
    for (int chunk = 0; chunk < engine->plan->n_chunks; chunk++) {
        struct engine_chunk *c = &engine->chunks[chunk];
        struct engine_link *links[] = {&c->values_out, &c->gradients_out, &c->values_in,
                                       &c->gradients_in};
        for (int i = 0; i < 4; i++) {
            for (int slot = 0; slot < engine->depth; slot++) {
                if (links[i]->requests[slot].index != 0) {
                    transport_test(engine->transport, &links[i]->requests[slot]);
                    return;
                }
            }
        }
    }
}

/** What goes to the exchange between replicas. */
static double exchanging_s(const struct engine *engine)
{
    return engine->times.reduce_s + engine->times.wait_s;
}

/** Time since a start, without what went to the exchange meanwhile. */
static double computed_s(const struct engine *engine, double start_s, double before_s)
{
    return clock_monotonic_s() - start_s - (exchanging_s(engine) - before_s);
}

static void forward(struct engine *engine, const struct action *action)
{
    const struct model *model = &engine->models[action->chunk];
    const double start_s = clock_monotonic_s(), before_s = exchanging_s(engine);
    note_work(engine, JOURNAL_FORWARD, action);
    const struct model_work work = work_of(engine, action);
    engine_take_values(engine, action);
    model_forward_begin(model, &work);
    guard_look_taken(engine->batch.probe, model, action);
    for (int part = 0; part < model_forward_count(model, &work); part++) {
        model_forward_part(model, &work, part);
        guard_look_forward(engine->batch.probe, model, action, part);
        drive_messages(engine);
    }
    engine->times.forward_s += computed_s(engine, start_s, before_s);
    journal_end(transport_journal(engine->transport));
}

/** Run again what the I of a part needs. Returns the seconds that took. */
static double recompute(struct engine *engine, const struct action *action,
                        const struct model_work *work, int part)
{
    const struct model *model = &engine->models[action->chunk];
    const int first = model_recompute_first(model, part);
    if (first > part) {
        return 0.0;
    }
    const double start_s = clock_monotonic_s(), before_s = exchanging_s(engine);
    for (int again = first; again <= part; again++) {
        if (model_recompute_part(model, work, again, part)) {
            guard_look_forward(engine->batch.probe, model, action, again);
        }
        drive_messages(engine);
    }
    return computed_s(engine, start_s, before_s);
}

/** The parts [first, end) of an I, the deepest first. */
static void input_gradient(struct engine *engine, const struct action *action, int first, int end)
{
    const struct model *model = &engine->models[action->chunk];
    const double start_s = clock_monotonic_s(), before_s = exchanging_s(engine);
    note_work(engine, JOURNAL_INPUT_GRADIENT, action);
    const struct model_work work = work_of(engine, action);
    if (end == model_part_count(model)) {
        model_input_gradient_begin(model, &work);
        engine_take_gradients(engine, action);
    }
    double recompute_s = 0.0;
    for (int part = end - 1; part >= first; part--) {
        recompute_s += recompute(engine, action, &work, part);
        model_input_gradient_part(model, &work, part);
        guard_look_backward(engine->batch.probe, model, action, part);
        engine_release(engine, action, part);
        drive_messages(engine);
    }
    if (first == 0) {
        guard_look_given(engine->batch.probe, model, action);
        engine_deposit_gradients(engine, action);
    }
    engine->times.recompute_s += recompute_s;
    engine->times.input_gradient_s += computed_s(engine, start_s, before_s) - recompute_s;
    journal_end(transport_journal(engine->transport));
}

/** The parts [first, end) of a W, the deepest first. */
static void weight_gradient(struct engine *engine, const struct action *action, int first, int end)
{
    const struct model *model = &engine->models[action->chunk];
    const double start_s = clock_monotonic_s(), before_s = exchanging_s(engine);
    note_work(engine, JOURNAL_WEIGHT_GRADIENT, action);
    const struct model_work work = work_of(engine, action);
    for (int part = end - 1; part >= first; part--) {
        model_weight_gradient_part(model, &work, part);
        guard_look_backward(engine->batch.probe, model, action, part);
        engine_release(engine, action, part);
        drive_messages(engine);
    }
    engine->times.weight_gradient_s += computed_s(engine, start_s, before_s);
    journal_end(transport_journal(engine->transport));
}

/** I, or W. On a rank that alternates I takes the W behind it along, part by part. */
static void backward(struct engine *engine, const struct action *action)
{
    const int n_parts = model_part_count(&engine->models[action->chunk]);
    const bool alternates = engine->schedule->alternates[engine->rank];
    assert(alternates == engine->plan->schedule.alternates[engine->rank] &&
           "memory is laid out for the plan's own schedule");
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        if (!alternates) {
            weight_gradient(engine, action, 0, n_parts);
        }
        return;
    }
    if (!alternates) {
        input_gradient(engine, action, 0, n_parts);
    }
    for (int part = n_parts - 1; alternates && part >= 0; part--) {
        input_gradient(engine, action, part, part + 1);
        weight_gradient(engine, action + 1, part, part + 1);
    }
}

enum engine_state engine_advance(struct engine *engine)
{
    if (engine->counter == engine->end) {
        return ENGINE_DONE;
    }
    const struct action *action = &engine->schedule->actions[engine->counter];
    struct engine_chunk *chunk = &engine->chunks[action->chunk];
    bool performed = true;
    journal_set_microbatch(transport_journal(engine->transport), action->microbatch);
    switch (action->op) {
    case ACTION_RECEIVE_VALUES:
        performed = receive(engine, &chunk->values_in, action);
        break;
    case ACTION_FORWARD:
        forward(engine, action);
        break;
    case ACTION_SEND_VALUES:
        performed = send(engine, &chunk->values_out, action);
        break;
    case ACTION_RECEIVE_GRADIENTS:
        performed = receive(engine, &chunk->gradients_in, action);
        break;
    case ACTION_INPUT_GRADIENT:
    case ACTION_WEIGHT_GRADIENT:
        backward(engine, action);
        break;
    case ACTION_SEND_GRADIENTS:
        performed = send(engine, &chunk->gradients_out, action);
        break;
    }
    if (!performed) {
        return ENGINE_WAITING;
    }
    engine->counter++;
    return ENGINE_WORKED;
}

void engine_run(struct engine *engine, const struct schedule *schedule,
                const struct engine_batch *batch)
{
    engine_begin(engine, schedule, batch);
    for (enum engine_state state = ENGINE_WORKED; state != ENGINE_DONE;
         state = engine_advance(engine)) {
        if (state == ENGINE_WAITING) {
            engine_wait(engine, engine->pending);
        }
    }
    journal_set_microbatch(transport_journal(engine->transport), -1);
}

void engine_drain(struct engine *engine)
{
    for (int chunk = 0; chunk < engine->plan->n_chunks; chunk++) {
        for (int slot = 0; slot < engine->depth; slot++) {
            engine_wait(engine, &engine->chunks[chunk].values_out.requests[slot]);
            engine_wait(engine, &engine->chunks[chunk].gradients_out.requests[slot]);
        }
    }
}
