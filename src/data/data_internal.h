/** What the files of this module share: how a task makes an item, and what an open split holds. */
#ifndef ATTNRES_DATA_INTERNAL_H
#define ATTNRES_DATA_INTERNAL_H

#include <attnres/data.h>
#include <attnres/file.h>
#include <attnres/rng.h>
#include <attnres/zip.h>

/** One file of a split: its tokens that belong to the split, little-endian, 1, 2 or 4 bytes each.
 */
struct data_file {
    char *path;              /* heap */
    struct file_map map;     /* the file, unless it was inflated */
    unsigned char *inflated; /* heap, or NULL */
    const unsigned char *tokens;
    int64_t n_tokens;
    int token_bytes;
    int64_t first_window;   /* whole windows in the files before */
    int64_t first_in_order; /* the same, each file's shorter last window included */
};

/** Where sequential reading in order of a synthetic split stands: a remembered position, never a
 * change of what is read. */
struct stream_cursor {
    int64_t window;
    struct data_position position;
};

struct data {
    bool synthetic;
    int64_t seq_len;
    int64_t n_skips; /* ranges of windows that are stepped over; training split only */
    struct window_range skips[CONFIG_MAX_SKIPS];

    /* synthetic */
    uint64_t stream_seed;
    enum loss_kind loss;
    int64_t n_tasks;
    struct task_weight tasks[CONFIG_MAX_TASKS];
    struct stream_cursor *cursor;

    /* files */
    uint64_t order_key;
    int64_t n_files;
    struct data_file *files;
    int64_t n_windows, n_in_order, n_tokens;
    size_t heap_bytes;
};

/* stream.c: the synthetic stream, item after item. */
bool stream_position_is_valid(const struct data *d, const struct data_position *position);
void stream_read(const struct data *d, struct data_position *position, int32_t *tokens,
                 int32_t *targets);
int64_t stream_skip(const struct data *d, struct data_position *position, int64_t n);
void stream_make_item(const struct data *d, int64_t index, struct data_item *item);

/* windows.c: windows of files. */
void windows_count(struct data *d);
void windows_read(const struct data *d, struct data_position *position, int32_t *tokens,
                  int32_t *targets);
int64_t windows_skip(const struct data *d, struct data_position *position, int64_t n);
/** The file that the next window is in, and where in it its first token is. */
const struct data_file *windows_locate(const struct data *d, const struct data_position *position,
                                       int64_t *first_token);
int64_t windows_read_in_order(const struct data *d, int64_t index, bool tail, int32_t *tokens,
                              int32_t *targets);
uint32_t file_token(const struct data_file *f, int64_t index);
uint32_t file_largest_token(const struct data_file *f);

/* paths.c: what a path names: a file, the files of a folder with one of the endings, or those that
 * match a pattern in the last part of the path; sorted by name, never empty. */
struct path_list {
    char (*paths)[FILE_PATH_BYTES];
    int64_t n, capacity;
};
bool path_list_init(struct path_list *list, const char *path, const char *const *endings,
                    struct error *err);
void path_list_finish(struct path_list *list);
bool path_has_ending(const char *path, const char *ending);

/* shard.c: llm.c token shards. A pure function of bytes and length. */
struct shard {
    size_t offset; /* of the first token */
    int64_t n_tokens;
    int token_bytes;
};
bool shard_has_magic(const unsigned char *bytes, size_t length);
bool shard_parse(struct shard *shard, const unsigned char *bytes, size_t length, const char *name,
                 struct error *err);
enum { SHARD_HEADER_BYTES = 1024 };
void shard_write_header(unsigned char *header, int32_t n_tokens);

/* files.c: loading. Heap bytes beyond max_bytes are ERROR_DATA. On failure files_close is still
 * due. */
enum file_format { FORMAT_TEXT, FORMAT_TOKENS, FORMAT_GUESS };
enum file_part { PART_WHOLE, PART_TRAIN, PART_VAL }; /* PART_VAL: the last 5 % */
struct files_request {
    const char *path;
    const char *remedy; /* behind the refusal of a shard among text; or NULL */
    enum file_format format;
    enum file_part part;
    int64_t max_bytes; /* of heap; 0: 4e9, so that a file never decides an allocation alone */
    int64_t vocab;
};
bool files_open(struct data *d, const struct files_request *request, struct error *err);
void files_close(struct data *d);

/* output.c: a file written aside and renamed when whole; "-" is standard output. It replaces only
 * what file_may_replace lets it. */
struct output {
    struct file_writer writer;
    const char *path;
    char aside[FILE_PATH_BYTES];
    bool standard;
};
bool output_open(struct output *o, const char *path, const struct file_form *form,
                 struct error *err);
/** ok: whether all went well so far; otherwise the file is dropped and err stays as it is. */
bool output_close(struct output *o, bool ok, struct error *err);

/** A synthetic task. `make` writes prompt, answer, hops and options of one item, and where stopping
 * early may be right, where it is; hops 0 draws k. */
struct task {
    const char *name; /* keys the task's random streams */
    const char *option_separator;
    int max_hops;      /* of the drawn k, which training sees */
    int farthest_hops; /* that can be asked for */
    int guesses;       /* answers of the right type that a prompt leaves possible */
    void (*make)(struct data_item *item, struct rng *r, int hops);
};

const struct task *task_find(enum task_kind kind);
void task_make_stories(struct data_item *item, struct rng *r, int hops);
void task_make_ptr(struct data_item *item, struct rng *r, int hops);
void task_make_phop(struct data_item *item, struct rng *r, int hops);
void task_make_vars(struct data_item *item, struct rng *r, int hops);
void task_make_perm(struct data_item *item, struct rng *r, int hops);

/** Append to the prompt. */
void item_add(struct data_item *item, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Close the prompt and set the answer. */
void item_answer(struct data_item *item, const char *answer);
/** Whether who stops after n_hops, fewer than the item's, has the answer. */
void item_stop_early(struct data_item *item, int n_hops, bool is_right);
void item_add_option(struct data_item *item, const char *option);
/** The answer and the first three of n_others wrong one-letter answers, shuffled (wrong ones first
 * among themselves, then all four), as the options. */
void item_draw_options(struct data_item *item, struct rng *r, char answer, char *others,
                       int n_others);

/** Fisher-Yates from the high end down. */
void shuffle_letters(struct rng *r, char *letters, int n);
void shuffle_ints(struct rng *r, int *values, int n);

#endif
