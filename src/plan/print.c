/* The plan for people and for plan.json. */
#include "plan_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/heap.h>
#include <attnres/json.h>
#include <attnres/text.h>

static void put_model(struct text *t, const struct plan *plan)
{
    const struct model_config *m = &plan->config->model;
    text_add(
        t,
        "model      %s, %lld layers = %lld sublayers, dim %lld, heads %lld (%lld key/value), ff "
        "%lld, vocab %lld, seq %lld%s\n",
        config_model_kind_name(m->kind), (long long)m->n_layers, (long long)plan->depth.n_sublayers,
        (long long)m->dim, (long long)m->n_heads, (long long)m->n_kv_heads, (long long)m->ff,
        (long long)m->vocab, (long long)m->seq_len, m->tied ? ", tied head" : "");
    if (plan->depth.n_blocks > 0) {
        text_add(t, "blocks     %lld of %lld sublayers (%g layers) each\n",
                 (long long)plan->depth.n_blocks, (long long)plan->depth.block_size,
                 (double)plan->depth.block_size / 2.0);
    }
    int64_t below = 0, above = 0;
    if (!config_blocks_are_legal(plan->depth.n_sublayers, m->n_blocks, &below, &above)) {
        text_add(
            t,
            "note       %lld blocks cannot be cut from %lld sublayers: kind %s, which has none, "
            "takes %lld sublayers for one where it cuts by blocks\n",
            (long long)m->n_blocks, (long long)plan->depth.n_sublayers,
            config_model_kind_name(m->kind), (long long)partition_block_size(plan));
    }
    text_add(t, "parameters %lld; %.4g MFLOP per token and training step\n",
             (long long)plan->params.n_parameters, plan_flops_per_token(plan) / 1e6);
    if (plan_trains(plan)) {
        text_add(t, "batch      %lld sequences = ", (long long)plan->config->batch.n_sequences);
        if (plan->grid.n_replicas > 1) {
            text_add(t, "%d replicas x ", plan->grid.n_replicas);
        }
        text_add(t, "%lld microbatches of %lld, %lld tokens a step\n",
                 (long long)plan->n_microbatches, (long long)plan->config->batch.microbatch,
                 (long long)(plan->config->batch.n_sequences * m->seq_len));
    }
}

/** Replicas look alike but for their ranks. */
static void put_grid(struct text *t, const struct plan *plan)
{
    const struct grid *grid = &plan->grid;
    if (grid->n_replicas == 1) {
        return;
    }
    text_add(
        t,
        "grid       %d replicas of %d rank%s; below is replica 0, replica r has ranks r*%d ... "
        "r*%d+%d\n",
        grid->n_replicas, grid->n_places, grid->n_places == 1 ? "" : "s", grid->n_places,
        grid->n_places, grid->n_places - 1);
    text_add(t, "           gradients are added in replica order; each row of weights has one "
                "replica that updates it\n");
    if (grid->n_places > 1) {
        text_add(t,
                 "           fill node after node (mpirun's default, --map-by slot): a pipeline's "
                 "ranks stay together\n");
    }
}

static double total_work(const struct plan *plan)
{
    double total = 0.0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        total += plan_rank_work(plan, rank);
    }
    return total;
}

static void put_cut(struct text *t, const struct plan *plan, int index)
{
    const struct stage *s = &plan->stages[index];
    if (s->is_last) {
        text_add(t, "%11s  %24s  %s\n", "-", "-", "-");
        return;
    }
    const struct wire_layout message = plan_values_layout(plan, index);
    text_add(t, "%11lld  %24lld  %s\n", (long long)depth_set_count(&s->outgoing),
             (long long)wire_frame_bytes(&message),
             depth_is_border(&plan->depth, s->end) ? "yes" : "no");
}

/** How much longer the slowest rank works than the mean: what a perfect partition would save. */
static void put_balance(struct text *t, const struct plan *plan)
{
    double most = 0.0;
    int slowest = 0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        const double work = plan_rank_work(plan, rank);
        slowest = work > most ? rank : slowest;
        most = work > most ? work : most;
    }
    if (plan->n_ranks > 1) {
        text_add(t, "slowest    rank %d, %.3f times the mean work of a rank (%s)\n", slowest,
                 most * plan->n_ranks / total_work(plan),
                 costs_has_parts(&plan->measured) ? "measured" : "counted");
    }
}

static void put_partition(struct text *t, const struct plan *plan)
{
    text_add(
        t, "\nstage  rank  sublayers      work  tensors out  bytes out per microbatch  on a block "
           "border\n");
    bool inside = false;
    const double total = total_work(plan);
    for (int i = 0; i < plan->n_stages; i++) {
        const struct stage *s = &plan->stages[i];
        text_add(t, "%5d  %4d  %4lld ... %-4lld %4.1f %%  ", i, s->rank, (long long)s->first,
                 (long long)s->end - 1, 100.0 * plan_stage_work(plan, i) / total);
        put_cut(t, plan, i);
        inside = inside || (!s->is_last && !depth_is_border(&plan->depth, s->end));
    }
    put_balance(t, plan);
    if (inside) {
        text_add(t, "A cut inside a block carries the block's open tensors as well;\n"
                    "a number of blocks that is a multiple of the stages avoids it.\n");
    }
}

/** Of the schedule with F = I = W = 1 on each rank, I longer by what it runs again, and messages
 * free; 0 without memory for it. */
static double unit_makespan(const struct plan *plan)
{
    const double share = 1.0 / plan->n_chunks, input = 1.0 + plan_repeats(plan, 0);
    const struct schedule_costs costs = {
        .forward = share, .input_gradient = input * share, .weight_gradient = share};
    struct schedule_simulation simulation;
    if (!schedule_simulate(&simulation, &plan->schedule, &costs, NULL)) {
        return 0.0;
    }
    const double makespan = simulation.makespan;
    schedule_simulation_finish(&simulation);
    return makespan;
}

static void put_schedule(struct text *t, const struct plan *plan, int width)
{
    text_add(t, "\nschedule   %s\n", config_schedule_name(plan->config->pipeline.schedule));
    const size_t at = t->length < t->capacity ? t->length : t->capacity;
    t->length += schedule_print_grid(&plan->schedule, width,
                                     t->bytes != NULL ? t->bytes + at : NULL, t->capacity - at);
    const double makespan = unit_makespan(plan), input = 1.0 + plan_repeats(plan, 0);
    if (makespan > 0.0) {
        const double ideal = (2.0 + input) * (double)plan->n_microbatches;
        char units[64] = "F = I = W = 1";
        if (input > 1.0) {
            snprintf(units, sizeof units, "F = W = 1, I = %.3g with recomputing", input);
        }
        text_add(t, "makespan   %g (%s per rank, messages free); bubble %.1f %% of the time\n",
                 makespan, units, 100.0 * (1.0 - ideal / makespan));
    }
}

/** The memory table: rows of MiB, a column per rank. */
enum memory_row {
    ROW_PLANNED = GROUP_COUNT, /* behind a row for each group: their sum */
    ROW_LIBRARIES,
    ROW_DATA,
    ROW_TOTAL,
    MEMORY_ROWS
};

enum { LABEL_COLUMNS = 21, NUMBER_COLUMNS = 8 };

struct memory_table {
    int n_ranks;
    bool has_measured;
    double (*mib)[MEMORY_ROWS]; /* of each rank, and behind the last of all together */
};

static const double MIB = 1048576.0;

static void fill_rank(double *mib, const struct plan *plan, int rank,
                      const struct plan_measured *measured)
{
    struct buffer_table buffers;
    plan_lay_out(&buffers, plan, rank);
    for (int i = 0; i < BUFFER_COUNT; i++) {
        const struct buffer *b = &buffers.rows[i];
        mib[b->group] += (double)b->slot_bytes * (double)b->n_slots / MIB;
    }
    mib[ROW_PLANNED] = (double)buffers.total_bytes / MIB;
    if (measured != NULL) {
        mib[ROW_LIBRARIES] = (double)measured->library_bytes / MIB;
        mib[ROW_DATA] = (double)measured->data_bytes / MIB;
    }
    mib[ROW_TOTAL] = mib[ROW_PLANNED] + mib[ROW_LIBRARIES] + mib[ROW_DATA];
}

static const char *row_name(int row)
{
    static const char *const NAMES[] = {[ROW_PLANNED] = "planned",
                                        [ROW_LIBRARIES] = "libraries (measured)",
                                        [ROW_DATA] = "data (measured)",
                                        [ROW_TOTAL] = "total"};
    return row < GROUP_COUNT ? plan_group_name((enum buffer_group)row) : NAMES[row];
}

/** Ranks in the middle that a line has no room for: [*first, *end). */
static void choose_hidden(int *first, int *end, int n_ranks, int width)
{
    const int room = (width - LABEL_COLUMNS) / NUMBER_COLUMNS - 1; /* the last: all together */
    *first = *end = n_ranks;
    if (n_ranks > room) {
        const int n_shown = room > 3 ? room - 1 : 2;
        *first = (n_shown + 1) / 2;
        *end = n_ranks - n_shown / 2;
    }
}

static void put_memory_row(struct text *t, const struct memory_table *table, int row, int width)
{
    int first_hidden = 0, end_hidden = 0;
    choose_hidden(&first_hidden, &end_hidden, table->n_ranks, width);
    text_add(t, "%-*s", LABEL_COLUMNS, row < 0 ? "rank" : row_name(row));
    for (int rank = 0; rank <= table->n_ranks; rank++) {
        if (rank == table->n_ranks && rank == 1) {
            break; /* one rank is all */
        }
        if (rank == first_hidden && first_hidden < end_hidden) {
            text_add(t, "%*s", NUMBER_COLUMNS, "...");
            rank = end_hidden;
        }
        if (row >= 0) {
            const double mib = table->mib[rank][row];
            text_add(t, " %*.*f", NUMBER_COLUMNS - 1, mib < 1e4 ? 1 : 0, mib);
        } else if (rank == table->n_ranks) {
            text_add(t, "%*s", NUMBER_COLUMNS, "all");
        } else {
            text_add(t, "%*d", NUMBER_COLUMNS, rank);
        }
    }
    text_add(t, "\n");
}

static void put_memory(struct text *t, const struct plan *plan,
                       const struct plan_measured *measured, int width)
{
    const int n_ranks = grid_size(&plan->grid);
    struct memory_table table = {.n_ranks = n_ranks, .has_measured = measured != NULL};
    table.mib = heap_take((size_t)n_ranks + 1, sizeof *table.mib, "the table of memory");
    int largest = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        fill_rank(table.mib[rank], plan, rank, measured != NULL ? &measured[rank] : NULL);
        for (int row = 0; row < MEMORY_ROWS; row++) {
            table.mib[n_ranks][row] += table.mib[rank][row];
        }
        largest = table.mib[rank][ROW_TOTAL] > table.mib[largest][ROW_TOTAL] ? rank : largest;
    }
    text_add(t, "\nmemory, MiB\n");
    put_memory_row(t, &table, -1, width);
    for (int row = 0; row < MEMORY_ROWS; row++) {
        if (table.has_measured || row < ROW_PLANNED || row == ROW_TOTAL) {
            put_memory_row(t, &table, row, width);
        }
    }
    if (n_ranks > 1) {
        text_add(t, "the most is on rank %d: %.1f MiB\n", largest, table.mib[largest][ROW_TOTAL]);
    }
    free(table.mib);
}

/** What the rank with the most would take under each setting, stages as they are. */
static void put_recompute(struct text *t, const struct plan *plan)
{
    text_add(t, "memory.recompute with this partition, MiB on the rank with the most:");
    for (int i = RECOMPUTE_NONE; i <= RECOMPUTE_ALL; i++) {
        const enum recompute_kind kind = (enum recompute_kind)i;
        text_add(t, "%s %s %.1f%s", i > 0 ? "," : "", config_recompute_name(kind),
                 (double)plan_most_bytes_recomputing(plan, kind) / MIB,
                 kind == plan->recompute ? " (this plan)" : "");
    }
    text_add(t, "\n");
}

size_t plan_print(const struct plan *plan, const struct plan_measured *measured, int width,
                  char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    put_model(&t, plan);
    put_grid(&t, plan);
    put_partition(&t, plan);
    if (plan_trains(plan)) {
        put_schedule(&t, plan, width);
    }
    put_memory(&t, plan, measured, width);
    if (plan_trains(plan)) {
        put_recompute(&t, plan);
    }
    return t.length;
}

static void write_stage(struct json_writer *w, const struct plan *plan, double total, int index)
{
    const struct stage *stage = &plan->stages[index];
    json_begin_object(w, NULL);
    json_int(w, "rank", stage->rank);
    json_int(w, "chunk", stage->chunk);
    json_int(w, "first_sublayer", stage->first);
    json_int(w, "n_sublayers", stage->end - stage->first);
    json_number(w, "work_share", plan_stage_work(plan, index) / total);
    json_int(w, "tensors_in", depth_set_count(&stage->incoming));
    json_int(w, "tensors_out", depth_set_count(&stage->outgoing));
    json_end_object(w);
}

static void write_rank(struct json_writer *w, const struct plan *plan, int rank)
{
    struct buffer_table table;
    plan_lay_out(&table, plan, rank);
    json_begin_object(w, NULL);
    json_int(w, "activation_slots", plan->schedule.n_slots[grid_place(&plan->grid, rank)]);
    json_int(w, "owned_parameters", plan->owned_counts[rank]);
    json_int(w, "planned_bytes", (int64_t)table.total_bytes);
    json_end_object(w);
}

void plan_write_json(struct json_writer *w, const struct plan *plan)
{
    json_text(w, "kind", config_model_kind_name(plan->config->model.kind));
    json_text(w, "schedule", config_schedule_name(plan->config->pipeline.schedule));
    json_int(w, "n_sublayers", plan->depth.n_sublayers);
    json_int(w, "n_blocks", plan->depth.n_blocks);
    json_int(w, "block_size", plan->depth.block_size);
    json_int(w, "n_parameters", plan->params.n_parameters);
    json_int(w, "n_replicas", plan->grid.n_replicas);
    json_int(w, "n_microbatches", plan->n_microbatches);
    json_number(w, "makespan", unit_makespan(plan));
    json_number(w, "flops_per_token", plan_flops_per_token(plan));
    if (costs_has_parts(&plan->measured)) {
        json_text(w, "costs", plan->config->pipeline.costs);
    }
    const double total = total_work(plan);
    json_begin_array(w, "stages");
    for (int i = 0; i < plan->n_stages; i++) {
        write_stage(w, plan, total, i);
    }
    json_end_array(w);
    json_begin_array(w, "ranks");
    for (int i = 0; i < grid_size(&plan->grid); i++) {
        write_rank(w, plan, i);
    }
    json_end_array(w);
}

size_t plan_print_json(const struct plan *plan, char *text, size_t capacity)
{
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    plan_write_json(&w, plan);
    json_end_object(&w);
    return json_writer_ok(&w) ? w.length : 0;
}
