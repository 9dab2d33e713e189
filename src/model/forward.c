#include "model_internal.h"

#include <assert.h>

/** Inverse RMS of a value as a source of this stage's query reads. */
static void measure_source(const struct model *model, int slot, int64_t id)
{
    const struct model_config *config = &model->plan->config->model;
    if (model->stage->n_deep_reads == 0 || config->read == READ_STATIC) {
        return;
    }
    float *r =
        model_row(model, BUFFER_INVERSE_RMS, slot, stage_value_index(model->stage, id), model->n);
    model->kernels->depth_inverse_rms(r, model_value(model, slot, id), model->n, config->dim,
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

/** First phase: the reads of the open block on this stage take the completed sources, all in one
 * sweep. Queries do not depend on the input, so this needs nothing but the sources. */
static void start_reads(const struct model *model, int slot, int part)
{
    const struct depth_plan *depth = &model->plan->depth;
    const int64_t l = model_part_sublayer(model, part);
    int end = part + 1;
    if (l < depth->n_sublayers) {
        const int64_t block_end = depth_block_end(depth, depth_block_of(depth, l));
        const int64_t stage_end = model->stage->end;
        end = (int)((block_end < stage_end ? block_end : stage_end) - model->stage->first);
    }
    int n_reads = 0, first = part;
    for (int i = part; i < end; i++) {
        if (model_deep_sources(model, i) > 0) {
            model->reads[i] = model_read(model, slot, i);
            n_reads++;
        } else {
            first = i + 1;
        }
    }
    if (n_reads > 0) {
        const struct depth_set sources = depth_live(depth, l);
        model_fill_sources(model, slot, l, 0, sources.n_completed);
        model->kernels->depth_read_advance(&model->reads[first], n_reads, model->sources,
                                           sources.n_completed, model->n,
                                           model->plan->config->model.dim);
    }
}

/** Whether a part is the first of its block on this stage: there the block's reads begin. */
static bool opens_block(const struct model *model, int part)
{
    return part == 0 || depth_is_border(&model->plan->depth, model_part_sublayer(model, part));
}

/** The depth attention in front of a part. Returns h (n,C). */
static const float *read_sources(const struct model *model, int slot, int part)
{
    if (model->stage->n_deep_reads > 0 && opens_block(model, part)) {
        start_reads(model, slot, part);
    }
    const int64_t n_sources = model_deep_sources(model, part);
    if (n_sources > 0) {
        const int64_t l = model_part_sublayer(model, part), C = model->plan->config->model.dim;
        struct depth_read *read = &model->reads[part];
        const int64_t n_seen = read->n_seen;
        if (n_seen < n_sources) {
            model_fill_sources(model, slot, l, n_seen, n_sources);
            model->kernels->depth_read_advance(read, 1, model->sources, n_sources - n_seen,
                                               model->n, C);
        }
        model->kernels->depth_read_finish(read, model->n, C);
    }
    return model_hidden(model, slot, part);
}

static const float *normalise(const struct model *model, int slot, int part, const float *h)
{
    const struct model_config *config = &model->plan->config->model;
    const float *gain =
        model_weight(model, model_param(model, model_part_sublayer(model, part), PARAM_GAIN));
    float *normed = model_row(model, BUFFER_NORMED, slot, part, model->n * config->dim);
    float *rstd = model_row(model, BUFFER_RSTD, slot, part, model->n);
    model->kernels->rmsnorm_forward(normed, rstd, h, gain, model->n, config->dim,
                                    (float)config->norm_eps);
    return normed;
}

static void attend(const struct model *model, int slot, int64_t l, float *y, const float *normed)
{
    const struct attention_shape *shape = &model->shape;
    const int64_t n = model->n, C = model->plan->config->model.dim;
    const int64_t width = C + 2 * shape->n_kv_heads * shape->head_dim,
                  i = model_sort_index(model, l);
    float *qkv = model_row(model, BUFFER_QKV, slot, i, n * width);
    float *attended = model_row(model, BUFFER_ATTENDED, slot, i, n * C);
    float *lse = model_row(model, BUFFER_ATTENTION_LSE, slot, i, n * shape->n_heads);
    const float *w_qkv = model_weight(model, model_param(model, l, PARAM_Q));
    const float *w_o = model_weight(model, model_param(model, l, PARAM_O));
    matmul_forward(qkv, normed, w_qkv, &(struct matmul_shape){n, C, width});
    model->kernels->rope_forward(qkv, memory_buffer(model->memory, BUFFER_ROPE, 0), shape, 0);
    model->kernels->attention_forward(
        attended, lse, qkv, memory_buffer(model->memory, BUFFER_ATTENTION_SCRATCH, 0), shape);
    matmul_forward(y, attended, w_o, &(struct matmul_shape){n, C, C});
}

static void transform(const struct model *model, int slot, int64_t l, float *y, const float *normed)
{
    const int64_t n = model->n, C = model->plan->config->model.dim,
                  F = model->plan->config->model.ff;
    const int64_t i = model_sort_index(model, l);
    float *gate_up = model_row(model, BUFFER_GATE_UP, slot, i, n * 2 * F);
    float *activated = model_row(model, BUFFER_ACTIVATED, slot, i, n * F);
    const float *w_gate_up = model_weight(model, model_param(model, l, PARAM_GATE));
    const float *w_down = model_weight(model, model_param(model, l, PARAM_DOWN));
    matmul_forward(gate_up, normed, w_gate_up, &(struct matmul_shape){n, C, 2 * F});
    model->kernels->swiglu_forward(activated, gate_up, n, F);
    matmul_forward(y, activated, w_down, &(struct matmul_shape){n, F, C});
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

static void forward_sublayer(const struct model *model, int slot, int part, const float *normed)
{
    const int64_t l = model_part_sublayer(model, part);
    const struct depth_output out = depth_output_of(&model->plan->depth, l);
    float *value = model_value(model, slot, out.value);
    float *y = out.adds_to >= 0 ? memory_buffer(model->memory, BUFFER_OUTPUT, 0) : value;
    if (l % 2 == 0) {
        attend(model, slot, l, y, normed);
    } else {
        transform(model, slot, l, y, normed);
    }
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

static void forward_head(const struct model *model, struct model_work *work, const float *normed)
{
    const struct model_config *config = &model->plan->config->model;
    float *logits = memory_buffer(model->memory, BUFFER_LOGITS, work->slot);
    float *losses = memory_buffer(model->memory, BUFFER_LOSSES, 0);
    int32_t *best = work->wants_best ? memory_buffer(model->memory, BUFFER_BEST, 0) : NULL;
    matmul_forward(logits, normed, model_head_weight(model),
                   &(struct matmul_shape){model->n, config->dim, config->vocab});
    model->kernels->cross_entropy(losses, best, logits, work->targets, work->loss_scale, model->n,
                                  config->vocab);
    work->loss = 0.0;
    for (int64_t i = 0; i < model->n; i++) {
        work->loss += (double)losses[i];
    }
}

void model_forward_part(const struct model *model, struct model_work *work, int part)
{
    assert(part >= 0 && part < model_part_count(model));
    const float *h = read_sources(model, work->slot, part);
    const float *normed = normalise(model, work->slot, part, h);
    if (model_part_is_head(model, part)) {
        forward_head(model, work, normed);
    } else {
        forward_sublayer(model, work->slot, part, normed);
    }
}
