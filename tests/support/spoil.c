#include "spoil.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <attnres/engine.h>
#include <attnres/kernels.h>
#include <attnres/model.h>

struct spoil_fault fault;

static void spoil(float *x)
{
    if (fault.call != 0 && atomic_fetch_add(&fault.n_calls, 1) + 1 != fault.call) {
        return;
    }
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    bits ^= fault.flip;
    memcpy(x, &bits, sizeof bits);
    *x = fault.flip != 0 ? *x : NAN;
}

static bool is_place(enum site site, const struct model *model, const struct model_work *work,
                     int part)
{
    return fault.site == site && model->stage->index == fault.stage && part == fault.part &&
           work->microbatch == fault.microbatch && model->memory->replica == fault.replica &&
           work->loss_scale != 0.0F;
}

static const struct param *row_of(const struct model *model, int part, enum param_role role)
{
    return params_find(&model->plan->params, model->stage->first + part, role);
}

static int64_t taken_id(const struct model *model)
{
    const struct depth_set taken = depth_live(&model->plan->depth, model->stage->first);
    return depth_set_id(&taken, depth_set_count(&taken) - 1);
}

void __real_model_forward_begin(const struct model *model, const struct model_work *work);
void __real_model_forward_part(const struct model *model, const struct model_work *work, int part);
bool __real_model_recompute_part(const struct model *model, const struct model_work *work,
                                 int again, int part);
void __real_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part);
void __real_model_weight_gradient_part(const struct model *model, const struct model_work *work,
                                       int part);
void __real_engine_hand_out_weights(struct engine *engine);
void __wrap_model_forward_begin(const struct model *model, const struct model_work *work);
void __wrap_model_forward_part(const struct model *model, const struct model_work *work, int part);
bool __wrap_model_recompute_part(const struct model *model, const struct model_work *work,
                                 int again, int part);
void __wrap_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part);
void __wrap_model_weight_gradient_part(const struct model *model, const struct model_work *work,
                                       int part);
void __wrap_engine_hand_out_weights(struct engine *engine);

void __wrap_model_forward_begin(const struct model *model, const struct model_work *work)
{
    __real_model_forward_begin(model, work);
    if (is_place(TAKEN, model, work, 0)) {
        spoil(model_value(model, work->slot, taken_id(model)) + 3);
    }
}

static void spoil_output(const struct model *model, const struct model_work *work, int part)
{
    const int64_t l = model->stage->first + part;
    if (!is_place(OUTPUT, model, work, part)) {
        return;
    }
    if (l == model->plan->depth.n_sublayers) {
        spoil(model_logits(model, work->microbatch) + 7);
    } else {
        spoil(model_value(model, work->slot, depth_output_of(&model->plan->depth, l).value) + 7);
    }
}

void __wrap_model_forward_part(const struct model *model, const struct model_work *work, int part)
{
    __real_model_forward_part(model, work, part);
    spoil_output(model, work, part);
}

bool __wrap_model_recompute_part(const struct model *model, const struct model_work *work,
                                 int again, int part)
{
    const bool made = __real_model_recompute_part(model, work, again, part);
    if (made) {
        spoil_output(model, work, again);
    }
    return made;
}

void __wrap_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part)
{
    __real_model_input_gradient_part(model, work, part);
    if (is_place(GAIN, model, work, part)) {
        spoil(model_gradient(model, row_of(model, part, PARAM_GAIN)) + 1);
    } else if (is_place(GIVEN, model, work, part)) {
        spoil(model_dvalue(model, work->gradient_slot, taken_id(model)) + 1);
    }
}

void __wrap_model_weight_gradient_part(const struct model *model, const struct model_work *work,
                                       int part)
{
    __real_model_weight_gradient_part(model, work, part);
    if (is_place(MATRIX, model, work, part)) {
        const struct param *o = row_of(model, part, PARAM_O);
        spoil(model_gradient(model, o != NULL ? o : row_of(model, part, PARAM_DOWN)) + 2);
    } else if (is_place(EMBEDDING, model, work, part)) {
        spoil(model_gradient(model, params_find(&model->plan->params, -1, PARAM_EMBEDDING)) + 2);
    }
}

void __wrap_engine_hand_out_weights(struct engine *engine)
{
    __real_engine_hand_out_weights(engine);
    const struct model *model = &engine->models[0];
    const bool is_here = model->stage->index == fault.stage &&
                         (fault.site == FIRST_WEIGHT || model->memory->replica == fault.replica);
    if (is_here && (fault.site == WEIGHT || fault.site == FIRST_WEIGHT)) {
        spoil(model_weight(model, row_of(model, 1, PARAM_GAIN)));
    }
}

/** Each rank's thread has kernels of its own, two of which can be spoilt. */
static _Thread_local int own_rank;
static _Thread_local const struct kernels *real_kernels;
static _Thread_local struct kernels kernels;

static bool is_site(enum site site)
{
    return fault.site == site && own_rank == fault.stage;
}

static double sum_squares(const float *x, double *partials, int64_t count)
{
    const double sum = real_kernels->sum_squares(x, partials, count);
    float spoilt = (float)sum;
    if (is_site(SQUARES)) {
        spoil(&spoilt);
    }
    return is_site(SQUARES) ? spoilt : sum;
}

static void adamw(float *p, float *exp_avg, float *exp_avg_sq, const float *g,
                  const struct adamw_step *step, int64_t count)
{
    float *const left[] = {p, exp_avg, exp_avg_sq};
    real_kernels->adamw(p, exp_avg, exp_avg_sq, g, step, count);
    for (int i = 0; i < 3; i++) {
        if (is_site((enum site)(NEW_WEIGHT + i))) {
            spoil(left[i] + count - 1);
        }
    }
}

void spoil_set_rank(int rank)
{
    own_rank = rank;
}

const struct kernels *__real_kernels_select(int level);
const struct kernels *__wrap_kernels_select(int level);

const struct kernels *__wrap_kernels_select(int level)
{
    real_kernels = __real_kernels_select(level);
    kernels = *real_kernels;
    kernels.sum_squares = sum_squares;
    kernels.adamw = adamw;
    return &kernels;
}
