/* What each part of a microbatch's work costs: measured, or counted from the model's shape. */
#include "plan_internal.h"

#include <math.h>
#include <stdlib.h>

#include <attnres/heap.h>

/** Counted in FLOPs. What a byte is worth, on the machines that this is for: a rank computes about
 * 8 FLOPs while memory gives it a byte, and about 64 while a byte of a message is packed, checked,
 * sent over 100 Gbit/s (32 cores a rank) or through shared memory (one core a rank), and unpacked.
 * They need not be exact: they weigh parts against each other that differ by more. */
static const struct costs COUNTED = {
    .flops_per_s = 1.0, .memory_bytes_per_s = 1.0 / 8.0, .pack_s = 64.0, .unpack_s = 64.0};

/** Measured in picoseconds: whole numbers up to days. */
static const double PER_SECOND = 1e12;

/** How often memory is touched, in bytes per f32, forwards, by I and by W. */
struct traffic {
    double forward, input_gradient, weight_gradient;
};
static const struct traffic
    ACTIVATION = {8, 8, 4}, /* written, read by the next and by W; gradient written and read */
    SOURCE = {4, 12, 0},    /* read by F and I; its gradient read and written */
    WEIGHT = {4, 4, 8};     /* read by F and I; its gradient read and written by W */

/** And by a step's update, per parameter: clearing its gradient; the norm, and AdamW on four
 * arrays.
 */
static const double CLEAR_BYTES = 4, UPDATE_BYTES = 32;

struct counter {
    const struct plan *plan;
    const struct costs *costs;
    double n_tokens, C;
};

/** Add work of so many FLOPs in each pass, on so many f32. */
static void add_work(struct costs_passes *passes, const struct counter *c,
                     const struct costs_passes *flops, const struct traffic *traffic, double n)
{
    const double flop_s = 1.0 / c->costs->flops_per_s, byte_s = 1.0 / c->costs->memory_bytes_per_s;
    passes->forward += flop_s * flops->forward + byte_s * traffic->forward * n;
    passes->input_gradient += flop_s * flops->input_gradient + byte_s * traffic->input_gradient * n;
    passes->weight_gradient +=
        flop_s * flops->weight_gradient + byte_s * traffic->weight_gradient * n;
}

/** A product with a weight of so many elements. */
static void add_product(struct costs_passes *passes, const struct counter *c, double n_weights)
{
    const double flops = 2.0 * n_weights * c->n_tokens;
    add_work(passes, c, &(struct costs_passes){flops, flops, flops}, &WEIGHT, n_weights);
}

static void add_activation(struct costs_passes *passes, const struct counter *c, double per_token)
{
    add_work(passes, c, &(struct costs_passes){0}, &ACTIVATION, per_token * c->n_tokens);
}

/** The matrices of a sublayer. */
static void add_products(struct costs_passes *passes, const struct counter *c, int64_t l)
{
    const struct params *params = &c->plan->params;
    for (int64_t i = params_first(params, l); i < params_first(params, l + 1); i++) {
        const struct param *p = &params->rows[i];
        if (p->rows > 0 && p->role != PARAM_EMBEDDING) {
            add_product(passes, c, (double)p->count);
        }
    }
}

/** The read in front of sublayer l and the norm behind it. A read of one source is no work. */
static void add_read(struct costs_passes *passes, const struct counter *c, int64_t l)
{
    const double pairs = (double)plan_deep_sources(&c->plan->depth, l) * c->n_tokens * c->C;
    const struct costs_passes flops = {.forward = 4.0 * pairs, .input_gradient = 8.0 * pairs};
    add_work(passes, c, &flops, &SOURCE, pairs);
    add_activation(passes, c, 2.0 * c->C);
}

static void add_attention(struct costs_passes *passes, const struct counter *c)
{
    const struct model_config *model = &c->plan->config->model;
    const double KV = c->C / (double)model->n_heads * (double)model->n_kv_heads;
    const double causal_half = 2.0 * (double)model->seq_len * c->C * c->n_tokens;
    const struct costs_passes flops = {.forward = causal_half, .input_gradient = 2.0 * causal_half};
    add_work(passes, c, &flops, &ACTIVATION, 0.0);
    add_activation(passes, c, 3.0 * c->C + 2.0 * KV);
}

static struct costs_passes count_passes(const struct counter *c, int64_t l)
{
    const struct model_config *model = &c->plan->config->model;
    const double V = (double)model->vocab, F = (double)model->ff;
    struct costs_passes passes = {0};
    add_products(&passes, c, l);
    if (l < 0) {
        add_activation(&passes, c, c->C);
        return passes;
    }
    add_read(&passes, c, l);
    if (l == c->plan->depth.n_sublayers) {
        add_activation(&passes, c, V);
        if (model->tied) {
            add_product(&passes, c, V * c->C);
        }
    } else if (l % 2 == 0) {
        add_attention(&passes, c);
    } else {
        add_activation(&passes, c, 3.0 * F + c->C);
    }
    return passes;
}

static struct costs_passes measured_passes(const struct counter *c, int64_t l)
{
    const struct costs *costs = c->costs;
    if (l < 0) {
        return costs->embedding;
    }
    struct costs_passes passes = l % 2 == 0 ? costs->attention : costs->mlp;
    passes = l == c->plan->depth.n_sublayers ? costs->head : passes;
    const double n = (double)plan_deep_sources(&c->plan->depth, l);
    passes.forward += n * costs->read_source.forward;
    passes.input_gradient += n * costs->read_source.input_gradient;
    passes.weight_gradient += n * costs->read_source.weight_gradient;
    return passes;
}

double plan_update_cost(const struct costs *costs, double n_held, double n_owned)
{
    const double bytes = CLEAR_BYTES * n_held + UPDATE_BYTES * n_owned;
    return costs_has_parts(costs) ? costs->update_s * bytes / (CLEAR_BYTES + UPDATE_BYTES)
                                  : bytes / costs->memory_bytes_per_s;
}

struct plan_part plan_part_costs(const struct plan *plan, const struct costs *costs, int64_t l)
{
    const struct counter c = {plan, costs, (double)plan->microbatch_tokens,
                              (double)plan->config->model.dim};
    double n_elements = 0.0;
    for (int64_t i = params_first(&plan->params, l); i < params_first(&plan->params, l + 1); i++) {
        n_elements += (double)plan->params.rows[i].count;
    }
    struct costs_passes passes =
        costs_has_parts(costs) ? measured_passes(&c, l) : count_passes(&c, l);
    if (l >= 0 && l < plan->depth.n_sublayers) { /* what I runs again */
        passes.input_gradient += plan_repeats(plan, l) * passes.forward;
    }
    return (struct plan_part){.passes = passes,
                              .update = plan_update_cost(costs, n_elements, n_elements)};
}

/** A part's share of a microbatch's time. */
static double part_total(const struct plan *plan, const struct costs *costs, int64_t l)
{
    const struct plan_part part = plan_part_costs(plan, costs, l);
    return part.passes.forward + part.passes.input_gradient + part.passes.weight_gradient +
           part.update / (double)plan->n_microbatches;
}

/** Both directions of the message that crosses a cut in front of sublayer l, without cache: on
 * each side one is packed and one unpacked. Inside a block it carries the open tensors too. */
static double cut_cost(const struct plan *plan, const struct costs *costs, int64_t l)
{
    const struct depth_set live = depth_live(&plan->depth, l);
    const struct wire_layout values = plan_layout_values(plan, &live);
    const struct wire_layout gradients = plan_layout_gradients(plan, &live, l);
    return 0.5 * (costs->pack_s + costs->unpack_s) *
           (double)(wire_frame_bytes(&values) + wire_frame_bytes(&gradients));
}

/* Whole numbers add up the same in any order, so that equal partitions are found equal. */
void plan_costs_count(struct plan_costs *costs, const struct plan *plan)
{
    const int64_t L = plan->depth.n_sublayers;
    const bool is_measured = costs_has_parts(&plan->measured);
    const struct costs *from = is_measured ? &plan->measured : &COUNTED;
    const double unit = is_measured ? PER_SECOND : 1.0;
    *costs = (struct plan_costs){.embedding = rint(unit * part_total(plan, from, -1)),
                                 .head = rint(unit * part_total(plan, from, L))};
    costs->sublayer = heap_take((size_t)L, sizeof *costs->sublayer, "the sublayers' costs");
    costs->cut = heap_take((size_t)L + 1, sizeof *costs->cut, "the sublayers' costs");
    for (int64_t l = 0; l < L; l++) {
        costs->sublayer[l] = rint(unit * part_total(plan, from, l));
        costs->cut[l] = l > 0 ? rint(unit * cut_cost(plan, from, l)) : 0.0;
    }
}

void plan_costs_finish(struct plan_costs *costs)
{
    free(costs->sublayer);
    free(costs->cut);
    *costs = (struct plan_costs){0};
}

double partition_work(const struct plan *plan, int64_t first, int64_t end)
{
    const struct plan_costs *costs = &plan->costs;
    double work = first == 0 ? costs->embedding : 0.0;
    for (int64_t l = first; l < end; l++) {
        work += costs->sublayer[l];
    }
    return work + (end == plan->depth.n_sublayers ? costs->head : 0.0);
}

/** Whether a message crosses the cut behind a stage. */
static bool has_message(const struct plan *plan, int index)
{
    int rank, next_rank, chunk;
    if (index < 0 || index + 1 >= plan->n_stages) {
        return false;
    }
    schedule_place(&plan->schedule.spec, index, &rank, &chunk);
    schedule_place(&plan->schedule.spec, index + 1, &next_rank, &chunk);
    return rank != next_rank;
}

double partition_stage_work(const struct plan *plan, int index, int64_t first, int64_t end)
{
    return partition_work(plan, first, end) +
           (has_message(plan, index - 1) ? plan->costs.cut[first] : 0.0) +
           (has_message(plan, index) ? plan->costs.cut[end] : 0.0);
}

double plan_stage_work(const struct plan *plan, int stage)
{
    return partition_stage_work(plan, stage, plan->stages[stage].first, plan->stages[stage].end);
}

double plan_rank_work(const struct plan *plan, int rank)
{
    double work = 0.0;
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        work += plan_stage_work(plan, plan_stage(plan, rank, chunk)->index);
    }
    return work;
}
