/* A run's folder, read for a report. What lies there is foreign: counts are checked before they are
 * used, and names are made plain. */
#include "report_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/rng.h>

enum { MAX_FILE_BYTES = 64 << 20, MAX_LAYERS = 4096 };

static double real_of(const struct json_value *root, const char *key)
{
    double number = NAN;
    json_as_real(json_get(root, key), &number);
    return number;
}

/** Losses and what was spent stand on logarithmic axes: what is not above 0 is not there. */
static double positive_of(const struct json_value *root, const char *key)
{
    const double number = real_of(root, key);
    return number > 0.0 ? number : NAN;
}

/** Call take for each whole line of a file; what a crash has torn does not count. */
static bool read_lines(const char *path,
                       bool (*take)(struct report_run *run, const struct json_value *root),
                       struct report_run *run, struct error *err)
{
    struct file_bytes f = {0};
    if (!file_read(&f, path, MAX_FILE_BYTES, err)) {
        return false;
    }
    bool ok = true;
    int number = 0;
    const char *line = (const char *)f.bytes, *end = line + f.length;
    for (const char *newline = NULL; ok && line < end; line = newline + 1) {
        char place[FILE_PATH_BYTES + 16];
        struct json_document d;
        newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL) {
            break;
        }
        snprintf(place, sizeof place, "%s:%d", path, ++number);
        ok = json_parse(&d, line, (size_t)(newline - line), place, err);
        if (ok) {
            ok = take(run, d.root) ||
                 error_set(err, ERROR_DATA, "%s: not a line of this file's form", place);
            json_document_finish(&d);
        }
    }
    file_bytes_finish(&f);
    return ok;
}

/** Room for one more row: counts that are powers of two double it. */
static bool grow(void **rows, int64_t n, size_t size)
{
    if ((n & (n - 1)) != 0) {
        return true;
    }
    void *moved = realloc(*rows, (size_t)(n > 0 ? 2 * n : 1) * size);
    if (moved == NULL) {
        return false;
    }
    *rows = moved;
    return true;
}

static bool take_metrics(struct report_run *run, const struct json_value *root)
{
    struct report_line line = {.loss = positive_of(root, "loss"),
                               .val_loss = positive_of(root, "val_loss"),
                               .flops = positive_of(root, "flops"),
                               .tokens = positive_of(root, "tokens"),
                               .time_s = positive_of(root, "time_s")};
    const int64_t last = run->n_lines > 0 ? run->lines[run->n_lines - 1].step : 0;
    void *lines = run->lines;
    if (!json_as_int(json_get(root, "step"), &line.step) || line.step <= last ||
        !grow(&lines, run->n_lines, sizeof *run->lines)) {
        return false;
    }
    run->lines = lines;
    run->lines[run->n_lines++] = line;
    return true;
}

static bool take_hops(struct report_run *run, const struct json_value *root)
{
    struct report_hops row = {.accuracy = real_of(root, "accuracy"),
                              .chance = real_of(root, "chance"),
                              .constant = real_of(root, "constant"),
                              .shortcut = real_of(root, "shortcut")};
    const char *task = json_as_text(json_get(root, "task"));
    const struct json_value *cut = json_get(root, "cut"); /* older files have none */
    void *hops = run->hops;
    if (task == NULL || !config_find_task(&row.task, task) ||
        !json_as_int(json_get(root, "hops"), &row.hops) ||
        !json_as_int(json_get(root, "items"), &row.n_items) ||
        !json_as_bool(json_get(root, "trained"), &row.trained) || isnan(row.accuracy) ||
        isnan(row.chance) || isnan(row.constant) || row.hops < 1 || row.hops > 1000 ||
        row.n_items < 1 || (cut != NULL && !json_as_int(cut, &row.n_cut)) ||
        run->n_hops >= REPORT_MAX_HOPS || !grow(&hops, run->n_hops, sizeof *run->hops)) {
        return false;
    }
    run->hops = hops;
    run->hops[run->n_hops++] = row;
    return true;
}

static bool has_numbers(const struct json_value *root, const char *key, int64_t n)
{
    const struct json_value *array = json_get(root, key);
    return json_at(array, 0) != NULL && (int64_t)json_count(array) == n;
}

/** Whether every array that figures take from has the length that they will rely on. */
static bool check_look(struct report_look *look)
{
    const struct json_value *root = look->document.root, *map = json_get(root, "map");
    if (!json_as_int(json_get(root, "step"), &look->step) ||
        !json_as_int(json_get(root, "layers"), &look->n_layers) || look->n_layers < 1 ||
        look->n_layers > MAX_LAYERS) {
        return false;
    }
    const int64_t L = 2 * look->n_layers;
    look->n_sources = (int64_t)json_count(json_get(root, "sources"));
    bool ok = look->n_sources > 0 && has_numbers(root, "sources", look->n_sources) &&
              has_numbers(root, "map", L + 1) && has_numbers(root, "inputs", L + 1) &&
              has_numbers(root, "outputs", L) && has_numbers(root, "weight_gradients", L) &&
              has_numbers(root, "output_gradients", L);
    for (int64_t i = 0; ok && i < look->n_sources; i++) {
        ok = json_as_text(json_at(json_get(root, "sources"), (size_t)i)) != NULL;
    }
    for (int64_t l = 0; ok && l <= L; l++) {
        const struct json_value *row = json_at(map, (size_t)l);
        ok = json_at(row, 0) != NULL && (int64_t)json_count(row) == look->n_sources;
    }
    const char *kind = json_as_text(json_get(root, "kind"));
    int64_t n_blocks = -1;
    if (!ok || kind == NULL || !json_as_int(json_get(root, "blocks"), &n_blocks) || n_blocks < 0 ||
        n_blocks >= look->n_sources) {
        return false;
    }
    look->has_map = strcmp(kind, "standard") != 0;
    look->n_columns = strcmp(kind, "block") == 0 ? n_blocks + 2 : look->n_sources;
    return true;
}

/** Whether it is of a model as the run's: one that was copied to the wrong folder is not. `kind` is
 * the run's, which may have +static and the like behind that of the model. */
static bool is_of_run(const struct report_look *look, const struct report_run *run,
                      const char *kind)
{
    const char *own = json_as_text(json_get(look->document.root, "kind"));
    const size_t length = strlen(own);
    return strncmp(own, kind, length) == 0 && (kind[length] == '\0' || kind[length] == '+') &&
           look->n_layers == run->n_layers;
}

static bool add_look(struct report_run *run, const char *kind, const char *path, struct error *err)
{
    struct file_bytes f = {0};
    struct report_look look = {0};
    if (!file_read(&f, path, MAX_FILE_BYTES, err)) {
        return false;
    }
    bool ok = json_parse(&look.document, (const char *)f.bytes, f.length, path, err);
    file_bytes_finish(&f);
    if (!ok) {
        return false;
    }
    if (!check_look(&look)) {
        json_document_finish(&look.document);
        return error_set(err, ERROR_DATA, "%s: not what attnres inspect --json prints", path);
    }
    if (!is_of_run(&look, run, kind)) {
        json_document_finish(&look.document);
        return error_set(err, ERROR_DATA, "%s: of another kind or depth than the run", path);
    }
    int at = run->n_looks++;
    for (; at > 0 && run->looks[at - 1].step > look.step; at--) {
        run->looks[at] = run->looks[at - 1];
    }
    run->looks[at] = look;
    return true;
}

/** Paths of inspect*.json. */
struct look_paths {
    char names[REPORT_MAX_LOOKS + 1][REPORT_NAME_BYTES];
    int n;
};

static bool note_look(void *user, const char *name)
{
    struct look_paths *paths = user;
    const size_t length = strlen(name);
    if (strncmp(name, "inspect", 7) == 0 && length >= 12 && length < REPORT_NAME_BYTES &&
        strcmp(name + length - 5, ".json") == 0) {
        memcpy(paths->names[paths->n++], name, length + 1);
    }
    return paths->n <= REPORT_MAX_LOOKS;
}

/** An inspection that cannot be read costs the run nothing else: its losses and its place in the
 * fit do not depend on it. */
static void read_looks(struct report_run *run, const char *kind, struct text *notes)
{
    struct look_paths paths = {0};
    struct error failure = {0};
    char path[FILE_PATH_BYTES];
    if (!file_list(run->path, note_look, &paths, &failure)) {
        text_add(notes, "the inspections of %s are left out: %s\n", run->path, failure.message);
        return;
    }
    if (paths.n > REPORT_MAX_LOOKS) {
        text_add(notes,
                 "the inspections of %s are left out: more than %d inspect*.json: keep at most so "
                 "many\n",
                 run->path, REPORT_MAX_LOOKS);
        return;
    }
    for (int i = 0; i < paths.n; i++) {
        if (!file_join(path, run->path, paths.names[i], &failure) ||
            !add_look(run, kind, path, &failure)) {
            text_add(notes, "an inspection is left out: %s\n", failure.message);
        }
    }
}

/** The length of what may stand in a name at c: a character beyond ASCII whole; 0: nothing. */
static size_t plain_length(const char *c)
{
    const unsigned char *u = (const unsigned char *)c;
    if (*u < 0x80) {
        return (*u >= 'a' && *u <= 'z') || (*u >= 'A' && *u <= 'Z') || (*u >= '0' && *u <= '9') ||
                       (*u != '\0' && strchr("-_.=+,/", *c) != NULL)
                   ? 1
                   : 0;
    }
    const bool is_control = u[0] == 0xC2 && u[1] < 0xA0,
               is_none = u[0] == 0xEF && u[1] == 0xBF && u[2] >= 0xBE; /* no character of XML */
    return is_control || is_none ? 0 : text_utf8_length(u);
}

/** After the last n_parts of its path; what does not fit is cut. */
static void name_run(struct report_run *run)
{
    const char *end = run->path + strlen(run->path);
    while (end > run->path + 1 && end[-1] == '/') {
        end--;
    }
    const char *start = end;
    for (int i = 0; i < run->n_parts; i++) {
        start -= i > 0 && start > run->path; /* the slash before the part */
        while (start > run->path && start[-1] != '/') {
            start--;
        }
    }
    size_t n = 0;
    for (size_t length = 0; start < end; start += length) {
        const size_t plain = plain_length(start);
        length = plain > 0 ? plain : 1;
        if (n + length >= sizeof run->name) {
            break;
        }
        memcpy(run->name + n, plain > 0 ? start : "?", length);
        n += length;
    }
    run->name[n] = '\0';
}

static bool is_doubled(const struct report *report, int which)
{
    const struct report_run *run = &report->runs[which];
    for (int i = 0; i < report->n_runs; i++) {
        if (i != which && strcmp(report->runs[i].name, run->name) == 0) {
            return true;
        }
    }
    return false;
}

void report_name_runs(struct report *report)
{
    enum { MOST_PARTS = 4 };
    bool doubled[REPORT_MAX_RUNS];
    for (int parts = 2; parts <= MOST_PARTS; parts++) {
        for (int i = 0; i < report->n_runs; i++) {
            doubled[i] = is_doubled(report, i);
        }
        for (int i = 0; i < report->n_runs; i++) {
            if (doubled[i]) {
                report->runs[i].n_parts = parts;
                name_run(&report->runs[i]);
            }
        }
    }
}

static bool add_kind(struct report_run *run, struct report *report, const char *kind,
                     struct error *err)
{
    for (run->kind = 0; run->kind < report->n_kinds; run->kind++) {
        if (strcmp(report->kinds[run->kind], kind) == 0) {
            return true;
        }
    }
    if (report->n_kinds == FIT_MAX_KINDS) {
        return error_set(err, ERROR_DATA, "%s is one kind too many, at most %d are compared", kind,
                         FIT_MAX_KINDS);
    }
    memcpy(report->kinds[report->n_kinds++], kind, strlen(kind) + 1);
    return true;
}

/** What every kind of a size shares, and what decides which batches a run sees. Of data.val only
 * whether it is given: without it some of data.train is kept back. */
static const struct {
    const char *key;
    bool is_size;
} SHARED[] = {
    {"model.layers", true},   {"model.dim", true},      {"model.heads", true},
    {"model.kv_heads", true}, {"model.ff", true},       {"model.vocab", true},
    {"model.tied", true},     {"model.seq_len", false}, {"batch.sequences", false},
    {"data.kind", false},     {"data.task", false},     {"data.tasks", false},
    {"data.train", false},    {"data.loss", false},     {"data.skip", false},
};
enum { N_SHARED = sizeof SHARED / sizeof SHARED[0] };

static void hash_setting(void *user, const char *key, const char *value, const char *none,
                         enum config_resume_rule rule)
{
    struct report_run *run = user;
    (void)none;
    (void)rule;
    for (int i = 0; i < N_SHARED; i++) {
        if (strcmp(SHARED[i].key, key) == 0) {
            uint64_t *hash = SHARED[i].is_size ? &run->size_hash : &run->batch_hash;
            *hash = rng_key(rng_key(*hash, key), value);
        }
    }
}

/** A setting that is none in both of two configurations is the same in both. */
static void hash_settings(struct report_run *run, const struct config *config,
                          const struct config *nothing)
{
    config_compare(config, nothing, hash_setting, run);
    run->batch_hash = rng_key(run->batch_hash, config->data.val[0] != '\0' ? "data.val" : "");
}

static bool check_folder(const struct report_run *run, struct error *err)
{
    char config[FILE_PATH_BYTES], metrics[FILE_PATH_BYTES];
    if (!file_join(config, run->path, "config.yaml", err) ||
        !file_join(metrics, run->path, "metrics.jsonl", err)) {
        return false;
    }
    const char *why =
        file_is_absent(run->path) ? "there is no such folder" : fit_reason_against(config, metrics);
    return why == NULL || error_set(err, ERROR_NO_INPUT, "%s", why);
}

static bool read_config(struct report_run *run, char kind[FIT_KIND_BYTES], struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct config *config = calloc(2, sizeof *config); /* the second one: nothing is set */
    if (config == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    const bool ok =
        file_join(path, run->path, "config.yaml", err) && config_load(config, path, 0, NULL, err);
    if (ok) {
        fit_name_kind(kind, config);
        run->n_layers = config->model.n_layers;
        run->dim = config->model.dim;
        run->seed = config->run.seed;
        run->n_steps = config->train.n_steps;
        hash_settings(run, config, &config[1]);
        run->is_bytes = config->data.kind != DATA_TOKENS;
    }
    free(config);
    return ok;
}

static bool read_metrics(struct report_run *run, struct error *err)
{
    char path[FILE_PATH_BYTES];
    if (!file_join(path, run->path, "metrics.jsonl", err) ||
        !read_lines(path, take_metrics, run, err)) {
        return false;
    }
    if (run->n_lines == 0) {
        return error_set(err, ERROR_DATA, "%s: no step in it yet", path);
    }
    run->is_done = run->lines[run->n_lines - 1].step >= run->n_steps;
    return true;
}

/** All of it or nothing, and the run without it as well as with it. */
static void read_hops(struct report_run *run, struct text *notes)
{
    struct error failure = {0};
    char path[FILE_PATH_BYTES];
    if (!file_join(path, run->path, "hops.jsonl", &failure) || file_is_absent(path)) {
        return;
    }
    if (!read_lines(path, take_hops, run, &failure)) {
        text_add(notes, "accuracies per hop are left out: %s\n", failure.message);
        run->n_hops = 0;
    }
}

bool report_read_run(struct report_run *run, struct report *report, const char *path,
                     struct error *err)
{
    char kind[FIT_KIND_BYTES];
    *run = (struct report_run){0};
    if (strlen(path) >= sizeof run->path) {
        return error_set(err, ERROR_DATA, "a path of %zu bytes is too long", strlen(path));
    }
    memcpy(run->path, path, strlen(path) + 1);
    run->n_parts = 1;
    name_run(run);
    if (!check_folder(run, err) || !read_config(run, kind, err) || !read_metrics(run, err) ||
        !add_kind(run, report, kind, err)) {
        return false;
    }
    read_hops(run, report->notes);
    read_looks(run, kind, report->notes);
    return true;
}

void report_finish_run(struct report_run *run)
{
    for (int i = 0; i < run->n_looks; i++) {
        json_document_finish(&run->looks[i].document);
    }
    free(run->lines);
    free(run->hops);
    *run = (struct report_run){0};
}

bool report_has_end(const struct report_run *run)
{
    const struct report_line *last = report_last_line(run);
    return run->is_done && last != NULL && last->flops > 0.0;
}

const struct report_line *report_last_line(const struct report_run *run)
{
    for (int64_t i = run->n_lines - 1; i >= 0; i--) {
        if (!isnan(run->lines[i].val_loss)) {
            return &run->lines[i];
        }
    }
    return NULL;
}

double report_look_at(const struct report_look *look, const char *key, int64_t index)
{
    double number = NAN;
    json_as_real(json_at(json_get(look->document.root, key), (size_t)index), &number);
    return number;
}

double report_map_at(const struct report_look *look, int64_t read, int64_t column)
{
    const struct json_value *row = json_at(json_get(look->document.root, "map"), (size_t)read);
    const bool is_merged = look->n_columns < look->n_sources && column == look->n_columns - 1;
    const int64_t end = is_merged ? look->n_sources : column + 1;
    double number = NAN;
    for (int64_t source = column; source < end && isnan(number); source++) {
        json_as_real(json_at(row, (size_t)source), &number);
    }
    return number;
}

const char *report_column_name(const struct report_look *look, int64_t column)
{
    const bool is_merged = look->n_columns < look->n_sources && column == look->n_columns - 1;
    const struct json_value *sources = json_get(look->document.root, "sources");
    return is_merged ? "open sum" : json_as_text(json_at(sources, (size_t)column));
}
