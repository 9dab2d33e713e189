/* Accuracy per number of hops: a panel for each task. */
#include "report_internal.h"

#include <math.h>

enum { PANEL_COLUMNS = 2, PANEL_HEIGHT = 330 };

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

/** Every run of a kind as a point, so that all seeds are seen; returns how many. */
static int add_kind(struct text *data, const struct report *report, int kind, enum task_kind task,
                    int panel)
{
    int n = 0;
    text_add(data, "$h%d_%d << EOD\n", panel, kind);
    for (int i = 0; i < report->n_runs; i++) {
        const struct report_run *run = &report->runs[i];
        for (int k = 0; k < run->n_hops && run->kind == kind; k++) {
            if (run->hops[k].task == task) {
                text_add(data, "%lld %.6g\n", (long long)run->hops[k].hops, run->hops[k].accuracy);
                n++;
            }
        }
    }
    text_add(data, "EOD\n");
    return n;
}

/** The most hops that are asked for, and that training shows. */
struct reach {
    int64_t asked, trained;
};

/** Chance and the best constant answer per number of hops: of the first run that has them. */
static struct reach add_guesses(struct text *data, const struct report *report, enum task_kind task,
                                int panel)
{
    struct reach reach = {0};
    text_add(data, "$g%d << EOD\n", panel);
    for (int i = 0; i < report->n_runs && reach.asked == 0; i++) {
        const struct report_run *run = &report->runs[i];
        for (int k = 0; k < run->n_hops; k++) {
            const struct report_hops *row = &run->hops[k];
            if (row->task == task) {
                text_add(data, "%lld %.6g %.6g\n", (long long)row->hops, row->chance,
                         row->constant);
                reach.asked = row->hops > reach.asked ? row->hops : reach.asked;
                reach.trained =
                    row->trained && row->hops > reach.trained ? row->hops : reach.trained;
            }
        }
    }
    text_add(data, "EOD\n");
    return reach;
}

static void draw_task(struct figure *f, const struct report *report, enum task_kind task, int panel)
{
    const bool names = panel == 0; /* the legend, once */
    const struct reach reach = add_guesses(f->data, report, task, panel);
    text_add(f->body, "set title '%s' noenhanced\nset xrange [0.6:%lld.4]\nunset arrow\n",
             config_task_name(task), (long long)reach.asked);
    if (reach.trained < reach.asked) {
        text_add(
            f->body,
            "set arrow 1 from %lld.5, graph 0 to %lld.5, graph 1 nohead dt 3 lc rgb '#666666'\n",
            (long long)reach.trained, (long long)reach.trained);
    }
    text_add(f->body,
             "%s\nplot $g%d using 1:2 with lines dt 2 lw 1.5 lc rgb '#888888' %s, $g%d using 1:3 "
             "with lines dt 3 lw 1.5 lc rgb '#888888' %s",
             names ? "set key" : "unset key", panel, names ? "title 'chance'" : "notitle", panel,
             names ? "title 'best constant answer'" : "notitle");
    for (int kind = 0; kind < report->n_kinds; kind++) {
        if (add_kind(f->data, report, kind, task, panel) > 0) {
            const char *colour = report_colour(report, kind);
            text_add(f->body,
                     ",\\\n $h%d_%d using 1:2 smooth unique with lines lw 2 lc rgb '%s' notitle, "
                     "$h%d_%d using 1:2 with points pt %d ps 0.8 lc rgb '%s' ",
                     panel, kind, colour, panel, kind, report_symbol(report, kind), colour);
            if (names) {
                text_add(f->body, "title '%s'", report->kinds[kind]);
            } else {
                text_add(f->body, "notitle");
            }
        }
    }
    text_add(f->body, "\n");
}

bool report_draw_hops(struct figure *f, const struct report *report, struct text *why)
{
    enum task_kind tasks[TASK_KINDS];
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
    f->width = n_columns == 1 ? 760 : 1100;
    f->height = n_rows * PANEL_HEIGHT + 40;
    text_add(f->body, "set multiplot\nset yrange [0:1.02]\nset xlabel 'hops'\nset ylabel "
                      "'accuracy'\nset xtics 1\n");
    /* The legend keeps the right fifth of the picture to itself. */
    const double legend = n_columns == 1 ? 0.28 : 0.2, width = (1.0 - legend) / n_columns;
    for (int i = 0; i < n; i++) {
        const double left = width * (i % n_columns), top = 1.0 - (double)(i / n_columns) / n_rows;
        text_add(f->body,
                 "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen "
                 "%.4f\nset bmargin at screen %.4f\nset key at screen 0.995, screen 0.96 top right "
                 "Left reverse\n",
                 left + (n_columns == 1 ? 0.1 : 0.065), left + width - 0.01, top - 0.1 / n_rows,
                 top - 1.0 / n_rows + 0.19 / n_rows);
        draw_task(f, report, tasks[i], i);
    }
    text_add(f->body, "unset multiplot\n");
    f->caption = "Items answered byte for byte; each mark is a run, lines are means. Right of the "
                 "dotted vertical line: more hops than training shows.";
    return true;
}
