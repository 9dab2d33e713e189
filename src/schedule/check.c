#include <attnres/schedule.h>

#include <stdarg.h>
#include <stdio.h>

#include "schedule_internal.h"

enum step simulation_fail(struct simulation *s, const struct moment *m, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->reason, sizeof s->reason, format, arguments);
    va_end(arguments);
    s->failed_rank = m->rank;
    return STEP_FAILED;
}

bool simulation_is_done(const struct simulation *s, int64_t pair, enum action_op op)
{
    return (s->done[pair] >> op & 1) != 0;
}

/* What must have happened on the same stage (or, when both stages share a rank, on its neighbour)
 * before an action. */
enum step simulation_check_order(struct simulation *s, const struct moment *m)
{
    const struct schedule_spec *spec = &s->schedule->spec;
    const int64_t M = spec->n_microbatches;
    const enum action_op op = m->action->op;
    if (simulation_is_done(s, m->pair, op)) {
        return simulation_fail(s, m, "it is done twice");
    }
    const bool from_before = schedule_cut_has_message(spec, m->stage - 1);
    const bool from_behind = schedule_cut_has_message(spec, m->stage);
    const bool is_first = m->stage == 0, is_last = m->stage == s->n_stages - 1;
    switch (op) {
    case ACTION_RECEIVE_VALUES:
        return from_before ? STEP_DONE : simulation_fail(s, m, "no stage sends values here");
    case ACTION_FORWARD:
        if (from_before ? !simulation_is_done(s, m->pair, ACTION_RECEIVE_VALUES)
                        : !is_first && !simulation_is_done(s, m->pair - M, ACTION_FORWARD)) {
            return simulation_fail(s, m, "its values are not there yet");
        }
        return STEP_DONE;
    case ACTION_SEND_VALUES:
        return from_behind && simulation_is_done(s, m->pair, ACTION_FORWARD)
                   ? STEP_DONE
                   : simulation_fail(s, m, "there are no values to send");
    case ACTION_RECEIVE_GRADIENTS:
        return from_behind && simulation_is_done(s, m->pair, ACTION_FORWARD)
                   ? STEP_DONE
                   : simulation_fail(s, m, "backward precedes forward");
    case ACTION_INPUT_GRADIENT:
        if (!simulation_is_done(s, m->pair, ACTION_FORWARD)) {
            return simulation_fail(s, m, "backward precedes forward");
        }
        if (from_behind ? !simulation_is_done(s, m->pair, ACTION_RECEIVE_GRADIENTS)
                        : !is_last && !simulation_is_done(s, m->pair + M, ACTION_INPUT_GRADIENT)) {
            return simulation_fail(s, m, "its gradients are not there yet");
        }
        return STEP_DONE;
    case ACTION_SEND_GRADIENTS:
        return from_before && simulation_is_done(s, m->pair, ACTION_INPUT_GRADIENT)
                   ? STEP_DONE
                   : simulation_fail(s, m, "there are no gradients to send");
    case ACTION_WEIGHT_GRADIENT:
        return simulation_is_done(s, m->pair, ACTION_INPUT_GRADIENT)
                   ? STEP_DONE
                   : simulation_fail(s, m, "weight gradient precedes input gradient");
    }
    return simulation_fail(s, m, "an unknown action");
}

/* Claims a slot for the action's microbatch, or finds it claimed by it. */
static enum step claim(struct simulation *s, const struct moment *m, int64_t *owners, int n_slots,
                       int slot)
{
    if (slot < 0 || slot >= n_slots) {
        return simulation_fail(s, m, "slot %d is not one of the rank's %d", slot, n_slots);
    }
    if (owners[slot] != 0 && owners[slot] != m->pair + 1) {
        const int64_t M = s->schedule->spec.n_microbatches;
        return simulation_fail(s, m, "slot %d still holds microbatch %d", slot,
                               (int)((owners[slot] - 1) % M));
    }
    owners[slot] = m->pair + 1;
    return STEP_DONE;
}

/* What the action takes over from the stage beside it on the same rank must still be in its slot.
 */
static enum step check_neighbour(struct simulation *s, const struct moment *m,
                                 const int64_t *owners, const int64_t *gradient_owners)
{
    const struct schedule *schedule = s->schedule;
    const struct action *action = m->action;
    const int64_t M = schedule->spec.n_microbatches;
    if (action->op == ACTION_FORWARD && schedule_cut_is_local(&schedule->spec, m->stage - 1)) {
        const int slot = schedule_slot(schedule, m->rank, action->chunk - 1, action->microbatch);
        return owners[slot] == m->pair - M + 1
                   ? STEP_DONE
                   : simulation_fail(s, m, "slot %d has lost the values it takes over", slot);
    }
    if (action->op == ACTION_INPUT_GRADIENT && schedule_cut_is_local(&schedule->spec, m->stage)) {
        const int slot =
            schedule_gradient_slot(schedule, m->rank, action->chunk + 1, action->microbatch);
        return gradient_owners[slot] == m->pair + M + 1
                   ? STEP_DONE
                   : simulation_fail(s, m, "gradient slot %d has lost what it takes over", slot);
    }
    return STEP_DONE;
}

/* Frees the slots of what is no longer needed: a gradient slot once its own W and, on the same
 * rank, the I of the stage before are done. */
static void release(const struct simulation *s, const struct moment *m, int64_t *owners,
                    int64_t *gradient_owners)
{
    const struct schedule *schedule = s->schedule;
    const struct schedule_spec *spec = &schedule->spec;
    const struct action *action = m->action;
    const int64_t M = spec->n_microbatches;
    if (!schedule_find_rule(spec->kind)->has_backward &&
        schedule_is_last_forward(spec, m->rank, action)) {
        for (int chunk = 0; chunk < spec->n_chunks; chunk++) {
            owners[schedule_slot(schedule, m->rank, chunk, action->microbatch)] = 0;
        }
    }
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        owners[action->slot] = 0;
        if (!schedule_cut_is_local(spec, m->stage - 1) ||
            simulation_is_done(s, m->pair - M, ACTION_INPUT_GRADIENT)) {
            gradient_owners[action->gradient_slot] = 0;
        }
    }
    if (action->op == ACTION_INPUT_GRADIENT && schedule_cut_is_local(spec, m->stage) &&
        simulation_is_done(s, m->pair + M, ACTION_WEIGHT_GRADIENT)) {
        gradient_owners[schedule_gradient_slot(schedule, m->rank, action->chunk + 1,
                                               action->microbatch)] = 0;
    }
}

enum step simulation_check_slots(struct simulation *s, const struct moment *m)
{
    const struct schedule *schedule = s->schedule;
    const struct action *action = m->action;
    const bool backward = action->op >= ACTION_RECEIVE_GRADIENTS;
    int64_t *owners = s->slot_owner + s->first_slot[m->rank];
    int64_t *gradient_owners = s->gradient_slot_owner + s->first_gradient_slot[m->rank];
    enum step step = claim(s, m, owners, schedule->n_slots[m->rank], action->slot);
    if (step == STEP_DONE && backward) {
        step = claim(s, m, gradient_owners, schedule->n_gradient_slots[m->rank],
                     action->gradient_slot);
    }
    step = step == STEP_DONE ? check_neighbour(s, m, owners, gradient_owners) : step;
    if (step != STEP_DONE) {
        return step;
    }
    release(s, m, owners, gradient_owners);
    return STEP_DONE;
}
