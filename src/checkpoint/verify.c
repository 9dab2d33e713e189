/* A checkpoint looked at as a whole: everything that its manifest says must hold, and its tensors
 * must be those of its configuration's model. */
#include "checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/zip.h>

/** As much is read at a time; a header is text about tensors and stays below the other. */
enum { PART_BYTES = 1 << 20, MOST_HEADER_BYTES = 64 << 20 };

/** A tensor that the model has, and where the manifest says it is. */
struct entry {
    char name[TENSOR_NAME_BYTES];
    const struct param *param;
    struct tensor_location at;
};

struct inspection {
    const struct checkpoint *c;
    struct params params;
    struct entry *entries; /* those found, by file and offset */
    int64_t n_entries;
    unsigned char *part;
    struct checkpoint_contents contents;
    struct error *err; /* every problem, a line each */
    bool ok;
};

/** Note a problem, and whether that leaves the rest worth looking at is the caller's to say. */
static void note(struct inspection *i, const struct error *problem)
{
    error_add(i->err, ERROR_DATA, "%s", problem->message);
    i->ok = false;
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const int order = strcmp(x->at.file, y->at.file);
    return order != 0 ? order : (x->at.offset > y->at.offset) - (x->at.offset < y->at.offset);
}

/** Find every tensor of the model in the manifest. */
static void list_entries(struct inspection *i)
{
    for (int64_t row = 0; row < i->params.n_rows; row++) {
        for (enum tensor_kind kind = 0; kind < TENSOR_KINDS; kind++) {
            struct entry *e = &i->entries[i->n_entries];
            struct error problem = {0};
            e->param = &i->params.rows[row];
            checkpoint_tensor_name(e->name, e->param, kind);
            if (checkpoint_locate(&e->at, i->c, e->name, &problem)) {
                i->n_entries++;
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
    qsort(i->entries, (size_t)i->n_entries, sizeof *i->entries, by_place);
}

static int64_t entry_bytes(const struct entry *e)
{
    return e->param->count * (int64_t)sizeof(float);
}

/** What the manifest says is in one file, which is open. */
struct listed_file {
    const char *name;
    const struct entry *entries; /* n, by offset */
    int64_t n, bytes, header_bytes;
    struct file_reader reader;
};

static void find_entries(const struct inspection *i, struct listed_file *f)
{
    int64_t first = 0, end = i->n_entries;
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (strcmp(i->entries[middle].at.file, f->name) < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    f->entries = i->entries + first;
    while (first + f->n < i->n_entries && strcmp(f->entries[f->n].at.file, f->name) == 0) {
        f->n++;
    }
}

/** Tensors follow each other without a gap, from the end of the header to the end of the file. */
static bool check_places(const struct listed_file *f, struct error *problem)
{
    int64_t end = f->header_bytes;
    for (int64_t k = 0; k < f->n; k++) {
        const struct entry *e = &f->entries[k];
        if (e->at.offset != end || entry_bytes(e) > f->bytes - end) {
            return error_set(problem, ERROR_DATA,
                             "%s: the manifest has %s at offset %" PRId64 "; at %" PRId64
                             " of %" PRId64 " bytes its place would be",
                             f->reader.path, e->name, e->at.offset, end, f->bytes);
        }
        end += entry_bytes(e);
    }
    return end == f->bytes ||
           error_set(problem, ERROR_DATA, "%s: %" PRId64 " bytes of it belong to no tensor",
                     f->reader.path, f->bytes - end);
}

static bool has_shape(const struct json_value *shape, const struct param *param)
{
    int64_t rows = 0, cols = 0;
    const bool is_vector = param->rows == 0;
    if (!json_as_int(json_at(shape, is_vector ? 0 : 1), &cols) ||
        (!is_vector && !json_as_int(json_at(shape, 0), &rows))) {
        return false;
    }
    return json_count(shape) == (is_vector ? 1 : 2) && cols == param->cols && rows == param->rows;
}

static bool is_described(const struct json_value *header, const struct entry *e,
                         int64_t header_bytes)
{
    const struct json_value *tensor = json_get(header, e->name),
                            *offsets = json_get(tensor, "data_offsets");
    const char *type = json_as_text(json_get(tensor, "dtype"));
    int64_t begin = 0, end = 0;
    return type != NULL && strcmp(type, "F32") == 0 &&
           has_shape(json_get(tensor, "shape"), e->param) && json_count(offsets) == 2 &&
           json_as_int(json_at(offsets, 0), &begin) && json_as_int(json_at(offsets, 1), &end) &&
           begin == e->at.offset - header_bytes && end == begin + entry_bytes(e);
}

/** What the safetensors header says, which other programs go by, is what the manifest says. */
static bool check_header(const struct listed_file *f, const struct json_value *header,
                         struct error *problem)
{
    for (int64_t k = 0; k < f->n; k++) {
        if (!is_described(header, &f->entries[k], f->header_bytes)) {
            return error_set(problem, ERROR_DATA, "%s: its header does not describe %s as it is",
                             f->reader.path, f->entries[k].name);
        }
    }
    return (int64_t)json_count(header) == f->n ||
           error_set(problem, ERROR_DATA,
                     "%s: its header describes %zu tensors, the manifest %" PRId64, f->reader.path,
                     json_count(header), f->n);
}

static bool read_header(struct json_document *header, struct listed_file *f, struct error *problem)
{
    struct file_reader *reader = &f->reader;
    unsigned char head[8];
    if (!file_reader_read(reader, 0, head, sizeof head, problem)) {
        return false;
    }
    uint64_t length = 0;
    for (int k = 7; k >= 0; k--) {
        length = length << 8 | head[k];
    }
    if (length > MOST_HEADER_BYTES || (int64_t)length > reader->length - 8) {
        return error_set(problem, ERROR_DATA, "%s: a header of %" PRIu64 " bytes", reader->path,
                         length);
    }
    char *text = malloc((size_t)length + 1);
    if (text == NULL) {
        return error_set(problem, ERROR_CREATE, "%s: no memory for its header", reader->path);
    }
    const bool ok = file_reader_read(reader, 8, text, (size_t)length, problem) &&
                    json_parse(header, text, (size_t)length, reader->path, problem);
    free(text);
    f->header_bytes = 8 + (int64_t)length;
    return ok;
}

static bool check_contents(const struct inspection *i, struct file_reader *reader,
                           const struct entry *e, struct error *problem)
{
    uint32_t crc;
    if (!checkpoint_crc(&crc, reader, e->at.offset, entry_bytes(e), i->part, PART_BYTES, problem)) {
        return false;
    }
    return crc == e->at.crc ||
           error_set(problem, ERROR_DATA, "%s: %s is damaged (its CRC-32 differs)", reader->path,
                     e->name);
}

static void check_open_file(struct inspection *i, struct listed_file *f)
{
    struct json_document header = {0};
    struct error problem = {0};
    const bool ok = read_header(&header, f, &problem) && check_header(f, header.root, &problem) &&
                    check_places(f, &problem);
    json_document_finish(&header);
    if (!ok) {
        note(i, &problem);
        return;
    }
    for (int64_t k = 0; k < f->n; k++) {
        if (!check_contents(i, &f->reader, &f->entries[k], &problem)) {
            note(i, &problem);
        }
    }
}

/** The path and the bytes of a file in the manifest, if it is there and as long as the manifest
 * says. */
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
    const int64_t there = file_length(path);
    if (there < 0) {
        return error_set(err, ERROR_DATA, "%s: is missing", path);
    }
    return there == *bytes ||
           error_set(err, ERROR_DATA, "%s: has %" PRId64 " bytes, the manifest says %" PRId64, path,
                     there, *bytes);
}

/** Every file of the manifest, also of a rank that owned nothing. */
static void check_files(struct inspection *i)
{
    const struct json_value *files = json_get(i->c->manifest.root, "files"), *bytes = NULL;
    struct listed_file f = {.reader = {.fd = -1}};
    while ((f.name = json_member(files, (size_t)i->contents.n_files, &bytes)) != NULL) {
        char path[FILE_PATH_BYTES];
        struct error problem = {0};
        f = (struct listed_file){.name = f.name, .reader = {.fd = -1}};
        find_entries(i, &f);
        if (find_file(path, &f.bytes, i->c, f.name, bytes, &problem) &&
            file_reader_open(&f.reader, path, &problem)) {
            check_open_file(i, &f);
        } else {
            note(i, &problem);
        }
        file_reader_close(&f.reader);
        i->contents.n_files++;
        i->contents.n_bytes += f.bytes;
    }
    i->contents.n_tensors = i->n_entries;
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
    i->entries = calloc(TENSOR_KINDS * (size_t)i->params.n_rows, sizeof *i->entries);
    i->part = malloc(PART_BYTES);
    if (i->entries == NULL || i->part == NULL) {
        return error_add(i->err, ERROR_CREATE, "no memory to read %s", i->c->path);
    }
    list_entries(i);
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
    free(i.entries);
    params_finish(&i.params);
    checkpoint_close(&c);
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
    for (const char *name = json_member(files, 0, &bytes); ok && name != NULL;
         name = json_member(files, (size_t)found.n_files, &bytes)) {
        char path[FILE_PATH_BYTES];
        int64_t length = 0;
        ok = find_file(path, &length, &c, name, bytes, err);
        found.n_bytes += length;
        found.n_files++;
    }
    checkpoint_close(&c);
    *contents = found;
    return ok;
}
