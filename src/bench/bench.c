#include "bench_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/depth.h>
#include <attnres/rng.h>

enum { CUBE = 512, STREAM_COUNT = 1 << 24, LEAST_RUNS = 5, MOST_RUNS = 1000 };
static const double LEAST_S = 0.2;

/** A matrix of the model and the sides of its products. */
struct matrix {
    const char *name;
    int64_t in, out;
};

/** On one thread the processor's own time, which other load does not stretch. */
static double now(int n_threads)
{
    return n_threads == 1 ? clock_processor_s() : clock_monotonic_s();
}

struct timing {
    int n_threads, n_runs;
    double start_s, total_s, best_s;
};

static bool wants_more(const struct timing *t)
{
    return t->n_runs < LEAST_RUNS || (t->total_s < LEAST_S && t->n_runs < MOST_RUNS);
}

static void begin(struct timing *t)
{
    t->start_s = now(t->n_threads);
}

/** A run that was too short for the clock to move counts for nothing. */
static void end(struct timing *t)
{
    const double seconds = now(t->n_threads) - t->start_s;
    if (seconds > 0.0 && (t->best_s == 0.0 || seconds < t->best_s)) {
        t->best_s = seconds;
    }
    t->total_s += seconds;
    t->n_runs++;
}

/** forward, input gradient or weight gradient */
enum side { SIDE_FORWARD, SIDE_INPUT, SIDE_WEIGHT, SIDES };
static const char *const SIDE_NAMES[] = {"forward", "input gradient", "weight gradient"};

static void run_product(const struct matmul *matmul, enum side side, const struct workbench *b)
{
    switch (side) {
    case SIDE_FORWARD:
        matmul_forward(matmul, b->y, b->x, b->w, b->product_scratch);
        break;
    case SIDE_INPUT:
        matmul_input_gradient(matmul, b->y, b->x, b->w, b->product_scratch);
        break;
    default:
        matmul_weight_gradient(matmul, b->w, b->x, b->z, b->product_scratch);
        break;
    }
}

static double time_product(const struct matmul *matmul, enum side side, const struct workbench *b,
                           int n_threads)
{
    struct timing t = {.n_threads = n_threads};
    run_product(matmul, side, b);
    while (wants_more(&t)) {
        begin(&t);
        run_product(matmul, side, b);
        end(&t);
    }
    return t.best_s;
}

static double time_operation(const struct operation *operation, const struct workbench *b,
                             int n_threads)
{
    struct timing t = {.n_threads = n_threads};
    operation->run(b);
    while (wants_more(&t)) {
        begin(&t);
        operation->run(b);
        end(&t);
    }
    return t.best_s;
}

static bool measure_floor(struct bench_result *result, const struct workbench *b, int n_threads,
                          struct error *err)
{
    const struct matmul_shape cube = {CUBE, CUBE, CUBE, CUBE};
    struct matmul *matmul = matmul_create(&cube, MATMUL_F32, b->kernels);
    result->product_rate =
        2.0 * CUBE * CUBE * CUBE / time_product(matmul, SIDE_FORWARD, b, n_threads);
    matmul_destroy(matmul);
    float *arrays = aligned_alloc(64, (size_t)STREAM_COUNT * 3 * sizeof *arrays);
    if (arrays == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to measure its rate");
    }
    memset(arrays, 0, (size_t)STREAM_COUNT * 3 * sizeof *arrays);
    struct timing t = {.n_threads = n_threads};
    while (wants_more(&t)) {
        begin(&t);
        b->kernels->add(arrays, arrays + STREAM_COUNT, arrays + 2 * (size_t)STREAM_COUNT,
                        STREAM_COUNT);
        end(&t);
    }
    free(arrays);
    result->memory_rate = 3.0 * STREAM_COUNT * sizeof *arrays / t.best_s;
    return true;
}

static struct bench_row *add_row(struct bench_result *result, double seconds, double flops,
                                 double bytes)
{
    struct bench_row *row = &result->rows[result->n_rows++];
    const double compute_s = flops / result->product_rate;
    const double memory_s = bytes / result->memory_rate;
    *row = (struct bench_row){.seconds = seconds, .flops = flops, .bytes = bytes};
    row->share = (compute_s > memory_s ? compute_s : memory_s) / seconds;
    return row;
}

static void measure_products(struct bench_result *result, const struct workbench *b,
                             enum matmul_precision precision, int n_threads)
{
    const struct matrix matrices[] = {{"q, k, v", b->C, b->QKV},
                                      {"attention out", b->C, b->C},
                                      {"gate, up", b->C, 2 * b->F},
                                      {"down", b->F, b->C},
                                      {"head", b->C, b->V}};
    const double operand_bytes = precision == MATMUL_BF16 ? 2.0 : 4.0, n = (double)b->n;
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        const double in = (double)matrices[i].in, out = (double)matrices[i].out;
        const struct matmul_shape shape = {b->n, matrices[i].in, matrices[i].out, matrices[i].out};
        struct matmul *matmul = matmul_create(&shape, precision, b->kernels);
        /* Two operands, and a result in f32 that a weight gradient also reads. */
        const double bytes[SIDES] = {operand_bytes * (n * in + in * out) + 4.0 * n * out,
                                     operand_bytes * (n * out + in * out) + 4.0 * n * in,
                                     operand_bytes * (n * in + n * out) + 8.0 * in * out};
        for (enum side side = 0; side < SIDES; side++) {
            const double seconds = time_product(matmul, side, b, n_threads);
            struct bench_row *row = add_row(result, seconds, 2.0 * n * in * out, bytes[side]);
            snprintf(row->name, sizeof row->name, "%s %s", matrices[i].name, SIDE_NAMES[side]);
        }
        matmul_destroy(matmul);
    }
}

static void measure_operations(struct bench_result *result, const struct workbench *b,
                               int n_threads)
{
    for (const struct operation *o = bench_operations; o->name != NULL; o++) {
        if (!o->needs_reads || b->n_reads > 0) {
            const double seconds = time_operation(o, b, n_threads);
            struct bench_row *row = add_row(result, seconds, o->flops(b), o->bytes(b));
            snprintf(row->name, sizeof row->name, "%s", o->name);
        }
    }
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** One slice after another of the bench's memory; without memory only the sum is taken. */
struct slices {
    unsigned char *base;
    size_t used;
};

static void *take(struct slices *s, size_t count, size_t element_bytes)
{
    unsigned char *slice = s->base != NULL ? s->base + s->used : NULL;
    s->used += (count * element_bytes + 63) / 64 * 64;
    return slice;
}

/** The memory of the bench, in one place: run once to measure, once to place. */
static void lay_out(struct workbench *b, struct slices *s)
{
    const int64_t widest = larger(larger(b->QKV, 2 * b->F), larger(b->V, b->C));
    const int64_t n = larger(b->n, b->C), n_all = larger(b->n_sources, larger(b->n_open, 1));
    const size_t count = (size_t)larger(n * widest, CUBE * CUBE), rows = (size_t)(b->n * b->C);
    float **wide[] = {&b->x, &b->y, &b->z, &b->w};
    for (int i = 0; i < 4; i++) {
        *wide[i] = take(s, count, sizeof(float));
    }
    b->small = take(s, (size_t)(b->n * b->shape.n_heads), sizeof(float));
    const size_t partials = kernels_partials_count(b->n, larger(b->C, n_all));
    const size_t scores = kernels_attention_scratch_count(&b->shape);
    b->scratch = take(s, partials > scores ? partials : scores, sizeof(float));
    b->rope = take(s, (size_t)(b->shape.n_tokens * b->D), sizeof(float));
    b->tokens = take(s, (size_t)b->n, sizeof *b->tokens);
    const int64_t out = larger(widest, CUBE);
    const struct matmul_shape largest = {larger(b->n, CUBE), CUBE, out, out};
    b->product_scratch = take(s, matmul_scratch_bytes(&largest), 1);
    b->depth_sources = take(s, (size_t)n_all, sizeof *b->depth_sources);
    b->dsources = take(s, (size_t)n_all, sizeof *b->dsources);
    b->reads = take(s, (size_t)b->n_reads, sizeof *b->reads);
    for (int64_t i = 0; i < n_all; i++) {
        const struct depth_source source = {.v = take(s, rows, sizeof(float)),
                                            .r = take(s, (size_t)b->n, sizeof(float))};
        float *dsource = take(s, rows, sizeof(float));
        if (s->base != NULL) {
            b->depth_sources[i] = source;
            b->dsources[i] = (struct depth_gradient){dsource, dsource};
        }
    }
    for (int64_t i = 0; i < b->n_reads; i++) {
        const struct depth_read read = {.o = take(s, rows, sizeof(float)),
                                        .m = take(s, (size_t)b->n, sizeof(float)),
                                        .d = take(s, (size_t)b->n, sizeof(float)),
                                        .s = take(s, (size_t)(n_all * b->n), sizeof(float)),
                                        .w = b->w,
                                        .dw = b->z,
                                        .partials = take(s, partials, sizeof(float))};
        if (s->base != NULL) {
            b->reads[i] = read;
        }
    }
}

/** Numbers near 1 whose two halves are both numbers near 1 in bf16: good for either precision. */
static void fill(unsigned char *bytes, size_t count)
{
    const uint64_t key = rng_key(1, "bench");
    uint16_t *half = (uint16_t *)(void *)bytes;
    for (size_t i = 0; i < count / sizeof *half; i++) {
        half[i] = (uint16_t)(0x3f00U | (rng_at(key, i) & 0x807fU));
    }
}

static struct workbench describe(const struct config *config, const struct kernels *kernels)
{
    const struct model_config *m = &config->model;
    const int64_t D = m->dim / m->n_heads;
    struct workbench b = {.kernels = kernels,
                          .n = config->batch.microbatch * m->seq_len,
                          .C = m->dim,
                          .D = D,
                          .QKV = m->dim + 2 * m->n_kv_heads * D,
                          .F = m->ff,
                          .V = m->vocab};
    b.shape = (struct attention_shape){config->batch.microbatch, m->seq_len, m->n_heads,
                                       m->n_kv_heads, D};
    if (m->kind != MODEL_STANDARD) {
        const struct depth_plan depth = depth_plan_make(m);
        const struct depth_set last = depth_live(&depth, depth.n_sublayers - 1);
        b.n_sources = last.n_completed;
        b.n_reads = depth.n_sublayers - depth_block_first(&depth, depth.n_blocks);
        b.n_open = larger(last.n_open, 1);
    }
    return b;
}

bool bench_run(struct bench_result *result, const struct config *config,
               const struct kernels *kernels, int n_threads, struct error *err)
{
    struct workbench b = describe(config, kernels);
    struct slices slices = {0};
    *result = (struct bench_result){0};
    lay_out(&b, &slices);
    const size_t total_bytes = slices.used;
    slices = (struct slices){.base = aligned_alloc(64, total_bytes)};
    if (slices.base == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for %.1f MiB of operands",
                         (double)total_bytes / 1048576.0);
    }
    fill(slices.base, total_bytes);
    lay_out(&b, &slices);
    kernels_rope_table(b.rope, b.shape.n_tokens, b.D);
    for (int64_t i = 0; i < b.n; i++) {
        b.tokens[i] = (int32_t)(i * 31 % b.V);
    }
    const bool ok = measure_floor(result, &b, n_threads, err);
    if (ok) {
        const enum matmul_precision precision =
            config->compute.precision == PRECISION_BF16 ? MATMUL_BF16 : MATMUL_F32;
        measure_products(result, &b, precision, n_threads);
        measure_operations(result, &b, n_threads);
    }
    free(slices.base);
    return ok;
}
