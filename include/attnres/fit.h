/** What runs of several sizes say together: loss against compute for each kind, and how much more
 * compute the baseline needs for the same loss. Pure functions over points.
 *
 *  A point is a finished run: its kind, size, seed, the loss it ended with, and what it spent. Runs
 * of one size and about as many tokens form a cell; in a cell, runs of one seed belong together
 * whatever their kind, since they share data order and initial weights. With x what was spent and L
 * the loss, each kind k is given the curve
 *
 *      L = A x^-alpha,   least squares of  ln L = a - alpha ln x,   A = e^a,
 *
 *  once with a slope of its own and once with the slope it shares with the baseline b (a of each,
 * alpha = -sum_k Sxy_k / sum_k Sxx_k). At x the kind reaches L_k; b reaches it with m times as
 * much:
 *
 *      m = (A_b / L_k)^(1/alpha_b) / x,   L_k = A_k x^-alpha_k.
 *
 *  The two curves do not depend on which other kinds are at hand. */
#ifndef ATTNRES_FIT_H
#define ATTNRES_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>
#include <attnres/json.h>
#include <attnres/text.h>

enum {
    FIT_MAX_KINDS = 16,
    FIT_KIND_BYTES = 32,
    FIT_MAX_POINTS = 1 << 14,
    FIT_WHY_BYTES = 1024,
    FIT_DETAIL_BYTES = 256,
    FIT_SCATTER_SEEDS = 3,
};

/** What loss is set against. */
enum fit_axis { FIT_FLOPS, FIT_TOKENS, FIT_TIME, FIT_AXES };
const char *fit_axis_name(enum fit_axis axis); /* flops, tokens, time */

struct fit_point {
    int kind;     /* index of fit_points.kinds */
    int64_t size; /* parameters but for those of reads: the same for every kind; 0: not given */
    int64_t seed;
    double spent[FIT_AXES]; /* FLOPs, tokens, seconds; 0: not given */
    double loss;
    const char *source;    /* file or folder it comes from, borrowed */
    int line;              /* of that file; 0: a run's folder */
    int form;              /* of a run: of fit_points.forms */
    int group, cell, unit; /* set by fit_points_arrange */
};

/** A run that does not count. */
struct fit_left_out {
    const char *path;                                  /* folder or file, borrowed */
    char why[FIT_WHY_BYTES], detail[FIT_DETAIL_BYTES]; /* detail: of this run alone; may be empty */
    bool has_twin; /* it would count, were there no other like it */
};

/** What runs have in common whose losses compare: the configuration of the first of them. */
struct fit_form {
    struct config *config; /* heap */
    const char *path;
};

/** Groups, cells and units count from 0 in the order of the rows: a group is the runs of a size, a
 * unit those of a cell and seed. */
struct fit_points {
    struct fit_point *rows;
    int n, capacity;
    char kinds[FIT_MAX_KINDS][FIT_KIND_BYTES];
    int n_kinds;
    int n_groups, n_cells, n_units;
    struct fit_form *forms;
    int n_forms;
    int n_runs; /* folders and points of files read, those left out too */
    struct fit_left_out *left_out;
    int n_left_out, left_out_capacity;
};

/** Add the points of a file, or of standard input ("-"): a JSON object a line, or comma-separated
 * values under a line of names. Names: kind, compute, loss; and, if they are known, size, seed,
 * tokens, time. Empty lines and those that begin with # are passed over. path must outlive the
 * points. */
bool fit_points_read(struct fit_points *points, const char *path, struct error *err);
/** The same from memory: a pure function of its arguments. */
bool fit_points_parse(struct fit_points *points, const char *name, const char *bytes, size_t length,
                      struct error *err);
/** Add a run's folder: kind, size and seed from its config.yaml; val_loss, FLOPs, tokens and time
 * from the last line of its metrics.jsonl. Left out are folders where these are absent or damaged,
 * and runs that have not reached their last step or have no val_loss there. path must outlive the
 * points. */
bool fit_points_read_run(struct fit_points *points, const char *path, struct error *err);
/** Why a folder is not that of a run which has begun to measure, by the paths that its config.yaml
 * and metrics.jsonl would have; NULL: it is. */
const char *fit_reason_against(const char *config, const char *metrics);
/** How many runs were left out, and why: those of one reason together. Nothing if there are none.
 */
void fit_tell_left_out(struct text *t, const struct fit_points *points);
/** What a run is called among the kinds: its model's, +static, and how its sources are rounded. */
void fit_name_kind(char kind[FIT_KIND_BYTES], const struct config *config);
/** Keep of the runs those whose val_loss compares with that of most (of the first, where forms are
 * as common): it is of the same data, windows and number of tokens. The data are the same if the
 * files are, or, where they are not here, if one path ends in the other. Of these leave out all
 * that share kind, size, tokens and seed with another (they may differ in a learning rate): which
 * one should count is for the user to say. Then sort by cell, seed and kind, and number groups,
 * cells and units. Tokens within 5 % count as the same: runs of equal compute differ by that.
 * Without a size, points of the same compute are a cell, and a group. ERROR_DATA if no point is
 * left. */
bool fit_points_arrange(struct fit_points *points, struct error *err);
void fit_points_finish(struct fit_points *points);
/** Whether two runs of a size have about the same budget, in tokens: within 5 %, since at equal
 * compute kinds differ a little. */
bool fit_is_same_budget(double a, double b);
/** Index of a kind; -1: there is none. */
int fit_points_find_kind(const struct fit_points *points, const char *name);

struct fit_curve {
    double a, alpha; /* L = e^a x^-alpha; NAN: no two sizes whose mean x are 1.5-fold apart */
};
/** m as above, at x. NAN where the baseline's curve does not fall. */
double fit_multiplier(struct fit_curve baseline, struct fit_curve kind, double x);

/** The curve of one kind by itself; kind -1: of all points together. Requires points with this
 * axis.
 */
struct fit_curve fit_curve_of(const struct fit_points *points, int kind, enum fit_axis axis);

/** How runs of a kind lie about its curve, in ln L: hundredths of it are per cent of the loss. */
struct fit_misfit {
    double farthest; /* the mean of a cell, above the curve; NAN: no curve, or two cells alone */
    int group;       /* of that cell */
    double scatter;  /* standard deviation of a seed about the mean of its cell; NAN: unknown */
};
struct fit_misfit fit_misfit_of(const struct fit_points *points, int kind, struct fit_curve curve,
                                enum fit_axis axis);

enum fit_slopes { FIT_SEPARATE, FIT_COMMON, FIT_SLOPES };

struct fit_options {
    enum fit_axis axis;
    double at;     /* x; 0: as far as the runs of both go */
    uint64_t seed; /* of the redraws */
    int n_redraws; /* 2 or more */
};

/** A comparison with one group of runs left out. */
struct fit_without {
    double multiplier[FIT_SLOPES]; /* NAN: none */
    double reach;                  /* the largest x that the other runs of both have reached */
};

struct fit_comparison {
    int kind;
    double at, reach; /* x of the multiplier; the largest that runs of both have reached */
    int n_left_out;   /* runs that the other kind has no counterpart of */
    struct fit_curve curves[FIT_SLOPES][2]; /* the baseline's, the kind's */
    double multiplier[FIT_SLOPES];          /* NAN: none */
    double low[FIT_SLOPES], high[FIT_SLOPES];
    int freedom;             /* of Student's t */
    const char *no_interval; /* why there is none, in words; NULL: there is */
    double scatter;    /* where seeds scatter most, in times of the other cells'; NAN: unknown */
    int scatter_group; /* where that is; -1: unknown */
    struct fit_without *without; /* with each group left out in turn */
};

/** Compare a kind with the baseline, in the cells that both have, and where one has more seeds
 * there in those that both have: one that had an unequal share of longer runs would be given
 * another curve for that alone. The interval is a bootstrap: each run's deviation from the mean of
 * its kind and cell (in ln x, which differs between seeds for wall-clock time alone, and ln L),
 * times sqrt(n/(n-1)) for n seeds, goes into one pool over all cells, the two kinds' of a seed as
 * one. A redraw puts a drawn pair on every seed of every cell's mean and fits all again. The
 * interval is m +- t(0.975, pairs - cells) times the redraws' standard deviation: percentiles of
 * few seeds would be too narrow. One pool takes seeds to scatter alike in all cells. If they do so
 * four times as much at the smallest of four sizes, an interval covers 98 % with slopes of their
 * own and 90 % with a common one; at the largest, 78 % and 90 %. So scatter sets the deviation of
 * ln L in the cell where it is largest, both kinds' together, against that of the other cells, of
 * those with FIT_SCATTER_SEEDS or more. People are told from 3.3 on: equal noise reaches that in
 * less than 5 % of comparisons of four sizes and three seeds, whatever the kinds share of it.
 * Requires arranged points with this axis. End with fit_comparison_finish. False (ERROR_CREATE)
 * without memory. */
bool fit_compare(struct fit_comparison *comparison, const struct fit_points *points, int baseline,
                 int kind, const struct fit_options *options, struct error *err);
void fit_comparison_finish(struct fit_comparison *comparison);
/** Seeds scatter so much more at one size that the interval may be too narrow. */
bool fit_scatters_unequally(const struct fit_comparison *comparison);

/** The t that a variable of Student's distribution stays below with probability p. Exact
 * (Abramowitz and Stegun 26.7.3 and 26.7.4, solved by bisection). Requires 0.5 <= p < 1, freedom
 * >= 1. */
double fit_student_quantile(double p, int freedom);

/** L = E + A N^-a + B D^-b: N parameters, D tokens. */
struct fit_law {
    double E, A, a, B, b;
    double within_E, within_a, within_b; /* half of each one's 95 % interval */
    double rms;                          /* of L - law */
    int n;                               /* points */
    const char *absent;                  /* why there is none, in words; NULL: there is */
};
/** Least squares in L by variable projection: for given a and b the best E, A and B are linear, so
 * that only (ln a, ln b) is searched, with 0.005 < a, b < 5 and A, B > 0: from the best points of a
 * grid by Levenberg-Marquardt, with Kaufman's Jacobian of the projected residual (Golub and
 * Pereyra 1973, Kaufman 1975). Intervals are those of the least squares linear at the solution,
 * with Student's t for n - 5. Absent where that of an exponent is wider than the exponent: N and D,
 * or E and a term, are then hardly told apart. False (ERROR_CREATE) without memory. */
bool fit_law_find(struct fit_law *law, int n, const double *N, const double *D, const double *L,
                  struct error *err);
/** The law of one kind's points; those without size or tokens do not count. */
bool fit_law_of(struct fit_law *law, const struct fit_points *points, int kind, struct error *err);

/** All of the above, for every kind. */
struct fit_report {
    struct fit_options options;
    int baseline; /* -1: there is none */
    struct fit_curve curves[FIT_MAX_KINDS];
    struct fit_misfit misfits[FIT_MAX_KINDS];
    struct fit_comparison comparisons[FIT_MAX_KINDS]; /* of the other kinds, in their order */
    int n_comparisons;
    struct fit_law laws[FIT_MAX_KINDS];
};
/** Requires arranged points. ERROR_USAGE if a point does not have the axis. End with
 * fit_report_finish, also after a failure. */
bool fit_report_make(struct fit_report *report, const struct fit_points *points, int baseline,
                     const struct fit_options *options, struct error *err);
void fit_report_finish(struct fit_report *report);
/** An interval in words, with so many decimals: 1.02 to 1.31; below 4.80 if it reaches down to 0
 * or less, which no multiplier does. */
void fit_add_interval(struct text *t, int decimals, double low, double high);
/** For people; length like snprintf. */
size_t fit_report_print(const struct fit_report *report, const struct fit_points *points,
                        char *text, size_t capacity);
/** Members of an open JSON object. What is not known is null or absent. */
void fit_report_write_json(struct json_writer *w, const struct fit_report *report,
                           const struct fit_points *points);

#endif
