#include "plan_internal.h"

#include <stdlib.h>

#include <attnres/heap.h>
#include <attnres/rng.h>

int64_t plan_deep_sources(const struct depth_plan *depth, int64_t l)
{
    const struct depth_set sources = depth_live(depth, l);
    const int64_t n = depth_set_count(&sources);
    return n > 1 ? n : 0;
}

bool plan_trains(const struct plan *plan)
{
    return plan->purpose == PLAN_TRAIN || plan->purpose == PLAN_INSPECT;
}

bool plan_recomputes(const struct plan *plan)
{
    return plan->recompute != RECOMPUTE_NONE;
}

int64_t stage_value_index(const struct stage *stage, int64_t id)
{
    int64_t low = 0, high = stage->n_values;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (stage->value_ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < stage->n_values && stage->value_ids[low] == id ? low : -1;
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/** Values the stage holds: what comes in (or b_0), and what its sublayers leave. */
static void list_values(struct stage *stage, const struct depth_plan *depth)
{
    const struct depth_set held = depth_live(depth, stage->first);
    const int64_t n_held = depth_set_count(&held);
    stage->value_ids = heap_take((size_t)(n_held + 2 * (stage->end - stage->first)),
                                 sizeof(int64_t), "a stage's values");
    for (int64_t i = 0; i < n_held; i++) {
        stage->value_ids[stage->n_values++] = depth_set_id(&held, i);
    }
    for (int64_t l = stage->first; l < stage->end; l++) {
        const struct depth_output out = depth_output_of(depth, l);
        stage->value_ids[stage->n_values++] = out.value;
        if (out.completes >= 0) {
            stage->value_ids[stage->n_values++] = out.completes;
        }
    }
    qsort(stage->value_ids, (size_t)stage->n_values, sizeof(int64_t), compare_ids);
}

const struct stage *plan_stage(const struct plan *plan, int rank, int chunk)
{
    return &plan->stages[schedule_stage(&plan->schedule.spec, rank, chunk)];
}

struct wire_layout plan_message_layout(const struct plan *plan, const struct depth_set *set,
                                       enum precision precision)
{
    static const enum wire_encoding OF[] = {
        [PRECISION_F32] = WIRE_F32, [PRECISION_BF16] = WIRE_BF16, [PRECISION_INT8] = WIRE_INT8};
    return (struct wire_layout){.encoding = OF[precision],
                                .n_encoded = set->n_completed,
                                .n_plain = set->n_open,
                                .rows = plan->microbatch_tokens,
                                .cols = plan->config->model.dim};
}

struct wire_layout plan_layout_values(const struct plan *plan, const struct depth_set *set)
{
    return plan_message_layout(plan, set, plan->config->representative.value);
}

struct wire_layout plan_layout_gradients(const struct plan *plan, const struct depth_set *set,
                                         int64_t cut)
{
    const bool is_border = depth_is_border(&plan->depth, cut);
    return plan_message_layout(plan, set,
                               is_border ? plan->config->representative.gradient : PRECISION_F32);
}

struct wire_layout plan_values_layout(const struct plan *plan, int stage)
{
    return plan_layout_values(plan, &plan->stages[stage].outgoing);
}

struct wire_layout plan_gradients_layout(const struct plan *plan, int stage)
{
    return plan_layout_gradients(plan, &plan->stages[stage].outgoing, plan->stages[stage].end);
}

int plan_last_rank(const struct plan *plan)
{
    return plan->stages[plan->n_stages - 1].rank;
}

static void fill_stage(struct stage *stage, const struct plan *plan, int index, int64_t first,
                       int64_t end)
{
    const struct depth_plan *depth = &plan->depth;
    *stage = (struct stage){.index = index,
                            .is_first = index == 0,
                            .is_last = index == plan->n_stages - 1,
                            .first = first,
                            .end = end};
    schedule_place(&plan->schedule.spec, index, &stage->rank, &stage->chunk);
    const struct param *rows = plan->params.rows;
    stage->first_param = params_first(&plan->params, stage->is_first ? -1 : first);
    stage->end_param = params_first(&plan->params, stage->is_last ? depth->n_sublayers + 1 : end);
    const struct param *last = &rows[stage->end_param - 1];
    stage->weight_count = last->offset + last->count - rows[stage->first_param].offset;
    if (!stage->is_first) {
        stage->incoming = plan->routing.stages[index].received;
    }
    stage->outgoing = routing_sent(&plan->routing, index);
    list_values(stage, depth);
    stage->n_reads = end - first + (stage->is_last ? 1 : 0);
    stage->score_offset = heap_take((size_t)stage->n_reads + 1, sizeof(int64_t), "a stage's reads");
    for (int64_t i = 0; i < stage->n_reads; i++) {
        const int64_t n_sources = plan_deep_sources(depth, first + i);
        stage->score_offset[i + 1] = stage->score_offset[i] + n_sources;
        stage->n_deep_reads += n_sources > 0;
    }
    stage->n_attention = (end + 1) / 2 - (first + 1) / 2;
    stage->n_mlp = end - first - stage->n_attention;
    plan_place_values(stage, plan);
}

/** Add a stage to what its rank owns. Stages come in ascending order, and so do a rank's chunks. */
static void note_stage(struct plan *plan, struct stage *stage)
{
    enum { ALIGNMENT = ARENA_ALIGNMENT / sizeof(float) };
    struct plan_rank *rank = &plan->ranks[stage->rank];
    stage->weight_base = rank->weight_count;
    stage->param_base = rank->n_params;
    rank->weight_count += (stage->weight_count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    rank->n_params += stage->end_param - stage->first_param;
    rank->has_first = rank->has_first || stage->is_first;
    rank->has_last = rank->has_last || stage->is_last;
    plan->max_rank_params =
        rank->n_params > plan->max_rank_params ? rank->n_params : plan->max_rank_params;
}

/** Logits, and then their gradient, are there from F, where that makes them, or from I until W.
 * Evaluation has one microbatch at a time. */
static int count_logit_slots(const struct plan *plan)
{
    int rank, chunk;
    schedule_place(&plan->schedule.spec, plan->n_stages - 1, &rank, &chunk);
    const enum action_op from = plan_recomputes(plan) ? ACTION_INPUT_GRADIENT : ACTION_FORWARD;
    const int n = plan_trains(plan) ? schedule_count_live(&plan->schedule, rank, chunk, from) : 0;
    return n > 0 ? n : 1;
}

bool plan_make_stages(struct plan *plan, const int64_t *ends, struct error *err)
{
    plan->stages = heap_take((size_t)plan->n_stages, sizeof *plan->stages, "the plan's stages");
    plan->ranks = heap_take((size_t)plan->n_ranks, sizeof *plan->ranks, "the plan's ranks");
    plan->max_rank_params = 0;
    plan->n_logit_slots = count_logit_slots(plan);
    /* With one chunk a rank there is nothing to keep. */
    const bool caches = plan->config->pipeline.cache && plan->n_chunks > 1;
    if (!routing_init(&plan->routing, &plan->depth, ends, &plan->schedule.spec, caches, err)) {
        return false;
    }
    for (int i = 0; i < plan->n_stages; i++) {
        struct stage *stage = &plan->stages[i];
        fill_stage(stage, plan, i, i == 0 ? 0 : ends[i - 1], ends[i]);
        note_stage(plan, stage);
    }
    plan_choose_owners(plan);
    return true;
}

void plan_drop_stages(struct plan *plan)
{
    for (int i = 0; plan->stages != NULL && i < plan->n_stages; i++) {
        free(plan->stages[i].value_ids);
        free(plan->stages[i].value_rows);
        free(plan->stages[i].dvalue_rows);
        free(plan->stages[i].segment_first);
        free(plan->stages[i].segment_end);
        free(plan->stages[i].score_offset);
    }
    free(plan->stages);
    free(plan->ranks);
    free(plan->owners);
    free(plan->owned_counts);
    plan->stages = NULL;
    plan->ranks = NULL;
    plan->owners = NULL;
    plan->owned_counts = NULL;
    routing_finish(&plan->routing);
}

static bool partition(struct plan *plan, struct error *err)
{
    int64_t *ends = heap_take((size_t)plan->n_stages, sizeof *ends, "the partition");
    plan_costs_count(&plan->costs, plan);
    const bool ok = plan_partition(ends, plan, err) && plan_make_stages(plan, ends, err);
    free(ends);
    return ok;
}

static bool make_schedules(struct plan *plan, struct error *err)
{
    const struct pipeline_config *pipeline = &plan->config->pipeline;
    const struct schedule_spec forward = {.kind = schedule_forward_kind(pipeline->schedule),
                                          .n_ranks = plan->n_ranks,
                                          .n_chunks = plan->n_chunks,
                                          .n_microbatches = 1};
    const struct schedule_spec training = {.kind = pipeline->schedule,
                                           .group = (int)pipeline->n_group,
                                           .n_ranks = plan->n_ranks,
                                           .n_chunks = plan->n_chunks,
                                           .n_microbatches = (int)plan->n_microbatches};
    /* First that of the configuration: what is wrong with it is said in its name. */
    if (!schedule_init(&plan->schedule, plan_trains(plan) ? &training : &forward, err) ||
        !schedule_init(&plan->forward, &forward, err)) {
        return false;
    }
    const int a = plan->schedule.channel_depth, b = plan->forward.channel_depth;
    plan->channel_depth = a > b ? a : b;
    return true;
}

/** pipeline.replicas: auto makes as many as there are ranks for. */
static bool check_replicas(const struct grid *grid, struct error *err)
{
    return grid->n_replicas <= CONFIG_MAX_REPLICAS ||
           error_set(err, ERROR_LAUNCH,
                     "pipeline.replicas: auto makes %d replicas of %d ranks, more than %d: start "
                     "it with at most mpirun -n %d, or with more pipeline.stages",
                     grid->n_replicas, grid_size(grid), CONFIG_MAX_REPLICAS,
                     CONFIG_MAX_REPLICAS * grid->n_places);
}

/** Of those of a step each replica takes as many. With pipeline.replicas: auto only the grid knows
 * whether they can. */
static bool share_microbatches(struct plan *plan, struct error *err)
{
    const int64_t n = plan->config->batch.n_sequences / plan->config->batch.microbatch;
    const struct grid *grid = &plan->grid;
    plan->n_microbatches = n / grid->n_replicas;
    if (n % grid->n_replicas == 0) {
        return true;
    }
    int below = grid->n_replicas;
    while (n % below != 0) {
        below--;
    }
    return error_set(
        err, ERROR_LAUNCH,
        "pipeline.replicas: auto makes %d replicas of %d ranks, which cannot share "
        "the %lld microbatches of a step evenly: start it with mpirun -n %d, or choose "
        "another batch.sequences",
        grid->n_replicas, grid_size(grid), (long long)n, below * grid->n_places);
}

bool plan_init_measured(struct plan *plan, const struct config *config, const struct costs *costs,
                        int n_ranks, enum plan_purpose purpose, struct error *err)
{
    *plan =
        (struct plan){.config = config,
                      .purpose = purpose,
                      .depth = depth_plan_make(&config->model),
                      .microbatch_tokens = config->batch.microbatch *
                                           (purpose == PLAN_GENERATE ? 1 : config->model.seq_len)};
    plan->recompute = plan_trains(plan) ? config->memory.recompute : RECOMPUTE_ALL;
    plan->measured = costs != NULL ? *costs : (struct costs){0};
    if (!grid_init(&plan->grid, n_ranks, config->pipeline.n_replicas, config->pipeline.n_stages,
                   err) ||
        !check_replicas(&plan->grid, err) || !share_microbatches(plan, err)) {
        return false;
    }
    plan->n_ranks = plan->grid.n_places;
    plan->n_chunks = (int)config->pipeline.n_chunks;
    plan->n_stages = plan->n_ranks * plan->n_chunks;
    params_init(&plan->params, &config->model, &plan->depth);
    if (!plan_check_stages(plan, err) || !make_schedules(plan, err) || !partition(plan, err) ||
        !plan_check_messages(plan, err)) {
        plan_finish(plan);
        return false;
    }
    return true;
}

bool plan_init(struct plan *plan, const struct config *config, int n_ranks,
               enum plan_purpose purpose, struct error *err)
{
    return plan_init_measured(plan, config, NULL, n_ranks, purpose, err);
}

void plan_finish(struct plan *plan)
{
    plan_drop_stages(plan);
    plan_costs_finish(&plan->costs);
    schedule_finish(&plan->schedule);
    schedule_finish(&plan->forward);
    params_finish(&plan->params);
    *plan = (struct plan){0};
}

double plan_flops_per_token(const struct plan *plan)
{
    return params_flops_per_token(&plan->params, &plan->config->model, &plan->depth);
}

static uint64_t mix(uint64_t hash, int64_t value)
{
    return rng_at(hash, (uint64_t)value);
}

uint64_t plan_hash(const struct plan *plan)
{
    const int n_ranks = grid_size(&plan->grid);
    uint64_t hash = mix(0, n_ranks);
    for (int i = 0; i < plan->n_stages; i++) {
        const struct stage *stage = &plan->stages[i];
        hash = mix(mix(mix(hash, stage->rank), stage->first), stage->end);
    }
    for (int rank = 0; rank < n_ranks; rank++) {
        struct buffer_table table;
        plan_lay_out(&table, plan, rank);
        hash = mix(hash, (int64_t)table.total_bytes);
    }
    const struct schedule *schedule = &plan->schedule;
    for (int64_t i = 0; i < schedule->first_action[schedule->spec.n_ranks]; i++) {
        const struct action *action = &schedule->actions[i];
        hash = mix(mix(mix(hash, (int64_t)action->op), action->microbatch), action->chunk);
    }
    return hash;
}
