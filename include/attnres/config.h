/** The configuration: one table of options, one struct that it fills.
 *
 *  The table (src/config/options.c) has a row per key: type, place in the struct, range, choices,
 * default, help. From it come the YAML reader, key=value overrides, --help, --explain, --dump,
 * configs/reference.yaml and the message for an unknown key. Defaults, then the file, then the
 * command line; then ranges; then the rules between keys. All problems are reported together.
 * Constant afterwards; each module is handed its own section only. */
#ifndef ATTNRES_CONFIG_H
#define ATTNRES_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

enum {
    CONFIG_PATH_BYTES = 1024,
    CONFIG_MAX_STAGES = 4096, /* entries of an explicit partition */
    CONFIG_MAX_CHUNKS = 64,
    CONFIG_MAX_REPLICAS = 1024,
    CONFIG_MAX_TASKS = 8,   /* rows of a synthetic mixture */
    CONFIG_MAX_SKIPS = 256, /* ranges of data.skip */
    CONFIG_MAX_FILE_BYTES = 1 << 20,
    CONFIG_MAX_DEPTH = 16,
    CONFIG_EXPLAIN_BYTES = 16384,
};

enum model_kind { MODEL_STANDARD, MODEL_FULL, MODEL_BLOCK, MODEL_BLOCK_FULL };
enum read_kind { READ_QUERY, READ_STATIC };
enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_INT8 };
enum schedule_kind {
    SCHEDULE_GPIPE,
    SCHEDULE_1F1B,
    SCHEDULE_INTERLEAVED,
    SCHEDULE_ZB_H1,
    SCHEDULE_ZB_V,
    SCHEDULE_FORWARD,   /* evaluation on the stages of the kinds above */
    SCHEDULE_FORWARD_V, /* and on those of zb_v */
};
enum partition_kind { PARTITION_AUTO, PARTITION_BLOCKS, PARTITION_LIST };
enum deflate_kind { DEFLATE_OFF, DEFLATE_ON, DEFLATE_AUTO };
enum data_kind { DATA_SYNTHETIC, DATA_TEXT, DATA_TOKENS };
enum task_kind { TASK_STORIES, TASK_PTR, TASK_PHOP, TASK_VARS, TASK_PERM, TASK_KINDS };
enum loss_kind { LOSS_ALL, LOSS_ANSWER };
enum lr_schedule_kind { LR_COSINE, LR_WSD, LR_CONSTANT };
enum optim_kind { OPTIM_ADAMW };
enum recompute_kind { RECOMPUTE_NONE, RECOMPUTE_BLOCK, RECOMPUTE_ALL };

struct run_config {
    char dir[CONFIG_PATH_BYTES]; /* "auto": runs/<config file's name> */
    int64_t seed;
    double stall_s;       /* seconds without progress that end the job; 0 = never */
    double stall_start_s; /* the same while starting and ending; 0 = never */
    double stall_save_s;  /* the same while saving; 0 = never */
    double max_hours;     /* 0 = no limit */
};

struct model_config {
    enum model_kind kind;
    int64_t n_layers; /* model.layers; L = 2 n_layers sublayers */
    int64_t n_blocks; /* model.blocks; N */
    int64_t dim;      /* C */
    int64_t n_heads;  /* model.heads; H */
    int64_t n_kv_heads;
    int64_t ff;      /* F */
    int64_t vocab;   /* V */
    int64_t seq_len; /* T */
    bool tied;
    double norm_eps;
    double init_std; /* of matrices; those that write to the stream: / sqrt(L) */
    enum read_kind read;
};

struct representative_config {
    enum precision value, gradient;
};

struct batch_config {
    int64_t n_sequences; /* batch.sequences, per step over all replicas */
    int64_t microbatch;  /* sequences per microbatch; M: see plan */
};

struct pipeline_config {
    int64_t n_stages; /* 0 = auto: as many as ranks */
    int64_t n_chunks, n_replicas;
    int64_t n_group; /* interleaved: 0 = auto */
    bool cache;
    enum deflate_kind deflate;
    enum schedule_kind schedule;
    enum partition_kind partition;
    int64_t n_partition;                       /* entries of the list, 0 unless PARTITION_LIST */
    int32_t partition_list[CONFIG_MAX_STAGES]; /* sublayers of each stage */
    char costs[CONFIG_PATH_BYTES];             /* "none", or a file of measured costs */
};

struct optim_config {
    enum optim_kind kind;
    double lr, beta1, beta2, eps, weight_decay, clip; /* clip 0 = off */
    enum lr_schedule_kind schedule;
    int64_t warmup_steps;
    double min_lr_ratio, cooldown_ratio;
};

struct task_weight {
    enum task_kind task;
    double weight; /* > 0 */
};

struct window_range {
    int64_t first, last; /* both belong to it */
};

struct data_config {
    enum data_kind kind;
    enum task_kind task;
    int64_t n_tasks; /* rows of data.tasks; 0: data.task alone */
    struct task_weight tasks[CONFIG_MAX_TASKS];
    char train[CONFIG_PATH_BYTES], val[CONFIG_PATH_BYTES]; /* empty = not given */
    enum loss_kind loss;
    int64_t max_bytes;
    int64_t n_skips; /* ranges of data.skip, as given */
    struct window_range skips[CONFIG_MAX_SKIPS];
};

struct train_config {
    int64_t n_steps, eval_every, eval_tokens, log_every; /* eval_every 0 = never */
    char init[CONFIG_PATH_BYTES]; /* "none", or a checkpoint to take weights from */
};

struct checkpoint_config {
    int64_t every, keep; /* every 0 = only at the end; keep >= 1 */
    double minutes;      /* since the last one; 0 = steps alone count */
    bool initial;
    bool in_background;     /* checkpoint.async */
    int64_t snapshot_bytes; /* 0 = auto */
};

struct memory_config {
    enum recompute_kind recompute;
    int64_t limit_bytes; /* 0 = auto */
};

struct guard_config {
    int64_t max_skips;
    double spike_z; /* 0 = off */
    bool spike_skip;
    int64_t check_every; /* 0 = never */
};

struct compute_config {
    enum precision precision;
    int64_t n_threads; /* 0 = auto: the affinity mask */
};

struct trace_config {
    int64_t first, n_steps; /* n_steps 0 = off */
};

struct config {
    struct run_config run;
    struct model_config model;
    struct representative_config representative;
    struct batch_config batch;
    struct pipeline_config pipeline;
    struct optim_config optim;
    struct data_config data;
    struct train_config train;
    struct checkpoint_config checkpoint;
    struct memory_config memory;
    struct guard_config guard;
    struct compute_config compute;
    struct trace_config trace;
};

/** Defaults, then the file at path (NULL: none), then n overrides "key=value" (the last one of a
 * key counts; paths are taken as they stand, other values are YAML), then all checks. On failure
 * err holds every problem found, one a line, each with file:line:column or the override it stands
 * in (ERROR_CONFIG; ERROR_CREATE where memory was missing; what file_read says if the file cannot
 * be read), and *config is left unset. */
bool config_load(struct config *config, const char *path, int n_overrides,
                 const char *const *overrides, struct error *err);

/** The same from memory: bytes of a YAML file, called `name` in messages. A pure function of its
 * arguments. */
bool config_parse(struct config *config, const char *name, const char *bytes, size_t length,
                  int n_overrides, const char *const *overrides, struct error *err);

/** The configuration as YAML that config_parse reads back to the same values. Returns the length
 * without the closing 0; what does not fit capacity is cut (call with capacity 0 to learn the
 * length). with_help writes each key's help as a comment above it: configs/reference.yaml. */
size_t config_dump(const struct config *config, bool with_help, char *text, size_t capacity);

/** What a person asks of `--explain`: a key's help, values, default and what --resume makes of a
 * change; for a section ("optim") all its keys. At most 80 columns; CONFIG_EXPLAIN_BYTES holds any
 * of them. False (ERROR_USAGE, with the nearest known key) if there is no such key. */
bool config_explain(const char *key, char *text, size_t capacity, struct error *err);

/** All keys, section by section, each with one line of help. Returns the length like config_dump;
 * CONFIG_EXPLAIN_BYTES holds it. */
size_t config_list(char *text, size_t capacity);

/** What --resume needs: how two configurations differ, key by key. `visit` is called with each key
 * that differs, both values as text, and the key's rule. */
enum config_resume_rule { CONFIG_RESUME_FREE, CONFIG_RESUME_WARN, CONFIG_RESUME_REFUSE };
void config_compare(const struct config *a, const struct config *b,
                    void (*visit)(void *user, const char *key, const char *value_a,
                                  const char *value_b, enum config_resume_rule rule),
                    void *user);

/** YAML of other files (a sweep), by the rules that hold for a configuration: UTF-8 without control
 * characters, one document, at most CONFIG_MAX_DEPTH deep, no anchors, aliases or tags. Read event
 * by event; nothing of the file is kept. */
enum config_event_kind {
    CONFIG_SCALAR,
    CONFIG_LIST,    /* its elements follow, then CONFIG_END */
    CONFIG_MAPPING, /* a key and its value by turns, then CONFIG_END */
    CONFIG_END,
    CONFIG_ALIAS,  /* only with a problem */
    CONFIG_NOTHING /* the file has ended */
};
struct config_event {
    enum config_event_kind kind;
    const char *bytes; /* of a scalar, until the next event; bytes[length] is 0 */
    size_t length;
    bool is_quoted;
    size_t line, column;
    char problem[256]; /* what may not stand there; empty: none */
    bool lacks_memory; /* that is the problem, and not the file's fault */
};
struct config_yaml;
/** name stands in messages; bytes and name must outlive the reader. NULL without memory. End with
 * config_yaml_close. */
struct config_yaml *config_yaml_open(const char *name, const char *bytes, size_t length);
void config_yaml_close(struct config_yaml *yaml);
/** The next event. False: nothing can be read beyond its problem. After true with a problem the
 * rest can, to look for more. */
bool config_yaml_next(struct config_yaml *yaml, struct config_event *event);
/** Record an ERROR_CONFIG at the place of an event (ERROR_CREATE if memory was missing there), with
 * control characters masked. Returns false. */
bool config_yaml_refuse(const struct config_yaml *yaml, const struct config_event *event,
                        struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** The word of an enum value, as the YAML file spells it. */
const char *config_model_kind_name(enum model_kind kind);
const char *config_schedule_name(enum schedule_kind kind);
const char *config_task_name(enum task_kind task);
const char *config_recompute_name(enum recompute_kind recompute);
/** The task of that name; false if there is none. */
bool config_find_task(enum task_kind *task, const char *name);

/** S = ceil(L/N) sublayers a block is legal if ceil(L/S) = N. Finds the nearest
 * legal values on both sides (0: none on that side). True if n_blocks itself is legal. */
bool config_blocks_are_legal(int64_t n_sublayers, int64_t n_blocks, int64_t *below, int64_t *above);

#endif
