/* A plan beyond memory.limit: what it needs most for, and what would fit, planned to be sure. */
#include "plan_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>
#include <attnres/text.h>

enum {
    LARGEST_PARTS = 4, /* that are named */
    NEXT_RANKS = 8,    /* numbers of ranks tried one by one, before they double */
    SETTING_BYTES = 64,
    MOST_SETTINGS = 4,
    ADVICE_BYTES = 2560
};

static const double MIB = 1048576.0;

size_t plan_most_bytes(const struct plan *plan, int rank, int *at_rank)
{
    size_t most = 0;
    for (int replica = 0; replica < plan->grid.n_replicas; replica++) {
        const int at = grid_rank(&plan->grid, replica, rank);
        struct buffer_table table;
        plan_lay_out(&table, plan, at);
        const size_t bytes = table.overflowed ? SIZE_MAX : table.total_bytes;
        if (bytes > most && at_rank != NULL) {
            *at_rank = at;
        }
        most = bytes > most ? bytes : most;
    }
    return most;
}

/** Bytes of the rank that needs the most. */
static size_t find_most(int *rank, const struct plan *plan)
{
    size_t most = 0;
    for (int i = 0; i < plan->n_ranks; i++) {
        int at = 0;
        const size_t bytes = plan_most_bytes(plan, i, &at);
        if (bytes > most) {
            most = bytes;
            *rank = at;
        }
    }
    return most;
}

size_t plan_most_bytes_recomputing(const struct plan *plan, enum recompute_kind recompute)
{
    struct plan trial = *plan;
    int64_t *ends = heap_take((size_t)plan->n_stages, sizeof *ends, "the partition");
    for (int i = 0; i < plan->n_stages; i++) {
        ends[i] = plan->stages[i].end;
    }
    trial.recompute = recompute;
    int rank = 0;
    const bool is_made = plan_make_stages(&trial, ends, NULL);
    assert(is_made && "a few bytes a stage");
    const size_t bytes = find_most(&rank, &trial);
    plan_drop_stages(&trial);
    free(ends);
    return bytes;
}

static size_t buffer_bytes(const struct buffer *b)
{
    return b->slot_bytes * (size_t)b->n_slots;
}

/** "values 1.5 MiB, logits 1.0 MiB": the largest buffers of a rank. */
static void name_largest(struct text *text, const struct plan *plan, int rank)
{
    struct buffer_table table;
    plan_lay_out(&table, plan, rank);
    for (int i = 0; i < LARGEST_PARTS; i++) {
        struct buffer *largest = &table.rows[0];
        for (int b = 1; b < BUFFER_COUNT; b++) {
            if (buffer_bytes(&table.rows[b]) > buffer_bytes(largest)) {
                largest = &table.rows[b];
            }
        }
        text_add(text, "%s%s %.1f MiB", i > 0 ? ", " : "", largest->name,
                 (double)buffer_bytes(largest) / MIB);
        largest->n_slots = 0;
    }
}

/** Settings tried together, on so many ranks. */
struct remedy {
    int n_ranks, n_settings;
    char settings[MOST_SETTINGS][SETTING_BYTES]; /* key=value */
};

static void add_setting(struct remedy *r, const char *key, const char *value)
{
    assert(r->n_settings < MOST_SETTINGS);
    snprintf(r->settings[r->n_settings++], SETTING_BYTES, "%s=%s", key, value);
}

/** What the advice is made from: the configuration as text, which takes settings like any other. */
struct advice {
    const struct plan *plan;
    const struct plan_limit *limit;
    struct config *config; /* of the remedy in hand */
    char *yaml;
    struct text text;
};

static void put_remedy(struct advice *a, const struct remedy *r, size_t bytes)
{
    text_add(&a->text, "\n  ");
    if (r->n_ranks != grid_size(&a->plan->grid)) {
        text_add(&a->text, "mpirun -n %d ", r->n_ranks);
        if (a->limit->ranks_per_host > 0) { /* more on one host would share what it gives */
            text_add(&a->text, "--map-by ppr:%d:node ", a->limit->ranks_per_host);
        }
    }
    for (int i = 0; i < r->n_settings; i++) {
        text_add(&a->text, "%s ", r->settings[i]);
    }
    text_add(&a->text, "(%.1f MiB)", (double)bytes / MIB);
}

/** Whether the settings change nothing. */
static bool is_same(const struct advice *a, const struct remedy *r)
{
    return r->n_ranks == grid_size(&a->plan->grid) &&
           memcmp(a->config, a->plan->config, sizeof *a->config) == 0;
}

/** Plan the run with these settings; if it fits, say so. */
static bool try_remedy(struct advice *a, const struct remedy *r)
{
    const char *overrides[MOST_SETTINGS];
    for (int i = 0; i < r->n_settings; i++) {
        overrides[i] = r->settings[i];
    }
    struct plan plan;
    if (!config_parse(a->config, "configuration", a->yaml, strlen(a->yaml), r->n_settings,
                      overrides, NULL) ||
        is_same(a, r) ||
        !plan_init_measured(&plan, a->config, &a->plan->measured, r->n_ranks, a->plan->purpose,
                            NULL)) {
        return false;
    }
    int rank = 0;
    const size_t bytes = find_most(&rank, &plan);
    plan_finish(&plan);
    const bool fits = bytes <= (size_t)a->limit->bytes;
    if (fits) {
        put_remedy(a, r, bytes);
    }
    return fits;
}

/** The largest smaller microbatch that fits, beside other settings. */
static bool try_microbatches(struct advice *a, const struct remedy *base)
{
    const struct batch_config *batch = &a->plan->config->batch;
    for (int64_t size = batch->microbatch - 1; size >= 1; size--) {
        char value[24];
        struct remedy r = *base;
        snprintf(value, sizeof value, "%" PRId64, size);
        add_setting(&r, "batch.microbatch", value);
        if (batch->n_sequences % size == 0 && try_remedy(a, &r)) {
            return true;
        }
    }
    return false;
}

/** Recomputing all, with the microbatch as it is or a smaller one. */
static bool try_recomputed(struct advice *a, const struct remedy *base)
{
    struct remedy r = *base;
    add_setting(&r, "memory.recompute", "all");
    return plan_trains(a->plan) && (try_remedy(a, &r) || try_microbatches(a, &r));
}

/** As many ranks as that; what else names a number of stages follows. */
static struct remedy with_ranks(const struct plan *plan, int n_ranks)
{
    const struct pipeline_config *pipeline = &plan->config->pipeline;
    struct remedy r = {.n_ranks = n_ranks};
    if (pipeline->n_stages > 0) {
        add_setting(&r, "pipeline.stages", "auto");
    }
    if (pipeline->partition == PARTITION_LIST) {
        add_setting(&r, "pipeline.partition", "auto");
    }
    return r;
}

/** The fewest more ranks a pipeline that fit, each with the microbatch as it is or a smaller one.
 */
static bool try_ranks(struct advice *a, bool (*attempt)(struct advice *, const struct remedy *))
{
    const struct plan *plan = a->plan;
    const int64_t most = plan->depth.n_sublayers / plan->n_chunks;
    const int64_t one_by_one = plan->n_ranks + NEXT_RANKS;
    for (int64_t n = plan->n_ranks + 1; n <= most && n <= CONFIG_MAX_STAGES;
         n = n < one_by_one || n == most ? n + 1 : (2 * n < most ? 2 * n : most)) {
        const struct remedy r = with_ranks(plan, (int)n * plan->grid.n_replicas);
        if (attempt(a, &r)) {
            return true;
        }
    }
    return false;
}

/** Settings that change no number that the run computes, one at a time; then several together. */
static void seek_remedies(struct advice *a)
{
    static const struct {
        const char *key, *value, *key_2, *value_2;
    } SINGLE[] = {
        {"pipeline.partition", "auto", NULL, NULL},
        {"memory.recompute", "block", NULL, NULL},
        {"memory.recompute", "all", NULL, NULL},
        {"pipeline.schedule", "1f1b", "pipeline.chunks", "1"},
    };
    const struct remedy none = {.n_ranks = grid_size(&a->plan->grid)};
    bool any = false;
    if (a->plan->config->memory.limit_bytes == 0) { /* then partition auto has not tried to fit */
        char value[24];
        struct remedy r = none;
        snprintf(value, sizeof value, "%" PRId64, a->limit->bytes);
        add_setting(&r, "memory.limit", value);
        any = try_remedy(a, &r);
    }
    for (size_t i = 0; i < sizeof SINGLE / sizeof SINGLE[0]; i++) {
        struct remedy r = none;
        add_setting(&r, SINGLE[i].key, SINGLE[i].value);
        if (SINGLE[i].key_2 != NULL) {
            add_setting(&r, SINGLE[i].key_2, SINGLE[i].value_2);
        }
        any = try_remedy(a, &r) || any;
    }
    any = try_microbatches(a, &none) || any;
    any = try_ranks(a, try_remedy) || any;
    if (!any) {
        any = try_recomputed(a, &none);
        any = try_ranks(a, try_microbatches) || any;
    }
    if (!any) {
        try_ranks(a, try_recomputed);
    }
}

static void seek(struct advice *a)
{
    const struct config *config = a->plan->config;
    const size_t capacity = config_dump(config, false, NULL, 0) + 1;
    a->yaml = malloc(capacity);
    a->config = calloc(1, sizeof *a->config);
    if (a->yaml != NULL && a->config != NULL) {
        config_dump(config, false, a->yaml, capacity);
        seek_remedies(a);
    }
    free(a->yaml);
    free(a->config);
}

void plan_advise(const struct plan *plan, const struct plan_limit *limit, char *text,
                 size_t capacity)
{
    int rank = 0;
    const size_t most = find_most(&rank, plan);
    struct advice advice = {
        .plan = plan, .limit = limit, .text = {.bytes = text, .capacity = capacity}};
    text_add(&advice.text, "its largest parts are ");
    name_largest(&advice.text, plan, rank);
    text_add(&advice.text, "\nwhat would fit:");
    seek(&advice);
    if (limit->ranks_per_host == 0) {
        text_add(&advice.text, "\n  memory.limit=%zu", most);
    } else {
        text_add(&advice.text, "\n  hosts with more memory (%.1f MiB a rank)", (double)most / MIB);
    }
}

bool plan_check_memory(const struct plan *plan, struct error *err)
{
    const struct plan_limit limit = {.bytes = plan->config->memory.limit_bytes};
    int rank = 0;
    const size_t most = find_most(&rank, plan);
    if (limit.bytes == 0 || most <= (size_t)limit.bytes) {
        return true;
    }
    if (most == SIZE_MAX) {
        return error_set(err, ERROR_CONFIG, "rank %d needs more memory than can be addressed",
                         rank);
    }
    char advice[ADVICE_BYTES];
    plan_advise(plan, &limit, advice, sizeof advice);
    return error_set(err, ERROR_CONFIG,
                     "the plan needs %.1f MiB on rank %d, but memory.limit is %.1f MiB; %s",
                     (double)most / MIB, rank, (double)limit.bytes / MIB, advice);
}
