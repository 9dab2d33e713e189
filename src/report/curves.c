/* Loss against steps and against compute. */
#include "report_internal.h"

#include <math.h>
#include <string.h>

enum {
    MOST_POINTS = 300,
    MOST_NAMED_RUNS = 8,
    FEW_POINTS = 40,
    PANEL_LEFT = 82,
    PANEL_RIGHT = 672,
    ENOUGH_VALS = 8,
    MOST_MEANT = 25
};

/** A run's line: its validation losses, or its training losses, each the mean of the last few,
 * since a step's own is one batch's. */
struct curve {
    const struct report_run *run;
    bool is_val;
    int64_t width; /* of the mean, in lines of metrics */
};

static bool has_enough_vals(const struct report_run *run)
{
    int64_t n_vals = 0;
    for (int64_t i = 0; i < run->n_lines; i++) {
        n_vals += !isnan(run->lines[i].val_loss);
    }
    return n_vals >= ENOUGH_VALS;
}

/** Whether lines are validation losses: of all runs, since one sort says nothing of the other. */
static bool draws_val(const struct report *report)
{
    bool all_have = true;
    for (int i = 0; all_have && i < report->n_runs; i++) {
        all_have = report->runs[i].is_apart || has_enough_vals(&report->runs[i]);
    }
    return all_have;
}

static const char *name_loss(bool is_val)
{
    return is_val ? "validation loss" : "training loss";
}

static struct curve curve_of(const struct report_run *run, bool is_val)
{
    const int64_t width = 1 + run->n_lines / 40;
    return (struct curve){
        .run = run, .is_val = is_val, .width = width < MOST_MEANT ? width : MOST_MEANT};
}

/** NAN: no point. */
static double curve_at(const struct curve *curve, int64_t i)
{
    const struct report_line *lines = curve->run->lines;
    if (curve->is_val || isnan(lines[i].loss)) {
        return curve->is_val ? lines[i].val_loss : NAN;
    }
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t k = i < curve->width ? 0 : i - curve->width + 1; k <= i; k++) {
        if (!isnan(lines[k].loss)) {
            sum += lines[k].loss;
            n++;
        }
    }
    return sum / (double)n;
}

/** What a point stands at: a step, or FLOPs. */
static double x_of(const struct report_line *line, bool by_flops)
{
    return by_flops ? line->flops : (double)line->step;
}

static int64_t count_points(const struct curve *curve)
{
    int64_t n = 0;
    for (int64_t i = 0; i < curve->run->n_lines; i++) {
        n += !isnan(curve->is_val ? curve->run->lines[i].val_loss : curve->run->lines[i].loss);
    }
    return n;
}

/** The points of a curve as a data block; returns how many. */
static int64_t add_points(struct text *data, const struct curve *curve, int index, bool by_flops)
{
    const struct report_run *run = curve->run;
    const int64_t n_there = count_points(curve), every = n_there / MOST_POINTS + 1;
    int64_t n = 0, seen = 0;
    text_add(data, "$r%d << EOD\n", index);
    for (int64_t i = 0; i < run->n_lines; i++) {
        const double loss = curve_at(curve, i), x = x_of(&run->lines[i], by_flops);
        if (isnan(loss)) {
            continue;
        }
        const bool is_kept = seen++ % every == 0 || seen == n_there;
        if (is_kept && x > 0.0) {
            text_add(data, "%.9g %.9g\n", x, loss);
            n++;
        }
    }
    text_add(data, "EOD\n");
    return n;
}

static int64_t add_all_points(struct text *data, const struct report *report, bool is_val,
                              bool by_flops)
{
    int64_t n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        if (!report->runs[i].is_apart) {
            const struct curve curve = curve_of(&report->runs[i], is_val);
            n += add_points(data, &curve, i, by_flops);
        }
    }
    return n;
}

/** What the axes have to hold. */
struct span {
    double low, high, first_x, last_x;
};

static void widen(struct span *span, double x, double loss)
{
    if (x > 0.0 && !isnan(loss)) {
        span->low = fmin(span->low, loss);
        span->high = fmax(span->high, loss);
        span->first_x = fmin(span->first_x, x);
        span->last_x = fmax(span->last_x, x);
    }
}

/** All points behind a share of each run's steps, and the marks where runs ended. */
static struct span find_span_behind(const struct report *report, bool is_val, bool by_flops,
                                    double share)
{
    struct span span = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        const struct curve curve = curve_of(run, is_val);
        const struct report_line *last = report_last_line(run);
        for (int64_t k = 0; k < run->n_lines && !run->is_apart; k++) {
            if ((double)run->lines[k].step >= share * (double)run->n_steps) {
                widen(&span, x_of(&run->lines[k], by_flops), curve_at(&curve, k));
            }
        }
        if (by_flops && run->is_done && last != NULL && !run->is_apart) {
            widen(&span, last->flops, last->val_loss);
        }
    }
    return span;
}

/** The losses of a run's first steps are so high that they would flatten all others. */
static struct span find_span(const struct report *report, bool is_val, bool by_flops)
{
    const struct span span = find_span_behind(report, is_val, by_flops, 0.05);
    return span.low <= span.high ? span : find_span_behind(report, is_val, by_flops, 0.0);
}

static const char COMPUTE[] = "training compute C, FLOPs";

#define WAYS                                                                                       \
    "Thin lines: the way of each run, as above, so training losses as a rule. Marks: validation "  \
    "loss where finished runs ended. Thick lines: each kind's curve through its marks, as far as " \
    "these reach; attnres fit compares kinds by the runs that both have, whose curves may differ " \
    "from these. Compute counts the reads of depth attention."
static const char COMPUTE_CAPTION[] = WAYS;
static const char RESIDUALS_CAPTION[] =
    WAYS " Below: how far the marks and the curves are off one curve through all marks; dots: each "
         "run; marks: means over runs of a kind, size and budget with their standard errors, kinds "
         "side by side.";

#define LINES                                                                                      \
    "Lines: validation loss where every run has measured it eight times or more, else training "   \
    "loss (a mean over a few logged steps). What is above the picture belongs to the first "       \
    "twentieth of a run."
static const char LINES_CAPTION[] = LINES;
static const char GAPS_CAPTION[] = LINES
    " Below: how far the training loss of the steps that both have logged is off that of the "
    "baseline's run of the same size, budget and seed on the same data, which has seen the same "
    "batches; means over all such pairs, of whatever size and budget, of a fortieth of a run each, "
    "and bands of one standard error. Runs that share kind, size, budget and seed with another one "
    "are in no pair.";

static bool names_runs(const struct report *report)
{
    return report_count_runs(report, -1) <= MOST_NAMED_RUNS;
}

/** A run's own name while runs are few, else that of its kind. */
static void name_run(struct text *t, const struct report *report, const struct report_run *run)
{
    const char *kind = report->kinds[run->kind];
    if (names_runs(report)) {
        text_add(t, "%s (%s)", run->name, kind);
    } else {
        const int n = report_count_runs(report, run->kind);
        text_add(t, "%s (%d run%s)", kind, n, n == 1 ? "" : "s");
    }
}

static size_t longest_run_name(const struct report *report)
{
    size_t longest = 0;
    for (int i = 0; i < report->n_runs; i++) {
        struct text name = {0};
        name_run(&name, report, &report->runs[i]);
        longest = !report->runs[i].is_apart && name.length > longest ? name.length : longest;
    }
    return longest;
}

/** A run's line; of many runs the first of its kind stands for all of them in the legend. */
static void plot_run(struct text *body, const struct report *report, bool is_val, int i,
                     int nth_of_kind)
{
    const struct report_run *run = &report->runs[i];
    const struct curve curve = curve_of(run, is_val);
    const bool few_points = names_runs(report) && count_points(&curve) <= FEW_POINTS;
    text_add(body, " $r%d using 1:2 with %s lc rgb '%s' lw %s dt %d pt %d ps 0.5 ", i,
             few_points ? "linespoints" : "lines", report_colour(report, run->kind),
             report_count_runs(report, -1) > 30 ? "0.7" : "1.5",
             names_runs(report) ? 1 + nth_of_kind % 5 : 1, report_symbol(report, run->kind));
    if (names_runs(report) || nth_of_kind == 0) {
        text_add(body, "title '");
        name_run(body, report, run);
        text_add(body, "'");
    } else {
        text_add(body, "notitle");
    }
}

static void plot_runs(struct text *body, const struct report *report, bool is_val)
{
    bool is_first = true;
    for (int kind = 0; kind < report->n_kinds; kind++) {
        int nth_of_kind = 0;
        for (int i = 0; i < report->n_runs; i++) {
            if (report->runs[i].kind == kind && !report->runs[i].is_apart) {
                text_add(body, is_first ? "" : ",\\\n");
                plot_run(body, report, is_val, i, nth_of_kind++);
                is_first = false;
            }
        }
    }
}

static void set_axes(struct text *body, const struct span *span, const char *x, const char *y)
{
    const double pad = pow(span->high / span->low, 0.04);
    text_add(body,
             "set logscale y\nset xlabel '%s'\nset ylabel '%s'\nset yrange [%.6g:%.6g]\nset format "
             "y '%%g'\n",
             x, y, span->low / pad * (pad > 1.0 ? 1.0 : 0.95),
             span->high * pad * (pad > 1.0 ? 1.0 : 1.05));
    report_add_tics(body, "y", span->low / pad, span->high * pad);
}

/** Room for a legend on the right: the picture grows where names are long. */
static void make_room(struct figure *f, size_t longest_name)
{
    const int width = PANEL_RIGHT + (int)report_legend_pixels(longest_name);
    f->width = width > f->width ? width : f->width;
}

/** Margins of the panel between two heights; the legend has the right. */
static void set_panel(struct figure *f, double top, double bottom)
{
    text_add(f->body,
             "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen "
             "%.3f\nset bmargin at screen %.3f\n",
             (double)PANEL_LEFT / f->width, (double)PANEL_RIGHT / f->width, top, bottom);
}

bool report_draw_steps(struct figure *f, const struct report *report, struct text *why)
{
    char y[96];
    const bool is_val = draws_val(report);
    if (add_all_points(f->data, report, is_val, false) == 0) {
        text_add(why, "no run has a loss in its metrics");
        return false;
    }
    const struct span span = find_span(report, is_val, false);
    struct text label = {y, sizeof y, 0};
    text_add(&label, "%s, %s", name_loss(is_val), report_loss_unit(report));
    const bool has_gaps = report_has_gaps(report);
    if (has_gaps) {
        const size_t of_runs = longest_run_name(report), of_gaps = report_longest_gap_name(report);
        make_room(f, of_runs > of_gaps ? of_runs : of_gaps);
        text_add(f->body, "set multiplot\n");
        set_panel(f, 0.97, 0.48);
        text_add(f->body, "set key at screen 0.995, screen 0.97 top right Left reverse\n");
    }
    set_axes(f->body, &span, "step", y);
    text_add(f->body, "set xrange [0:*]\nplot");
    plot_runs(f->body, report, is_val);
    text_add(f->body, "\n");
    f->height = has_gaps ? 700 : f->height;
    f->caption = has_gaps ? GAPS_CAPTION : LINES_CAPTION;
    if (has_gaps) {
        set_panel(f, 0.36, 0.085);
        text_add(f->body, "set key at screen 0.995, screen 0.36 top right Left reverse\n");
        report_draw_gaps(f, report);
        text_add(f->body, "unset multiplot\n");
    }
    return true;
}

static bool is_end_of(const struct report_run *run, int kind)
{
    return run->kind == kind && report_has_end(run) && !run->is_apart;
}

/** Where each finished run ended, by kind. */
static void add_ends(struct text *data, const struct report *report)
{
    for (int kind = 0; kind < report->n_kinds; kind++) {
        text_add(data, "$e%d << EOD\n", kind);
        for (int i = 0; i < report->n_runs; i++) {
            const struct report_run *run = &report->runs[i];
            if (is_end_of(run, kind)) {
                const struct report_line *last = report_last_line(run);
                text_add(data, "%.9g %.9g\n", last->flops, last->val_loss);
            }
        }
        text_add(data, "EOD\n");
    }
}

static bool has_end(const struct report *report, int kind)
{
    for (int i = 0; i < report->n_runs; i++) {
        if (is_end_of(&report->runs[i], kind)) {
            return true;
        }
    }
    return false;
}

struct fit_curve report_curve_of(const struct report *report, int kind)
{
    const int fitted = report->has_fit[FIT_FLOPS]
                           ? fit_points_find_kind(&report->points, report->kinds[kind])
                           : -1;
    return fitted >= 0 ? report->fits[FIT_FLOPS].curves[fitted] : (struct fit_curve){NAN, NAN};
}

void report_bound_curve(double *first, double *last, const struct report *report, int kind)
{
    *first = INFINITY;
    *last = 0.0;
    for (int i = 0; i < report->points.n; i++) {
        const struct fit_point *p = &report->points.rows[i];
        if (strcmp(report->points.kinds[p->kind], report->kinds[kind]) == 0) {
            *first = fmin(*first, p->spent[FIT_FLOPS]);
            *last = fmax(*last, p->spent[FIT_FLOPS]);
        }
    }
}

/** The fitted curve of a kind, as far as its points reach. */
static void plot_curve(struct text *body, const struct report *report, int kind)
{
    const struct fit_curve curve = report_curve_of(report, kind);
    if (!isnan(curve.alpha)) {
        double first = 0.0, last = 0.0;
        report_bound_curve(&first, &last, report, kind);
        text_add(body,
                 ",\\\n [%.12g:%.12g] exp(%.12g - %.12g * log(x)) with lines lc rgb '%s' lw 1.5 "
                 "title '%s: %.4g C^-%.4f' ",
                 first, last, curve.a, curve.alpha, report_colour(report, kind),
                 report->kinds[kind], exp(curve.a), curve.alpha);
    }
}

static const char AT_END[] = ", validation at the end";

/** The legend's longest name as a rule; a curve's is as long. */
static size_t longest_compute_name(const struct report *report)
{
    size_t longest = 0;
    for (int kind = 0; kind < report->n_kinds; kind++) {
        const size_t length = strlen(report->kinds[kind]) + strlen(AT_END) + 2;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/** Thin and pale, so that marks stand out: the way of each run. */
static void plot_ways(struct text *body, const struct report *report, bool is_val)
{
    for (int i = 0, n = 0; i < report->n_runs; i++) {
        if (!report->runs[i].is_apart) {
            text_add(body, "%s $r%d using 1:2 with lines lc rgb '#80%s' lw 0.5 notitle",
                     n++ > 0 ? ",\\\n" : "", i, report_colour(report, report->runs[i].kind) + 1);
        }
    }
    text_add(body, ",\\\n NaN with lines lc rgb '#999999' lw 0.7 title '%s of a run'",
             name_loss(is_val));
}

static void plot_ends(struct text *body, const struct report *report)
{
    for (int kind = 0; kind < report->n_kinds; kind++) {
        if (has_end(report, kind)) {
            text_add(body, ",\\\n $e%d using 1:2 with points lc rgb '%s' pt %d ps 0.9 title '%s%s'",
                     kind, report_colour(report, kind), report_symbol(report, kind),
                     report->kinds[kind], AT_END);
        }
        plot_curve(body, report, kind);
    }
    text_add(body, "\n");
}

/** The axis of compute, which panels share. */
static void set_compute_axis(struct text *body, double low, double high)
{
    text_add(body,
             "set logscale x\nset format x '10^{%%T}'\nset xrange [%.6g:%.6g]\nset samples 200\n",
             low, high);
    report_add_tics(body, "x", low, high);
}

bool report_draw_compute(struct figure *f, const struct report *report, struct text *why)
{
    char y[96];
    const bool is_val = draws_val(report);
    if (add_all_points(f->data, report, is_val, true) == 0) {
        text_add(why, "no run has FLOPs beside a loss in its metrics");
        return false;
    }
    add_ends(f->data, report);
    const struct span span = find_span(report, is_val, true);
    const double low = span.first_x / 1.2, high = span.last_x * 1.2;
    const struct fit_curve all = fit_curve_of(&report->points, -1, FIT_FLOPS);
    const bool has_residuals = report_has_residuals(report, &all);
    struct text label = {y, sizeof y, 0};
    text_add(&label, "loss, %s", report_loss_unit(report));
    make_room(f, longest_compute_name(report));
    text_add(f->body, "set multiplot\n");
    set_panel(f, 0.97, has_residuals ? 0.43 : 0.12);
    set_axes(f->body, &span, has_residuals ? "" : COMPUTE, y);
    set_compute_axis(f->body, low, high);
    text_add(f->body, "set key at screen 0.995, screen 0.97 top right Left reverse\nplot");
    plot_ways(f->body, report, is_val);
    plot_ends(f->body, report);
    f->height = 520;
    f->caption = COMPUTE_CAPTION;
    if (has_residuals) {
        f->height = 700;
        f->caption = RESIDUALS_CAPTION;
        set_panel(f, 0.37, 0.085);
        text_add(f->body, "set xlabel '%s'\n", COMPUTE);
        report_draw_residuals(f, report, &all, low, high);
    }
    text_add(f->body, "unset multiplot\n");
    return true;
}
