/* When the gradients of a step are whole: in which order a rank finishes them. */
#include "plan_internal.h"

#include <assert.h>

/** `full` has blocks of one sublayer: so that a source is fetched once for several of its readers,
 * this many reads take those that they have in common together. Which reads do changes no bit,
 * except where gradients are rounded at every border. */
enum { READS_OF_FULL = 4 };

bool plan_opens_block(const struct plan *plan, const struct stage *stage, int part)
{
    const int64_t before = part - stage->segment_first[part];
    if (plan->depth.kind == MODEL_FULL && plan->config->representative.gradient == PRECISION_F32) {
        return before % READS_OF_FULL == 0;
    }
    return before == 0 || depth_is_border(&plan->depth, stage->first + part);
}

/** The i-th of the rows that a part of I makes whole: its gain, and where it opens a block the
 * queries of the block's reads on the stage, all of which end there. */
static const struct param *finished_by_input(const struct plan *plan, const struct stage *stage,
                                             int part, int i)
{
    if (i == 0) {
        return params_find(&plan->params, stage->first + part, PARAM_GAIN);
    }
    const int read = part + i - 1;
    const bool is_of_block = plan_opens_block(plan, stage, part) && read < (int)stage->n_reads &&
                             (read == part || !plan_opens_block(plan, stage, read));
    return is_of_block ? params_find(&plan->params, stage->first + read, PARAM_READ) : NULL;
}

static const struct param *finished_by_weights(const struct plan *plan, const struct stage *stage,
                                               int part, int i)
{
    static const enum param_role ATTENTION[] = {PARAM_Q, PARAM_K, PARAM_V, PARAM_O},
                                 MLP[] = {PARAM_GATE, PARAM_UP, PARAM_DOWN};
    const int64_t l = stage->first + part;
    const bool is_attention = l % 2 == 0;
    const int n = is_attention ? 4 : 3;
    if (l == plan->depth.n_sublayers) {
        return i == 0 ? params_find(&plan->params, l, PARAM_HEAD) : NULL;
    }
    if (i < n) {
        return params_find(&plan->params, l, (is_attention ? ATTENTION : MLP)[i]);
    }
    /* A tied embedding waits for the head's gradient. */
    const bool has_embedding = i == n && part == 0 && stage->is_first && !plan->config->model.tied;
    return has_embedding ? params_find(&plan->params, -1, PARAM_EMBEDDING) : NULL;
}

const struct param *plan_finished(const struct plan *plan, const struct stage *stage, int part,
                                  enum action_op op, int i)
{
    assert(op == ACTION_INPUT_GRADIENT || op == ACTION_WEIGHT_GRADIENT);
    return op == ACTION_INPUT_GRADIENT ? finished_by_input(plan, stage, part, i)
                                       : finished_by_weights(plan, stage, part, i);
}

/** Append what the parts [first, end) of an action make whole. Returns how many there are now. */
static int64_t append_finished(int64_t *rows, int64_t n, const struct plan *plan,
                               const struct stage *stage, enum action_op op, int first, int end)
{
    for (int part = end - 1; part >= first; part--) {
        const struct param *row = plan_finished(plan, stage, part, op, 0);
        for (int k = 1; row != NULL; k++) {
            rows[n++] = row - plan->params.rows;
            row = plan_finished(plan, stage, part, op, k);
        }
    }
    return n;
}

void plan_list_finished(const struct plan *plan, int rank, int64_t *rows)
{
    const struct schedule *schedule = &plan->schedule;
    int64_t n = 0;
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        const struct action *action = &schedule->actions[i];
        if (action->microbatch + 1 < plan->n_microbatches) {
            continue;
        }
        const bool is_input = action->op == ACTION_INPUT_GRADIENT,
                   is_weights = action->op == ACTION_WEIGHT_GRADIENT;
        const struct stage *stage = plan_stage(plan, rank, action->chunk);
        const int n_parts = (int)stage->n_reads;
        for (int part = n_parts - 1; is_input && schedule->alternates[rank] && part >= 0; part--) {
            n = append_finished(rows, n, plan, stage, ACTION_INPUT_GRADIENT, part, part + 1);
            n = append_finished(rows, n, plan, stage, ACTION_WEIGHT_GRADIENT, part, part + 1);
        }
        if ((is_input || is_weights) && !schedule->alternates[rank]) {
            n = append_finished(rows, n, plan, stage, action->op, 0, n_parts);
        }
    }
    if (plan->config->model.tied && plan->ranks[rank].has_first) {
        rows[n++] = params_find(&plan->params, -1, PARAM_EMBEDDING) - plan->params.rows;
    }
    assert(n == plan->ranks[rank].n_params && "every row is finished once");
}
