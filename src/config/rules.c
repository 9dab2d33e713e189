/* Rules between keys: a table of the keys that a rule is about and the function that checks it. A
 * rule is left alone when one of its keys already had a problem. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    MICROBATCH_TOKENS_MAX = 1 << 24,
    STEP_TOKENS_LOG2_MAX = 31,
    BYTE_VALUES = 256,
    NEAREST_BYTES = 96,
};

/* "2 and 5", of those that exist (0: none). */
static void show_nearest(char out[NEAREST_BYTES], int64_t below, int64_t above)
{
    if (below > 0 && above > 0) {
        snprintf(out, NEAREST_BYTES, "%lld and %lld", (long long)below, (long long)above);
    } else if (below > 0 || above > 0) {
        snprintf(out, NEAREST_BYTES, "%lld", (long long)(below > 0 ? below : above));
    } else {
        snprintf(out, NEAREST_BYTES, "none");
    }
}

/* The nearest divisors of n on both sides of a number that is none, whose quotient is a multiple of
 * `multiple`. */
static void find_divisors(char out[NEAREST_BYTES], int64_t n, int64_t start, int64_t multiple)
{
    int64_t below = start < n ? start : n, above = start;
    while (below > 0 && (n % below != 0 || n / below % multiple != 0)) {
        below--;
    }
    while (above <= n && (n % above != 0 || n / above % multiple != 0)) {
        above++;
    }
    show_nearest(out, below, above <= n ? above : 0);
}

static void heads_divide_dim(struct reading *reading)
{
    const struct model_config *m = &reading->config.model;
    char nearest[NEAREST_BYTES];
    find_divisors(nearest, m->dim, m->n_heads, 2);
    if (m->dim % m->n_heads != 0) {
        config_problem(reading,
                       "model.heads: %lld does not divide model.dim %lld (nearest legal: %s)",
                       (long long)m->n_heads, (long long)m->dim, nearest);
    } else if (m->dim / m->n_heads % 2 != 0) {
        config_problem(
            reading,
            "model.heads: %lld heads of model.dim %lld have %lld dimensions each, an odd "
            "number that RoPE cannot pair (nearest legal: %s)",
            (long long)m->n_heads, (long long)m->dim, (long long)(m->dim / m->n_heads), nearest);
    }
}

static void kv_heads_divide_heads(struct reading *reading)
{
    const struct model_config *m = &reading->config.model;
    if (m->n_heads % m->n_kv_heads == 0) {
        return;
    }
    char nearest[NEAREST_BYTES];
    find_divisors(nearest, m->n_heads, m->n_kv_heads, 1);
    config_problem(reading,
                   "model.kv_heads: %lld does not divide model.heads %lld (nearest legal: %s)",
                   (long long)m->n_kv_heads, (long long)m->n_heads, nearest);
}

static void blocks_are_possible(struct reading *reading)
{
    const struct model_config *m = &reading->config.model;
    const bool has_blocks = m->kind == MODEL_BLOCK || m->kind == MODEL_BLOCK_FULL;
    int64_t below = 0, above = 0;
    if (!has_blocks || config_blocks_are_legal(2 * m->n_layers, m->n_blocks, &below, &above)) {
        return;
    }
    char nearest[NEAREST_BYTES];
    show_nearest(nearest, below, above);
    config_problem(
        reading,
        "model.blocks: %lld blocks cannot be cut from the %lld sublayers of model.layers "
        "%lld (nearest legal: %s)",
        (long long)m->n_blocks, (long long)(2 * m->n_layers), (long long)m->n_layers, nearest);
}

static void standard_has_no_reads(struct reading *reading)
{
    const struct model_config *m = &reading->config.model;
    if (m->kind == MODEL_STANDARD && m->read == READ_STATIC) {
        config_problem(reading, "model.read: found static, but model.kind standard has no reads "
                                "(legal: query, or another kind)");
    }
}

static void standard_has_no_representatives(struct reading *reading)
{
    const struct representative_config *r = &reading->config.representative;
    if (reading->config.model.kind == MODEL_STANDARD &&
        (r->value != PRECISION_F32 || r->gradient != PRECISION_F32)) {
        config_problem(reading,
                       "representative: model.kind standard has no representatives to round "
                       "(legal: f32 for value and gradient, or another kind)");
    }
}

static void microbatch_divides_sequences(struct reading *reading)
{
    const struct batch_config *b = &reading->config.batch;
    if (b->n_sequences % b->microbatch == 0) {
        return;
    }
    char nearest[NEAREST_BYTES];
    find_divisors(nearest, b->n_sequences, b->microbatch, 1);
    config_problem(
        reading, "batch.microbatch: %lld does not divide batch.sequences %lld (nearest legal: %s)",
        (long long)b->microbatch, (long long)b->n_sequences, nearest);
}

static void replicas_share_microbatches(struct reading *reading)
{
    const struct batch_config *b = &reading->config.batch;
    const int64_t n_microbatches = b->n_sequences / b->microbatch,
                  n_replicas = reading->config.pipeline.n_replicas;
    if (n_replicas == 0 || b->n_sequences % b->microbatch != 0 ||
        n_microbatches % n_replicas == 0) {
        return;
    }
    char nearest[NEAREST_BYTES];
    find_divisors(nearest, n_microbatches, n_replicas, 1);
    config_problem(reading,
                   "pipeline.replicas: %lld cannot share the %lld microbatches of a step evenly "
                   "(batch.sequences %lld / batch.microbatch %lld; nearest legal: %s)",
                   (long long)n_replicas, (long long)n_microbatches, (long long)b->n_sequences,
                   (long long)b->microbatch, nearest);
}

/* With these two limits and those of the table, logits and attention scores of a microbatch stay
 * below 2^62 bytes, and tokens of a run below 2^62. */
static void microbatch_is_not_too_large(struct reading *reading)
{
    const struct config *c = &reading->config;
    if (c->batch.microbatch * c->model.seq_len > MICROBATCH_TOKENS_MAX) {
        config_problem(reading,
                       "batch.microbatch: %lld sequences of model.seq_len %lld (legal: at most %d "
                       "tokens together)",
                       (long long)c->batch.microbatch, (long long)c->model.seq_len,
                       MICROBATCH_TOKENS_MAX);
    }
}

static void step_is_not_too_large(struct reading *reading)
{
    const struct config *c = &reading->config;
    const int64_t limit = (int64_t)1 << STEP_TOKENS_LOG2_MAX;
    if (c->batch.n_sequences * c->model.seq_len >= limit) {
        config_problem(reading,
                       "batch.sequences: %lld sequences of model.seq_len %lld (legal: fewer than "
                       "%lld tokens together)",
                       (long long)c->batch.n_sequences, (long long)c->model.seq_len,
                       (long long)limit);
    }
}

static void stages_fit_sublayers(struct reading *reading)
{
    const struct config *c = &reading->config;
    if (c->pipeline.n_stages * c->pipeline.n_chunks > 2 * c->model.n_layers) {
        config_problem(reading,
                       "pipeline.stages: %lld stages for the %lld sublayers "
                       "of model.layers %lld "
                       "(legal: auto or 1 to %lld)",
                       (long long)(c->pipeline.n_stages * c->pipeline.n_chunks),
                       (long long)(2 * c->model.n_layers), (long long)c->model.n_layers,
                       (long long)(2 * c->model.n_layers / c->pipeline.n_chunks));
    }
}

static void partition_fits_stages(struct reading *reading)
{
    const struct pipeline_config *p = &reading->config.pipeline;
    if (p->partition == PARTITION_LIST && p->n_stages != 0 &&
        p->n_partition != p->n_stages * p->n_chunks) {
        config_problem(
            reading,
            "pipeline.partition: a list of %lld, but pipeline.stages x pipeline.chunks is %lld "
            "(legal: one entry per stage)",
            (long long)p->n_partition, (long long)(p->n_stages * p->n_chunks));
    }
}

static void partition_covers_sublayers(struct reading *reading)
{
    const struct config *c = &reading->config;
    int64_t sum = 0;
    for (int64_t i = 0; i < c->pipeline.n_partition; i++) {
        sum += c->pipeline.partition_list[i];
    }
    if (c->pipeline.partition == PARTITION_LIST && sum != 2 * c->model.n_layers) {
        config_problem(
            reading,
            "pipeline.partition: a sum of %lld, but model.layers %lld are %lld sublayers "
            "(legal: that sum)",
            (long long)sum, (long long)c->model.n_layers, (long long)(2 * c->model.n_layers));
    }
}

static void files_are_given(struct reading *reading)
{
    const struct data_config *d = &reading->config.data;
    if (d->kind != DATA_SYNTHETIC && d->train[0] == '\0') {
        config_problem(reading,
                       "data.train: found none, but data.kind %s needs it (legal: a file, "
                       "a folder or a glob)",
                       d->kind == DATA_TEXT ? "text" : "tokens");
    }
}

/* Otherwise a forgotten data.kind would train on something else without a word. */
static void files_are_used(struct reading *reading)
{
    const struct data_config *d = &reading->config.data;
    if (d->kind == DATA_SYNTHETIC && (d->train[0] != '\0' || d->val[0] != '\0')) {
        config_problem(reading,
                       "data.%s: found a path, but data.kind is synthetic (legal: \"\", or "
                       "data.kind text or tokens)",
                       d->train[0] != '\0' ? "train" : "val");
    }
}

static void vocab_holds_bytes(struct reading *reading)
{
    const struct config *c = &reading->config;
    if (c->data.kind != DATA_TOKENS && c->model.vocab < BYTE_VALUES) {
        config_problem(reading,
                       "model.vocab: found %lld, but data.kind %s is bytes (legal: %d or more)",
                       (long long)c->model.vocab, c->data.kind == DATA_TEXT ? "text" : "synthetic",
                       BYTE_VALUES);
    }
}

static void tasks_are_synthetic(struct reading *reading)
{
    const struct data_config *d = &reading->config.data;
    if (d->kind != DATA_SYNTHETIC && d->n_tasks > 0) {
        config_problem(reading,
                       "data.tasks: found a mixture, but data.kind is %s (legal: {}, or "
                       "data.kind synthetic)",
                       d->kind == DATA_TEXT ? "text" : "tokens");
    }
}

static void answers_are_synthetic(struct reading *reading)
{
    const struct data_config *d = &reading->config.data;
    if (d->kind != DATA_SYNTHETIC && d->loss == LOSS_ANSWER) {
        config_problem(reading,
                       "data.loss: found answer, but data.kind %s has no answers (legal: "
                       "all, or data.kind synthetic)",
                       d->kind == DATA_TEXT ? "text" : "tokens");
    }
}

/* Windows of files are counted past; synthetic ones are made, and a long range would look like a
 * hang. */
static void skipped_windows_can_be_made(struct reading *reading)
{
    static const int64_t MOST_BYTES = 1000000000;
    const struct data_config *d = &reading->config.data;
    const int64_t most = MOST_BYTES / reading->config.model.seq_len;
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_skips && n <= most; i++) {
        n += d->skips[i].last - d->skips[i].first + 1;
    }
    if (d->kind == DATA_SYNTHETIC && n > most) {
        config_problem(reading,
                       "data.skip: more windows than can be stepped over: those of synthetic data "
                       "must be made for that (legal at model.seq_len %lld: up to %lld in all)",
                       (long long)reading->config.model.seq_len, (long long)most);
    }
}

static void traced_steps_are_trained(struct reading *reading)
{
    const struct trace_config *trace = &reading->config.trace;
    const long long n_steps = (long long)reading->config.train.n_steps;
    if (trace->n_steps > 0 && trace->first > n_steps) {
        config_problem(reading,
                       "trace.first: %lld is behind the last step, train.steps %lld (legal: 1 to "
                       "%lld)",
                       (long long)trace->first, n_steps, n_steps);
    }
}

static const struct rule {
    void (*check)(struct reading *reading);
    const char *keys[4]; /* ends with NULL; the first one given is where a problem stands */
} rules[] = {
    {heads_divide_dim, {"model.heads", "model.dim"}},
    {kv_heads_divide_heads, {"model.kv_heads", "model.heads"}},
    {blocks_are_possible, {"model.blocks", "model.layers", "model.kind"}},
    {standard_has_no_reads, {"model.read", "model.kind"}},
    {standard_has_no_representatives,
     {"representative.value", "representative.gradient", "model.kind"}},
    {microbatch_divides_sequences, {"batch.microbatch", "batch.sequences"}},
    {replicas_share_microbatches, {"pipeline.replicas", "batch.sequences", "batch.microbatch"}},
    {microbatch_is_not_too_large, {"batch.microbatch", "model.seq_len"}},
    {step_is_not_too_large, {"batch.sequences", "model.seq_len"}},
    {stages_fit_sublayers, {"pipeline.stages", "pipeline.chunks", "model.layers"}},
    {partition_fits_stages, {"pipeline.partition", "pipeline.stages", "pipeline.chunks"}},
    {partition_covers_sublayers, {"pipeline.partition", "model.layers"}},
    {files_are_given, {"data.train", "data.kind"}},
    {files_are_used, {"data.train", "data.val", "data.kind"}},
    {vocab_holds_bytes, {"model.vocab", "data.kind"}},
    {tasks_are_synthetic, {"data.tasks", "data.kind"}},
    {answers_are_synthetic, {"data.loss", "data.kind"}},
    {skipped_windows_can_be_made, {"data.skip", "model.seq_len", "data.kind"}},
    {traced_steps_are_trained, {"trace.first", "trace.steps", "train.steps"}},
};

static const struct option *option_of(const char *key)
{
    return config_find_option(key, strlen(key));
}

static bool is_ready(const struct reading *reading, const struct rule *rule)
{
    for (size_t i = 0; rule->keys[i] != NULL; i++) {
        if (reading->is_bad[option_of(rule->keys[i]) - config_options]) {
            return false;
        }
    }
    return true;
}

static struct origin origin_of(const struct reading *reading, const struct rule *rule)
{
    for (size_t i = 0; rule->keys[i] != NULL; i++) {
        const struct origin origin = reading->origins[option_of(rule->keys[i]) - config_options];
        if (origin.line != 0 || origin.override != NULL) {
            return origin;
        }
    }
    return (struct origin){0};
}

void config_check_rules(struct reading *reading)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (is_ready(reading, &rules[i])) {
            reading->here = origin_of(reading, &rules[i]);
            rules[i].check(reading);
        }
    }
}

static bool is_legal(int64_t n_sublayers, int64_t n_blocks)
{
    const int64_t per_block = (n_sublayers + n_blocks - 1) / n_blocks;
    return (n_sublayers + per_block - 1) / per_block == n_blocks;
}

bool config_blocks_are_legal(int64_t n_sublayers, int64_t n_blocks, int64_t *below, int64_t *above)
{
    int64_t lower = n_blocks - 1 < n_sublayers ? n_blocks - 1 : n_sublayers;
    int64_t upper = n_blocks + 1;
    while (lower > 0 && !is_legal(n_sublayers, lower)) {
        lower--;
    }
    while (upper <= n_sublayers && !is_legal(n_sublayers, upper)) {
        upper++;
    }
    *below = lower;
    *above = upper <= n_sublayers ? upper : 0;
    return is_legal(n_sublayers, n_blocks);
}
