/* All that points say together. */
#include "fit_internal.h"

#include <math.h>

const char *fit_slopes_name(enum fit_slopes slopes)
{
    return slopes == FIT_SEPARATE ? "separate" : "common";
}

int fit_count_runs(const struct fit_points *points, int kind)
{
    int n = 0;
    for (int i = 0; i < points->n; i++) {
        n += points->rows[i].kind == kind;
    }
    return n;
}

/** The first row whose cell is not below this one. */
static int first_row_of(const struct fit_points *points, int cell)
{
    int low = 0, high = points->n;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (points->rows[middle].cell < cell) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct fit_summary fit_summarize(const struct fit_points *points, int cell, int kind,
                                 enum fit_axis axis)
{
    struct fit_summary s = {.deviation = NAN};
    double squares = 0.0;
    for (int i = first_row_of(points, cell); i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (p->cell != cell) {
            break;
        }
        if (p->kind == kind) {
            s.first = s.first == NULL ? p : s.first;
            s.n++;
            s.x += (p->spent[axis] - s.x) / s.n;
            const double d = p->loss - s.loss;
            s.loss += d / s.n;
            squares += d * (p->loss - s.loss); /* Welford */
        }
    }
    s.deviation = s.n > 1 ? sqrt(squares / (s.n - 1)) : NAN;
    return s;
}

const struct fit_point *fit_first_of_group(const struct fit_points *points, int group)
{
    for (int i = 0; i < points->n; i++) {
        if (points->rows[i].group == group) {
            return &points->rows[i];
        }
    }
    return NULL;
}

static bool check_axis(const struct fit_points *points, enum fit_axis axis, struct error *err)
{
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (!(p->spent[axis] > 0.0)) {
            return error_set(err, ERROR_USAGE, "--x=%s: %s:%d has no %s", fit_axis_name(axis),
                             p->source, p->line, fit_axis_name(axis));
        }
    }
    return true;
}

bool fit_report_make(struct fit_report *report, const struct fit_points *points, int baseline,
                     const struct fit_options *options, struct error *err)
{
    *report = (struct fit_report){.options = *options, .baseline = baseline};
    if (!check_axis(points, options->axis, err)) {
        return false;
    }
    for (int kind = 0; kind < points->n_kinds; kind++) {
        report->curves[kind] = fit_curve_of(points, kind, options->axis);
        report->misfits[kind] = fit_misfit_of(points, kind, report->curves[kind], options->axis);
        if (!fit_law_of(&report->laws[kind], points, kind, err)) {
            return false;
        }
        if (baseline < 0 || kind == baseline) {
            continue;
        }
        if (!fit_compare(&report->comparisons[report->n_comparisons], points, baseline, kind,
                         &report->options, err)) {
            return false;
        }
        report->n_comparisons++;
    }
    return true;
}

void fit_report_finish(struct fit_report *report)
{
    if (report == NULL) {
        return;
    }
    for (int i = 0; i < report->n_comparisons; i++) {
        fit_comparison_finish(&report->comparisons[i]);
    }
    *report = (struct fit_report){0};
}
