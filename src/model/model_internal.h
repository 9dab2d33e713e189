/** What forward.c and backward.c share: where a part's tensors lie. */
#ifndef ATTNRES_MODEL_INTERNAL_H
#define ATTNRES_MODEL_INTERNAL_H

#include <attnres/model.h>

/** The sublayer in front of which a part's read stands; L for the head. */
int64_t model_part_sublayer(const struct model *model, int part);
bool model_part_is_head(const struct model *model, int part);

/** Row `index` of a per-slot buffer whose rows have `row_count` elements. */
void *model_row(const struct model *model, enum buffer_id id, int slot, int64_t index,
                int64_t row_count);

/** A part's row of what I alone needs of the forward pass: in its slot, or in the working set. */
void *model_inner_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                      int part, int64_t row_count);
/** A part's row of what W needs of it, or of the gradient that I leaves in its place: in its slot,
 * or when it is run again in the working set where W follows at once, else in the gradient slot,
 * and scratch in the first F. */
void *model_lasting_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                        int part, int64_t row_count);
/** A part's row of BUFFER_NORMED or BUFFER_ACTIVATED, which F makes in passing and I makes again
 * for W: in the gradient slot, or scratch where W follows at once. */
void *model_again_row(const struct model *model, enum buffer_id id, const struct model_work *work,
                      int part, int64_t row_count);
/** Where F makes them. */
void *model_passing_row(const struct model *model, enum buffer_id id);
/** PLAN_GENERATE: keys and values of the tokens so far, for a part's attention. (T, 2 KV D) */
float *model_past(const struct model *model, int slot, int part);

/** Inverse RMS of a value in a slot. (n) */
float *model_inverse_rms(const struct model *model, int slot, int64_t id);

/** Fill model->sources with the sources [from, end) of read l. */
void model_fill_sources(const struct model *model, int slot, int64_t l, int64_t from, int64_t end);

/** Whether a part is the first of its block on this stage and any read there has several sources:
 * forwards the block's reads begin there, backwards they end. */
bool model_opens_block(const struct model *model, int part);

/** The parts of a part's block on this stage whose reads have several sources, and the first
 * sources, which all of these have. */
struct model_reads {
    int first, end;
    int64_t n_common;
};
struct model_reads model_reads_of_block(const struct model *model, int part);

bool model_operand_is_bf16(const struct model *model);

/** An operand that products alone read, kept in compute.precision: fill its draft with f32, then
 * keep it. In f32 the draft is its place itself. One draft at a time. keep returns `kept`. */
float *model_operand_draft(const struct model *model, void *kept);
const void *model_operand_keep(const struct model *model, void *kept, int64_t count);

/** x (n,C), which from now on products alone read: each row is rounded in its place. Returns x. */
const void *model_operand_narrow(const struct model *model, float *x, int64_t C);

/** A tensor that others read too as an operand, valid until the next copy of the same name. */
const void *model_operand_copy(const struct model *model, const float *x, int64_t count,
                               enum operand_copy which);

/** Weights as operands. */
const void *model_operand_weight(const struct model *model, const struct param *param);
const void *model_operand_head_weight(const struct model *model);

const struct param *model_param(const struct model *model, int64_t l, enum param_role role);

#endif
