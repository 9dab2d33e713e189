/* Runs that repeat each other but for their seed, and means over them. */
#include "report_internal.h"

#include <math.h>

bool report_is_of(const struct report_series *series, const struct report_run *run)
{
    return run->kind == series->kind && run->n_layers == series->n_layers &&
           run->dim == series->dim && run->n_steps == series->n_steps;
}

bool report_are_alike(const struct report_run *a, const struct report_run *b)
{
    return a->size_hash == b->size_hash && a->seed == b->seed &&
           fit_is_same_budget((double)a->n_steps, (double)b->n_steps);
}

static bool is_before(const struct report_series *a, const struct report_series *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind;
    }
    const int64_t x = a->n_layers * a->dim * a->dim, y = b->n_layers * b->dim * b->dim;
    return x != y ? x < y : a->n_steps < b->n_steps;
}

static int find_series(const struct report_series *series, int n, const struct report_run *run)
{
    int i = 0;
    while (i < n && !report_is_of(&series[i], run)) {
        i++;
    }
    return i;
}

/** Of a series, how many of its kind stand before it: what a line's dashes go by. */
static void number_series(struct report_series *series, int n)
{
    for (int i = 0; i < n; i++) {
        const bool goes_on = i > 0 && series[i - 1].kind == series[i].kind;
        series[i].nth_of_kind = goes_on ? series[i - 1].nth_of_kind + 1 : 0;
    }
}

int report_list_series(struct report_series series[REPORT_MAX_RUNS], const struct report *report,
                       bool (*has)(const struct report_run *run))
{
    int n = 0;
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        if (!has(run) || find_series(series, n, run) < n) {
            continue;
        }
        const struct report_series found = {
            .kind = run->kind, .n_layers = run->n_layers, .dim = run->dim, .n_steps = run->n_steps};
        int at = n++;
        for (; at > 0 && is_before(&found, &series[at - 1]); at--) {
            series[at] = series[at - 1];
        }
        series[at] = found;
    }
    number_series(series, n);
    return n;
}

void report_name_series(struct text *t, const struct report *report,
                        const struct report_series *series, int n, int which)
{
    const struct report_series *s = &series[which];
    bool sizes_differ = false, steps_differ = false;
    for (int i = 0; i < n; i++) {
        const bool is_same_size = series[i].n_layers == s->n_layers && series[i].dim == s->dim;
        sizes_differ = sizes_differ || !is_same_size;
        steps_differ = steps_differ || (is_same_size && series[i].kind == s->kind && i != which);
    }
    text_add(t, "%s", report->kinds[s->kind]);
    if (sizes_differ) {
        text_add(t, " %lld × %lld", (long long)s->n_layers, (long long)s->dim);
    }
    if (steps_differ) {
        text_add(t, ", %lld steps", (long long)s->n_steps);
    }
}

void report_add_to_mean(struct report_mean *m, double number)
{
    const double gap = number - m->mean;
    m->n++;
    m->mean += gap / m->n;
    m->squares += gap * (number - m->mean); /* Welford */
}

double report_error_of(const struct report_mean *m)
{
    return m->n > 1 ? sqrt(m->squares / (m->n - 1) / m->n) : NAN;
}

double report_dodge(int which, int n)
{
    static const double MOST = 0.14, ALL = 0.7;
    return (which - 0.5 * (n - 1)) * fmin(MOST, ALL / n);
}
