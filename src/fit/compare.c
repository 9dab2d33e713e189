/* Curves of loss against what was spent, and how two of them compare. */
#include "fit_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/rng.h>

/** A curve needs two sizes whose means of x are so far apart: the clock's jitter between seeds of a
 * size, or shapes of about the same compute, are no two places on it. */
static const double LEAST_SPAN = 1.5;

/** Runs of two kinds in logarithms, in the order of the points: of units, then cells. */
struct run {
    int which; /* 0: the baseline, 1: the kind */
    int group, cell, unit;
    double x, y; /* ln x, ln L */
};

/** Least squares of y = a - alpha x, gathered around the first x; and how far the groups reach:
 * runs come in their order. */
struct moments {
    double n, x_first, x, y, xx, xy;
    int group; /* of the runs that came last, and their x */
    double n_group, x_group;
    double least, most; /* mean x of the groups before it */
};

static void close_group(struct moments *m)
{
    if (m->n_group > 0.0) {
        const double mean = m->x_group / m->n_group;
        m->least = fmin(m->least, mean);
        m->most = fmax(m->most, mean);
    }
    m->n_group = m->x_group = 0.0;
}

static void add_moment(struct moments *m, int group, double x, double y)
{
    if (m->n == 0.0) {
        m->x_first = x;
        m->least = INFINITY;
        m->most = -INFINITY;
    }
    if (group != m->group) {
        close_group(m);
    }
    m->group = group;
    m->n_group += 1.0;
    m->x_group += x;
    const double d = x - m->x_first;
    m->n += 1.0;
    m->x += d;
    m->y += y;
    m->xx += d * d;
    m->xy += d * y;
}

static bool spans_enough(struct moments m)
{
    close_group(&m);
    return m.n > 0.0 && m.most - m.least >= log(LEAST_SPAN);
}

static double spread(const struct moments *m)
{
    return m->n > 0.0 ? m->xx - m->x * m->x / m->n : 0.0;
}

static double covariance(const struct moments *m)
{
    return m->n > 0.0 ? m->xy - m->x * m->y / m->n : 0.0;
}

static struct fit_curve curve_with(const struct moments *m, double alpha)
{
    return (struct fit_curve){.a = m->y / m->n + alpha * (m->x_first + m->x / m->n),
                              .alpha = alpha};
}

static struct fit_curve curve_from(const struct moments *m)
{
    return spans_enough(*m) ? curve_with(m, -covariance(m) / spread(m))
                            : (struct fit_curve){NAN, NAN};
}

/** Both curves, with slopes of their own and with a common one. */
static void find_curves(struct fit_curve curves[FIT_SLOPES][2], const struct moments m[2])
{
    const double xx = spread(&m[0]) + spread(&m[1]);
    const bool is_known = spans_enough(m[0]) && spans_enough(m[1]);
    const double alpha = is_known ? -(covariance(&m[0]) + covariance(&m[1])) / xx : NAN;
    for (int k = 0; k < 2; k++) {
        curves[FIT_SEPARATE][k] = curve_from(&m[k]);
        curves[FIT_COMMON][k] = is_known ? curve_with(&m[k], alpha) : (struct fit_curve){NAN, NAN};
    }
}

double fit_multiplier(struct fit_curve baseline, struct fit_curve kind, double x)
{
    if (!(baseline.alpha > 0.0)) {
        return NAN;
    }
    const double log_loss = kind.a - kind.alpha * log(x);
    return exp((baseline.a - log_loss) / baseline.alpha - log(x));
}

struct fit_curve fit_curve_of(const struct fit_points *points, int kind, enum fit_axis axis)
{
    struct moments m = {0};
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (kind < 0 || p->kind == kind) {
            add_moment(&m, p->group, log(p->spent[axis]), log(p->loss));
        }
    }
    return curve_from(&m);
}

/** Everything a comparison needs. */
struct sample {
    struct fit_points pair; /* copies of the two kinds' points, in cells of their own */
    struct run *runs;       /* as measured; means and gaps lie in the same memory */
    struct run *means;      /* x and y of the run's kind and cell */
    struct run *gaps;       /* what is added to a mean: scaled deviations; of complete units only */
    int (*pairs)[2];        /* the pool: two rows of gaps each */
    int n, n_pairs, n_pair_cells;
    bool shares_cells; /* there is one that both kinds have */
    double most[2];    /* x that the two reach, as it is */
};

/** The group that a point's size has among all points: those of a size, or of the same compute. */
static int find_group(const struct fit_points *points, const struct fit_point *p)
{
    int i = 0;
    while (points->rows[i].size != p->size ||
           (p->size == 0 && points->rows[i].spent[FIT_FLOPS] != p->spent[FIT_FLOPS])) {
        i++;
    }
    return points->rows[i].group;
}

static bool copy_pair(struct fit_points *pair, const struct fit_points *points, int baseline,
                      int kind, struct error *err)
{
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if ((p->kind == baseline || p->kind == kind) &&
            !fit_points_add(pair, points->kinds[p->kind], p, err)) {
            return false;
        }
    }
    fit_points_sort(pair);
    return true;
}

/** The cell that begins with row `first` ends before the returned one. */
static int end_of_cell(const struct fit_points *points, int first)
{
    int end = first;
    while (end < points->n && points->rows[end].cell == points->rows[first].cell) {
        end++;
    }
    return end;
}

static int count_of_first(const struct fit_points *points, int first, int end)
{
    int n = 0;
    for (int i = first; i < end; i++) {
        n += points->rows[i].kind == points->rows[first].kind;
    }
    return n;
}

/** What of a cell is compared. */
enum share { ALL_RUNS, PAIRED_RUNS, NO_RUNS };

/** The kinds must weigh the same in each cell: one with more runs of the longer ones would be given
 * another curve for that alone, where losses do not lie on one. Without a size it cannot be told
 * which runs the kinds share. */
static enum share share_of_cell(const struct fit_points *points, int first, int end)
{
    const int n = count_of_first(points, first, end);
    if (n == end - first) {
        return points->rows[first].size > 0 ? NO_RUNS : ALL_RUNS;
    }
    return 2 * n == end - first ? ALL_RUNS : PAIRED_RUNS;
}

/** Whether the other kind has a run of this cell and seed as well: it stands beside this one. */
static bool is_paired(const struct fit_points *points, int i)
{
    const int unit = points->rows[i].unit;
    return (i > 0 && points->rows[i - 1].unit == unit) ||
           (i + 1 < points->n && points->rows[i + 1].unit == unit);
}

static void add_runs(struct sample *s, const struct fit_points *points, const char *kind,
                     enum fit_axis axis)
{
    const struct fit_points *pair = &s->pair;
    for (int first = 0, end = 0; first < pair->n; first = end) {
        end = end_of_cell(pair, first);
        const enum share share = share_of_cell(pair, first, end);
        s->shares_cells = s->shares_cells || count_of_first(pair, first, end) < end - first;
        const int group = find_group(points, &pair->rows[first]);
        for (int i = first; i < end; i++) {
            const struct fit_point *p = &pair->rows[i];
            if (share == NO_RUNS || (share == PAIRED_RUNS && !is_paired(pair, i))) {
                continue;
            }
            const int which = strcmp(pair->kinds[p->kind], kind) == 0;
            s->most[which] = fmax(s->most[which], p->spent[axis]);
            s->runs[s->n++] = (struct run){.which = which,
                                           .group = group,
                                           .cell = p->cell,
                                           .unit = p->unit,
                                           .x = log(p->spent[axis]),
                                           .y = log(p->loss)};
        }
    }
}

static bool sample_init(struct sample *s, const struct fit_points *points, int baseline, int kind,
                        enum fit_axis axis, struct error *err)
{
    if (!copy_pair(&s->pair, points, baseline, kind, err)) {
        return false;
    }
    const size_t n = (size_t)s->pair.n;
    s->runs = calloc(3 * n + 1, sizeof *s->runs);
    s->pairs = calloc(n + 1, sizeof *s->pairs);
    if (s->runs == NULL || s->pairs == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to compare %zu points", n);
    }
    s->means = s->runs + n;
    s->gaps = s->means + n;
    add_runs(s, points, points->kinds[kind], axis);
    return true;
}

static void sample_finish(struct sample *s)
{
    fit_points_finish(&s->pair);
    free(s->runs);
    free(s->pairs);
}

/** Means and scaled deviations of one cell's runs [first, end). Returns the least number of seeds
 * that either kind has. */
static int centre_cell(struct sample *s, int first, int end)
{
    int n[2] = {0};
    double x[2] = {0.0}, y[2] = {0.0};
    for (int i = first; i < end; i++) {
        const struct run *r = &s->runs[i];
        n[r->which]++;
        x[r->which] += r->x;
        y[r->which] += r->y;
    }
    for (int i = first; i < end; i++) {
        const int k = s->runs[i].which;
        const double scale = n[k] > 1 ? sqrt(n[k] / (n[k] - 1.0)) : 0.0;
        s->means[i] = s->gaps[i] = s->runs[i];
        s->means[i].x = x[k] / n[k];
        s->means[i].y = y[k] / n[k];
        s->gaps[i].x = scale * (s->runs[i].x - s->means[i].x);
        s->gaps[i].y = scale * (s->runs[i].y - s->means[i].y);
    }
    return n[0] < n[1] ? n[0] : n[1];
}

/** Seeds of this cell that both kinds ran go into the pool, in the order baseline, kind. */
static void pool_cell(struct sample *s, int first, int end)
{
    const int before = s->n_pairs;
    for (int i = first; i + 1 < end; i++) {
        if (s->runs[i].unit == s->runs[i + 1].unit) {
            const int swapped = s->runs[i].which;
            s->pairs[s->n_pairs][0] = i + swapped;
            s->pairs[s->n_pairs][1] = i + 1 - swapped;
            s->n_pairs++;
        }
    }
    s->n_pair_cells += s->n_pairs > before;
}

static void sample_centre(struct sample *s)
{
    for (int first = 0, end = 0; first < s->n; first = end) {
        for (end = first; end < s->n && s->runs[end].cell == s->runs[first].cell; end++) {
        }
        if (centre_cell(s, first, end) > 1) {
            pool_cell(s, first, end);
        }
    }
}

/** What the pool holds of a cell: variance of ln L, and how much it says. */
struct scatter {
    int group;
    double variance, freedom;
};

/** Of the cell that begins with pair `first`, before pair `end`. Gaps are scaled for their cell. */
static struct scatter scatter_in(const struct sample *s, int first, int end)
{
    struct scatter scatter = {.group = s->runs[s->pairs[first][0]].group,
                              .freedom = end - first - 1};
    for (int i = first; i < end; i++) {
        const double gaps[2] = {s->gaps[s->pairs[i][0]].y, s->gaps[s->pairs[i][1]].y};
        scatter.variance += (gaps[0] * gaps[0] + gaps[1] * gaps[1]) / (2.0 * (double)(end - first));
    }
    return scatter;
}

/** Where seeds scatter most, and how many times as much as in the other cells together. */
static void find_scatter(struct fit_comparison *c, const struct sample *s)
{
    struct scatter most = {0};
    double squares = 0.0, freedom = 0.0;
    for (int first = 0, end = 0; first < s->n_pairs; first = end) {
        const int cell = s->runs[s->pairs[first][0]].cell;
        for (end = first; end < s->n_pairs && s->runs[s->pairs[end][0]].cell == cell; end++) {
        }
        if (end - first >= FIT_SCATTER_SEEDS) {
            const struct scatter here = scatter_in(s, first, end);
            most = here.variance > most.variance ? here : most;
            squares += here.variance * here.freedom;
            freedom += here.freedom;
        }
    }
    const double rest = squares - most.variance * most.freedom;
    const bool is_known = rest > 0.0 && freedom > most.freedom;
    c->scatter_group = is_known ? most.group : -1;
    c->scatter = is_known ? sqrt(most.variance / (rest / (freedom - most.freedom))) : NAN;
}

/** The moments of all runs but those of a group (-1: of all). */
static void gather(struct moments m[2], const struct sample *s, int left_out)
{
    m[0] = m[1] = (struct moments){0};
    for (int i = 0; i < s->n; i++) {
        if (s->runs[i].group != left_out) {
            add_moment(&m[s->runs[i].which], s->runs[i].group, s->runs[i].x, s->runs[i].y);
        }
    }
}

/** The same of a redraw: every unit is given a pair out of the pool. */
static void redraw(struct moments m[2], const struct sample *s, struct rng *rng)
{
    m[0] = m[1] = (struct moments){0};
    int unit = -1;
    const int *pair = NULL;
    for (int i = 0; i < s->n; i++) {
        const struct run *mean = &s->means[i];
        if (mean->unit != unit) {
            unit = mean->unit;
            pair = s->pairs[rng_below(rng, (uint64_t)s->n_pairs)];
        }
        const struct run *gap = &s->gaps[pair[mean->which]];
        add_moment(&m[mean->which], mean->group, mean->x + gap->x, mean->y + gap->y);
    }
}

static void measure(double out[FIT_SLOPES], const struct moments m[2], double x)
{
    struct fit_curve curves[FIT_SLOPES][2];
    find_curves(curves, m);
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        out[slopes] = fit_multiplier(curves[slopes][0], curves[slopes][1], x);
    }
}

static bool has_two_groups(const struct sample *s)
{
    return s->n > 0 && s->runs[0].group != s->runs[s->n - 1].group;
}

/** Where a slope of its own is not known, neither is the common one worth an interval. */
static const char *reason_against_interval(const struct fit_comparison *c, const struct sample *s,
                                           const struct moments m[2])
{
    if (!has_two_groups(s)) {
        return "the curves need two sizes that both kinds ran for as many tokens";
    }
    if (!spans_enough(m[0]) || !spans_enough(m[1])) {
        return "the curves need two sizes a factor of 1.5 apart or more";
    }
    if (isnan(c->multiplier[FIT_SEPARATE]) || isnan(c->multiplier[FIT_COMMON])) {
        return "the loss of the baseline does not fall, so that no multiple of it is enough";
    }
    if (!s->shares_cells) { /* known by their size, there would be no runs */
        return "no two points of the kinds have the same compute; their sizes would tell which "
               "belong together: give size";
    }
    if (s->n_pairs <= s->n_pair_cells) {
        return "no size has two seeds that both kinds ran for as many tokens: what another seed "
               "would change is not known";
    }
    return NULL;
}

static void find_interval(struct fit_comparison *c, const struct sample *s,
                          const struct fit_options *options)
{
    struct rng rng = rng_stream(rng_key(options->seed, "fit redraws"));
    double sum[FIT_SLOPES] = {0.0}, squares[FIT_SLOPES] = {0.0};
    for (int i = 0; i < options->n_redraws; i++) {
        struct moments m[2];
        double multiplier[FIT_SLOPES];
        redraw(m, s, &rng);
        measure(multiplier, (const struct moments *)m, c->at);
        for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
            const double d = multiplier[slopes] - c->multiplier[slopes];
            sum[slopes] += d;
            squares[slopes] += d * d;
        }
    }
    const double n = options->n_redraws;
    const double t = fit_interval_factor(c->freedom);
    double half[FIT_SLOPES];
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        const double variance = (squares[slopes] - sum[slopes] * sum[slopes] / n) / (n - 1.0);
        half[slopes] = t * sqrt(fmax(variance, 0.0));
        if (!isfinite(variance)) {
            c->no_interval = "the runs scatter so much that some redraws have no falling curve";
            return;
        }
    }
    for (enum fit_slopes slopes = 0; slopes < FIT_SLOPES; slopes++) {
        c->low[slopes] = c->multiplier[slopes] - half[slopes];
        c->high[slopes] = c->multiplier[slopes] + half[slopes];
    }
}

/** The largest x of both kinds' runs but for one group's. */
static double reach_without(const struct sample *s, int group)
{
    double most[2] = {0.0};
    for (int i = 0; i < s->n; i++) {
        const struct run *r = &s->runs[i];
        most[r->which] = r->group == group ? most[r->which] : fmax(most[r->which], exp(r->x));
    }
    return fmin(most[0], most[1]);
}

/** Groups that only one kind has stay: leaving them out would change its curve alone. */
static void leave_out(struct fit_comparison *c, const struct sample *s, int n_groups, double x)
{
    for (int i = 0; i < n_groups; i++) {
        c->without[i] = (struct fit_without){{NAN, NAN}, reach_without(s, i)};
    }
    for (int first = 0, end = 0; first < s->n; first = end) {
        const int group = s->runs[first].group;
        bool has[2] = {false};
        for (end = first; end < s->n && s->runs[end].group == group; end++) {
            has[s->runs[end].which] = true;
        }
        if (has[0] && has[1]) {
            struct moments m[2];
            gather(m, s, group);
            measure(c->without[group].multiplier, (const struct moments *)m, x);
        }
    }
}

bool fit_scatters_unequally(const struct fit_comparison *c)
{
    static const double SELDOM = 3.3; /* by equal noise: see fit_compare */
    return c->scatter >= SELDOM;
}

bool fit_compare(struct fit_comparison *comparison, const struct fit_points *points, int baseline,
                 int kind, const struct fit_options *options, struct error *err)
{
    assert(baseline != kind && options->n_redraws >= 2);
    struct fit_comparison c = {.kind = kind};
    struct sample s = {0};
    bool ok = sample_init(&s, points, baseline, kind, options->axis, err);
    c.without = ok ? calloc((size_t)points->n_groups + 1, sizeof *c.without) : NULL;
    if (ok && c.without == NULL) {
        ok = error_set(err, ERROR_CREATE, "no memory to leave out %d sizes", points->n_groups);
    }
    if (ok) {
        struct moments m[2];
        c.reach = fmin(s.most[0], s.most[1]);
        c.at = options->at > 0.0 ? options->at : c.reach;
        c.n_left_out = s.pair.n - s.n;
        sample_centre(&s);
        gather(m, &s, -1);
        find_curves(c.curves, (const struct moments *)m);
        measure(c.multiplier, (const struct moments *)m, c.at);
        leave_out(&c, &s, points->n_groups, c.at);
        c.freedom = s.n_pairs - s.n_pair_cells;
        find_scatter(&c, &s);
        c.low[0] = c.low[1] = c.high[0] = c.high[1] = NAN;
        c.no_interval = reason_against_interval(&c, &s, (const struct moments *)m);
        if (c.no_interval == NULL) {
            find_interval(&c, &s, options);
        }
        *comparison = c;
    }
    sample_finish(&s);
    return ok;
}

void fit_comparison_finish(struct fit_comparison *comparison)
{
    if (comparison != NULL) {
        free(comparison->without);
        *comparison = (struct fit_comparison){0};
    }
}
