#include <attnres/schedule.h>

#include <assert.h>
#include <stdio.h>

#include "schedule_internal.h"

static const int ANY_CHUNKS = INT32_MAX;

const struct schedule_rule *schedule_find_rule(enum schedule_kind kind)
{
    static const struct schedule_rule rules[] = {
        [SCHEDULE_GPIPE] = {true, false, false, 1, 1, schedule_order_gpipe},
        [SCHEDULE_1F1B] = {true, false, false, 1, 1, schedule_order_1f1b},
        [SCHEDULE_INTERLEAVED] = {true, false, true, 2, ANY_CHUNKS, schedule_order_interleaved},
        [SCHEDULE_ZB_H1] = {true, false, false, 1, 1, schedule_order_zb_h1},
        [SCHEDULE_ZB_V] = {true, true, false, 2, 2, schedule_order_zb_v},
        [SCHEDULE_FORWARD] = {false, false, false, 1, ANY_CHUNKS, schedule_order_forward},
        [SCHEDULE_FORWARD_V] = {false, true, false, 2, 2, schedule_order_forward_v},
    };
    assert((size_t)kind < sizeof rules / sizeof rules[0] && rules[kind].order != NULL);
    return &rules[kind];
}

enum schedule_kind schedule_forward_kind(enum schedule_kind kind)
{
    return schedule_find_rule(kind)->is_v ? SCHEDULE_FORWARD_V : SCHEDULE_FORWARD;
}

int64_t schedule_order_capacity(const struct schedule_spec *spec)
{
    const int64_t per_microbatch = schedule_find_rule(spec->kind)->has_backward ? 3 : 1;
    return per_microbatch * spec->n_chunks * spec->n_microbatches;
}

int schedule_group(const struct schedule_spec *spec)
{
    return spec->group > 0 ? spec->group : spec->n_ranks;
}

/** As the user chose it: evaluation runs a schedule of its own for zb_v. */
static const char *name_of(enum schedule_kind kind)
{
    return config_schedule_name(kind == SCHEDULE_FORWARD_V ? SCHEDULE_ZB_V : kind);
}

static bool check_chunks(const struct schedule_spec *spec, struct error *err)
{
    const struct schedule_rule *rule = schedule_find_rule(spec->kind);
    if (spec->n_chunks >= rule->min_chunks && spec->n_chunks <= rule->max_chunks) {
        return true;
    }
    const bool is_few = spec->n_chunks < rule->min_chunks;
    return error_set(err, ERROR_CONFIG,
                     "pipeline.chunks is %d, but schedule %s gives each rank %s%d: nearest legal "
                     "value %d",
                     spec->n_chunks, name_of(spec->kind),
                     rule->min_chunks < rule->max_chunks ? "at least " : "", rule->min_chunks,
                     is_few ? rule->min_chunks : rule->max_chunks);
}

/* The rule of interleaving: P <= N <= M, and the last group of microbatches is no shorter than P.
 */
static bool group_is_legal(int64_t P, int64_t N, int64_t M)
{
    return P <= N && N <= M && (M % N == 0 || M % N >= P);
}

/* The legal value nearest to `wanted` of one of the two (the other is kept), the larger of two as
 * near. For the group requires P <= M (M itself is legal), for the microbatches P <= N. */
static int64_t find_nearest_group(int64_t P, int64_t wanted, int64_t M)
{
    for (int64_t distance = 0;; distance++) {
        if (group_is_legal(P, wanted + distance, M)) {
            return wanted + distance;
        }
        if (wanted > distance && group_is_legal(P, wanted - distance, M)) {
            return wanted - distance;
        }
    }
}

static int64_t find_nearest_microbatches(int64_t P, int64_t N, int64_t wanted)
{
    for (int64_t distance = 0;; distance++) {
        if (group_is_legal(P, N, wanted + distance)) {
            return wanted + distance;
        }
        if (wanted > distance && group_is_legal(P, N, wanted - distance)) {
            return wanted - distance;
        }
    }
}

int schedule_group_below(const struct schedule_spec *spec, int most)
{
    int group = most;
    while (group > 0 && !group_is_legal(spec->n_ranks, group, spec->n_microbatches)) {
        group--;
    }
    return group;
}

static bool check_group(const struct schedule_spec *spec, struct error *err)
{
    const int P = spec->n_ranks, N = schedule_group(spec), M = spec->n_microbatches;
    const char *name = config_schedule_name(spec->kind);
    if (!schedule_find_rule(spec->kind)->has_groups) {
        return spec->group == 0 ||
               error_set(err, ERROR_CONFIG,
                         "pipeline.group is %d, but schedule %s has no groups: nearest legal value "
                         "auto",
                         spec->group, name);
    }
    if (group_is_legal(P, N, M)) {
        return true;
    }
    if (M < P) {
        return error_set(err, ERROR_CONFIG,
                         "batch.sequences makes %d microbatches, but schedule %s takes at least as "
                         "many as stages, %d: nearest legal value %d microbatches",
                         M, name, P, P);
    }
    if (N < P || N > M) {
        return error_set(err, ERROR_CONFIG,
                         "pipeline.group is %d, but schedule %s takes groups of at least as many "
                         "microbatches as stages and no more than there are, %d to %d: nearest "
                         "legal value %lld",
                         N, name, P, M, (long long)find_nearest_group(P, N, M));
    }
    return error_set(err, ERROR_CONFIG,
                     "pipeline.group is %d%s, which leaves a last group of %d of the %d "
                     "microbatches, but schedule %s takes whole groups or a last one of at least "
                     "as many as stages, %d: nearest legal value %lld, or %lld microbatches",
                     N, spec->group > 0 ? "" : " (auto: as many as stages)", M % N, M, name, P,
                     (long long)find_nearest_group(P, N, M),
                     (long long)find_nearest_microbatches(P, N, M));
}

/* Actions of one microbatch, messages included; a rank at an end has fewer. */
static int64_t count_per_microbatch(const struct schedule_spec *spec)
{
    const int64_t per_stage = schedule_find_rule(spec->kind)->has_backward ? 7 : 3;
    return per_stage * spec->n_chunks * spec->n_ranks;
}

bool schedule_fits(const struct schedule_spec *spec, int64_t max_actions)
{
    return spec->n_microbatches <= max_actions / count_per_microbatch(spec);
}

bool schedule_check_size(const struct schedule_spec *spec, struct error *err)
{
    return schedule_fits(spec, SCHEDULE_MAX_ACTIONS) ||
           error_set(err, ERROR_CONFIG,
                     "batch: %d microbatches on %d ranks are more than the %d actions that a "
                     "schedule may have; at most %lld microbatches fit",
                     spec->n_microbatches, spec->n_ranks, SCHEDULE_MAX_ACTIONS,
                     (long long)(SCHEDULE_MAX_ACTIONS / count_per_microbatch(spec)));
}

bool schedule_check_spec(const struct schedule_spec *spec, struct error *err)
{
    if (spec->n_ranks < 1) {
        return error_set(err, ERROR_CONFIG, "pipeline.stages: %d stages; at least 1 is needed",
                         spec->n_ranks);
    }
    if (spec->n_microbatches < 1) {
        return error_set(err, ERROR_CONFIG,
                         "batch.sequences: %d microbatches in a step; at least 1 is needed",
                         spec->n_microbatches);
    }
    return check_chunks(spec, err) && check_group(spec, err);
}
