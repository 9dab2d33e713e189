#include "trace_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/json.h>

enum { MOST_BYTES = 1 << 26, MOST_DEPTH = 8 };

/** Times are printed to the nanosecond, in microseconds; f64 rounds their sums. */
static const double ROUNDING_US = 1e-4;

struct slice {
    int64_t process;
    double begin, end;
};

struct arrow_end {
    int64_t id, process;
    double at;
    bool begins;
};

struct events {
    struct slice *slices;
    struct arrow_end *ends;
    size_t n_slices, n_ends;
};

/* A slice that contains another stands before it. */
static int compare_slices(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    if (x->process != y->process) {
        return x->process < y->process ? -1 : 1;
    }
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return (x->end < y->end) - (x->end > y->end);
}

static int compare_ends(const void *a, const void *b)
{
    const struct arrow_end *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (int)y->begins - (int)x->begins;
}

static bool read_event(struct events *e, struct trace_checked *out, const struct json_value *v)
{
    const char *phase = json_as_text(json_get(v, "ph")), *name = json_as_text(json_get(v, "name"));
    int64_t process = 0, id = 0;
    double at = 0.0, length = 0.0;
    if (phase == NULL || name == NULL || !json_as_int(json_get(v, "pid"), &process)) {
        return false;
    }
    if (strcmp(phase, "M") == 0) {
        out->n_processes += strcmp(name, "process_name") == 0;
        return true;
    }
    if (!json_as_real(json_get(v, "ts"), &at) || at < 0.0) {
        return false;
    }
    if (strcmp(phase, "X") == 0) {
        out->n_steps += strncmp(name, "step ", 5) == 0;
        e->slices[e->n_slices++] = (struct slice){process, at, at};
        const bool ok = json_as_real(json_get(v, "dur"), &length) && length >= 0.0;
        e->slices[e->n_slices - 1].end += length;
        return ok && json_get(json_get(v, "args"), "step") != NULL;
    }
    const bool begins = strcmp(phase, "s") == 0;
    if ((!begins && strcmp(phase, "f") != 0) || !json_as_int(json_get(v, "id"), &id)) {
        return false;
    }
    e->ends[e->n_ends++] = (struct arrow_end){id, process, at, begins};
    return true;
}

static bool slices_nest(const struct slice *slices, size_t n)
{
    double until[MOST_DEPTH];
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        depth = i > 0 && slices[i].process != slices[i - 1].process ? 0 : depth;
        while (depth > 0 && until[depth - 1] <= slices[i].begin + ROUNDING_US) {
            depth--;
        }
        if (depth == MOST_DEPTH || (depth > 0 && slices[i].end > until[depth - 1] + ROUNDING_US)) {
            return false;
        }
        until[depth++] = slices[i].end;
    }
    return true;
}

static bool is_in_a_slice(const struct events *e, const struct arrow_end *end)
{
    for (size_t i = 0; i < e->n_slices; i++) {
        const struct slice *s = &e->slices[i];
        if (s->process == end->process && s->begin <= end->at && end->at <= s->end + ROUNDING_US) {
            return true;
        }
    }
    return false;
}

static const char *check_arrows(const struct events *e)
{
    if (e->n_ends % 2 != 0) {
        return "an arrow has one end";
    }
    for (size_t i = 0; i < e->n_ends; i += 2) {
        const struct arrow_end *s = &e->ends[i], *f = &e->ends[i + 1];
        if (!s->begins || f->begins || s->id != f->id || (i > 0 && s->id == e->ends[i - 1].id)) {
            return "an arrow has not two ends and an id of its own";
        }
        if (f->at < s->at) {
            return "an arrow ends before it begins";
        }
        if (!is_in_a_slice(e, s) || !is_in_a_slice(e, f)) {
            return "an arrow's end lies in no slice";
        }
    }
    return NULL;
}

static const char *check_events(struct events *e, struct trace_checked *out,
                                const struct json_value *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!read_event(e, out, json_at(events, i))) {
            return "an event is not one";
        }
    }
    out->n_slices = (int64_t)e->n_slices;
    out->n_arrows = (int64_t)e->n_ends / 2;
    qsort(e->slices, e->n_slices, sizeof *e->slices, compare_slices);
    qsort(e->ends, e->n_ends, sizeof *e->ends, compare_ends);
    return slices_nest(e->slices, e->n_slices) ? check_arrows(e) : "slices overlap";
}

bool trace_check(struct trace_checked *out, const char *path, char *message, size_t capacity)
{
    struct file_bytes file = {0};
    struct json_document d = {0};
    struct error err = {0};
    *out = (struct trace_checked){0};
    bool ok = file_read(&file, path, MOST_BYTES, &err) &&
              json_parse(&d, (const char *)file.bytes, file.length, path, &err);
    if (ok) {
        const struct json_value *list = json_get(d.root, "traceEvents");
        const size_t n = json_count(list);
        struct events e = {.slices = calloc(n + 1, sizeof *e.slices),
                           .ends = calloc(n + 1, sizeof *e.ends)};
        const char *wrong =
            e.slices != NULL && e.ends != NULL ? check_events(&e, out, list, n) : "no memory";
        ok = wrong == NULL;
        snprintf(err.message, sizeof err.message, "%s: %s", path, ok ? "" : wrong);
        free(e.slices);
        free(e.ends);
    }
    snprintf(message, capacity, "%s", ok ? "" : err.message);
    json_document_finish(&d);
    file_bytes_finish(&file);
    return ok;
}
