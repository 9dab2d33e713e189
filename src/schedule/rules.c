#include <attnres/schedule.h>

#include <assert.h>

#include "schedule_internal.h"

/* The most actions that are built and simulated whole. */
static const int64_t MAX_ACTIONS = 20000000;

const struct schedule_rule *schedule_find_rule(enum schedule_kind kind)
{
    static const struct schedule_rule rules[] = {
        {SCHEDULE_GPIPE, true, 1, schedule_order_gpipe},
        {SCHEDULE_1F1B, true, 1, schedule_order_1f1b},
        {SCHEDULE_FORWARD, false, 1, schedule_order_forward},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].kind == kind) {
            return &rules[i];
        }
    }
    assert(!"a kind of schedule without a rule");
    return NULL;
}

int64_t schedule_order_capacity(const struct schedule_spec *spec)
{
    const int64_t per_microbatch = schedule_find_rule(spec->kind)->has_backward ? 3 : 1;
    return per_microbatch * spec->n_chunks * spec->n_microbatches;
}

bool schedule_check_spec(const struct schedule_spec *spec, struct error *err)
{
    const struct schedule_rule *rule = schedule_find_rule(spec->kind);
    if (spec->n_ranks < 1) {
        return error_set(err, ERROR_CONFIG, "pipeline.stages: %d stages; at least 1 is needed",
                         spec->n_ranks);
    }
    if (spec->n_microbatches < 1) {
        return error_set(err, ERROR_CONFIG,
                         "batch.sequences: %d microbatches in a step; at least 1 is needed",
                         spec->n_microbatches);
    }
    if (spec->n_chunks != rule->n_chunks) {
        return error_set(err, ERROR_CONFIG,
                         "pipeline.chunks is %d, but schedule %s gives each rank %d: nearest legal "
                         "value %d",
                         spec->n_chunks, config_schedule_name(spec->kind), rule->n_chunks,
                         rule->n_chunks);
    }
    const int64_t per_microbatch = (rule->has_backward ? 7 : 3) * (int64_t)rule->n_chunks;
    const int64_t most = MAX_ACTIONS / per_microbatch / spec->n_ranks;
    if (spec->n_microbatches > most) {
        return error_set(err, ERROR_CONFIG,
                         "batch: %d microbatches on %d ranks are more than the %lld actions that a "
                         "schedule may have; at most %lld microbatches fit",
                         spec->n_microbatches, spec->n_ranks, (long long)MAX_ACTIONS,
                         (long long)most);
    }
    return true;
}
