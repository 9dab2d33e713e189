/* The report as tables, for people. */
#include "fit_internal.h"

#include <math.h>
#include <stdio.h>

#include <attnres/text.h>

/** As people call it; a points file's compute may have any unit. */
static const char *const AXES[FIT_AXES] = {"compute", "tokens", "seconds"};

/** What a number is printed with when it may be unknown. */
static void add_number(struct text *t, const char *format, const char *unknown, double number)
{
    if (isnan(number)) {
        text_add(t, "%s", unknown);
    } else {
        text_add(t, format, number);
    }
}

/** From here on a multiplier has four digits. */
static const double LARGEST_PLAIN = 1e5;

/** A baseline that hardly falls needs any number of times as much. */
static void add_multiplier(struct text *t, int width, double m)
{
    if (isnan(m)) {
        text_add(t, "%*s", width, "-");
    } else {
        text_add(t, m < LARGEST_PLAIN ? "%*.4f" : "%*.4g", width, m);
    }
}

void fit_add_interval(struct text *t, int decimals, double low, double high)
{
    if (low > 0.0) {
        text_add(t, "%.*f to ", decimals, low);
    } else {
        text_add(t, "below ");
    }
    text_add(t, high < LARGEST_PLAIN ? "%.*f" : "%.*g", high < LARGEST_PLAIN ? decimals : 4, high);
}

static void add_size(struct text *t, const struct fit_point *p)
{
    if (p->size > 0) {
        text_add(t, " %12lld", (long long)p->size);
    } else {
        text_add(t, " %12s", "-");
    }
    add_number(t, " %11.4g", "           -",
               p->spent[FIT_TOKENS] > 0.0 ? p->spent[FIT_TOKENS] : NAN);
}

static void print_runs(struct text *t, const struct fit_report *report,
                       const struct fit_points *points)
{
    const enum fit_axis axis = report->options.axis;
    text_add(t, "%-22s %12s %11s  seeds %11s       loss  deviation\n", "kind", "size", "tokens",
             AXES[axis]);
    for (int kind = 0; kind < points->n_kinds; kind++) {
        for (int cell = 0; cell < points->n_cells; cell++) {
            const struct fit_summary s = fit_summarize(points, cell, kind, axis);
            if (s.first != NULL) {
                text_add(t, "%-22s", points->kinds[kind]);
                add_size(t, s.first);
                text_add(t, "  %5d %11.4g %10.5f", s.n, s.x, s.loss);
                add_number(t, " %10.5f", "          -", s.deviation);
                text_add(t, "\n");
            }
        }
    }
}

enum { NAME_BYTES = 64 };

static void name_group(char name[NAME_BYTES], const struct fit_point *first)
{
    if (first->size > 0) {
        snprintf(name, NAME_BYTES, "size %lld", (long long)first->size);
    } else {
        snprintf(name, NAME_BYTES, "compute %.4g", first->spent[FIT_FLOPS]);
    }
}

/** Whether a power law is the right curve shows beside how far seeds lie apart. */
static void print_misfit(struct text *t, const struct fit_misfit *misfit,
                         const struct fit_points *points)
{
    add_number(t, " %8.2f %%", "          -", 100.0 * misfit->scatter);
    if (!isnan(misfit->farthest)) {
        char name[NAME_BYTES];
        name_group(name, fit_first_of_group(points, misfit->group));
        text_add(t, " %+8.2f %%  %s", 100.0 * misfit->farthest, name);
    }
}

/** What a size was trained on moves its loss as well: a curve through sizes of other budgets is of
 * both. */
static void print_budgets(struct text *t, const struct fit_points *points)
{
    static const double ALIKE = 1.25;
    double least = INFINITY, most = 0.0;
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (p->size > 0 && p->spent[FIT_TOKENS] > 0.0) {
            const double budget = p->spent[FIT_TOKENS] / (double)p->size;
            least = fmin(least, budget);
            most = fmax(most, budget);
        }
    }
    if (most > ALIKE * least) {
        text_add(
            t,
            "trained on %.3g to %.3g tokens a parameter: a curve through sizes of unlike budgets "
            "mixes size and budget\n",
            least, most);
    }
}

static void print_curves(struct text *t, const struct fit_report *report,
                         const struct fit_points *points)
{
    text_add(
        t,
        "\nloss = A %s^-alpha; seed: deviation of one from the mean of its size; farthest: such "
        "a mean off the curve\n%-22s   runs          A     alpha       seed    farthest\n",
        AXES[report->options.axis], "kind");
    for (int kind = 0; kind < points->n_kinds; kind++) {
        text_add(t, "%-22s %6d", points->kinds[kind], fit_count_runs(points, kind));
        add_number(t, " %10.5g", "          -", exp(report->curves[kind].a));
        add_number(t, " %9.5f", "         - (no two sizes 1.5-fold apart)",
                   report->curves[kind].alpha);
        if (!isnan(report->curves[kind].alpha)) {
            print_misfit(t, &report->misfits[kind], points);
        }
        text_add(t, "\n");
    }
    print_budgets(t, points);
}

static void print_scatter(struct text *t, const struct fit_comparison *c,
                          const struct fit_points *points)
{
    if (fit_scatters_unequally(c)) {
        char name[NAME_BYTES];
        name_group(name, fit_first_of_group(points, c->scatter_group));
        text_add(t,
                 "    seeds scatter %.1f times as much at %s as at the others: the interval pools "
                 "them, and may be too narrow\n",
                 c->scatter, name);
    }
}

/** Whether `at` lies beyond the runs, rounding apart. */
static bool is_beyond(double at, double reach)
{
    return at > reach * (1.0 + 1e-9);
}

static void print_without(struct text *t, const struct fit_comparison *c,
                          const struct fit_points *points)
{
    for (int group = 0; group < points->n_groups; group++) {
        if (!isnan(c->without[group].multiplier[FIT_COMMON])) {
            char name[NAME_BYTES];
            name_group(name, fit_first_of_group(points, group));
            text_add(t, "    without %-24s separate", name);
            add_multiplier(t, 9, c->without[group].multiplier[FIT_SEPARATE]);
            text_add(t, "   common");
            add_multiplier(t, 9, c->without[group].multiplier[FIT_COMMON]);
            if (is_beyond(c->at, c->without[group].reach)) {
                text_add(t, "   beyond the others, which end at %.4g", c->without[group].reach);
            }
            text_add(t, "\n");
        }
    }
}

static void print_comparison(struct text *t, const struct fit_comparison *c,
                             const struct fit_points *points)
{
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        text_add(t, "%-22s %-9s", slopes == 0 ? points->kinds[c->kind] : "",
                 fit_slopes_name(slopes));
        add_number(t, " %9.5f", "         -", c->curves[slopes][0].alpha);
        add_number(t, " %9.5f", "         -", c->curves[slopes][1].alpha);
        text_add(t, " %11.4g", c->at);
        add_multiplier(t, 12, c->multiplier[slopes]);
        if (c->no_interval == NULL) {
            text_add(t, "   ");
            fit_add_interval(t, 4, c->low[slopes], c->high[slopes]);
        }
        text_add(t, "\n");
    }
    if (c->no_interval != NULL) {
        text_add(t, "    no interval: %s\n", c->no_interval);
    } else {
        text_add(t, "    t(0.975, %d) = %.3f\n", c->freedom, fit_interval_factor(c->freedom));
        print_scatter(t, c, points);
    }
    if (is_beyond(c->at, c->reach)) {
        text_add(t, "    beyond its runs, which end at %.4g\n", c->reach);
    }
    if (c->n_left_out > 0) {
        text_add(t, "    left out: %d %s of a size, tokens and seed that only one of the two has\n",
                 c->n_left_out, c->n_left_out == 1 ? "run" : "runs");
    }
    print_without(t, c, points);
}

static void print_comparisons(struct text *t, const struct fit_report *report,
                              const struct fit_points *points)
{
    if (report->n_comparisons == 0) {
        text_add(t, "\nno multipliers: %s\n",
                 report->baseline < 0 ? "no runs of kind standard; choose one with --baseline"
                                      : "all runs are of the baseline's kind");
        return;
    }
    const char *baseline = points->kinds[report->baseline];
    text_add(
        t,
        "\nmultiplier: how many times the %s %s needs for the loss that a kind has at a point\n"
        "%-22s %-9s %9s %9s %11s %11s   95 %% interval\n",
        AXES[report->options.axis], baseline, "kind", "slopes", "its alpha", "kind's", "at",
        "multiplier");
    for (int i = 0; i < report->n_comparisons; i++) {
        print_comparison(t, &report->comparisons[i], points);
    }
}

static void print_laws(struct text *t, const struct fit_report *report,
                       const struct fit_points *points)
{
    text_add(t,
             "\nloss = E + A N^-a + B D^-b, N parameters, D tokens\n"
             "%-22s   runs        E          A         a          B         b        rms\n",
             "kind");
    for (int kind = 0; kind < points->n_kinds; kind++) {
        const struct fit_law *law = &report->laws[kind];
        text_add(t, "%-22s %6d", points->kinds[kind], law->n);
        if (law->absent != NULL) {
            text_add(t, " none: %s\n", law->absent);
            continue;
        }
        text_add(t,
                 " %8.5f %10.5g %9.5f %10.5g %9.5f %10.3g%s\n    95 %%: E +- %.3g, a +- %.3g, b +- "
                 "%.3g\n",
                 law->E, law->A, law->a, law->B, law->b, law->rms,
                 law->E < 0.0 ? "  E below 0: the runs do not determine it" : "", law->within_E,
                 law->within_a, law->within_b);
    }
}

size_t fit_report_print(const struct fit_report *report, const struct fit_points *points,
                        char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    print_runs(&t, report, points);
    print_curves(&t, report, points);
    print_comparisons(&t, report, points);
    print_laws(&t, report, points);
    return t.length;
}
