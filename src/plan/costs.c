/* Counted costs: FLOPs and bytes of each part of a microbatch's work, from the model's shape. */
#include "plan_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/** What a byte is worth in FLOPs, on the machines that this is for: a rank computes about 8 FLOPs
 * while memory gives it a byte, and about 64 while a byte of a message is packed, checked, sent
 * over 100 Gbit/s (32 cores a rank) or through shared memory (one core a rank), and unpacked. They
 * need not be exact: they weigh parts against each other that differ by more. */
static const double FLOPS_PER_MEMORY_BYTE = 8.0, FLOPS_PER_MESSAGE_BYTE = 64.0;

/** Forward, input gradient and weight gradient cost as much. */
static const double PASSES = 3.0;

/** How often memory is touched, in bytes per f32. */
enum {
    BYTES_PER_ACTIVATION = 20, /* written, read by the next and by W; gradient written and read */
    BYTES_PER_SOURCE = 16,     /* read by F and I; its gradient read and written */
    BYTES_PER_WEIGHT = 16,     /* read by F and I; its gradient read and written by W */
    BYTES_PER_UPDATE = 36      /* per step: the norm, AdamW on four arrays, clearing */
};

struct counter {
    const struct plan *plan;
    double n_tokens, C;
};

static double weigh(double flops, double bytes)
{
    return flops + FLOPS_PER_MEMORY_BYTE * bytes;
}

/** A product with a weight of so many elements. */
static double product_cost(const struct counter *c, double n_weights)
{
    return weigh(PASSES * 2.0 * n_weights * c->n_tokens, BYTES_PER_WEIGHT * n_weights);
}

static double update_cost(const struct counter *c, double n_weights)
{
    return weigh(0.0, BYTES_PER_UPDATE * n_weights / (double)c->plan->n_microbatches);
}

static double activation_cost(const struct counter *c, double per_token)
{
    return weigh(0.0, BYTES_PER_ACTIVATION * per_token * c->n_tokens);
}

/** The matrices of a sublayer and the updates of all its rows. */
static double param_cost(const struct counter *c, int64_t l)
{
    const struct params *params = &c->plan->params;
    double cost = 0.0;
    for (int64_t i = params_first(params, l); i < params_first(params, l + 1); i++) {
        const struct param *p = &params->rows[i];
        cost += update_cost(c, (double)p->count);
        if (p->rows > 0 && p->role != PARAM_EMBEDDING) {
            cost += product_cost(c, (double)p->count);
        }
    }
    return cost;
}

/** The read in front of sublayer l and the norm behind it. A read of one source is no work. */
static double read_cost(const struct counter *c, int64_t l)
{
    const int64_t n_sources = stage_read_sources(c->plan, l);
    const double pairs = n_sources > 1 ? (double)n_sources * c->n_tokens * c->C : 0.0;
    return weigh(PASSES * 4.0 * pairs, BYTES_PER_SOURCE * pairs) + activation_cost(c, 2.0 * c->C);
}

static double sublayer_cost(const struct counter *c, int64_t l)
{
    const struct model_config *model = &c->plan->config->model;
    const double KV = c->C / (double)model->n_heads * (double)model->n_kv_heads;
    const double C = c->C, T = (double)model->seq_len, F = (double)model->ff;
    const double shared = param_cost(c, l) + read_cost(c, l);
    if (l % 2 == 0) {
        const double causal_half = 2.0 * T * C * c->n_tokens;
        return shared + PASSES * causal_half + activation_cost(c, 3.0 * C + 2.0 * KV);
    }
    return shared + activation_cost(c, 3.0 * F + C);
}

static double head_cost(const struct counter *c)
{
    const struct model_config *model = &c->plan->config->model;
    const int64_t L = c->plan->depth.n_sublayers;
    const double V = (double)model->vocab;
    const double tied = model->tied ? product_cost(c, V * c->C) : 0.0;
    return param_cost(c, L) + read_cost(c, L) + activation_cost(c, V) + tied;
}

/** Both directions of the message that crosses a cut in front of sublayer l, without cache. Inside
 * a block it carries the open tensors too. */
static double cut_cost(const struct counter *c, int64_t l)
{
    const struct depth_set live = depth_live(&c->plan->depth, l);
    const struct wire_layout values = plan_layout_values(c->plan, &live);
    const struct wire_layout gradients = plan_layout_gradients(c->plan, &live, l);
    return FLOPS_PER_MESSAGE_BYTE *
           (double)(wire_frame_bytes(&values) + wire_frame_bytes(&gradients));
}

/* Whole numbers add up the same in any order, so that equal partitions are found equal. */
void plan_costs_count(struct plan_costs *costs, const struct plan *plan)
{
    const int64_t L = plan->depth.n_sublayers;
    const struct counter c = {plan, (double)plan->microbatch_tokens,
                              (double)plan->config->model.dim};
    *costs = (struct plan_costs){.embedding = rint(param_cost(&c, -1) + activation_cost(&c, c.C)),
                                 .head = rint(head_cost(&c))};
    costs->sublayer = calloc((size_t)L, sizeof *costs->sublayer);
    costs->cut = calloc((size_t)L + 1, sizeof *costs->cut);
    assert(costs->sublayer != NULL && costs->cut != NULL && "a few bytes a sublayer");
    for (int64_t l = 0; l < L; l++) {
        /* The forward pass, one of three that cost as much, is run again. */
        costs->sublayer[l] = rint(sublayer_cost(&c, l) * (1.0 + plan_repeats(plan, l) / PASSES));
        costs->cut[l] = l > 0 ? cut_cost(&c, l) : 0.0;
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
