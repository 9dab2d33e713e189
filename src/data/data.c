#include "data_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/zip.h>

enum { CHECKSUM_PIECE = 1 << 26 };

static uint64_t stream_seed(enum data_split split, int64_t seed)
{
    return split == DATA_TRAIN ? 1000 + (uint64_t)seed : 2;
}

static bool open_stream(struct data *d, const struct data_config *config, enum data_split split,
                        int64_t seed, struct error *err)
{
    d->synthetic = true;
    d->stream_seed = stream_seed(split, seed);
    d->loss = config->loss;
    d->n_tasks = config->n_tasks;
    memcpy(d->tasks, config->tasks, sizeof d->tasks);
    if (d->n_tasks == 0) {
        d->n_tasks = 1;
        d->tasks[0] = (struct task_weight){config->task, 1};
    }
    d->cursor = calloc(1, sizeof *d->cursor);
    if (d->cursor == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a cursor");
    }
    d->heap_bytes += sizeof *d->cursor;
    return true;
}

static bool open_files(struct data *d, const struct data_config *config, enum data_split split,
                       int64_t vocab, struct error *err)
{
    const bool text = config->kind == DATA_TEXT;
    const bool own_val = config->val[0] != '\0';
    if (split == DATA_VAL && !own_val && !text) {
        return true;
    }
    struct files_request request = {.path =
                                        split == DATA_VAL && own_val ? config->val : config->train,
                                    .remedy = ": set data.kind=tokens",
                                    .format = text ? FORMAT_TEXT : FORMAT_TOKENS,
                                    .max_bytes = config->max_bytes,
                                    .vocab = vocab};
    if (text && !own_val) {
        request.part = split == DATA_VAL ? PART_VAL : PART_TRAIN;
    }
    if (request.path[0] == '\0') {
        return error_set(err, ERROR_CONFIG, "data.train is not given");
    }
    if (!files_open(d, &request, err)) {
        return err == NULL || err->kind != ERROR_NO_INPUT || request.path[0] == '/'
                   ? false
                   : error_add(err, ERROR_NO_INPUT,
                               "(%s, from the folder that the program is started in)",
                               request.path == config->val ? "data.val" : "data.train");
    }
    /* To evaluate, a window that is not whole will do, but not so while training. */
    if (split == DATA_TRAIN && d->n_windows == 0) {
        return error_set(err, ERROR_DATA,
                         "%s: no file in it holds one window of model.seq_len + 1 = %lld tokens",
                         request.path, (long long)d->seq_len + 1);
    }
    return true;
}

static struct data *create(int64_t seq_len, struct error *err)
{
    assert(seq_len > 0);
    struct data *d = calloc(1, sizeof *d);
    if (d == NULL) {
        error_set(err, ERROR_CREATE, "no memory for data");
        return NULL;
    }
    d->seq_len = seq_len;
    d->heap_bytes = sizeof *d;
    return d;
}

bool data_open(struct data **out, const struct data_config *config, enum data_split split,
               int64_t seed, int64_t seq_len, int64_t vocab, struct error *err)
{
    struct data *d = create(seq_len, err);
    if (d == NULL) {
        return false;
    }
    d->order_key = rng_key((uint64_t)seed, "data.windows");
    if (split == DATA_TRAIN) {
        d->n_skips = config->n_skips;
        memcpy(d->skips, config->skips, sizeof d->skips);
    }
    const bool ok = config->kind == DATA_SYNTHETIC ? open_stream(d, config, split, seed, err)
                                                   : open_files(d, config, split, vocab, err);
    if (!ok) {
        data_close(d);
        return false;
    }
    *out = d;
    return true;
}

bool data_open_path(struct data **out, const char *path, int64_t seq_len, int64_t vocab,
                    struct error *err)
{
    struct data *d = create(seq_len, err);
    if (d == NULL) {
        return false;
    }
    const struct files_request request = {.path = path, .format = FORMAT_GUESS, .vocab = vocab};
    bool ok = files_open(d, &request, err);
    if (ok && d->n_in_order == 0) {
        ok = error_set(err, ERROR_DATA, "%s: fewer than two tokens", path);
    }
    if (!ok) {
        data_close(d);
        return false;
    }
    *out = d;
    return true;
}

void data_close(struct data *d)
{
    if (d == NULL) {
        return;
    }
    files_close(d);
    free(d->cursor);
    free(d);
}

size_t data_memory_bytes(const struct data *d)
{
    return d->heap_bytes;
}

bool data_is_bytes(const struct data *d)
{
    return d->synthetic || (d->n_files > 0 && d->files[0].token_bytes == 1);
}

int64_t data_size_tokens(const struct data *d)
{
    return d->synthetic ? -1 : d->n_tokens;
}

void data_count_short(struct data_short_files *out, const struct data *d)
{
    *out = (struct data_short_files){.n_all_files = d->n_files};
    for (int64_t i = 0; i < d->n_files; i++) {
        const int64_t n_tokens = d->files[i].n_tokens;
        out->n_files += n_tokens <= d->seq_len;
        out->n_tokens += n_tokens <= d->seq_len ? n_tokens : 0;
    }
}

bool data_checksum_advance(struct data_checksum *sum, const struct data *d)
{
    if (sum->file == d->n_files) {
        return false;
    }
    const struct data_file *f = &d->files[sum->file];
    const int64_t n_bytes = f->n_tokens * f->token_bytes, left = n_bytes - sum->at;
    const int64_t count = left < CHECKSUM_PIECE ? left : CHECKSUM_PIECE;
    sum->crc32 = zip_crc32(sum->crc32, f->tokens + sum->at, (size_t)count);
    sum->at += count;
    if (count == left) {
        const unsigned char size[8] = {
            (unsigned char)n_bytes,         (unsigned char)(n_bytes >> 8),
            (unsigned char)(n_bytes >> 16), (unsigned char)(n_bytes >> 24),
            (unsigned char)(n_bytes >> 32), (unsigned char)(n_bytes >> 40),
            (unsigned char)(n_bytes >> 48), (unsigned char)(n_bytes >> 56)};
        sum->sizes_crc32 = zip_crc32(sum->sizes_crc32, size, sizeof size);
        sum->at = 0;
        sum->file++;
    }
    return true;
}

int64_t data_in_order_count(const struct data *d, bool tail)
{
    if (d->synthetic) {
        return -1;
    }
    return tail ? d->n_in_order : d->n_windows;
}

bool data_position_is_valid(const struct data *d, const struct data_position *position)
{
    if (position->window < 0) {
        return false;
    }
    if (d->synthetic) {
        return stream_position_is_valid(d, position);
    }
    return position->major >= 0 && position->minor >= 0 && position->minor < d->n_windows;
}

/** Advance by n windows, whatever data.skip says of them. */
static int64_t advance(const struct data *d, struct data_position *position, int64_t n)
{
    position->window += n;
    return d->synthetic ? stream_skip(d, position, n) : windows_skip(d, position, n);
}

/** Step over windows of data.skip: what follows a range may stand in another one. */
static void pass_skipped(const struct data *d, struct data_position *position)
{
    for (int64_t i = 0; i < d->n_skips; i++) {
        const struct window_range *range = &d->skips[i];
        if (position->window >= range->first && position->window <= range->last) {
            advance(d, position, range->last - position->window + 1);
            i = -1;
        }
    }
}

void data_read(const struct data *d, struct data_position *position, int64_t n, int32_t *tokens,
               int32_t *targets)
{
    void (*const read)(const struct data *, struct data_position *, int32_t *, int32_t *) =
        d->synthetic ? stream_read : windows_read;
    for (int64_t i = 0; i < n; i++) {
        pass_skipped(d, position);
        read(d, position, tokens + i * d->seq_len, targets + i * d->seq_len);
        position->window++;
    }
}

int64_t data_skip(const struct data *d, struct data_position *position, int64_t n)
{
    int64_t n_targets = 0;
    for (int64_t i = 0; i < n; i++) {
        pass_skipped(d, position);
        n_targets += advance(d, position, 1);
    }
    return n_targets;
}

int64_t data_name_window(const struct data *d, const struct data_position *position, char *text,
                         size_t capacity)
{
    struct data_position next = *position;
    pass_skipped(d, &next);
    if (d->synthetic) {
        snprintf(text, capacity, "item %" PRId64 " from byte %" PRId64, next.major, next.minor);
        return next.window;
    }
    int64_t first_token = 0;
    const struct data_file *f = windows_locate(d, &next, &first_token);
    snprintf(text, capacity, "%s from token %" PRId64, f->path, first_token);
    return next.window;
}

static int64_t count_targets(const int32_t *targets, int64_t n)
{
    int64_t n_counted = 0;
    for (int64_t i = 0; i < n; i++) {
        n_counted += targets[i] >= 0;
    }
    return n_counted;
}

static int64_t read_stream_in_order(const struct data *d, int64_t index, int32_t *tokens,
                                    int32_t *targets)
{
    struct stream_cursor *cursor = d->cursor;
    if (index < cursor->window) {
        *cursor = (struct stream_cursor){0};
    }
    while (cursor->window < index) {
        stream_skip(d, &cursor->position, 1);
        cursor->window++;
    }
    stream_read(d, &cursor->position, tokens, targets);
    cursor->window++;
    return count_targets(targets, d->seq_len);
}

int64_t data_read_in_order(const struct data *d, int64_t index, bool tail, int32_t *tokens,
                           int32_t *targets)
{
    assert(index >= 0);
    return d->synthetic ? read_stream_in_order(d, index, tokens, targets)
                        : windows_read_in_order(d, index, tail, tokens, targets);
}
