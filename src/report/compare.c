/* Kinds against each other: the compute multiplier, and the best shape. */
#include "report_internal.h"

#include <math.h>
#include <stdlib.h>

static const char *const AXIS_LABELS[FIT_AXES] = {"compute", "tokens", "time"},
                         *const AXIS_UNITS[FIT_AXES] = {"FLOPs", "tokens", "seconds"};

/** Where a baseline hardly falls, it "needs" anything: beyond this a multiplier is no finding, and
 * an axis that holds it shows nothing else. */
static const double LARGEST_DRAWN = 1000.0;

static bool is_drawable(double m)
{
    return m >= 0.0 && m <= LARGEST_DRAWN; /* not NAN */
}

static bool is_axis_drawn(const struct report *report, enum fit_axis axis)
{
    return report->has_fit[axis] && (axis != FIT_TIME || report->wants_time);
}

void report_note_multipliers(const struct report *report)
{
    for (enum fit_axis axis = 0; axis < FIT_AXES; axis++) {
        const struct fit_report *fit = &report->fits[axis];
        for (int i = 0; is_axis_drawn(report, axis) && i < fit->n_comparisons; i++) {
            const double m = fit->comparisons[i].multiplier[FIT_SEPARATE];
            if (!isnan(m) && !is_drawable(m)) {
                text_add(report->notes,
                         "the multiplier of %s on %s, %.3g, is not drawn: the curve of %s is too "
                         "flat to say what it would need\n",
                         report->points.kinds[fit->comparisons[i].kind], AXIS_LABELS[axis], m,
                         report->points.kinds[fit->baseline]);
            }
        }
    }
}

/** A row of the figure: the multiplier of a kind on an axis. */
struct row {
    const struct fit_comparison *comparison;
    enum fit_axis axis;
};
enum { MOST_ROWS = FIT_AXES * FIT_MAX_KINDS };

/** From above: for each axis the kinds. */
static int list_rows(struct row rows[MOST_ROWS], const struct report *report)
{
    int n = 0;
    for (enum fit_axis axis = 0; axis < FIT_AXES; axis++) {
        const struct fit_report *fit = &report->fits[axis];
        for (int i = 0; is_axis_drawn(report, axis) && i < fit->n_comparisons; i++) {
            const double *m = fit->comparisons[i].multiplier;
            if (is_drawable(m[FIT_SEPARATE]) || is_drawable(m[FIT_COMMON])) {
                rows[n++] = (struct row){&fit->comparisons[i], axis};
            }
        }
    }
    return n;
}

/** What the axis has to hold. */
struct range {
    double low, high;
};

static void widen(struct range *range, double m)
{
    range->low = fmin(range->low, m);
    range->high = fmax(range->high, m);
}

/** Where in its row, from above: with slopes of their own, then with a common one. */
static double place_of(int row, enum fit_slopes slopes)
{
    static const double OFFSET = 0.17;
    return slopes == FIT_SEPARATE ? OFFSET - row : -OFFSET - row;
}

/** One mark with its interval, as far as `most`. Wide intervals reach beyond the axis, so that the
 * others can be told apart. */
static void add_mark(struct text *data, const struct report *report, const struct row *row, int nth,
                     enum fit_slopes slopes, double most, struct range *range)
{
    static const double MOST_WIDENED = 3.0;
    const struct fit_comparison *c = row->comparison;
    const double m = c->multiplier[slopes];
    if (!is_drawable(m)) {
        return;
    }
    const bool has_interval = c->no_interval == NULL && !isnan(c->low[slopes]);
    const double low = has_interval ? fmax(c->low[slopes], 0.0) : m,
                 high = has_interval ? fmin(c->high[slopes], fmax(most, m)) : m;
    const char *kind = report->points.kinds[c->kind];
    widen(range, low);
    widen(range, fmin(high, MOST_WIDENED * fmax(m, 1.0)));
    text_add(data, "%.9g %.3f %.9g %.9g 0x%s\n", m, place_of(nth, slopes), low, high,
             report_colour_of(report, kind) + 1);
}

/** The multipliers with each size left out. */
static int add_left_out(struct text *data, int n_groups, const struct row *row, int nth,
                        enum fit_slopes slopes, struct range *range)
{
    int n = 0;
    for (int group = 0; group < n_groups; group++) {
        const double m = row->comparison->without[group].multiplier[slopes];
        if (is_drawable(m) && is_drawable(row->comparison->multiplier[slopes])) {
            text_add(data, "%.9g %.3f\n", m, place_of(nth, slopes));
            widen(range, m);
            n++;
        }
    }
    return n;
}

static int add_rows(struct text *data, const struct report *report, const struct row *rows, int n,
                    double most, struct range *range)
{
    int n_left_out = 0;
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        text_add(data, "$m%d << EOD\n", (int)slopes);
        for (int i = 0; i < n; i++) {
            add_mark(data, report, &rows[i], i, slopes, most, range);
        }
        text_add(data, "EOD\n");
    }
    text_add(data, "$left << EOD\n");
    for (int i = 0; i < n; i++) {
        for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
            n_left_out += add_left_out(data, report->points.n_groups, &rows[i], i, slopes, range);
        }
    }
    text_add(data, "EOD\n");
    return n_left_out;
}

static void set_row_tics(struct text *body, const struct report *report, const struct row *rows,
                         int n)
{
    text_add(body, "set ytics (");
    for (int i = 0; i < n; i++) {
        text_add(body, "%s\"%s\\nat %.4g %s\" %d", i > 0 ? ", " : "",
                 report->points.kinds[rows[i].comparison->kind], rows[i].comparison->at,
                 AXIS_UNITS[rows[i].axis], -i);
    }
    text_add(body, ") noenhanced\nset yrange [%.2f:0.55]\n", 0.45 - n);
}

#define BARS                                                                                       \
    "Above 1 the kind pays, below 1 the baseline does. Bars: 95 % intervals, where there are two " \
    "or more seeds a size (what reaches the frame goes on beyond it); see attnres fit. Crosses, "  \
    "from three sizes on: without one of them; without the largest, curves are extrapolated to "   \
    "its compute."
#define TIMES " Times compare on one machine alone, with nothing else on it."

/** Without an interval there is a mark alone, and no bar of length 0. */
#define BAR_OR_MARK(slopes, symbol)                                                                \
    "$m" slopes " using ($4 > $3 ? $1 : NaN):2:3:4:5 with xerrorbars lc rgb variable pt " symbol   \
    " ps 1.2 lw 2 notitle, $m" slopes " using ($4 > $3 ? NaN : $1):2:5 with points lc rgb "        \
    "variable pt " symbol " ps 1.2 lw 2 notitle"
#define MARKS_OF_BOTH BAR_OR_MARK("0", "7") ", " BAR_OR_MARK("1", "6")

bool report_draw_multiplier(struct figure *f, const struct report *report, struct text *why)
{
    struct row rows[MOST_ROWS];
    struct range range = {1.0, 1.0};
    const int n = list_rows(rows, report);
    if (n == 0) {
        text_add(why, "it takes finished runs of the baseline's kind and of another, at two sizes "
                      "or more, a factor of 1.5 of compute apart, and losses that fall with it");
        return false;
    }
    struct text unseen = {0};
    add_rows(&unseen, report, rows, n, INFINITY, &range);
    const double pad = 0.08 * (range.high - range.low) + 0.01;
    /* gnuplot loses bars that reach far beyond the frame. */
    const int n_left_out =
        add_rows(f->data, report, rows, n, 2.0 * (range.high + pad), &(struct range){1.0, 1.0});
    const char *baseline = report->points.kinds[report->fits[rows[0].axis].baseline];
    set_row_tics(f->body, report, rows, n);
    text_add(f->body,
             "set xlabel 'times as much %s needs for the same loss (below 1: less)' noenhanced\n"
             "set xrange [%.6g:%.6g]\nset bmargin 5.5\nset key at screen 0.5, screen 0.015 bottom "
             "center horizontal\n"
             "set arrow 1 from 1,graph 0 to 1,graph 1 nohead dt 2 lc rgb '#666666'\n"
             "plot " MARKS_OF_BOTH
             ", NaN with points lc rgb '#444444' pt 7 ps 1.2 title 'a slope for each kind', "
             "NaN with points lc rgb '#444444' pt 6 ps 1.2 lw 2 title 'a common slope'%s\n",
             baseline, fmax(range.low - pad, 0.0), range.high + pad,
             n_left_out > 0 ? ", $left using 1:2 with points lc rgb '#555555' pt 2 ps 0.6 title "
                              "'with one size left out'"
                            : "");
    f->height = 150 + 56 * n;
    f->caption = report->wants_time ? BARS TIMES : BARS;
    return true;
}

/** Runs whose compute is about the same: any two of them are less than this factor apart. */
static const double SAME_COMPUTE = 1.15;

static int by_compute(const void *a, const void *b)
{
    const struct report_run *x = *(const struct report_run *const *)a,
                            *y = *(const struct report_run *const *)b;
    const double p = report_last_line(x)->flops, q = report_last_line(y)->flops;
    return (p > q) - (p < q);
}

static int sort_finished(const struct report_run **sorted, const struct report *report)
{
    int n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        if (report_is_end(run)) {
            sorted[n++] = run;
        }
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_compute);
    return n;
}

static int count_shapes(const struct report_run *const *runs, int n)
{
    int n_shapes = 0;
    for (int i = 0; i < n; i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++) {
            is_new = is_new && runs[k]->n_layers != runs[i]->n_layers;
        }
        n_shapes += is_new;
    }
    return n_shapes;
}

/** Of runs that are all of about the same compute the most depths, then the most runs: the first in
 * the order of compute, and how many. */
static int find_group(const struct report_run *const *sorted, int n, int *first)
{
    int best = 0, best_shapes = 0;
    for (int begin = 0, end = 0; begin < n; begin++) {
        const double most = SAME_COMPUTE * report_last_line(sorted[begin])->flops;
        while (end < n && report_last_line(sorted[end])->flops < most) {
            end++;
        }
        const int n_shapes = count_shapes(sorted + begin, end - begin);
        if (n_shapes > best_shapes || (n_shapes == best_shapes && end - begin > best)) {
            best = end - begin;
            best_shapes = n_shapes;
            *first = begin;
        }
    }
    return best_shapes >= 3 ? best : 0;
}

static double shape_of(const struct report_run *run)
{
    return (double)run->dim / (double)run->n_layers;
}

/** The axis of width per layer, logarithmic. */
struct shapes {
    double low, high, step; /* the narrowest, the widest, and the factor between two, about */
};

static struct shapes find_shapes(const struct report_run *const *runs, int n)
{
    struct shapes s = {INFINITY, 0.0, 1.0};
    for (int i = 0; i < n; i++) {
        s.low = fmin(s.low, shape_of(runs[i]));
        s.high = fmax(s.high, shape_of(runs[i]));
    }
    s.step = pow(s.high / s.low, 1.0 / (count_shapes(runs, n) - 1));
    return s;
}

/** All runs of a kind: x of its mark, loss, x of its line. dodge: a factor that shifts the marks of
 * a kind; through these lines would cross between two shapes where the means do not. */
static void add_shapes(struct figure *f, const struct report_run *const *runs, int n, int kind,
                       double dodge)
{
    text_add(f->data, "$k%d << EOD\n", kind);
    for (int i = 0; i < n; i++) {
        if (runs[i]->kind == kind) {
            text_add(f->data, "%.9g %.9g %.9g\n", dodge * shape_of(runs[i]),
                     report_last_line(runs[i])->val_loss, shape_of(runs[i]));
        }
    }
    text_add(f->data, "EOD\n");
}

static void add_shape_tics(struct text *body, const struct report_run *const *runs, int n)
{
    text_add(body, "set xtics (");
    for (int i = 0, n_tics = 0; i < n; i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++) {
            is_new =
                is_new && (runs[k]->n_layers != runs[i]->n_layers || runs[k]->dim != runs[i]->dim);
        }
        if (is_new) {
            const double ratio = shape_of(runs[i]);
            text_add(body, "%s\"%.3g\\n%lld × %lld\" %.9g", n_tics++ > 0 ? ", " : "", ratio,
                     (long long)runs[i]->n_layers, (long long)runs[i]->dim, ratio);
        }
    }
    text_add(body, ")\n");
}

static int count_of_kind(const struct report_run *const *runs, int n, int kind)
{
    int n_of_kind = 0;
    for (int i = 0; i < n; i++) {
        n_of_kind += runs[i]->kind == kind;
    }
    return n_of_kind;
}

bool report_draw_shape(struct figure *f, const struct report *report, struct text *why)
{
    const struct report_run *sorted[REPORT_MAX_RUNS];
    int first = 0, n_plots = 0, n_drawn = 0;
    const int n = find_group(sorted, sort_finished(sorted, report), &first);
    if (n == 0) {
        text_add(why,
                 "it takes finished runs of three depths or more at about the same compute, with "
                 "a validation loss");
        return false;
    }
    for (int kind = 0; kind < report->n_kinds; kind++) {
        n_drawn += count_of_kind(sorted + first, n, kind) > 0;
    }
    const struct shapes shapes = find_shapes(sorted + first, n);
    add_shape_tics(f->body, sorted + first, n);
    text_add(
        f->body,
        "set logscale x\nset xrange [%.6g:%.6g]\nset xlabel 'width per layer; below it layers × "
        "width' offset 0,-1\n"
        "set bmargin 5.5\nset ylabel 'validation loss at the end, %s'\nset offsets 0, 0, graph "
        "0.1, graph 0.05\nplot",
        shapes.low / shapes.step, shapes.high * shapes.step, report_loss_unit(report));
    for (int kind = 0; kind < report->n_kinds; kind++) {
        if (count_of_kind(sorted + first, n, kind) > 0) {
            const double dodge = report_dodge(n_plots, n_drawn);
            add_shapes(f, sorted + first, n, kind, pow(shapes.step, dodge));
            text_add(f->body,
                     "%s $k%d using 3:2 smooth unique with lines lc rgb '%s' lw 2 notitle, $k%d "
                     "using 1:2 with points lc rgb '%s' pt %d ps 1.1 title '%s'",
                     n_plots++ > 0 ? ",\\\n" : "", kind, report_colour(report, kind), kind,
                     report_colour(report, kind), report_symbol(report, kind), report->kinds[kind]);
        }
    }
    text_add(f->body, "\n");
    f->caption =
        "Runs of about the same compute. Each mark is a run, lines go through the means of "
        "the seeds; marks of kinds stand side by side.";
    return true;
}
