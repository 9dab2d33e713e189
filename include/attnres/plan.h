/** The plan of a run: grid, partition, stages, schedules, and the one table of planned buffers of
 * a rank.
 *
 *  Plain data, the same on every rank, made without MPI. Model, optimiser, engine and checkpoint
 * take their memory from the buffer table by name; no size is stated elsewhere:
 *
 *      plan_init      config, ranks -> depth plan, parameter table, stages, schedule
 *      plan_lay_out   one rank -> table of buffers: name, shape, slots, lifetime, bytes
 *      memory_init    table -> one allocation; memory_buffer(BUFFER_X, slot) -> address
 *
 *  All replicas of the pipeline do the same with other sequences. So stages, schedule and routing
 * speak of the ranks of one pipeline (places of the grid, 0 ... n_ranks - 1), which are the ranks
 * of replica 0; only memory differs between replicas, and plan_lay_out takes a rank of the grid. */
#ifndef ATTNRES_PLAN_H
#define ATTNRES_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/arena.h>
#include <attnres/config.h>
#include <attnres/costs.h>
#include <attnres/depth.h>
#include <attnres/error.h>
#include <attnres/grid.h>
#include <attnres/json.h>
#include <attnres/params.h>
#include <attnres/routing.h>
#include <attnres/schedule.h>
#include <attnres/wire.h>

/** What the memory is for: training; training steps that leave the gradients of all values to look
 * at; forward passes alone; or forward passes of one token a sequence, of which keys and values are
 * remembered for the tokens behind it. */
enum plan_purpose { PLAN_TRAIN, PLAN_INSPECT, PLAN_FORWARD, PLAN_GENERATE };

/** A contiguous run of sublayers, and what it holds. */
struct stage {
    int index;
    int rank, chunk;                /* who carries it out: a rank owns n_chunks stages */
    bool is_first, is_last;         /* holds the embedding; holds the head */
    int64_t first, end;             /* sublayers */
    int64_t first_param, end_param; /* rows of the parameter table */
    int64_t weight_count;           /* floats from the first row's start to the last row's end */
    int64_t weight_base;            /* floats of the rank's stages before this one */
    int64_t param_base;             /* rows of the rank's stages before this one */
    struct depth_set incoming;      /* values that the stage before sends; empty on the first */
    struct depth_set outgoing;      /* values for the stage behind; empty on the last */
    int64_t n_values;          /* values the stage holds per microbatch, received and produced */
    int64_t *value_ids;        /* ascending */
    int64_t *value_rows;       /* per value: its row in a slot if that keeps it from F on, or -1 -
                                  its row in the working set */
    int64_t n_kept, n_working; /* rows in a slot, and in the working set */
    int64_t *dvalue_rows;      /* per value: its gradient's row in a gradient slot; -1: it has none.
                                  Where the rank alternates, others take it after its last use. */
    int64_t n_dvalues;         /* rows */
    int64_t n_reads;           /* end - first, and one more on the last stage */
    int64_t *segment_first, *segment_end; /* per read: the reads that are recomputed with it; all of
                                             the stage without recomputation */
    int64_t *score_offset;      /* per read: sources of the reads before it; n_reads + 1 entries.
                                   A read with one source has none: it returns it. */
    int64_t n_deep_reads;       /* reads with more than one source */
    int64_t n_attention, n_mlp; /* sublayers of each sort */
};

/** What a rank's stages come to. */
struct plan_rank {
    bool has_first, has_last; /* owns the first, the last stage */
    int64_t weight_count;     /* floats of all its parameter rows, padded */
    int64_t n_params;         /* rows */
};

/** Every replica holds a row's weight and gradient; one owns it: it adds up the gradients, keeps
 * the moments, updates, and saves. */
struct plan_owner {
    int replica;
    int64_t base; /* elements of the rows before it that the same rank owns */
};

/** What the parts of one microbatch's work cost, forwards and backwards, in one unit: counted, the
 * time of a FLOP; measured, a picosecond. Plain data, by which `partition: auto` cuts. */
struct plan_costs {
    double embedding, head; /* head: the last read, the final norm, the logits and their loss */
    double *sublayer;       /* L: a read, its norm and what it feeds */
    double *cut;            /* L + 1: a cut in front of sublayer l, on each of its two sides */
};

struct plan {
    const struct config *config; /* borrowed */
    enum plan_purpose purpose;
    struct grid grid;
    enum recompute_kind recompute; /* memory.recompute; forward passes alone keep as little as they
                                      can, which is what `all` keeps */
    struct depth_plan depth;
    struct params params;
    struct routing routing; /* what each hop carries */
    struct costs measured;  /* pipeline.costs; zeroed or without parts: costs are counted */
    struct plan_costs costs;
    int n_ranks, n_chunks, n_stages; /* of one pipeline; n_stages = n_ranks * n_chunks */
    struct stage *stages;
    struct plan_rank *ranks;
    struct plan_owner *owners; /* by row of the parameter table */
    int64_t *owned_counts;     /* elements that each rank of the grid owns */
    struct schedule schedule;  /* of a training step; for PLAN_FORWARD the same as `forward` */
    struct schedule forward;   /* one microbatch through all stages, for evaluation */
    int channel_depth;         /* messages under way on a cut, of either schedule */
    int64_t n_microbatches;    /* M: of each replica */
    int64_t microbatch_tokens; /* of one microbatch: batch.microbatch * seq_len, or * 1 */
    int n_logit_slots;         /* microbatch k has its logits in slot k % n_logit_slots */
    int64_t max_rank_params;   /* rows of the rank with the most */
};

/** Plan a run for n_ranks ranks, all replicas together. config is borrowed until plan_finish.
 * ERROR_LAUNCH with the right launch line if the ranks do not fit the stages, ERROR_CONFIG if the
 * partition is not possible. */
bool plan_init(struct plan *plan, const struct config *config, int n_ranks,
               enum plan_purpose purpose, struct error *err);
/** The same by measured costs (NULL: counted), which are copied: `partition: auto` cuts by them. */
bool plan_init_measured(struct plan *plan, const struct config *config, const struct costs *costs,
                        int n_ranks, enum plan_purpose purpose, struct error *err);
void plan_finish(struct plan *plan);

/** Seconds of a part: sublayer l with its read; -1 the embedding; L the head. */
struct plan_part {
    struct costs_passes passes; /* of one microbatch */
    double update;              /* of one step, all of it on one rank */
};
/** As measured, or else counted by the rates, of which FLOPs and memory bandwidth must be known. */
struct plan_part plan_part_costs(const struct plan *plan, const struct costs *costs, int64_t l);
/** Seconds that a step's update takes a rank: it clears the gradients of all parameters that it
 * holds, and updates those that it owns. */
double plan_update_cost(const struct costs *costs, double n_held, double n_owned);

/** What crosses the cut behind a stage per microbatch: values forwards, their gradients backwards.
 */
struct wire_layout plan_values_layout(const struct plan *plan, int stage);
struct wire_layout plan_gradients_layout(const struct plan *plan, int stage);
/** A message of these values, the completed ones in this precision. */
struct wire_layout plan_message_layout(const struct plan *plan, const struct depth_set *set,
                                       enum precision precision);

/** The stage that a rank of the pipeline carries out as this chunk. */
const struct stage *plan_stage(const struct plan *plan, int rank, int chunk);

/** The rank of the pipeline that owns the last stage; the first is rank 0's. */
int plan_last_rank(const struct plan *plan);

/** Whether a replica owns a row of the parameter table. */
bool plan_owns(const struct plan *plan, int replica, const struct param *param);

/** Whether there is a backward. */
bool plan_trains(const struct plan *plan);

/** Whether forward parts are run again for the backward, and what they leave is in the working set.
 */
bool plan_recomputes(const struct plan *plan);

/** Place of a value among the stage's values; -1 if the stage does not hold it. */
int64_t stage_value_index(const struct stage *stage, int64_t id);

/** What a stage, and what all stages of a rank take of the time of one microbatch, in the unit of
 * the costs. */
double plan_stage_work(const struct plan *plan, int stage);
double plan_rank_work(const struct plan *plan, int rank);

/** Refuse a plan that needs more than memory.limit on some rank: ERROR_CONFIG, naming the largest
 * buffers and the settings, each planned in full, under which it fits. */
bool plan_check_memory(const struct plan *plan, struct error *err);

/** What a rank may plan, where that is less than its plan. */
struct plan_limit {
    int64_t bytes;
    int ranks_per_host; /* that share what a host gives; 0: the limit is memory.limit's */
};
/** In words: the largest buffers of the rank that needs the most, and the settings, each planned in
 * full, under which no rank needs more than the limit. */
void plan_advise(const struct plan *plan, const struct plan_limit *limit, char *text,
                 size_t capacity);

/** Hash of who does what in which order and in how much memory. */
uint64_t plan_hash(const struct plan *plan);

/** Whether a part is the first of its block on the stage, or of several blocks of `full`: there the
 * first phase of the reads of the block begins, and the last phase of their backward ends. */
bool plan_opens_block(const struct plan *plan, const struct stage *stage, int part);
/** The i-th row of the parameter table whose gradient is whole after a part of I or W of the last
 * microbatch; NULL behind the last. With a tied head the embedding is among none: the head's
 * gradient comes to it afterwards. */
const struct param *plan_finished(const struct plan *plan, const struct stage *stage, int part,
                                  enum action_op op, int i);
/** All rows of a rank of the pipeline (plan_rank.n_params) in the order in which its schedule
 * finishes them. */
void plan_list_finished(const struct plan *plan, int rank, int64_t *rows);

/** params_flops_per_token of the plan's model. */
double plan_flops_per_token(const struct plan *plan);

enum buffer_id {
    /* state */
    BUFFER_WEIGHTS,
    BUFFER_HEAD_WEIGHT,  /* copy of the tied embedding on a last stage that is not the first */
    BUFFER_WEIGHTS_BF16, /* compute.precision: bf16, what products read of the weights */
    BUFFER_HEAD_WEIGHT_BF16,
    BUFFER_GRADIENTS,
    BUFFER_HEAD_GRADIENT, /* tied: the head's own gradient, also when both ends share a rank */
    BUFFER_EXP_AVG,
    BUFFER_EXP_AVG_SQ,
    /* per activation slot: from F to W */
    BUFFER_VALUES, /* those that are kept */
    BUFFER_SCALES, /* representative.value: int8 */
    BUFFER_INVERSE_RMS,
    /* what I needs of the forward pass: per activation slot, recomputed in the working set */
    BUFFER_SCORES,
    BUFFER_READ_LSE,
    BUFFER_HIDDEN,
    BUFFER_RSTD,
    BUFFER_ATTENTION_LSE,
    BUFFER_PAST, /* PLAN_GENERATE: keys and values of a sequence's tokens so far */
    /* what W needs of it, or of the gradient by which I replaces it: per activation slot,
       recomputed in the working set where the rank alternates, else per gradient slot */
    BUFFER_QKV,
    BUFFER_GATE_UP,
    BUFFER_ATTENDED,
    BUFFER_LOGITS, /* per microbatch in the last stage */
    /* working set: values that no slot keeps */
    BUFFER_WORKING_VALUES,
    BUFFER_WORKING_SCALES,
    BUFFER_WORKING_INVERSE_RMS,
    /* per gradient slot: from I to W */
    BUFFER_DVALUES,
    BUFFER_NORMED, /* made again by I; scratch where the rank alternates, as the next */
    BUFFER_ACTIVATED,
    BUFFER_DEPOSITS, /* message cache: gradients waiting for the stage that brought their source */
    /* messages */
    BUFFER_VALUES_IN,
    BUFFER_VALUES_OUT,
    BUFFER_GRADIENTS_IN,
    BUFFER_GRADIENTS_OUT,
    BUFFER_CODEC, /* pipeline.deflate: what coding needs, a frame and a byte plane of it */
    BUFFER_FRAME,
    BUFFER_PLANE,
    BUFFER_REPLICA_IN, /* gradients, then weights; only with replicas, as the next two */
    BUFFER_REPLICA_OUT,
    BUFFER_REPLICA_SUM, /* the sum so far of a piece, and what is added to it next */
    /* scratch of one action */
    BUFFER_OUTPUT,
    BUFFER_DNORMED,
    BUFFER_DINNER,
    BUFFER_WIDE, /* what nobody needs again of BUFFER_QKV and BUFFER_GATE_UP */
    BUFFER_DENOMINATOR,
    BUFFER_DRAFT,    /* compute.precision: bf16, an operand in f32 before it is kept */
    BUFFER_OPERANDS, /* and operands of one product whose tensors stay f32 */
    BUFFER_LOSSES,
    BUFFER_BEST,
    BUFFER_PARTIALS,
    BUFFER_ATTENTION_SCRATCH,
    BUFFER_PRODUCT_SCRATCH,
    BUFFER_ROPE,
    /* the step's batch */
    BUFFER_TOKENS,
    BUFFER_TARGETS,
    /* update, reports, files */
    BUFFER_CHUNK_SUMS,
    BUFFER_HASHES, /* guard.check_every: of a step's tensors */
    BUFFER_AGAIN,  /* and a span of weight and moments, updated a second time */
    BUFFER_REPORT,
    BUFFER_REPORTS,  /* rank 0: of all ranks */
    BUFFER_TEXT,     /* headers, the manifest, lines */
    BUFFER_FILE,     /* reading files back */
    BUFFER_RECORD,   /* of a save, for rank 0 */
    BUFFER_SNAPSHOT, /* checkpoint.async: what an update changes before it is written */
    BUFFER_TRACE,    /* events on their way to a file */
    BUFFER_COUNT
};

/** Slots of BUFFER_OPERANDS: what flows forward (an x of a product), and a gradient (a dy). */
enum operand_copy { OPERAND_X, OPERAND_DY, OPERAND_COPIES };

/** How long contents live; what the printed table groups by. */
enum buffer_group {
    GROUP_PARAMETERS,
    GROUP_GRADIENTS,
    GROUP_OPTIMIZER,
    GROUP_ACTIVATIONS,
    GROUP_ACTIVATION_GRADIENTS,
    GROUP_MESSAGES,
    GROUP_SCRATCH,
    GROUP_BATCH,
    GROUP_REPORTS,
    GROUP_COUNT
};

struct buffer {
    enum buffer_id id;
    const char *name;
    enum buffer_group group;
    int64_t n_slots;
    int64_t shape[3]; /* of one slot; unused ones are 1 */
    size_t element_bytes;
    size_t slot_bytes; /* padded to 64 */
    size_t offset;     /* of slot 0 in the arena */
};

struct buffer_table {
    struct buffer
        rows[BUFFER_COUNT]; /* row i has id i; a buffer that the rank does not need has 0 slots */
    size_t total_bytes;
    bool overflowed; /* a size does not fit */
};

/** Buffers of a rank of the grid. Slots of activations serve all its chunks, so they have the
 * largest chunk's size. Pure. */
void plan_lay_out(struct buffer_table *table, const struct plan *plan, int rank);

/** Elements of a row that BUFFER_AGAIN holds at most. */
enum { PLAN_AGAIN_SPAN = 65536 };

enum { PLAN_HASHES_PER_PART = 9 };
/** Rows of BUFFER_HASHES for one microbatch: one for each part of the rank's stages, and one for
 * each stage. Behind those of all microbatches stands one hash per parameter row. */
int64_t plan_hash_rows(const struct plan *plan, int rank);

/** Fixed bytes in front of a rank's report. Behind them stands one f64 per microbatch, then one per
 * parameter row of the rank. */
enum { PLAN_REPORT_HEAD_BYTES = 128 };

/** The memory behind a table. */
struct memory {
    struct buffer_table table;
    struct arena arena;
    int replica;
};
/** Take it all at once, zeroed. ERROR_CREATE naming the size if the system has not got it. */
bool memory_init(struct memory *memory, const struct plan *plan, int rank, struct error *err);
void memory_finish(struct memory *memory);
/** Address of a slot; NULL if the rank has no such buffer. */
void *memory_buffer(const struct memory *memory, enum buffer_id id, int64_t slot);
/** Bytes of one slot as laid out. */
size_t memory_slot_bytes(const struct memory *memory, enum buffer_id id);

/** A parameter row's place in BUFFER_WEIGHTS or BUFFER_GRADIENTS of the stage that holds it, or in
 * BUFFER_EXP_AVG or BUFFER_EXP_AVG_SQ of the replica that owns it. */
float *memory_tensor(const struct memory *memory, const struct plan *plan,
                     const struct stage *stage, const struct param *param, enum buffer_id id);

/** What a rank holds beside its plan, as measured. */
struct plan_measured {
    int64_t library_bytes, data_bytes;
};

/** For people, at most `width` columns wide: partition with tensors per cut, schedule, memory per
 * rank of the grid. measured: of every rank, shown below the planned memory; or NULL. Length like
 * snprintf. */
size_t plan_print(const struct plan *plan, const struct plan_measured *measured, int width,
                  char *text, size_t capacity);
/** For plan.json: its length, 0 if it does not fit. And its members, into an open object. */
size_t plan_print_json(const struct plan *plan, char *text, size_t capacity);
void plan_write_json(struct json_writer *w, const struct plan *plan);

#endif
