/* One step as a picture (SVG): a row per rank, time to the right, what was measured above what the
 * simulator makes of the average durations, both at one scale.
 *
 *      title, legend
 *      measured, bubble       | rank 0  F F . I W ...
 *                             | rank 1
 *      simulated, bubble      | rank 0
 *                             | rank 1
 *      ms                       0    5    10 */
#include "trace_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/heap.h>

enum { MOST_ROWS = 64, SMALL_TEXT = 11 };

/** In pixels. */
static const double WIDTH = 1200, LEFT = 76, RIGHT = 24, TOP = 70, PANEL_HEAD = 26, PANEL_GAP = 14,
                    AXIS = 46, DIGIT = 6.4, ROWS_HEIGHT = 384, MOST_ROW = 30, LEAST_ROW = 9,
                    LEAST_ROW_OF_TEXT = 13;
static const double MS_PER_S = 1e3, PERCENT = 100.0;
/** About so many ticks on the axis. */
static const double TICKS = 10;

/** Colours that can be told apart without red and green (Okabe and Ito, "Color Universal Design",
 * 2008). */
enum paint { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, MESSAGE, UPDATE, WAITING, PAINTS };

static const struct {
    const char *colour, *text, *legend;
    double legend_width;
} PAINT[PAINTS] = {
    [FORWARD] = {"#56b4e9", "#000", "forward", 85},
    [INPUT_GRADIENT] = {"#e69f00", "#000", "input gradient", 120},
    [WEIGHT_GRADIENT] = {"#009e73", "#fff", "weight gradient", 128},
    [MESSAGE] = {"#444444", "#fff", "pack, unpack", 115},
    [UPDATE] = {"#cc79a7", "#000", "batch, sums, norm, update", 184},
    [WAITING] = {"#eeeeee", "#000", "waiting", 90},
};

struct picture {
    struct file_sheet sheet;
    int n_rows, n_chunks;
    double row;                  /* height */
    double begin_s, s_per_pixel; /* of the axis */
};

static double x_of(const struct picture *p, double seconds)
{
    return LEFT + (seconds - p->begin_s) / p->s_per_pixel;
}

static void draw_text(struct picture *p, double x, double y, const char *anchor, const char *text)
{
    file_sheet_add(&p->sheet, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
                   anchor, text);
}

/** Later chunks are paler. */
static double opacity(const struct picture *p, int chunk)
{
    return 1.0 - 0.55 * chunk / p->n_chunks;
}

/** A span of time in a row that begins at height y; a microbatch of -1 has no number. */
static void draw_cell(struct picture *p, double y, double begin_s, double end_s, enum paint paint,
                      int64_t microbatch, int chunk)
{
    const double x = x_of(p, begin_s), width = (end_s - begin_s) / p->s_per_pixel;
    const bool is_work = paint <= WEIGHT_GRADIENT;
    const double edge = is_work && width > 3.0 ? 0.6 : 0.0;
    file_sheet_add(&p->sheet,
                   "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"", x, y,
                   fmax(width - edge, 0.3), p->row - 1.0, PAINT[paint].colour);
    if (chunk > 0) {
        file_sheet_add(&p->sheet, " fill-opacity=\"%.2f\"", opacity(p, chunk));
    }
    file_sheet_add(&p->sheet, "/>\n");
    const double digits = microbatch > 99 ? 3 : (microbatch > 9 ? 2 : 1);
    if (microbatch >= 0 && width >= digits * DIGIT + 2.0 && p->row >= LEAST_ROW_OF_TEXT) {
        file_sheet_add(
            &p->sheet,
            "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\" fill=\"%s\">%lld</text>\n",
            x + 0.5 * width, y + 0.5 * p->row + 3.5, chunk > 0 ? "#000" : PAINT[paint].text,
            (long long)microbatch);
    }
}

static enum paint paint_of(enum journal_kind kind)
{
    switch (kind) {
    case JOURNAL_FORWARD:
        return FORWARD;
    case JOURNAL_INPUT_GRADIENT:
        return INPUT_GRADIENT;
    case JOURNAL_WEIGHT_GRADIENT:
        return WEIGHT_GRADIENT;
    case JOURNAL_PACK:
    case JOURNAL_UNPACK:
        return MESSAGE;
    case JOURNAL_WAIT_TO_SEND:
    case JOURNAL_WAIT_TO_RECEIVE:
        return WAITING;
    default:
        return UPDATE;
    }
}

static void draw_row_head(struct picture *p, double y, int rank, double begin_s, double end_s)
{
    char label[32];
    snprintf(label, sizeof label, "rank %d", rank);
    draw_text(p, LEFT - 8, y + 0.5 * p->row + 3.5, "end", label);
    draw_cell(p, y, begin_s, end_s, WAITING, -1, 0);
}

static void draw_measured(struct picture *p, double y, const struct trace_set *set, int64_t step,
                          double end_s)
{
    for (int rank = 0; rank < p->n_rows; rank++, y += p->row) {
        struct trace_span span;
        draw_row_head(p, y, rank, p->begin_s, end_s);
        if (!trace_find_step(&span, set, rank, step)) {
            continue;
        }
        for (int64_t i = span.first; i < span.end; i++) {
            const struct journal_event e = trace_event(set, rank, i);
            const enum paint paint = paint_of(e.kind);
            if (paint != WAITING) {
                draw_cell(p, y, e.begin_s, e.end_s, paint,
                          paint <= WEIGHT_GRADIENT ? e.microbatch : -1,
                          paint <= WEIGHT_GRADIENT ? e.chunk : 0);
            }
        }
    }
}

/** What the simulated ranks do, and when. */
struct simulated {
    const struct schedule *schedule;
    const struct schedule_stage_costs *stages;
    struct schedule_simulation simulation;
};

static void draw_action(struct picture *p, double y, const struct simulated *s, int rank,
                        int64_t index, double begin_s)
{
    const struct action *a = &s->schedule->actions[index];
    const struct schedule_stage_costs *costs =
        &s->stages[schedule_stage(&s->schedule->spec, rank, a->chunk)];
    const double start_s = begin_s + s->simulation.start[index];
    switch (a->op) {
    case ACTION_FORWARD:
        draw_cell(p, y, start_s, start_s + costs->forward, FORWARD, a->microbatch, a->chunk);
        break;
    case ACTION_INPUT_GRADIENT:
        draw_cell(p, y, start_s, start_s + costs->input_gradient, INPUT_GRADIENT, a->microbatch,
                  a->chunk);
        break;
    case ACTION_WEIGHT_GRADIENT:
        draw_cell(p, y, start_s, start_s + costs->weight_gradient, WEIGHT_GRADIENT, a->microbatch,
                  a->chunk);
        break;
    default:
        break;
    }
}

static void draw_simulated(struct picture *p, double y, const struct simulated *s, double begin_s)
{
    for (int rank = 0; rank < p->n_rows; rank++, y += p->row) {
        draw_row_head(p, y, rank, begin_s, begin_s + s->simulation.makespan);
        for (int64_t i = s->schedule->first_action[rank]; i < s->schedule->first_action[rank + 1];
             i++) {
            draw_action(p, y, s, rank, i, begin_s);
        }
    }
}

static void draw_legend(struct picture *p)
{
    double x = LEFT;
    for (int i = 0; i < PAINTS; i++) {
        file_sheet_add(&p->sheet,
                       "<rect x=\"%.1f\" y=\"40\" width=\"14\" height=\"14\" fill=\"%s\"/>\n", x,
                       PAINT[i].colour);
        draw_text(p, x + 19, 51, "start", PAINT[i].legend);
        x += PAINT[i].legend_width;
    }
    draw_text(p, x, 51, "start",
              p->n_chunks > 1 ? "numbers: microbatch; paler: later chunks of a rank"
                              : "numbers: microbatch");
}

/** 1, 2 or 5 times a power of ten. */
static double tick_ms(double range_ms)
{
    const double about = range_ms / TICKS, power = pow(10.0, floor(log10(about)));
    const double ratio = about / power;
    return power * (ratio < 1.5 ? 1.0 : (ratio < 3.5 ? 2.0 : (ratio < 7.5 ? 5.0 : 10.0)));
}

static void draw_axis(struct picture *p, double top, double bottom, double end_s)
{
    const double range_ms = MS_PER_S * (end_s - p->begin_s), every_ms = tick_ms(range_ms);
    for (int i = 0; i * every_ms <= range_ms; i++) {
        char label[32];
        const double x = x_of(p, p->begin_s + i * every_ms / MS_PER_S);
        file_sheet_add(&p->sheet,
                       "<line x1=\"%.2f\" y1=\"%.1f\" x2=\"%.2f\" y2=\"%.1f\" stroke=\"#000\" "
                       "stroke-opacity=\"0.18\" stroke-width=\"0.7\"/>\n",
                       x, top, x, bottom + 5);
        snprintf(label, sizeof label, "%g", i * every_ms);
        draw_text(p, x, bottom + 18, "middle", label);
    }
    draw_text(p, LEFT + 0.5 * (WIDTH - LEFT - RIGHT), bottom + 36, "middle",
              "time in ms since the first rank began the step");
}

static double bubble(const struct trace_work *work, int n_ranks)
{
    return 1.0 - work->busy_s / ((work->end_s - work->begin_s) * n_ranks);
}

static struct trace_work simulated_work(const struct simulated *s)
{
    struct trace_work work = {.end_s = s->simulation.makespan};
    for (int rank = 0; rank < s->schedule->spec.n_ranks; rank++) {
        work.busy_s += s->simulation.busy[rank];
    }
    return work;
}

static void draw_panel_head(struct picture *p, double y, const char *what,
                            const struct trace_work *work, int n_ranks)
{
    char text[160];
    snprintf(text, sizeof text,
             "%s: %.2f ms from the first forward to the last gradient, bubble %.1f %%", what,
             MS_PER_S * (work->end_s - work->begin_s), PERCENT * bubble(work, n_ranks));
    draw_text(p, LEFT, y + PANEL_HEAD - 8, "start", text);
}

static void draw_head(struct picture *p, const struct schedule_spec *spec, int64_t step,
                      double height)
{
    file_sheet_add(&p->sheet,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                   "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\" "
                   "font-size=\"%d\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                   WIDTH, height, WIDTH, height, SMALL_TEXT);
    file_sheet_add(&p->sheet,
                   "<text x=\"%.0f\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Step %lld: %d "
                   "microbatches on %d rank%s, %s",
                   LEFT, (long long)step, spec->n_microbatches, spec->n_ranks,
                   spec->n_ranks == 1 ? "" : "s", config_schedule_name(spec->kind));
    if (p->n_rows < spec->n_ranks) {
        file_sheet_add(&p->sheet, " (the first %d ranks)", p->n_rows);
    }
    file_sheet_add(&p->sheet, "</text>\n");
    draw_legend(p);
}

/** From when to when a step runs, all that it does counted. */
static void measure_whole(const struct trace_set *set, int64_t step, double *begin_s, double *end_s)
{
    *begin_s = INFINITY;
    *end_s = -INFINITY;
    for (int rank = 0; rank < set->n_ranks; rank++) {
        struct trace_span span;
        if (trace_find_step(&span, set, rank, step)) {
            *begin_s = fmin(*begin_s, trace_event(set, rank, span.first).begin_s);
            *end_s = fmax(*end_s, trace_event(set, rank, span.end - 1).end_s);
        }
    }
}

static bool draw(struct picture *p, const struct trace_set *set, const struct simulated *s,
                 int64_t step, const char *path, struct error *err)
{
    struct trace_work measured;
    const struct trace_work simulated = simulated_work(s);
    const int n_ranks = set->n_ranks;
    double end_s = 0.0;
    trace_measure_step(&measured, set, step);
    measure_whole(set, step, &p->begin_s, &end_s);
    const double axis_end_s = fmax(end_s, measured.begin_s + simulated.end_s);
    p->n_rows = n_ranks < MOST_ROWS ? n_ranks : MOST_ROWS;
    p->n_chunks = s->schedule->spec.n_chunks;
    p->row = fmin(MOST_ROW, fmax(LEAST_ROW, floor(ROWS_HEIGHT / 2 / p->n_rows)));
    p->s_per_pixel = (axis_end_s - p->begin_s) / (WIDTH - LEFT - RIGHT);
    const double panel = PANEL_HEAD + p->n_rows * p->row, second = TOP + panel + PANEL_GAP;
    if (!file_sheet_open(&p->sheet, path, err)) {
        return false;
    }
    draw_head(p, &s->schedule->spec, step, second + panel + AXIS);
    draw_panel_head(p, TOP, "Measured", &measured, n_ranks);
    draw_measured(p, TOP + PANEL_HEAD, set, step, end_s);
    draw_panel_head(p, second, "Simulated with mean durations, no time for messages", &simulated,
                    n_ranks);
    draw_simulated(p, second + PANEL_HEAD, s, measured.begin_s);
    draw_axis(p, TOP + PANEL_HEAD, second + panel, axis_end_s);
    file_sheet_add(&p->sheet, "</svg>\n");
    return file_sheet_close(&p->sheet);
}

bool trace_draw(const struct trace_set *all, const struct schedule *schedule, const char *path,
                struct error *err)
{
    assert(schedule->spec.n_ranks <= all->n_ranks);
    struct trace_set first = *all;
    first.n_ranks = schedule->spec.n_ranks;
    const struct trace_set *set = &first;
    const int64_t step = trace_median_step(set);
    if (step < 0) {
        return error_set(err, ERROR_DATA, "no step was traced whole on all ranks");
    }
    const size_t n_stages = (size_t)(set->n_ranks * schedule->spec.n_chunks);
    struct schedule_stage_costs *stages =
        heap_take(n_stages, sizeof *stages, "the picture of a step");
    struct picture *picture = heap_take(1, sizeof *picture, "the picture of a step");
    trace_stage_costs(stages, set, &schedule->spec);
    struct simulated s = {.schedule = schedule, .stages = stages};
    const struct schedule_costs costs = {.stages = stages};
    const bool ok = schedule_simulate(&s.simulation, schedule, &costs, err) &&
                    draw(picture, set, &s, step, path, err);
    schedule_simulation_finish(&s.simulation);
    free(picture);
    free(stages);
    return ok;
}
