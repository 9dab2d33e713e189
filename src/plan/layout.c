/* The table of planned buffers: every size that a run's memory has is written here, once. */
#include "plan_internal.h"

#include <assert.h>

#include <attnres/collective.h>
#include <attnres/kernels.h>
#include <attnres/trace.h>
#include <attnres/wire.h>
#include <attnres/zip.h>

enum {
    TEXT_BYTES_PER_ROW = 1024, /* of headers and the manifest: per tensor, per rank, and beside */
    TEXT_BYTES_PER_RANK = 128,
    TEXT_BYTES = 1 << 17,
    FILE_BYTES = 1 << 20,
    RECORD_BYTES_PER_ROW = 12, /* of a save's record: three CRC-32 */
    REPORT_BYTES_PER_ROW = 16, /* a report's f64; no less than a record's, which stands there too */
    STATE_BYTES = 12,          /* of an element: weight and moments */
    SNAPSHOT_SHARE = 8         /* of the state, if it is not said */
};
_Static_assert(REPORT_BYTES_PER_ROW >= RECORD_BYTES_PER_ROW, "records are gathered like reports");

static const char *const BUFFER_NAMES[BUFFER_COUNT] = {
    [BUFFER_WEIGHTS] = "weights",
    [BUFFER_HEAD_WEIGHT] = "head weight (tied copy)",
    [BUFFER_WEIGHTS_BF16] = "weights in bf16",
    [BUFFER_HEAD_WEIGHT_BF16] = "head weight in bf16 (tied copy)",
    [BUFFER_GRADIENTS] = "gradients",
    [BUFFER_HEAD_GRADIENT] = "head gradient (tied)",
    [BUFFER_EXP_AVG] = "exp_avg",
    [BUFFER_EXP_AVG_SQ] = "exp_avg_sq",
    [BUFFER_VALUES] = "values (sources and sums)",
    [BUFFER_SCALES] = "scales of sources",
    [BUFFER_INVERSE_RMS] = "inverse rms of sources",
    [BUFFER_SCORES] = "read scores",
    [BUFFER_READ_LSE] = "read log-sum-exp",
    [BUFFER_HIDDEN] = "read results",
    [BUFFER_RSTD] = "inverse rms of inputs",
    [BUFFER_ATTENTION_LSE] = "attention log-sum-exp",
    [BUFFER_PAST] = "keys and values so far",
    [BUFFER_QKV] = "q, k, v",
    [BUFFER_GATE_UP] = "gate, up",
    [BUFFER_ATTENDED] = "attention results",
    [BUFFER_LOGITS] = "logits, then their gradient",
    [BUFFER_WORKING_VALUES] = "values in work",
    [BUFFER_WORKING_SCALES] = "scales of values in work",
    [BUFFER_WORKING_INVERSE_RMS] = "inverse rms of values in work",
    [BUFFER_DVALUES] = "gradients of values",
    [BUFFER_NORMED] = "normed inputs",
    [BUFFER_ACTIVATED] = "silu(gate) * up",
    [BUFFER_DEPOSITS] = "deposited gradients",
    [BUFFER_VALUES_IN] = "values, receiving",
    [BUFFER_VALUES_OUT] = "values, sending",
    [BUFFER_GRADIENTS_IN] = "gradients, receiving",
    [BUFFER_GRADIENTS_OUT] = "gradients, sending",
    [BUFFER_CODEC] = "state of deflating",
    [BUFFER_FRAME] = "a message, inflated",
    [BUFFER_PLANE] = "a byte plane of it",
    [BUFFER_REPLICA_IN] = "replicas, receiving",
    [BUFFER_REPLICA_OUT] = "replicas, sending",
    [BUFFER_REPLICA_SUM] = "replicas, a sum",
    [BUFFER_OUTPUT] = "a sublayer's output",
    [BUFFER_DNORMED] = "gradient of a normed input",
    [BUFFER_DINNER] = "gradient inside a sublayer",
    [BUFFER_WIDE] = "q, k, v or gate, up in work",
    [BUFFER_DENOMINATOR] = "read denominators",
    [BUFFER_DRAFT] = "an operand before it is rounded",
    [BUFFER_OPERANDS] = "rounded operands of a product",
    [BUFFER_LOSSES] = "loss per token",
    [BUFFER_BEST] = "best token",
    [BUFFER_PARTIALS] = "partial sums",
    [BUFFER_ATTENTION_SCRATCH] = "attention tiles",
    [BUFFER_PRODUCT_SCRATCH] = "packed operands of products",
    [BUFFER_ROPE] = "rotary table",
    [BUFFER_TOKENS] = "tokens of the step",
    [BUFFER_TARGETS] = "targets of the step",
    [BUFFER_CHUNK_SUMS] = "partial sums of norms",
    [BUFFER_HASHES] = "hashes of a step's tensors",
    [BUFFER_AGAIN] = "an update, computed again",
    [BUFFER_REPORT] = "this rank's report",
    [BUFFER_REPORTS] = "all ranks' reports",
    [BUFFER_TEXT] = "file headers",
    [BUFFER_FILE] = "file read-back",
    [BUFFER_RECORD] = "this rank's record of a save",
    [BUFFER_SNAPSHOT] = "snapshot of what is being saved",
    [BUFFER_TRACE] = "events of the trace",
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

/** Rows that the parts of a segment need. */
struct span {
    int64_t n_reads, n_deep_reads, n_scores, n_attention, n_mlp;
};

/** What the sizes of a rank's buffers are made of: the largest of its stages where slots serve them
 * all. */
struct sizes {
    const struct plan *plan;
    int place; /* of the pipeline */
    const struct plan_rank *rank;
    int64_t n_owned; /* elements whose moments the rank keeps */
    const struct model_config *model;
    bool trains, is_root, alternates;
    bool has_scales, has_deep_reads;
    int64_t n, C, KV, F; /* tokens of a microbatch; widths */
    int64_t n_chunks, n_slots, n_gradient_slots;
    int64_t n_deposit_slots, n_deposits;
    int64_t n_dvalues, n_kept, n_working, n_reads, n_attention, n_mlp;
    struct span span; /* recomputed together; without recomputation a stage */
    int64_t values_in_bytes, values_out_bytes, gradients_in_bytes, gradients_out_bytes;
    int64_t frame_bytes, plane_bytes; /* pipeline.deflate, else 0 */
    int64_t most_sources;             /* of one read */
    int64_t most_together;            /* reads of several sources of one block on a stage */
    int64_t largest_param;            /* elements */
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void note_message(struct sizes *s, int64_t *largest_bytes, struct wire_layout layout)
{
    const bool may_deflate = s->plan->config->pipeline.deflate != DEFLATE_OFF;
    *largest_bytes = larger(*largest_bytes, (int64_t)plan_message_bytes(s->plan, &layout));
    if (may_deflate) {
        s->frame_bytes = larger(s->frame_bytes, (int64_t)wire_frame_bytes(&layout));
        s->plane_bytes = larger(s->plane_bytes, (int64_t)wire_plane_bytes(&layout));
    }
}

static void note_segment(struct span *span, const struct stage *stage, int64_t first, int64_t end)
{
    const int64_t sublayer = stage->first + first;
    const int64_t behind = stage->first + end < stage->end ? stage->first + end : stage->end;
    int64_t n_deep_reads = 0;
    for (int64_t i = first; i < end; i++) {
        n_deep_reads += stage->score_offset[i + 1] > stage->score_offset[i];
    }
    span->n_reads = larger(span->n_reads, end - first);
    span->n_deep_reads = larger(span->n_deep_reads, n_deep_reads);
    span->n_scores = larger(span->n_scores, stage->score_offset[end] - stage->score_offset[first]);
    span->n_attention = larger(span->n_attention, (behind + 1) / 2 - (sublayer + 1) / 2);
    span->n_mlp = larger(span->n_mlp, behind / 2 - sublayer / 2);
}

static void note_stage(struct sizes *s, const struct stage *stage)
{
    s->n_dvalues = larger(s->n_dvalues, stage->n_dvalues);
    s->n_kept = larger(s->n_kept, stage->n_kept);
    s->n_working = larger(s->n_working, stage->n_working);
    s->n_reads = larger(s->n_reads, stage->n_reads);
    for (int64_t part = 0; part < stage->n_reads; part = stage->segment_end[part]) {
        note_segment(&s->span, stage, part, stage->segment_end[part]);
    }
    s->n_attention = larger(s->n_attention, stage->n_attention);
    s->n_mlp = larger(s->n_mlp, stage->n_mlp);
    if (!stage->is_first) {
        note_message(s, &s->values_in_bytes, plan_values_layout(s->plan, stage->index - 1));
        note_message(s, &s->gradients_out_bytes, plan_gradients_layout(s->plan, stage->index - 1));
    }
    if (!stage->is_last) {
        note_message(s, &s->values_out_bytes, plan_values_layout(s->plan, stage->index));
        note_message(s, &s->gradients_in_bytes, plan_gradients_layout(s->plan, stage->index));
    }
    int64_t n_together = 0;
    for (int64_t i = 0; i < stage->n_reads; i++) {
        const int64_t n_sources = stage->score_offset[i + 1] - stage->score_offset[i];
        n_together = plan_opens_block(s->plan, stage, (int)i) ? 0 : n_together;
        n_together += n_sources > 0;
        s->most_sources = larger(s->most_sources, n_sources);
        s->most_together = larger(s->most_together, n_together);
    }
    for (int64_t i = stage->first_param; i < stage->end_param; i++) {
        s->largest_param = larger(s->largest_param, s->plan->params.rows[i].count);
    }
}

static struct sizes measure(const struct plan *plan, int grid_rank)
{
    const struct model_config *model = &plan->config->model;
    const bool trains = plan_trains(plan);
    const int rank = grid_place(&plan->grid, grid_rank);
    struct sizes s = {.plan = plan,
                      .place = rank,
                      .rank = &plan->ranks[rank],
                      .n_owned = plan->owned_counts[grid_rank],
                      .model = model,
                      .trains = trains,
                      .is_root = grid_rank == 0,
                      .alternates = plan->schedule.alternates[rank],
                      .has_scales = plan->config->representative.value == PRECISION_INT8,
                      .n = plan->microbatch_tokens,
                      .C = model->dim,
                      .KV = model->dim / model->n_heads * model->n_kv_heads,
                      .F = model->ff,
                      .n_chunks = plan->n_chunks,
                      .n_slots = larger(plan->schedule.n_slots[rank], plan->forward.n_slots[rank]),
                      .n_gradient_slots = trains ? plan->schedule.n_gradient_slots[rank] : 0};
    s.n_deposits = routing_deposit_count(&plan->routing, rank);
    s.n_deposit_slots = trains ? routing_deposit_slots(&plan->routing, &plan->schedule, rank) : 0;
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        note_stage(&s, plan_stage(plan, rank, chunk));
    }
    s.has_deep_reads = s.span.n_deep_reads > 0;
    return s;
}

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

static void place_all(struct buffer_table *t, const struct request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        place(t, requests[i]);
    }
}

static bool is_bf16(const struct sizes *s)
{
    return s->plan->config->compute.precision == PRECISION_BF16;
}

/** Of an element that products alone read. */
static size_t operand_bytes(const struct sizes *s)
{
    return is_bf16(s) ? 2 : 4;
}

static void place_state(struct buffer_table *t, const struct sizes *s)
{
    const int64_t count = s->rank->weight_count, V = s->model->vocab;
    const bool is_first = s->rank->has_first, is_last = s->rank->has_last, tied = s->model->tied;
    const bool copies = tied && is_last && !is_first,
               joins = s->trains && tied && (is_first || is_last);
    const struct request requests[] = {
        {BUFFER_WEIGHTS, GROUP_PARAMETERS, 1, {count, 1, 1}, 4},
        {BUFFER_HEAD_WEIGHT, GROUP_PARAMETERS, copies, {V, s->C, 1}, 4},
        {BUFFER_WEIGHTS_BF16, GROUP_PARAMETERS, is_bf16(s), {count, 1, 1}, 2},
        {BUFFER_HEAD_WEIGHT_BF16, GROUP_PARAMETERS, is_bf16(s) && copies, {V, s->C, 1}, 2},
        {BUFFER_GRADIENTS, GROUP_GRADIENTS, s->trains, {count, 1, 1}, 4},
        {BUFFER_HEAD_GRADIENT, GROUP_GRADIENTS, joins, {V, s->C, 1}, 4},
        {BUFFER_EXP_AVG, GROUP_OPTIMIZER, s->trains, {s->n_owned, 1, 1}, 4},
        {BUFFER_EXP_AVG_SQ, GROUP_OPTIMIZER, s->trains, {s->n_owned, 1, 1}, 4},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

/** What F leaves for I and for W: in slots, or where it is recomputed. */
static void place_activations(struct buffer_table *t, const struct sizes *s)
{
    const int64_t n = s->n, C = s->C, QKV = C + 2 * s->KV, F = s->F, H = s->model->n_heads;
    const bool again = plan_recomputes(s->plan), waits = again && !s->alternates,
               rounds = s->has_scales, reads = s->has_deep_reads;
    const int64_t slots = s->n_slots, for_i = again ? 1 : slots,
                  for_w = waits ? s->n_gradient_slots : for_i;
    const int64_t logit_slots = s->rank->has_last ? s->plan->n_logit_slots : 0;
    const enum buffer_group kept = GROUP_ACTIVATIONS, i = again ? GROUP_SCRATCH : kept,
                            w = waits ? GROUP_ACTIVATION_GRADIENTS : i;
    const bool generates = s->plan->purpose == PLAN_GENERATE;
    const int64_t T = s->model->seq_len;
    const struct span *span = &s->span;
    const int64_t n_attention = waits ? s->n_attention : span->n_attention,
                  n_mlp = waits ? s->n_mlp : span->n_mlp;
    const struct request requests[] = {
        {BUFFER_VALUES, kept, slots, {s->n_kept, n, C}, 4},
        {BUFFER_SCALES, kept, rounds ? slots : 0, {s->n_kept, n, 1}, 4},
        {BUFFER_INVERSE_RMS, kept, reads ? slots : 0, {s->n_kept, n, 1}, 4},
        {BUFFER_SCORES, i, for_i, {span->n_scores, n, 1}, 4},
        {BUFFER_READ_LSE, i, for_i, {span->n_deep_reads, n, 1}, 4},
        {BUFFER_HIDDEN, i, for_i, {span->n_deep_reads, n, C}, 4},
        {BUFFER_RSTD, i, for_i, {span->n_reads, n, 1}, 4},
        {BUFFER_ATTENTION_LSE, i, for_i, {span->n_attention, n, H}, 4},
        {BUFFER_PAST, kept, generates ? slots : 0, {s->n_attention, T, 2 * s->KV}, 4},
        {BUFFER_QKV, w, for_w, {n_attention, n, QKV}, 4},
        {BUFFER_GATE_UP, w, for_w, {n_mlp, n, 2 * F}, 4},
        {BUFFER_ATTENDED, w, for_w, {n_attention, n, C}, 4},
        {BUFFER_LOGITS, w, logit_slots, {n, s->model->vocab, 1}, 4},
        {BUFFER_WORKING_VALUES, GROUP_SCRATCH, 1, {s->n_working, n, C}, 4},
        {BUFFER_WORKING_SCALES, GROUP_SCRATCH, rounds, {s->n_working, n, 1}, 4},
        {BUFFER_WORKING_INVERSE_RMS, GROUP_SCRATCH, reads, {s->n_working, n, 1}, 4},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

static void place_activation_gradients(struct buffer_table *t, const struct sizes *s)
{
    const enum buffer_group backward = GROUP_ACTIVATION_GRADIENTS;
    const int64_t n = s->n, C = s->C, gradient_slots = s->n_gradient_slots;
    const int64_t for_later = s->alternates ? 0 : gradient_slots;
    const struct request requests[] = {
        {BUFFER_DVALUES, backward, gradient_slots, {s->n_dvalues, n, C}, 4},
        {BUFFER_NORMED, backward, for_later, {s->n_reads, n, C}, operand_bytes(s)},
        {BUFFER_ACTIVATED, backward, for_later, {s->n_mlp, n, s->F}, operand_bytes(s)},
        {BUFFER_DEPOSITS, backward, s->n_deposit_slots, {s->n_deposits, n, C}, 4},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

/** What replicas exchange goes in pieces: large enough that much moves between two kernels, small
 * enough that all those under way stay within a bound. */
static void place_replicas(struct buffer_table *t, const struct sizes *s)
{
    enum {
        MOST = 1 << 20,
        MOST_TOGETHER = 1 << 24,
        LEAST = 1 << 10,
        MOST_PEERS_TWICE = CONFIG_MAX_REPLICAS / 2
    };
    const int64_t n_peers = s->trains ? s->plan->grid.n_replicas - 1 : 0;
    const int64_t slots = n_peers * (n_peers < MOST_PEERS_TWICE ? 2 : 1);
    const int64_t share = slots > 0 ? larger(MOST_TOGETHER / slots / LEAST * LEAST, LEAST) : LEAST;
    const int64_t bound = share < MOST ? share : MOST,
                  chunk = s->largest_param < bound ? s->largest_param : bound;
    const int64_t frame = pad(collective_frame_bytes(chunk));
    const struct request requests[] = {
        {BUFFER_REPLICA_IN, GROUP_MESSAGES, slots, {frame, 1, 1}, 1},
        {BUFFER_REPLICA_OUT, GROUP_MESSAGES, slots, {frame, 1, 1}, 1},
        {BUFFER_REPLICA_SUM, GROUP_MESSAGES, n_peers > 0, {chunk, 2, 1}, 4},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

static void place_messages(struct buffer_table *t, const struct sizes *s)
{
    const int64_t slots = s->n_chunks * s->plan->channel_depth;
    const int64_t gradient_slots = s->trains ? slots : 0;
    const int64_t codec_bytes = s->frame_bytes > 0 ? (int64_t)zip_codec_bytes() : 0;
    const struct request requests[] = {
        {BUFFER_VALUES_IN, GROUP_MESSAGES, slots, {s->values_in_bytes, 1, 1}, 1},
        {BUFFER_VALUES_OUT, GROUP_MESSAGES, slots, {s->values_out_bytes, 1, 1}, 1},
        {BUFFER_GRADIENTS_IN, GROUP_MESSAGES, gradient_slots, {s->gradients_in_bytes, 1, 1}, 1},
        {BUFFER_GRADIENTS_OUT, GROUP_MESSAGES, gradient_slots, {s->gradients_out_bytes, 1, 1}, 1},
        {BUFFER_CODEC, GROUP_MESSAGES, 1, {codec_bytes, 1, 1}, 1},
        {BUFFER_FRAME, GROUP_MESSAGES, 1, {s->frame_bytes, 1, 1}, 1},
        {BUFFER_PLANE, GROUP_MESSAGES, 1, {s->plane_bytes, 1, 1}, 1},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

/** Width of the logits, which the rank with the head alone has. */
static int64_t logit_width(const struct sizes *s)
{
    return s->rank->has_last ? s->model->vocab : 0;
}

/** What the widest of the stage's products needs serves all. */
static int64_t product_scratch_bytes(const struct sizes *s)
{
    const int64_t widest = larger(larger(s->C + 2 * s->KV, 2 * s->F), logit_width(s));
    return (int64_t)matmul_scratch_bytes(&(struct matmul_shape){s->n, s->C, widest, widest});
}

static void place_scratch(struct buffer_table *t, const struct sizes *s)
{
    const bool trains = s->trains, is_last = s->rank->has_last, attends = s->n_attention > 0;
    const bool waits = plan_recomputes(s->plan) && !s->alternates;
    const int64_t n = s->n, C = s->C, T = s->model->seq_len, D = C / s->model->n_heads;
    const struct attention_shape shape = {n / T, T, s->model->n_heads, s->model->n_kv_heads, D};
    const int64_t attention = s->plan->purpose == PLAN_GENERATE
                                  ? T * s->model->n_heads
                                  : (int64_t)kernels_attention_scratch_count(&shape);
    /* Sums over tokens in tiles, of the widest vector they are taken of: a norm's, and of the reads
     * of a block. */
    const int64_t partials = (int64_t)kernels_partials_count(n, larger(C, s->most_sources));
    const struct request requests[] = {
        {BUFFER_OUTPUT, GROUP_SCRATCH, 1, {n, C, 1}, 4},
        {BUFFER_DNORMED, GROUP_SCRATCH, 1, {n, C, 1}, 4},
        {BUFFER_DINNER, GROUP_SCRATCH, 1, {n, larger(s->F, C), 1}, 4},
        {BUFFER_WIDE, GROUP_SCRATCH, waits, {n, larger(C + 2 * s->KV, 2 * s->F), 1}, 4},
        {BUFFER_DENOMINATOR, GROUP_SCRATCH, 1, {s->span.n_deep_reads, n, 1}, 4},
        {BUFFER_DRAFT, GROUP_SCRATCH, is_bf16(s), {n, larger(C, s->F), 1}, 4},
        {BUFFER_OPERANDS,
         GROUP_SCRATCH,
         is_bf16(s) ? OPERAND_COPIES : 0,
         {n, larger(C, logit_width(s)), 1},
         2},
        {BUFFER_LOSSES, GROUP_SCRATCH, is_last, {n, 1, 1}, 4},
        {BUFFER_BEST, GROUP_SCRATCH, is_last, {n, 1, 1}, 4},
        {BUFFER_PARTIALS, GROUP_SCRATCH, trains ? 1 + s->most_together : 0, {partials, 1, 1}, 4},
        {BUFFER_ATTENTION_SCRATCH, GROUP_SCRATCH, attends, {attention, 1, 1}, 4},
        {BUFFER_PRODUCT_SCRATCH, GROUP_SCRATCH, 1, {product_scratch_bytes(s), 1, 1}, 1},
        {BUFFER_ROPE, GROUP_SCRATCH, attends, {T, D, 1}, 4},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

/** No more than there is to save. */
static int64_t snapshot_bytes(const struct sizes *s)
{
    const struct checkpoint_config *checkpoint = &s->plan->config->checkpoint;
    const int64_t state = STATE_BYTES * s->n_owned, wanted = checkpoint->snapshot_bytes;
    if (!s->trains || !checkpoint->in_background) {
        return 0;
    }
    return wanted == 0 ? state / SNAPSHOT_SHARE : (wanted < state ? wanted : state);
}

int64_t plan_hash_rows(const struct plan *plan, int rank)
{
    int64_t n_rows = 0;
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        n_rows += plan_stage(plan, rank, chunk)->n_reads + 1;
    }
    return n_rows;
}

static void place_step(struct buffer_table *t, const struct sizes *s)
{
    const struct plan *plan = s->plan;
    const int64_t T = s->model->seq_len, n_ranks = grid_size(&plan->grid), M = plan->n_microbatches;
    const struct batch_config *batch = &plan->config->batch;
    const int64_t n_sequences = s->trains ? M * batch->microbatch : batch->microbatch;
    /* Padded, since rank 0 keeps the reports of all ranks one behind another. */
    const int64_t report =
        pad(PLAN_REPORT_HEAD_BYTES + REPORT_BYTES_PER_ROW * (size_t)plan->max_rank_params +
            (s->trains ? sizeof(double) * (size_t)M : 0));
    const int64_t n_rows = s->is_root ? plan->params.n_rows : plan->max_rank_params;
    const int64_t text =
        TEXT_BYTES + TEXT_BYTES_PER_ROW * n_rows + (s->is_root ? TEXT_BYTES_PER_RANK * n_ranks : 0);
    /* Gathered where reports are: no longer than one. */
    const int64_t record =
        pad(PLAN_REPORT_HEAD_BYTES + RECORD_BYTES_PER_ROW * (size_t)plan->max_rank_params);
    const int64_t chunk_sums = (int64_t)kernels_chunk_count(s->largest_param);
    const int64_t n_hashes =
        M * plan_hash_rows(plan, s->place) * PLAN_HASHES_PER_PART + s->rank->n_params;
    const int64_t again = s->largest_param < PLAN_AGAIN_SPAN ? s->largest_param : PLAN_AGAIN_SPAN;
    const bool checks = s->trains && plan->config->guard.check_every > 0;
    const bool traces = s->trains && plan->config->trace.n_steps > 0;
    const size_t event_bytes = sizeof(struct journal_event);
    const struct request requests[] = {
        {BUFFER_TOKENS, GROUP_BATCH, 1, {n_sequences, T, 1}, 4},
        {BUFFER_TARGETS, GROUP_BATCH, 1, {n_sequences, T, 1}, 4},
        {BUFFER_CHUNK_SUMS, GROUP_REPORTS, s->trains, {chunk_sums, 1, 1}, 8},
        {BUFFER_HASHES, GROUP_REPORTS, checks, {n_hashes, 1, 1}, 8},
        {BUFFER_AGAIN, GROUP_REPORTS, checks, {again, 3, 1}, 4},
        {BUFFER_REPORT, GROUP_REPORTS, 1, {report, 1, 1}, 1},
        {BUFFER_REPORTS, GROUP_REPORTS, s->is_root, {report, n_ranks, 1}, 1},
        {BUFFER_TEXT, GROUP_REPORTS, 1, {text, 1, 1}, 1},
        {BUFFER_FILE, GROUP_REPORTS, 1, {FILE_BYTES, 1, 1}, 1},
        {BUFFER_RECORD, GROUP_REPORTS, s->trains, {record, 1, 1}, 1},
        {BUFFER_SNAPSHOT, GROUP_REPORTS, 1, {snapshot_bytes(s), 1, 1}, 1},
        {BUFFER_TRACE, GROUP_REPORTS, traces, {TRACE_TAPE_EVENTS, 1, 1}, event_bytes},
    };
    place_all(t, requests, sizeof requests / sizeof requests[0]);
}

void plan_lay_out(struct buffer_table *table, const struct plan *plan, int rank)
{
    const struct sizes s = measure(plan, rank);
    *table = (struct buffer_table){0};
    place_state(table, &s);
    place_activations(table, &s);
    place_activation_gradients(table, &s);
    place_messages(table, &s);
    place_replicas(table, &s);
    place_scratch(table, &s);
    place_step(table, &s);
    for (int i = 0; i < BUFFER_COUNT; i++) {
        assert(table->rows[i].name != NULL && "every buffer is placed");
    }
}

bool memory_init(struct memory *memory, const struct plan *plan, int rank, struct error *err)
{
    *memory = (struct memory){.replica = grid_replica(&plan->grid, rank)};
    plan_lay_out(&memory->table, plan, rank);
    if (memory->table.overflowed) {
        return error_set(err, ERROR_CONFIG, "rank %d needs more memory than can be addressed",
                         rank);
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
    if (id == BUFFER_EXP_AVG || id == BUFFER_EXP_AVG_SQ) {
        assert(plan_owns(plan, memory->replica, param));
        return base + plan->owners[row].base;
    }
    return base + stage->weight_base + param->offset - rows[stage->first_param].offset;
}
