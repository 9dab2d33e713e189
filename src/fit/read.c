/* Points files: JSON objects or comma-separated values, a point a line. */
#include "fit_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/text.h>

enum field { COMPUTE, LOSS, SIZE, SEED, TOKENS, TIME, N_FIELDS };
enum { MAX_FILE_BYTES = 64 << 20, MAX_LINE_BYTES = 4096, MAX_COLUMNS = N_FIELDS + 1 };
static const struct {
    const char *name;
    const char *expected;
    double least, most;
    bool is_whole, is_required;
} FIELDS[N_FIELDS] = {
    [COMPUTE] = {"compute", "a number from 1e-100 to 1e100", 1e-100, 1e100, false, true},
    [LOSS] = {"loss", "a number from 1e-100 to 1e100", 1e-100, 1e100, false, true},
    [SIZE] = {"size", "a whole number from 1 to 1e15", 1.0, 1e15, true, false},
    [SEED] = {"seed", "a whole number from 0 to 1e15", 0.0, 1e15, true, false},
    [TOKENS] = {"tokens", "a number from 1 to 1e100", 1.0, 1e100, false, false},
    [TIME] = {"time", "a number of seconds from 1e-100 to 1e100", 1e-100, 1e100, false, false},
};
static const char NAMES[] = "kind, compute, loss, size, seed, tokens, time";

/** The line in hand. */
struct row {
    const char *name;
    int line;
    char kind[FIT_KIND_BYTES]; /* empty: not given */
    double numbers[N_FIELDS];  /* NAN: not given */
};

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

/** The kinds are printed, and named on the command line. */
static bool set_kind(struct row *row, const char *text, struct error *err)
{
    if (text == NULL || text[0] == '\0' || strlen(text) >= FIT_KIND_BYTES || !is_plain(text) ||
        strchr(text, ' ') != NULL) {
        return error_set(err, ERROR_DATA, "%s:%d: kind: expected a word of 1 to %d characters",
                         row->name, row->line, FIT_KIND_BYTES - 1);
    }
    memcpy(row->kind, text, strlen(text) + 1);
    return true;
}

static bool set_number(struct row *row, enum field field, double number, struct error *err)
{
    if (!(number >= FIELDS[field].least && number <= FIELDS[field].most) ||
        (FIELDS[field].is_whole && floor(number) != number)) {
        return error_set(err, ERROR_DATA, "%s:%d: %s: expected %s", row->name, row->line,
                         FIELDS[field].name, FIELDS[field].expected);
    }
    row->numbers[field] = number;
    return true;
}

/** -1: the kind. */
static bool find_field(int *field, const struct row *row, const char *name, struct error *err)
{
    for (*field = 0; *field < N_FIELDS; ++*field) {
        if (strcmp(FIELDS[*field].name, name) == 0) {
            return true;
        }
    }
    *field = -1;
    return strcmp(name, "kind") == 0 ||
           error_set(err, ERROR_DATA, "%s:%d: %.40s: a point has %s", row->name, row->line,
                     is_plain(name) ? name : "?", NAMES);
}

static void begin_row(struct row *row)
{
    row->kind[0] = '\0';
    for (int i = 0; i < N_FIELDS; i++) {
        row->numbers[i] = NAN;
    }
}

static double number_or_zero(double number)
{
    return isnan(number) ? 0.0 : number;
}

static bool end_row(struct fit_points *points, const struct row *row, struct error *err)
{
    const char *missing = row->kind[0] == '\0' ? "kind" : NULL;
    for (int i = 0; i < N_FIELDS && missing == NULL; i++) {
        if (FIELDS[i].is_required && isnan(row->numbers[i])) {
            missing = FIELDS[i].name;
        }
    }
    if (missing != NULL) {
        return error_set(err, ERROR_DATA, "%s:%d: no %s", row->name, row->line, missing);
    }
    const double *numbers = row->numbers;
    const struct fit_point point = {
        .size = (int64_t)number_or_zero(numbers[SIZE]),
        .seed = (int64_t)number_or_zero(numbers[SEED]),
        .spent = {[FIT_FLOPS] = numbers[COMPUTE],
                  [FIT_TOKENS] = number_or_zero(numbers[TOKENS]),
                  [FIT_TIME] = number_or_zero(numbers[TIME])},
        .loss = numbers[LOSS],
        .source = row->name,
        .line = row->line,
    };
    points->n_runs++;
    return fit_points_add(points, row->kind, &point, err);
}

static bool take_members(struct row *row, const struct json_value *root, struct error *err)
{
    const struct json_value *value = NULL;
    for (const char *key = json_next(root, NULL, &value); key != NULL;
         key = json_next(root, key, &value)) {
        int field = 0;
        double number = NAN;
        if (!find_field(&field, row, key, err)) {
            return false;
        }
        json_as_real(value, &number); /* NAN is refused below */
        if (!(field < 0 ? set_kind(row, json_as_text(value), err)
                        : set_number(row, (enum field)field, number, err))) {
            return false;
        }
    }
    return true;
}

static bool read_object(struct row *row, const char *text, struct error *err)
{
    char place[FILE_PATH_BYTES + 16];
    struct json_document d;
    snprintf(place, sizeof place, "%s:%d", row->name, row->line);
    if (!json_parse(&d, text, strlen(text), place, err)) {
        return false;
    }
    const bool ok = take_members(row, d.root, err);
    json_document_finish(&d);
    return ok;
}

/** The names in the first line, as fields. */
struct columns {
    int fields[MAX_COLUMNS];
    int n;
};

/** Cut the next value off, without the blanks and the quotes around it, as other programs write
 * them. NULL behind the last. */
static char *next_value(char **rest)
{
    char *value = *rest;
    if (value == NULL) {
        return NULL;
    }
    char *end = value + strcspn(value, ",");
    *rest = *end == ',' ? end + 1 : NULL;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *end = '\0';
    value += strspn(value, " \t");
    if (end - value >= 2 && value[0] == '"' && end[-1] == '"') {
        end[-1] = '\0';
        value++;
    }
    return value;
}

static bool read_names(struct columns *columns, const struct row *row, char *text,
                       struct error *err)
{
    columns->n = 0;
    for (char *name = next_value(&text); name != NULL; name = next_value(&text)) {
        int field = 0;
        if (!find_field(&field, row, name, err)) {
            return false;
        }
        for (int i = 0; i < columns->n; i++) {
            if (columns->fields[i] == field) {
                return error_set(err, ERROR_DATA, "%s:%d: %s stands there twice", row->name,
                                 row->line, name);
            }
        }
        columns->fields[columns->n++] = field; /* no more than there are fields */
    }
    return true;
}

/** NAN unless it is a plain decimal number: no infinity, no hexadecimal. */
static double number_of(const char *text)
{
    char *end = NULL;
    const size_t length = strlen(text);
    if (length == 0 || strspn(text, "0123456789+-.eE") != length) {
        return NAN;
    }
    const double number = strtod(text, &end);
    return *end == '\0' ? number : NAN;
}

static bool refuse_count(const struct row *row, const struct columns *columns, struct error *err)
{
    return error_set(err, ERROR_DATA, "%s:%d: expected %d values, as there are names above",
                     row->name, row->line, columns->n);
}

static bool read_values(struct row *row, const struct columns *columns, char *text,
                        struct error *err)
{
    int n = 0;
    for (char *value = next_value(&text); value != NULL; value = next_value(&text), n++) {
        if (n == columns->n) {
            return refuse_count(row, columns, err);
        }
        const int field = columns->fields[n];
        const bool is_left_out = field >= 0 && value[0] == '\0' && !FIELDS[field].is_required;
        if (!is_left_out &&
            !(field < 0 ? set_kind(row, value, err)
                        : set_number(row, (enum field)field, number_of(value), err))) {
            return false;
        }
    }
    return n == columns->n || refuse_count(row, columns, err);
}

/** What all lines of a file share. */
struct reading {
    struct row row;
    struct columns columns; /* none: not yet read */
    bool is_json, has_begun;
};

static bool read_line(struct fit_points *points, struct reading *r, char *text, struct error *err)
{
    text += strspn(text, " \t\r");
    if (*text == '\0' || *text == '#') {
        return true;
    }
    if (!r->has_begun) {
        r->has_begun = true;
        r->is_json = *text == '{';
        if (!r->is_json) {
            return read_names(&r->columns, &r->row, text, err);
        }
    }
    begin_row(&r->row);
    return (r->is_json ? read_object(&r->row, text, err)
                       : read_values(&r->row, &r->columns, text, err)) &&
           end_row(points, &r->row, err);
}

bool fit_points_parse(struct fit_points *points, const char *name, const char *bytes, size_t length,
                      struct error *err)
{
    struct reading r = {.row = {.name = name}};
    const char *end = bytes + length;
    for (const char *start = bytes + text_mark_length(bytes, length); start < end;) {
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        size_t n = (size_t)((newline != NULL ? newline : end) - start);
        char text[MAX_LINE_BYTES];
        r.row.line++;
        if (n >= sizeof text || memchr(start, '\0', n) != NULL) {
            return error_set(err, ERROR_DATA, "%s:%d: not a line of text of less than %d bytes",
                             name, r.row.line, MAX_LINE_BYTES);
        }
        memcpy(text, start, n);
        n -= n > 0 && text[n - 1] == '\r';
        text[n] = '\0';
        if (!read_line(points, &r, text, err)) {
            return false;
        }
        start = newline != NULL ? newline + 1 : end;
    }
    return true;
}

bool fit_points_read(struct fit_points *points, const char *path, struct error *err)
{
    const bool is_input = strcmp(path, "-") == 0;
    const char *name = is_input ? "standard input" : path;
    struct file_bytes f = {0};
    if (!(is_input ? file_read_input(&f, MAX_FILE_BYTES, err)
                   : file_read(&f, path, MAX_FILE_BYTES, err))) {
        return false;
    }
    const int n = points->n;
    bool ok = fit_points_parse(points, name, (const char *)f.bytes, f.length, err);
    if (ok && points->n == n) {
        ok = error_set(err, ERROR_DATA, "%s: no points in it; a point has %s", name, NAMES);
    }
    file_bytes_finish(&f);
    return ok;
}
