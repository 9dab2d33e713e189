/* Along the depth: magnitudes, gradients and which sources reads draw on, from inspections. */
#include "report_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/** One of two panels side by side. */
struct panel {
    const char *title, *ylabel;
    layer_number *number;
    bool has_head; /* one number more, of the head's read */
};

/** What a panel's axes have to hold. */
struct extent {
    double low, high;
    int64_t n_layers;
};

static void add_layers(struct text *data, const struct panel *panel, int which, int kind, int look,
                       const struct report_look *l, struct extent *extent)
{
    text_add(data, "$p%d_%d_%d << EOD\n", which, kind, look);
    for (int64_t i = 0; i < l->n_layers + panel->has_head; i++) {
        const double number = panel->number(l, i);
        if (number > 0.0) {
            text_add(data, "%lld %.6g\n", (long long)i, number);
            extent->low = fmin(extent->low, number);
            extent->high = fmax(extent->high, number);
        }
    }
    text_add(data, "EOD\n");
    extent->n_layers = l->n_layers > extent->n_layers ? l->n_layers : extent->n_layers;
}

/** Earlier steps are drawn dashed and paler. */
static void plot_layers(struct text *body, const struct report *report, int which, int *n_plots,
                        int run_index)
{
    const struct report_run *run = &report->runs[run_index];
    for (int look = 0; look < run->n_looks; look++) {
        const bool is_newest = look == run->n_looks - 1;
        text_add(body,
                 "%s $p%d_%d_%d using 1:2 with linespoints lc rgb '#%s%s' lw %s dt %d pt %d ps %s ",
                 (*n_plots)++ > 0 ? ",\\\n" : "", which, run->kind, look, is_newest ? "" : "70",
                 report_colour(report, run->kind) + 1, is_newest ? "2" : "1.2",
                 is_newest ? 1 : 2 + look % 4, report_symbol(report, run->kind),
                 is_newest ? "0.8" : "0.5");
        if (which == 1) {
            const char *kind = report->kinds[run->kind];
            const bool says_kind = strstr(run->name, kind) != NULL;
            text_add(body, "title '%s%s%s, step %lld'", says_kind ? "" : kind,
                     says_kind ? "" : ", ", run->name, (long long)run->looks[look].step);
        } else {
            text_add(body, "notitle");
        }
    }
}

/** Data of a panel: of each kind's inspected run, all steps. */
static struct extent add_panel(struct text *data, const struct report *report,
                               const struct panel *panel, int which)
{
    struct extent extent = {.low = INFINITY, .high = -INFINITY};
    for (int kind = 0; kind < report->n_kinds; kind++) {
        const int run = report_inspected_run(report, kind);
        for (int look = 0; run >= 0 && look < report->runs[run].n_looks; look++) {
            add_layers(data, panel, which, kind, look, &report->runs[run].looks[look], &extent);
        }
    }
    return extent;
}

static void draw_panel(struct figure *f, const struct report *report, const struct panel *panel,
                       int which, const struct extent *extent)
{
    static const double PAD = 1.15;
    const double low = extent->low / PAD, high = extent->high * PAD;
    int n_plots = 0;
    text_add(f->body,
             "set title '%s'\nset ylabel '%s'\nset lmargin at screen %s\nset rmargin at screen "
             "%s\nset xrange [-0.3:%lld.3]\nset xtics %lld\nset yrange [%.6g:%.6g]\n",
             panel->title, panel->ylabel, which == 0 ? "0.08" : "0.455",
             which == 0 ? "0.37" : "0.745", (long long)extent->n_layers - !panel->has_head,
             (long long)extent->n_layers / 10 + 1, low, high);
    report_add_tics(f->body, "y", low, high);
    text_add(f->body, "plot");
    for (int kind = 0; kind < report->n_kinds; kind++) {
        const int run = report_inspected_run(report, kind);
        if (run >= 0) {
            plot_layers(f->body, report, which, &n_plots, run);
        }
    }
    text_add(f->body, "\n");
}

static bool draw_panels(struct figure *f, const struct report *report, const struct panel panels[2],
                        struct text *why)
{
    text_add(f->body, "set multiplot\nset logscale y\nset xlabel 'layer'\nset format y '%%g'\n");
    for (int which = 0; which < 2; which++) {
        const struct extent extent = add_panel(f->data, report, &panels[which], which);
        if (!(extent.low > 0.0 && extent.low <= extent.high)) {
            text_add(why, "%s", NO_INSPECTION);
            return false;
        }
        draw_panel(f, report, &panels[which], which, &extent);
    }
    text_add(f->body, "unset multiplot\n");
    f->width = 1100;
    return true;
}

bool report_draw_magnitude(struct figure *f, const struct report *report, struct text *why)
{
    static const struct panel PANELS[2] = {
        {"what the attention of a layer reads", "root mean square", input_of, true},
        {"what the MLP of a layer puts out", "root mean square", output_of, false},
    };
    f->caption =
        "Of each kind the inspected run with the most compute. Behind the last layer on the "
        "left: what the head reads. Dashed: earlier steps.";
    return draw_panels(f, report, PANELS, why);
}

bool report_draw_gradient(struct figure *f, const struct report *report, struct text *why)
{
    static const struct panel PANELS[2] = {
        {"of the weights of a layer", "norm of the gradient", weight_gradient_of, false},
        {"of what a layer puts out", "norm of the gradient", output_gradient_of, false},
    };
    f->caption =
        "Of the mean loss over the tokens that were inspected, before clipping; the weights "
        "without the reads' own, so that they are the same for every kind. Dashed: earlier "
        "steps.";
    return draw_panels(f, report, PANELS, why);
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
                 "set title '%s: sources of the reads before %s' noenhanced\nset lmargin at screen "
                 "%s\nset rmargin at "
                 "screen "
                 "%s\nset tmargin at screen %.4f\nset bmargin at screen %.4f\nset xrange "
                 "[-0.5:%lld.5]\nset yrange [-0.5:%lld.5]\n%s\nplot $%s matrix with image pixels "
                 "notitle\n",
                 report->kinds[run->kind], parity == 0 ? "attention and the head" : "the MLP",
                 parity == 0 ? "0.085" : "0.55", parity == 0 ? "0.45" : "0.915", top - 42 * share,
                 bottom + 80 * share, (long long)n_columns - 1, (long long)look->n_layers - parity,
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
    text_add(f->body,
             "unset key\nset multiplot\nset cbrange [0:1]\nset palette defined (0 '#f7fbff', 0.2 "
             "'#d0e1f2', 0.4 '#94c4df', 0.6 '#4a98c9', 0.8 '#1764ab', 1 '#08306b')\n"
             "set cbtics ('0' 0, '0.02' 0.1414, '0.1' 0.3162, '0.25' 0.5, '0.5' 0.7071, '1' 1)\n"
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
