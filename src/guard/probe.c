/* Looking at the tensors of a step while it is computed. */
#include <attnres/guard.h>

#include <assert.h>
#include <string.h>

#include <attnres/rng.h>

/** Where the hashes of a part stand, and of a chunk as a whole, in its row of BUFFER_HASHES. */
enum { HASH_OUTPUT = 0, HASH_OUTPUT_AGAIN = 1, HASH_INPUT_GRADIENT = 2, HASH_WEIGHT_GRADIENT = 4 };
enum { HASH_TAKEN = 0, HASH_GIVEN = 1 };

void guard_probe_init(struct guard_probe *probe, enum guard_task task, const struct plan *plan,
                      const struct memory *memory, int rank)
{
    *probe = (struct guard_probe){.task = task,
                                  .plan = plan,
                                  .memory = memory,
                                  .rank = rank,
                                  .seen = memory_buffer(memory, BUFFER_HASHES, 0)};
    assert(task == GUARD_FIND_NOT_FINITE || probe->seen != NULL);
}

void guard_merge(struct guard_finding *first, const struct guard_finding *other)
{
    if (other->what != GUARD_NOTHING &&
        (first->what == GUARD_NOTHING || other->order < first->order)) {
        *first = *other;
    }
}

/** Tensors that are looked at together. */
struct look {
    bool is_finite;
    uint64_t hash;
};

static bool are_finite(const float *values, int64_t count)
{
    static const uint32_t EXPONENT = 0x7f800000U;
    bool finite = true;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        finite = finite && (bits & EXPONENT) != EXPONENT;
    }
    return finite;
}

static struct look look_at(const struct guard_probe *probe, const float *values, int64_t count)
{
    const bool hashes = probe->task != GUARD_FIND_NOT_FINITE;
    return (struct look){.is_finite = hashes || are_finite(values, count),
                         .hash = hashes ? rng_hash_floats(values, count) : 0};
}

static void look_on(const struct guard_probe *probe, struct look *look, const float *values,
                    int64_t count)
{
    const struct look next = look_at(probe, values, count);
    look->is_finite = look->is_finite && next.is_finite;
    look->hash = rng_at(look->hash, next.hash);
}

/** place: of the hash in BUFFER_HASHES. */
static void conclude(struct guard_probe *probe, const struct look *look, int64_t place,
                     const struct guard_finding *finding)
{
    if (probe->task == GUARD_REMEMBER) {
        probe->seen[place] = look->hash;
    } else if (probe->task == GUARD_COMPARE ? probe->seen[place] != look->hash : !look->is_finite) {
        guard_merge(&probe->first, finding);
    }
}

/** The hashes of a microbatch's part; those of the chunk as a whole stand behind its last part. */
static int64_t place_of(const struct guard_probe *probe, const struct model *model,
                        const struct action *action, int64_t part)
{
    int64_t row = part;
    for (int chunk = 0; chunk < model->stage->chunk; chunk++) {
        row += plan_stage(probe->plan, model->stage->rank, chunk)->n_reads + 1;
    }
    row += action->microbatch * plan_hash_rows(probe->plan, model->stage->rank);
    return row * PLAN_HASHES_PER_PART;
}

/** Places in the order of a microbatch: forwards two a sublayer (taken, output), backwards three
 * (I, W, given). */
static int64_t forward_order(int64_t l, bool is_output)
{
    return 2 * l + is_output;
}

static int64_t backward_order(const struct guard_probe *probe, int64_t l, int64_t place)
{
    const int64_t L = probe->plan->depth.n_sublayers;
    return 2 * (L + 1) + 3 * (L - l) + place;
}

static struct guard_finding find(const struct guard_probe *probe, const struct model *model,
                                 const struct action *action, enum guard_what what, int64_t order)
{
    const int64_t per_microbatch = 5 * (probe->plan->depth.n_sublayers + 1);
    const int64_t microbatch =
        action->microbatch * probe->plan->grid.n_replicas + probe->memory->replica;
    return (struct guard_finding){.order = microbatch * per_microbatch + order,
                                  .what = (int32_t)what,
                                  .rank = probe->rank,
                                  .stage = model->stage->index,
                                  .microbatch = (int32_t)microbatch};
}

static int64_t value_count(const struct model *model)
{
    return model->n * model->plan->config->model.dim;
}

void guard_look_taken(struct guard_probe *probe, const struct model *model,
                      const struct action *action)
{
    if (probe == NULL) {
        return;
    }
    const struct stage *stage = model->stage;
    const struct depth_set taken = depth_live(&probe->plan->depth, stage->first);
    const struct guard_finding finding =
        find(probe, model, action, GUARD_TAKEN, forward_order(stage->first, false));
    struct look look = {.is_finite = true};
    for (int64_t i = 0; i < depth_set_count(&taken); i++) {
        look_on(probe, &look, model_value(model, action->slot, depth_set_id(&taken, i)),
                value_count(model));
    }
    conclude(probe, &look, place_of(probe, model, action, stage->n_reads) + HASH_TAKEN, &finding);
}

void guard_look_forward(struct guard_probe *probe, const struct model *model,
                        const struct action *action, int part)
{
    if (probe == NULL) {
        return;
    }
    const struct depth_plan *depth = &probe->plan->depth;
    const int64_t l = model->stage->first + part;
    struct guard_finding finding = find(probe, model, action, GUARD_OUTPUT, forward_order(l, true));
    finding.index = l;
    struct look look = {.is_finite = true};
    if (l == depth->n_sublayers) {
        look_on(probe, &look, model_logits(model, action->microbatch),
                model->n * probe->plan->config->model.vocab);
    } else {
        const struct depth_output out = depth_output_of(depth, l);
        look_on(probe, &look, model_value(model, action->slot, out.value), value_count(model));
        if (out.completes >= 0) {
            look_on(probe, &look, model_value(model, action->slot, out.completes),
                    value_count(model));
        }
    }
    const bool is_again = action->op == ACTION_INPUT_GRADIENT;
    conclude(probe, &look,
             place_of(probe, model, action, part) + (is_again ? HASH_OUTPUT_AGAIN : HASH_OUTPUT),
             &finding);
}

static void look_at_row(struct guard_probe *probe, const struct param *param, const float *values,
                        int64_t place, struct guard_finding finding)
{
    const struct look look = look_at(probe, values, param->count);
    finding.index = param - probe->plan->params.rows;
    conclude(probe, &look, place, &finding);
}

/** The place of the hash of the i-th row that a part of I or W makes whole: a query's stands at its
 * own part, wherever that is whole. */
static int64_t place_of_row(const struct guard_probe *probe, const struct model *model,
                            const struct action *action, int part, int i, const struct param *row)
{
    if (action->op == ACTION_WEIGHT_GRADIENT) {
        return place_of(probe, model, action, part) + HASH_WEIGHT_GRADIENT + i;
    }
    const int64_t own = row->sublayer - model->stage->first;
    return place_of(probe, model, action, own) + HASH_INPUT_GRADIENT + (row->role == PARAM_READ);
}

/** The tied embedding's gradient at either end, which has one of its own. */
static void look_at_tied(struct guard_probe *probe, const struct model *model,
                         const struct action *action, int part, struct guard_finding finding)
{
    const struct stage *stage = model->stage;
    const struct param *embedding = params_find(&probe->plan->params, -1, PARAM_EMBEDDING);
    const int64_t place =
        place_of(probe, model, action, part) + PLAN_HASHES_PER_PART - 1; /* behind all others */
    if (stage->first + part == probe->plan->depth.n_sublayers) {
        look_at_row(probe, embedding, model_head_gradient(model), place, finding);
    } else if (part == 0 && stage->is_first) {
        look_at_row(probe, embedding, model_gradient(model, embedding), place, finding);
    }
}

void guard_look_backward(struct guard_probe *probe, const struct model *model,
                         const struct action *action, int part)
{
    if (probe == NULL) {
        return;
    }
    const struct stage *stage = model->stage;
    const bool is_weights = action->op == ACTION_WEIGHT_GRADIENT;
    const struct guard_finding finding =
        find(probe, model, action, GUARD_GRADIENT,
             backward_order(probe, stage->first + part, is_weights));
    const struct param *row = plan_finished(probe->plan, stage, part, action->op, 0);
    for (int i = 0; row != NULL; row = plan_finished(probe->plan, stage, part, action->op, ++i)) {
        look_at_row(probe, row, model_gradient(model, row),
                    place_of_row(probe, model, action, part, i, row), finding);
    }
    if (is_weights && probe->plan->config->model.tied) {
        look_at_tied(probe, model, action, part, finding);
    }
}

void guard_look_given(struct guard_probe *probe, const struct model *model,
                      const struct action *action)
{
    if (probe == NULL) {
        return;
    }
    const struct stage *stage = model->stage;
    const struct depth_set given = depth_live(&probe->plan->depth, stage->first);
    const struct guard_finding finding =
        find(probe, model, action, GUARD_GIVEN, backward_order(probe, stage->first, 2));
    struct look look = {.is_finite = true};
    for (int64_t i = 0; i < depth_set_count(&given); i++) {
        look_on(probe, &look, model_dvalue(model, action->gradient_slot, depth_set_id(&given, i)),
                value_count(model));
    }
    conclude(probe, &look, place_of(probe, model, action, stage->n_reads) + HASH_GIVEN, &finding);
}

/** Weights come before all microbatches, what is made of sums behind them, both in table order. */
struct guard_finding guard_find_row(const struct plan *plan, int rank, enum guard_what what,
                                    const struct param *row)
{
    const int64_t n_rows = plan->params.n_rows, i = row - plan->params.rows;
    int stage = 0;
    while (i >= plan->stages[stage].end_param) {
        stage++;
    }
    return (struct guard_finding){.order =
                                      what == GUARD_WEIGHT ? i - n_rows : INT64_MAX - n_rows + i,
                                  .what = (int32_t)what,
                                  .rank = rank,
                                  .stage = stage,
                                  .microbatch = -1,
                                  .index = i};
}

void guard_look_weights(struct guard_probe *probe, const struct model *model)
{
    assert(probe->task == GUARD_FIND_NOT_FINITE);
    for (int64_t i = model->stage->first_param; i < model->stage->end_param; i++) {
        const struct param *param = &probe->plan->params.rows[i];
        look_at_row(probe, param, model_weight(model, param), -1,
                    guard_find_row(probe->plan, probe->rank, GUARD_WEIGHT, param));
    }
}

void guard_look_sums(struct guard_probe *probe, const struct model *model)
{
    const struct stage *stage = model->stage;
    const int64_t n_rows = probe->plan->n_microbatches * plan_hash_rows(probe->plan, stage->rank),
                  place = n_rows * PLAN_HASHES_PER_PART + stage->param_base;
    for (int64_t i = stage->first_param; i < stage->end_param; i++) {
        const struct param *param = &probe->plan->params.rows[i];
        if (plan_owns(probe->plan, probe->memory->replica, param)) {
            look_at_row(probe, param, model_gradient(model, param), place + i - stage->first_param,
                        guard_find_row(probe->plan, probe->rank, GUARD_SUM, param));
        }
    }
}
