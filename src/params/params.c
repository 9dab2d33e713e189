#include <attnres/params.h>

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>
#include <attnres/rng.h>

/** Floats per 64 bytes: where rows start. */
enum { ROW_ALIGNMENT = 16 };

struct builder {
    struct params *params;
    double init_std; /* of all matrices but those that write to the stream of values */
    int64_t offset;
    int64_t sublayer;
};

/** Append a row; `follows` places it right behind the row before, without alignment. */
static struct param *append(struct builder *b, enum param_role role, int64_t rows, int64_t cols,
                            bool follows)
{
    struct params *params = b->params;
    struct param *p = &params->rows[params->n_rows++];
    const int64_t count = (rows > 0 ? rows : 1) * cols;
    if (!follows) {
        b->offset = (b->offset + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT;
    }
    *p = (struct param){.role = role,
                        .sublayer = b->sublayer,
                        .rows = rows,
                        .cols = cols,
                        .init_std = rows > 0 ? b->init_std : 0.0,
                        .init_value = role == PARAM_GAIN ? 1.0F : 0.0F,
                        .decays = rows > 0,
                        .offset = b->offset,
                        .count = count};
    b->offset += count;
    params->n_parameters += count;
    return p;
}

static void name_row(struct param *p, int64_t layer, const char *tail)
{
    if (layer < 0) {
        snprintf(p->name, sizeof p->name, "%s", tail);
    } else {
        snprintf(p->name, sizeof p->name, "model.layers.%d.%s", (int)layer, tail);
    }
}

/** The row of a read: a query (C), or one logit per source. `standard` has none. */
static void append_read(struct builder *b, const struct model_config *model,
                        const struct depth_plan *depth, int64_t layer, const char *stem)
{
    if (model->kind == MODEL_STANDARD) {
        return;
    }
    const struct depth_set sources = depth_live(depth, b->sublayer);
    const bool is_static = model->read == READ_STATIC;
    struct param *p =
        append(b, PARAM_READ, 0, is_static ? depth_set_count(&sources) : model->dim, false);
    char tail[32];
    snprintf(tail, sizeof tail, "%.20s.%s", stem, is_static ? "logits" : "query");
    name_row(p, layer, tail);
}

static void append_attention(struct builder *b, const struct model_config *model,
                             const struct depth_plan *depth, int64_t layer)
{
    const int64_t C = model->dim, KV = C / model->n_heads * model->n_kv_heads;
    append_read(b, model, depth, layer, "self_attn_res");
    name_row(append(b, PARAM_GAIN, 0, C, false), layer, "input_layernorm.weight");
    name_row(append(b, PARAM_Q, C, C, false), layer, "self_attn.q_proj.weight");
    name_row(append(b, PARAM_K, KV, C, true), layer, "self_attn.k_proj.weight");
    name_row(append(b, PARAM_V, KV, C, true), layer, "self_attn.v_proj.weight");
    struct param *o = append(b, PARAM_O, C, C, false);
    name_row(o, layer, "self_attn.o_proj.weight");
    o->init_std = b->init_std / sqrt((double)depth->n_sublayers);
}

static void append_mlp(struct builder *b, const struct model_config *model,
                       const struct depth_plan *depth, int64_t layer)
{
    const int64_t C = model->dim, F = model->ff;
    append_read(b, model, depth, layer, "mlp_res");
    name_row(append(b, PARAM_GAIN, 0, C, false), layer, "post_attention_layernorm.weight");
    name_row(append(b, PARAM_GATE, F, C, false), layer, "mlp.gate_proj.weight");
    name_row(append(b, PARAM_UP, F, C, true), layer, "mlp.up_proj.weight");
    struct param *down = append(b, PARAM_DOWN, C, F, false);
    name_row(down, layer, "mlp.down_proj.weight");
    down->init_std = b->init_std / sqrt((double)depth->n_sublayers);
}

void params_init(struct params *params, const struct model_config *model,
                 const struct depth_plan *depth)
{
    const int64_t L = depth->n_sublayers;
    *params = (struct params){.n_sublayers = L};
    params->rows = heap_take((size_t)(6 * L + 4), sizeof *params->rows, "the table of parameters");
    params->first_row =
        heap_take((size_t)(L + 3), sizeof *params->first_row, "the table of parameters");
    struct builder b = {.params = params, .init_std = model->init_std, .sublayer = -1};
    name_row(append(&b, PARAM_EMBEDDING, model->vocab, model->dim, false), -1,
             "model.embed_tokens.weight");
    for (int64_t l = 0; l < L; l++) {
        params->first_row[l + 1] = params->n_rows;
        b.sublayer = l;
        if (l % 2 == 0) {
            append_attention(&b, model, depth, l / 2);
        } else {
            append_mlp(&b, model, depth, l / 2);
        }
    }
    b.sublayer = L;
    params->first_row[L + 1] = params->n_rows;
    append_read(&b, model, depth, -1, "model.output_res");
    name_row(append(&b, PARAM_GAIN, 0, model->dim, false), -1, "model.norm.weight");
    if (!model->tied) {
        name_row(append(&b, PARAM_HEAD, model->vocab, model->dim, false), -1, "lm_head.weight");
    }
    params->first_row[L + 2] = params->n_rows;
}

void params_finish(struct params *params)
{
    free(params->rows);
    free(params->first_row);
    *params = (struct params){0};
}

int64_t params_first(const struct params *params, int64_t sublayer)
{
    assert(sublayer >= -1 && sublayer <= params->n_sublayers + 1);
    return params->first_row[sublayer + 1];
}

const struct param *params_find(const struct params *params, int64_t sublayer, enum param_role role)
{
    const int64_t end = params_first(params, sublayer + 1);
    for (int64_t i = params_first(params, sublayer); i < end; i++) {
        if (params->rows[i].role == role) {
            return &params->rows[i];
        }
    }
    return NULL;
}

const struct param *params_find_name(const struct params *params, const char *name)
{
    for (int64_t i = 0; i < params->n_rows; i++) {
        if (strcmp(params->rows[i].name, name) == 0) {
            return &params->rows[i];
        }
    }
    return NULL;
}

void params_draw(const struct param *param, int64_t seed, float *out)
{
    const uint64_t key = rng_key((uint64_t)seed, param->name);
    for (int64_t i = 0; i < param->count; i++) {
        out[i] = param->init_std > 0.0 ? (float)(param->init_std * rng_normal_at(key, (uint64_t)i))
                                       : param->init_value;
    }
}

double params_flops_per_token(const struct params *params, const struct model_config *model,
                              const struct depth_plan *depth)
{
    double n_weights = model->tied ? (double)model->vocab * (double)model->dim : 0.0;
    for (int64_t i = 0; i < params->n_rows; i++) {
        const struct param *p = &params->rows[i];
        n_weights += p->rows > 0 && p->role != PARAM_EMBEDDING ? (double)p->count : 0.0;
    }
    const double attention =
        2.0 * (double)model->n_layers * (double)model->seq_len * (double)model->dim;
    const double reads = 4.0 * (double)model->dim * (double)depth_pair_count(depth);
    return 3.0 * (2.0 * n_weights + attention + reads);
}
