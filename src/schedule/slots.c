#include <attnres/schedule.h>

#include <stdlib.h>
#include <string.h>

#include "schedule_internal.h"

int64_t schedule_pair(const struct schedule_spec *spec, int rank, int chunk, int microbatch)
{
    return ((int64_t)rank * spec->n_chunks + chunk) * spec->n_microbatches + microbatch;
}

int schedule_slot(const struct schedule *schedule, int rank, int chunk, int microbatch)
{
    return schedule->slots[schedule_pair(&schedule->spec, rank, chunk, microbatch)];
}

int schedule_gradient_slot(const struct schedule *schedule, int rank, int chunk, int microbatch)
{
    return schedule->gradient_slots[schedule_pair(&schedule->spec, rank, chunk, microbatch)];
}

int schedule_count_live(const struct schedule *schedule, int rank, int chunk, enum action_op from)
{
    int n_live = 0, most = 0;
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        const struct action *action = &schedule->actions[i];
        if (action->chunk == chunk) {
            n_live += action->op == from;
            most = n_live > most ? n_live : most;
            n_live -= action->op == ACTION_WEIGHT_GRADIENT;
        }
    }
    return most;
}

bool schedule_is_last_forward(const struct schedule_spec *spec, int rank,
                              const struct action *action)
{
    const int stage = schedule_stage(spec, rank, action->chunk);
    const enum action_op last_use =
        schedule_cut_has_message(spec, stage) ? ACTION_SEND_VALUES : ACTION_FORWARD;
    return action->chunk == spec->n_chunks - 1 && action->op == last_use;
}

/* Slots of one kind, while they are given out rank by rank. */
struct pool {
    int32_t *slots;       /* of the schedule, per pair; -1: not taken yet */
    unsigned char *users; /* per pair: who has yet to release the slot */
    bool *used;           /* per slot of the rank */
    int lowest_free, n_slots;
};

static int32_t take_slot(struct pool *pool, int64_t pair, int n_users)
{
    if (pool->slots[pair] < 0) {
        while (pool->used[pool->lowest_free]) {
            pool->lowest_free++;
        }
        pool->slots[pair] = pool->lowest_free;
        pool->users[pair] = (unsigned char)n_users;
        pool->used[pool->lowest_free++] = true;
        pool->n_slots = pool->lowest_free > pool->n_slots ? pool->lowest_free : pool->n_slots;
    }
    return pool->slots[pair];
}

static void release_slot(struct pool *pool, int64_t pair)
{
    if (pool->users[pair] == 0) {
        return; /* A weight gradient without forward: the simulation will say so. */
    }
    pool->users[pair]--;
    if (pool->users[pair] == 0) {
        const int32_t slot = pool->slots[pair];
        pool->used[slot] = false;
        pool->lowest_free = slot < pool->lowest_free ? slot : pool->lowest_free;
    }
}

/* Activations stay until W, or without backward until the rank's last forward of the microbatch. */
static void assign_slot(const struct schedule_spec *spec, int rank, struct pool *pool,
                        struct action *action)
{
    const int64_t pair = schedule_pair(spec, rank, action->chunk, action->microbatch);
    const bool takes = action->op == ACTION_RECEIVE_VALUES || action->op == ACTION_FORWARD;
    action->slot = takes ? take_slot(pool, pair, 1) : pool->slots[pair];
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        release_slot(pool, pair);
    }
    if (!schedule_find_rule(spec->kind)->has_backward &&
        schedule_is_last_forward(spec, rank, action)) {
        for (int chunk = 0; chunk < spec->n_chunks; chunk++) {
            release_slot(pool, schedule_pair(spec, rank, chunk, action->microbatch));
        }
    }
}

/* Gradients stay until W, and until the stage before has taken them over if it is on the same rank.
 */
static void assign_gradient_slot(const struct schedule_spec *spec, int rank, struct pool *pool,
                                 struct action *action)
{
    const int64_t pair = schedule_pair(spec, rank, action->chunk, action->microbatch);
    const int stage = schedule_stage(spec, rank, action->chunk);
    const bool takes =
        action->op == ACTION_RECEIVE_GRADIENTS || action->op == ACTION_INPUT_GRADIENT;
    const int n_users = schedule_cut_is_local(spec, stage - 1) ? 2 : 1;
    action->gradient_slot = takes ? take_slot(pool, pair, n_users) : pool->slots[pair];
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        release_slot(pool, pair);
    }
    if (action->op == ACTION_INPUT_GRADIENT && schedule_cut_is_local(spec, stage)) {
        release_slot(pool, schedule_pair(spec, rank, action->chunk + 1, action->microbatch));
    }
}

static bool alternates(const struct schedule *schedule, int rank)
{
    const int64_t end = schedule->first_action[rank + 1];
    bool has_backward = false;
    for (int64_t i = schedule->first_action[rank]; i < end; i++) {
        const struct action *action = &schedule->actions[i], *next = action + 1;
        if (action->op == ACTION_INPUT_GRADIENT &&
            (i + 1 == end || next->op != ACTION_WEIGHT_GRADIENT || next->chunk != action->chunk ||
             next->microbatch != action->microbatch)) {
            return false;
        }
        has_backward = has_backward || action->op == ACTION_INPUT_GRADIENT;
    }
    return has_backward;
}

bool schedule_assign_slots(struct schedule *schedule, struct error *err)
{
    const struct schedule_spec *spec = &schedule->spec;
    const size_t n_pairs = (size_t)spec->n_chunks * (size_t)spec->n_microbatches;
    const size_t n_all = (size_t)spec->n_ranks * n_pairs;
    struct pool values = {.slots = schedule->slots,
                          .users = calloc(n_all, 1),
                          .used = calloc(n_pairs + 1, sizeof *values.used)};
    struct pool gradients = {.slots = schedule->gradient_slots,
                             .users = calloc(n_all, 1),
                             .used = calloc(n_pairs + 1, sizeof *gradients.used)};
    const bool ok = values.users != NULL && values.used != NULL && gradients.users != NULL &&
                    gradients.used != NULL;
    memset(schedule->slots, -1, n_all * sizeof *schedule->slots);
    memset(schedule->gradient_slots, -1, n_all * sizeof *schedule->gradient_slots);
    for (int rank = 0; ok && rank < spec->n_ranks; rank++) {
        values.lowest_free = values.n_slots = gradients.lowest_free = gradients.n_slots = 0;
        memset(values.used, 0, n_pairs * sizeof *values.used);
        memset(gradients.used, 0, n_pairs * sizeof *gradients.used);
        for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
            assign_slot(spec, rank, &values, &schedule->actions[i]);
            assign_gradient_slot(spec, rank, &gradients, &schedule->actions[i]);
        }
        schedule->n_slots[rank] = values.n_slots;
        schedule->n_gradient_slots[rank] = gradients.n_slots;
        schedule->alternates[rank] = alternates(schedule, rank);
    }
    free(values.users);
    free(values.used);
    free(gradients.users);
    free(gradients.used);
    return ok ||
           error_set(err, ERROR_CREATE, "no memory for the slots of %zu microbatches", n_pairs);
}
