/* When the gradients of a step are whole: in which order a rank finishes them. */
#include "plan_internal.h"

#include <assert.h>

/** Roles whose gradients a part of I or W adds to. */
static const enum param_role *roles_of(bool is_weights, bool is_head, int64_t sublayer, int *n)
{
    static const enum param_role INPUT[] = {PARAM_READ, PARAM_GAIN},
                                 ATTENTION[] = {PARAM_Q, PARAM_K, PARAM_V, PARAM_O},
                                 MLP[] = {PARAM_GATE, PARAM_UP, PARAM_DOWN}, HEAD[] = {PARAM_HEAD};
    if (!is_weights) {
        *n = 2;
        return INPUT;
    }
    if (is_head) {
        *n = 1;
        return HEAD;
    }
    *n = sublayer % 2 == 0 ? 4 : 3;
    return sublayer % 2 == 0 ? ATTENTION : MLP;
}

int plan_finished(const struct plan *plan, const struct stage *stage, int part, enum action_op op,
                  const struct param *finished[PLAN_MOST_FINISHED])
{
    assert(op == ACTION_INPUT_GRADIENT || op == ACTION_WEIGHT_GRADIENT);
    const bool is_weights = op == ACTION_WEIGHT_GRADIENT;
    const int64_t l = stage->first + part;
    int n_roles = 0, n = 0;
    const enum param_role *roles = roles_of(is_weights, l == plan->depth.n_sublayers, l, &n_roles);
    for (int i = 0; i < n_roles; i++) {
        const struct param *param = params_find(&plan->params, l, roles[i]);
        if (param != NULL) {
            finished[n++] = param;
        }
    }
    /* A tied embedding waits for the head's gradient. */
    if (is_weights && part == 0 && stage->is_first && !plan->config->model.tied) {
        finished[n++] = params_find(&plan->params, -1, PARAM_EMBEDDING);
    }
    return n;
}

void plan_list_finished(const struct plan *plan, int rank, int64_t *rows)
{
    const struct schedule *schedule = &plan->schedule;
    int64_t n = 0;
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        const struct action *action = &schedule->actions[i];
        const bool is_backward =
            action->op == ACTION_INPUT_GRADIENT || action->op == ACTION_WEIGHT_GRADIENT;
        if (!is_backward || action->microbatch + 1 < plan->n_microbatches) {
            continue;
        }
        const struct stage *stage = plan_stage(plan, rank, action->chunk);
        for (int part = (int)stage->n_reads - 1; part >= 0; part--) {
            const struct param *finished[PLAN_MOST_FINISHED];
            const int n_finished = plan_finished(plan, stage, part, action->op, finished);
            for (int k = 0; k < n_finished; k++) {
                rows[n++] = finished[k] - plan->params.rows;
            }
        }
    }
    if (plan->config->model.tied && plan->ranks[rank].has_first) {
        rows[n++] = params_find(&plan->params, -1, PARAM_EMBEDDING) - plan->params.rows;
    }
    assert(n == plan->ranks[rank].n_params && "every row is finished once");
}
