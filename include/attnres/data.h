/** Tokens for training and evaluation: built-in synthetic tasks, text files as bytes, llm.c token
 * shards.
 *
 *  A window is T inputs and T targets (inputs shifted by one); windows never cross files. Training
 * takes windows in an order that depends on (seed, epoch) alone and steps over those of data.skip;
 * the position is three integers, the same for any number of ranks, and whoever reads from a
 * position gets the same tokens. Everything is loaded, mapped or generated without allocation after
 * data_open. */
#ifndef ATTNRES_DATA_H
#define ATTNRES_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>

enum data_split { DATA_TRAIN, DATA_VAL };

enum {
    DATA_ITEM_BYTES = 4096, /* longest prompt plus answer of any task, with the closing newline */
    DATA_MAX_OPTIONS = 32,  /* candidate answers of an item */
    DATA_OPTION_BYTES = 16,
};

/** Where the next window starts. text and tokens: epoch, and windows of it already taken.
 * synthetic: item index, and bytes of it already taken. */
struct data_position {
    int64_t major, minor;
    int64_t window; /* so many were taken or stepped over before it: what data.skip counts */
};

struct data;

/** Open a split. sections: `data`, run.seed, seq_len T, vocab V. Token ids beyond V are ERROR_DATA:
 * each shard is read through once here, at the speed of the disk, so that no step can meet one.
 * Heap memory is counted by data_memory_bytes. DATA_VAL without data.val: the last 5 % of each text
 * file (which DATA_TRAIN then leaves out); tokens without data.val have no DATA_VAL
 * (data_in_order_count 0). */
bool data_open(struct data **out, const struct data_config *config, enum data_split split,
               int64_t seed, int64_t seq_len, int64_t vocab, struct error *err);
/** Open text (or, with a shard header or .bin name, tokens) at path whole, as evaluation windows.
 */
bool data_open_path(struct data **out, const char *path, int64_t seq_len, int64_t vocab,
                    struct error *err);
void data_close(struct data *d);

size_t data_memory_bytes(const struct data *d); /* heap, not mappings */
bool data_is_bytes(const struct data *d); /* one token is one byte: bits per byte make sense */
int64_t data_size_tokens(const struct data *d); /* in the split; -1: endless (synthetic) */

/** Files with fewer than T + 1 tokens, of which training sees nothing. */
struct data_short_files {
    int64_t n_files, n_all_files, n_tokens; /* tokens of the short ones */
};
void data_count_short(struct data_short_files *out, const struct data *d);

/** CRC-32 of the split's tokens as they lie in its files, and of how many bytes of each file these
 * are (little-endian, 8 bytes a file), computed piece by piece: reading all of them may take
 * minutes. Begins zeroed. */
struct data_checksum {
    int64_t file, at;
    uint32_t crc32, sizes_crc32;
};
/** Takes in the next 64 MiB at most: a run looks between pieces whether it is to stop. False when
 * there was nothing left, as in endless data. */
bool data_checksum_advance(struct data_checksum *sum, const struct data *d);

/** The next n training windows: tokens, targets (n,T); a target that does not count is -1
 * (data.loss: answer). Advances the position; epochs and items roll over. */
void data_read(const struct data *d, struct data_position *position, int64_t n, int32_t *tokens,
               int32_t *targets);

/** Whether a position (out of a checkpoint) can be read from; data_read asserts it. */
bool data_position_is_valid(const struct data *d, const struct data_position *position);

/** Advance a position by n windows without reading (cheap for files; synthetic generates). Returns
 * how many targets count in them. */
int64_t data_skip(const struct data *d, struct data_position *position, int64_t n);

/** Where the next training window is from, for a person: "books/a.txt from token 4096". Returns its
 * number, as data.skip counts. */
int64_t data_name_window(const struct data *d, const struct data_position *position, char *text,
                         size_t capacity);

/** The index-th window in file order, including each file's last shorter one when `tail`. Rows
 * beyond its end are token 0 and target -1. Returns the number of counted targets; 0 when there is
 * no such window. Synthetic: any index; sequential calls are cheap, others generate from the start.
 */
int64_t data_read_in_order(const struct data *d, int64_t index, bool tail, int32_t *tokens,
                           int32_t *targets);
int64_t data_in_order_count(const struct data *d, bool tail); /* -1: endless */

/** One synthetic item. text holds prompt, answer, newline; the prompt's first bytes up to
 * prompt_length. */
struct data_item {
    char text[DATA_ITEM_BYTES];
    int prompt_length, answer_length; /* the newline is not part of the answer */
    int hops;                         /* k: 1 ... */
    uint32_t right_early;             /* bit j < k: who stops after j hops has the answer as well */
    int n_options;                    /* candidate answers, the right one among them */
    char options[DATA_MAX_OPTIONS][DATA_OPTION_BYTES];
};

/** The index-th item of a task under a seed; hops 0 draws k as the task does. Pure. For ptr, phop,
 * vars and perm item for item what the reference generator prints. Seeds: train >= 1000 (1000 +
 * run.seed), validation 2, test 1. */
void data_make_item(struct data_item *item, enum task_kind task, uint64_t seed, uint64_t index,
                    int hops);
int data_task_max_hops(enum task_kind task);      /* of the drawn k: what training sees */
int data_task_farthest_hops(enum task_kind task); /* that can be asked for: more */
/** Answers of the right type that a prompt leaves possible: whoever knows the task's form and no
 * more is right once in so many. Options do not count: they stand in no prompt. */
int data_task_guesses(enum task_kind task);
/** The share of items [0, n_items) whose answer is the one that is right most often. */
double data_best_constant(enum task_kind task, uint64_t seed, int hops, int64_t n_items);
/** The share of items [0, n_items) that one gets right who always stops after j hops, of the j
 * below `hops` the one that gets most right. Of perm, whose hops go from the last swap to the
 * first: who heeds the last j swaps only. Of ptr and stories 0: none of the hops before the last
 * ends at the answer. */
double data_best_shortcut(enum task_kind task, uint64_t seed, int hops, int64_t n_items);

/** `data make`: write count items as "prompt TAB answer TAB options TAB k" lines to path ("-":
 * standard output). Neither this nor data_prepare writes over a file that is there, unless it is
 * empty or of the same kind: ERROR_CREATE. */
bool data_write_items(enum task_kind task, uint64_t seed, int64_t count, int64_t hops,
                      const char *path, struct error *err);
/** `data prepare`: n text files (file, folder or glob, .txt and .txt.gz) into one llm.c shard of
 * bytes (20240520 v1, u16). ERROR_USAGE if out is one of the inputs. */
bool data_prepare(const char *const *inputs, int n, const char *out, struct error *err);
/** `data info`: what a text, shard or folder holds, as lines for a person (json: one object), into
 * text. */
bool data_describe(const char *path, bool json, char *text, size_t capacity, struct error *err);

/** Order-1 entropy (nats per byte given the byte before) of n bytes of the split: the loss a table
 * of byte pairs would reach; a yardstick for reports. */
double data_order1_entropy(const struct data *d, int64_t n);

#endif
