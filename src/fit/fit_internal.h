/** What the files of fit share. */
#ifndef ATTNRES_FIT_INTERNAL_H
#define ATTNRES_FIT_INTERNAL_H

#include <attnres/fit.h>

/** Append a point; its kind is given by name (shorter than FIT_KIND_BYTES) in place of the index.
 */
bool fit_points_add(struct fit_points *points, const char *kind, const struct fit_point *point,
                    struct error *err);

/** Note that a run does not count: why, in words that other runs may share, and what else there is
 * to say of this one. Copies both. */
bool fit_points_leave_out(struct fit_points *points, const char *path, const char *why,
                          const char *detail, struct error *err);

/** The form of a run's loss: a number that runs share whose losses compare. path must outlive the
 * points. */
bool fit_points_find_form(int *form, struct fit_points *points, const char *path,
                          const struct config *config, struct error *err);
/** Leave out the runs of all forms but that of most runs, or the first of those. */
bool fit_points_keep_comparable(struct fit_points *points, struct error *err);
void fit_points_drop_forms(struct fit_points *points);
/** Forget kinds without points. */
void fit_points_drop_kinds(struct fit_points *points);
/** Sort and number as fit_points_arrange does, and that alone. Requires that no two points are of
 * one kind, size, tokens and seed. */
void fit_points_sort(struct fit_points *points);

/** separate, common */
const char *fit_slopes_name(enum fit_slopes slopes);

/** The runs of one kind in one cell, as a row of the table. */
struct fit_summary {
    const struct fit_point *first; /* NULL: there are none */
    int n;
    double x, loss;   /* means */
    double deviation; /* of the losses; NAN for a single one */
};

struct fit_summary fit_summarize(const struct fit_points *points, int cell, int kind,
                                 enum fit_axis axis);

/** Half of a 95 % interval, in standard deviations. */
double fit_interval_factor(int freedom);

int fit_count_runs(const struct fit_points *points, int kind);
const struct fit_point *fit_first_of_group(const struct fit_points *points, int group);

#endif
