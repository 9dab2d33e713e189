/* Below loss against steps: how far each kind is off the baseline, pair by pair. Runs of one size,
 * budget and seed have seen the same batches in the same order, so that what a pair differs by is
 * far steadier than the losses are. */
#include "report_internal.h"

#include <math.h>
#include <string.h>

/** A run's steps in equal parts. The first few are left out: losses fall too fast there. */
enum { N_PARTS = 40, FIRST_PART = 2 };

static int part_of(const struct report_run *run, int64_t step)
{
    const double part = N_PARTS * ((double)step - 1.0) / (double)run->n_steps;
    return (int)fmin(part, N_PARTS - 1);
}

static int find_baseline(const struct report *report)
{
    const char *name = report->baseline != NULL ? report->baseline : "standard";
    int kind = 0;
    while (kind < report->n_kinds && strcmp(report->kinds[kind], name) != 0) {
        kind++;
    }
    return kind;
}

/** The baseline's run of the same size, budget and seed; NULL: there is none. */
static const struct report_run *find_partner(const struct report *report,
                                             const struct report_run *run, int baseline)
{
    for (int i = 0; i < report->n_runs && !run->is_apart && run->kind != baseline; i++) {
        const struct report_run *other = &report->runs[i];
        if (other->kind == baseline && !other->is_apart && other->n_layers == run->n_layers &&
            other->dim == run->dim && other->n_steps == run->n_steps && other->seed == run->seed) {
            return other;
        }
    }
    return NULL;
}

/** The gaps of the training losses that both have logged, in percent of the partner's, as a mean a
 * part. Returns how many parts have one. */
static int measure_pair(struct report_mean gaps[N_PARTS], const struct report_run *run,
                        const struct report_run *partner)
{
    int n = 0;
    for (int64_t i = 0, k = 0; i < run->n_lines && k < partner->n_lines;) {
        const struct report_line *a = &run->lines[i], *b = &partner->lines[k];
        i += a->step <= b->step;
        k += b->step <= a->step;
        const int part = part_of(run, a->step);
        if (a->step == b->step && part >= FIRST_PART && !isnan(a->loss) && !isnan(b->loss)) {
            n += gaps[part].n == 0;
            report_add_to_mean(&gaps[part], 100.0 * (a->loss / b->loss - 1.0));
        }
    }
    return n;
}

/** Means of a kind's pairs, a part each. Returns how many pairs. */
static int measure_kind(struct report_mean means[N_PARTS], const struct report *report, int kind,
                        int baseline)
{
    int n_pairs = 0;
    for (int i = 0; i < report->n_runs; i++) {
        struct report_mean gaps[N_PARTS] = {{0}};
        const struct report_run *run = &report->runs[i], *partner = NULL;
        partner = run->kind == kind ? find_partner(report, run, baseline) : NULL;
        if (partner == NULL || measure_pair(gaps, run, partner) == 0) {
            continue;
        }
        n_pairs++;
        for (int part = 0; part < N_PARTS; part++) {
            if (gaps[part].n > 0) {
                report_add_to_mean(&means[part], gaps[part].mean);
            }
        }
    }
    return n_pairs;
}

bool report_has_gaps(const struct report *report)
{
    const int baseline = find_baseline(report);
    for (int kind = 0; kind < report->n_kinds; kind++) {
        struct report_mean means[N_PARTS] = {{0}};
        if (measure_kind(means, report, kind, baseline) > 0) {
            return true;
        }
    }
    return false;
}

/** A line and, where there are several pairs, a band of one standard error on either side. */
static void plot_kind(struct figure *f, const struct report *report, int kind,
                      const struct report_mean means[N_PARTS], int n_pairs)
{
    const char *colour = report_colour(report, kind);
    text_add(f->data, "$g%d << EOD\n", kind);
    for (int part = 0; part < N_PARTS; part++) {
        if (means[part].n > 0) {
            text_add(f->data, "%.6g %.6g %.6g\n", 100.0 * (part + 0.5) / N_PARTS, means[part].mean,
                     means[part].n > 1 ? report_error_of(&means[part]) : 0.0);
        }
    }
    text_add(f->data, "EOD\n");
    if (n_pairs > 1) {
        text_add(f->body,
                 ",\\\n $g%d using 1:($2-$3):($2+$3) with filledcurves lc rgb '#c8%s' notitle",
                 kind, colour + 1);
    }
    text_add(f->body, ",\\\n $g%d using 1:2 with lines lc rgb '%s' lw 1.5 title '%s (%d pair%s)'",
             kind, colour, report->kinds[kind], n_pairs, n_pairs == 1 ? "" : "s");
}

void report_draw_gaps(struct figure *f, const struct report *report)
{
    const int baseline = find_baseline(report);
    text_add(f->body,
             "unset logscale y\nset ylabel \"off %s,\\nseed by seed, %%\" noenhanced\nset yrange "
             "[*:*]\nset ytics autofreq\nset xrange [0:100]\nset xlabel 'share of a run, %%'\nplot "
             "0 with lines lw 1 dt 2 lc rgb '#888888' notitle",
             report->kinds[baseline]);
    for (int kind = 0; kind < report->n_kinds; kind++) {
        struct report_mean means[N_PARTS] = {{0}};
        const int n_pairs = measure_kind(means, report, kind, baseline);
        if (n_pairs > 0) {
            plot_kind(f, report, kind, means, n_pairs);
        }
    }
    text_add(f->body, "\n");
}
