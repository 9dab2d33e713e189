/* Operands of matrix products in compute.precision. In f32 an operand is the tensor itself. In bf16
 * what only products read is kept rounded: it is made in a draft and rounded into its place, or in
 * the place itself. What others read too stays f32, and a product gets a rounded copy. */
#include "model_internal.h"

bool model_operand_is_bf16(const struct model *model)
{
    return model->plan->config->compute.precision == PRECISION_BF16;
}

float *model_operand_draft(const struct model *model, void *kept)
{
    return model_operand_is_bf16(model) ? memory_buffer(model->memory, BUFFER_DRAFT, 0) : kept;
}

const void *model_operand_keep(const struct model *model, void *kept, int64_t count)
{
    if (model_operand_is_bf16(model)) {
        model->kernels->to_bf16(kept, memory_buffer(model->memory, BUFFER_DRAFT, 0), count);
    }
    return kept;
}

const void *model_operand_narrow(const struct model *model, float *x, int64_t C)
{
    if (model_operand_is_bf16(model)) {
        model->kernels->rows_to_bf16(x, model->n, C);
    }
    return x;
}

const void *model_operand_copy(const struct model *model, const float *x, int64_t count,
                               enum operand_copy which)
{
    if (!model_operand_is_bf16(model)) {
        return x;
    }
    uint16_t *copy = memory_buffer(model->memory, BUFFER_OPERANDS, which);
    model->kernels->to_bf16(copy, x, count);
    return copy;
}

/** Where the rounded copy of f32 weights stands; both buffers are laid out alike. */
static uint16_t *rounded_weight(const struct model *model, const float *weight)
{
    const float *weights = memory_buffer(model->memory, BUFFER_WEIGHTS, 0);
    uint16_t *rounded = memory_buffer(model->memory, BUFFER_WEIGHTS_BF16, 0);
    return rounded + (weight - weights);
}

/** The tied head's copy, on a last stage that is not the first. */
static bool has_own_head(const struct model *model)
{
    return model->stage->is_last && memory_buffer(model->memory, BUFFER_HEAD_WEIGHT, 0) != NULL;
}

const void *model_operand_weight(const struct model *model, const struct param *param)
{
    const float *weight = model_weight(model, param);
    return model_operand_is_bf16(model) ? (const void *)rounded_weight(model, weight) : weight;
}

const void *model_operand_head_weight(const struct model *model)
{
    const float *weight = model_head_weight(model);
    if (!model_operand_is_bf16(model)) {
        return weight;
    }
    return has_own_head(model) ? memory_buffer(model->memory, BUFFER_HEAD_WEIGHT_BF16, 0)
                               : (void *)rounded_weight(model, weight);
}

void model_take_weights(const struct model *model)
{
    if (!model_operand_is_bf16(model)) {
        return;
    }
    const struct param *first = &model->plan->params.rows[model->stage->first_param];
    const float *weights = model_weight(model, first);
    model->kernels->to_bf16(rounded_weight(model, weights), weights, model->stage->weight_count);
    if (has_own_head(model)) {
        model->kernels->to_bf16(memory_buffer(model->memory, BUFFER_HEAD_WEIGHT_BF16, 0),
                                model_head_weight(model),
                                model_param(model, -1, PARAM_EMBEDDING)->count);
    }
}
