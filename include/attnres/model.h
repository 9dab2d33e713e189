/** One stage of the transformer: forward, input gradient (I) and weight gradient (W) of one
 * microbatch.
 *
 *  The stage's work is cut into parts, one per sublayer and one for the head, so that the engine
 * can drive messages between them. A part takes its inputs from the slot's values and leaves its
 * output there; the engine moves values and their gradients between stages. I and W are the same
 * functions in every schedule. Nothing here allocates after model_init, communicates or decides.
 *
 *  With memory.recompute F leaves its interior in a working set that the next action overwrites,
 * and keeps of a slot what stage.value_rows says. I runs parts again first, by the same functions,
 * so to the same bits: `block` those of one segment (a block's share of the stage) when it comes to
 * its deepest part; `all` first the whole stage, then likewise for all segments but the deepest.
 * What W needs goes into the gradient slot, unless the rank alternates. The last segment of the
 * model is run in I alone, as nothing waits for its values:
 *
 *      block   F 0 1 2 3 4 5      I [4 5] 5 4 [2 3] 3 2 [0 1] 1 0         segments of two parts
 *      all     F 0 1 2 3 4 5      I [0 1 2 3 4 5] 5 4 [2 3] 3 2 [0 1] 1 0
 *
 *  Gradients of values follow three rules, which make their bits independent of cuts: the last
 * stage zeroes those that the head reads; what a sum is made of starts from the sum's gradient, to
 * which its deepest reader adds; readers add, deepest first. The reads of a block on a stage pass
 * over the completed sources together, when the gradients of all their results are known. */
#ifndef ATTNRES_MODEL_H
#define ATTNRES_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/kernels.h>
#include <attnres/plan.h>

struct model {
    const struct plan *plan;
    const struct stage *stage;
    const struct memory *memory;
    const struct kernels *kernels;
    int64_t n; /* tokens of a microbatch */
    struct attention_shape shape;
    /* Products with the weights of these roles; NULL where the stage has none. */
    struct matmul *qkv, *attention_out, *gate_up, *down, *head;
    void *product_scratch;
    struct depth_read *reads;        /* reads in progress: the open block's on this stage */
    struct depth_source *sources;    /* scratch: one read's sources */
    struct depth_gradient *dsources; /* scratch: and where their gradients go */
    int64_t masked; /* id of a value that reads of several sources leave out, as if it were none of
                       theirs: what is it worth? -1: none. In forward passes alone. */
};

/** Where one microbatch lives, and what the ends of the pipeline know of it. */
struct model_work {
    int slot;
    int gradient_slot; /* -1 in F */
    int microbatch;
    const int32_t *tokens;  /* (n): first stage */
    const int32_t *targets; /* (n): last stage; -1 does not count */
    float loss_scale; /* 1 / counted targets of the step; 0: keep the logits, no gradient follows */
    bool wants_best;  /* fill BUFFER_BEST */
    int64_t position; /* PLAN_GENERATE: of the token in its sequence; the ones before are past */
    double *loss;     /* last stage, where the head is run: takes the sum of nats over counted
                         targets, in token order */
};

/** Borrow plan, memory and kernels; fills the rotary table. */
void model_init(struct model *model, const struct plan *plan, int stage,
                const struct memory *memory, const struct kernels *kernels);
void model_finish(struct model *model);

/** The weights have changed, or may have: make of them what products read. */
void model_take_weights(const struct model *model);

/** Draw all weights of the stage from the seed. */
void model_draw_weights(const struct model *model, int64_t seed);

/** Sublayers of the stage, and one more for the head on the last stage. */
int model_part_count(const struct model *model);

/** Parts that F runs: all, or those before the segment that is left to I. */
int model_forward_count(const struct model *model, const struct model_work *work);

/** Before part 0: look up the embedding, or take in the values that arrived. */
void model_forward_begin(const struct model *model, const struct model_work *work);
void model_forward_part(const struct model *model, const struct model_work *work, int part);

/** Before I of a part: run again the parts from model_recompute_first(part) on, up to the part
 * itself; none if that lies behind it. Whether the part's output was made, too. */
int model_recompute_first(const struct model *model, int part);
bool model_recompute_part(const struct model *model, const struct model_work *work, int again,
                          int part);

/** Before the deepest part's I; then parts from the deepest up. */
void model_input_gradient_begin(const struct model *model, const struct model_work *work);
void model_input_gradient_part(const struct model *model, const struct model_work *work, int part);

/** Parts in any fixed order; here deepest first as well. Part 0 of the first stage includes the
 * embedding. */
void model_weight_gradient_part(const struct model *model, const struct model_work *work, int part);

/** A value or its gradient in a slot, by id. (n,C) */
float *model_value(const struct model *model, int slot, int64_t id);
float *model_dvalue(const struct model *model, int gradient_slot, int64_t id);
/** The gradient of what sublayer l puts out, which is that of what this is summed into, from I on.
 * (n,C) */
float *model_output_gradient(const struct model *model, int gradient_slot, int64_t l);
/** Logits of a microbatch, from its forward pass until I. (n,V); NULL off the last stage */
float *model_logits(const struct model *model, int microbatch);
/** Scales of a completed value in representative.value: int8. (n); NULL otherwise */
float *model_scales(const struct model *model, int slot, int64_t id);

/** Sources of a part's read; 0 if the read has one source and returns it. */
int64_t model_deep_sources(const struct model *model, int part);
/** The read's result h (n,C) in a slot; from the part's I on its gradient, if the read has several
 * sources. */
float *model_hidden(const struct model *model, int slot, int part);
/** A read of several sources as the kernels take it, with nothing seen yet. Its scores, and m as
 * after finish, are those that the last forward pass through the slot has left, if nothing is
 * recomputed. */
struct depth_read model_read(const struct model *model, int slot, int part);

/** The stage's tensors of a row of the parameter table that it owns. */
float *model_weight(const struct model *model, const struct param *param);
float *model_gradient(const struct model *model, const struct param *param);
/** The head's matrix and gradient, tied or not; NULL off the last stage. */
float *model_head_weight(const struct model *model);
float *model_head_gradient(const struct model *model);

#endif
