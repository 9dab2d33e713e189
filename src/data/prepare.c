#include "data_internal.h"

#include <stdlib.h>

static bool write_tokens(struct file_writer *w, const struct data_file *f, struct error *err)
{
    enum { N_AT_ONCE = 16384 };
    unsigned char words[2 * N_AT_ONCE];
    for (int64_t start = 0; start < f->n_tokens; start += N_AT_ONCE) {
        const int64_t left = f->n_tokens - start;
        const int64_t n = left < N_AT_ONCE ? left : N_AT_ONCE;
        for (int64_t i = 0; i < n; i++) {
            words[2 * i] = f->tokens[start + i];
            words[2 * i + 1] = 0;
        }
        if (!file_writer_write(w, words, 2 * (size_t)n, err)) {
            return false;
        }
    }
    return true;
}

static const struct file_form SHARD = {"a token shard", shard_has_magic};

/** The shard's path stands last: with it forgotten, the last text would be taken for it. */
static bool is_no_input(const struct data *inputs, int n, const char *path, struct error *err)
{
    for (int i = 0; i < n; i++) {
        for (int64_t k = 0; k < inputs[i].n_files; k++) {
            if (file_is_same(inputs[i].files[k].path, path)) {
                return error_set(err, ERROR_USAGE,
                                 "%s: is one of the texts to read; the path of the shard to write "
                                 "stands last",
                                 path);
            }
        }
    }
    return true;
}

static bool write_shard(struct data *inputs, int n, const char *path, struct error *err)
{
    int64_t n_tokens = 0;
    for (int i = 0; i < n; i++) {
        n_tokens += inputs[i].n_tokens;
    }
    if (n_tokens > INT32_MAX) {
        return error_set(err, ERROR_DATA, "%s: %lld bytes of text; one shard holds at most %d",
                         path, (long long)n_tokens, INT32_MAX);
    }
    unsigned char header[SHARD_HEADER_BYTES];
    shard_write_header(header, (int32_t)n_tokens);
    struct output o;
    if (!output_open(&o, path, &SHARD, err)) {
        return false;
    }
    bool ok = file_writer_write(&o.writer, header, sizeof header, err);
    for (int i = 0; i < n; i++) {
        for (int64_t k = 0; ok && k < inputs[i].n_files; k++) {
            ok = write_tokens(&o.writer, &inputs[i].files[k], err);
        }
    }
    return output_close(&o, ok, err);
}

bool data_prepare(const char *const *inputs, int n, const char *out, struct error *err)
{
    struct data *texts = calloc((size_t)n + 1, sizeof *texts);
    if (texts == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for %d inputs", n);
    }
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        texts[i].seq_len = 1;
        const struct files_request request = {
            .path = inputs[i], .format = FORMAT_TEXT, .vocab = 256};
        ok = files_open(&texts[i], &request, err);
    }
    ok = ok && is_no_input(texts, n, out, err) && write_shard(texts, n, out, err);
    for (int i = 0; i < n; i++) {
        files_close(&texts[i]);
    }
    free(texts);
    return ok;
}
