/* A run's folder as a point: config.yaml and the last line of metrics.jsonl. */
#include "fit_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/depth.h>
#include <attnres/file.h>
#include <attnres/params.h>
#include <attnres/text.h>

enum { MAX_FILE_BYTES = 1 << 30, MAX_LINE_BYTES = 1 << 16 };

/** What a line of metrics says. NAN: not there. */
struct reached {
    int64_t step;
    int line;
    double val_loss, spent[FIT_AXES];
};

static double real_of(const struct json_value *root, const char *key)
{
    double number = NAN;
    json_as_real(json_get(root, key), &number);
    return number;
}

static bool read_line(struct reached *last, const char *path, const char *bytes, size_t length,
                      struct error *err)
{
    char place[FILE_PATH_BYTES + 16];
    const int line = last->line + 1;
    snprintf(place, sizeof place, "%s:%d", path, line);
    struct json_document d;
    if (length > MAX_LINE_BYTES) {
        return error_set(err, ERROR_DATA, "%s: a line of %zu bytes, at most %d are read", place,
                         length, MAX_LINE_BYTES);
    }
    if (!json_parse(&d, bytes, length, place, err)) {
        return false;
    }
    struct reached now = {.line = line, .val_loss = real_of(d.root, "val_loss")};
    const bool has_step = json_as_int(json_get(d.root, "step"), &now.step);
    now.spent[FIT_FLOPS] = real_of(d.root, "flops");
    now.spent[FIT_TOKENS] = real_of(d.root, "tokens");
    now.spent[FIT_TIME] = real_of(d.root, "time_s");
    json_document_finish(&d);
    if (!has_step || now.step <= last->step) {
        return error_set(err, ERROR_DATA, "%s: step: expected a whole number above %lld", place,
                         (long long)last->step);
    }
    *last = now;
    return true;
}

/** A line that a crash has torn, or that is being written, does not count. */
static bool read_metrics(struct reached *last, const char *path, struct error *err)
{
    struct file_bytes f = {0};
    if (!file_read(&f, path, MAX_FILE_BYTES, err)) {
        return false;
    }
    bool ok = true;
    const char *line = (const char *)f.bytes, *end = line + f.length;
    while (ok && line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL) {
            break;
        }
        ok = read_line(last, path, line, (size_t)(newline - line), err);
        line = newline + 1;
    }
    file_bytes_finish(&f);
    return ok;
}

static bool check_reached(const struct reached *last, const char *path, struct error *err)
{
    for (enum fit_axis axis = 0; axis < FIT_AXES; axis++) {
        if (!(last->spent[axis] > 0.0 && last->spent[axis] <= 1e100)) {
            return error_set(err, ERROR_DATA, "%s:%d: %s: expected a number from above 0 to 1e100",
                             path, last->line, axis == FIT_TIME ? "time_s" : fit_axis_name(axis));
        }
    }
    return (last->val_loss > 0.0 && last->val_loss <= 1e100) ||
           error_set(err, ERROR_DATA, "%s:%d: val_loss: expected a number from above 0 to 1e100",
                     path, last->line);
}

static int64_t size_of(const struct model_config *model)
{
    const struct depth_plan depth = depth_plan_make(model);
    struct params params;
    params_init(&params, model, &depth);
    int64_t size = params.n_parameters;
    for (int64_t i = 0; i < params.n_rows; i++) {
        size -= params.rows[i].role == PARAM_READ ? params.rows[i].count : 0;
    }
    params_finish(&params);
    return size;
}

void fit_name_kind(char kind[FIT_KIND_BYTES], const struct config *config)
{
    static const char *const ROUNDED[] = {
        [PRECISION_F32] = "", [PRECISION_BF16] = "+bf16", [PRECISION_INT8] = "+int8"};
    snprintf(kind, FIT_KIND_BYTES, "%s%s%s", config_model_kind_name(config->model.kind),
             config->model.read == READ_STATIC ? "+static" : "",
             ROUNDED[config->representative.value]);
}

static bool add_run(struct fit_points *points, const char *path, const char *metrics,
                    const struct config *config, const struct reached *last, struct error *err)
{
    const int64_t n_steps = config->train.n_steps;
    if (last->step < n_steps) {
        char detail[64];
        snprintf(detail, sizeof detail, "step %lld of %lld", (long long)last->step,
                 (long long)n_steps);
        return fit_points_leave_out(points, path, "the last step is not reached", detail, err);
    }
    if (isnan(last->val_loss)) {
        return fit_points_leave_out(
            points, path,
            "no val_loss on the last line; it takes validation data, which tokens have by data.val "
            "alone, and train.eval_every of 1 or more",
            "", err);
    }
    struct fit_point point = {.size = size_of(&config->model),
                              .seed = config->run.seed,
                              .loss = last->val_loss,
                              .source = path};
    memcpy(point.spent, last->spent, sizeof point.spent);
    char kind[FIT_KIND_BYTES];
    fit_name_kind(kind, config);
    return check_reached(last, metrics, err) &&
           fit_points_find_form(&point.form, points, path, config, err) &&
           fit_points_add(points, kind, &point, err);
}

const char *fit_reason_against(const char *config, const char *metrics)
{
    if (file_is_absent(config)) {
        return "no config.yaml in it; expected the folder of a run (those of a sweep are DIR/*)";
    }
    return file_is_absent(metrics) ? "no metrics.jsonl in it yet" : NULL;
}

/** What is damaged does not count; without memory, or room for points, there is no going on. */
static bool pass_over(struct fit_points *points, const char *path, struct error *failure,
                      struct error *err)
{
    if (failure->kind == ERROR_CREATE || points->n == FIT_MAX_POINTS) {
        return error_set(err, failure->kind, "%s", failure->message);
    }
    for (char *end = strchr(failure->message, '\n'); end != NULL; end = strchr(end, '\n')) {
        *end = ' ';
    }
    return fit_points_leave_out(points, path, failure->message, "", err);
}

bool fit_points_read_run(struct fit_points *points, const char *path, struct error *err)
{
    char config_path[FILE_PATH_BYTES], metrics_path[FILE_PATH_BYTES];
    struct reached last = {0};
    if (!file_join(config_path, path, "config.yaml", err) ||
        !file_join(metrics_path, path, "metrics.jsonl", err)) {
        return false;
    }
    points->n_runs++;
    const char *why = fit_reason_against(config_path, metrics_path);
    if (why != NULL) {
        return fit_points_leave_out(points, path, why, "", err);
    }
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    struct error failure = {0};
    const bool ok = config_load(config, config_path, 0, NULL, &failure) &&
                    read_metrics(&last, metrics_path, &failure) &&
                    add_run(points, path, metrics_path, config, &last, &failure);
    free(config);
    return ok || pass_over(points, path, &failure, err);
}
