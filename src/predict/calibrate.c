/* What work and messages take on this machine, measured with the real kernels at the
 * configuration's shapes. */
#include <attnres/predict.h>

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/collective.h>
#include <attnres/heap.h>
#include <attnres/model.h>
#include <attnres/optim.h>
#include <attnres/rng.h>

/** Rounds of measuring: at least so many, then until the time is up. Medians of them count. */
enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 200 };
static const double MEASURING_S = 4.0;

/** Models of fewer layers have no second attention, whose W tells what the embedding's takes. */
enum { LEAST_LAYERS = 2 };

/** Forward, input gradient, weight gradient; and the parts of a model that are told apart. */
enum { PASSES = 3 };
enum { EMBEDDING, ATTENTION, MLP, HEAD, PARTS };

/** A model on this rank alone, of one microbatch a step, and how long its parts took. */
struct bench {
    struct config config;
    struct plan plan;
    struct memory memory;
    struct model model;
    int n_parts; /* those of the model, and behind them the embedding */
    int n_rounds;
    double *seconds; /* (n_parts, PASSES, MOST_ROUNDS) */
};

static struct bench *make_bench(const struct config *config, enum model_kind kind, int64_t n_layers)
{
    struct bench *bench = heap_take(1, sizeof *bench, "a model to measure");
    const struct depth_plan depth = depth_plan_make(&config->model);
    struct config *c = &bench->config;
    *c = *config;
    c->model.kind = kind;
    c->model.n_layers = n_layers;
    c->model.n_blocks = (2 * n_layers + depth.block_size - 1) / depth.block_size;
    if (kind == MODEL_STANDARD) {
        c->representative = (struct representative_config){0};
    }
    c->batch.n_sequences = c->batch.microbatch;
    c->memory.recompute = RECOMPUTE_NONE; /* plan adds what I runs again */
    c->pipeline = (struct pipeline_config){
        .n_chunks = 1, .n_replicas = 1, .schedule = SCHEDULE_1F1B, .costs = "none"};
    return bench;
}

static void destroy_bench(struct bench *bench)
{
    if (bench == NULL) {
        return;
    }
    model_finish(&bench->model);
    memory_finish(&bench->memory);
    plan_finish(&bench->plan);
    free(bench->seconds);
    free(bench);
}

static bool plan_bench(struct bench *bench, size_t *bytes, struct error *err)
{
    struct buffer_table table;
    if (!plan_init(&bench->plan, &bench->config, 1, PLAN_TRAIN, err)) {
        return false;
    }
    plan_lay_out(&table, &bench->plan, 0);
    *bytes = table.overflowed ? SIZE_MAX / 4 : table.total_bytes;
    return true;
}

static void fill_batch(const struct bench *bench)
{
    int32_t *tokens = memory_buffer(&bench->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(&bench->memory, BUFFER_TARGETS, 0);
    const uint64_t vocab = (uint64_t)bench->config.model.vocab;
    for (int64_t i = 0; i < bench->plan.microbatch_tokens; i++) {
        tokens[i] = (int32_t)(rng_at(1, (uint64_t)i) % vocab);
        targets[i] = (int32_t)(rng_at(2, (uint64_t)i) % vocab);
    }
}

static bool start_bench(struct bench *bench, const struct kernels *kernels, struct error *err)
{
    if (!memory_init(&bench->memory, &bench->plan, 0, err)) {
        return false;
    }
    model_init(&bench->model, &bench->plan, 0, &bench->memory, kernels);
    model_draw_weights(&bench->model, 1);
    fill_batch(bench);
    bench->n_parts = model_part_count(&bench->model) + 1;
    bench->seconds = heap_take((size_t)bench->n_parts * PASSES * MOST_ROUNDS,
                               sizeof *bench->seconds, "what is measured");
    return true;
}

/** The model without depth attention, and the configuration's own: as many layers as fit. */
static bool make_benches(struct bench *benches[2], const struct config *config, int64_t max_bytes,
                         struct error *err)
{
    const enum model_kind kinds[] = {MODEL_STANDARD, config->model.kind};
    size_t total = SIZE_MAX;
    for (int64_t n = config->model.n_layers; total > (size_t)max_bytes; n /= 2) {
        total = 0;
        for (int i = 0; i < 2; i++) {
            size_t bytes = 0;
            destroy_bench(benches[i]);
            benches[i] = make_bench(config, kinds[i], n);
            if (!plan_bench(benches[i], &bytes, err)) {
                return false;
            }
            total += bytes;
        }
        if (n / 2 < LEAST_LAYERS) {
            break;
        }
    }
    return true;
}

/** A stopwatch that is read and started again in one. */
static double lap(double *since)
{
    const double now = clock_monotonic_s(), seconds = now - *since;
    *since = now;
    return seconds;
}

static double *samples_of(const struct bench *bench, int part, int pass)
{
    return bench->seconds + (part * PASSES + pass) * MOST_ROUNDS;
}

static void note(struct bench *bench, int part, int pass, double seconds)
{
    samples_of(bench, part, pass)[bench->n_rounds] = seconds;
}

static void run_forward(struct bench *bench, struct model_work *work)
{
    double since = clock_monotonic_s();
    model_forward_begin(&bench->model, work);
    note(bench, bench->n_parts - 1, 0, lap(&since));
    for (int part = 0; part < bench->n_parts - 1; part++) {
        model_forward_part(&bench->model, work, part);
        note(bench, part, 0, lap(&since));
    }
}

static void run_input_gradient(struct bench *bench, const struct model_work *work)
{
    double since = clock_monotonic_s();
    model_input_gradient_begin(&bench->model, work);
    for (int part = bench->n_parts - 2; part >= 0; part--) {
        model_input_gradient_part(&bench->model, work, part);
        note(bench, part, 1, lap(&since));
    }
}

static void run_weight_gradient(struct bench *bench, const struct model_work *work)
{
    double since = clock_monotonic_s();
    for (int part = bench->n_parts - 2; part >= 0; part--) {
        model_weight_gradient_part(&bench->model, work, part);
        note(bench, part, 2, lap(&since));
    }
}

static void run_round(struct bench *bench)
{
    struct model_work work = {.tokens = memory_buffer(&bench->memory, BUFFER_TOKENS, 0),
                              .targets = memory_buffer(&bench->memory, BUFFER_TARGETS, 0),
                              .loss_scale = 1.0F / (float)bench->plan.microbatch_tokens};
    run_forward(bench, &work);
    run_input_gradient(bench, &work);
    run_weight_gradient(bench, &work);
    bench->n_rounds++;
}

/** Clearing the gradients, their norm and the update, of all parameters. */
static double time_update(const struct bench *bench)
{
    const struct optim optim = {
        .plan = &bench->plan, .memory = &bench->memory, .kernels = bench->model.kernels};
    double *squares = memory_buffer(&bench->memory, BUFFER_REPORT, 0);
    double since = clock_monotonic_s();
    memset(memory_buffer(&bench->memory, BUFFER_GRADIENTS, 0), 0,
           memory_slot_bytes(&bench->memory, BUFFER_GRADIENTS));
    optim_squares(&optim, squares + PLAN_REPORT_HEAD_BYTES / sizeof *squares);
    optim_update(&optim, &bench->config.optim, 0.0, 1.0, 1);
    return lap(&since);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *numbers, int n)
{
    qsort(numbers, (size_t)n, sizeof *numbers, compare);
    return n % 2 == 1 ? numbers[n / 2] : 0.5 * (numbers[n / 2 - 1] + numbers[n / 2]);
}

/** Seconds of a part: a round in which another process got in between does not count. */
static double part_s(const struct bench *bench, int part, int pass)
{
    return median(samples_of(bench, part, pass), bench->n_rounds);
}

static double total_s(const struct bench *bench, int pass)
{
    double total = 0.0;
    for (int part = 0; part < bench->n_parts; part++) {
        total += part_s(bench, part, pass);
    }
    return total;
}

/** The mean over the sublayers from `first` on, every other one. */
static double sublayer_s(const struct bench *bench, int first, int pass)
{
    double total = 0.0;
    int n = 0;
    for (int part = first; part < bench->n_parts - 2; part += 2) {
        total += part_s(bench, part, pass);
        n++;
    }
    return total / n;
}

/** The work of a model without depth attention. W of the first part is the embedding's as well. */
static void find_parts(double costs[PARTS][PASSES], const struct bench *bench)
{
    const int n_sublayers = bench->n_parts - 2;
    for (int pass = 0; pass < PASSES; pass++) {
        const bool has_embedding = pass == 2 && n_sublayers > 2;
        costs[ATTENTION][pass] = sublayer_s(bench, has_embedding ? 2 : 0, pass);
        costs[MLP][pass] = sublayer_s(bench, 1, pass);
        costs[HEAD][pass] = part_s(bench, n_sublayers, pass);
        costs[EMBEDDING][pass] = has_embedding
                                     ? fmax(0.0, part_s(bench, 0, pass) - costs[ATTENTION][pass])
                                     : part_s(bench, bench->n_parts - 1, pass);
    }
}

static struct costs_passes as_passes(const double seconds[PASSES])
{
    return (struct costs_passes){seconds[0], seconds[1], seconds[2]};
}

static void fill_costs(struct costs *costs, struct bench *const benches[2], double update_s)
{
    const struct bench *plain = benches[0], *own = benches[1];
    const double n_pairs = (double)depth_pair_count(&own->plan.depth);
    double parts[PARTS][PASSES], more[PASSES] = {0.0}, all = 0.0;
    find_parts(parts, plain);
    for (int pass = 0; pass < PASSES; pass++) {
        const double total = total_s(plain, pass);
        more[pass] = n_pairs > 0.0 ? fmax(0.0, total_s(own, pass) - total) / n_pairs : 0.0;
        all += total;
    }
    costs->embedding = as_passes(parts[EMBEDDING]);
    costs->attention = as_passes(parts[ATTENTION]);
    costs->mlp = as_passes(parts[MLP]);
    costs->head = as_passes(parts[HEAD]);
    costs->read_source = as_passes(more);
    costs->update_s = update_s / (double)plain->plan.params.n_parameters;
    costs->flops_per_s =
        plan_flops_per_token(&plain->plan) * (double)plain->plan.microbatch_tokens / all;
}

static void measure_work(struct costs *costs, struct bench *const benches[2])
{
    double updates[MOST_ROUNDS];
    int n = 0;
    run_round(benches[0]);
    run_round(benches[1]);
    benches[0]->n_rounds = benches[1]->n_rounds = 0; /* that was to warm up */
    const double start_s = clock_monotonic_s();
    while (n < LEAST_ROUNDS || (n < MOST_ROUNDS && clock_monotonic_s() - start_s < MEASURING_S)) {
        run_round(benches[0]);
        run_round(benches[1]);
        updates[n++] = time_update(benches[0]);
    }
    fill_costs(costs, benches, median(updates, n));
}

/** Sums of arrays too large for caches: bytes read and written in a second, the best of a few. */
static double measure_memory(const struct kernels *kernels)
{
    enum { N = 1 << 24, TIMES = 5, BYTES = 3 * sizeof(float) };
    float *from = heap_take(N, sizeof *from, "large arrays to measure");
    float *to = heap_take(N, sizeof *to, "large arrays to measure");
    double least_s = INFINITY;
    for (int i = 0; i < TIMES; i++) {
        double since = clock_monotonic_s();
        kernels->add(to, from, to, N);
        least_s = fmin(least_s, lap(&since));
    }
    free(from);
    free(to);
    return (double)N * BYTES / least_s;
}

/** A message of two representatives; `standard` has none: one tensor as it is. */
static struct wire_layout make_layout(const struct config *config, enum precision precision)
{
    static const enum wire_encoding OF[] = {
        [PRECISION_F32] = WIRE_F32, [PRECISION_BF16] = WIRE_BF16, [PRECISION_INT8] = WIRE_INT8};
    const bool is_standard = config->model.kind == MODEL_STANDARD;
    return (struct wire_layout){.encoding = OF[precision],
                                .n_encoded = is_standard ? 0 : 2,
                                .n_plain = is_standard,
                                .rows = config->batch.microbatch * config->model.seq_len,
                                .cols = config->model.dim};
}

/** Tensors of small whole numbers, which every encoding holds, with scales of 1. */
struct cargo {
    float *tensors[2], *scales[2];
    unsigned char *room, *frame; /* of the room, aligned as messages are */
};

static void fill_cargo(struct cargo *cargo, const struct wire_layout *layout)
{
    const size_t n = (size_t)layout->rows * (size_t)layout->cols;
    for (int i = 0; i < 2; i++) {
        cargo->tensors[i] = heap_take(n, sizeof(float), "a message to measure");
        cargo->scales[i] = heap_take((size_t)layout->rows, sizeof(float), "a message to measure");
        for (size_t k = 0; k < n; k++) {
            cargo->tensors[i][k] = (float)(rng_at(3, k) % 128);
        }
        for (int64_t k = 0; k < layout->rows; k++) {
            cargo->scales[i][k] = 1.0F;
        }
    }
    enum { LINE = 64 };
    cargo->room = heap_take(1, wire_frame_bytes(layout) + LINE, "a message to measure");
    cargo->frame = cargo->room + (LINE - (uintptr_t)cargo->room % LINE);
}

static void finish_cargo(struct cargo *cargo)
{
    for (int i = 0; i < 2; i++) {
        free(cargo->tensors[i]);
        free(cargo->scales[i]);
    }
    free(cargo->room);
}

/** Seconds to pack such a message and to unpack it. */
static void time_messages(double *pack_s, double *unpack_s, const struct wire_layout *layout)
{
    enum { TIMES = 15 };
    const struct wire_label label = {.step = 1, .direction = WIRE_VALUES};
    struct cargo cargo;
    double packing[TIMES], unpacking[TIMES];
    fill_cargo(&cargo, layout);
    for (int i = 0; i < TIMES; i++) {
        double since = clock_monotonic_s();
        const size_t length =
            wire_pack(cargo.frame, &label, layout, (const float *const *)cargo.tensors,
                      (const float *const *)cargo.scales);
        packing[i] = lap(&since);
        const bool ok =
            wire_unpack(cargo.tensors, cargo.scales, cargo.frame, length, &label, layout, NULL);
        unpacking[i] = lap(&since);
        assert(ok && "what was packed is unpacked");
    }
    finish_cargo(&cargo);
    *pack_s = median(packing, TIMES);
    *unpack_s = median(unpacking, TIMES);
}

/** Both directions together, per byte. */
static void measure_packing(struct costs *costs, const struct config *config)
{
    const struct wire_layout values = make_layout(config, config->representative.value);
    const struct wire_layout gradients = make_layout(config, config->representative.gradient);
    const double bytes = (double)(wire_frame_bytes(&values) + wire_frame_bytes(&gradients));
    double pack_s, unpack_s, gradients_pack_s, gradients_unpack_s;
    time_messages(&pack_s, &unpack_s, &values);
    time_messages(&gradients_pack_s, &gradients_unpack_s, &gradients);
    costs->pack_s = (pack_s + gradients_pack_s) / bytes;
    costs->unpack_s = (unpack_s + gradients_unpack_s) / bytes;
}

/** Seconds of a message from one of a pair of ranks to the other: half of there and back, the
 * quickest of some, since what else hosts and network do only adds to it. */
static double time_way(struct transport *t, int peer, unsigned char *bytes, size_t length)
{
    enum { TIMES = 25 };
    double least_s = INFINITY;
    for (int i = 0; i < TIMES; i++) {
        struct transport_request there = {0}, back = {0};
        double since = clock_monotonic_s();
        const bool is_first = transport_rank(t) < peer;
        transport_post_receive(t, peer, CHANNEL_VALUES, 0, bytes + length, length, &back);
        if (is_first) {
            transport_post_send(t, peer, CHANNEL_VALUES, 0, bytes, length, &there);
        }
        transport_wait(t, &back);
        if (!is_first) {
            transport_post_send(t, peer, CHANNEL_VALUES, 0, bytes, length, &there);
        }
        transport_wait(t, &there);
        least_s = fmin(least_s, 0.5 * lap(&since));
    }
    return least_s;
}

/** Ranks 2i and 2i + 1 send to each other; a last one without a partner leaves it at that. */
static void measure_link(struct costs *costs, const struct config *config, struct transport *t)
{
    enum { LEAST_BYTES = 1 << 16, SMALL_BYTES = 64 };
    const int peer = transport_rank(t) ^ 1;
    const struct wire_layout layout = make_layout(config, config->representative.value);
    const size_t frame = wire_frame_bytes(&layout),
                 length = frame > LEAST_BYTES ? frame : LEAST_BYTES;
    if (peer >= transport_size(t)) {
        return;
    }
    unsigned char *bytes = heap_take(2, length, "a message to measure");
    costs->link_latency_s = time_way(t, peer, bytes, SMALL_BYTES);
    const double way_s = time_way(t, peer, bytes, length) - costs->link_latency_s;
    costs->link_bytes_per_s = (double)length / (way_s > 1e-9 ? way_s : 1e-9);
    free(bytes);
}

/** Every rank gets the mean of all ranks' costs. */
static void share(struct costs *costs, struct transport *t)
{
    const int size = transport_size(t);
    struct costs *all = heap_take((size_t)size, sizeof *all, "the ranks' costs");
    collective_gather(t, collective_all(t), 0, costs, sizeof *costs, all);
    if (transport_rank(t) == 0) {
        costs_mean(costs, all, size);
    }
    transport_broadcast(t, 0, costs, sizeof *costs);
    free(all);
}

bool predict_calibrate(struct costs *costs, const struct config *config,
                       struct transport *transport, const struct kernels *kernels,
                       int64_t max_bytes, struct error *err)
{
    struct bench *benches[2] = {NULL, NULL};
    struct costs measured = {0};
    bool ok = make_benches(benches, config, max_bytes, err) &&
              start_bench(benches[0], kernels, err) && start_bench(benches[1], kernels, err);
    ok = collective_agree(transport, ok, err);
    if (ok) {
        costs_describe_shape(measured.shape, config);
        transport_barrier(transport);
        measure_work(&measured, benches);
        measured.memory_bytes_per_s = measure_memory(kernels);
        measure_packing(&measured, config);
        transport_barrier(transport);
        measure_link(&measured, config, transport);
        share(&measured, transport);
        *costs = measured;
    }
    destroy_bench(benches[0]);
    destroy_bench(benches[1]);
    return ok;
}
