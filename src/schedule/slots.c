#include <attnres/schedule.h>

#include <stdlib.h>
#include <string.h>

#include "schedule_internal.h"

/* Slots of one kind on one rank. */
struct slots {
    int32_t *of; /* per chunk and microbatch; -1: none */
    bool *used;
    int lowest_free, n_slots;
};

static int32_t take_slot(struct slots *slots, int64_t pair)
{
    if (slots->of[pair] < 0) {
        while (slots->used[slots->lowest_free]) {
            slots->lowest_free++;
        }
        slots->of[pair] = slots->lowest_free;
        slots->used[slots->lowest_free++] = true;
        slots->n_slots = slots->lowest_free > slots->n_slots ? slots->lowest_free : slots->n_slots;
    }
    return slots->of[pair];
}

static void release_slot(struct slots *slots, int64_t pair)
{
    const int32_t slot = slots->of[pair];
    if (slot < 0) {
        return; /* A weight gradient without forward: the simulation will say so. */
    }
    slots->of[pair] = -1;
    slots->used[slot] = false;
    slots->lowest_free = slot < slots->lowest_free ? slot : slots->lowest_free;
}

static void assign_slot(const struct schedule *schedule, int rank, struct slots *values,
                        struct slots *gradients, struct action *action)
{
    const struct schedule_spec *spec = &schedule->spec;
    const int64_t pair = (int64_t)action->chunk * spec->n_microbatches + action->microbatch;
    const int stage = schedule_stage(spec, rank, action->chunk);
    const bool takes = action->op == ACTION_RECEIVE_VALUES || action->op == ACTION_FORWARD;
    const bool takes_gradient =
        action->op == ACTION_RECEIVE_GRADIENTS || action->op == ACTION_INPUT_GRADIENT;
    action->slot = takes ? take_slot(values, pair) : values->of[pair];
    action->gradient_slot = takes_gradient ? take_slot(gradients, pair) : gradients->of[pair];
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        release_slot(values, pair);
        release_slot(gradients, pair);
    }
    const enum action_op last_use =
        schedule_cut_has_message(spec, stage) ? ACTION_SEND_VALUES : ACTION_FORWARD;
    if (!schedule_find_rule(spec->kind)->has_backward && action->op == last_use) {
        release_slot(values, pair);
    }
}

static void assign_rank_slots(struct schedule *schedule, int rank, struct slots *values,
                              struct slots *gradients)
{
    const size_t n_pairs = (size_t)schedule->spec.n_chunks * (size_t)schedule->spec.n_microbatches;
    struct slots *both[] = {values, gradients};
    for (int i = 0; i < 2; i++) {
        memset(both[i]->of, -1, n_pairs * sizeof *both[i]->of);
        memset(both[i]->used, 0, (n_pairs + 1) * sizeof *both[i]->used);
        both[i]->lowest_free = both[i]->n_slots = 0;
    }
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        assign_slot(schedule, rank, values, gradients, &schedule->actions[i]);
    }
    schedule->n_slots[rank] = values->n_slots;
    schedule->n_gradient_slots[rank] = gradients->n_slots;
}

bool schedule_assign_slots(struct schedule *schedule, struct error *err)
{
    const size_t n_pairs = (size_t)schedule->spec.n_chunks * (size_t)schedule->spec.n_microbatches;
    struct slots values = {.of = calloc(n_pairs, sizeof *values.of),
                           .used = calloc(n_pairs + 1, sizeof *values.used)};
    struct slots gradients = {.of = calloc(n_pairs, sizeof *gradients.of),
                              .used = calloc(n_pairs + 1, sizeof *gradients.used)};
    const bool ok =
        values.of != NULL && values.used != NULL && gradients.of != NULL && gradients.used != NULL;
    for (int rank = 0; ok && rank < schedule->spec.n_ranks; rank++) {
        assign_rank_slots(schedule, rank, &values, &gradients);
    }
    free(values.of);
    free(values.used);
    free(gradients.of);
    free(gradients.used);
    return ok ||
           error_set(err, ERROR_CREATE, "no memory for the slots of %zu microbatches", n_pairs);
}
