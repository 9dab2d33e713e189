/* Who does what when: the simulated step as lines of text and as SVG. */
#include "predict_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>
#include <attnres/text.h>

/** A state's letter, and a colour that people who do not tell red from green tell apart (Okabe and
 * Ito 2008). */
static const struct {
    char letter;
    const char *colour, *name;
} LOOKS[PREDICT_STATES] = {
    [STATE_FORWARD] = {'F', "#0072B2", "forward"},
    [STATE_INPUT] = {'I', "#E69F00", "input gradient"},
    [STATE_WEIGHT] = {'W', "#009E73", "weight gradient"},
    [STATE_MESSAGE] = {'m', "#000000", "packing, unpacking"},
    [STATE_WAITING] = {'.', "#EEEEEE", "waiting"},
};

static enum predict_state state_of(enum action_op op)
{
    switch (op) {
    case ACTION_FORWARD:
        return STATE_FORWARD;
    case ACTION_INPUT_GRADIENT:
        return STATE_INPUT;
    case ACTION_WEIGHT_GRADIENT:
        return STATE_WEIGHT;
    default:
        return STATE_MESSAGE;
    }
}

/** Of a column, by state. */
typedef double shares[PREDICT_STATES];

/** Add [start, end), in columns, to the columns that it covers. */
static void add_span(shares *columns, int n_columns, enum predict_state state, double start,
                     double end)
{
    for (int i = (int)start; i < n_columns && (double)i < end; i++) {
        columns[i][state] += fmin(end, i + 1.0) - fmax(start, (double)i);
    }
}

void predict_fill_row(unsigned char *states, const struct plan *plan,
                      const struct prediction *prediction, int rank, int n_columns)
{
    const struct schedule *schedule = &plan->schedule;
    const double makespan = prediction->simulation.makespan;
    /* With costs beyond all machines there is nothing to draw. */
    const double per_s = makespan > 0.0 && isfinite(makespan) ? n_columns / makespan : 0.0;
    shares *columns = heap_take((size_t)n_columns, sizeof *columns, "the picture of a step");
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        const struct action *action = &schedule->actions[i];
        const int stage = plan_stage(plan, rank, action->chunk)->index;
        const double start = per_s > 0.0 ? prediction->simulation.start[i] * per_s : n_columns;
        add_span(columns, n_columns, state_of(action->op), start,
                 start + per_s * schedule_duration(&prediction->stages[stage], action->op));
    }
    for (int i = 0; i < n_columns; i++) {
        double *share = columns[i];
        share[STATE_WAITING] = 1.0 - share[STATE_FORWARD] - share[STATE_INPUT] -
                               share[STATE_WEIGHT] - share[STATE_MESSAGE];
        int most = 0;
        for (int state = 1; state < PREDICT_STATES; state++) {
            most = share[state] > share[most] ? state : most;
        }
        states[i] = (unsigned char)most;
    }
    free(columns);
}

size_t predict_print_picture(const struct plan *plan, const struct prediction *prediction,
                             int width, char *text, size_t capacity)
{
    enum { MOST_COLUMNS = 400, LABEL_COLUMNS = 10 };
    struct text t = {.bytes = text, .capacity = capacity};
    unsigned char states[MOST_COLUMNS];
    int n_columns = width - LABEL_COLUMNS;
    n_columns = n_columns < 1 ? 1 : (n_columns > MOST_COLUMNS ? MOST_COLUMNS : n_columns);
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        char line[MOST_COLUMNS + 1] = "";
        predict_fill_row(states, plan, prediction, rank, n_columns);
        for (int i = 0; i < n_columns; i++) {
            line[i] = LOOKS[states[i]].letter;
        }
        text_add(&t, "rank %-4d %s\n", rank, line);
    }
    return t.length;
}

enum {
    SVG_COLUMNS = 1200, /* pixels of the step */
    SVG_ROW = 18,
    SVG_LEFT = 70,
    SVG_TOP = 44,
    SVG_BOTTOM = 46,
    SVG_TICKS = 5
};

static void put_row(struct text *t, const unsigned char *states, int rank)
{
    const int y = SVG_TOP + rank * SVG_ROW;
    text_add(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">rank %d</text>\n", SVG_LEFT - 6,
             y + SVG_ROW - 5, rank);
    for (int i = 0; i < SVG_COLUMNS;) {
        int end = i + 1;
        while (end < SVG_COLUMNS && states[end] == states[i]) {
            end++;
        }
        text_add(t, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n",
                 SVG_LEFT + i, y + 1, end - i, SVG_ROW - 2, LOOKS[states[i]].colour);
        i = end;
    }
}

static void put_legend(struct text *t)
{
    for (int state = 0; state < PREDICT_STATES; state++) {
        const int x = SVG_LEFT + state * 160;
        text_add(t,
                 "<rect x=\"%d\" y=\"14\" width=\"14\" height=\"14\" fill=\"%s\"/><text x=\"%d\" "
                 "y=\"26\">%s</text>\n",
                 x, LOOKS[state].colour, x + 20, LOOKS[state].name);
    }
}

static void put_axis(struct text *t, double makespan_s, int y)
{
    for (int i = 0; i <= SVG_TICKS; i++) {
        const int x = SVG_LEFT + i * SVG_COLUMNS / SVG_TICKS;
        text_add(t,
                 "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"black\"/><text x=\"%d\" "
                 "y=\"%d\" text-anchor=\"middle\">%.4g ms</text>\n",
                 x, y, x, y + 6, x, y + 22, 1e3 * makespan_s * i / SVG_TICKS);
    }
}

size_t predict_print_svg(const struct plan *plan, const struct prediction *prediction, char *text,
                         size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    unsigned char states[SVG_COLUMNS];
    const int bottom = SVG_TOP + plan->n_ranks * SVG_ROW;
    text_add(&t,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
             "font-family=\"sans-serif\" font-size=\"12\">\n"
             "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
             SVG_LEFT + SVG_COLUMNS + 40, bottom + SVG_BOTTOM);
    put_legend(&t);
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        predict_fill_row(states, plan, prediction, rank, SVG_COLUMNS);
        put_row(&t, states, rank);
    }
    put_axis(&t, prediction->simulation.makespan, bottom);
    text_add(&t, "</svg>\n");
    return t.length;
}
