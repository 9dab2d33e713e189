/* The page: tables, and all figures in one file. */
#include "report_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PICTURE_BYTES = 64 << 20, MOST_TIMELINES = 4, MOST_OPEN_ROWS = 12 };

/** Text whose every character means itself. */
static void add_text(struct file_sheet *p, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            file_sheet_add(p, "&lt;");
            break;
        case '>':
            file_sheet_add(p, "&gt;");
            break;
        case '&':
            file_sheet_add(p, "&amp;");
            break;
        default:
            file_sheet_add_bytes(p, text, 1);
        }
    }
}

static void add_head(struct file_sheet *p, const struct report *report)
{
    file_sheet_add(
        p,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n" REPORT_PAGE_MARK "\n"
        "<style>\n"
        "body { font: 16px/1.5 Helvetica, Arial, sans-serif; color: #222; max-width: 1120px; "
        "margin: 2em auto; padding: 0 1em; }\n"
        "h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin: 2em 0 0.3em; }\n"
        "figure { margin: 0; } figure svg, figure img { max-width: 100%%; height: auto; }\n"
        "figcaption, .notes { color: #555; font-size: 0.9em; max-width: 60em; }\n"
        "table { border-collapse: collapse; font-size: 0.9em; }\n"
        "th, td { text-align: right; padding: 0.15em 0.8em; border-bottom: 1px solid #ddd; }\n"
        "th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }\n"
        "pre { overflow-x: auto; font-size: 0.85em; background: #f6f6f6; padding: 0.8em; }\n"
        "</style>\n</head>\n<body>\n<h1>attnres report</h1>\n<p>%d run%s",
        report->n_runs, report->n_runs == 1 ? "" : "s");
    if (report->has_fit[FIT_FLOPS] && report->points.n < report->n_runs) {
        file_sheet_add(p, ", %d of them in the fit", report->points.n);
    }
    file_sheet_add(p, "</p>\n");
}

/** A multiplier to two decimals while these say something. */
static void add_multiplier(struct file_sheet *p, double m)
{
    static const double LARGEST_PLAIN = 1000.0;
    file_sheet_add(p, m < LARGEST_PLAIN ? "%.2f" : "%.3g", m);
}

/** How far to believe the curves. */
static void add_misfits(struct file_sheet *p, const struct report *report)
{
    const struct fit_report *fit = &report->fits[FIT_FLOPS];
    bool has_any = false;
    for (int kind = 0; report->has_fit[FIT_FLOPS] && kind < report->points.n_kinds; kind++) {
        const struct fit_misfit *misfit = &fit->misfits[kind];
        if (isnan(misfit->farthest)) {
            continue;
        }
        file_sheet_add(p, "%s%s %.1f %%",
                       has_any ? ", " : "<p>The mean of a size lies off them by up to: ",
                       report->points.kinds[kind], 100.0 * fabs(misfit->farthest));
        if (!isnan(misfit->scatter)) {
            file_sheet_add(p, " (a seed off that mean by %.1f %%)", 100.0 * misfit->scatter);
        }
        has_any = true;
    }
    file_sheet_add(p, has_any ? ".</p>\n" : "");
}

/** What the fits come to, in sentences. */
static void add_findings(struct file_sheet *p, const struct report *report)
{
    const struct fit_report *fit = &report->fits[FIT_FLOPS];
    for (int i = 0; report->has_fit[FIT_FLOPS] && i < fit->n_comparisons; i++) {
        const struct fit_comparison *c = &fit->comparisons[i];
        const double m = c->multiplier[FIT_SEPARATE];
        if (!isfinite(m)) {
            continue;
        }
        file_sheet_add(p, "<p>By the fitted curves %s needs <b>",
                       report->points.kinds[fit->baseline]);
        add_multiplier(p, m);
        file_sheet_add(p, " times</b> the %.3g FLOPs with which %s reaches a loss", c->at,
                       report->points.kinds[c->kind]);
        if (c->no_interval == NULL) {
            char words[160] = "";
            struct text t = {words, sizeof words, 0};
            fit_add_interval(&t, 2, c->low[FIT_SEPARATE], c->high[FIT_SEPARATE]);
            const bool holds_1 = c->low[FIT_SEPARATE] <= 1.0 && 1.0 <= c->high[FIT_SEPARATE];
            file_sheet_add(p, " (95 %% interval: %s%s)", words,
                           holds_1 ? ", so not told from 1" : "");
        } else {
            file_sheet_add(p, " (no interval: %s)", c->no_interval);
        }
        file_sheet_add(p, ".");
        if (c->no_interval == NULL && fit_scatters_unequally(c)) {
            file_sheet_add(p,
                           " Seeds scatter %.1f times as much at one size as at the others: the "
                           "interval may be too narrow.",
                           c->scatter);
        }
        file_sheet_add(p, "</p>\n");
    }
    add_misfits(p, report);
}

/** With so many decimals, and where these would be absurd in four digits. */
static void add_number(struct file_sheet *p, int decimals, double number)
{
    static const double LARGEST_PLAIN = 1e6;
    file_sheet_add(p, "<td>");
    if (fabs(number) < LARGEST_PLAIN) {
        file_sheet_add(p, "%.*f", decimals, number);
    } else if (!isnan(number)) {
        file_sheet_add(p, "%.4g", number);
    }
    file_sheet_add(p, "</td>");
}

/** In three digits. */
static void add_large(struct file_sheet *p, double number)
{
    file_sheet_add(p, isnan(number) ? "<td></td>" : "<td>%.3g</td>", number);
}

/** NAN: it has none. */
static double last_training_loss(const struct report_run *run)
{
    int64_t i = run->n_lines - 1;
    while (i > 0 && isnan(run->lines[i].loss)) {
        i--;
    }
    return run->lines[i].loss;
}

static void add_run(struct file_sheet *p, const struct report *report, const struct report_run *run)
{
    const struct report_line *end = &run->lines[run->n_lines - 1], *last = report_last_line(run);
    file_sheet_add(p, "<tr><td>");
    add_text(p, run->name);
    file_sheet_add(p, "</td><td>");
    add_text(p, report->kinds[run->kind]);
    file_sheet_add(p, "</td><td>%lld × %lld</td><td>%lld</td><td>%lld%s</td>",
                   (long long)run->n_layers, (long long)run->dim, (long long)run->seed,
                   (long long)end->step, run->is_done ? "" : " (not done)");
    add_number(p, 4, last_training_loss(run));
    add_number(p, 4, last != NULL ? last->val_loss : NAN);
    add_large(p, end->flops);
    add_large(p, end->tokens);
    add_number(p, 1, end->time_s / 60.0);
    file_sheet_add(p, "</tr>\n");
}

static void add_runs(struct file_sheet *p, const struct report *report)
{
    file_sheet_add(
        p,
        "<details%s>\n<summary>The runs</summary>\n<table>\n<tr><th>run</th><th>kind</th>"
        "<th>layers × width</th><th>seed</th><th>steps</th><th>loss of the last batch</th>"
        "<th>validation loss</th><th>FLOPs</th><th>tokens</th><th>minutes</th></tr>\n",
        report->n_runs <= MOST_OPEN_ROWS ? " open" : "");
    for (int i = 0; i < report->n_runs; i++) {
        add_run(p, report, &report->runs[i]);
    }
    file_sheet_add(p, "</table>\n</details>\n");
}

static void add_fit(struct file_sheet *p, const struct report *report)
{
    if (!report->has_fit[FIT_FLOPS]) {
        return;
    }
    const struct fit_report *fit = &report->fits[FIT_FLOPS];
    const size_t length = fit_report_print(fit, &report->points, NULL, 0);
    char *text = calloc(length + 1, 1);
    if (text == NULL) {
        p->ok = p->ok && error_set(p->err, ERROR_CREATE, "no memory for the fit");
        return;
    }
    fit_report_print(fit, &report->points, text, length + 1);
    file_sheet_add(p, "<h2>The fit</h2>\n<p class=\"notes\">size: parameters but for those of "
                      "reads, so that all kinds of one shape share it</p>\n<pre>");
    add_text(p, text);
    file_sheet_add(p, "</pre>\n");
    free(text);
}

static bool read_beside(struct file_bytes *f, const char *folder, const char *name,
                        struct error *err)
{
    char path[FILE_PATH_BYTES];
    return file_join(path, folder, name, err) && file_read(f, path, MAX_PICTURE_BYTES, err);
}

/** What gnuplot has drawn, from its svg element on. Names in it are made the figure's own, since
 * all figures are parts of one document. */
static void add_figure(struct file_sheet *p, const struct report *report,
                       const struct report_picture *picture)
{
    struct file_bytes f = {0};
    char file[REPORT_NAME_BYTES];
    snprintf(file, sizeof file, "%s.svg", picture->name);
    if (!p->ok || !(p->ok = read_beside(&f, report->out, file, p->err))) {
        return;
    }
    file_sheet_add(p, "<h2>");
    add_text(p, picture->title);
    file_sheet_add(p, "</h2>\n<figure>\n");
    const char *svg = strstr((const char *)f.bytes, "<svg");
    add_text(p, svg == NULL ? "not drawn" : "");
    if (svg != NULL) {
        file_sheet_add_bytes(p, svg, strlen(svg));
    }
    file_sheet_add(p, "<figcaption>");
    add_text(p, picture->caption);
    file_sheet_add(p, "</figcaption>\n</figure>\n");
    file_bytes_finish(&f);
}

static void add_base64(struct file_sheet *p, const unsigned char *bytes, size_t length)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        const size_t n = length - i < 3 ? length - i : 3;
        const uint32_t word = (uint32_t)bytes[i] << 16 | (uint32_t)(n > 1 ? bytes[i + 1] : 0) << 8 |
                              (uint32_t)(n > 2 ? bytes[i + 2] : 0);
        char digits[4] = {DIGITS[word >> 18], DIGITS[word >> 12 & 63],
                          n > 1 ? DIGITS[word >> 6 & 63] : '=', n > 2 ? DIGITS[word & 63] : '='};
        file_sheet_add_bytes(p, digits, sizeof digits);
    }
}

/** A run's own picture of a step comes from elsewhere: as an image nothing in it can run. */
static void add_timelines(struct file_sheet *p, const struct report *report)
{
    int n = 0;
    for (int i = 0; i < report->n_runs && p->ok; i++) {
        char path[FILE_PATH_BYTES];
        struct file_bytes f = {0};
        if (!file_join(path, report->runs[i].path, "trace/step.svg", NULL) || !file_exists(path)) {
            continue;
        }
        if (++n > MOST_TIMELINES) {
            text_add(report->notes, "the timelines of the first %d runs that have one are shown\n",
                     MOST_TIMELINES);
            break;
        }
        p->ok = file_read(&f, path, MAX_PICTURE_BYTES, p->err);
        if (p->ok) {
            file_sheet_add(p, "<h2>A step of ");
            add_text(p, report->runs[i].name);
            file_sheet_add(p, "</h2>\n<figure>\n<img alt=\"timeline of a step\" "
                              "src=\"data:image/svg+xml;base64,");
            add_base64(p, f.bytes, f.length);
            file_sheet_add(p, "\">\n</figure>\n");
        }
        file_bytes_finish(&f);
    }
    if (n == 0) {
        text_add(report->notes, "no timeline of a step: no run has a trace/step.svg; train with "
                                "trace.steps=3 makes it\n");
    }
}

static void add_notes(struct file_sheet *p, const struct report *report)
{
    if (report->notes->length > 0) {
        file_sheet_add(p, "<h2>Left out</h2>\n<pre class=\"notes\">");
        add_text(p, report->notes->bytes);
        file_sheet_add(p, "</pre>\n");
    }
}

bool report_write_page(const struct report *report, const struct report_picture *pictures,
                       int n_pictures, struct error *err)
{
    char aside[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct file_sheet p;
    if (!file_join(aside, report->out, ".index.html.partial", err) ||
        !file_join(path, report->out, "index.html", err) || !file_sheet_open(&p, aside, err)) {
        return false;
    }
    add_head(&p, report);
    add_findings(&p, report);
    add_runs(&p, report);
    for (int i = 0; i < n_pictures; i++) {
        add_figure(&p, report, &pictures[i]);
    }
    add_timelines(&p, report);
    add_fit(&p, report);
    add_notes(&p, report);
    file_sheet_add(&p, "</body>\n</html>\n");
    const bool ok = file_sheet_close(&p) && file_rename(aside, path, err);
    if (!ok) {
        file_remove(aside, NULL);
    }
    return ok;
}
