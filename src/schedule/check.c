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
    if (step != STEP_DONE) {
        return step;
    }
    const bool forward_only = !schedule_find_rule(schedule->spec.kind)->has_backward;
    const enum action_op last_use =
        schedule_cut_has_message(&schedule->spec, m->stage) ? ACTION_SEND_VALUES : ACTION_FORWARD;
    if (action->op == (forward_only ? last_use : ACTION_WEIGHT_GRADIENT)) {
        owners[action->slot] = 0;
    }
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        gradient_owners[action->gradient_slot] = 0;
    }
    return STEP_DONE;
}
