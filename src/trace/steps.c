/* One step among a rank's events. */
#include "trace_internal.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_STEPS = 1024 }; /* looked at for their median */

static bool is_work(enum journal_kind kind)
{
    return kind == JOURNAL_FORWARD || kind == JOURNAL_INPUT_GRADIENT ||
           kind == JOURNAL_WEIGHT_GRADIENT;
}

/** The first event of this step or a later one: steps ascend. */
static int64_t find_first(const struct trace_rank *r, int64_t step)
{
    int64_t low = 0, high = r->n_events;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (r->events[middle].step < step) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Behind the update come an evaluation's forwards, under the same step. Beside a save in the
 * background the update is cut into several. */
bool trace_find_step(struct trace_span *span, const struct trace_set *set, int rank, int64_t step)
{
    const struct trace_rank *r = &set->ranks[rank];
    const int64_t first = find_first(r, step);
    if (first == r->n_events || r->events[first].kind != JOURNAL_READ_BATCH) {
        return false;
    }
    *span = (struct trace_span){first, first};
    for (int64_t i = first; i < r->n_events && r->events[i].step == step; i++) {
        span->end = r->events[i].kind == JOURNAL_UPDATE ? i + 1 : span->end;
    }
    return span->end > first;
}

bool trace_measure_step(struct trace_work *work, const struct trace_set *set, int64_t step)
{
    *work = (struct trace_work){.begin_s = INFINITY, .end_s = -INFINITY};
    for (int rank = 0; rank < set->n_ranks; rank++) {
        struct trace_span span;
        if (!trace_find_step(&span, set, rank, step)) {
            return false;
        }
        for (int64_t i = span.first; i < span.end; i++) {
            const struct journal_event e = trace_event(set, rank, i);
            if (is_work(e.kind)) {
                work->begin_s = fmin(work->begin_s, e.begin_s);
                work->end_s = fmax(work->end_s, e.end_s);
                work->busy_s += e.end_s - e.begin_s;
            }
        }
    }
    return work->end_s > work->begin_s;
}

struct length {
    int64_t step;
    double seconds;
};

static int compare(const void *a, const void *b)
{
    const struct length *x = a, *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

int64_t trace_median_step(const struct trace_set *set)
{
    struct length lengths[MOST_STEPS];
    int n = 0;
    int64_t last = -1;
    const struct trace_rank *r = &set->ranks[0];
    for (int64_t i = 0; i < r->n_events && n < MOST_STEPS; i++) {
        struct trace_work work;
        if (r->events[i].step != last && trace_measure_step(&work, set, r->events[i].step)) {
            lengths[n++] = (struct length){r->events[i].step, work.end_s - work.begin_s};
        }
        last = r->events[i].step;
    }
    qsort(lengths, (size_t)n, sizeof lengths[0], compare);
    return n > 0 ? lengths[n / 2].step : -1;
}

static double *cost_of(struct schedule_stage_costs *stage, enum journal_kind kind)
{
    switch (kind) {
    case JOURNAL_FORWARD:
        return &stage->forward;
    case JOURNAL_INPUT_GRADIENT:
        return &stage->input_gradient;
    default:
        return &stage->weight_gradient;
    }
}

/** Add what a rank's stages took of a step. */
static void add_step(struct schedule_stage_costs *stages, const struct trace_set *set,
                     const struct schedule_spec *spec, int rank, int64_t step)
{
    struct trace_span span;
    if (!trace_find_step(&span, set, rank, step)) {
        return;
    }
    for (int64_t i = span.first; i < span.end; i++) {
        const struct journal_event *e = &set->ranks[rank].events[i];
        if (is_work(e->kind) && e->chunk < spec->n_chunks) {
            const int stage = schedule_stage(spec, rank, e->chunk);
            *cost_of(&stages[stage], e->kind) += (e->end_s - e->begin_s) / spec->n_microbatches;
        }
    }
}

void trace_stage_costs(struct schedule_stage_costs *stages, const struct trace_set *set,
                       const struct schedule_spec *spec)
{
    const int n_stages = spec->n_ranks * spec->n_chunks;
    const struct trace_rank *r = &set->ranks[0];
    int64_t last = -1, n_steps = 0;
    for (int stage = 0; stage < n_stages; stage++) {
        stages[stage] = (struct schedule_stage_costs){0};
    }
    for (int64_t i = 0; i < r->n_events; i++) {
        struct trace_work work;
        if (r->events[i].step != last && trace_measure_step(&work, set, r->events[i].step)) {
            n_steps++;
            for (int rank = 0; rank < spec->n_ranks; rank++) {
                add_step(stages, set, spec, rank, r->events[i].step);
            }
        }
        last = r->events[i].step;
    }
    for (int stage = 0; n_steps > 0 && stage < n_stages; stage++) {
        stages[stage].forward /= (double)n_steps;
        stages[stage].input_gradient /= (double)n_steps;
        stages[stage].weight_gradient /= (double)n_steps;
    }
}
