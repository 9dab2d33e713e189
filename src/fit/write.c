/* The report as JSON. */
#include "fit_internal.h"

#include <math.h>

static void write_cells(struct json_writer *w, const struct fit_report *report,
                        const struct fit_points *points, int kind)
{
    json_begin_array(w, "sizes");
    for (int cell = 0; cell < points->n_cells; cell++) {
        const struct fit_summary s = fit_summarize(points, cell, kind, report->options.axis);
        if (s.first == NULL) {
            continue;
        }
        json_begin_object(w, NULL);
        if (s.first->size > 0) {
            json_int(w, "size", s.first->size);
        }
        json_number(w, "tokens",
                    s.first->spent[FIT_TOKENS] > 0.0 ? s.first->spent[FIT_TOKENS] : NAN);
        json_int(w, "seeds", s.n);
        json_number(w, "x", s.x);
        json_number(w, "loss", s.loss);
        json_number_or_null(w, "deviation", s.deviation);
        json_end_object(w);
    }
    json_end_array(w);
}

/** What its points have in common, in the open object. */
static void write_group(struct json_writer *w, const struct fit_point *first)
{
    if (first->size > 0) {
        json_int(w, "size", first->size);
    } else {
        json_number(w, "compute", first->spent[FIT_FLOPS]);
    }
}

static void write_misfit(struct json_writer *w, const struct fit_misfit *misfit,
                         const struct fit_points *points)
{
    json_number_or_null(w, "seed_deviation", misfit->scatter);
    if (!isnan(misfit->farthest)) {
        json_begin_object(w, "farthest");
        write_group(w, fit_first_of_group(points, misfit->group));
        json_number(w, "off", misfit->farthest);
        json_end_object(w);
    }
}

static void write_law(struct json_writer *w, const struct fit_law *law)
{
    json_begin_object(w, "law");
    json_int(w, "runs", law->n);
    if (law->absent != NULL) {
        json_text(w, "absent", law->absent);
    } else {
        json_number(w, "E", law->E);
        json_number(w, "A", law->A);
        json_number(w, "a", law->a);
        json_number(w, "B", law->B);
        json_number(w, "b", law->b);
        json_number(w, "within_E", law->within_E);
        json_number(w, "within_a", law->within_a);
        json_number(w, "within_b", law->within_b);
        json_number(w, "rms", law->rms);
    }
    json_end_object(w);
}

static void write_kinds(struct json_writer *w, const struct fit_report *report,
                        const struct fit_points *points)
{
    json_begin_array(w, "kinds");
    for (int kind = 0; kind < points->n_kinds; kind++) {
        json_begin_object(w, NULL);
        json_text(w, "kind", points->kinds[kind]);
        json_int(w, "runs", fit_count_runs(points, kind));
        json_number_or_null(w, "A", exp(report->curves[kind].a));
        json_number_or_null(w, "alpha", report->curves[kind].alpha);
        write_misfit(w, &report->misfits[kind], points);
        write_cells(w, report, points, kind);
        write_law(w, &report->laws[kind]);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_slopes(struct json_writer *w, const struct fit_comparison *c,
                         const struct fit_points *points, enum fit_slopes slopes)
{
    json_begin_object(w, fit_slopes_name(slopes));
    json_number_or_null(w, "baseline_A", exp(c->curves[slopes][0].a));
    json_number_or_null(w, "baseline_alpha", c->curves[slopes][0].alpha);
    json_number_or_null(w, "A", exp(c->curves[slopes][1].a));
    json_number_or_null(w, "alpha", c->curves[slopes][1].alpha);
    json_number_or_null(w, "multiplier", c->multiplier[slopes]);
    json_number_or_null(w, "low", c->low[slopes]);
    json_number_or_null(w, "high", c->high[slopes]);
    json_begin_array(w, "without");
    for (int group = 0; group < points->n_groups; group++) {
        if (isnan(c->without[group].multiplier[slopes])) {
            continue;
        }
        json_begin_object(w, NULL);
        write_group(w, fit_first_of_group(points, group));
        json_number_or_null(w, "multiplier", c->without[group].multiplier[slopes]);
        json_number(w, "reach", c->without[group].reach);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static void write_comparisons(struct json_writer *w, const struct fit_report *report,
                              const struct fit_points *points)
{
    json_begin_array(w, "multipliers");
    for (int i = 0; i < report->n_comparisons; i++) {
        const struct fit_comparison *c = &report->comparisons[i];
        json_begin_object(w, NULL);
        json_text(w, "kind", points->kinds[c->kind]);
        json_number(w, "at", c->at);
        json_number(w, "reach", c->reach);
        json_int(w, "left_out", c->n_left_out);
        if (c->no_interval != NULL) {
            json_text(w, "no_interval", c->no_interval);
        } else {
            json_int(w, "freedom", c->freedom);
            json_number_or_null(w, "scatter", c->scatter);
        }
        write_slopes(w, c, points, FIT_SEPARATE);
        write_slopes(w, c, points, FIT_COMMON);
        json_end_object(w);
    }
    json_end_array(w);
}

void fit_report_write_json(struct json_writer *w, const struct fit_report *report,
                           const struct fit_points *points)
{
    json_text(w, "x", fit_axis_name(report->options.axis));
    if (report->baseline >= 0) {
        json_text(w, "baseline", points->kinds[report->baseline]);
    }
    write_kinds(w, report, points);
    write_comparisons(w, report, points);
}
