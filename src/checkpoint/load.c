#include "checkpoint_internal.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>
#include <attnres/zip.h>

/** Counts of what a run did: far from where sums with them would overflow. */
static const int64_t MOST_COUNTED = (int64_t)1 << 61;

/** A manifest is text about tensors; even the largest model's stays below this. */
static const size_t MAX_MANIFEST_BYTES = (size_t)64 << 20;

bool checkpoint_step_path(char *out, const char *run_path, int64_t step, struct error *err)
{
    char name[64], parent[FILE_PATH_BYTES];
    snprintf(name, sizeof name, "step-%08" PRId64, step);
    return file_join(parent, run_path, "checkpoints", err) && file_join(out, parent, name, err);
}

struct listing {
    int64_t *steps;
    int n, capacity;
};

/** Keep the newest `capacity` steps, in descending order. */
static bool note_step(void *user, const char *name)
{
    struct listing *list = user;
    if (strncmp(name, "step-", 5) != 0 || strspn(name + 5, "0123456789") != strlen(name + 5) ||
        strlen(name) < 13 || strlen(name) > 22) {
        return true;
    }
    const int64_t step = strtoll(name + 5, NULL, 10);
    char own[64];
    snprintf(own, sizeof own, "step-%08" PRId64, step);
    if (strcmp(own, name) != 0) { /* not as we write it: its path would be another */
        return true;
    }
    int at = list->n;
    while (at > 0 && list->steps[at - 1] < step) {
        at--;
    }
    if (at == list->capacity) {
        return true;
    }
    const int n_moved = (list->n < list->capacity ? list->n : list->capacity - 1) - at;
    memmove(&list->steps[at + 1], &list->steps[at], (size_t)n_moved * sizeof list->steps[0]);
    list->steps[at] = step;
    list->n += list->n < list->capacity;
    return true;
}

int checkpoint_list(int64_t *steps, int capacity, const char *run_path, struct error *err)
{
    char parent[FILE_PATH_BYTES];
    struct listing list = {.steps = steps, .capacity = capacity};
    struct error failure = {0};
    if (file_join(parent, run_path, "checkpoints", &failure) &&
        file_list(parent, note_step, &list, &failure)) {
        return list.n;
    }
    if (failure.kind == ERROR_NO_INPUT) {
        return 0;
    }
    if (err != NULL) {
        *err = failure;
    }
    return -1;
}

int checkpoint_list_some(int64_t *steps, int capacity, const char *run_path, struct error *err)
{
    const int n = checkpoint_list(steps, capacity, run_path, err);
    if (n == 0) {
        error_set(err, ERROR_NO_INPUT,
                  "%s: neither a checkpoint (manifest.json) nor a run folder with one "
                  "(checkpoints/step-*)",
                  run_path);
    }
    return n > 0 ? n : -1;
}

bool checkpoint_find(char *out, const char *path, struct error *err)
{
    char manifest[FILE_PATH_BYTES];
    if (file_is_absent(path)) {
        return error_set(err, ERROR_NO_INPUT, "%s: no such checkpoint or run folder", path);
    }
    if (!file_join(manifest, path, "manifest.json", err)) {
        return false;
    }
    if (!file_is_absent(manifest)) {
        snprintf(out, FILE_PATH_BYTES, "%s", path);
        return true;
    }
    int64_t newest = 0;
    return checkpoint_list_some(&newest, 1, path, err) > 0 &&
           checkpoint_step_path(out, path, newest, err);
}

/** The last line must be the CRC-32 of everything before it. */
static bool check_last_line(const char *text, size_t file_length, const char *path,
                            struct error *err)
{
    size_t start = file_length > 0 ? file_length - 1 : 0;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    char expected[64];
    snprintf(expected, sizeof expected, "\"crc32\":\"%08" PRIx32 "\"}\n",
             zip_crc32(0, text, start));
    const size_t length = strlen(expected);
    if (file_length - start != length || memcmp(text + start, expected, length) != 0) {
        return error_set(err, ERROR_DATA,
                         "%s: damaged: its last line is not the checksum of what stands before",
                         path);
    }
    return true;
}

static bool read_int(int64_t *out, const struct json_value *root, const char *key, int64_t least,
                     const char *path, struct error *err)
{
    int64_t value = 0;
    if (!json_as_int(json_get(root, key), &value) || value < least || value > MOST_COUNTED) {
        return error_set(err, ERROR_DATA, "%s: %s is missing or out of range", path, key);
    }
    *out = value;
    return true;
}

/** -1 where it was not recorded, as by older versions. */
static bool read_checksum(int64_t *out, const struct json_value *root, const char *key,
                          const char *path, struct error *err)
{
    *out = -1;
    return json_get(root, key) == NULL || read_int(out, root, key, 0, path, err);
}

static bool read_state(struct checkpoint *c, const char *path, struct error *err)
{
    const struct json_value *root = c->manifest.root, *position = json_get(root, "data_position");
    struct checkpoint_state *s = &c->state;
    int64_t format = 0;
    if (!read_int(&format, root, "format", 0, path, err)) {
        return false;
    }
    if (format != CHECKPOINT_FORMAT) {
        /* Not damage, for which an older one would be taken: another version has written it. */
        return error_set(err, ERROR_CONFIG, "%s: format %" PRId64 "; this version reads %d", path,
                         format, CHECKPOINT_FORMAT);
    }
    if (!read_int(&s->step, root, "step", 0, path, err) ||
        !read_int(&s->n_updates, root, "updates", 0, path, err) ||
        !read_int(&s->data.n_tokens, root, "data_tokens", -1, path, err) ||
        !read_checksum(&s->data.crc32, root, "data_crc32", path, err) ||
        !read_checksum(&s->data.sizes_crc32, root, "data_sizes_crc32", path, err) ||
        !read_checksum(&s->data.val_crc32, root, "val_crc32", path, err) ||
        !read_int(&s->tokens, root, "tokens", 0, path, err)) {
        return false;
    }
    if (!json_as_int(json_at(position, 0), &s->position.major) || s->position.major < 0 ||
        s->position.major > MOST_COUNTED ||
        !json_as_int(json_at(position, 1), &s->position.minor) || s->position.minor < 0) {
        return error_set(err, ERROR_DATA, "%s: data_position is missing or out of range", path);
    }
    const struct json_value *window = json_at(position, 2);
    s->position.window = -1; /* earlier versions did not count */
    if ((window != NULL && (!json_as_int(window, &s->position.window) || s->position.window < 0)) ||
        s->position.window > MOST_COUNTED ||
        !guard_read_state(&s->guard, json_get(root, "guard"))) {
        return error_set(err, ERROR_DATA, "%s: guard or data_position is out of range", path);
    }
    c->config_text = json_as_text(json_get(root, "config"));
    c->kernels = json_as_text(json_get(root, "kernels"));
    c->blas_core = json_as_text(json_get(root, "blas_core"));
    if (!json_as_real(json_get(root, "time_s"), &s->time_s) || c->config_text == NULL ||
        c->kernels == NULL || c->blas_core == NULL) {
        return error_set(err, ERROR_DATA, "%s: time_s, config, kernels or blas_core is missing",
                         path);
    }
    return true;
}

static const char MANIFEST[] = "manifest.json";

bool checkpoint_parse(struct checkpoint *c, const char *step_path, const char *bytes, size_t length,
                      struct error *err)
{
    *c = (struct checkpoint){.crc32 = zip_crc32(0, bytes, length)};
    snprintf(c->path, sizeof c->path, "%s", step_path);
    char path[FILE_PATH_BYTES];
    const bool ok = file_join(path, step_path, MANIFEST, err) &&
                    check_last_line(bytes, length, path, err) &&
                    json_parse(&c->manifest, bytes, length, path, err) && read_state(c, path, err);
    if (!ok) {
        checkpoint_close(c);
    }
    return ok;
}

bool checkpoint_open(struct checkpoint *c, const char *step_path, struct error *err)
{
    *c = (struct checkpoint){0};
    char path[FILE_PATH_BYTES];
    struct file_bytes file = {0};
    if (!file_join(path, step_path, MANIFEST, err) ||
        !file_read(&file, path, MAX_MANIFEST_BYTES, err)) {
        return false;
    }
    const bool ok = checkpoint_parse(c, step_path, (const char *)file.bytes, file.length, err);
    file_bytes_finish(&file);
    return ok;
}

void checkpoint_close(struct checkpoint *c)
{
    json_document_finish(&c->manifest);
    *c = (struct checkpoint){0};
}

bool checkpoint_is_plain_name(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length < FILE_NAME_BYTES && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

static bool read_crc(uint32_t *crc, const char *text)
{
    if (text == NULL || strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8) {
        return false;
    }
    *crc = (uint32_t)strtoul(text, NULL, 16);
    return true;
}

bool checkpoint_locate(struct tensor_location *l, const struct checkpoint *c, const char *name,
                       struct error *err)
{
    const struct json_value *entry = json_get(json_get(c->manifest.root, "tensors"), name);
    const char *file = json_as_text(json_get(entry, "file"));
    if (file == NULL || !checkpoint_is_plain_name(file) ||
        !json_as_int(json_get(entry, "offset"), &l->offset) || l->offset < 8 ||
        !read_crc(&l->crc, json_as_text(json_get(entry, "crc32"))) ||
        !json_as_int(json_get(json_get(c->manifest.root, "files"), file), &l->file_bytes)) {
        return error_set(err, ERROR_DATA,
                         "%s/manifest.json: the entry of %s is missing or not valid", c->path,
                         name);
    }
    snprintf(l->file, sizeof l->file, "%s", file);
    return true;
}

/** A tensor that this rank needs, and its memory. */
struct wanted_tensor {
    struct listed_tensor tensor;
    float *values;
};

/** What a rank reads of a checkpoint. */
struct reading {
    const struct checkpoint *checkpoint;
    struct wanted_tensor *wanted; /* n, heap */
    int64_t n;
    struct file_reader file; /* which is open */
};

static bool want(struct reading *r, const struct param *param, enum tensor_kind kind, float *values,
                 struct error *err)
{
    struct wanted_tensor *w = &r->wanted[r->n++];
    w->values = values;
    w->tensor.param = param;
    checkpoint_tensor_name(w->tensor.name, param, kind);
    return checkpoint_locate(&w->tensor.at, r->checkpoint, w->tensor.name, err);
}

static bool want_stage(struct reading *r, const struct model *model, bool with_moments,
                       struct error *err)
{
    bool ok = true;
    for (int64_t i = model->stage->first_param; ok && i < model->stage->end_param; i++) {
        const struct param *param = &model->plan->params.rows[i];
        const bool takes_moments =
            with_moments && plan_owns(model->plan, model->memory->replica, param);
        const enum tensor_kind end = takes_moments ? TENSOR_KINDS : TENSOR_EXP_AVG;
        for (enum tensor_kind kind = 0; ok && kind < end; kind++) {
            ok = want(r, param, kind, checkpoint_tensor(model, param, kind), err);
        }
    }
    return ok;
}

static bool want_all(struct reading *r, const struct model *models, bool with_moments,
                     struct error *err)
{
    const struct plan *plan = models[0].plan;
    const struct param *embedding = params_find(&plan->params, -1, PARAM_EMBEDDING);
    float *head_copy = memory_buffer(models[0].memory, BUFFER_HEAD_WEIGHT, 0);
    int64_t most = 1; /* the copy for a tied head */
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        most += TENSOR_KINDS * (models[chunk].stage->end_param - models[chunk].stage->first_param);
    }
    r->wanted = heap_take((size_t)most, sizeof *r->wanted, "the tensors of a checkpoint");
    bool ok = true;
    for (int chunk = 0; ok && chunk < plan->n_chunks; chunk++) {
        ok = want_stage(r, &models[chunk], with_moments, err);
    }
    return ok && (head_copy == NULL || want(r, embedding, TENSOR_WEIGHT, head_copy, err));
}

/** Replicas share the tensors of a stage out, so that neighbours lie in different files: by file
 * each is opened once, and read from front to back. */
static int by_place(const void *a, const void *b)
{
    const struct tensor_location *x = &((const struct wanted_tensor *)a)->tensor.at,
                                 *y = &((const struct wanted_tensor *)b)->tensor.at;
    const int files = strcmp(x->file, y->file);
    return files != 0 ? files : (x->offset > y->offset) - (x->offset < y->offset);
}

static bool open_file(struct reading *r, const struct tensor_location *at, struct error *err)
{
    char path[FILE_PATH_BYTES];
    file_reader_close(&r->file);
    return file_join(path, r->checkpoint->path, at->file, err) &&
           file_reader_open(&r->file, path, err) &&
           (r->file.length == at->file_bytes ||
            error_set(err, ERROR_DATA, "%s: has %" PRId64 " bytes, the manifest says %" PRId64,
                      path, r->file.length, at->file_bytes));
}

static bool read_tensor(struct reading *r, const struct wanted_tensor *w, struct error *err)
{
    const struct tensor_location *at = &w->tensor.at;
    const int64_t bytes = checkpoint_tensor_bytes(w->tensor.param);
    if (at->offset > r->file.length - bytes) {
        return error_set(err, ERROR_DATA, "%s/%s: ends before %s does", r->checkpoint->path,
                         at->file, w->tensor.name);
    }
    if (!file_reader_read(&r->file, at->offset, w->values, (size_t)bytes, err)) {
        return false;
    }
    return zip_crc32(0, w->values, (size_t)bytes) == at->crc ||
           error_set(err, ERROR_DATA, "%s/%s: %s is damaged (its CRC-32 differs)",
                     r->checkpoint->path, at->file, w->tensor.name);
}

bool checkpoint_load(const struct checkpoint *c, const struct model *models, bool with_moments,
                     struct error *err)
{
    struct reading r = {.checkpoint = c, .file = {.fd = -1}};
    bool ok =
        checkpoint_fits(c, models[0].plan->config, err) && want_all(&r, models, with_moments, err);
    if (ok) {
        qsort(r.wanted, (size_t)r.n, sizeof *r.wanted, by_place);
    }
    for (int64_t i = 0; ok && i < r.n; i++) {
        const struct wanted_tensor *w = &r.wanted[i];
        const bool is_next = i == 0 || strcmp(w[-1].tensor.at.file, w->tensor.at.file) != 0;
        ok = (!is_next || open_file(&r, &w->tensor.at, err)) && read_tensor(&r, w, err);
    }
    file_reader_close(&r.file);
    free(r.wanted);
    return ok;
}
