#include <attnres/optim.h>

#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

/** Share of the peak rate after warm-up; p runs from 0 to 1 over the steps behind it. A run that
 * ends within its warm-up does not get there. */
static double decay_factor(const struct optim_config *config, int64_t n_steps, int64_t s)
{
    const double m = config->min_lr_ratio;
    switch (config->schedule) {
    case LR_COSINE: {
        const double span = (double)(n_steps - config->warmup_steps);
        double p = s > config->warmup_steps ? (double)(s - config->warmup_steps) / span : 0.0;
        p = p < 1.0 ? p : 1.0;
        return m + (1.0 - m) * (1.0 + cos(PI * p)) / 2.0;
    }
    case LR_WSD: {
        const double cooldown = round(config->cooldown_ratio * (double)n_steps);
        const double start = (double)n_steps - cooldown;
        if ((double)s < start || cooldown <= 0.0) {
            return 1.0;
        }
        const double p = ((double)s - start) / cooldown;
        return m + (1.0 - m) * (1.0 - sqrt(p < 1.0 ? p : 1.0));
    }
    case LR_CONSTANT:
        break;
    }
    return 1.0;
}

double optim_lr(const struct optim_config *config, int64_t n_steps, int64_t s)
{
    double warmup = 1.0;
    if (config->warmup_steps > 0 && s + 1 < config->warmup_steps) {
        warmup = (double)(s + 1) / (double)config->warmup_steps;
    }
    return config->lr * warmup * decay_factor(config, n_steps, s);
}

static float *tensor(const struct optim *optim, const struct stage *stage,
                     const struct param *param, enum buffer_id id)
{
    return memory_tensor(optim->memory, optim->plan, stage, param, id);
}

const struct param *optim_squares(const struct optim *optim, double *squares)
{
    const struct param *odd = NULL;
    double *chunks = memory_buffer(optim->memory, BUFFER_CHUNK_SUMS, 0);
    for (int chunk = 0; chunk < optim->plan->n_chunks; chunk++) {
        const struct stage *stage = plan_stage(optim->plan, optim->rank, chunk);
        for (int64_t i = stage->first_param; i < stage->end_param; i++) {
            const struct param *param = &optim->plan->params.rows[i];
            if (!plan_owns(optim->plan, optim->memory->replica, param)) {
                continue;
            }
            const float *gradient = tensor(optim, stage, param, BUFFER_GRADIENTS);
            double *sum = &squares[stage->param_base + i - stage->first_param];
            *sum = optim->kernels->sum_squares(gradient, chunks, param->count);
            if (optim->twice && odd == NULL) {
                const double again = optim->kernels->sum_squares(gradient, chunks, param->count);
                odd = memcmp(&again, sum, sizeof again) != 0 ? param : NULL;
            }
        }
    }
    return odd;
}

double optim_clip_factor(const struct optim_config *config, double norm)
{
    if (config->clip <= 0.0) {
        return 1.0;
    }
    const double factor = config->clip / (norm + 1e-6);
    return factor < 1.0 ? factor : 1.0;
}

/** A row of weights, its two moments, its gradient. */
struct row {
    float *state[3];
    const float *gradient;
    int64_t count;
};

static void update(const struct optim *optim, const struct row *row, const struct adamw_step *step)
{
    optim->kernels->adamw(row->state[0], row->state[1], row->state[2], row->gradient, step,
                          row->count);
}

/** Span by span, of which a copy is updated first. False if any differs. */
static bool update_twice(const struct optim *optim, const struct row *row,
                         const struct adamw_step *step)
{
    float *scratch = memory_buffer(optim->memory, BUFFER_AGAIN, 0);
    bool is_same = true;
    for (int64_t at = 0; at < row->count; at += PLAN_AGAIN_SPAN) {
        const int64_t left = row->count - at;
        struct row span = {.gradient = row->gradient + at,
                           .count = left < PLAN_AGAIN_SPAN ? left : PLAN_AGAIN_SPAN};
        const size_t bytes = (size_t)span.count * sizeof *scratch;
        struct row copy = span;
        for (int i = 0; i < 3; i++) {
            span.state[i] = row->state[i] + at;
            copy.state[i] = memcpy(scratch + i * span.count, span.state[i], bytes);
        }
        update(optim, &copy, step);
        update(optim, &span, step);
        for (int i = 0; i < 3; i++) {
            is_same = memcmp(copy.state[i], span.state[i], bytes) == 0 && is_same;
        }
    }
    return is_same;
}

const struct param *optim_update(const struct optim *optim, const struct optim_config *config,
                                 double lr, double clip_factor, int64_t n_updates)
{
    const struct param *odd = NULL;
    struct adamw_step step = {
        .lr = (float)lr,
        .beta2 = (float)config->beta2,
        .eps = (float)config->eps,
        .new1 = (float)(1.0 - config->beta1),
        .new2 = (float)(1.0 - config->beta2),
        .correction1 = (float)(1.0 - pow(config->beta1, (double)n_updates)),
        .correction2_root = (float)sqrt(1.0 - pow(config->beta2, (double)n_updates)),
        .gradient_scale = (float)clip_factor,
    };
    for (int chunk = 0; chunk < optim->plan->n_chunks; chunk++) {
        const struct stage *stage = plan_stage(optim->plan, optim->rank, chunk);
        for (int64_t i = stage->first_param; i < stage->end_param; i++) {
            const struct param *param = &optim->plan->params.rows[i];
            if (!plan_owns(optim->plan, optim->memory->replica, param)) {
                continue;
            }
            if (optim->before_change != NULL) {
                optim->before_change(optim->user, chunk, param);
            }
            step.weight_decay = param->decays ? (float)config->weight_decay : 0.0F;
            const struct row row = {.state = {tensor(optim, stage, param, BUFFER_WEIGHTS),
                                              tensor(optim, stage, param, BUFFER_EXP_AVG),
                                              tensor(optim, stage, param, BUFFER_EXP_AVG_SQ)},
                                    .gradient = tensor(optim, stage, param, BUFFER_GRADIENTS),
                                    .count = param->count};
            if (!optim->twice) {
                update(optim, &row, &step);
            } else if (!update_twice(optim, &row, &step) && odd == NULL) {
                odd = param;
            }
        }
    }
    return odd;
}
