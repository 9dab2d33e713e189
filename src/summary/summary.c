/* From what the ranks tell to one table. */
#include "summary_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include <attnres/heap.h>

/** A longer schedule is summarised from its ends and its period. */
enum { SIMULATED_ACTIONS = 1000000 };

static double compute_s(const struct engine_times *t)
{
    return t->forward_s + t->input_gradient_s + t->weight_gradient_s + t->recompute_s;
}

static double section_s(const struct summary_rank *r, enum summary_section section)
{
    const struct engine_times *t = &r->times;
    double left_s = r->loop_s;
    const double seconds[SUMMARY_OTHER] = {
        [SUMMARY_FORWARD] = t->forward_s,
        [SUMMARY_INPUT_GRADIENT] = t->input_gradient_s,
        [SUMMARY_WEIGHT_GRADIENT] = t->weight_gradient_s,
        [SUMMARY_RECOMPUTE] = t->recompute_s,
        [SUMMARY_WAIT] = t->wait_s,
        [SUMMARY_PACK] = t->pack_s,
        [SUMMARY_REDUCE] = t->reduce_s,
        [SUMMARY_OPTIMIZER] = t->optimizer_s,
        [SUMMARY_READ] = t->read_s,
        [SUMMARY_EVALUATE] = t->evaluate_s,
        [SUMMARY_SAVE] = t->save_s,
    };
    if (section != SUMMARY_OTHER) {
        return seconds[section];
    }
    for (int i = 0; i < SUMMARY_OTHER; i++) {
        left_s -= seconds[i];
    }
    return left_s;
}

static struct summary_row make_row(const struct summary_rank *ranks, int n_ranks, double all_s,
                                   enum summary_section section)
{
    struct summary_row row = {.min_s = section_s(&ranks[0], section), .max_s = -INFINITY};
    double sum_s = 0.0;
    for (int rank = 0; rank < n_ranks; rank++) {
        const double s = section_s(&ranks[rank], section);
        sum_s += s;
        row.min_s = fmin(row.min_s, s);
        if (s > row.max_s) {
            row.max_s = s;
            row.slowest = rank;
        }
    }
    row.mean_s = sum_s / n_ranks;
    row.share = all_s > 0.0 ? sum_s / all_s : 0.0;
    return row;
}

static void add_up_times(struct summary *out, const struct summary_rank *ranks)
{
    double all_s = 0.0;
    for (int rank = 0; rank < out->n_ranks; rank++) {
        all_s += ranks[rank].loop_s;
    }
    out->loop_s = all_s / out->n_ranks;
    for (int section = 0; section < SUMMARY_SECTIONS; section++) {
        out->sections[section] =
            make_row(ranks, out->n_ranks, all_s, (enum summary_section)section);
    }
    out->step_s = (out->loop_s - out->sections[SUMMARY_EVALUATE].mean_s -
                   out->sections[SUMMARY_SAVE].mean_s) /
                  (double)out->n_steps;
}

static void find_imbalance(struct summary *out, const struct summary_rank *ranks)
{
    double sum_s = 0.0, most_s = -1.0;
    for (int rank = 0; rank < out->n_ranks; rank++) {
        const double s = compute_s(&ranks[rank].times);
        sum_s += s;
        if (s > most_s) {
            most_s = s;
            out->slowest = rank;
        }
    }
    const double mean_s = sum_s / out->n_ranks;
    out->imbalance = mean_s > 0.0 ? most_s / mean_s : 1.0;
    out->imbalance_s = (most_s - mean_s) / (double)out->n_steps;
}

static void add_up_the_rest(struct summary *out, const struct summary_rank *ranks)
{
    int64_t most = INT64_MIN, bytes_raw = 0, bytes_sent = 0;
    for (int rank = 0; rank < out->n_ranks; rank++) {
        const struct summary_rank *r = &ranks[rank];
        const int64_t beyond = r->used_bytes - r->planned_bytes - r->data_bytes;
        bytes_raw += r->times.bytes_raw;
        bytes_sent += r->times.bytes_sent;
        out->n_warnings += r->n_warnings;
        if (beyond > most) {
            most = beyond;
            out->fullest = rank;
        }
    }
    out->bytes_raw = bytes_raw / out->n_steps;
    out->bytes_sent = bytes_sent / out->n_steps;
    out->planned_bytes = ranks[out->fullest].planned_bytes;
    out->data_bytes = ranks[out->fullest].data_bytes;
    out->used_bytes = ranks[out->fullest].used_bytes;
}

double summary_simulate(const struct schedule_spec *spec, const struct schedule_costs *costs)
{
    struct schedule_summary s;
    double busy = 0.0;
    if (!schedule_summarize(&s, spec, costs, SIMULATED_ACTIONS, NULL)) {
        return NAN;
    }
    for (int rank = 0; rank < spec->n_ranks; rank++) {
        busy += s.busy[rank];
    }
    const double bubble = s.makespan > 0.0 ? 1.0 - busy / (s.makespan * spec->n_ranks) : NAN;
    schedule_summary_finish(&s);
    return bubble;
}

/** What a stage takes of each microbatch, on average over the pipelines: its rank's time, by its
 * share of the rank's work. */
static struct schedule_stage_costs stage_costs(const struct summary *s, const struct plan *plan,
                                               int stage, const struct summary_rank *ranks)
{
    const int place = plan->stages[stage].rank, n_pipelines = s->n_ranks / plan->n_ranks;
    const double share = plan_stage_work(plan, stage) / plan_rank_work(plan, place) /
                         (double)(s->n_steps * plan->n_microbatches * n_pipelines);
    struct schedule_stage_costs costs = {0};
    for (int rank = place; rank < s->n_ranks; rank += plan->n_ranks) {
        costs.forward += share * ranks[rank].times.forward_s;
        costs.input_gradient +=
            share * (ranks[rank].times.input_gradient_s + ranks[rank].times.recompute_s);
        costs.weight_gradient += share * ranks[rank].times.weight_gradient_s;
    }
    return costs;
}

static void simulate(struct summary *out, const struct plan *plan, const struct summary_rank *ranks,
                     struct schedule_stage_costs *equal)
{
    const int n = plan->n_stages;
    struct schedule_stage_costs *stages = heap_take((size_t)n, sizeof *stages, "the summary");
    for (int stage = 0; stage < n; stage++) {
        stages[stage] = stage_costs(out, plan, stage, ranks);
        equal->forward += stages[stage].forward / n;
        equal->input_gradient += stages[stage].input_gradient / n;
        equal->weight_gradient += stages[stage].weight_gradient / n;
    }
    const struct schedule_costs own = {.stages = stages},
                                same = {.forward = equal->forward,
                                        .input_gradient = equal->input_gradient,
                                        .weight_gradient = equal->weight_gradient};
    out->simulated_bubble = summary_simulate(&plan->schedule.spec, &own);
    out->equal_bubble = summary_simulate(&plan->schedule.spec, &same);
    free(stages);
}

void summary_make(struct summary *out, const struct plan *plan, int64_t n_steps,
                  const struct summary_rank *ranks, int n_ranks)
{
    assert(n_steps > 0 && n_ranks % plan->n_ranks == 0);
    struct schedule_stage_costs equal = {0};
    *out = (struct summary){.n_ranks = n_ranks,
                            .n_steps = n_steps,
                            .bubble = NAN,
                            .simulated_bubble = NAN,
                            .equal_bubble = NAN};
    add_up_times(out, ranks);
    find_imbalance(out, ranks);
    add_up_the_rest(out, ranks);
    if (n_ranks > 1) {
        out->bubble = out->sections[SUMMARY_WAIT].mean_s / (out->step_s * (double)out->n_steps);
        simulate(out, plan, ranks, &equal);
    }
    summary_advise(out, plan, &equal);
}
