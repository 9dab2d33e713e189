#include <attnres/costs.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/json.h>
#include <attnres/text.h>

static const char SHAPE_KEY[] = "measured_for";

/** A key of the file: so many numbers, one double after another in the struct. */
struct row {
    const char *key;
    size_t offset;
    size_t n_numbers;
    bool is_part; /* holds for the shapes it was measured for; all of these or none */
};

#define AT(member) offsetof(struct costs, member)
enum { PASSES = sizeof(struct costs_passes) / sizeof(double) };

static const struct row ROWS[] = {
    {"embedding_s", AT(embedding), PASSES, true},
    {"attention_s", AT(attention), PASSES, true},
    {"mlp_s", AT(mlp), PASSES, true},
    {"head_s", AT(head), PASSES, true},
    {"read_source_s", AT(read_source), PASSES, true},
    {"update_s_per_parameter", AT(update_s), 1, true},
    {"pack_s_per_byte", AT(pack_s), 1, false},
    {"unpack_s_per_byte", AT(unpack_s), 1, false},
    {"flops_per_s", AT(flops_per_s), 1, false},
    {"memory_bytes_per_s", AT(memory_bytes_per_s), 1, false},
    {"link_latency_s", AT(link_latency_s), 1, false},
    {"link_bytes_per_s", AT(link_bytes_per_s), 1, false},
};
enum { N_ROWS = sizeof ROWS / sizeof ROWS[0] };

/** Beyond this no machine is near; sums and ratios of numbers up to it stay finite. */
static const double MOST = 1e21;

static const struct row *find_row(const char *key)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (strcmp(ROWS[i].key, key) == 0) {
            return &ROWS[i];
        }
    }
    return NULL;
}

static const double *numbers_of(const struct costs *costs, const struct row *row)
{
    return (const double *)(const void *)((const unsigned char *)costs + row->offset);
}

bool costs_has_parts(const struct costs *costs)
{
    return costs->shape[0] != '\0';
}

void costs_describe_shape(char text[COSTS_SHAPE_BYTES], const struct config *config)
{
    static const char *const PRECISIONS[] = {
        [PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16", [PRECISION_INT8] = "int8"};
    const struct model_config *m = &config->model;
    snprintf(text, COSTS_SHAPE_BYTES,
             "%s, dim %lld, heads %lld/%lld, ff %lld, vocab %lld, seq %lld, microbatch %lld, %s, "
             "values %s",
             config_model_kind_name(m->kind), (long long)m->dim, (long long)m->n_heads,
             (long long)m->n_kv_heads, (long long)m->ff, (long long)m->vocab, (long long)m->seq_len,
             (long long)config->batch.microbatch, PRECISIONS[config->compute.precision],
             PRECISIONS[config->representative.value]);
}

/** A document being read, and where its keys stand. */
struct source {
    const char *name, *bytes;
    size_t length;
};

/** The line of a key: its first quoted mention. jansson keeps no places. */
static int line_of(const struct source *s, const char *key)
{
    const size_t n = strlen(key);
    int line = 1;
    for (size_t i = 0; i + n + 2 <= s->length; i++) {
        if (s->bytes[i] == '"' && memcmp(s->bytes + i + 1, key, n) == 0 &&
            s->bytes[i + n + 1] == '"') {
            return line;
        }
        line += s->bytes[i] == '\n';
    }
    return 1;
}

static bool refuse(const struct source *s, const char *key, const char *expected, struct error *err)
{
    return error_set(err, ERROR_DATA, "%s:%d: %s: expected %s", s->name, line_of(s, key), key,
                     expected);
}

static bool read_number(double *out, const struct json_value *value)
{
    double number = 0.0;
    if (!json_as_real(value, &number) || !(number >= 0.0 && number <= MOST)) {
        return false;
    }
    *out = number + 0.0; /* no negative 0: it reads back as another number */
    return true;
}

static bool read_row(struct costs *costs, const struct row *row, const struct json_value *value,
                     const struct source *s, struct error *err)
{
    double *numbers = (double *)(void *)((unsigned char *)costs + row->offset);
    if (row->n_numbers == 1) {
        return read_number(numbers, value) || refuse(s, row->key, "a number from 0 to 1e21", err);
    }
    for (size_t i = 0; i < row->n_numbers; i++) {
        if (json_count(value) != row->n_numbers || !read_number(&numbers[i], json_at(value, i))) {
            return refuse(s, row->key,
                          "[forward, input gradient, weight gradient], numbers from 0 to 1e21",
                          err);
        }
    }
    return true;
}

/** It is printed again. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

static bool read_shape(struct costs *costs, const struct json_value *value, const struct source *s,
                       struct error *err)
{
    const char *text = json_as_text(value);
    if (text == NULL || text[0] == '\0' || strlen(text) >= COSTS_SHAPE_BYTES || !is_plain(text)) {
        return refuse(s, SHAPE_KEY, "a line of text, as --calibrate wrote it", err);
    }
    snprintf(costs->shape, COSTS_SHAPE_BYTES, "%s", text);
    return true;
}

static bool read_member(struct costs *costs, bool *given, const char *key,
                        const struct json_value *value, const struct source *s, struct error *err)
{
    if (strcmp(key, SHAPE_KEY) == 0) {
        return read_shape(costs, value, s, err);
    }
    const struct row *row = find_row(key);
    if (row == NULL) {
        return error_set(err, ERROR_DATA,
                         "%s:%d: %.40s: no such key in a file of costs (attnres plan --calibrate "
                         "writes one that has all)",
                         s->name, line_of(s, key), is_plain(key) ? key : "?");
    }
    given[row - ROWS] = true;
    return read_row(costs, row, value, s, err);
}

/** Work is measured whole or not at all, and takes time. */
static bool check_parts(const struct costs *costs, const bool *given, const struct source *s,
                        struct error *err)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (ROWS[i].is_part && given[i] != costs_has_parts(costs)) {
            return given[i] ? error_set(err, ERROR_DATA,
                                        "%s:%d: %s without %s, which says for "
                                        "which shapes it was measured",
                                        s->name, line_of(s, ROWS[i].key), ROWS[i].key, SHAPE_KEY)
                            : error_set(err, ERROR_DATA,
                                        "%s:%d: %s without %s: work is measured "
                                        "whole or not at all",
                                        s->name, line_of(s, SHAPE_KEY), SHAPE_KEY, ROWS[i].key);
        }
    }
    if (costs_has_parts(costs) && costs->attention.forward + costs->mlp.forward <= 0.0) {
        return refuse(s, "attention_s", "some time for attention or MLP", err);
    }
    return true;
}

/** A rate of 0 is not known; a file of these alone would be printed as an empty one. */
static bool check_knows_something(const struct costs *costs, const struct source *s,
                                  struct error *err)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (costs_has_parts(costs) || numbers_of(costs, &ROWS[i])[0] > 0.0) {
            return true;
        }
    }
    return error_set(err, ERROR_DATA,
                     "%s:1: all of its rates are 0, which stands for not known (attnres plan "
                     "--calibrate measures them)",
                     s->name);
}

static bool read_members(struct costs *costs, const struct json_value *root, const struct source *s,
                         struct error *err)
{
    bool given[N_ROWS] = {false};
    const struct json_value *value = NULL;
    const char *key = json_next(root, NULL, &value);
    if (key == NULL) {
        return error_set(err, ERROR_DATA,
                         "%s:1: expected an object with the keys of a file of "
                         "costs (attnres plan --calibrate writes one)",
                         s->name);
    }
    for (; key != NULL; key = json_next(root, key, &value)) {
        if (!read_member(costs, given, key, value, s, err)) {
            return false;
        }
    }
    return check_parts(costs, given, s, err) && check_knows_something(costs, s, err);
}

bool costs_parse(struct costs *costs, const char *name, const char *bytes, size_t length,
                 struct error *err)
{
    const struct source s = {name, bytes, length};
    struct costs read = {0};
    struct json_document d;
    if (length > COSTS_MAX_FILE_BYTES) {
        return error_set(err, ERROR_DATA, "%s: %zu bytes, more than the %d of a file of costs",
                         name, length, COSTS_MAX_FILE_BYTES);
    }
    if (!json_parse(&d, bytes, length, name, err)) {
        return false;
    }
    const bool ok = read_members(&read, d.root, &s, err);
    json_document_finish(&d);
    if (ok) {
        *costs = read;
    }
    return ok;
}

bool costs_read(struct costs *costs, const char *path, const struct config *config,
                struct error *err)
{
    struct file_bytes file;
    if (!file_read(&file, path, COSTS_MAX_FILE_BYTES, err)) {
        return false;
    }
    const struct source s = {path, (const char *)file.bytes, file.length};
    struct costs read;
    char shape[COSTS_SHAPE_BYTES];
    costs_describe_shape(shape, config);
    bool ok = costs_parse(&read, path, s.bytes, s.length, err);
    if (ok && costs_has_parts(&read) && strcmp(read.shape, shape) != 0) {
        ok = error_set(err, ERROR_DATA,
                       "%s:%d: measured for %s\nbut the configuration is %s\nmeasure it: attnres "
                       "plan CONFIG --calibrate=FILE",
                       path, line_of(&s, SHAPE_KEY), read.shape, shape);
    }
    file_bytes_finish(&file);
    if (ok) {
        *costs = read;
    }
    return ok;
}

void costs_assume_packing(struct costs *costs)
{
    costs->pack_s = costs->pack_s > 0.0 ? costs->pack_s : COSTS_ASSUMED_PACK_S;
    costs->unpack_s = costs->unpack_s > 0.0 ? costs->unpack_s : COSTS_ASSUMED_PACK_S;
}

void costs_mean(struct costs *mean, const struct costs *all, int n)
{
    for (int i = 0; i < N_ROWS; i++) {
        for (size_t k = 0; k < ROWS[i].n_numbers; k++) {
            double sum = 0.0;
            int n_known = 0;
            for (int j = 0; j < n; j++) {
                const double number = numbers_of(&all[j], &ROWS[i])[k];
                sum += number;
                n_known += number > 0.0;
            }
            ((double *)(void *)((unsigned char *)mean + ROWS[i].offset))[k] =
                n_known > 0 ? sum / n_known : 0.0;
        }
    }
}

size_t costs_print(const struct costs *costs, char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    text_add(&t, "{");
    const char *comma = "";
    if (costs_has_parts(costs)) {
        text_add(&t, "\n  \"%s\": \"%s\"", SHAPE_KEY, costs->shape);
        comma = ",";
    }
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *row = &ROWS[i];
        const double *numbers = numbers_of(costs, row);
        if (row->is_part && !costs_has_parts(costs)) {
            continue;
        }
        if (row->n_numbers == 1 && numbers[0] == 0.0 && !row->is_part) {
            continue;
        }
        text_add(&t, "%s\n  \"%s\": ", comma, row->key);
        if (row->n_numbers == 1) {
            text_add(&t, "%.6g", numbers[0]);
        } else {
            text_add(&t, "[%.6g, %.6g, %.6g]", numbers[0], numbers[1], numbers[2]);
        }
        comma = ",";
    }
    text_add(&t, "\n}\n");
    return t.length;
}
