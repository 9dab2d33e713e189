#include <attnres/metrics.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include <attnres/json.h>

enum { LINE_BYTES = 1024, MAX_FILE_BYTES = 1 << 30 };

/** Some 20 million lines: a run that has logged so much must go on all the same. */
static const size_t MAX_CUT_BYTES = (size_t)8 << 30;

/* Whether one whole line is a JSON object with a step of at most last_step. */
static bool is_kept(const char *line, size_t length, int64_t last_step)
{
    struct json_document d;
    if (!json_parse(&d, line, length, "metrics", NULL)) {
        return false;
    }
    int64_t step = 0;
    const bool kept = json_as_int(json_get(d.root, "step"), &step) && step <= last_step;
    json_document_finish(&d);
    return kept;
}

size_t metrics_keep_lines(char *text, size_t length, int64_t last_step)
{
    size_t kept = 0;
    const char *end = text + length;
    for (char *line = text; line < end;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL) {
            break;
        }
        const size_t line_length = (size_t)(newline - line);
        if (is_kept(line, line_length, last_step)) {
            memmove(text + kept, line, line_length + 1);
            kept += line_length + 1;
        }
        line = newline + 1;
    }
    return kept;
}

static bool cut(const char *path, int64_t last_step, struct error *err)
{
    struct file_bytes f = {0};
    if (!file_read(&f, path, MAX_CUT_BYTES, err)) {
        return false;
    }
    const size_t kept = metrics_keep_lines((char *)f.bytes, f.length, last_step);
    const bool ok = kept == f.length || file_replace(path, f.bytes, kept, err);
    file_bytes_finish(&f);
    return ok;
}

bool metrics_open(struct metrics *m, const char *path, int64_t last_step, struct error *err)
{
    if (last_step < 0) {
        return file_writer_create(&m->file, path, err);
    }
    if (!file_is_absent(path) && !cut(path, last_step, err)) {
        return false;
    }
    return file_writer_append(&m->file, path, err);
}

static void write_count(struct json_writer *w, const char *key, int64_t value)
{
    if (value >= 0) {
        json_int(w, key, value);
    }
}

static void write_measure(struct json_writer *w, const char *key, double value)
{
    if (isfinite(value)) {
        json_number(w, key, value);
    }
}

static void write_keys(struct json_writer *w, const struct metrics_line *line)
{
    json_begin_object(w, NULL);
    json_int(w, "step", line->step);
    write_measure(w, "loss", line->loss);
    write_measure(w, "grad_norm", line->grad_norm);
    write_measure(w, "lr", line->lr);
    write_count(w, "tokens", line->tokens);
    write_measure(w, "flops", line->flops);
    write_measure(w, "time_s", line->time_s);
    write_measure(w, "step_s", line->step_s);
    write_measure(w, "tokens_per_s", line->tokens_per_s);
    write_measure(w, "wire_bytes", line->wire_bytes);
    write_measure(w, "bubble", line->bubble);
    write_measure(w, "val_loss", line->val_loss);
    write_measure(w, "bits_per_byte", line->bits_per_byte);
    if (line->skipped) {
        json_bool(w, "skipped", true);
    }
    json_end_object(w);
}

bool metrics_write(struct metrics *m, const struct metrics_line *line, struct error *err)
{
    char text[LINE_BYTES];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text - 1); /* the newline needs the last byte */
    write_keys(&w, line);
    assert(json_writer_ok(&w)); /* fourteen keys with numbers of at most 25 characters */
    text[w.length] = '\n';
    return file_writer_write(&m->file, text, w.length + 1, err);
}

static double measure_of(const struct json_value *root, const char *key)
{
    double value = NAN;
    json_as_real(json_get(root, key), &value);
    return value;
}

static bool take_keys(struct metrics_line *line, const struct json_value *root)
{
    *line = (struct metrics_line){
        .loss = measure_of(root, "loss"),
        .grad_norm = measure_of(root, "grad_norm"),
        .lr = measure_of(root, "lr"),
        .tokens = -1,
        .flops = measure_of(root, "flops"),
        .time_s = measure_of(root, "time_s"),
        .step_s = measure_of(root, "step_s"),
        .tokens_per_s = measure_of(root, "tokens_per_s"),
        .wire_bytes = measure_of(root, "wire_bytes"),
        .bubble = measure_of(root, "bubble"),
        .val_loss = measure_of(root, "val_loss"),
        .bits_per_byte = measure_of(root, "bits_per_byte"),
    };
    json_as_int(json_get(root, "tokens"), &line->tokens);
    json_as_bool(json_get(root, "skipped"), &line->skipped);
    return json_as_int(json_get(root, "step"), &line->step);
}

/** What follows the last newline is being written, or torn by a crash. */
static bool find_last(const char **line, size_t *line_length, const char *text, size_t length)
{
    const char *end = memrchr(text, '\n', length);
    if (end == NULL) {
        return false;
    }
    const char *before = memrchr(text, '\n', (size_t)(end - text));
    *line = before != NULL ? before + 1 : text;
    *line_length = (size_t)(end - *line);
    return true;
}

bool metrics_read_last(struct metrics_line *line, const char *path, struct error *err)
{
    struct file_bytes f = {0};
    struct json_document d = {0};
    const char *last = NULL;
    size_t length = 0;
    if (!file_read(&f, path, MAX_FILE_BYTES, err)) {
        return false;
    }
    bool ok = false;
    if (find_last(&last, &length, (const char *)f.bytes, f.length) &&
        json_parse(&d, last, length, path, NULL)) {
        ok = take_keys(line, d.root);
        json_document_finish(&d);
    }
    file_bytes_finish(&f);
    return ok ||
           error_set(err, ERROR_DATA, "%s: its last line is no JSON object with a step", path);
}

bool metrics_flush(struct metrics *m, struct error *err)
{
    return file_writer_flush(&m->file, err);
}

bool metrics_close(struct metrics *m, struct error *err)
{
    return m == NULL || file_writer_close(&m->file, err);
}
