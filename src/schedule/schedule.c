#include <attnres/schedule.h>

#include <assert.h>
#include <stdlib.h>

#include "schedule_internal.h"

int schedule_stage(const struct schedule_spec *spec, int rank, int chunk)
{
    if (schedule_find_rule(spec->kind)->is_v) {
        return chunk == 0 ? rank : 2 * spec->n_ranks - 1 - rank;
    }
    return chunk * spec->n_ranks + rank;
}

void schedule_place(const struct schedule_spec *spec, int stage, int *rank, int *chunk)
{
    *rank = stage % spec->n_ranks;
    *chunk = stage / spec->n_ranks;
    if (schedule_find_rule(spec->kind)->is_v && *chunk == 1) {
        *rank = spec->n_ranks - 1 - *rank;
    }
}

int schedule_count_stages(const struct schedule_spec *spec)
{
    return spec->n_ranks * spec->n_chunks;
}

/* Two stages in a row share a rank only where there is one rank, or at the bottom of the V. Said
 * without schedule_place, whose divisions would be half of a simulation's time. */
bool schedule_cut_is_local(const struct schedule_spec *spec, int stage)
{
    const bool is_cut = stage >= 0 && stage + 1 < schedule_count_stages(spec);
    return is_cut && (spec->n_ranks == 1 ||
                      (stage == spec->n_ranks - 1 && schedule_find_rule(spec->kind)->is_v));
}

bool schedule_cut_has_message(const struct schedule_spec *spec, int stage)
{
    return stage >= 0 && stage + 1 < schedule_count_stages(spec) &&
           !schedule_cut_is_local(spec, stage);
}

bool schedule_allocate(struct schedule *schedule, const struct schedule_spec *spec,
                       struct error *err)
{
    /* With a receive and a send for each forward and each input gradient. */
    const int64_t order = schedule_order_capacity(spec);
    const int64_t n_pairs = (int64_t)spec->n_chunks * spec->n_microbatches;
    const int64_t messages = schedule_find_rule(spec->kind)->has_backward ? 4 : 2;
    const size_t n_ranks = (size_t)spec->n_ranks;
    const size_t n_actions = n_ranks * (size_t)(order + messages * n_pairs);
    *schedule = (struct schedule){
        .spec = *spec,
        .actions = calloc(n_actions, sizeof *schedule->actions),
        .first_action = calloc(n_ranks + 1, sizeof *schedule->first_action),
        .n_slots = calloc(n_ranks, sizeof *schedule->n_slots),
        .n_gradient_slots = calloc(n_ranks, sizeof *schedule->n_gradient_slots),
        .alternates = calloc(n_ranks, sizeof *schedule->alternates),
        .slots = calloc(n_ranks * (size_t)n_pairs, sizeof *schedule->slots),
        .gradient_slots = calloc(n_ranks * (size_t)n_pairs, sizeof *schedule->gradient_slots),
        .channel_depth = 1,
    };
    if (schedule->actions == NULL || schedule->first_action == NULL || schedule->n_slots == NULL ||
        schedule->n_gradient_slots == NULL || schedule->alternates == NULL ||
        schedule->slots == NULL || schedule->gradient_slots == NULL) {
        schedule_finish(schedule);
        return error_set(err, ERROR_CREATE, "no memory for a schedule of %zu actions", n_actions);
    }
    return true;
}

void schedule_finish(struct schedule *schedule)
{
    if (schedule == NULL) {
        return;
    }
    free(schedule->actions);
    free(schedule->first_action);
    free(schedule->n_slots);
    free(schedule->n_gradient_slots);
    free(schedule->alternates);
    free(schedule->slots);
    free(schedule->gradient_slots);
    *schedule = (struct schedule){0};
}

static void append(struct schedule *schedule, int rank, const struct action *like,
                   enum action_op op)
{
    struct action *action = &schedule->actions[schedule->first_action[rank + 1]++];
    *action = *like;
    action->op = op;
}

/* The second pass: a receive right before the action that needs it, a send right after the one that
 * produces it. */
void schedule_append_rank(struct schedule *schedule, int rank, const struct action *order,
                          int64_t n_order)
{
    const struct schedule_spec *spec = &schedule->spec;
    schedule->first_action[rank + 1] = schedule->first_action[rank];
    for (int64_t i = 0; i < n_order; i++) {
        const struct action *action = &order[i];
        const int stage = schedule_stage(spec, rank, action->chunk);
        const bool has_before = schedule_cut_has_message(spec, stage - 1);
        const bool has_behind = schedule_cut_has_message(spec, stage);
        const bool forward = action->op == ACTION_FORWARD;
        const bool input = action->op == ACTION_INPUT_GRADIENT;
        if (forward && has_before) {
            append(schedule, rank, action, ACTION_RECEIVE_VALUES);
        } else if (input && has_behind) {
            append(schedule, rank, action, ACTION_RECEIVE_GRADIENTS);
        }
        append(schedule, rank, action, action->op);
        if (forward && has_behind) {
            append(schedule, rank, action, ACTION_SEND_VALUES);
        } else if (input && has_before) {
            append(schedule, rank, action, ACTION_SEND_GRADIENTS);
        }
    }
}

/* As many messages as wait on a link when all stages take the same time, and two where there are
 * two, so that one can travel while another is unpacked. Whether ranks block each other does not
 * depend on durations, so one simulation with this depth proves it for all. 1 for programs that
 * fail at any depth. False without memory. */
static bool find_channel_depth(int *depth, const struct schedule *schedule, struct error *err)
{
    const struct schedule_costs costs = schedule_unit_costs();
    const int M = schedule->spec.n_microbatches;
    struct simulation simulation;
    const bool ok = simulation_run(&simulation, schedule, &costs, 0);
    bool lacks_memory = !ok && simulation.next == NULL;
    *depth = ok ? simulation_peak_messages(&simulation) : 1;
    simulation_finish(&simulation);
    *depth = *depth < 2 && ok && M > 1 ? 2 : *depth;
    *depth = *depth > SCHEDULE_MAX_DEPTH ? SCHEDULE_MAX_DEPTH : *depth;
    while (ok && !lacks_memory && *depth < M) {
        const bool enough = simulation_run(&simulation, schedule, &costs, *depth);
        lacks_memory = !enough && simulation.next == NULL;
        simulation_finish(&simulation);
        if (enough) {
            break;
        }
        *depth = 2 * *depth < M ? 2 * *depth : M;
    }
    return !lacks_memory || error_set(err, ERROR_CREATE, "no memory to simulate the schedule");
}

bool schedule_complete(struct schedule *schedule, struct error *err)
{
    return schedule_assign_slots(schedule, err) &&
           find_channel_depth(&schedule->channel_depth, schedule, err);
}

/* The actions of a spec that has been checked, with their slots. */
static bool build(struct schedule *schedule, const struct schedule_spec *spec, struct error *err)
{
    struct schedule built = {0};
    if (!schedule_allocate(&built, spec, err)) {
        return false;
    }
    struct action *order = calloc((size_t)schedule_order_capacity(spec), sizeof *order);
    bool ok = order != NULL || error_set(err, ERROR_CREATE, "no memory for a schedule");
    for (int rank = 0; ok && rank < spec->n_ranks; rank++) {
        const int64_t n = schedule_find_rule(spec->kind)->order(spec, rank, order);
        assert(n == schedule_order_capacity(spec));
        schedule_append_rank(&built, rank, order, n);
    }
    free(order);
    if (!ok || !schedule_complete(&built, err)) {
        schedule_finish(&built);
        return false;
    }
    *schedule = built;
    return true;
}

static bool group_fits(const struct schedule_spec *spec, int group)
{
    struct schedule_spec trial = *spec;
    struct schedule schedule = {0};
    trial.group = group;
    const bool fits =
        build(&schedule, &trial, NULL) && schedule.channel_depth <= SCHEDULE_MAX_DEPTH;
    schedule_finish(&schedule);
    return fits;
}

/* The widest legal group that fits, by bisection: the depth grows with the group. 0: none. */
static int find_widest_group(const struct schedule_spec *spec)
{
    int widest = 0, low = 0, high = spec->group - 1; /* what fits, if any, and is wider lies in
                                                        (low, high] */
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        const int group = schedule_group_below(spec, middle);
        if (group > low && !group_fits(spec, group)) {
            high = group - 1;
        } else {
            widest = group > low ? group : widest;
            low = middle;
        }
    }
    return widest;
}

/* Only wide groups ask for so many: all of a group's microbatches come back to the first rank
 * before it takes the first of them on. */
static bool check_depth(const struct schedule *schedule, struct error *err)
{
    const struct schedule_spec *spec = &schedule->spec;
    if (schedule->channel_depth <= SCHEDULE_MAX_DEPTH) {
        return true;
    }
    const int widest = find_widest_group(spec);
    if (widest == 0) {
        return error_set(err, ERROR_CONFIG,
                         "pipeline.group is %d: a cut would hold more than %d messages at a time, "
                         "as with every group of %d microbatches: take auto and %d microbatches",
                         spec->group, SCHEDULE_MAX_DEPTH, spec->n_microbatches,
                         spec->n_microbatches / spec->n_ranks * spec->n_ranks);
    }
    return error_set(err, ERROR_CONFIG,
                     "pipeline.group is %d: a cut would hold more than %d messages at a time: "
                     "nearest legal value %d",
                     spec->group, SCHEDULE_MAX_DEPTH, widest);
}

bool schedule_init(struct schedule *schedule, const struct schedule_spec *spec, struct error *err)
{
    struct schedule built = {0};
    if (!schedule_check_spec(spec, err) || !schedule_check_size(spec, err) ||
        !build(&built, spec, err)) {
        return false;
    }
    struct schedule_simulation simulation = {0};
    const struct schedule_costs costs = schedule_unit_costs();
    const bool ok = check_depth(&built, err) && schedule_simulate(&simulation, &built, &costs, err);
    schedule_simulation_finish(&simulation);
    if (!ok) {
        schedule_finish(&built);
        return false;
    }
    *schedule = built;
    return true;
}
