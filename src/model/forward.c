#include "model_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/** Inverse RMS of a value as a source of this stage's query reads. */
static void measure_source(const struct model *model, int slot, int64_t id)
{
    const struct model_config *config = &model->plan->config->model;
    if (model->stage->n_deep_reads == 0 || config->read == READ_STATIC) {
        return;
    }
    model->kernels->depth_inverse_rms(model_inverse_rms(model, slot, id),
                                      model_value(model, slot, id), model->n, config->dim,
                                      (float)config->norm_eps);
}

/** A completed source takes its precision once, here, on one rank as on many. What arrives has it
 * already. */
static void represent(const struct model *model, int slot, int64_t id)
{
    const int64_t C = model->plan->config->model.dim;
    switch (model->plan->config->representative.value) {
    case PRECISION_F32:
        break;
    case PRECISION_BF16:
        model->kernels->round_bf16(model_value(model, slot, id), model->n * C);
        break;
    case PRECISION_INT8:
        model->kernels->round_int8(model_value(model, slot, id), model_scales(model, slot, id),
                                   model->n, C);
        break;
    }
}

void model_forward_begin(const struct model *model, const struct model_work *work)
{
    const struct stage *stage = model->stage;
    if (stage->is_first) {
        const float *table = model_weight(model, model_param(model, -1, PARAM_EMBEDDING));
        model->kernels->embed_forward(model_value(model, work->slot, 0), table, work->tokens,
                                      model->n, model->plan->config->model.dim);
        represent(model, work->slot, 0);
        measure_source(model, work->slot, 0);
        return;
    }
    const struct depth_set held = depth_live(&model->plan->depth, stage->first);
    for (int64_t i = 0; i < depth_set_count(&held); i++) {
        measure_source(model, work->slot, depth_set_id(&held, i));
    }
}

/** Sources [from, end) of read l, in a slot. */
struct source_run {
    int slot;
    int64_t l, from, end;
};

/** Run the recurrence of reads that have the same next sources. */
static void advance(const struct model *model, struct depth_read *reads, int n_reads,
                    const struct source_run *run)
{
    model_fill_sources(model, run->slot, run->l, run->from, run->end);
    model->kernels->depth_read_advance(reads, n_reads, model->sources, run->end - run->from,
                                       model->n, model->plan->config->model.dim);
}

/** Leave the next source out: it gets no weight. If it is the first, the recurrence begins with
 * nothing, below which every score lies by so much that what follows is exactly the start. */
static void pass_over(const struct model *model, struct depth_read *read)
{
    static const float BELOW_ALL = -1e30F;
    const int64_t n = model->n;
    float *scores = read->s + read->n_seen * n;
    for (int64_t t = 0; t < n; t++) {
        scores[t] = -INFINITY;
    }
    if (read->n_seen == 0) {
        for (int64_t t = 0; t < n; t++) {
            read->m[t] = BELOW_ALL;
        }
        memset(read->d, 0, (size_t)n * sizeof *read->d);
        memset(read->o, 0, (size_t)(n * model->plan->config->model.dim) * sizeof *read->o);
    }
    read->n_seen++;
}

/** The same without model->masked, if it is among the sources. */
static void advance_unmasked(const struct model *model, struct depth_read *reads, int n_reads,
                             struct source_run run)
{
    const struct depth_set set = depth_live(&model->plan->depth, run.l);
    const int64_t end = run.end;
    run.end = run.from;
    while (run.end < end && depth_set_id(&set, run.end) != model->masked) {
        run.end++;
    }
    advance(model, reads, n_reads, &run);
    if (run.end == end) {
        return;
    }
    for (int i = 0; i < n_reads; i++) {
        pass_over(model, &reads[i]);
    }
    run.from = run.end + 1;
    run.end = end;
    advance(model, reads, n_reads, &run);
}

/** First phase: the reads of the open block on this stage take the completed sources, all in one
 * sweep. Queries do not depend on the input, so this needs nothing but the sources. */
static void start_reads(const struct model *model, int slot, int part)
{
    const struct model_reads group = model_reads_of_block(model, part);
    for (int i = group.first; i < group.end; i++) {
        model->reads[i] = model_read(model, slot, i);
    }
    if (group.end > group.first) {
        const struct source_run run = {slot, model_part_sublayer(model, part), 0, group.n_common};
        advance_unmasked(model, &model->reads[group.first], group.end - group.first, run);
    }
}

/** The depth attention in front of a part and the norm behind it. */
static const void *forward_input(const struct model *model, const struct model_work *work, int part)
{
    const struct model_config *config = &model->plan->config->model;
    const int64_t n = model->n, C = config->dim, n_sources = model_deep_sources(model, part);
    const float *gain =
        model_weight(model, model_param(model, model_part_sublayer(model, part), PARAM_GAIN));
    void *normed = model_passing_row(model, BUFFER_NORMED);
    float *rstd = model_inner_row(model, BUFFER_RSTD, work, part, n);
    float *draft = model_operand_draft(model, normed);
    if (model_opens_block(model, part)) {
        start_reads(model, work->slot, part);
    }
    if (n_sources == 0) {
        model->kernels->rmsnorm_forward(draft, rstd, model_hidden(model, work->slot, part), gain, n,
                                        C, (float)config->norm_eps);
    } else {
        struct depth_read *read = &model->reads[part];
        const int64_t l = model_part_sublayer(model, part);
        if (model->masked >= 0) {
            const struct source_run run = {work->slot, l, read->n_seen, n_sources};
            advance_unmasked(model, read, 1, run);
        }
        model_fill_sources(model, work->slot, l, read->n_seen, n_sources);
        model->kernels->depth_read_finish(draft, rstd, read, model->sources,
                                          n_sources - read->n_seen, gain, n, C,
                                          (float)config->norm_eps);
    }
    return model_operand_keep(model, normed, n * C);
}

/** Attention of one token to itself and those before it, whose keys and values are remembered. */
static void attend_to_past(const struct model *model, const struct model_work *work, int part,
                           float *attended, float *qkv)
{
    const struct attention_shape *shape = &model->shape;
    const int64_t H = shape->n_heads * shape->head_dim, KV = shape->n_kv_heads * shape->head_dim;
    float *past = model_past(model, work->slot, part);
    assert(shape->n_sequences == 1 && work->position < model->plan->config->model.seq_len);
    model->kernels->rope_forward(qkv, memory_buffer(model->memory, BUFFER_ROPE, 0), shape,
                                 work->position);
    memcpy(past + work->position * 2 * KV, qkv + H, (size_t)(2 * KV) * sizeof *past);
    model->kernels->attention_decode(attended, qkv, past, past + KV,
                                     memory_buffer(model->memory, BUFFER_ATTENTION_SCRATCH, 0),
                                     work->position + 1, 2 * KV, shape);
}

static const void *attend(const struct model *model, const struct model_work *work, int part,
                          const void *normed)
{
    const struct attention_shape *shape = &model->shape;
    const int64_t n = model->n, C = model->plan->config->model.dim,
                  l = model_part_sublayer(model, part);
    const int64_t width = C + 2 * shape->n_kv_heads * shape->head_dim;
    float *qkv = model_lasting_row(model, BUFFER_QKV, work, part, n * width);
    float *lse = model_inner_row(model, BUFFER_ATTENTION_LSE, work, part, n * shape->n_heads);
    float *attended = model_lasting_row(model, BUFFER_ATTENDED, work, part, n * C);
    const void *w_qkv = model_operand_weight(model, model_param(model, l, PARAM_Q));
    matmul_forward(model->qkv, qkv, normed, w_qkv, model->product_scratch);
    if (model->plan->purpose == PLAN_GENERATE) {
        attend_to_past(model, work, part, attended, qkv);
    } else {
        model->kernels->rope_forward(qkv, memory_buffer(model->memory, BUFFER_ROPE, 0), shape, 0);
        model->kernels->attention_forward(
            attended, lse, qkv, memory_buffer(model->memory, BUFFER_ATTENTION_SCRATCH, 0), shape);
    }
    return model_operand_copy(model, attended, n * C, OPERAND_X);
}

static const void *transform(const struct model *model, const struct model_work *work, int part,
                             const void *normed)
{
    const int64_t n = model->n, F = model->plan->config->model.ff,
                  l = model_part_sublayer(model, part);
    float *gate_up = model_lasting_row(model, BUFFER_GATE_UP, work, part, n * 2 * F);
    void *activated = model_passing_row(model, BUFFER_ACTIVATED);
    const void *w_gate_up = model_operand_weight(model, model_param(model, l, PARAM_GATE));
    matmul_forward(model->gate_up, gate_up, normed, w_gate_up, model->product_scratch);
    model->kernels->swiglu_forward(model_operand_draft(model, activated), gate_up, n, F);
    return model_operand_keep(model, activated, n * F);
}

/** b_n: the sum of its block's outputs, left to right. */
static void complete_block(const struct model *model, int slot, int64_t block)
{
    const struct depth_plan *depth = &model->plan->depth;
    const int64_t first = depth_block_first(depth, block), end = depth_block_end(depth, block);
    const int64_t count = model->n * model->plan->config->model.dim;
    float *sum = model_value(model, slot, block);
    const float *so_far = model_value(model, slot, depth_open_id(depth, first));
    for (int64_t l = first + 1; l < end; l++) {
        model->kernels->add(sum, so_far, model_value(model, slot, depth_open_id(depth, l)), count);
        so_far = sum;
    }
    represent(model, slot, block);
    measure_source(model, slot, block);
}

/** A sublayer up to the product that makes its output: all that its own backward needs. */
static const void *forward_middle(const struct model *model, const struct model_work *work,
                                  int part, const void *normed)
{
    return model_part_sublayer(model, part) % 2 == 0 ? attend(model, work, part, normed)
                                                     : transform(model, work, part, normed);
}

static void forward_output(const struct model *model, int slot, int part, const void *middle)
{
    const int64_t l = model_part_sublayer(model, part);
    const bool is_attention = l % 2 == 0;
    const struct depth_output out = depth_output_of(&model->plan->depth, l);
    float *value = model_value(model, slot, out.value);
    float *y = out.adds_to >= 0 ? memory_buffer(model->memory, BUFFER_OUTPUT, 0) : value;
    const void *weight =
        model_operand_weight(model, model_param(model, l, is_attention ? PARAM_O : PARAM_DOWN));
    matmul_forward(is_attention ? model->attention_out : model->down, y, middle, weight,
                   model->product_scratch);
    if (out.adds_to >= 0) {
        model->kernels->add(value, model_value(model, slot, out.adds_to), y,
                            model->n * model->plan->config->model.dim);
    }
    if (out.completes >= 0) {
        complete_block(model, slot, out.completes);
    } else {
        if (out.value <= model->plan->depth.n_blocks) {
            represent(model, slot, out.value);
        }
        measure_source(model, slot, out.value);
    }
}

static void forward_head(const struct model *model, const struct model_work *work,
                         const void *normed)
{
    const struct model_config *config = &model->plan->config->model;
    float *logits = model_logits(model, work->microbatch);
    float *losses = memory_buffer(model->memory, BUFFER_LOSSES, 0);
    int32_t *best = work->wants_best ? memory_buffer(model->memory, BUFFER_BEST, 0) : NULL;
    matmul_forward(model->head, logits, normed, model_operand_head_weight(model),
                   model->product_scratch);
    model->kernels->cross_entropy(losses, best, logits, work->targets, work->loss_scale, model->n,
                                  config->vocab);
    double loss = 0.0;
    for (int64_t i = 0; i < model->n; i++) {
        loss += (double)losses[i];
    }
    if (work->loss != NULL) {
        *work->loss = loss;
    }
}

int model_forward_count(const struct model *model, const struct model_work *work)
{
    const int n_parts = model_part_count(model);
    const bool has_backward = work->loss_scale != 0.0F;
    if (!has_backward || !model->stage->is_last || !plan_recomputes(model->plan)) {
        return n_parts;
    }
    return model_recompute_first(model, n_parts - 1);
}

void model_forward_part(const struct model *model, const struct model_work *work, int part)
{
    assert(part >= 0 && part < model_part_count(model));
    const void *normed = forward_input(model, work, part);
    if (model_part_is_head(model, part)) {
        forward_head(model, work, normed);
    } else {
        forward_output(model, work->slot, part, forward_middle(model, work, part, normed));
    }
}

int model_recompute_first(const struct model *model, int part)
{
    const struct stage *stage = model->stage;
    const int n_parts = model_part_count(model);
    if (!plan_recomputes(model->plan) || part + 1 != stage->segment_end[part]) {
        return part + 1;
    }
    return model->plan->recompute == RECOMPUTE_ALL && part + 1 == n_parts
               ? 0
               : (int)stage->segment_first[part];
}

bool model_recompute_part(const struct model *model, const struct model_work *work, int again,
                          int part)
{
    assert(work->gradient_slot >= 0 && again <= part);
    if (again < part || model_part_is_head(model, part)) {
        model_forward_part(model, work, again);
        return true;
    }
    /* Nobody waits for the output of the deepest. */
    forward_middle(model, work, part, forward_input(model, work, part));
    return false;
}
