#include <attnres/schedule.h>

#include <stdlib.h>

#include "schedule_internal.h"

void schedule_summary_finish(struct schedule_summary *summary)
{
    if (summary == NULL) {
        return;
    }
    free(summary->busy);
    free(summary->peak_live);
    free(summary->n_slots);
    free(summary->n_gradient_slots);
    *summary = (struct schedule_summary){0};
}

static bool allocate(struct schedule_summary *summary, int n_ranks, struct error *err)
{
    const size_t n = (size_t)n_ranks;
    *summary = (struct schedule_summary){
        .busy = calloc(n, sizeof *summary->busy),
        .peak_live = calloc(n, sizeof *summary->peak_live),
        .n_slots = calloc(n, sizeof *summary->n_slots),
        .n_gradient_slots = calloc(n, sizeof *summary->n_gradient_slots),
    };
    if (summary->busy == NULL || summary->peak_live == NULL || summary->n_slots == NULL ||
        summary->n_gradient_slots == NULL) {
        schedule_summary_finish(summary);
        return error_set(err, ERROR_CREATE, "no memory to summarise a schedule of %d ranks",
                         n_ranks);
    }
    return true;
}

static void copy(struct schedule_summary *summary, const struct schedule *schedule,
                 const struct schedule_simulation *simulation)
{
    summary->is_whole = true;
    summary->makespan = simulation->makespan;
    summary->channel_depth = schedule->channel_depth;
    for (int rank = 0; rank < schedule->spec.n_ranks; rank++) {
        summary->busy[rank] = simulation->busy[rank];
        summary->peak_live[rank] = simulation->peak_live[rank];
        summary->n_slots[rank] = schedule->n_slots[rank];
        summary->n_gradient_slots[rank] = schedule->n_gradient_slots[rank];
    }
}

static bool summarize_whole(struct schedule_summary *out, const struct schedule_spec *spec,
                            const struct schedule_costs *costs, struct error *err)
{
    struct schedule schedule = {0};
    struct schedule_simulation simulation = {0};
    const bool ok = schedule_init(&schedule, spec, err) &&
                    schedule_simulate(&simulation, &schedule, costs, err) &&
                    allocate(out, spec->n_ranks, err);
    if (ok) {
        copy(out, &schedule, &simulation);
    }
    schedule_simulation_finish(&simulation);
    schedule_finish(&schedule);
    return ok;
}

/* summary becomes what it is n_periods behind itself, when `before` is one period in front. */
static void extend(struct schedule_summary *summary, const struct schedule_summary *before,
                   int n_ranks, int64_t n_periods)
{
    summary->is_whole = false;
    summary->makespan += (double)n_periods * (summary->makespan - before->makespan);
    for (int rank = 0; rank < n_ranks; rank++) {
        summary->busy[rank] += (double)n_periods * (summary->busy[rank] - before->busy[rank]);
        summary->peak_live[rank] +=
            n_periods * (summary->peak_live[rank] - before->peak_live[rank]);
        summary->n_slots[rank] += n_periods * (summary->n_slots[rank] - before->n_slots[rank]);
        summary->n_gradient_slots[rank] +=
            n_periods * (summary->n_gradient_slots[rank] - before->n_gradient_slots[rank]);
    }
}

/* Microbatches after which the steady part repeats itself: a group; without groups n_ranks, since
 * where messages take time ranks wait for each other in turns of up to so many. Without backward
 * the first rank of a V takes 2 n_ranks - 1 before the first of them comes back. */
static int find_period(const struct schedule_spec *spec)
{
    const struct schedule_rule *rule = schedule_find_rule(spec->kind);
    return rule->is_v && !rule->has_backward ? 2 * spec->n_ranks - 1 : schedule_group(spec);
}

bool schedule_summarize(struct schedule_summary *out, const struct schedule_spec *spec,
                        const struct schedule_costs *costs, int64_t max_actions, struct error *err)
{
    if (!schedule_check_spec(spec, err)) {
        return false;
    }
    const int M = spec->n_microbatches, period = find_period(spec);
    struct schedule_spec shorter = *spec, longer = *spec;
    if (schedule_fits(spec, max_actions) || M / 4 < period) {
        return summarize_whole(out, spec, costs, err);
    }
    /* Two periods fill and drain every kind. */
    shorter.n_microbatches = 2 * period + M % period;
    longer.n_microbatches = shorter.n_microbatches + period;
    struct schedule_summary before = {0}, summary = {0};
    const bool ok = summarize_whole(&before, &shorter, costs, err) &&
                    summarize_whole(&summary, &longer, costs, err);
    if (ok) {
        extend(&summary, &before, spec->n_ranks, (M - longer.n_microbatches) / period);
        *out = summary;
    } else {
        schedule_summary_finish(&summary);
    }
    schedule_summary_finish(&before);
    return ok;
}
