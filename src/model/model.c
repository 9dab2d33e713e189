#include "model_internal.h"

#include <assert.h>
#include <stdlib.h>

#include <attnres/heap.h>

int model_part_count(const struct model *model)
{
    return (int)model->stage->n_reads;
}

int64_t model_part_sublayer(const struct model *model, int part)
{
    return model->stage->first + part;
}

bool model_part_is_head(const struct model *model, int part)
{
    return model_part_sublayer(model, part) == model->plan->depth.n_sublayers;
}

void *model_row(const struct model *model, enum buffer_id id, int slot, int64_t index,
                int64_t row_count)
{
    unsigned char *base = memory_buffer(model->memory, id, slot);
    const int64_t element_bytes = (int64_t)model->memory->table.rows[id].element_bytes;
    return base + index * row_count * element_bytes;
}

/** Where I finds what it needs of the forward pass of a slot's microbatch. */
static int inner_slot(const struct model *model, int slot)
{
    return plan_recomputes(model->plan) ? 0 : slot;
}

/** Sublayers of l's sort in [first, l). */
static int64_t count_sort(int64_t first, int64_t l)
{
    return l % 2 == 0 ? l / 2 - (first + 1) / 2 : l / 2 - first / 2;
}

void *model_inner_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                      int part, int64_t row_count)
{
    const struct stage *stage = model->stage;
    const int64_t l = model_part_sublayer(model, part),
                  first = model_part_sublayer(model, (int)stage->segment_first[part]);
    const int64_t index = id == BUFFER_RSTD ? l - first : count_sort(first, l);
    return model_row(model, id, inner_slot(model, work->slot), index, row_count);
}

static bool alternates(const struct model *model)
{
    return model->plan->schedule.alternates[model->stage->rank];
}

void *model_lasting_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                        int part, int64_t row_count)
{
    if (!plan_recomputes(model->plan) || alternates(model)) {
        return model_inner_row(model, id, work, part, row_count);
    }
    if (work->gradient_slot < 0) { /* an F whose part is run again before I */
        const enum buffer_id scratch = id == BUFFER_ATTENDED ? BUFFER_DINNER : BUFFER_WIDE;
        return memory_buffer(model->memory, scratch, 0);
    }
    const int64_t index = count_sort(model->stage->first, model_part_sublayer(model, part));
    return model_row(model, id, work->gradient_slot, index, row_count);
}

void *model_passing_row(const struct model *model, enum buffer_id id)
{
    return memory_buffer(model->memory, id == BUFFER_NORMED ? BUFFER_DNORMED : BUFFER_DINNER, 0);
}

void *model_again_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                      int part, int64_t row_count)
{
    if (alternates(model)) {
        return memory_buffer(model->memory, id == BUFFER_NORMED ? BUFFER_OUTPUT : BUFFER_DINNER, 0);
    }
    const int64_t index = id == BUFFER_NORMED
                              ? part
                              : count_sort(model->stage->first, model_part_sublayer(model, part));
    return model_row(model, id, work->gradient_slot, index, row_count);
}

float *model_past(const struct model *model, int slot, int part)
{
    const int64_t index = count_sort(model->stage->first, model_part_sublayer(model, part));
    const int64_t row_count =
        model->plan->config->model.seq_len * 2 * model->shape.n_kv_heads * model->shape.head_dim;
    return model_row(model, BUFFER_PAST, slot, index, row_count);
}

int64_t model_deep_sources(const struct model *model, int part)
{
    return model->stage->score_offset[part + 1] - model->stage->score_offset[part];
}

/** Reads of more than one source in front of a part on its stage. Only the very first read of the
 * model, and all of `standard`, have one. */
static int64_t count_deep(const struct model *model, int part)
{
    const int64_t n_shallow = model->stage->n_reads - model->stage->n_deep_reads;
    return part > n_shallow ? part - n_shallow : 0;
}

/** Place of a part's read among those of more than one source of its segment. */
static int64_t deep_index(const struct model *model, int part)
{
    return count_deep(model, part) - count_deep(model, (int)model->stage->segment_first[part]);
}

/** A value's row in its slot or, from the other buffer, in the working set. */
static float *value_row(const struct model *model, enum buffer_id kept, enum buffer_id working,
                        int slot, int64_t id, int64_t row_count)
{
    const int64_t index = stage_value_index(model->stage, id);
    assert(index >= 0 && "the stage holds this value");
    const int64_t row = model->stage->value_rows[index];
    return row >= 0 ? model_row(model, kept, slot, row, row_count)
                    : model_row(model, working, 0, -1 - row, row_count);
}

float *model_value(const struct model *model, int slot, int64_t id)
{
    return value_row(model, BUFFER_VALUES, BUFFER_WORKING_VALUES, slot, id,
                     model->n * model->plan->config->model.dim);
}

float *model_inverse_rms(const struct model *model, int slot, int64_t id)
{
    return value_row(model, BUFFER_INVERSE_RMS, BUFFER_WORKING_INVERSE_RMS, slot, id, model->n);
}

float *model_dvalue(const struct model *model, int gradient_slot, int64_t id)
{
    const int64_t index = stage_value_index(model->stage, id);
    assert(index >= 0 && model->stage->dvalue_rows[index] >= 0 && "the value has a gradient");
    return model_row(model, BUFFER_DVALUES, gradient_slot, model->stage->dvalue_rows[index],
                     model->n * model->plan->config->model.dim);
}

float *model_output_gradient(const struct model *model, int gradient_slot, int64_t l)
{
    const struct depth_output out = depth_output_of(&model->plan->depth, l);
    return model_dvalue(model, gradient_slot, out.completes >= 0 ? out.completes : out.value);
}

float *model_scales(const struct model *model, int slot, int64_t id)
{
    if (model->plan->config->representative.value != PRECISION_INT8) {
        return NULL;
    }
    return value_row(model, BUFFER_SCALES, BUFFER_WORKING_SCALES, slot, id, model->n);
}

float *model_logits(const struct model *model, int microbatch)
{
    return model->stage->is_last ? memory_buffer(model->memory, BUFFER_LOGITS,
                                                 microbatch % model->plan->n_logit_slots)
                                 : NULL;
}

float *model_hidden(const struct model *model, int slot, int part)
{
    if (model_deep_sources(model, part) > 0) {
        return model_row(model, BUFFER_HIDDEN, inner_slot(model, slot), deep_index(model, part),
                         model->n * model->plan->config->model.dim);
    }
    const struct depth_set sources =
        depth_live(&model->plan->depth, model_part_sublayer(model, part));
    return model_value(model, slot, depth_set_id(&sources, 0));
}

const struct param *model_param(const struct model *model, int64_t l, enum param_role role)
{
    const struct param *param = params_find(&model->plan->params, l, role);
    assert(param != NULL);
    return param;
}

struct depth_read model_read(const struct model *model, int slot, int part)
{
    const struct stage *stage = model->stage;
    const int from = inner_slot(model, slot);
    const int64_t first_score = stage->score_offset[stage->segment_first[part]];
    const int64_t deep = deep_index(model, part), score = stage->score_offset[part] - first_score;
    const struct param *param = model_param(model, model_part_sublayer(model, part), PARAM_READ);
    const float *weight = model_weight(model, param);
    const bool is_static = model->plan->config->model.read == READ_STATIC;
    return (struct depth_read){
        .o = model_hidden(model, slot, part),
        .m = model_row(model, BUFFER_READ_LSE, from, deep, model->n),
        .d = model_row(model, BUFFER_DENOMINATOR, 0, deep, model->n),
        .s = model_row(model, BUFFER_SCORES, from, score, model->n),
        .w = is_static ? NULL : weight,
        .logits = is_static ? weight : NULL,
    };
}

bool model_opens_block(const struct model *model, int part)
{
    return model->stage->n_deep_reads > 0 && plan_opens_block(model->plan, model->stage, part);
}

struct model_reads model_reads_of_block(const struct model *model, int part)
{
    int first = part, end = part + 1;
    while (!model_opens_block(model, first)) {
        first--;
    }
    while (end < model_part_count(model) && !model_opens_block(model, end)) {
        end++;
    }
    const struct depth_set set = depth_live(&model->plan->depth, model_part_sublayer(model, first));
    first += model_deep_sources(model, first) == 0;
    return (struct model_reads){.first = first, .end = end, .n_common = set.n_completed};
}

void model_fill_sources(const struct model *model, int slot, int64_t l, int64_t from, int64_t end)
{
    const struct depth_set set = depth_live(&model->plan->depth, l);
    for (int64_t i = from; i < end; i++) {
        const int64_t id = depth_set_id(&set, i);
        model->sources[i - from] = (struct depth_source){
            .v = model_value(model, slot, id),
            .r = model_inverse_rms(model, slot, id),
        };
    }
}

float *model_weight(const struct model *model, const struct param *param)
{
    return memory_tensor(model->memory, model->plan, model->stage, param, BUFFER_WEIGHTS);
}

float *model_gradient(const struct model *model, const struct param *param)
{
    return memory_tensor(model->memory, model->plan, model->stage, param, BUFFER_GRADIENTS);
}

float *model_head_weight(const struct model *model)
{
    if (!model->stage->is_last) {
        return NULL;
    }
    if (!model->plan->config->model.tied) {
        return model_weight(model, model_param(model, model->plan->depth.n_sublayers, PARAM_HEAD));
    }
    const struct plan *plan = model->plan;
    return plan->ranks[model->stage->rank].has_first
               ? memory_tensor(model->memory, plan, &plan->stages[0],
                               model_param(model, -1, PARAM_EMBEDDING), BUFFER_WEIGHTS)
               : memory_buffer(model->memory, BUFFER_HEAD_WEIGHT, 0);
}

float *model_head_gradient(const struct model *model)
{
    if (!model->stage->is_last) {
        return NULL;
    }
    return model->plan->config->model.tied
               ? memory_buffer(model->memory, BUFFER_HEAD_GRADIENT, 0)
               : model_gradient(model,
                                model_param(model, model->plan->depth.n_sublayers, PARAM_HEAD));
}

static struct matmul *plan_product(const struct model *model, int64_t in, int64_t out,
                                   int64_t dy_stride)
{
    const struct matmul_shape shape = {model->n, in, out, dy_stride};
    return matmul_create(&shape, model_operand_is_bf16(model) ? MATMUL_BF16 : MATMUL_F32,
                         model->kernels);
}

static void plan_products(struct model *model)
{
    const struct model_config *config = &model->plan->config->model;
    const int64_t C = config->dim, F = config->ff;
    const int64_t QKV = C + 2 * model->shape.n_kv_heads * model->shape.head_dim;
    /* The gradient of what is wide takes its place, in bf16 in the first half of each row. */
    const int64_t step = model_operand_is_bf16(model) ? 2 : 1;
    if (model->stage->n_attention > 0) {
        model->qkv = plan_product(model, C, QKV, step * QKV);
        model->attention_out = plan_product(model, C, C, C);
    }
    if (model->stage->n_mlp > 0) {
        model->gate_up = plan_product(model, C, 2 * F, step * 2 * F);
        model->down = plan_product(model, F, C, C);
    }
    if (model->stage->is_last) {
        model->head = plan_product(model, C, config->vocab, config->vocab);
    }
    model->product_scratch = memory_buffer(model->memory, BUFFER_PRODUCT_SCRATCH, 0);
}

void model_init(struct model *model, const struct plan *plan, int stage,
                const struct memory *memory, const struct kernels *kernels)
{
    const struct model_config *config = &plan->config->model;
    const int64_t B = plan->config->batch.microbatch, T = config->seq_len,
                  D = config->dim / config->n_heads;
    *model = (struct model){
        .plan = plan,
        .stage = &plan->stages[stage],
        .memory = memory,
        .kernels = kernels,
        .n = plan->microbatch_tokens,
        .masked = -1,
        .shape = {B, plan->microbatch_tokens / B, config->n_heads, config->n_kv_heads, D}};
    model->reads = heap_take((size_t)model->stage->n_reads, sizeof *model->reads, "the model");
    model->sources = heap_take((size_t)model->stage->n_values, sizeof *model->sources, "the model");
    model->dsources =
        heap_take((size_t)model->stage->n_values, sizeof *model->dsources, "the model");
    float *rope = memory_buffer(memory, BUFFER_ROPE, 0);
    if (rope != NULL) {
        kernels_rope_table(rope, T, D);
    }
    plan_products(model);
}

void model_finish(struct model *model)
{
    matmul_destroy(model->qkv);
    matmul_destroy(model->attention_out);
    matmul_destroy(model->gate_up);
    matmul_destroy(model->down);
    matmul_destroy(model->head);
    free(model->reads);
    free(model->sources);
    free(model->dsources);
    *model = (struct model){0};
}

void model_draw_weights(const struct model *model, int64_t seed)
{
    const struct stage *stage = model->stage;
    const struct params *params = &model->plan->params;
    for (int64_t i = stage->first_param; i < stage->end_param; i++) {
        params_draw(&params->rows[i], seed, model_weight(model, &params->rows[i]));
    }
    if (model->plan->config->model.tied && stage->is_last &&
        !model->plan->ranks[stage->rank].has_first) {
        params_draw(model_param(model, -1, PARAM_EMBEDDING), seed, model_head_weight(model));
    }
}
