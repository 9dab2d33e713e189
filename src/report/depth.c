/* Along the depth: magnitudes, gradients and which sources reads draw on, from inspections. */
#include "report_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/inspect.h>

static const char NO_INSPECTION[] =
    "no run has an inspect.json; attnres inspect RUN --json >RUN/inspect.json makes it";

/** A number of layer i. */
typedef double layer_number(const struct report_look *look, int64_t layer);

static double input_of(const struct report_look *look, int64_t layer)
{
    return report_look_at(look, "inputs", 2 * layer);
}

static double output_of(const struct report_look *look, int64_t layer)
{
    return report_look_at(look, "outputs", 2 * layer + 1);
}

/** Of a layer's two sublayers together. */
static double norm_of(const struct report_look *look, const char *key, int64_t layer)
{
    return hypot(report_look_at(look, key, 2 * layer), report_look_at(look, key, 2 * layer + 1));
}

static double weight_gradient_of(const struct report_look *look, int64_t layer)
{
    return norm_of(look, "weight_gradients", layer);
}

static double output_gradient_of(const struct report_look *look, int64_t layer)
{
    return norm_of(look, "output_gradients", layer);
}

/** One of two columns of panels, in a row for each step. */
struct column {
    const char *title, *ylabel;
    layer_number *number;
    bool has_head; /* one number more, of the head's read */
};

/** What the axes of a column have to hold. */
struct extent {
    double low, high;
    int64_t n_layers;
};

enum { MOST_ROWS = 3, ROW_PIXELS = 290, FOOT_PIXELS = 34 };

/** The steps that have a row, from above; in the last one stands what each run was at last. */
struct rows {
    int64_t steps[MOST_ROWS];
    int n;
};

static bool is_new_step(const int64_t *steps, int n, int64_t step)
{
    for (int i = 0; i < n; i++) {
        if (steps[i] == step) {
            return false;
        }
    }
    return true;
}

/** The newest look of each run, and, of the steps before that, the first and the middle one. */
static struct rows choose_rows(const struct report *report, const int *runs, int n_runs)
{
    int64_t steps[FIT_MAX_KINDS * REPORT_MAX_LOOKS];
    int n = 0;
    struct rows rows = {.n = 0};
    for (int i = 0; i < n_runs; i++) {
        const struct report_run *run = &report->runs[runs[i]];
        for (int look = 0; look + 1 < run->n_looks; look++) {
            int at = n;
            if (!is_new_step(steps, n, run->looks[look].step)) {
                continue;
            }
            for (n++; at > 0 && steps[at - 1] > run->looks[look].step; at--) {
                steps[at] = steps[at - 1];
            }
            steps[at] = run->looks[look].step;
        }
    }
    if (n > 0) {
        rows.steps[rows.n++] = steps[0];
    }
    if (n > 1) {
        rows.steps[rows.n++] = steps[n / 2];
    }
    rows.n++;
    return rows;
}

/** What a run shows in a row; NULL: nothing. */
static const struct report_look *find_look(const struct report_run *run, const struct rows *rows,
                                           int row)
{
    if (row == rows->n - 1) {
        return &run->looks[run->n_looks - 1];
    }
    for (int look = 0; look + 1 < run->n_looks; look++) {
        if (run->looks[look].step == rows->steps[row]) {
            return &run->looks[look];
        }
    }
    return NULL;
}

static void add_layers(struct text *data, const struct column *column, const char *block,
                       const struct report_look *look, struct extent *extent)
{
    text_add(data, "$%s << EOD\n", block);
    for (int64_t i = 0; i < look->n_layers + column->has_head; i++) {
        const double number = column->number(look, i);
        if (number > 0.0) {
            text_add(data, "%lld %.6g\n", (long long)i, number);
            extent->low = fmin(extent->low, number);
            extent->high = fmax(extent->high, number);
        }
    }
    text_add(data, "EOD\n");
    extent->n_layers = look->n_layers > extent->n_layers ? look->n_layers : extent->n_layers;
}

/** The runs that are drawn. */
struct chosen {
    const struct report *report;
    int runs[FIT_MAX_KINDS], n;
    struct rows rows;
};

static struct extent add_column(struct text *data, const struct chosen *chosen,
                                const struct column *column, int which)
{
    struct extent extent = {.low = INFINITY, .high = -INFINITY};
    for (int row = 0; row < chosen->rows.n; row++) {
        for (int i = 0; i < chosen->n; i++) {
            const struct report_run *run = &chosen->report->runs[chosen->runs[i]];
            const struct report_look *look = find_look(run, &chosen->rows, row);
            char block[48];
            struct text name = {block, sizeof block, 0};
            text_add(&name, "p%d_%d_%d", which, row, i);
            if (look != NULL) {
                add_layers(data, column, block, look, &extent);
            }
        }
    }
    return extent;
}

/** The legend, once: kinds at the top right. Data there are none of where a kind was not looked at
 * in this step. */
static void plot_kind(struct text *body, const struct chosen *chosen, int which, int row, int i)
{
    const struct report *report = chosen->report;
    const struct report_run *run = &report->runs[chosen->runs[i]];
    text_add(body, "%s ", i > 0 ? ",\\\n" : "");
    if (find_look(run, &chosen->rows, row) != NULL) {
        text_add(body, "$p%d_%d_%d using 1:2", which, row, i);
    } else {
        text_add(body, "NaN");
    }
    text_add(body, " with linespoints lc rgb '%s' lw 1.5 pt %d ps 0.7 ",
             report_colour(report, run->kind), report_symbol(report, run->kind));
    if (which == 1 && row == 0) {
        text_add(body, "title '%s'", report->kinds[run->kind]);
    } else {
        text_add(body, "notitle");
    }
}

/** "step 200", or the range of them where runs ended at other ones. */
static void add_step(struct text *t, const struct chosen *chosen, int row)
{
    int64_t first = INT64_MAX, last = 0;
    for (int i = 0; i < chosen->n; i++) {
        const struct report_look *look =
            find_look(&chosen->report->runs[chosen->runs[i]], &chosen->rows, row);
        if (look != NULL) {
            first = look->step < first ? look->step : first;
            last = look->step > last ? look->step : last;
        }
    }
    text_add(t, first < last ? "step %lld to %lld" : "step %lld", (long long)first,
             (long long)last);
}

static void set_panel(struct text *body, const struct chosen *chosen, const struct column *column,
                      int which, int row, double height)
{
    const int n = chosen->rows.n;
    const double top = 1.0 - row * ROW_PIXELS / height;
    const bool is_last = row == n - 1;
    text_add(body, "set title '");
    add_step(body, chosen, row);
    text_add(body,
             ": %s'\nset ylabel '%s'\nset xlabel '%s'\nset lmargin at screen %s\nset rmargin at "
             "screen %s\nset tmargin at screen %.4f\nset bmargin at screen %.4f\n",
             column->title, column->ylabel, is_last ? "layer" : "", which == 0 ? "0.075" : "0.5",
             which == 0 ? "0.43" : "0.855", top - 34.0 / height,
             top - (ROW_PIXELS - 26.0) / height);
    if (which == 1 && row == 0) {
        const struct report_run *run = &chosen->report->runs[chosen->runs[0]];
        text_add(
            body,
            "set key at screen 0.995, screen %.4f top right Left reverse title '%lld × %lld'\n",
            1.0 - 12.0 / height, (long long)run->n_layers, (long long)run->dim);
    } else {
        text_add(body, "unset key\n");
    }
}

/** Of layers, from 0; behind the last one stands the head. */
static void set_layer_tics(struct text *body, int64_t n_layers, bool has_head)
{
    const int64_t every = n_layers / 10 + 1;
    text_add(body, "set xtics (");
    for (int64_t i = 0; i + (has_head ? every : 1) <= n_layers; i += every) {
        text_add(body, "%s%lld", i > 0 ? ", " : "", (long long)i);
    }
    if (has_head) {
        text_add(body, ", 'head' %lld", (long long)n_layers);
    }
    text_add(body, ")\n");
}

static void draw_column(struct figure *f, const struct chosen *chosen, const struct column *column,
                        int which, const struct extent *extent)
{
    static const double PAD = 1.15;
    const double low = extent->low / PAD, high = extent->high * PAD;
    text_add(f->body, "set xrange [-0.3:%lld.3]\nset yrange [%.6g:%.6g]\n",
             (long long)extent->n_layers - !column->has_head, low, high);
    set_layer_tics(f->body, extent->n_layers, column->has_head);
    report_add_tics(f->body, "y", low, high);
    for (int row = 0; row < chosen->rows.n; row++) {
        set_panel(f->body, chosen, column, which, row, f->height);
        text_add(f->body, "plot");
        for (int i = 0; i < chosen->n; i++) {
            plot_kind(f->body, chosen, which, row, i);
        }
        text_add(f->body, "\n");
    }
}

static bool draw_columns(struct figure *f, const struct report *report,
                         const struct column columns[2], struct text *why)
{
    struct chosen chosen = {.report = report};
    chosen.n = report_choose_alike(report, chosen.runs);
    if (chosen.n == 0) {
        text_add(why, "%s", NO_INSPECTION);
        return false;
    }
    chosen.rows = choose_rows(report, chosen.runs, chosen.n);
    f->width = 1100;
    f->height = chosen.rows.n * ROW_PIXELS + FOOT_PIXELS;
    text_add(f->body, "set multiplot\nset logscale y\nset format y '%%g'\n");
    for (int which = 0; which < 2; which++) {
        const struct extent extent = add_column(f->data, &chosen, &columns[which], which);
        if (!(extent.low > 0.0 && extent.low <= extent.high)) {
            text_add(why, "the inspections hold no number above 0");
            return false;
        }
        draw_column(f, &chosen, &columns[which], which, &extent);
    }
    text_add(f->body, "unset multiplot\n");
    return true;
}

void report_note_looks(const struct report *report)
{
    int runs[FIT_MAX_KINDS];
    const int n = report_choose_alike(report, runs);
    for (int kind = 0; n > 0 && kind < report->n_kinds; kind++) {
        bool is_chosen = report_inspected_run(report, kind) < 0;
        for (int i = 0; i < n; i++) {
            is_chosen = is_chosen || report->runs[runs[i]].kind == kind;
        }
        if (!is_chosen) {
            text_add(report->notes,
                     "%s is not among the magnitudes and gradients along the depth: no run of it "
                     "with %lld × %lld, which the others have, was inspected\n",
                     report->kinds[kind], (long long)report->runs[runs[0]].n_layers,
                     (long long)report->runs[runs[0]].dim);
        }
    }
}

bool report_draw_magnitude(struct figure *f, const struct report *report, struct text *why)
{
    static const struct column COLUMNS[2] = {
        {"what the attention of a layer reads", "root mean square", input_of, true},
        {"what the MLP of a layer puts out", "root mean square", output_of, false},
    };
    f->caption =
        "Of each kind an inspected run, of the size and budget that the most kinds share; "
        "below one another as training goes on. Left: the results of the reads before "
        "attention (those before MLPs are not drawn) and, behind the last layer, of the head's. "
        "Right: the outputs of MLPs (those of attention are not drawn), before they are added to "
        "anything.";
    return draw_columns(f, report, COLUMNS, why);
}

bool report_draw_gradient(struct figure *f, const struct report *report, struct text *why)
{
    static const struct column COLUMNS[2] = {
        {"of the weights of a layer", "norm of the gradient", weight_gradient_of, false},
        {"of what a layer puts out", "norm of the gradient", output_gradient_of, false},
    };
    f->caption =
        "Of the mean loss over the tokens that were inspected, before clipping. A layer is its "
        "attention and its MLP together, both gradients taken as one vector; the weights without "
        "the reads' own, so that they are the same for every kind. Runs and steps as above.";
    return draw_columns(f, report, COLUMNS, why);
}

/** Sources that some read of this parity has, in their order. */
static int64_t find_columns(int64_t *columns, const struct report_look *look, int parity)
{
    int64_t n = 0;
    for (int64_t source = 0; source < look->n_columns; source++) {
        bool is_read = false;
        for (int64_t l = parity; l <= 2 * look->n_layers; l += 2) {
            is_read = is_read || !isnan(report_map_at(look, l, source));
        }
        if (is_read) {
            columns[n++] = source;
        }
    }
    return n;
}

/** A name out of the file, as far as it is harmless. */
static void add_name(struct text *body, const char *name)
{
    for (int i = 0; name[i] != '\0' && i < 16; i++) {
        const bool is_plain = (name[i] >= 'a' && name[i] <= 'z') ||
                              (name[i] >= '0' && name[i] <= '9') || name[i] == '.' ||
                              name[i] == ' ';
        text_add(body, "%c", is_plain ? name[i] : '?');
    }
}

/** Roots of weights, so that small ones can be told apart. */
static void add_map(struct text *data, const struct report_look *look, const int64_t *columns,
                    int64_t n_columns, int parity, const char *block)
{
    text_add(data, "$%s << EOD\n", block);
    for (int64_t l = parity; l <= 2 * look->n_layers; l += 2) {
        for (int64_t i = 0; i < n_columns; i++) {
            const double weight = report_map_at(look, l, columns[i]);
            if (isnan(weight)) {
                text_add(data, "NaN ");
            } else {
                text_add(data, "%.4f ", sqrt(fmin(fmax(weight, 0.0), 1.0)));
            }
        }
        text_add(data, "\n");
    }
    text_add(data, "EOD\n");
}

/** Labels of columns and rows, fewer where there are many. */
static void set_map_tics(struct text *body, const struct report_look *look, const int64_t *columns,
                         int64_t n_columns, int parity)
{
    const int64_t every_column = n_columns / 26 + 1, every_row = look->n_layers / 25 + 1;
    text_add(body, "set xtics rotate by 90 right (");
    for (int64_t i = 0; i < n_columns; i += every_column) {
        text_add(body, "%s'", i > 0 ? ", " : "");
        add_name(body, report_column_name(look, columns[i]));
        text_add(body, "' %lld", (long long)i);
    }
    text_add(body, ")\nset ytics (");
    for (int64_t i = 0; i < look->n_layers; i += every_row) {
        text_add(body, "%s'%lld' %lld", i > 0 ? ", " : "", (long long)i, (long long)i);
    }
    if (parity == 0) {
        text_add(body, ", 'head' %lld", (long long)look->n_layers);
    }
    text_add(body, ")\n");
}

static const double MAP_ROW_PIXELS = 13.0, MAP_FRAME_PIXELS = 140.0, LEAST_MAP_PIXELS = 110.0;

static double map_pixels(const struct report_look *look)
{
    return fmax(LEAST_MAP_PIXELS, MAP_ROW_PIXELS * (double)(look->n_layers + 1)) + MAP_FRAME_PIXELS;
}

/** The two maps of a run, between heights given as shares of the picture. */
static bool draw_maps_of(struct figure *f, const struct report *report, int run_index, double top,
                         double bottom)
{
    const struct report_run *run = &report->runs[run_index];
    const struct report_look *look = &run->looks[run->n_looks - 1];
    int64_t *columns = calloc((size_t)look->n_columns, sizeof *columns);
    if (columns == NULL) {
        return false;
    }
    const double height = map_pixels(look), share = (top - bottom) / height;
    for (int parity = 0; parity < 2; parity++) {
        char block[32];
        struct text name = {block, sizeof block, 0};
        const int64_t n_columns = find_columns(columns, look, parity);
        text_add(&name, "m%d_%d", run_index, parity);
        add_map(f->data, look, columns, n_columns, parity, block);
        set_map_tics(f->body, look, columns, n_columns, parity);
        text_add(f->body,
                 "set title '%s %lld × %lld: sources of the reads before %s' noenhanced\nset "
                 "lmargin at screen "
                 "%s\nset rmargin at "
                 "screen "
                 "%s\nset tmargin at screen %.4f\nset bmargin at screen %.4f\nset xrange "
                 "[-0.5:%lld.5]\nset yrange [-0.5:%lld.5]\n%s\nplot $%s matrix with image pixels "
                 "notitle\n",
                 report->kinds[run->kind], (long long)run->n_layers, (long long)run->dim,
                 parity == 0 ? "attention and the head" : "the MLP", parity == 0 ? "0.085" : "0.55",
                 parity == 0 ? "0.45" : "0.915", top - 42 * share, bottom + 80 * share,
                 (long long)n_columns - 1, (long long)look->n_layers - parity,
                 parity == 0 ? "unset colorbox" : "set colorbox", block);
    }
    free(columns);
    return true;
}

bool report_draw_maps(struct figure *f, const struct report *report, struct text *why)
{
    int chosen[FIT_MAX_KINDS], n = 0;
    double height = 0.0;
    for (int kind = 0; kind < report->n_kinds; kind++) {
        const int run = report_inspected_run(report, kind);
        if (run >= 0 && report->runs[run].looks[report->runs[run].n_looks - 1].has_map) {
            chosen[n++] = run;
            height += map_pixels(&report->runs[run].looks[report->runs[run].n_looks - 1]);
        }
    }
    if (n == 0) {
        text_add(why, "%s", NO_INSPECTION);
        return false;
    }
    text_add(f->body, "unset key\nset multiplot\nset cbrange [0:1]\nset palette defined (");
    for (int i = 0; i < INSPECT_N_SHADES; i++) {
        text_add(f->body, "%s%d '#%06x'", i > 0 ? ", " : "", i, INSPECT_SHADES[i]);
    }
    text_add(f->body,
             ")\nset cbtics ('0' 0, '0.02' 0.1414, '0.1' 0.3162, '0.25' 0.5, '0.5' 0.7071, '1' 1)\n"
             "set cblabel 'mean weight'\nset ylabel 'layer of the read'\n"
             "unset grid\nset object 1 rectangle from graph 0,0 to graph 1,1 behind fc rgb "
             "'#dddddd' fs solid noborder\n");
    double top = 1.0;
    for (int i = 0; i < n; i++) {
        const struct report_run *run = &report->runs[chosen[i]];
        const double bottom = top - map_pixels(&run->looks[run->n_looks - 1]) / height;
        if (!draw_maps_of(f, report, chosen[i], top, bottom)) {
            text_add(why, "there is no memory for it");
            return false;
        }
        top = bottom;
    }
    text_add(f->body, "unset multiplot\n");
    f->width = 1100;
    f->height = (int)height;
    f->caption =
        "Mean weight of each source in each read, of each kind's inspected run with the most "
        "compute; a row sums to 1, grey is no source of the read. b0 is the embedding, b1, b2 ... "
        "finished blocks, 3.attn the output of a sublayer, open sum that of the read's own block "
        "so "
        "far.";
    return true;
}
