#include "small_rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/rng.h>

#include "overrides.h"
#include "ranks.h"

enum { MAX_OVERRIDES = 32, CONFIG_TEXT_BYTES = 1 << 14 };

static const char *const COMMON[] = {"model.layers=2",    "model.dim=8",       "model.heads=2",
                                     "model.kv_heads=1",  "model.ff=12",       "model.seq_len=8",
                                     "batch.sequences=1", "batch.microbatch=1"};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0] };

/** The buffers that hold tensors. */
static const enum buffer_id KINDS[] = {BUFFER_WEIGHTS, BUFFER_EXP_AVG, BUFFER_EXP_AVG_SQ};

void small_rank_init(struct small_rank *r, struct transport *t, enum plan_purpose purpose,
                     const char *const *overrides)
{
    const char *all[MAX_OVERRIDES];
    const int n = overrides_join(all, COMMON, N_COMMON, overrides,
                                 overrides != NULL ? MAX_OVERRIDES - N_COMMON : 0);
    *r = (struct small_rank){.transport = t, .config = calloc(1, sizeof *r->config)};
    CHECK(t, r->config != NULL && config_load(r->config, NULL, n, all, NULL));
    CHECK(t, plan_init(&r->plan, r->config, transport_size(t), purpose, NULL));
    CHECK(t, memory_init(&r->memory, &r->plan, transport_rank(t), NULL));
    r->config_text = calloc(CONFIG_TEXT_BYTES, 1);
    CHECK(t, r->config_text != NULL);
    CHECK(t, config_dump(r->config, false, r->config_text, CONFIG_TEXT_BYTES) < CONFIG_TEXT_BYTES);
    model_init(&r->model, &r->plan, plan_stage(&r->plan, transport_rank(t), 0)->index, &r->memory,
               kernels_select(0));
}

void small_rank_finish(struct small_rank *r)
{
    model_finish(&r->model);
    memory_finish(&r->memory);
    plan_finish(&r->plan);
    free(r->config_text);
    free(r->config);
    *r = (struct small_rank){0};
}

static float known(const struct param *param, int kind, int64_t i)
{
    return (float)(rng_at(rng_key((uint64_t)kind, param->name), (uint64_t)i) >> 44);
}

/** Visits every element of the rank's tensors. */
static bool each(const struct small_rank *r, int n_kinds,
                 bool (*visit)(float *x, const struct param *param, int kind, int64_t i))
{
    const struct stage *stage = r->model.stage;
    for (int64_t row = stage->first_param; row < stage->end_param; row++) {
        const struct param *param = &r->plan.params.rows[row];
        for (int kind = 0; kind < n_kinds; kind++) {
            float *x = memory_tensor(&r->memory, &r->plan, stage, param, KINDS[kind]);
            for (int64_t i = 0; i < param->count; i++) {
                if (!visit(&x[i], param, kind, i)) {
                    return false;
                }
            }
        }
    }
    float *copy = memory_buffer(&r->memory, BUFFER_HEAD_WEIGHT, 0);
    const struct param *embedding = params_find(&r->plan.params, -1, PARAM_EMBEDDING);
    for (int64_t i = 0; copy != NULL && i < embedding->count; i++) {
        if (!visit(&copy[i], embedding, 0, i)) {
            return false;
        }
    }
    return true;
}

static bool fill(float *x, const struct param *param, int kind, int64_t i)
{
    *x = known(param, kind, i);
    return true;
}

static bool spoil(float *x, const struct param *param, int kind, int64_t i)
{
    (void)param, (void)kind, (void)i;
    *x = NAN;
    return true;
}

static bool is_known(float *x, const struct param *param, int kind, int64_t i)
{
    return *x == known(param, kind, i);
}

void small_rank_fill(struct small_rank *r)
{
    each(r, 3, fill);
}

void small_rank_spoil(struct small_rank *r)
{
    each(r, r->plan.purpose == PLAN_TRAIN ? 3 : 1, spoil);
}

bool small_rank_is_filled(const struct small_rank *r, bool with_moments)
{
    return each(r, with_moments ? 3 : 1, is_known);
}

struct checkpoint_state small_rank_state(int64_t step)
{
    return (struct checkpoint_state){.step = step,
                                     .n_updates = step - 1,
                                     .guard = {.n_skips_in_a_row = 1,
                                               .n_seen = 3,
                                               .loss = {1.0 / 3.0, 1e-300},
                                               .grad_norm = {0.1, 2e300}},
                                     .position = {21, 22, 25},
                                     .data = {23, 25, 26, 27},
                                     .tokens = 24,
                                     .time_s = 0.1};
}

struct checkpoint_saver *small_rank_saver(struct small_rank *r, const char *run_path,
                                          bool in_background)
{
    const struct checkpoint_saver_spec spec = {.models = &r->model,
                                               .transport = r->transport,
                                               .run_path = run_path,
                                               .config_text = r->config_text,
                                               .in_background = in_background};
    struct checkpoint_saver *saver = checkpoint_saver_create(&spec, NULL);
    CHECK(r->transport, saver != NULL);
    return saver;
}

bool small_rank_save(struct small_rank *r, const char *run_path, int64_t step, struct error *err)
{
    const struct checkpoint_state state = small_rank_state(step);
    struct checkpoint_saver *saver = small_rank_saver(r, run_path, false);
    checkpoint_goes_on_from(saver, step - 1);
    const bool ok = checkpoint_save(saver, &state, err);
    checkpoint_saver_destroy(saver);
    return ok;
}
