/* L = E + A N^-a + B D^-b by variable projection. */
#include "fit_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRID = 24,   /* points a side */
    STARTS = 6,  /* the grid's best */
    STEPS = 200, /* of one search */
    LEAST_RUNS = 6,
    LEAST_VALUES = 3,
    VECTORS = 8,
    FREE = 5, /* E, A, a, B, b */
};

static const double GRID_FIRST = 0.02, GRID_LAST = 2.0;
static const double LEAST = 0.005, MOST = 5.0; /* exponents; at either end a term is no power law */
static const double LEAST_COLUMN = 1e-9;       /* of a column that the others do not explain */
static const double MOST_ALIKE = 0.99;         /* squared correlation of ln N and ln D */
static const double SMALLEST_STEP = 1e-13;
static const double WIDEST = 0.5; /* half an interval, of the exponent that it is of */

/** The problem, and memory for one evaluation. N and D are divided by their geometric means, so
 * that the columns are near 1. */
struct problem {
    int n;
    const double *y;
    double *u, *v;       /* ln N, ln D, centred */
    double *q[3];        /* orthonormal: 1, e^-au, e^-bv */
    double *r, *ja, *jb; /* residual, its derivatives by ln a and ln b */
    double qa[3], qb[3]; /* what ja and jb had along q */
    double *memory;
    double u_mean, v_mean;
};

/** One point of the search: the exponents, what is best there, and how well it does. */
struct trial {
    double a, b;
    double linear[3]; /* E, A, B of the scaled columns */
    double squares;   /* INFINITY: not allowed */
};

static double dot(const double *x, const double *y, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

/** x -= q (q.x); returns q.x. */
static double project_out(double *x, const double *q, int n)
{
    const double along = dot(q, x, n);
    for (int i = 0; i < n; i++) {
        x[i] -= along * q[i];
    }
    return along;
}

/** The columns as q r (Gram-Schmidt, each projection twice). False if one adds nothing. */
static bool factor(struct problem *p, double r[3][3], double a, double b)
{
    for (int i = 0; i < p->n; i++) {
        p->q[0][i] = 1.0;
        p->q[1][i] = exp(-a * p->u[i]);
        p->q[2][i] = exp(-b * p->v[i]);
    }
    memset(r, 0, 9 * sizeof r[0][0]);
    for (int k = 0; k < 3; k++) {
        double *column = p->q[k];
        const double before = sqrt(dot(column, column, p->n));
        for (int twice = 0; twice < 2; twice++) {
            for (int j = 0; j < k; j++) {
                r[j][k] += project_out(column, p->q[j], p->n);
            }
        }
        r[k][k] = sqrt(dot(column, column, p->n));
        if (!(r[k][k] > LEAST_COLUMN * before)) {
            return false;
        }
        for (int i = 0; i < p->n; i++) {
            column[i] /= r[k][k];
        }
    }
    return true;
}

/** x with r x = y. */
static void solve_upper(double x[3], double r[3][3], const double y[3])
{
    for (int k = 2; k >= 0; k--) {
        x[k] = y[k];
        for (int j = k + 1; j < 3; j++) {
            x[k] -= r[k][j] * x[j];
        }
        x[k] /= r[k][k];
    }
}

/** The best E, A, B for these exponents and the residual they leave. */
static struct trial evaluate(struct problem *p, double a, double b)
{
    struct trial t = {.a = a, .b = b, .squares = INFINITY};
    double r[3][3];
    if (!(a > LEAST && a < MOST && b > LEAST && b < MOST) || !factor(p, r, a, b)) {
        return t;
    }
    memcpy(p->r, p->y, (size_t)p->n * sizeof *p->r);
    double along[3];
    for (int k = 0; k < 3; k++) {
        along[k] = project_out(p->r, p->q[k], p->n);
    }
    solve_upper(t.linear, r, along);
    if (t.linear[1] > 0.0 && t.linear[2] > 0.0) {
        t.squares = dot(p->r, p->r, p->n);
    }
    return t;
}

/** d r / d ln a = a A P(u e^-au), P projecting out the columns; the change of E, A and B left out
 * (Kaufman). p->q and p->r are those of the trial. */
static void differentiate(struct problem *p, const struct trial *t)
{
    for (int i = 0; i < p->n; i++) {
        p->ja[i] = t->a * t->linear[1] * p->u[i] * exp(-t->a * p->u[i]);
        p->jb[i] = t->b * t->linear[2] * p->v[i] * exp(-t->b * p->v[i]);
    }
    for (int k = 0; k < 3; k++) {
        p->qa[k] = project_out(p->ja, p->q[k], p->n);
        p->qb[k] = project_out(p->jb, p->q[k], p->n);
    }
}

/** Levenberg-Marquardt in (ln a, ln b). */
static struct trial search(struct problem *p, double a, double b)
{
    struct trial best = evaluate(p, a, b);
    double damping = 1e-3;
    for (int step = 0; step < STEPS && isfinite(best.squares); step++) {
        evaluate(p, best.a, best.b);
        differentiate(p, &best);
        const double aa = dot(p->ja, p->ja, p->n) * (1.0 + damping);
        const double bb = dot(p->jb, p->jb, p->n) * (1.0 + damping);
        const double ab = dot(p->ja, p->jb, p->n), det = aa * bb - ab * ab;
        const double ga = dot(p->ja, p->r, p->n), gb = dot(p->jb, p->r, p->n);
        const double da = (ab * gb - bb * ga) / det, db = (ab * ga - aa * gb) / det;
        if (!isfinite(da) || !isfinite(db) || fabs(da) + fabs(db) < SMALLEST_STEP) {
            break;
        }
        const struct trial next = evaluate(p, best.a * exp(da), best.b * exp(db));
        const bool is_better = next.squares < best.squares;
        best = is_better ? next : best;
        damping *= is_better ? 0.1 : 10.0;
    }
    return best;
}

static double grid_point(int i)
{
    return GRID_FIRST * pow(GRID_LAST / GRID_FIRST, (double)i / (GRID - 1));
}

/** The best points of the grid, best first; valleys are narrow, and one start may sit in a worse.
 */
static void find_starts(struct trial starts[STARTS], struct problem *p)
{
    for (int i = 0; i < STARTS; i++) {
        starts[i].squares = INFINITY;
    }
    for (int i = 0; i < GRID * GRID; i++) {
        struct trial t = evaluate(p, grid_point(i / GRID), grid_point(i % GRID));
        for (int j = 0; j < STARTS; j++) {
            if (t.squares < starts[j].squares) {
                const struct trial pushed = starts[j];
                starts[j] = t;
                t = pushed;
            }
        }
    }
}

static double centre(double *out, const double *values, int n)
{
    double mean = 0.0;
    for (int i = 0; i < n; i++) {
        out[i] = log(values[i]);
        mean += out[i] / n;
    }
    for (int i = 0; i < n; i++) {
        out[i] -= mean;
    }
    return mean;
}

static bool problem_init(struct problem *p, int n, const double *N, const double *D,
                         const double *L, struct error *err)
{
    double *memory = calloc((size_t)n * VECTORS, sizeof *memory);
    if (memory == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to fit %d points", n);
    }
    double **vectors[] = {&p->u, &p->v, &p->q[0], &p->q[1], &p->q[2], &p->r, &p->ja, &p->jb};
    *p = (struct problem){.n = n, .y = L, .memory = memory};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        *vectors[i] = memory + i * (size_t)n;
    }
    p->u_mean = centre(p->u, N, n);
    p->v_mean = centre(p->v, D, n);
    return true;
}

/** Whether there are at least LEAST_VALUES different ones. */
static bool is_varied(const double *values, int n)
{
    double seen[LEAST_VALUES];
    int n_seen = 0;
    for (int i = 0; i < n && n_seen < LEAST_VALUES; i++) {
        bool is_new = true;
        for (int j = 0; j < n_seen; j++) {
            is_new = is_new && values[i] != seen[j];
        }
        if (is_new) {
            seen[n_seen++] = values[i];
        }
    }
    return n_seen == LEAST_VALUES;
}

static const char *reason_against(const struct problem *p, const double *N, const double *D)
{
    if (p->n < LEAST_RUNS || !is_varied(N, p->n) || !is_varied(D, p->n)) {
        return "it needs six runs, of three sizes and three numbers of tokens";
    }
    const double uv = dot(p->u, p->v, p->n);
    if (uv * uv > MOST_ALIKE * dot(p->u, p->u, p->n) * dot(p->v, p->v, p->n)) {
        return "tokens follow the size in these runs, so N and D cannot be told apart; add runs of "
               "one size with more and fewer tokens";
    }
    return NULL;
}

/** Variances of ln a, ln b and E for residuals of variance 1: of the least squares that is linear
 * at the best point. With J for ja and jb, what of them the columns do not explain, C = (J'J)^-1 is
 * that of (ln a, ln b); E, the first of r^-1 q'y, moves with both by g = r^-1 q'(ja, jb), so its is
 * |first row of r^-1|^2 + g'Cg. */
static void find_variances(double variances[3], struct problem *p, const struct trial *best)
{
    double r[3][3], ga[3], gb[3], e = 0.0;
    const bool is_factored = factor(p, r, best->a, best->b);
    assert(is_factored && "the search has been there");
    differentiate(p, best);
    const double aa = dot(p->ja, p->ja, p->n), bb = dot(p->jb, p->jb, p->n),
                 ab = dot(p->ja, p->jb, p->n), det = aa * bb - ab * ab;
    solve_upper(ga, r, p->qa);
    solve_upper(gb, r, p->qb);
    for (int k = 0; k < 3; k++) {
        double x[3];
        solve_upper(x, r, (double[3]){k == 0, k == 1, k == 2});
        e += x[0] * x[0];
    }
    variances[0] = bb / det;
    variances[1] = aa / det;
    variances[2] = e + (ga[0] * ga[0] * bb - 2.0 * ga[0] * gb[0] * ab + gb[0] * gb[0] * aa) / det;
}

/** Intervals of 95 %. Where they are wide the least squares are far from linear, and the law is
 * none.
 */
static void find_intervals(struct fit_law *law, struct problem *p, const struct trial *best)
{
    double variances[3];
    find_variances(variances, p, best);
    const int freedom = p->n - FREE;
    const double t = fit_interval_factor(freedom) * sqrt(best->squares / (double)freedom);
    const double log_a = t * sqrt(variances[0]), log_b = t * sqrt(variances[1]);
    law->within_E = t * sqrt(variances[2]);
    law->within_a = law->a * log_a;
    law->within_b = law->b * log_b;
    if (!(log_a < WIDEST && log_b < WIDEST)) { /* as well if one is not a number */
        law->absent = "the runs hardly tell N and D apart: the 95 % interval of an exponent is "
                      "wider than the exponent; add runs of more sizes with more and fewer tokens";
    }
}

static void solve(struct fit_law *law, struct problem *p)
{
    struct trial starts[STARTS], best = {.squares = INFINITY};
    find_starts(starts, p);
    for (int i = 0; i < STARTS && isfinite(starts[i].squares); i++) {
        const struct trial t = search(p, starts[i].a, starts[i].b);
        best = t.squares < best.squares ? t : best;
    }
    if (!isfinite(best.squares)) {
        law->absent = "the loss does not fall with size and tokens as such a law does";
        return;
    }
    law->a = best.a;
    law->b = best.b;
    law->E = best.linear[0];
    law->A = best.linear[1] * exp(best.a * p->u_mean);
    law->B = best.linear[2] * exp(best.b * p->v_mean);
    law->rms = sqrt(best.squares / p->n);
    find_intervals(law, p, &best);
}

bool fit_law_find(struct fit_law *law, int n, const double *N, const double *D, const double *L,
                  struct error *err)
{
    struct problem p = {0};
    if (n == 0) {
        *law = (struct fit_law){.absent = "no run has a size and tokens"};
        return true;
    }
    if (!problem_init(&p, n, N, D, L, err)) {
        return false;
    }
    *law = (struct fit_law){.n = n, .absent = reason_against(&p, N, D)};
    if (law->absent == NULL) {
        solve(law, &p);
    }
    free(p.memory);
    return true;
}

bool fit_law_of(struct fit_law *law, const struct fit_points *points, int kind, struct error *err)
{
    const size_t capacity = (size_t)points->n + 1;
    double *values = calloc(3 * capacity, sizeof *values);
    if (values == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to fit %d points", points->n);
    }
    int n = 0;
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (p->kind == kind && p->size > 0 && p->spent[FIT_TOKENS] > 0.0) {
            values[n] = (double)p->size;
            values[capacity + (size_t)n] = p->spent[FIT_TOKENS];
            values[2 * capacity + (size_t)n] = p->loss;
            n++;
        }
    }
    const bool ok = fit_law_find(law, n, values, values + capacity, values + 2 * capacity, err);
    free(values);
    return ok;
}
