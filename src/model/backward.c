#include "model_internal.h"

#include <assert.h>
#include <string.h>

void model_input_gradient_begin(const struct model *model, const struct model_work *work)
{
    assert(model->masked < 0);
    if (!model->stage->is_last) {
        return;
    }
    const struct depth_plan *depth = &model->plan->depth;
    const struct depth_set read_by_head = depth_live(depth, depth->n_sublayers);
    const size_t bytes = (size_t)(model->n * model->plan->config->model.dim) * sizeof(float);
    for (int64_t i = 0; i < depth_set_count(&read_by_head); i++) {
        memset(model_dvalue(model, work->gradient_slot, depth_set_id(&read_by_head, i)), 0, bytes);
    }
}

/** What the gradients of a read's open sources start from. They are summed into what the output of
 * the sublayer is summed into: where it completes its block, all of them are members; where it is
 * added to a sum, the sum before is the only one. Their deepest reader is this one. NULL: they have
 * been read before. */
static const float *start_of_open(const struct model *model, const struct model_work *work,
                                  int part)
{
    if (model_part_is_head(model, part)) {
        return NULL;
    }
    const int64_t l = model_part_sublayer(model, part);
    const struct depth_output out = depth_output_of(&model->plan->depth, l);
    return out.completes >= 0 || out.adds_to >= 0
               ? model_output_gradient(model, work->gradient_slot, l)
               : NULL;
}

/** Leaves the gradient of q, k, v in their place, for W. */
static void attend_backward(const struct model *model, const struct model_work *work, int part,
                            float *dnormed, const void *dy)
{
    const struct attention_shape *shape = &model->shape;
    const int64_t n = model->n, C = model->plan->config->model.dim;
    const int64_t width = C + 2 * shape->n_kv_heads * shape->head_dim,
                  l = model_part_sublayer(model, part);
    float *qkv = model_lasting_row(model, BUFFER_QKV, work, part, n * width);
    const float *attended = model_lasting_row(model, BUFFER_ATTENDED, work, part, n * C);
    const float *lse = model_inner_row(model, BUFFER_ATTENTION_LSE, work, part, n * shape->n_heads);
    float *dattended = memory_buffer(model->memory, BUFFER_DINNER, 0);
    const void *w_qkv = model_operand_weight(model, model_param(model, l, PARAM_Q));
    const void *w_o = model_operand_weight(model, model_param(model, l, PARAM_O));
    matmul_input_gradient(model->attention_out, dattended, dy, w_o, model->product_scratch);
    model->kernels->attention_backward(qkv, dattended, attended, lse,
                                       memory_buffer(model->memory, BUFFER_ATTENTION_SCRATCH, 0),
                                       shape);
    model->kernels->rope_backward(qkv, memory_buffer(model->memory, BUFFER_ROPE, 0), shape);
    matmul_input_gradient(model->qkv, dnormed, model_operand_narrow(model, qkv, width), w_qkv,
                          model->product_scratch);
}

/** Leaves the gradient of gate and up in their place, and their product again, for W. */
static void transform_backward(const struct model *model, const struct model_work *work, int part,
                               float *dnormed, const void *dy)
{
    const int64_t n = model->n, F = model->plan->config->model.ff,
                  l = model_part_sublayer(model, part);
    float *gate_up = model_lasting_row(model, BUFFER_GATE_UP, work, part, n * 2 * F);
    void *activated = model_again_row(model, BUFFER_ACTIVATED, work, part, n * F);
    float *draft = model_operand_draft(model, activated); /* its gradient, then itself */
    const void *w_gate_up = model_operand_weight(model, model_param(model, l, PARAM_GATE));
    const void *w_down = model_operand_weight(model, model_param(model, l, PARAM_DOWN));
    matmul_input_gradient(model->down, draft, dy, w_down, model->product_scratch);
    model->kernels->swiglu_backward(gate_up, draft, n, F);
    model_operand_keep(model, activated, n * F);
    matmul_input_gradient(model->gate_up, dnormed, model_operand_narrow(model, gate_up, 2 * F),
                          w_gate_up, model->product_scratch);
}

/** Where the gradients of the sources [from, end) of a part's read go, starting from `base` or, if
 * that is NULL, from what they are. */
static void fill_gradients(const struct model *model, const struct model_work *work, int part,
                           int64_t from, int64_t end, const float *base)
{
    const struct depth_set set = depth_live(&model->plan->depth, model_part_sublayer(model, part));
    for (int64_t i = from; i < end; i++) {
        float *dv = model_dvalue(model, work->gradient_slot, depth_set_id(&set, i));
        model->dsources[i - from] =
            (struct depth_gradient){.dv = dv, .base = base != NULL ? base : dv};
    }
}

/** A read with one source returns it: through the norm alone. */
static void norm_backward(const struct model *model, const struct model_work *work, int part,
                          const float *dnormed)
{
    const struct param *gain = model_param(model, model_part_sublayer(model, part), PARAM_GAIN);
    fill_gradients(model, work, part, 0, 1, start_of_open(model, work, part));
    model->kernels->rmsnorm_backward(
        model->dsources[0].dv, model_gradient(model, gain), model->dsources[0].base, dnormed,
        model_hidden(model, work->slot, part), model_weight(model, gain),
        model_inner_row(model, BUFFER_RSTD, work, part, model->n),
        memory_buffer(model->memory, BUFFER_PARTIALS, 0), model->n, model->plan->config->model.dim);
}

/** Through the norm and into the open sources. */
static void begin_read_backward(const struct model *model, const struct model_work *work, int part,
                                const float *dnormed)
{
    const int64_t l = model_part_sublayer(model, part), n_sources = model_deep_sources(model, part);
    const struct model_reads group = model_reads_of_block(model, part);
    const struct param *gain = model_param(model, l, PARAM_GAIN);
    struct depth_read *read = &model->reads[part];
    *read = model_read(model, work->slot, part);
    read->n_seen = n_sources;
    read->dw = model_gradient(model, model_param(model, l, PARAM_READ));
    read->partials = memory_buffer(model->memory, BUFFER_PARTIALS, 1 + part - group.first);
    model_fill_sources(model, work->slot, l, group.n_common, n_sources);
    fill_gradients(model, work, part, group.n_common, n_sources, start_of_open(model, work, part));
    model->kernels->depth_read_begin_backward(
        model->dsources, model_gradient(model, gain), read, dnormed, model_weight(model, gain),
        model_inner_row(model, BUFFER_RSTD, work, part, model->n), model->sources,
        n_sources - group.n_common, memory_buffer(model->memory, BUFFER_PARTIALS, 0), model->n,
        model->plan->config->model.dim);
}

/** When all reads of the open block on this stage have got so far: into the completed sources. */
static void end_reads_backward(const struct model *model, const struct model_work *work, int part)
{
    const struct model_reads group = model_reads_of_block(model, part);
    if (group.end == group.first) {
        return;
    }
    model_fill_sources(model, work->slot, model_part_sublayer(model, part), 0, group.n_common);
    fill_gradients(model, work, part, 0, group.n_common, NULL);
    model->kernels->depth_read_end_backward(model->dsources, &model->reads[group.first],
                                            group.end - group.first, model->sources, group.n_common,
                                            model->n, model->plan->config->model.dim);
}

/** The input of a part's products for W, while the read's result is still there. */
static void norm_again(const struct model *model, const struct model_work *work, int part)
{
    const int64_t n = model->n, C = model->plan->config->model.dim;
    const struct param *gain = model_param(model, model_part_sublayer(model, part), PARAM_GAIN);
    void *normed = model_again_row(model, BUFFER_NORMED, work, part, n * C);
    model->kernels->rmsnorm_again(model_operand_draft(model, normed),
                                  model_hidden(model, work->slot, part), model_weight(model, gain),
                                  model_inner_row(model, BUFFER_RSTD, work, part, n), n, C);
    model_operand_keep(model, normed, n * C);
}

/** Through the norm and the read of a part, into the gradients of the read's sources; of a source
 * the deepest reader first, so the read with one source, which is the model's first, last. */
static void read_backward(const struct model *model, const struct model_work *work, int part,
                          const float *dnormed)
{
    const bool is_deep = model_deep_sources(model, part) > 0;
    norm_again(model, work, part);
    if (is_deep) {
        begin_read_backward(model, work, part, dnormed);
    }
    if (model_opens_block(model, part)) {
        end_reads_backward(model, work, part);
    }
    if (!is_deep) {
        norm_backward(model, work, part, dnormed);
    }
}

/** At the border in front of a block, the accumulated gradients of the sources before it take their
 * precision. */
static void round_gradients(const struct model *model, int gradient_slot, int64_t l)
{
    const struct depth_plan *depth = &model->plan->depth;
    /* With the message cache a gradient is rounded when it leaves a rank (engine). */
    if (model->plan->config->representative.gradient != PRECISION_BF16 ||
        model->plan->routing.cache || depth->n_blocks == 0 || l == depth->n_sublayers ||
        !depth_is_border(depth, l)) {
        return;
    }
    const int64_t count = model->n * model->plan->config->model.dim;
    for (int64_t id = 0; id < depth_block_of(depth, l); id++) {
        model->kernels->round_bf16(model_dvalue(model, gradient_slot, id), count);
    }
}

static const void *dlogits_of(const struct model *model, const struct model_work *work)
{
    return model_operand_copy(model, model_logits(model, work->microbatch),
                              model->n * model->plan->config->model.vocab, OPERAND_DY);
}

void model_input_gradient_part(const struct model *model, const struct model_work *work, int part)
{
    assert(part >= 0 && part < model_part_count(model));
    float *dnormed = memory_buffer(model->memory, BUFFER_DNORMED, 0);
    const int64_t l = model_part_sublayer(model, part);
    if (model_part_is_head(model, part)) {
        matmul_input_gradient(model->head, dnormed, dlogits_of(model, work),
                              model_operand_head_weight(model), model->product_scratch);
    } else {
        const void *dy =
            model_operand_copy(model, model_output_gradient(model, work->gradient_slot, l),
                               model->n * model->plan->config->model.dim, OPERAND_DY);
        if (l % 2 == 0) {
            attend_backward(model, work, part, dnormed, dy);
        } else {
            transform_backward(model, work, part, dnormed, dy);
        }
    }
    read_backward(model, work, part, dnormed);
    round_gradients(model, work->gradient_slot, l);
}

/** The weight gradients of the two matrix products of a sublayer: into it and out of it. */
static void sublayer_weight_gradient(const struct model *model, const struct model_work *work,
                                     int part)
{
    const struct model_config *config = &model->plan->config->model;
    const int64_t n = model->n, C = config->dim, l = model_part_sublayer(model, part);
    const bool is_attention = l % 2 == 0;
    const int64_t inner = is_attention ? C : config->ff;
    const int64_t width =
        is_attention ? C + 2 * model->shape.n_kv_heads * model->shape.head_dim : 2 * inner;
    const void *normed = model_again_row(model, BUFFER_NORMED, work, part, n * C);
    const void *middle =
        is_attention
            ? model_operand_copy(model,
                                 model_lasting_row(model, BUFFER_ATTENDED, work, part, n * C),
                                 n * C, OPERAND_X)
            : model_again_row(model, BUFFER_ACTIVATED, work, part, n * inner);
    const void *dwide =
        model_lasting_row(model, is_attention ? BUFFER_QKV : BUFFER_GATE_UP, work, part, n * width);
    const void *dy = model_operand_copy(model, model_output_gradient(model, work->gradient_slot, l),
                                        n * C, OPERAND_DY);
    float *dw_in =
        model_gradient(model, model_param(model, l, is_attention ? PARAM_Q : PARAM_GATE));
    float *dw_out =
        model_gradient(model, model_param(model, l, is_attention ? PARAM_O : PARAM_DOWN));
    matmul_weight_gradient(is_attention ? model->attention_out : model->down, dw_out, dy, middle,
                           model->product_scratch);
    matmul_weight_gradient(is_attention ? model->qkv : model->gate_up, dw_in, dwide, normed,
                           model->product_scratch);
}

void model_weight_gradient_part(const struct model *model, const struct model_work *work, int part)
{
    const struct model_config *config = &model->plan->config->model;
    if (model_part_is_head(model, part)) {
        const void *normed =
            model_again_row(model, BUFFER_NORMED, work, part, model->n * config->dim);
        matmul_weight_gradient(model->head, model_head_gradient(model), dlogits_of(model, work),
                               normed, model->product_scratch);
    } else {
        sublayer_weight_gradient(model, work, part);
    }
    if (part == 0 && model->stage->is_first) {
        model->kernels->embed_backward(
            model_gradient(model, model_param(model, -1, PARAM_EMBEDDING)),
            model_dvalue(model, work->gradient_slot, 0), work->tokens, model->n, config->dim);
    }
}
