/* How far a curve misses the runs that it was fitted to. */
#include "fit_internal.h"

#include <math.h>

/** The runs of one kind in one cell, in logarithms. */
struct cell {
    int n;
    double x, y;    /* means */
    double squares; /* of y about its mean */
};

static struct cell take_cell(const struct fit_points *points, int first, int end, int kind,
                             enum fit_axis axis)
{
    struct cell cell = {0};
    for (int i = first; i < end; i++) {
        const struct fit_point *p = &points->rows[i];
        if (p->kind == kind) {
            const double y = log(p->loss), d = y - cell.y;
            cell.n++;
            cell.x += (log(p->spent[axis]) - cell.x) / cell.n;
            cell.y += d / cell.n;
            cell.squares += d * (y - cell.y); /* Welford */
        }
    }
    return cell;
}

struct fit_misfit fit_misfit_of(const struct fit_points *points, int kind, struct fit_curve curve,
                                enum fit_axis axis)
{
    struct fit_misfit misfit = {NAN, -1, NAN};
    double squares = 0.0;
    int n_cells = 0, freedom = 0;
    for (int first = 0, end = 0; first < points->n; first = end) {
        for (end = first; end < points->n && points->rows[end].cell == points->rows[first].cell;) {
            end++;
        }
        const struct cell cell = take_cell(points, first, end, kind, axis);
        if (cell.n == 0) {
            continue;
        }
        const double off = cell.y - (curve.a - curve.alpha * cell.x);
        if (fabs(off) > fabs(misfit.farthest) || (isnan(misfit.farthest) && !isnan(off))) {
            misfit.farthest = off;
            misfit.group = points->rows[first].group;
        }
        n_cells++;
        squares += cell.squares;
        freedom += cell.n - 1;
    }
    if (n_cells < 3) { /* two lie on any curve, but for rounding */
        misfit.farthest = NAN;
    }
    misfit.scatter = freedom > 0 ? sqrt(squares / freedom) : NAN;
    return misfit;
}
