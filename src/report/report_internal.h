/** What was read of the runs, and how figures are made of it. */
#ifndef ATTNRES_REPORT_INTERNAL_H
#define ATTNRES_REPORT_INTERNAL_H

#include <stdint.h>

#include <attnres/config.h>
#include <attnres/file.h>
#include <attnres/fit.h>
#include <attnres/json.h>
#include <attnres/report.h>
#include <attnres/text.h>

enum { REPORT_NAME_BYTES = 96, REPORT_MAX_LOOKS = 16, REPORT_MAX_HOPS = 128 };

/** A line of metrics. NAN: not there. */
struct report_line {
    int64_t step;
    double loss, val_loss, flops, tokens, time_s;
};

/** An inspection as JSON, its arrays checked: see runs.c. */
struct report_look {
    struct json_document document;
    int64_t step, n_layers, n_sources;
    int64_t
        n_columns; /* of the map: sources, of `block` the one open sum of a read in one column */
    bool has_map;  /* reads have several sources */
};

/** A row of hops.jsonl. */
struct report_hops {
    enum task_kind task;
    int64_t hops, n_items;
    bool trained;
    double accuracy, chance, constant;
    double shortcut; /* NAN: the file is older than that */
    int64_t n_cut;   /* items that lost their beginning */
};

struct report_run {
    char path[FILE_PATH_BYTES];
    char name[REPORT_NAME_BYTES]; /* the last n_parts of the path, plain characters alone */
    int n_parts;
    int kind; /* of report.kinds */
    int64_t n_layers, dim, seed, n_steps;
    uint64_t size_hash;  /* of the model's dimensions: the same for every kind */
    uint64_t batch_hash; /* of what decides, beside the seed, which batches it sees */
    struct report_line *lines;
    int64_t n_lines;
    struct report_look looks[REPORT_MAX_LOOKS]; /* by step */
    int n_looks;
    struct report_hops *hops;
    int n_hops;
    bool is_bytes; /* a token is a byte */
    bool is_done;  /* has reached its last step */
    bool is_apart; /* fit has left it out: its loss does not compare with the others' */
    bool has_twin; /* fit has left it out as one of several alike (of two rates, say): it is drawn,
                      but in no mean */
};

struct report {
    const char *out, *baseline; /* baseline: NULL, or the kind that the user names */
    struct report_run *runs;
    int n_runs;
    char kinds[FIT_MAX_KINDS][FIT_KIND_BYTES];
    int n_kinds;
    struct fit_points points; /* of finished runs, arranged */
    struct fit_report fits[FIT_AXES];
    bool has_fit[FIT_AXES];
    struct text *notes;
    bool has_gnuplot, wants_time;
};

/* runs.c */
/** Read a run's folder. False if it cannot be read; what other commands have left in it and cannot
 * be read is left out and noted. */
bool report_read_run(struct report_run *run, struct report *report, const char *path,
                     struct error *err);
void report_finish_run(struct report_run *run);
/** Where runs of several folders have one name, name them by these folders too. */
void report_name_runs(struct report *report);
/** The last line that has a val_loss, or NULL. */
const struct report_line *report_last_line(const struct report_run *run);
/** Whether it is done and has a validation loss at its end. */
bool report_has_end(const struct report_run *run);
/** An element of an array of an inspection: NAN where it is null. */
double report_look_at(const struct report_look *look, const char *key, int64_t index);
double report_map_at(const struct report_look *look, int64_t read, int64_t column);
/** The name of a column of the map, out of the file. */
const char *report_column_name(const struct report_look *look, int64_t column);

/** A figure being written: data, and what plots it. Text is printed twice, measured and filled. */
struct figure {
    const char *caption;      /* below the picture */
    int width, height;        /* in pixels */
    struct text *data, *body; /* gnuplot: data blocks; commands behind the terminal's */
};

/** Write one figure's data and body; caption and, if they are not the usual ones, width and height.
 * False if there is nothing to draw: `why` says why. */
typedef bool figure_function(struct figure *figure, const struct report *report, struct text *why);
figure_function report_draw_steps, report_draw_compute, report_draw_multiplier, report_draw_shape,
    report_draw_magnitude, report_draw_gradient, report_draw_maps, report_draw_hops;

/* series.c */
/** Runs of one kind, size and budget: they differ in their seeds. */
struct report_series {
    int kind;
    int64_t n_layers, dim, n_steps;
    int nth_of_kind; /* from 0 */
};
/** Those of the runs that have something: by kind, then size, then steps. Returns how many. */
int report_list_series(struct report_series series[REPORT_MAX_RUNS], const struct report *report,
                       bool (*has)(const struct report_run *run));
bool report_is_of(const struct report_series *series, const struct report_run *run);
/** Of one size, budget and seed: a pair if their kinds differ, else twins. */
bool report_are_alike(const struct report_run *a, const struct report_run *b);
/** Its kind; its size, where sizes differ among the n; its steps, if it differs from another in
 * these alone (runs of equal compute have other steps for every kind). */
void report_name_series(struct text *t, const struct report *report,
                        const struct report_series *series, int n, int which);

/** A mean in the making. Begins zeroed. */
struct report_mean {
    int n;
    double mean, squares;
};
void report_add_to_mean(struct report_mean *mean, double number);
/** Its standard error; NAN of a single number. */
double report_error_of(const struct report_mean *mean);
/** How far the which-th of n stands from the place that they share, of 1 to the next place. */
double report_dodge(int which, int n);

/* residuals.c */
/** Whether a run has an end that is compared with others'. */
bool report_is_end(const struct report_run *run);
/** Whether some end lies off the curve through all. */
bool report_has_residuals(const struct report *report, const struct fit_curve *all);
/** The panel of what ends are off one curve for all kinds, between two values of compute; terminal,
 * margins and the axis of compute are set. */
void report_draw_residuals(struct figure *figure, const struct report *report,
                           const struct fit_curve *all, double low, double high);

/* gaps.c */
/** Whether some run has one of the baseline's beside it, of the same size, budget, seed and
 * batches. */
bool report_has_gaps(const struct report *report);
/** Note how many have none because two runs could be it. */
void report_note_gaps(const struct report *report);
/** The letters of the longest name in the panel's legend. */
size_t report_longest_gap_name(const struct report *report);
/** The panel of what runs are off those; terminal and margins are set. */
void report_draw_gaps(struct figure *figure, const struct report *report);

/* curves.c */
/** A kind's fitted curve; NAN: there is none. */
struct fit_curve report_curve_of(const struct report *report, int kind);
/** The least and the most compute of the runs that it was fitted to. */
void report_bound_curve(double *first, double *last, const struct report *report, int kind);

/* compare.c */
/** Note the multipliers that the figure leaves out. */
void report_note_multipliers(const struct report *report);

/* depth.c */
/** Note the kinds that have no run of the others' size. */
void report_note_looks(const struct report *report);

/* hops.c */
/** Leave out the accuracies of runs that cannot be told apart; note that, and cut items. */
void report_check_hops(struct report *report);

/* style.c */
/** Kinds in the order of the palette, whatever order runs came in. */
void report_sort_kinds(struct report *report);
/** A kind's colour: from a palette that does without red against green. */
const char *report_colour(const struct report *report, int kind);
/** The same by name: the points of the fit count kinds in their own order. */
const char *report_colour_of(const struct report *report, const char *kind);
/** A kind's symbol, so that colours are not needed. */
int report_symbol(const struct report *report, int kind);
/** Values on a logarithmic axis at round numbers, as gnuplot's set xtics or ytics. */
void report_add_tics(struct text *body, const char *axis, double low, double high);
/** Width of a legend whose longest name has so many letters. */
double report_legend_pixels(size_t n_letters);
/** Nats per byte where every run's tokens are bytes. */
const char *report_loss_unit(const struct report *report);
/** Runs of a kind whose losses compare; kind -1: of all. */
int report_count_runs(const struct report *report, int kind);
/** Of each kind the run that was inspected and spent the most compute; -1: there is none. Runs
 * whose loss does not compare count only where no other was inspected. */
int report_inspected_run(const struct report *report, int kind);
/** Of the kinds such a run each, all of one size: of that which the most kinds have. Returns how
 * many. */
int report_choose_alike(const struct report *report, int runs[FIT_MAX_KINDS]);

/* gnuplot.c */
bool report_find_gnuplot(void);
/** Run OUT/NAME.gp, which makes NAME.svg and NAME.png. */
bool report_run_gnuplot(const char *out, const char *name, struct error *err);

/* page.c */
/** Stands near the beginning of every page of ours. */
#define REPORT_PAGE_MARK "<title>attnres report</title>"
/** A figure that was made. */
struct report_picture {
    const char *name, *title, *caption;
};
bool report_write_page(const struct report *report, const struct report_picture *pictures,
                       int n_pictures, struct error *err);

#endif
