/* What a stage keeps of a microbatch from F to I, and which parts are run again for it. */
#include "plan_internal.h"

#include <assert.h>
#include <stdlib.h>

#include <attnres/heap.h>

/** Where a value lives. */
enum place { PLACE_INNER, PLACE_BORDER, PLACE_KEPT };

/** Parts are made again block by block; `standard`, which has no blocks, follows those that guide
 * the partition. */
static bool is_segment_border(const struct plan *plan, int64_t l)
{
    return plan->depth.kind == MODEL_STANDARD ? partition_is_border(plan, l)
                                              : depth_is_border(&plan->depth, l);
}

/** The head goes with the last block. */
static bool starts_segment(const struct plan *plan, const struct stage *stage, int64_t part)
{
    const int64_t l = stage->first + part;
    return part == 0 || (plan->recompute != RECOMPUTE_NONE && l < plan->depth.n_sublayers &&
                         is_segment_border(plan, l));
}

double plan_repeats(const struct plan *plan, int64_t l)
{
    const int64_t L = plan->depth.n_sublayers, n_stages = plan->n_stages;
    const int64_t size =
        plan->depth.kind == MODEL_STANDARD ? partition_block_size(plan) : plan->depth.block_size;
    const int64_t n = (L + size - 1) / size, last = (n - 1) * size;
    const double twice = n > n_stages ? 1.0 - (double)n_stages / (double)n : 0.0;
    switch (plan_trains(plan) ? plan->recompute : RECOMPUTE_NONE) {
    case RECOMPUTE_NONE:
        return 0.0;
    case RECOMPUTE_BLOCK:
        return l >= last ? 0.0 : 1.0;
    case RECOMPUTE_ALL:
        return twice + (l >= L - L / n_stages ? 0.0 : 1.0);
    }
    return 0.0;
}

static void cut_segments(struct stage *stage, const struct plan *plan)
{
    const size_t n = (size_t)stage->n_reads;
    stage->segment_first = heap_take(n, sizeof *stage->segment_first, "a stage's segments");
    stage->segment_end = heap_take(n, sizeof *stage->segment_end, "a stage's segments");
    for (int64_t part = 0; part < stage->n_reads; part++) {
        const bool starts = starts_segment(plan, stage, part);
        stage->segment_first[part] = starts ? part : stage->segment_first[part - 1];
    }
    for (int64_t part = stage->n_reads - 1; part >= 0; part--) {
        const bool ends = part + 1 == stage->n_reads || stage->segment_first[part + 1] == part + 1;
        stage->segment_end[part] = ends ? part + 1 : stage->segment_end[part + 1];
    }
}

static void mark(enum place *places, const struct stage *stage, const struct depth_set *set,
                 enum place place)
{
    for (int64_t i = 0; i < depth_set_count(set); i++) {
        const int64_t index = stage_value_index(stage, depth_set_id(set, i));
        assert(index >= 0 && "the stage holds it");
        places[index] = place > places[index] ? place : places[index];
    }
}

/** A later stage of the rank takes these out of the slot, some time after F. */
static void mark_handed_on(enum place *places, const struct stage *stage,
                           const struct routing *routing)
{
    const struct routing_stage *route = &routing->stages[stage->index];
    if (route->n_deposits > 0) {
        mark(places, stage, &route->brought, PLACE_KEPT);
    }
    if (stage->index + 1 < routing->n_stages && routing->stages[stage->index + 1].is_local) {
        mark(places, stage, &routing->stages[stage->index + 1].received, PLACE_KEPT);
    }
}

static void mark_values(enum place *places, const struct stage *stage, const struct plan *plan)
{
    const struct depth_set front = depth_live(&plan->depth, stage->first);
    const enum place at_border = plan->recompute == RECOMPUTE_BLOCK ? PLACE_KEPT : PLACE_BORDER;
    for (int64_t part = 1; part < stage->n_reads; part++) {
        if (stage->segment_first[part] == part) {
            const struct depth_set live = depth_live(&plan->depth, stage->first + part);
            mark(places, stage, &live, at_border);
        }
    }
    mark(places, stage, &front, PLACE_KEPT);
    mark_handed_on(places, stage, &plan->routing);
    for (int64_t i = 0; plan->recompute == RECOMPUTE_NONE && i < stage->n_values; i++) {
        places[i] = PLACE_KEPT;
    }
}

/** The values that a part leaves in the working set get the rows behind those that are there. */
static int64_t place_output(struct stage *stage, const struct depth_plan *depth, int64_t part,
                            const enum place *places, int64_t n_rows)
{
    if (stage->first + part == depth->n_sublayers) {
        return n_rows;
    }
    const struct depth_output out = depth_output_of(depth, stage->first + part);
    const int64_t ids[] = {out.value, out.completes};
    for (int i = 0; i < 2; i++) {
        const int64_t index = ids[i] >= 0 ? stage_value_index(stage, ids[i]) : -1;
        if (index >= 0 && places[index] == PLACE_INNER) {
            stage->value_rows[index] = -1 - n_rows++;
        }
    }
    return n_rows;
}

static void number_rows(struct stage *stage, const struct depth_plan *depth,
                        const enum place *places)
{
    int64_t n_border = 0;
    for (int64_t i = 0; i < stage->n_values; i++) {
        if (places[i] == PLACE_KEPT) {
            stage->value_rows[i] = stage->n_kept++;
        } else if (places[i] == PLACE_BORDER) {
            stage->value_rows[i] = -1 - n_border++;
        }
    }
    int64_t n_rows = n_border;
    stage->n_working = n_border;
    for (int64_t part = 0; part < stage->n_reads; part++) {
        n_rows = stage->segment_first[part] == part ? n_border : n_rows;
        n_rows = place_output(stage, depth, part, places, n_rows);
        stage->n_working = n_rows > stage->n_working ? n_rows : stage->n_working;
    }
}

/** Give rows, the lowest free ones, to the gradients of those of these values that have none yet:
 * the last. */
static void take_rows(struct stage *stage, bool *taken, const struct depth_set *set)
{
    for (int64_t i = depth_set_count(set) - 1; i >= 0; i--) {
        const int64_t index = stage_value_index(stage, depth_set_id(set, i));
        if (stage->dvalue_rows[index] >= 0) {
            return;
        }
        int64_t row = 0;
        while (taken[row]) {
            row++;
        }
        taken[row] = true;
        stage->dvalue_rows[index] = row;
        stage->n_dvalues = row + 1 > stage->n_dvalues ? row + 1 : stage->n_dvalues;
    }
}

/** The W of sublayer l is the last to need the gradients of what it puts out. */
static void free_rows(const struct stage *stage, bool *taken, const struct depth_plan *depth,
                      int64_t l)
{
    const struct depth_output out = depth_output_of(depth, l);
    const int64_t ids[] = {out.value, out.completes};
    for (int i = 0; i < 2; i++) {
        const int64_t index = ids[i] >= 0 ? stage_value_index(stage, ids[i]) : -1;
        if (index >= 0 && stage->dvalue_rows[index] >= 0) {
            taken[stage->dvalue_rows[index]] = false;
        }
    }
}

/** In the order of backward: first what is live behind the stage, then the sources of each read. */
static void number_gradients(struct stage *stage, const struct plan *plan)
{
    const struct depth_plan *depth = &plan->depth;
    const bool reuses = plan->purpose == PLAN_TRAIN && plan->schedule.alternates[stage->rank];
    const struct depth_set behind = depth_live(depth, stage->end);
    bool *taken = heap_take((size_t)stage->n_values, sizeof *taken, "a stage's gradients");
    stage->dvalue_rows =
        heap_take((size_t)stage->n_values, sizeof *stage->dvalue_rows, "a stage's gradients");
    for (int64_t i = 0; i < stage->n_values; i++) {
        stage->dvalue_rows[i] = -1;
    }
    take_rows(stage, taken, &behind);
    for (int64_t part = stage->n_reads - 1; part >= 0; part--) {
        const int64_t l = stage->first + part;
        const struct depth_set sources = depth_live(depth, l);
        take_rows(stage, taken, &sources);
        if (reuses && l < depth->n_sublayers) {
            free_rows(stage, taken, depth, l);
        }
    }
    free(taken);
}

void plan_place_values(struct stage *stage, const struct plan *plan)
{
    const size_t n = (size_t)stage->n_values;
    enum place *places = heap_take(n, sizeof *places, "a stage's values");
    stage->value_rows = heap_take(n, sizeof *stage->value_rows, "a stage's values");
    cut_segments(stage, plan);
    mark_values(places, stage, plan);
    number_rows(stage, &plan->depth, places);
    number_gradients(stage, plan);
    free(places);
}
