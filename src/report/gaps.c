/* Below loss against steps: how far each kind is off the baseline, pair by pair. Runs of one size,
 * budget and seed on the same data have seen the same batches in the same order, so that what a
 * pair differs by is far steadier than the losses are. */
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

/** How many runs of a kind are of a run's size, budget and seed; `one` is the last of them. */
static int find_like(const struct report *report, const struct report_run *run, int kind,
                     const struct report_run **one)
{
    int n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *other = &report->runs[i];
        if (other->kind == kind && !other->is_apart && report_are_alike(other, run)) {
            *one = other;
            n++;
        }
    }
    return n;
}

/** The baseline's run of the same size, budget, seed and batches; NULL: there is none. Where
 * either has a twin (of another rate, say), which one is meant cannot be told. */
static const struct report_run *find_partner(const struct report *report,
                                             const struct report_run *run, int baseline,
                                             bool *has_twins)
{
    const struct report_run *partner = NULL, *itself = NULL;
    *has_twins = false;
    if (run->is_apart || run->kind == baseline) {
        return NULL;
    }
    const int n = find_like(report, run, baseline, &partner);
    *has_twins = n > 1 || (n == 1 && find_like(report, run, run->kind, &itself) > 1);
    return n == 1 && !*has_twins && partner->batch_hash == run->batch_hash ? partner : NULL;
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

/** A kind against the baseline: means of its pairs, a part each. */
struct comparison {
    struct report_mean means[N_PARTS];
    uint64_t sizes[REPORT_MAX_RUNS];
    int n_pairs, n_sizes;
};

static void add_size(struct comparison *c, uint64_t size)
{
    int i = 0;
    while (i < c->n_sizes && c->sizes[i] != size) {
        i++;
    }
    c->sizes[i] = size;
    c->n_sizes += i == c->n_sizes;
}

static struct comparison compare_kind(const struct report *report, int kind, int baseline)
{
    struct comparison c = {.n_pairs = 0};
    for (int i = 0; i < report->n_runs; i++) {
        bool has_twins = false;
        struct report_mean gaps[N_PARTS] = {{0}};
        const struct report_run *run = &report->runs[i], *partner = NULL;
        partner = run->kind == kind ? find_partner(report, run, baseline, &has_twins) : NULL;
        if (partner == NULL || measure_pair(gaps, run, partner) == 0) {
            continue;
        }
        c.n_pairs++;
        add_size(&c, run->size_hash);
        for (int part = 0; part < N_PARTS; part++) {
            if (gaps[part].n > 0) {
                report_add_to_mean(&c.means[part], gaps[part].mean);
            }
        }
    }
    return c;
}

bool report_has_gaps(const struct report *report)
{
    const int baseline = find_baseline(report);
    for (int kind = 0; kind < report->n_kinds; kind++) {
        if (compare_kind(report, kind, baseline).n_pairs > 0) {
            return true;
        }
    }
    return false;
}

void report_note_gaps(const struct report *report)
{
    const int baseline = find_baseline(report);
    int n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        bool has_twins = false;
        find_partner(report, &report->runs[i], baseline, &has_twins);
        n += has_twins;
    }
    if (n > 0) {
        text_add(report->notes,
                 "not compared with %s seed by seed (%d): runs that share kind, size, steps and "
                 "seed with another one, or whose partners do\n",
                 report->kinds[baseline], n);
    }
}

/** "block (12 pairs, 4 sizes)" */
static void name_line(struct text *body, const char *kind, const struct comparison *c)
{
    text_add(body, "'%s (%d pair%s", kind, c->n_pairs, c->n_pairs == 1 ? "" : "s");
    if (c->n_sizes > 1) {
        text_add(body, ", %d sizes", c->n_sizes);
    }
    text_add(body, ")'");
}

size_t report_longest_gap_name(const struct report *report)
{
    const int baseline = find_baseline(report);
    size_t longest = 0;
    for (int kind = 0; kind < report->n_kinds; kind++) {
        struct text name = {0};
        const struct comparison c = compare_kind(report, kind, baseline);
        name_line(&name, report->kinds[kind], &c);
        longest = c.n_pairs > 0 && name.length > longest ? name.length : longest;
    }
    return longest;
}

/** A line and, where there are several pairs, a band of one standard error on either side. */
static void plot_kind(struct figure *f, const struct report *report, int kind,
                      const struct comparison *c)
{
    const char *colour = report_colour(report, kind);
    text_add(f->data, "$g%d << EOD\n", kind);
    for (int part = 0; part < N_PARTS; part++) {
        const struct report_mean *mean = &c->means[part];
        if (mean->n > 0) {
            text_add(f->data, "%.6g %.6g %.6g\n", 100.0 * (part + 0.5) / N_PARTS, mean->mean,
                     mean->n > 1 ? report_error_of(mean) : 0.0);
        }
    }
    text_add(f->data, "EOD\n");
    if (c->n_pairs > 1) {
        text_add(f->body,
                 ",\\\n $g%d using 1:($2-$3):($2+$3) with filledcurves lc rgb '#c8%s' notitle",
                 kind, colour + 1);
    }
    text_add(f->body, ",\\\n $g%d using 1:2 with lines lc rgb '%s' lw 1.5 title ", kind, colour);
    name_line(f->body, report->kinds[kind], c);
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
        const struct comparison c = compare_kind(report, kind, baseline);
        if (c.n_pairs > 0) {
            plot_kind(f, report, kind, &c);
        }
    }
    text_add(f->body, "\n");
}
