#include <attnres/predict.h>

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include <attnres/heap.h>

static bool sends_messages(const struct plan *plan)
{
    return plan->n_ranks > 1;
}

const char *predict_find_missing(const struct plan *plan, const struct costs *costs)
{
    const bool is_counted = !costs_has_parts(costs);
    const struct {
        const char *key;
        bool is_needed;
        double value;
    } rates[] = {
        {"flops_per_s", is_counted, costs->flops_per_s},
        {"memory_bytes_per_s", is_counted, costs->memory_bytes_per_s},
        {"pack_s_per_byte", sends_messages(plan), costs->pack_s},
        {"unpack_s_per_byte", sends_messages(plan), costs->unpack_s},
        {"link_bytes_per_s", grid_size(&plan->grid) > 1, costs->link_bytes_per_s},
    };
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (rates[i].is_needed && rates[i].value <= 0.0) {
            return rates[i].key;
        }
    }
    return NULL;
}

/** Whether a message crosses the cut behind a stage. */
static bool has_message(const struct plan *plan, int stage)
{
    return stage >= 0 && stage + 1 < plan->n_stages &&
           plan->stages[stage].rank != plan->stages[stage + 1].rank;
}

static void add_part(struct schedule_stage_costs *stage, const struct plan_part *part)
{
    stage->forward += part->passes.forward;
    stage->input_gradient += part->passes.input_gradient;
    stage->weight_gradient += part->passes.weight_gradient;
}

/** A stage's work. */
static struct schedule_stage_costs work_of(const struct plan *plan, const struct costs *costs,
                                           int index)
{
    const struct stage *stage = &plan->stages[index];
    const int64_t first = stage->is_first ? -1 : stage->first;
    struct schedule_stage_costs work = {0};
    for (int64_t l = first; l < stage->end + stage->is_last; l++) {
        const struct plan_part part = plan_part_costs(plan, costs, l);
        add_part(&work, &part);
    }
    return work;
}

static double frame_bytes(struct wire_layout layout)
{
    return (double)wire_frame_bytes(&layout);
}

static void add_messages(struct schedule_stage_costs *stage, const struct plan *plan,
                         const struct costs *costs, int index)
{
    if (has_message(plan, index)) {
        const double values = frame_bytes(plan_values_layout(plan, index));
        stage->pack_values = values * costs->pack_s;
        stage->values_transit = values / costs->link_bytes_per_s;
        stage->unpack_gradients = frame_bytes(plan_gradients_layout(plan, index)) * costs->unpack_s;
    }
    if (has_message(plan, index - 1)) {
        const double gradients = frame_bytes(plan_gradients_layout(plan, index - 1));
        stage->pack_gradients = gradients * costs->pack_s;
        stage->gradients_transit = gradients / costs->link_bytes_per_s;
        stage->unpack_values = frame_bytes(plan_values_layout(plan, index - 1)) * costs->unpack_s;
    }
}

/** What a rank of the grid holds, and what it owns of that: parameters. */
struct share {
    double held, owned;
};

/** The largest of a figure over the ranks of the grid. What the ranks of a place hold is owned by
 * one or the other of them. */
static double find_most(const struct plan *plan, const struct costs *costs,
                        double (*figure)(const struct plan *, const struct costs *,
                                         const struct share *))
{
    double most = 0.0;
    for (int place = 0; place < plan->n_ranks; place++) {
        struct share share = {0};
        for (int replica = 0; replica < plan->grid.n_replicas; replica++) {
            share.held += (double)plan->owned_counts[grid_rank(&plan->grid, replica, place)];
        }
        for (int replica = 0; replica < plan->grid.n_replicas; replica++) {
            share.owned = (double)plan->owned_counts[grid_rank(&plan->grid, replica, place)];
            most = fmax(most, figure(plan, costs, &share));
        }
    }
    return most;
}

/** Each replica sends its gradients of what others own and receives theirs of what it owns; then
 * the weights go the other way. */
static double share_reduction_s(const struct plan *plan, const struct costs *costs,
                                const struct share *share)
{
    const double n_others = plan->grid.n_replicas - 1.0;
    const double most = fmax(n_others * share->owned, share->held - share->owned);
    return 2.0 * (4.0 * most / costs->link_bytes_per_s + n_others * costs->link_latency_s);
}

static double share_update_s(const struct plan *plan, const struct costs *costs,
                             const struct share *share)
{
    (void)plan;
    return plan_update_cost(costs, share->held, share->owned);
}

/** The head's gradient to the first rank, and the weight back. */
static double tied_head_s(const struct plan *plan, const struct costs *costs)
{
    const struct model_config *model = &plan->config->model;
    const double bytes = 4.0 * (double)model->vocab * (double)model->dim;
    return model->tied && plan_last_rank(plan) != 0
               ? 2.0 * (bytes / costs->link_bytes_per_s + costs->link_latency_s)
               : 0.0;
}

/** Rank 0 takes the reports one after another; its decision spreads as a tree. */
static double report_s(const struct plan *plan, const struct costs *costs)
{
    const double n_ranks = grid_size(&plan->grid);
    const double bytes = PLAN_REPORT_HEAD_BYTES + 8.0 * (double)plan->max_rank_params;
    return n_ranks > 1.0
               ? (n_ranks - 1.0) * (costs->link_latency_s + bytes / costs->link_bytes_per_s) +
                     ceil(log2(n_ranks)) * costs->link_latency_s
               : 0.0;
}

static double mean_busy(const struct plan *plan, const struct schedule_simulation *simulation)
{
    double sum = 0.0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        sum += simulation->busy[rank];
    }
    return sum / plan->n_ranks;
}

/** The pipeline's part of the step, with messages and without. */
static bool simulate(struct prediction *p, const struct plan *plan, const struct costs *costs,
                     struct error *err)
{
    struct schedule_simulation alone;
    struct schedule_costs times = {.stages = p->stages};
    for (int i = 0; i < plan->n_stages; i++) {
        p->stages[i] = work_of(plan, costs, i);
    }
    if (!schedule_simulate(&alone, &plan->schedule, &times, err)) {
        return false;
    }
    for (int i = 0; i < plan->n_stages; i++) {
        add_messages(&p->stages[i], plan, costs, i);
    }
    times.send = costs->link_latency_s;
    const bool ok = schedule_simulate(&p->simulation, &plan->schedule, &times, err);
    if (ok) {
        p->compute_s = mean_busy(plan, &alone);
        p->bubble_s = alone.makespan - p->compute_s;
        p->messages_s = p->simulation.makespan - alone.makespan;
    }
    schedule_simulation_finish(&alone);
    return ok;
}

bool predict_step(struct prediction *out, const struct plan *plan, const struct costs *costs,
                  struct error *err)
{
    assert(predict_find_missing(plan, costs) == NULL);
    struct prediction p = {
        .stages = heap_take((size_t)plan->n_stages, sizeof *p.stages, "a prediction's stages")};
    if (!simulate(&p, plan, costs, err)) {
        prediction_finish(&p);
        return false;
    }
    p.reduce_s = plan->grid.n_replicas > 1 ? find_most(plan, costs, share_reduction_s) : 0.0;
    p.update_s = find_most(plan, costs, share_update_s) + tied_head_s(plan, costs);
    p.report_s = report_s(plan, costs);
    p.step_s = p.simulation.makespan + p.reduce_s + p.update_s + p.report_s;
    p.efficiency = p.compute_s / p.step_s;
    p.tokens_per_s =
        (double)plan->config->batch.n_sequences * (double)plan->config->model.seq_len / p.step_s;
    *out = p;
    return true;
}

void prediction_finish(struct prediction *prediction)
{
    free(prediction->stages);
    schedule_simulation_finish(&prediction->simulation);
    *prediction = (struct prediction){0};
}

static void add_link(struct predicted_link *links, int *n, int from, int to, double bytes)
{
    int i = 0;
    while (i < *n && (links[i].from != from || links[i].to != to)) {
        i++;
    }
    if (i == *n) {
        links[(*n)++] = (struct predicted_link){.from = from, .to = to};
    }
    links[i].bytes += bytes;
}

int predict_links(struct predicted_link *links, const struct plan *plan,
                  const struct routing *routing, enum precision value, enum precision gradient)
{
    const double M = (double)plan->n_microbatches;
    int n = 0;
    for (int i = 0; i + 1 < plan->n_stages; i++) {
        if (has_message(plan, i)) {
            const struct depth_set set = routing_sent(routing, i);
            const int from = plan->stages[i].rank, to = plan->stages[i + 1].rank;
            const enum precision back =
                depth_is_border(&plan->depth, plan->stages[i].end) ? gradient : PRECISION_F32;
            add_link(links, &n, from, to, M * frame_bytes(plan_message_layout(plan, &set, value)));
            add_link(links, &n, to, from, M * frame_bytes(plan_message_layout(plan, &set, back)));
        }
    }
    return n;
}

struct predicted_traffic predict_traffic(const struct plan *plan, const struct routing *routing,
                                         enum precision value, enum precision gradient)
{
    struct predicted_traffic traffic = {0};
    struct predicted_link *links =
        heap_take(2 * (size_t)plan->n_stages, sizeof *links, "the predicted messages");
    double *sent = heap_take((size_t)plan->n_ranks, sizeof *sent, "the predicted messages");
    const int n = predict_links(links, plan, routing, value, gradient);
    for (int i = 0; i < n; i++) {
        sent[links[i].from] += links[i].bytes;
        traffic.all += links[i].bytes;
        traffic.busiest = fmax(traffic.busiest, sent[links[i].from]);
    }
    free(sent);
    free(links);
    return traffic;
}
