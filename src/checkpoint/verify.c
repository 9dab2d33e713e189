/* A checkpoint looked at as a whole: everything that its manifest says must hold, and its tensors
 * must be those of its configuration's model. */
#include "checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/zip.h>

/** As much is read at a time. */
enum { PART_BYTES = 1 << 20 };

struct inspection {
    const struct checkpoint *c;
    struct params params;
    struct listed_tensor *tensors; /* those found, by file and offset */
    int64_t n_tensors;
    unsigned char *part;
    struct checkpoint_contents contents;
    struct error *err; /* every problem, a line each */
    bool ok;
};

/** Note a problem, and whether that leaves the rest worth looking at is the caller's to say. */
static void note(struct inspection *i, const struct error *problem)
{
    error_add(i->err, problem->kind, "%s", problem->message);
    if (problem->kind != ERROR_IO && problem->kind != ERROR_CREATE && i->err != NULL) {
        i->err->kind = ERROR_DATA; /* damage is what counts, also behind what could not be read */
    }
    i->ok = false;
}

static int by_place(const void *a, const void *b)
{
    const struct listed_tensor *x = a, *y = b;
    const int order = strcmp(x->at.file, y->at.file);
    return order != 0 ? order : (x->at.offset > y->at.offset) - (x->at.offset < y->at.offset);
}

/** Find every tensor of the model in the manifest. */
static void list_tensors(struct inspection *i)
{
    for (int64_t row = 0; row < i->params.n_rows; row++) {
        for (enum tensor_kind kind = 0; kind < TENSOR_KINDS; kind++) {
            struct listed_tensor *t = &i->tensors[i->n_tensors];
            struct error problem = {0};
            t->param = &i->params.rows[row];
            checkpoint_tensor_name(t->name, t->param, kind);
            if (checkpoint_locate(&t->at, i->c, t->name, &problem)) {
                i->n_tensors++;
            } else {
                note(i, &problem);
            }
        }
    }
    const int64_t n_listed = (int64_t)json_count(json_get(i->c->manifest.root, "tensors"));
    if (n_listed != TENSOR_KINDS * i->params.n_rows) {
        error_add(i->err, ERROR_DATA,
                  "%s/manifest.json: lists %" PRId64
                  " tensors, its configuration's model has %" PRId64,
                  i->c->path, n_listed, TENSOR_KINDS * i->params.n_rows);
        i->ok = false;
    }
    qsort(i->tensors, (size_t)i->n_tensors, sizeof *i->tensors, by_place);
}

static void find_tensors(const struct inspection *i, struct listed_file *f)
{
    int64_t first = 0, end = i->n_tensors;
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (strcmp(i->tensors[middle].at.file, f->name) < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    f->tensors = i->tensors + first;
    while (first + f->n < i->n_tensors && strcmp(f->tensors[f->n].at.file, f->name) == 0) {
        f->n++;
    }
}

/** Read a file's header and hold it to the manifest. */
static bool check_header(struct listed_file *f, struct file_reader *reader, struct error *problem)
{
    unsigned char head[HEADER_LENGTH_BYTES];
    if (!file_reader_read(reader, 0, head, sizeof head, problem) ||
        !checkpoint_header_length(f, head, problem)) {
        return false;
    }
    const size_t length = (size_t)(f->header_bytes - HEADER_LENGTH_BYTES);
    char *text = malloc(length + 1);
    if (text == NULL) {
        return error_set(problem, ERROR_CREATE, "%s: no memory for its header", f->path);
    }
    const bool ok = file_reader_read(reader, HEADER_LENGTH_BYTES, text, length, problem) &&
                    checkpoint_check_header(f, text, problem);
    free(text);
    return ok;
}

static bool check_contents(const struct inspection *i, struct file_reader *reader,
                           const struct listed_tensor *t, struct error *problem)
{
    uint32_t crc;
    if (!checkpoint_crc(&crc, reader, t->at.offset, checkpoint_tensor_bytes(t->param), i->part,
                        PART_BYTES, problem)) {
        return false;
    }
    return crc == t->at.crc ||
           error_set(problem, ERROR_DATA, "%s: %s is damaged (its CRC-32 differs)", reader->path,
                     t->name);
}

static void check_open_file(struct inspection *i, struct listed_file *f, struct file_reader *reader)
{
    struct error problem = {0};
    if (!check_header(f, reader, &problem)) {
        note(i, &problem);
        return;
    }
    for (int64_t k = 0; k < f->n; k++) {
        if (!check_contents(i, reader, &f->tensors[k], &problem)) {
            note(i, &problem);
        }
    }
}

/** The path and the bytes of a file in the manifest, if it is as long as the manifest says. What is
 * no file, or cannot be looked at, is left for who opens it to tell. */
static bool find_file(char path[FILE_PATH_BYTES], int64_t *bytes, const struct checkpoint *c,
                      const char *name, const struct json_value *value, struct error *err)
{
    if (!checkpoint_is_plain_name(name) || !json_as_int(value, bytes)) {
        return error_set(err, ERROR_DATA, "%s/manifest.json: a file's name or size is not valid",
                         c->path);
    }
    if (!file_join(path, c->path, name, err)) {
        return false;
    }
    if (file_is_absent(path)) {
        return error_set(err, ERROR_DATA, "%s: is missing", path);
    }
    const int64_t there = file_length(path);
    return there < 0 || there == *bytes ||
           error_set(err, ERROR_DATA, "%s: has %" PRId64 " bytes, the manifest says %" PRId64, path,
                     there, *bytes);
}

static void check_file(struct inspection *i, const char *name, const struct json_value *bytes)
{
    char path[FILE_PATH_BYTES];
    struct listed_file f = {.name = name, .path = path};
    struct file_reader reader = {.fd = -1};
    struct error problem = {0};
    find_tensors(i, &f);
    if (find_file(path, &f.bytes, i->c, name, bytes, &problem) &&
        file_reader_open(&reader, path, &problem)) {
        check_open_file(i, &f, &reader);
    } else {
        note(i, &problem);
    }
    file_reader_close(&reader);
    i->contents.n_files++;
    i->contents.n_bytes += f.bytes;
}

/** Every file of the manifest, also of a rank that owned nothing. */
static void check_files(struct inspection *i)
{
    const struct json_value *files = json_get(i->c->manifest.root, "files"), *bytes = NULL;
    for (const char *name = json_next(files, NULL, &bytes); name != NULL;
         name = json_next(files, name, &bytes)) {
        check_file(i, name, bytes);
    }
    i->contents.n_tensors = i->n_tensors;
}

static bool inspect(struct inspection *i)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return error_add(i->err, ERROR_CREATE, "no memory to read %s", i->c->path);
    }
    const char *text = i->c->config_text;
    if (!config_parse(config, i->c->path, text, strlen(text), 0, NULL, i->err)) {
        i->err->kind = ERROR_DATA; /* whoever wrote it had it from a configuration that was good */
        free(config);
        return false;
    }
    const struct depth_plan depth = depth_plan_make(&config->model);
    params_init(&i->params, &config->model, &depth);
    free(config);
    i->tensors = calloc(TENSOR_KINDS * (size_t)i->params.n_rows, sizeof *i->tensors);
    i->part = malloc(PART_BYTES);
    if (i->tensors == NULL || i->part == NULL) {
        return error_add(i->err, ERROR_CREATE, "no memory to read %s", i->c->path);
    }
    list_tensors(i);
    check_files(i);
    return i->ok;
}

bool checkpoint_verify(struct checkpoint_contents *contents, const char *step_path,
                       struct error *err)
{
    struct checkpoint c;
    struct inspection i = {.c = &c, .err = err, .ok = true};
    if (!checkpoint_open(&c, step_path, err)) {
        return false;
    }
    const bool ok = inspect(&i);
    i.contents.step = c.state.step;
    *contents = i.contents;
    free(i.part);
    free(i.tensors);
    params_finish(&i.params);
    checkpoint_close(&c);
    return ok;
}

/** For what stands in the place of a file: a folder, or what cannot be looked at. */
static bool opens(const char *path, struct error *err)
{
    struct file_reader reader = {.fd = -1};
    const bool ok = file_reader_open(&reader, path, err);
    file_reader_close(&reader);
    return ok;
}

bool checkpoint_measure(struct checkpoint_contents *contents, const char *step_path,
                        struct error *err)
{
    struct checkpoint c;
    if (!checkpoint_open(&c, step_path, err)) {
        return false;
    }
    const struct json_value *files = json_get(c.manifest.root, "files"), *bytes = NULL;
    struct checkpoint_contents found = {
        .step = c.state.step,
        .n_tensors = (int64_t)json_count(json_get(c.manifest.root, "tensors"))};
    bool ok = true;
    for (const char *name = json_next(files, NULL, &bytes); ok && name != NULL;
         name = json_next(files, name, &bytes)) {
        char path[FILE_PATH_BYTES];
        int64_t length = 0;
        ok = find_file(path, &length, &c, name, bytes, err) &&
             (file_length(path) >= 0 || opens(path, err));
        found.n_bytes += length;
        found.n_files++;
    }
    checkpoint_close(&c);
    *contents = found;
    return ok;
}
