#include "data_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DEFAULT_MAX_BYTES = 4000000000;

static const char *const TEXT_ENDINGS[] = {".txt", ".txt.gz", NULL};
static const char *const TOKEN_ENDINGS[] = {".bin", NULL};
static const char *const ALL_ENDINGS[] = {".txt", ".txt.gz", ".bin", NULL};

static const char *const *endings_of(enum file_format format)
{
    if (format == FORMAT_TEXT) {
        return TEXT_ENDINGS;
    }
    return format == FORMAT_TOKENS ? TOKEN_ENDINGS : ALL_ENDINGS;
}

static void close_file(struct data_file *f)
{
    file_map_finish(&f->map);
    free(f->inflated);
    free(f->path);
    *f = (struct data_file){0};
}

static bool inflate_text(struct data *d, struct data_file *f, const char *path,
                         const struct files_request *request, struct error *err)
{
    const int64_t max_bytes = request->max_bytes > 0 ? request->max_bytes : DEFAULT_MAX_BYTES;
    const int64_t held = (int64_t)d->heap_bytes;
    const size_t room = max_bytes > held ? (size_t)(max_bytes - held) : 0;
    size_t length = 0;
    if (!zip_gunzip(&f->inflated, &length, f->map.bytes, f->map.length, room, path, err)) {
        return request->max_bytes > 0
                   ? error_add(err, ERROR_DATA, "(data.max_bytes leaves %zu bytes for this file)",
                               room)
                   : error_add(err, ERROR_DATA, "(inflated texts may hold 4e9 bytes together)");
    }
    file_map_finish(&f->map);
    d->heap_bytes += length;
    f->tokens = f->inflated;
    f->n_tokens = (int64_t)length;
    return true;
}

static bool open_text(struct data *d, struct data_file *f, const char *path,
                      const struct files_request *request, struct error *err)
{
    f->token_bytes = 1;
    f->tokens = f->map.bytes;
    f->n_tokens = (int64_t)f->map.length;
    if (path_has_ending(path, ".gz") && !inflate_text(d, f, path, request, err)) {
        return false;
    }
    const int64_t n_val = f->n_tokens / 20;
    if (request->part == PART_TRAIN) {
        f->n_tokens -= n_val;
    } else if (request->part == PART_VAL) {
        f->tokens += f->n_tokens - n_val;
        f->n_tokens = n_val;
    }
    return true;
}

static bool open_tokens(struct data_file *f, const char *path, int64_t vocab, struct error *err)
{
    struct shard shard = {0};
    if (!shard_parse(&shard, f->map.bytes, f->map.length, path, err)) {
        return false;
    }
    f->tokens = f->map.bytes + shard.offset;
    f->n_tokens = shard.n_tokens;
    f->token_bytes = shard.token_bytes;
    const int64_t largest = file_largest_token(f);
    if (f->n_tokens > 0 && largest >= vocab) {
        return error_set(err, ERROR_DATA, "%s: holds token %lld, but model.vocab is %lld", path,
                         (long long)largest, (long long)vocab);
    }
    return true;
}

static bool looks_like_tokens(const struct data_file *f, const char *path)
{
    return path_has_ending(path, ".bin") || shard_has_magic(f->map.bytes, f->map.length);
}

/* All files of a split are of one kind: the first one decides when it is to be guessed. */
static bool open_file(struct data *d, const char *path, const struct files_request *request,
                      struct error *err)
{
    struct data_file *f = &d->files[d->n_files];
    if (!file_map_init(&f->map, path, err)) {
        return false;
    }
    d->n_files++;
    const size_t path_bytes = strlen(path) + 1;
    f->path = malloc(path_bytes);
    if (f->path == NULL) {
        return error_set(err, ERROR_CREATE, "%s: no memory for its name", path);
    }
    memcpy(f->path, path, path_bytes);
    d->heap_bytes += path_bytes;
    bool tokens = request->format == FORMAT_TOKENS;
    if (request->format == FORMAT_TEXT && shard_has_magic(f->map.bytes, f->map.length)) {
        return error_set(err, ERROR_DATA, "%s: is a token shard, not text%s", path,
                         request->remedy != NULL ? request->remedy : "");
    }
    if (request->format == FORMAT_GUESS) {
        tokens = looks_like_tokens(f, path);
        if (d->n_files > 1 && tokens != (d->files[0].token_bytes > 1)) {
            return error_set(err, ERROR_DATA, "%s: %s among %s", path,
                             tokens ? "a token shard" : "text", tokens ? "text" : "token shards");
        }
    }
    return tokens ? open_tokens(f, path, request->vocab, err) : open_text(d, f, path, request, err);
}

static bool open_all(struct data *d, const struct path_list *list,
                     const struct files_request *request, struct error *err)
{
    d->files = calloc((size_t)list->n, sizeof *d->files);
    if (d->files == NULL) {
        return error_set(err, ERROR_CREATE, "%s: no memory for %lld files", request->path,
                         (long long)list->n);
    }
    d->heap_bytes += (size_t)list->n * sizeof *d->files;
    for (int64_t i = 0; i < list->n; i++) {
        if (!open_file(d, list->paths[i], request, err)) {
            return false;
        }
    }
    if (d->files[0].token_bytes == 1 && request->vocab < 256) {
        return error_set(err, ERROR_CONFIG,
                         "%s: text is read as bytes, which take model.vocab of at least 256; it is "
                         "%lld",
                         request->path, (long long)request->vocab);
    }
    windows_count(d);
    return true;
}

bool files_open(struct data *d, const struct files_request *request, struct error *err)
{
    assert(d->n_files == 0 && d->seq_len > 0);
    struct path_list list;
    if (!path_list_init(&list, request->path, endings_of(request->format), err)) {
        return false;
    }
    const bool ok = open_all(d, &list, request, err);
    path_list_finish(&list);
    return ok;
}

void files_close(struct data *d)
{
    for (int64_t i = 0; i < d->n_files; i++) {
        close_file(&d->files[i]);
    }
    free(d->files);
    d->files = NULL;
    d->n_files = 0;
}
