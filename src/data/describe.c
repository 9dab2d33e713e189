#include "data_internal.h"

#include <attnres/json.h>

#include <stdio.h>

/* Windows are counted for this length in the description; configurations choose their own. */
enum { WINDOW_TOKENS = 256 };

struct description {
    const char *path, *kind;
    int64_t n_files, n_tokens, n_windows, largest_token;
    bool is_bytes;
    double order1_entropy;
};

static const char *kind_of(const struct data *d)
{
    const int token_bytes = d->files[0].token_bytes;
    if (token_bytes == 1) {
        return "text";
    }
    return token_bytes == 2 ? "tokens (u16)" : "tokens (u32)";
}

static struct description describe(const struct data *d, const char *path)
{
    struct description s = {.path = path,
                            .kind = kind_of(d),
                            .n_files = d->n_files,
                            .n_tokens = d->n_tokens,
                            .n_windows = d->n_windows,
                            .is_bytes = data_is_bytes(d)};
    for (int64_t i = 0; i < d->n_files; i++) {
        const int64_t largest = file_largest_token(&d->files[i]);
        s.largest_token = largest > s.largest_token ? largest : s.largest_token;
    }
    if (s.is_bytes) {
        s.order1_entropy =
            data_order1_entropy(d, d->n_tokens < INT32_MAX ? d->n_tokens : INT32_MAX);
    }
    return s;
}

static bool print_json(const struct description *s, char *text, size_t capacity)
{
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_text(&w, "path", s->path);
    json_text(&w, "kind", s->kind);
    json_int(&w, "files", s->n_files);
    json_int(&w, "tokens", s->n_tokens);
    json_int(&w, "windows_of_256", s->n_windows);
    json_int(&w, "largest_token", s->largest_token);
    if (s->is_bytes) {
        json_number(&w, "order1_entropy", s->order1_entropy);
    }
    json_end_object(&w);
    return json_writer_ok(&w);
}

static bool print_lines(const struct description *s, char *text, size_t capacity)
{
    int length = snprintf(text, capacity,
                          "%s: %s\nfiles: %lld\n%s: %lld\nwindows of %d tokens: %lld\nlargest "
                          "token: %lld\n",
                          s->path, s->kind, (long long)s->n_files, s->is_bytes ? "bytes" : "tokens",
                          (long long)s->n_tokens, WINDOW_TOKENS, (long long)s->n_windows,
                          (long long)s->largest_token);
    if (s->is_bytes && length >= 0 && (size_t)length < capacity) {
        length += snprintf(text + length, capacity - (size_t)length,
                           "order-1 entropy: %.4f nats per byte\n", s->order1_entropy);
    }
    return length >= 0 && (size_t)length < capacity;
}

bool data_describe(const char *path, bool json, char *text, size_t capacity, struct error *err)
{
    struct data d = {.seq_len = WINDOW_TOKENS};
    const struct files_request request = {.path = path, .format = FORMAT_GUESS, .vocab = INT64_MAX};
    bool ok = files_open(&d, &request, err);
    if (ok) {
        const struct description s = describe(&d, path);
        ok = json ? print_json(&s, text, capacity) : print_lines(&s, text, capacity);
        if (!ok) {
            error_set(err, ERROR_INTERNAL, "%s: description longer than %zu bytes", path, capacity);
        }
    }
    files_close(&d);
    return ok;
}
