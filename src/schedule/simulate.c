#include <attnres/schedule.h>

#include <stdlib.h>

#include "schedule_internal.h"

struct schedule_costs schedule_unit_costs(void)
{
    return (struct schedule_costs){
        .forward = 1, .input_gradient = 1, .weight_gradient = 1, .send = 0};
}

static void wake(struct simulation *s, int rank)
{
    if (!s->is_runnable[rank]) {
        s->is_runnable[rank] = true;
        s->runnable[s->n_runnable++] = rank;
    }
}

/* The link of the cut that the action's message crosses. */
static struct simulated_link *find_link(const struct simulation *s, const struct moment *m)
{
    switch (m->action->op) {
    case ACTION_RECEIVE_VALUES:
        return &s->links[2 * (m->stage - 1)];
    case ACTION_SEND_VALUES:
        return &s->links[2 * m->stage];
    case ACTION_RECEIVE_GRADIENTS:
        return &s->links[2 * m->stage + 1];
    case ACTION_SEND_GRADIENTS:
        return &s->links[2 * (m->stage - 1) + 1];
    default:
        return NULL;
    }
}

static int find_peer(const struct simulation *s, const struct moment *m)
{
    const bool before =
        m->action->op == ACTION_RECEIVE_VALUES || m->action->op == ACTION_SEND_GRADIENTS;
    int rank = 0, chunk = 0;
    schedule_place(&s->schedule->spec, before ? m->stage - 1 : m->stage + 1, &rank, &chunk);
    return rank;
}

static bool is_receive(enum action_op op)
{
    return op == ACTION_RECEIVE_VALUES || op == ACTION_RECEIVE_GRADIENTS;
}

/* Whether the action must wait for its peer. */
static bool is_blocked(const struct simulation *s, const struct moment *m)
{
    const struct simulated_link *link = find_link(s, m);
    if (link == NULL) {
        return false;
    }
    if (is_receive(m->action->op)) {
        return link->n_received == link->n_sent;
    }
    return s->channel_depth > 0 && link->n_sent - link->n_received >= s->channel_depth;
}

static const struct schedule_stage_costs *costs_of(const struct simulation *s, int stage)
{
    return s->costs.stages != NULL ? &s->costs.stages[stage] : &s->alike;
}

double schedule_duration(const struct schedule_stage_costs *costs, enum action_op op)
{
    switch (op) {
    case ACTION_RECEIVE_VALUES:
        return costs->unpack_values;
    case ACTION_FORWARD:
        return costs->forward;
    case ACTION_SEND_VALUES:
        return costs->pack_values;
    case ACTION_RECEIVE_GRADIENTS:
        return costs->unpack_gradients;
    case ACTION_INPUT_GRADIENT:
        return costs->input_gradient;
    case ACTION_SEND_GRADIENTS:
        return costs->pack_gradients;
    case ACTION_WEIGHT_GRADIENT:
        return costs->weight_gradient;
    }
    return 0.0;
}

static double duration_of(const struct simulation *s, const struct moment *m)
{
    return schedule_duration(costs_of(s, m->stage), m->action->op);
}

static void compute(struct simulation *s, const struct moment *m)
{
    const enum action_op op = m->action->op;
    const double time = duration_of(s, m);
    s->start[m->index] = s->clock[m->rank];
    s->clock[m->rank] += time;
    s->busy[m->rank] += time;
    int *live = &s->live[m->rank];
    if (op == ACTION_FORWARD) {
        *live += 1;
        s->peak_live[m->rank] = *live > s->peak_live[m->rank] ? *live : s->peak_live[m->rank];
    }
    const bool has_backward = schedule_find_rule(s->schedule->spec.kind)->has_backward;
    if (op == (has_backward ? ACTION_WEIGHT_GRADIENT : ACTION_FORWARD)) {
        *live -= 1;
    }
}

/* Extra time before a gradient leaves when it leaves at the end of B. */
static double hold_back(const struct simulation *s, const struct moment *m)
{
    if (!s->costs.send_after_weights || m->action->op != ACTION_SEND_GRADIENTS ||
        m->index + 1 >= s->schedule->first_action[m->rank + 1]) {
        return 0;
    }
    const struct action *next = m->action + 1;
    const bool is_pair = next->op == ACTION_WEIGHT_GRADIENT &&
                         next->microbatch == m->action->microbatch &&
                         next->chunk == m->action->chunk;
    return is_pair ? costs_of(s, m->stage)->weight_gradient : 0;
}

/* Messages of a rank leave one after another, in the order of its program. */
static double arrival_of(struct simulation *s, const struct moment *m, double sent)
{
    const struct schedule_stage_costs *costs = costs_of(s, m->stage);
    const double transit =
        m->action->op == ACTION_SEND_VALUES ? costs->values_transit : costs->gradients_transit;
    double *link_free = &s->link_free[m->rank];
    const double start = sent > *link_free ? sent : *link_free;
    *link_free = start + transit;
    return *link_free + s->costs.send;
}

static enum step post(struct simulation *s, const struct moment *m)
{
    struct simulated_link *link = find_link(s, m);
    double *clock = &s->clock[m->rank];
    const int64_t k = link->n_sent;
    if (s->channel_depth > 0 && k >= s->channel_depth) {
        const double free_since = link->received[k - s->channel_depth];
        *clock = free_since > *clock ? free_since : *clock;
    }
    s->start[m->index] = *clock;
    *clock += duration_of(s, m);
    link->microbatch[k] = m->action->microbatch;
    link->sent[k] = *clock + hold_back(s, m);
    link->arrival[k] = arrival_of(s, m, link->sent[k]);
    link->n_sent++;
    wake(s, find_peer(s, m));
    return STEP_DONE;
}

static enum step receive(struct simulation *s, const struct moment *m)
{
    struct simulated_link *link = find_link(s, m);
    double *clock = &s->clock[m->rank];
    const int64_t k = link->n_received;
    if (link->microbatch[k] != m->action->microbatch) {
        return simulation_fail(s, m, "the next message on this link is microbatch %d",
                               link->microbatch[k]);
    }
    *clock = link->arrival[k] > *clock ? link->arrival[k] : *clock;
    s->start[m->index] = *clock;
    *clock += duration_of(s, m);
    link->received[k] = *clock;
    link->n_received++;
    wake(s, find_peer(s, m));
    return STEP_DONE;
}

static enum step step_rank(struct simulation *s, int rank)
{
    const struct schedule *schedule = s->schedule;
    const int64_t index = s->next[rank];
    const struct action *action = &schedule->actions[index];
    const int stage = schedule_stage(&schedule->spec, rank, action->chunk);
    const int64_t pair = (int64_t)stage * schedule->spec.n_microbatches + action->microbatch;
    const struct moment m = {
        .rank = rank, .stage = stage, .action = action, .index = index, .pair = pair};
    enum step step = simulation_check_order(s, &m);
    if (step == STEP_DONE && is_blocked(s, &m)) {
        return STEP_BLOCKED;
    }
    step = step == STEP_DONE ? simulation_check_slots(s, &m) : step;
    if (step != STEP_DONE) {
        return step;
    }
    if (find_link(s, &m) == NULL) {
        compute(s, &m);
    } else {
        step = is_receive(action->op) ? receive(s, &m) : post(s, &m);
    }
    if (step == STEP_DONE) {
        s->done[pair] |= (unsigned char)(1u << action->op);
        s->next[rank]++;
    }
    return step;
}

/* Every action of every stage must have been done; an empty or short program stops early. */
static bool check_complete(struct simulation *s)
{
    const struct schedule *schedule = s->schedule;
    const struct schedule_spec *spec = &schedule->spec;
    for (int rank = 0; rank < spec->n_ranks; rank++) {
        if (s->next[rank] < schedule->first_action[rank + 1]) {
            const struct action *action = &schedule->actions[s->next[rank]];
            const int stage = schedule_stage(spec, rank, action->chunk);
            const struct moment m = {.rank = rank, .stage = stage, .action = action};
            simulation_fail(s, &m, "it waits for rank %d for ever", find_peer(s, &m));
            return false;
        }
    }
    const enum action_op last =
        schedule_find_rule(spec->kind)->has_backward ? ACTION_WEIGHT_GRADIENT : ACTION_FORWARD;
    for (int stage = 0; stage < s->n_stages; stage++) {
        for (int k = 0; k < spec->n_microbatches; k++) {
            if (!simulation_is_done(s, (int64_t)stage * spec->n_microbatches + k, last)) {
                struct moment m = {.stage = stage};
                int chunk = 0;
                schedule_place(spec, stage, &m.rank, &chunk);
                simulation_fail(s, &m, "microbatch %d is not finished", k);
                return false;
            }
        }
    }
    return true;
}

static bool allocate(struct simulation *s)
{
    const struct schedule *schedule = s->schedule;
    const size_t P = (size_t)schedule->spec.n_ranks, n_stages = (size_t)s->n_stages;
    const size_t M = (size_t)schedule->spec.n_microbatches, n_links = 2 * n_stages;
    size_t n_slots = 0, n_gradient_slots = 0;
    s->first_slot = calloc(P, sizeof *s->first_slot);
    s->first_gradient_slot = calloc(P, sizeof *s->first_gradient_slot);
    for (size_t r = 0; s->first_slot != NULL && s->first_gradient_slot != NULL && r < P; r++) {
        s->first_slot[r] = (int64_t)n_slots;
        s->first_gradient_slot[r] = (int64_t)n_gradient_slots;
        n_slots += (size_t)schedule->n_slots[r];
        n_gradient_slots += (size_t)schedule->n_gradient_slots[r];
    }
    s->slot_owner = calloc(n_slots + 1, sizeof *s->slot_owner);
    s->gradient_slot_owner = calloc(n_gradient_slots + 1, sizeof *s->gradient_slot_owner);
    s->clock = calloc(P, sizeof *s->clock);
    s->busy = calloc(P, sizeof *s->busy);
    s->link_free = calloc(P, sizeof *s->link_free);
    s->live = calloc(P, sizeof *s->live);
    s->peak_live = calloc(P, sizeof *s->peak_live);
    s->start = calloc((size_t)schedule->first_action[P] + 1, sizeof *s->start);
    s->done = calloc(n_stages * M, sizeof *s->done);
    s->links = calloc(n_links, sizeof *s->links);
    s->message_microbatches = calloc(n_links * M, sizeof *s->message_microbatches);
    s->message_times = calloc(3 * n_links * M, sizeof *s->message_times);
    s->runnable = calloc(P, sizeof *s->runnable);
    s->is_runnable = calloc(P, sizeof *s->is_runnable);
    s->next = calloc(P, sizeof *s->next);
    return s->first_slot != NULL && s->first_gradient_slot != NULL && s->slot_owner != NULL &&
           s->gradient_slot_owner != NULL && s->clock != NULL && s->busy != NULL &&
           s->link_free != NULL && s->live != NULL && s->peak_live != NULL && s->start != NULL &&
           s->done != NULL && s->links != NULL && s->message_microbatches != NULL &&
           s->message_times != NULL && s->runnable != NULL && s->is_runnable != NULL &&
           s->next != NULL;
}

static void place_links(struct simulation *s)
{
    const size_t M = (size_t)s->schedule->spec.n_microbatches;
    for (size_t i = 0; i < 2 * (size_t)s->n_stages; i++) {
        s->links[i] = (struct simulated_link){
            .microbatch = s->message_microbatches + i * M,
            .arrival = s->message_times + 3 * i * M,
            .sent = s->message_times + (3 * i + 1) * M,
            .received = s->message_times + (3 * i + 2) * M,
        };
    }
}

bool simulation_run(struct simulation *s, const struct schedule *schedule,
                    const struct schedule_costs *costs, int channel_depth)
{
    *s = (struct simulation){.schedule = schedule,
                             .costs = *costs,
                             .alike = {.forward = costs->forward,
                                       .input_gradient = costs->input_gradient,
                                       .weight_gradient = costs->weight_gradient},
                             .channel_depth = channel_depth,
                             .n_stages = schedule_count_stages(&schedule->spec),
                             .failed_rank = -1};
    if (!allocate(s)) {
        simulation_finish(s);
        return false;
    }
    place_links(s);
    for (int rank = schedule->spec.n_ranks - 1; rank >= 0; rank--) {
        s->next[rank] = schedule->first_action[rank];
        wake(s, rank);
    }
    while (s->n_runnable > 0) {
        const int rank = s->runnable[--s->n_runnable];
        s->is_runnable[rank] = false;
        enum step step = STEP_DONE;
        while (step == STEP_DONE && s->next[rank] < schedule->first_action[rank + 1]) {
            step = step_rank(s, rank);
        }
        if (step == STEP_FAILED) {
            return false;
        }
    }
    return check_complete(s);
}

void simulation_finish(struct simulation *s)
{
    free(s->next);
    free(s->clock);
    free(s->busy);
    free(s->link_free);
    free(s->live);
    free(s->peak_live);
    free(s->start);
    free(s->done);
    free(s->slot_owner);
    free(s->gradient_slot_owner);
    free(s->first_slot);
    free(s->first_gradient_slot);
    free(s->links);
    free(s->message_microbatches);
    free(s->message_times);
    free(s->runnable);
    free(s->is_runnable);
    *s = (struct simulation){0};
}

int simulation_peak_messages(const struct simulation *s)
{
    int64_t peak = 0;
    for (int i = 0; i < 2 * s->n_stages; i++) {
        const struct simulated_link *link = &s->links[i];
        int64_t n_received = 0;
        for (int64_t k = 0; k < link->n_sent; k++) {
            while (n_received < k && link->received[n_received] <= link->sent[k]) {
                n_received++;
            }
            peak = k + 1 - n_received > peak ? k + 1 - n_received : peak;
        }
    }
    return peak > 1 ? (int)peak : 1;
}

bool schedule_simulate(struct schedule_simulation *out, const struct schedule *schedule,
                       const struct schedule_costs *costs, struct error *err)
{
    struct simulation s;
    if (!simulation_run(&s, schedule, costs, schedule->channel_depth)) {
        const bool no_memory = s.next == NULL;
        simulation_finish(&s);
        return no_memory ? error_set(err, ERROR_CREATE, "no memory to simulate the schedule")
                         : schedule_report_failure(schedule, schedule->channel_depth, err);
    }
    *out = (struct schedule_simulation){.busy = s.busy, .start = s.start, .peak_live = s.peak_live};
    for (int rank = 0; rank < schedule->spec.n_ranks; rank++) {
        out->makespan = s.clock[rank] > out->makespan ? s.clock[rank] : out->makespan;
    }
    s.busy = s.start = NULL;
    s.peak_live = NULL;
    simulation_finish(&s);
    return true;
}

void schedule_simulation_finish(struct schedule_simulation *simulation)
{
    if (simulation == NULL) {
        return;
    }
    free(simulation->busy);
    free(simulation->start);
    free(simulation->peak_live);
    *simulation = (struct schedule_simulation){0};
}
