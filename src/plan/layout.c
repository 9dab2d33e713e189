/* The table of planned buffers: every size that a run's memory has is written here, once. */
#include <attnres/plan.h>

#include <assert.h>

#include <attnres/kernels.h>
#include <attnres/wire.h>

/** Bytes that headers and the manifest need per tensor, and beside all tensors. */
enum {
    TEXT_BYTES_PER_ROW = 1024,
    TEXT_BYTES = 1 << 17,
    FILE_BYTES = 1 << 20,
    REPORT_BYTES_PER_ROW = 16
};

static const char *const BUFFER_NAMES[BUFFER_COUNT] = {
    [BUFFER_WEIGHTS] = "weights",
    [BUFFER_HEAD_WEIGHT] = "head weight (tied copy)",
    [BUFFER_GRADIENTS] = "gradients",
    [BUFFER_HEAD_GRADIENT] = "head gradient (tied)",
    [BUFFER_EXP_AVG] = "exp_avg",
    [BUFFER_EXP_AVG_SQ] = "exp_avg_sq",
    [BUFFER_VALUES] = "values (sources and sums)",
    [BUFFER_INVERSE_RMS] = "inverse rms of sources",
    [BUFFER_SCORES] = "read scores",
    [BUFFER_READ_LSE] = "read log-sum-exp",
    [BUFFER_HIDDEN] = "read results",
    [BUFFER_NORMED] = "normed inputs",
    [BUFFER_RSTD] = "inverse rms of inputs",
    [BUFFER_QKV] = "q, k, v",
    [BUFFER_ATTENDED] = "attention results",
    [BUFFER_ATTENTION_LSE] = "attention log-sum-exp",
    [BUFFER_GATE_UP] = "gate, up",
    [BUFFER_ACTIVATED] = "silu(gate) * up",
    [BUFFER_LOGITS] = "logits, then their gradient",
    [BUFFER_DVALUES] = "gradients of values",
    [BUFFER_DQKV] = "gradients of q, k, v",
    [BUFFER_DGATE_UP] = "gradients of gate, up",
    [BUFFER_VALUES_IN] = "values, receiving",
    [BUFFER_VALUES_OUT] = "values, sending",
    [BUFFER_GRADIENTS_IN] = "gradients, receiving",
    [BUFFER_GRADIENTS_OUT] = "gradients, sending",
    [BUFFER_OUTPUT] = "a sublayer's output",
    [BUFFER_DNORMED] = "gradient of a normed input",
    [BUFFER_DHIDDEN] = "gradient of a read result",
    [BUFFER_DINNER] = "gradient inside a sublayer",
    [BUFFER_DENOMINATOR] = "read denominators",
    [BUFFER_LOSSES] = "loss per token",
    [BUFFER_BEST] = "best token",
    [BUFFER_PARTIALS] = "partial sums",
    [BUFFER_ATTENTION_SCRATCH] = "attention scores",
    [BUFFER_ROPE] = "rotary table",
    [BUFFER_TOKENS] = "tokens of the step",
    [BUFFER_TARGETS] = "targets of the step",
    [BUFFER_MICROBATCH_LOSS] = "loss per microbatch",
    [BUFFER_CHUNK_SUMS] = "partial sums of norms",
    [BUFFER_REPORT] = "this rank's report",
    [BUFFER_REPORTS] = "all ranks' reports",
    [BUFFER_TEXT] = "file headers",
    [BUFFER_FILE] = "file read-back",
};

const char *plan_group_name(enum buffer_group group)
{
    static const char *const NAMES[GROUP_COUNT] = {
        [GROUP_PARAMETERS] = "parameters",
        [GROUP_GRADIENTS] = "gradients",
        [GROUP_OPTIMIZER] = "optimizer state",
        [GROUP_ACTIVATIONS] = "activations",
        [GROUP_ACTIVATION_GRADIENTS] = "activation gradients",
        [GROUP_MESSAGES] = "messages",
        [GROUP_SCRATCH] = "scratch",
        [GROUP_BATCH] = "batch",
        [GROUP_REPORTS] = "reports and files",
    };
    return NAMES[group];
}

/** What the sizes are made of. */
struct sizes {
    const struct plan *plan;
    const struct stage *stage;
    const struct model_config *model;
    int64_t n, C, KV, F; /* tokens of a microbatch; widths */
    int64_t n_slots, n_gradient_slots;
};

static size_t multiply(size_t a, size_t b, bool *overflowed)
{
    if (b != 0 && a > SIZE_MAX / 4 / b) {
        *overflowed = true;
        return 0;
    }
    return a * b;
}

static int64_t pad(size_t bytes)
{
    return (int64_t)((bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT);
}

struct request {
    enum buffer_id id;
    enum buffer_group group;
    int64_t n_slots;
    int64_t shape[3];
    size_t element_bytes;
};

static void place(struct buffer_table *table, struct request r)
{
    struct buffer *b = &table->rows[r.id];
    size_t bytes = r.element_bytes;
    for (int i = 0; i < 3; i++) {
        bytes = multiply(bytes, (size_t)r.shape[i], &table->overflowed);
    }
    const size_t padded = (size_t)pad(bytes);
    *b = (struct buffer){.id = r.id,
                         .name = BUFFER_NAMES[r.id],
                         .group = r.group,
                         .n_slots = bytes > 0 ? r.n_slots : 0,
                         .shape = {r.shape[0], r.shape[1], r.shape[2]},
                         .element_bytes = r.element_bytes,
                         .slot_bytes = padded,
                         .offset = table->total_bytes};
    table->total_bytes += multiply(padded, (size_t)b->n_slots, &table->overflowed);
    table->overflowed = table->overflowed || table->total_bytes > SIZE_MAX / 2;
}

static void place_state(struct buffer_table *t, const struct sizes *s)
{
    const bool trains = s->plan->purpose == PLAN_TRAIN;
    const int64_t count = s->stage->weight_count, V = s->model->vocab;
    const bool ties_here = s->model->tied && s->stage->is_last;
    place(t, (struct request){BUFFER_WEIGHTS, GROUP_PARAMETERS, 1, {count, 1, 1}, 4});
    place(t, (struct request){BUFFER_HEAD_WEIGHT,
                              GROUP_PARAMETERS,
                              ties_here && !s->stage->is_first,
                              {V, s->C, 1},
                              4});
    place(t, (struct request){BUFFER_GRADIENTS, GROUP_GRADIENTS, trains, {count, 1, 1}, 4});
    place(t, (struct request){BUFFER_HEAD_GRADIENT,
                              GROUP_GRADIENTS,
                              trains && s->model->tied && (s->stage->is_first || s->stage->is_last),
                              {V, s->C, 1},
                              4});
    place(t, (struct request){BUFFER_EXP_AVG, GROUP_OPTIMIZER, trains, {count, 1, 1}, 4});
    place(t, (struct request){BUFFER_EXP_AVG_SQ, GROUP_OPTIMIZER, trains, {count, 1, 1}, 4});
}

static void place_activations(struct buffer_table *t, const struct sizes *s)
{
    const struct stage *stage = s->stage;
    const int64_t n = s->n, C = s->C, n_norms = stage->n_reads;
    const int64_t n_slots = s->n_slots, n_scores = stage->score_offset[stage->n_reads];
    const bool has_reads = stage->n_deep_reads > 0;
    const struct request requests[] = {
        {BUFFER_VALUES, GROUP_ACTIVATIONS, n_slots, {stage->n_values, n, C}, 4},
        {BUFFER_INVERSE_RMS,
         GROUP_ACTIVATIONS,
         has_reads ? n_slots : 0,
         {stage->n_values, n, 1},
         4},
        {BUFFER_SCORES, GROUP_ACTIVATIONS, n_slots, {n_scores, n, 1}, 4},
        {BUFFER_READ_LSE, GROUP_ACTIVATIONS, n_slots, {stage->n_deep_reads, n, 1}, 4},
        {BUFFER_HIDDEN, GROUP_ACTIVATIONS, n_slots, {stage->n_deep_reads, n, C}, 4},
        {BUFFER_NORMED, GROUP_ACTIVATIONS, n_slots, {n_norms, n, C}, 4},
        {BUFFER_RSTD, GROUP_ACTIVATIONS, n_slots, {n_norms, n, 1}, 4},
        {BUFFER_QKV, GROUP_ACTIVATIONS, n_slots, {stage->n_attention, n, C + 2 * s->KV}, 4},
        {BUFFER_ATTENDED, GROUP_ACTIVATIONS, n_slots, {stage->n_attention, n, C}, 4},
        {BUFFER_ATTENTION_LSE,
         GROUP_ACTIVATIONS,
         n_slots,
         {stage->n_attention, n, s->model->n_heads},
         4},
        {BUFFER_GATE_UP, GROUP_ACTIVATIONS, n_slots, {stage->n_mlp, n, 2 * s->F}, 4},
        {BUFFER_ACTIVATED, GROUP_ACTIVATIONS, n_slots, {stage->n_mlp, n, s->F}, 4},
        {BUFFER_LOGITS,
         GROUP_ACTIVATIONS,
         stage->is_last ? n_slots : 0,
         {n, s->model->vocab, 1},
         4},
        {BUFFER_DVALUES,
         GROUP_ACTIVATION_GRADIENTS,
         s->n_gradient_slots,
         {stage->n_values, n, C},
         4},
        {BUFFER_DQKV,
         GROUP_ACTIVATION_GRADIENTS,
         s->n_gradient_slots,
         {stage->n_attention, n, C + 2 * s->KV},
         4},
        {BUFFER_DGATE_UP,
         GROUP_ACTIVATION_GRADIENTS,
         s->n_gradient_slots,
         {stage->n_mlp, n, 2 * s->F},
         4},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        place(t, requests[i]);
    }
}

static void place_messages(struct buffer_table *t, const struct sizes *s)
{
    const bool trains = s->plan->purpose == PLAN_TRAIN;
    const int depth = s->plan->schedule.channel_depth;
    const int64_t n_in = depth_set_count(&s->stage->incoming),
                  n_out = depth_set_count(&s->stage->outgoing);
    const int64_t bytes_in = (int64_t)wire_frame_bytes(n_in, s->n * s->C);
    const int64_t bytes_out = (int64_t)wire_frame_bytes(n_out, s->n * s->C);
    const int in = n_in > 0 ? depth : 0, out = n_out > 0 ? depth : 0;
    place(t, (struct request){BUFFER_VALUES_IN, GROUP_MESSAGES, in, {bytes_in, 1, 1}, 1});
    place(t, (struct request){BUFFER_VALUES_OUT, GROUP_MESSAGES, out, {bytes_out, 1, 1}, 1});
    place(t, (struct request){
                 BUFFER_GRADIENTS_IN, GROUP_MESSAGES, trains ? out : 0, {bytes_out, 1, 1}, 1});
    place(t, (struct request){
                 BUFFER_GRADIENTS_OUT, GROUP_MESSAGES, trains ? in : 0, {bytes_in, 1, 1}, 1});
}

/** Floats that sums over tokens in tiles need, for the widest vector they are taken of. */
static int64_t partials_count(const struct sizes *s)
{
    int64_t widest = s->C;
    for (int64_t i = 0; i < s->stage->n_reads; i++) {
        const int64_t n_sources = s->stage->score_offset[i + 1] - s->stage->score_offset[i];
        widest = n_sources > widest ? n_sources : widest;
    }
    return (int64_t)kernels_partials_count(s->n, widest);
}

static void place_scratch(struct buffer_table *t, const struct sizes *s)
{
    const bool trains = s->plan->purpose == PLAN_TRAIN, is_last = s->stage->is_last;
    const int64_t n = s->n, C = s->C, T = s->model->seq_len, D = C / s->model->n_heads;
    const struct attention_shape shape = {n / T, T, s->model->n_heads, s->model->n_kv_heads, D};
    const int64_t attention = (int64_t)kernels_attention_scratch_count(&shape);
    const struct request requests[] = {
        {BUFFER_OUTPUT, GROUP_SCRATCH, 1, {n, C, 1}, 4},
        {BUFFER_DNORMED, GROUP_SCRATCH, trains, {n, C, 1}, 4},
        {BUFFER_DHIDDEN, GROUP_SCRATCH, trains, {n, C, 1}, 4},
        {BUFFER_DINNER, GROUP_SCRATCH, trains, {n, s->F > C ? s->F : C, 1}, 4},
        {BUFFER_DENOMINATOR, GROUP_SCRATCH, 1, {s->stage->n_deep_reads, n, 1}, 4},
        {BUFFER_LOSSES, GROUP_SCRATCH, is_last, {n, 1, 1}, 4},
        {BUFFER_BEST, GROUP_SCRATCH, is_last, {n, 1, 1}, 4},
        {BUFFER_PARTIALS, GROUP_SCRATCH, trains, {partials_count(s), 1, 1}, 4},
        {BUFFER_ATTENTION_SCRATCH, GROUP_SCRATCH, s->stage->n_attention > 0, {attention, 1, 1}, 4},
        {BUFFER_ROPE, GROUP_SCRATCH, s->stage->n_attention > 0, {T, D, 1}, 4},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        place(t, requests[i]);
    }
}

/** Elements of the largest tensor that the norm is taken of. */
static int64_t largest_param(const struct sizes *s)
{
    int64_t largest = 0;
    for (int64_t i = s->stage->first_param; i < s->stage->end_param; i++) {
        const int64_t count = s->plan->params.rows[i].count;
        largest = count > largest ? count : largest;
    }
    return largest;
}

static void place_step(struct buffer_table *t, const struct sizes *s)
{
    const bool trains = s->plan->purpose == PLAN_TRAIN, is_root = s->stage->index == 0;
    const struct batch_config *batch = &s->plan->config->batch;
    const int64_t n_sequences = trains ? batch->n_sequences : batch->microbatch;
    const int64_t T = s->model->seq_len, n_stages = s->plan->n_stages;
    /* Padded, since rank 0 keeps the reports of all ranks one behind another. */
    const int64_t report =
        pad(PLAN_REPORT_HEAD_BYTES + REPORT_BYTES_PER_ROW * (size_t)s->plan->max_stage_params);
    const int64_t n_rows = is_root ? s->plan->params.n_rows : s->plan->max_stage_params;
    const int64_t text = TEXT_BYTES + TEXT_BYTES_PER_ROW * n_rows;
    const struct request requests[] = {
        {BUFFER_TOKENS, GROUP_BATCH, 1, {n_sequences, T, 1}, 4},
        {BUFFER_TARGETS, GROUP_BATCH, 1, {n_sequences, T, 1}, 4},
        {BUFFER_MICROBATCH_LOSS,
         GROUP_BATCH,
         s->stage->is_last,
         {s->plan->n_microbatches, 1, 1},
         8},
        {BUFFER_CHUNK_SUMS,
         GROUP_REPORTS,
         trains,
         {(int64_t)kernels_chunk_count(largest_param(s)), 1, 1},
         8},
        {BUFFER_REPORT, GROUP_REPORTS, 1, {report, 1, 1}, 1},
        {BUFFER_REPORTS, GROUP_REPORTS, is_root, {report, n_stages, 1}, 1},
        {BUFFER_TEXT, GROUP_REPORTS, 1, {text, 1, 1}, 1},
        {BUFFER_FILE, GROUP_REPORTS, 1, {FILE_BYTES, 1, 1}, 1},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        place(t, requests[i]);
    }
}

void plan_lay_out(struct buffer_table *table, const struct plan *plan, int stage)
{
    const struct model_config *model = &plan->config->model;
    const bool trains = plan->purpose == PLAN_TRAIN;
    const struct sizes s = {.plan = plan,
                            .stage = &plan->stages[stage],
                            .model = model,
                            .n = plan->microbatch_tokens,
                            .C = model->dim,
                            .KV = model->dim / model->n_heads * model->n_kv_heads,
                            .F = model->ff,
                            .n_slots = plan->schedule.n_slots[stage],
                            .n_gradient_slots =
                                trains ? plan->schedule.n_gradient_slots[stage] : 0};
    *table = (struct buffer_table){0};
    place_state(table, &s);
    place_activations(table, &s);
    place_messages(table, &s);
    place_scratch(table, &s);
    place_step(table, &s);
    for (int i = 0; i < BUFFER_COUNT; i++) {
        assert(table->rows[i].name != NULL && "every buffer is placed");
    }
}

bool memory_init(struct memory *memory, const struct plan *plan, int stage, struct error *err)
{
    *memory = (struct memory){0};
    plan_lay_out(&memory->table, plan, stage);
    if (memory->table.overflowed) {
        return error_set(err, ERROR_CONFIG, "stage %d needs more memory than can be addressed",
                         stage);
    }
    if (!arena_create(&memory->arena, memory->table.total_bytes, err)) {
        return false;
    }
    for (int i = 0; i < BUFFER_COUNT; i++) {
        struct buffer *b = &memory->table.rows[i];
        const unsigned char *slice = arena_take(&memory->arena, (size_t)b->n_slots, b->slot_bytes);
        assert(b->n_slots == 0 || (size_t)(slice - memory->arena.base) == b->offset);
        (void)slice;
    }
    arena_seal(&memory->arena);
    return true;
}

void memory_finish(struct memory *memory)
{
    arena_destroy(&memory->arena);
    *memory = (struct memory){0};
}

void *memory_buffer(const struct memory *memory, enum buffer_id id, int64_t slot)
{
    const struct buffer *b = &memory->table.rows[id];
    if (b->n_slots == 0) {
        return NULL;
    }
    assert(slot >= 0 && slot < b->n_slots);
    return memory->arena.base + b->offset + (size_t)slot * b->slot_bytes;
}

size_t memory_slot_bytes(const struct memory *memory, enum buffer_id id)
{
    return memory->table.rows[id].slot_bytes;
}

float *memory_tensor(const struct memory *memory, const struct plan *plan,
                     const struct stage *stage, const struct param *param, enum buffer_id id)
{
    const struct param *rows = plan->params.rows;
    const int64_t row = param - rows;
    assert(row >= stage->first_param && row < stage->end_param);
    float *base = memory_buffer(memory, id, 0);
    return base + param->offset - rows[stage->first_param].offset;
}
