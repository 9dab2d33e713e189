#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/fit.h>

enum { TEXT_BYTES = 1 << 24 };

/** Loud: a fit of few runs looks like one of many. */
static bool print_left_out(const struct fit_points *points, struct error *err)
{
    struct text measured = {0};
    fit_tell_left_out(&measured, points);
    char *bytes = calloc(measured.length + 1, 1);
    if (bytes == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to tell what is left out");
    }
    struct text t = {bytes, measured.length + 1, 0};
    fit_tell_left_out(&t, points);
    fputs(bytes, stderr);
    free(bytes);
    return true;
}

static bool read_inputs(struct fit_points *points, const struct command_line *line,
                        struct error *err)
{
    for (int i = 0; i < line->n_positionals; i++) {
        const char *path = line->positionals[i];
        if (!(file_is_folder(path) ? fit_points_read_run(points, path, err)
                                   : fit_points_read(points, path, err))) {
            return false;
        }
    }
    const bool ok = fit_points_arrange(points, err);
    return print_left_out(points, err) && ok;
}

static bool choose_axis(enum fit_axis *axis, const char *name, struct error *err)
{
    for (*axis = 0; *axis < FIT_AXES; ++*axis) {
        if (strcmp(name, fit_axis_name(*axis)) == 0) {
            return true;
        }
    }
    return error_set(err, ERROR_USAGE, "--x=%s: choose flops, tokens or time", name);
}

/** Without a word of the user's there may be none of it. */
static bool choose_baseline(int *baseline, const struct fit_points *points,
                            const struct command_line *line, struct error *err)
{
    const char *name = command_text(line, "baseline", "standard");
    *baseline = fit_points_find_kind(points, name);
    if (*baseline >= 0 || !command_has(line, "baseline")) {
        return true;
    }
    error_set(err, ERROR_USAGE, "--baseline=%s: no run is of that kind; there are:", name);
    for (int i = 0; i < points->n_kinds; i++) {
        error_add(err, ERROR_USAGE, "  %s", points->kinds[i]);
    }
    return false;
}

static bool print(const struct fit_report *report, const struct fit_points *points, bool as_json,
                  struct error *err)
{
    char *text = calloc(TEXT_BYTES, 1);
    if (text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to print the fit");
    }
    bool fits = true;
    if (as_json) {
        struct json_writer w;
        json_writer_init(&w, text, TEXT_BYTES);
        json_begin_object(&w, NULL);
        fit_report_write_json(&w, report, points);
        json_end_object(&w);
        fits = json_writer_ok(&w);
    } else {
        fits = fit_report_print(report, points, text, TEXT_BYTES) < TEXT_BYTES;
    }
    if (fits) {
        printf("%s%s", text, as_json ? "\n" : "");
    }
    free(text);
    return fits || error_set(err, ERROR_INTERNAL, "the fit is too large to print");
}

static bool fit(const struct command_line *line, struct fit_points *points, struct error *err)
{
    struct fit_options options = {.at = command_real(line, "at", 0.0),
                                  .seed = (uint64_t)command_int(line, "seed", 1)};
    const int64_t n_redraws = command_int(line, "redraws", 2000);
    if (n_redraws < 100 || n_redraws > 1000000) {
        return error_set(err, ERROR_USAGE, "--redraws must be 100 to 1000000");
    }
    options.n_redraws = (int)n_redraws;
    int baseline = -1;
    if (!choose_axis(&options.axis, command_text(line, "x", "flops"), err) ||
        !read_inputs(points, line, err) || !choose_baseline(&baseline, points, line, err)) {
        return false;
    }
    struct fit_report *report = calloc(1, sizeof *report);
    if (report == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for the fit");
    }
    const bool ok = fit_report_make(report, points, baseline, &options, err) &&
                    print(report, points, command_has(line, "json"), err);
    fit_report_finish(report);
    free(report);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    struct fit_points *points = calloc(1, sizeof *points);
    if (points == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for points");
    }
    const bool ok = fit(line, points, err);
    fit_points_finish(points);
    free(points);
    return ok;
}

const struct command fit_command = {
    .name = "fit",
    .usage = "RUN|FILE... [--x=flops|tokens|time] [--baseline KIND] [--at N]",
    .summary = "fit loss against compute, and how much more of it the baseline needs",
    .details =
        "RUN is the folder of a finished run: the val_loss of its last step counts. FILE, or "
        "standard input (-), has\n"
        "points, one a line: JSON objects, or comma-separated values under a line of names. "
        "Names: kind, compute, loss; and,\n"
        "if they are known, size (parameters), seed, tokens, time (seconds). A run's size leaves "
        "out the parameters of its\n"
        "reads, so that all kinds of one shape share a size: leave them out in a FILE too.\n\n"
        "A multiplier above 1 says that the baseline needs so many times the compute for the loss "
        "that a kind has;\n"
        "below 1 it is the kind that needs more. Its interval needs two or more seeds a size, run "
        "with both kinds. It takes\n"
        "seeds to scatter alike at all sizes, and may be too narrow where they do not. Each size "
        "is "
        "also left out in turn.\n"
        "Kinds are compared on the sizes and tokens that both have, and where one has more seeds "
        "there on the seeds of both; a\n"
        "curve needs two sizes, whose mean compute is a factor of 1.5 apart or more. How far its "
        "means lie off it, beside how\n"
        "far seeds lie apart, tells whether a power law is the right curve. Compute counts the "
        "reads of depth attention; times\n"
        "compare on one machine alone.\n\n"
        "Last comes each kind's law of N parameters (the size) and D tokens, loss = E + A N^-a + "
        "B D^-b. It needs six runs,\n"
        "of three sizes and three numbers of tokens, and tokens that do not just follow the "
        "size.\n\n"
        "A run's kind is its model.kind, +static for model.read, +bf16 or +int8 for "
        "representative.value. Runs whose\n"
        "validation is not that of most are left out, and so are all that share kind, size, tokens "
        "and seed with another:\n"
        "give only the one that shall count.",
    .flags = {{"x", FLAG_TEXT, "AXIS",
               "flops (default; compute of a FILE), tokens, or time on the clock"},
              {"baseline", FLAG_TEXT, "KIND", "the kind to compare with (default standard)"},
              {"at", FLAG_REAL, "N",
               "compare at this compute, or what --x says (default: as far as runs of both go)"},
              {"seed", FLAG_INT, "N", "of the interval's redraws (default 1)"},
              {"redraws", FLAG_INT, "N", "how many (default 2000)"},
              {"json", FLAG_SWITCH, NULL, "one JSON object"}},
    .least = 1,
    .most = 1 << 20,
    .is_alone = true,
    .run = run,
};
