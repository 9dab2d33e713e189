/* Accuracy per number of hops: a panel for each task. */
#include "report_internal.h"

#include <math.h>
#include <string.h>

static const char CONSTANT[] = "best constant answer";
enum { PANEL_COLUMNS = 2, PANEL_HEIGHT = 330, LEGEND_ROW = 20, LEGEND_FRAME = 90 };

static bool has_hops(const struct report_run *run)
{
    return run->n_hops > 0;
}

static bool has_task(const struct report *report, enum task_kind task)
{
    for (int i = 0; i < report->n_runs; i++) {
        for (int k = 0; k < report->runs[i].n_hops; k++) {
            if (report->runs[i].hops[k].task == task) {
                return true;
            }
        }
    }
    return false;
}

/** Whether stopping early is of any use; TASK_KINDS: in any task. */
static bool has_shortcut(const struct report *report, enum task_kind task)
{
    for (int i = 0; i < report->n_runs; i++) {
        for (int k = 0; k < report->runs[i].n_hops; k++) {
            const struct report_hops *row = &report->runs[i].hops[k];
            if ((row->task == task || task == TASK_KINDS) && row->shortcut > 0.0) {
                return true;
            }
        }
    }
    return false;
}

/** NULL: the run was not asked. */
static const struct report_hops *find_row(const struct report_run *run, enum task_kind task,
                                          int64_t hops)
{
    for (int k = 0; k < run->n_hops; k++) {
        if (run->hops[k].task == task && run->hops[k].hops == hops) {
            return &run->hops[k];
        }
    }
    return NULL;
}

/** Of another rate, say: which of two is meant cannot be told, and their mean is over no seeds. */
static bool has_twin(const struct report *report, const struct report_run *run)
{
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *other = &report->runs[i];
        if (other != run && other->n_hops > 0 && other->kind == run->kind &&
            report_are_alike(other, run)) {
            return true;
        }
    }
    return false;
}

void report_check_hops(struct report *report)
{
    bool is_left_out[REPORT_MAX_RUNS] = {false};
    int n_twins = 0, n_cut = 0;
    for (int i = 0; i < report->n_runs; i++) {
        is_left_out[i] = report->runs[i].n_hops > 0 && has_twin(report, &report->runs[i]);
        n_twins += is_left_out[i];
    }
    for (int i = 0; i < report->n_runs; i++) {
        struct report_run *run = &report->runs[i];
        int64_t cut = 0;
        run->n_hops = is_left_out[i] ? 0 : run->n_hops;
        for (int k = 0; k < run->n_hops; k++) {
            cut += run->hops[k].n_cut;
        }
        n_cut += cut > 0;
    }
    if (n_twins > 0) {
        text_add(report->notes,
                 "accuracies per hop are left out of runs that share kind, size, steps and seed "
                 "with another one (%d): give the one that shall count\n",
                 n_twins);
    }
    if (n_cut > 0) {
        text_add(report->notes,
                 "accuracies per hop of %d run%s count items that lost their beginning to a short "
                 "window (cut in hops.jsonl): ask again with a longer model.seq_len\n",
                 n_cut, n_cut == 1 ? "" : "s");
    }
}

/** A panel in the making: the most hops that any run was asked for and that training shows, and
 * what the axis of accuracies has to hold. */
struct panel {
    enum task_kind task;
    int index;
    int64_t asked, trained;
    double low, high;
    bool has_shortcut;
    bool is_there[REPORT_MAX_RUNS]; /* whether a series was asked this task at all */
};

static struct panel panel_of(const struct report *report, enum task_kind task, int index)
{
    struct panel panel = {.task = task,
                          .index = index,
                          .low = INFINITY,
                          .high = -INFINITY,
                          .has_shortcut = has_shortcut(report, task)};
    for (int i = 0; i < report->n_runs; i++) {
        for (int k = 0; k < report->runs[i].n_hops; k++) {
            const struct report_hops *row = &report->runs[i].hops[k];
            if (row->task == task) {
                panel.asked = row->hops > panel.asked ? row->hops : panel.asked;
                panel.trained =
                    row->trained && row->hops > panel.trained ? row->hops : panel.trained;
            }
        }
    }
    return panel;
}

static void widen(struct panel *panel, double low, double high)
{
    panel->low = fmin(panel->low, low);
    panel->high = fmax(panel->high, high);
}

/** Chance, the best constant answer and the best shortcut per number of hops: of the run that was
 * asked for the most items, since the best of few items is better than it is. */
static void add_guesses(struct text *data, const struct report *report, struct panel *panel)
{
    text_add(data, "$g%d << EOD\n", panel->index);
    for (int64_t hops = 1; hops <= panel->asked; hops++) {
        const struct report_hops *best = NULL;
        for (int i = 0; i < report->n_runs; i++) {
            const struct report_hops *row = find_row(&report->runs[i], panel->task, hops);
            best = row != NULL && (best == NULL || row->n_items > best->n_items) ? row : best;
        }
        if (best != NULL) {
            text_add(data, "%lld %.6g %.6g %.6g\n", (long long)hops, best->chance, best->constant,
                     best->shortcut);
            widen(panel, fmin(best->chance, best->constant), fmax(best->chance, best->constant));
            if (panel->has_shortcut && isfinite(best->shortcut)) {
                widen(panel, best->shortcut, best->shortcut);
            }
        }
    }
    text_add(data, "EOD\n");
}

/** Of a single run: that of a share of its items. */
static double error_of(const struct report_mean *mean, int64_t n_items)
{
    return mean->n > 1 ? report_error_of(mean)
                       : sqrt(mean->mean * (1.0 - mean->mean) / (double)n_items);
}

/** Every run of a series as a dot. */
static void add_dots(struct text *data, const struct report *report,
                     const struct report_series *series, double dodge, int which,
                     struct panel *panel)
{
    text_add(data, "$i%d_%d << EOD\n", panel->index, which);
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        for (int k = 0; k < run->n_hops && report_is_of(series, run); k++) {
            const struct report_hops *row = &run->hops[k];
            if (row->task == panel->task) {
                text_add(data, "%.6g %.6g\n", (double)row->hops + dodge, row->accuracy);
                widen(panel, row->accuracy, row->accuracy);
            }
        }
    }
    text_add(data, "EOD\n");
}

/** Means over the runs of a series, with their errors, at shifted hops; last the hops themselves,
 * for lines: through shifted marks they would cross between two hops where the means do not.
 * Returns whether there are any. */
static bool add_means(struct text *data, const struct report *report,
                      const struct report_series *series, double dodge, int which,
                      struct panel *panel)
{
    bool is_any = false;
    text_add(data, "$h%d_%d << EOD\n", panel->index, which);
    for (int64_t hops = 1; hops <= panel->asked; hops++) {
        struct report_mean mean = {0};
        int64_t n_items = 0;
        for (int i = 0; i < report->n_runs; i++) {
            const struct report_run *run = &report->runs[i];
            const struct report_hops *row = find_row(run, panel->task, hops);
            if (row != NULL && report_is_of(series, run)) {
                report_add_to_mean(&mean, row->accuracy);
                n_items = row->n_items;
            }
        }
        if (mean.n > 0) {
            const double error = error_of(&mean, n_items);
            text_add(data, "%.6g %.6g %.6g\n", (double)hops + dodge, mean.mean, error);
            widen(panel, mean.mean - error, mean.mean + error);
            is_any = true;
        }
    }
    text_add(data, "EOD\n");
    return is_any;
}

static void set_panel_axes(struct text *body, const struct panel *panel)
{
    const double pad = 0.05 * fmax(panel->high - panel->low, 0.02);
    text_add(body,
             "set title '%s' noenhanced\nset xrange [0.5:%lld.5]\nset yrange [%.6g:%.6g]\nunset "
             "arrow\n",
             config_task_name(panel->task), (long long)panel->asked, fmax(panel->low - pad, -0.02),
             fmin(panel->high + pad, 1.02));
    if (panel->trained < panel->asked) {
        text_add(body,
                 "set arrow 1 from %lld.5, graph 0 to %lld.5, graph 1 nohead dt 3 lc rgb "
                 "'#666666'\n",
                 (long long)panel->trained, (long long)panel->trained);
    }
}

/** What is drawn of a series: dots, a line through the means, and the means with their errors. The
 * first panel names it, whether its task was asked or not. */
static void plot_series(struct text *body, const struct report *report,
                        const struct report_series *series, int n, int which,
                        const struct panel *panel)
{
    const char *colour = report_colour(report, series[which].kind);
    const int dashes = 1 + series[which].nth_of_kind % 5;
    const int symbol = report_symbol(report, series[which].kind);
    if (panel->is_there[which]) {
        text_add(
            body,
            ",\\\n $i%d_%d using 1:2 with points pt 7 ps 0.3 lc rgb '#90%s' notitle, $h%d_%d "
            "using 1:2 with lines lw 1.5 dt %d lc rgb '#60%s' notitle, $h%d_%d using 1:2:3 with "
            "yerrorbars lw 1.5 pt %d ps 0.8 lc rgb '%s' notitle",
            panel->index, which, colour + 1, panel->index, which, dashes, colour + 1, panel->index,
            which, symbol, colour);
    }
    if (panel->index == 0) {
        text_add(body, ",\\\n NaN with linespoints lw 1.5 dt %d pt %d ps 0.8 lc rgb '%s' title '",
                 dashes, symbol, colour);
        report_name_series(body, report, series, n, which);
        text_add(body, "'");
    }
}

/** A line of what needs no model; the first panel names it, whether it has it or not. */
static void plot_guess(struct text *body, const struct panel *panel, int column, const char *name)
{
    const bool is_there = column < 4 || panel->has_shortcut;
    if (is_there) {
        text_add(body, "$g%d using 1:%d", panel->index, column);
    } else {
        text_add(body, "NaN");
    }
    text_add(body, " with lines dt %d lw 1.5 lc rgb '#888888' ", column);
    if (panel->index == 0) {
        text_add(body, "title '%s'", name);
    } else {
        text_add(body, "notitle");
    }
}

static void draw_task(struct figure *f, const struct report *report,
                      const struct report_series *series, int n, enum task_kind task, int index)
{
    struct panel panel = panel_of(report, task, index);
    add_guesses(f->data, report, &panel);
    for (int i = 0; i < n; i++) {
        const double dodge = report_dodge(i, n);
        panel.is_there[i] = add_means(f->data, report, &series[i], dodge, i, &panel);
        add_dots(f->data, report, &series[i], dodge, i, &panel);
    }
    set_panel_axes(f->body, &panel);
    const bool names = index == 0;
    text_add(f->body, "%s\nplot ", names ? "set key" : "unset key");
    plot_guess(f->body, &panel, 2, "chance");
    text_add(f->body, ", ");
    plot_guess(f->body, &panel, 3, CONSTANT);
    if (panel.has_shortcut || (names && has_shortcut(report, TASK_KINDS))) {
        text_add(f->body, ", ");
        plot_guess(f->body, &panel, 4, "best shortcut");
    }
    for (int i = 0; i < n; i++) {
        plot_series(f->body, report, series, n, i, &panel);
    }
    text_add(f->body, "\n");
}

static double legend_pixels(const struct report *report, const struct report_series *series, int n)
{
    size_t longest = strlen(CONSTANT);
    for (int i = 0; i < n; i++) {
        struct text name = {0};
        report_name_series(&name, report, series, n, i);
        longest = name.length > longest ? name.length : longest;
    }
    return report_legend_pixels(longest);
}

bool report_draw_hops(struct figure *f, const struct report *report, struct text *why)
{
    enum task_kind tasks[TASK_KINDS];
    struct report_series series[REPORT_MAX_RUNS];
    const int n_series = report_list_series(series, report, has_hops);
    int n = 0;
    for (enum task_kind task = 0; task < TASK_KINDS; task++) {
        if (has_task(report, task)) {
            tasks[n++] = task;
        }
    }
    if (n == 0) {
        text_add(why, "no run has a hops.jsonl; attnres eval RUN --task=hops --json "
                      ">RUN/hops.jsonl makes it");
        return false;
    }
    const int n_columns = n < PANEL_COLUMNS ? n : PANEL_COLUMNS;
    const int n_rows = (n + n_columns - 1) / n_columns;
    const int least_height = LEGEND_ROW * n_series + LEGEND_FRAME;
    f->width = n_columns == 1 ? 760 : 1100;
    f->height = n_rows * PANEL_HEIGHT + 40;
    f->height = f->height > least_height ? f->height : least_height;
    text_add(
        f->body,
        "set multiplot\nset xlabel 'hops'\nset ylabel 'accuracy'\nset xtics 1\nset bars 0.4\n");
    /* The legend keeps the right of the picture to itself. */
    const double legend = legend_pixels(report, series, n_series) / f->width,
                 width = (1.0 - legend) / n_columns;
    for (int i = 0; i < n; i++) {
        const double left = width * (i % n_columns), top = 1.0 - (double)(i / n_columns) / n_rows;
        text_add(f->body,
                 "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen "
                 "%.4f\nset bmargin at screen %.4f\nset key at screen 0.995, screen 0.96 top right "
                 "Left reverse\n",
                 left + (n_columns == 1 ? 0.1 : 0.07), left + width - 0.015, top - 0.1 / n_rows,
                 top - 1.0 / n_rows + 0.19 / n_rows);
        draw_task(f, report, series, n_series, tasks[i], i);
    }
    text_add(f->body, "unset multiplot\n");
    f->caption =
        "Share of items answered byte for byte: means over the runs of a kind, size and budget, "
        "drawn side by side, with their standard errors (over runs; of a single run, over its "
        "items). Dots: each run. Best shortcut: the answer after fewer hops. Right of the dotted "
        "vertical line: more hops than training shows.";
    return true;
}
