#include <attnres/engine.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/clock.h>
#include <attnres/wire.h>

static int64_t tensor_count(const struct engine *engine)
{
    return engine->model->n * engine->plan->config->model.dim;
}

static size_t frame_bytes(const struct engine *engine, const struct engine_link *link)
{
    return wire_frame_bytes(depth_set_count(link->set), tensor_count(engine));
}

static struct engine_link make_link(int peer, enum transport_channel channel, enum buffer_id buffer,
                                    const struct depth_set *set)
{
    return (struct engine_link){.peer = peer, .channel = channel, .buffer = buffer, .set = set};
}

void engine_init(struct engine *engine, const struct plan *plan, const struct model *model,
                 const struct memory *memory, struct transport *transport)
{
    const struct stage *stage = model->stage;
    const int before = stage->is_first ? -1 : stage->index - 1,
              behind = stage->is_last ? -1 : stage->index + 1;
    *engine = (struct engine){.plan = plan,
                              .model = model,
                              .memory = memory,
                              .transport = transport,
                              .rank = stage->index,
                              .depth = plan->schedule.channel_depth};
    assert(engine->depth >= 1 && engine->depth <= ENGINE_MAX_DEPTH);
    engine->values_in = make_link(before, CHANNEL_VALUES, BUFFER_VALUES_IN, &stage->incoming);
    engine->values_out = make_link(behind, CHANNEL_VALUES, BUFFER_VALUES_OUT, &stage->outgoing);
    engine->gradients_in =
        make_link(behind, CHANNEL_GRADIENTS, BUFFER_GRADIENTS_IN, &stage->outgoing);
    engine->gradients_out =
        make_link(before, CHANNEL_GRADIENTS, BUFFER_GRADIENTS_OUT, &stage->incoming);
    engine->tensors = calloc((size_t)stage->n_values, sizeof *engine->tensors);
    assert(engine->tensors != NULL && "a few bytes at start-up");
}

void engine_finish(struct engine *engine)
{
    free(engine->tensors);
    *engine = (struct engine){0};
}

/** Post receives up to the link's depth, but no more than are expected. */
static void post_receives(struct engine *engine, struct engine_link *link)
{
    while (link->n_posted < link->n_expected && link->n_posted < link->n_done + engine->depth) {
        const int slot = (int)(link->n_posted % engine->depth);
        transport_post_receive(engine->transport, link->peer, link->channel, 0,
                               memory_buffer(engine->memory, link->buffer, slot),
                               frame_bytes(engine, link), &link->requests[slot]);
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
    for (int64_t i = engine->counter; i < engine->end; i++) {
        engine->values_in.n_expected += schedule->actions[i].op == ACTION_RECEIVE_VALUES;
        engine->gradients_in.n_expected += schedule->actions[i].op == ACTION_RECEIVE_GRADIENTS;
    }
    post_receives(engine, &engine->values_in);
    post_receives(engine, &engine->gradients_in);
}

/** Fill engine->tensors with the values or gradients that a link's message carries. */
static void list_tensors(struct engine *engine, const struct engine_link *link,
                         const struct action *action)
{
    for (int64_t i = 0; i < depth_set_count(link->set); i++) {
        const int64_t id = depth_set_id(link->set, i);
        engine->tensors[i] = link->channel == CHANNEL_VALUES
                                 ? model_value(engine->model, action->slot, id)
                                 : model_dvalue(engine->model, action->gradient_slot, id);
    }
}

static struct wire_label label_of(const struct engine *engine, const struct engine_link *link,
                                  const struct action *action, int sender)
{
    return (struct wire_label){
        .step = engine->round,
        .microbatch = action->microbatch,
        .stage = sender,
        .direction = link->channel == CHANNEL_VALUES ? WIRE_VALUES : WIRE_GRADIENTS,
    };
}

static bool receive(struct engine *engine, struct engine_link *link, const struct action *action)
{
    const int slot = (int)(link->n_done % engine->depth);
    engine->pending = &link->requests[slot];
    if (!transport_test(engine->transport, engine->pending)) {
        return false;
    }
    const double start_s = clock_monotonic_s();
    list_tensors(engine, link, action);
    const struct wire_label label = label_of(engine, link, action, link->peer);
    struct error err = {0};
    if (!wire_unpack(engine->tensors, memory_buffer(engine->memory, link->buffer, slot), &label,
                     depth_set_count(link->set), tensor_count(engine), &err)) {
        char message[sizeof err.message + 64];
        snprintf(message, sizeof message, "damaged message from rank %d to rank %d: %s", link->peer,
                 engine->rank, err.message);
        transport_abort(engine->transport, ERROR_LAUNCH, message);
    }
    link->n_done++;
    post_receives(engine, link);
    engine->times.pack_s += clock_monotonic_s() - start_s;
    return true;
}

static bool send(struct engine *engine, struct engine_link *link, const struct action *action)
{
    const int slot = (int)(link->n_posted % engine->depth);
    engine->pending = &link->requests[slot];
    if (!transport_test(engine->transport, engine->pending)) {
        return false;
    }
    const double start_s = clock_monotonic_s();
    unsigned char *frame = memory_buffer(engine->memory, link->buffer, slot);
    const struct wire_label label = label_of(engine, link, action, engine->rank);
    list_tensors(engine, link, action);
    wire_pack(frame, &label, (const float *const *)engine->tensors, depth_set_count(link->set),
              tensor_count(engine));
    transport_post_send(engine->transport, link->peer, link->channel, 0, frame,
                        frame_bytes(engine, link), &link->requests[slot]);
    link->n_posted++;
    engine->times.bytes_sent += (int64_t)frame_bytes(engine, link);
    engine->times.pack_s += clock_monotonic_s() - start_s;
    return true;
}

static struct model_work work_of(const struct engine *engine, const struct action *action)
{
    const int64_t offset = action->microbatch * engine->model->n;
    return (struct model_work){
        .slot = action->slot,
        .gradient_slot = action->gradient_slot,
        .tokens = engine->batch.tokens != NULL ? engine->batch.tokens + offset : NULL,
        .targets = engine->batch.targets != NULL ? engine->batch.targets + offset : NULL,
        .loss_scale = engine->batch.loss_scale,
        .wants_best = engine->batch.wants_best,
    };
}

/** Messages at rendezvous size move only inside the transport's calls: look at one of them between
 * kernels. */
static void drive_messages(struct engine *engine)
{
    struct engine_link *links[] = {&engine->values_out, &engine->gradients_out, &engine->values_in,
                                   &engine->gradients_in};
    for (int i = 0; i < 4; i++) {
        for (int slot = 0; slot < engine->depth; slot++) {
            if (links[i]->requests[slot].index != 0) {
                transport_test(engine->transport, &links[i]->requests[slot]);
                return;
            }
        }
    }
}

static void forward(struct engine *engine, const struct action *action)
{
    const double start_s = clock_monotonic_s();
    struct model_work work = work_of(engine, action);
    model_forward_begin(engine->model, &work);
    for (int part = 0; part < model_part_count(engine->model); part++) {
        model_forward_part(engine->model, &work, part);
        drive_messages(engine);
    }
    if (engine->model->stage->is_last && engine->batch.losses != NULL) {
        engine->batch.losses[action->microbatch] = work.loss;
    }
    engine->times.forward_s += clock_monotonic_s() - start_s;
}

static void input_gradient(struct engine *engine, const struct action *action)
{
    const double start_s = clock_monotonic_s();
    const struct model_work work = work_of(engine, action);
    model_input_gradient_begin(engine->model, &work);
    for (int part = model_part_count(engine->model) - 1; part >= 0; part--) {
        model_input_gradient_part(engine->model, &work, part);
        drive_messages(engine);
    }
    engine->times.input_gradient_s += clock_monotonic_s() - start_s;
}

static void weight_gradient(struct engine *engine, const struct action *action)
{
    const double start_s = clock_monotonic_s();
    const struct model_work work = work_of(engine, action);
    for (int part = model_part_count(engine->model) - 1; part >= 0; part--) {
        model_weight_gradient_part(engine->model, &work, part);
        drive_messages(engine);
    }
    engine->times.weight_gradient_s += clock_monotonic_s() - start_s;
}

enum engine_state engine_advance(struct engine *engine)
{
    if (engine->counter == engine->end) {
        return ENGINE_DONE;
    }
    const struct action *action = &engine->schedule->actions[engine->counter];
    bool performed = true;
    switch (action->op) {
    case ACTION_RECEIVE_VALUES:
        performed = receive(engine, &engine->values_in, action);
        break;
    case ACTION_FORWARD:
        forward(engine, action);
        break;
    case ACTION_SEND_VALUES:
        performed = send(engine, &engine->values_out, action);
        break;
    case ACTION_RECEIVE_GRADIENTS:
        performed = receive(engine, &engine->gradients_in, action);
        break;
    case ACTION_INPUT_GRADIENT:
        input_gradient(engine, action);
        break;
    case ACTION_SEND_GRADIENTS:
        performed = send(engine, &engine->gradients_out, action);
        break;
    case ACTION_WEIGHT_GRADIENT:
        weight_gradient(engine, action);
        break;
    }
    if (!performed) {
        return ENGINE_WAITING;
    }
    engine->counter++;
    return ENGINE_WORKED;
}

static void wait_for(struct engine *engine, struct transport_request *request)
{
    const double start_s = clock_monotonic_s();
    transport_wait(engine->transport, request);
    engine->times.wait_s += clock_monotonic_s() - start_s;
}

void engine_run(struct engine *engine, const struct schedule *schedule,
                const struct engine_batch *batch)
{
    engine_begin(engine, schedule, batch);
    for (enum engine_state state = ENGINE_WORKED; state != ENGINE_DONE;
         state = engine_advance(engine)) {
        if (state == ENGINE_WAITING) {
            wait_for(engine, engine->pending);
        }
    }
}

void engine_drain(struct engine *engine)
{
    for (int slot = 0; slot < engine->depth; slot++) {
        wait_for(engine, &engine->values_out.requests[slot]);
        wait_for(engine, &engine->gradients_out.requests[slot]);
    }
}
