/* Below loss against compute: how far runs end off the one curve that fits them all, so that kinds
 * can be told apart whose losses differ by less than the width of a line. */
#include "report_internal.h"

#include <math.h>

bool report_is_end(const struct report_run *run)
{
    return report_has_end(run) && !run->is_apart && !run->has_twin;
}

/** In percent. */
static double residual_of(const struct fit_curve *all, const struct report_line *line)
{
    return 100.0 * (line->val_loss / exp(all->a - all->alpha * log(line->flops)) - 1.0);
}

bool report_has_residuals(const struct report *report, const struct fit_curve *all)
{
    static const double ROUNDING = 1e-6; /* two sizes lie on any curve */
    for (int i = 0; i < report->n_runs && !isnan(all->alpha); i++) {
        const struct report_run *run = &report->runs[i];
        if (report_is_end(run) && fabs(residual_of(all, report_last_line(run))) > ROUNDING) {
            return true;
        }
    }
    return false;
}

/** The runs of a series as dots; and their mean with its error, 0 of a single one. `shift`: what
 * moves them aside, a factor of compute. */
static void add_series(struct text *data, const struct report *report,
                       const struct report_series *series, int which, const struct fit_curve *all,
                       double shift)
{
    struct report_mean x = {0}, mean = {0};
    text_add(data, "$d%d << EOD\n", which);
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        if (report_is_end(run) && report_is_of(series, run)) {
            const struct report_line *last = report_last_line(run);
            const double residual = residual_of(all, last);
            report_add_to_mean(&x, last->flops);
            report_add_to_mean(&mean, residual);
            text_add(data, "%.9g %.6g\n", last->flops * shift, residual);
        }
    }
    text_add(data, "EOD\n$s%d << EOD\n%.9g %.6g %.6g\nEOD\n", which, x.mean * shift, mean.mean,
             mean.n > 1 ? report_error_of(&mean) : 0.0);
}

static void plot_fitted(struct text *body, const struct report *report, int kind,
                        const struct fit_curve *all)
{
    const struct fit_curve curve = report_curve_of(report, kind);
    if (!isnan(curve.alpha)) {
        double first = 0.0, last = 0.0;
        report_bound_curve(&first, &last, report, kind);
        text_add(body,
                 ",\\\n [%.12g:%.12g] 100 * (exp(%.12g - %.12g * log(x)) - 1) with lines lc rgb "
                 "'%s' lw 1.5 notitle",
                 first, last, curve.a - all->a, curve.alpha - all->alpha,
                 report_colour(report, kind));
    }
}

void report_draw_residuals(struct figure *f, const struct report *report,
                           const struct fit_curve *all, double low, double high)
{
    static const double SHARE = 0.1; /* of the axis, for a dodge of 1 */
    struct report_series series[REPORT_MAX_RUNS];
    const int n = report_list_series(series, report, report_is_end);
    text_add(f->body,
             "unset logscale y\nunset key\nset ylabel \"off one curve\\nfor all, %%\"\nset yrange "
             "[*:*]\nset ytics autofreq\nset bars 0.4\nplot 0 with lines lw 1 dt 2 lc rgb "
             "'#888888' notitle");
    for (int kind = 0; kind < report->n_kinds; kind++) {
        plot_fitted(f->body, report, kind, all);
    }
    for (int i = 0; i < n; i++) {
        const double shift = pow(high / low, SHARE * report_dodge(series[i].kind, report->n_kinds));
        const char *colour = report_colour(report, series[i].kind);
        add_series(f->data, report, &series[i], i, all, shift);
        text_add(f->body,
                 ",\\\n $d%d using 1:2 with points pt 7 ps 0.3 lc rgb '#70%s' notitle, $s%d using "
                 "1:2:3 with yerrorbars lw 1.5 pt %d ps 0.9 lc rgb '%s' notitle",
                 i, colour + 1, i, report_symbol(report, series[i].kind), colour);
    }
    text_add(f->body, "\n");
}
