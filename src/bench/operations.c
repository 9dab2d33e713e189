/* The table of operations beside products: how each is called, and its operations and bytes counted
 * from its equation (a multiply-add is two operations; an exponential counts as ten; every tensor
 * is read and written once). */
#include "bench_internal.h"

static const double FLOAT = sizeof(float);
static const double EXPONENTIAL = 10.0;

static double tokens_by(const struct workbench *b, int64_t width)
{
    return (double)b->n * (double)width;
}

static void embed_forward(const struct workbench *b)
{
    b->kernels->embed_forward(b->y, b->w, b->tokens, b->n, b->C);
}

static void embed_backward(const struct workbench *b)
{
    b->kernels->embed_backward(b->w, b->x, b->tokens, b->n, b->C);
}

static void rmsnorm_forward(const struct workbench *b)
{
    b->kernels->rmsnorm_forward(b->y, b->small, b->x, b->w, b->n, b->C, 1e-8F);
}

static void rmsnorm_backward(const struct workbench *b)
{
    b->kernels->rmsnorm_backward(b->y, b->z, b->y, b->x, b->x, b->w, b->small, b->scratch, b->n,
                                 b->C);
}

static void rope_forward(const struct workbench *b)
{
    b->kernels->rope_forward(b->x, b->rope, &b->shape, 0);
}

static void attention_forward(const struct workbench *b)
{
    b->kernels->attention_forward(b->y, b->small, b->x, b->scratch, &b->shape);
}

static void attention_backward(const struct workbench *b)
{
    b->kernels->attention_backward(b->x, b->y, b->y, b->small, b->scratch, &b->shape);
}

static void swiglu_forward(const struct workbench *b)
{
    b->kernels->swiglu_forward(b->y, b->x, b->n, b->F);
}

static void swiglu_backward(const struct workbench *b)
{
    b->kernels->swiglu_backward(b->x, b->y, b->n, b->F);
}

static void cross_entropy(const struct workbench *b)
{
    b->kernels->cross_entropy(b->small, NULL, b->x, b->tokens, 1e-3F, b->n, b->V);
}

static void add(const struct workbench *b)
{
    b->kernels->add(b->y, b->x, b->y, b->n * b->C);
}

static void to_bf16(const struct workbench *b)
{
    b->kernels->to_bf16((uint16_t *)(void *)b->y, b->x, b->n * b->C);
}

static void adamw(const struct workbench *b)
{
    const struct adamw_step step = {.lr = 1e-3F,
                                    .beta2 = 0.95F,
                                    .eps = 1e-8F,
                                    .weight_decay = 0.1F,
                                    .new1 = 0.1F,
                                    .new2 = 0.05F,
                                    .correction1 = 0.1F,
                                    .correction2_root = 0.2F,
                                    .gradient_scale = 1.0F};
    b->kernels->adamw(b->x, b->y, b->w, b->z, &step, b->n * b->C);
}

static void depth_inverse_rms(const struct workbench *b)
{
    b->kernels->depth_inverse_rms(b->small, b->x, b->n, b->C, 1e-8F);
}

static void begin_reads(const struct workbench *b)
{
    for (int64_t i = 0; i < b->n_reads; i++) {
        b->reads[i].n_seen = 0;
    }
}

static void depth_first_phase(const struct workbench *b)
{
    begin_reads(b);
    b->kernels->depth_read_advance(b->reads, b->n_reads, b->depth_sources, b->n_sources, b->n,
                                   b->C);
}

static void depth_second_phase(const struct workbench *b)
{
    begin_reads(b);
    b->kernels->depth_read_finish(b->y, b->small, b->reads, b->depth_sources, b->n_open, b->w, b->n,
                                  b->C, 1e-8F);
}

static void depth_begin_backward(const struct workbench *b)
{
    b->reads[0].n_seen = b->n_open;
    b->kernels->depth_read_begin_backward(b->dsources, b->z, b->reads, b->x, b->w, b->small,
                                          b->depth_sources, b->n_open, b->scratch, b->n, b->C);
}

static void depth_end_backward(const struct workbench *b)
{
    b->kernels->depth_read_end_backward(b->dsources, b->reads, b->n_reads, b->depth_sources,
                                        b->n_sources, b->n, b->C);
}

static double no_flops(const struct workbench *b)
{
    (void)b;
    return 0.0;
}

static double copy_bytes(const struct workbench *b)
{
    return 2.0 * FLOAT * tokens_by(b, b->C);
}

static double update_bytes(const struct workbench *b)
{
    return 3.0 * FLOAT * tokens_by(b, b->C);
}

static double rmsnorm_flops(const struct workbench *b)
{
    return 4.0 * tokens_by(b, b->C);
}

static double rmsnorm_backward_flops(const struct workbench *b)
{
    return 9.0 * tokens_by(b, b->C);
}

static double rmsnorm_backward_bytes(const struct workbench *b)
{
    return 4.0 * FLOAT * tokens_by(b, b->C);
}

static double rope_flops(const struct workbench *b)
{
    return 3.0 * tokens_by(b, b->QKV - b->D * b->shape.n_kv_heads);
}

static double rope_bytes(const struct workbench *b)
{
    return 2.0 * FLOAT * tokens_by(b, b->QKV - b->D * b->shape.n_kv_heads);
}

/* Pairs of a query and a key it sees, over all sequences and heads. */
static double attention_pairs(const struct workbench *b)
{
    return (double)b->n * (double)(b->shape.n_tokens + 1) / 2.0 * (double)b->shape.n_heads;
}

static double attention_forward_flops(const struct workbench *b)
{
    return attention_pairs(b) * (4.0 * (double)b->D + EXPONENTIAL);
}

static double attention_backward_flops(const struct workbench *b)
{
    return attention_pairs(b) * (10.0 * (double)b->D + EXPONENTIAL);
}

static double attention_forward_bytes(const struct workbench *b)
{
    return FLOAT * tokens_by(b, b->QKV + b->C);
}

static double attention_backward_bytes(const struct workbench *b)
{
    return 2.0 * FLOAT * tokens_by(b, b->QKV + b->C);
}

static double swiglu_flops(const struct workbench *b)
{
    return (EXPONENTIAL + 4.0) * tokens_by(b, b->F);
}

static double swiglu_backward_flops(const struct workbench *b)
{
    return (EXPONENTIAL + 13.0) * tokens_by(b, b->F);
}

static double swiglu_bytes(const struct workbench *b)
{
    return 3.0 * FLOAT * tokens_by(b, b->F);
}

static double swiglu_backward_bytes(const struct workbench *b)
{
    return 6.0 * FLOAT * tokens_by(b, b->F);
}

static double cross_entropy_flops(const struct workbench *b)
{
    return (EXPONENTIAL + 4.0) * tokens_by(b, b->V);
}

static double cross_entropy_bytes(const struct workbench *b)
{
    return 2.0 * FLOAT * tokens_by(b, b->V);
}

static double add_flops(const struct workbench *b)
{
    return tokens_by(b, b->C);
}

static double to_bf16_bytes(const struct workbench *b)
{
    return 1.5 * FLOAT * tokens_by(b, b->C);
}

static double adamw_flops(const struct workbench *b)
{
    return 15.0 * tokens_by(b, b->C);
}

static double adamw_bytes(const struct workbench *b)
{
    return 7.0 * FLOAT * tokens_by(b, b->C);
}

static double inverse_rms_flops(const struct workbench *b)
{
    return 2.0 * tokens_by(b, b->C);
}

static double inverse_rms_bytes(const struct workbench *b)
{
    return FLOAT * tokens_by(b, b->C);
}

static double first_phase_flops(const struct workbench *b)
{
    return 5.0 * (double)(b->n_reads * b->n_sources) * tokens_by(b, b->C);
}

static double first_phase_bytes(const struct workbench *b)
{
    return FLOAT * (double)(b->n_sources + b->n_reads) * tokens_by(b, b->C);
}

static double second_phase_flops(const struct workbench *b)
{
    return (5.0 * (double)b->n_open + 1.0) * tokens_by(b, b->C) + rmsnorm_flops(b);
}

static double second_phase_bytes(const struct workbench *b)
{
    return FLOAT * (double)(b->n_open + 3) * tokens_by(b, b->C);
}

static double begin_backward_flops(const struct workbench *b)
{
    return (9.0 * (double)b->n_open + 2.0) * tokens_by(b, b->C) + rmsnorm_backward_flops(b);
}

static double begin_backward_bytes(const struct workbench *b)
{
    return FLOAT * (3.0 * (double)b->n_open + 3.0) * tokens_by(b, b->C);
}

static double end_backward_flops(const struct workbench *b)
{
    return 9.0 * (double)(b->n_reads * b->n_sources) * tokens_by(b, b->C);
}

static double end_backward_bytes(const struct workbench *b)
{
    return FLOAT * (double)(3 * b->n_sources + b->n_reads) * tokens_by(b, b->C);
}

const struct operation bench_operations[] = {
    {"attention forward", attention_forward, attention_forward_flops, attention_forward_bytes,
     false},
    {"attention backward", attention_backward, attention_backward_flops, attention_backward_bytes,
     false},
    {"rope", rope_forward, rope_flops, rope_bytes, false},
    {"norm forward", rmsnorm_forward, rmsnorm_flops, copy_bytes, false},
    {"norm backward", rmsnorm_backward, rmsnorm_backward_flops, rmsnorm_backward_bytes, false},
    {"swiglu forward", swiglu_forward, swiglu_flops, swiglu_bytes, false},
    {"swiglu backward", swiglu_backward, swiglu_backward_flops, swiglu_backward_bytes, false},
    {"depth inverse rms", depth_inverse_rms, inverse_rms_flops, inverse_rms_bytes, true},
    {"depth reads, completed", depth_first_phase, first_phase_flops, first_phase_bytes, true},
    {"depth read, open, norm", depth_second_phase, second_phase_flops, second_phase_bytes, true},
    {"norm, depth read, open, back", depth_begin_backward, begin_backward_flops,
     begin_backward_bytes, true},
    {"depth reads, completed, back", depth_end_backward, end_backward_flops, end_backward_bytes,
     true},
    {"embed forward", embed_forward, no_flops, copy_bytes, false},
    {"embed backward", embed_backward, add_flops, update_bytes, false},
    {"cross-entropy", cross_entropy, cross_entropy_flops, cross_entropy_bytes, false},
    {"add", add, add_flops, update_bytes, false},
    {"to bf16", to_bf16, no_flops, to_bf16_bytes, false},
    {"adamw", adamw, adamw_flops, adamw_bytes, false},
    {0},
};
