#include <attnres/schedule.h>

#include <stdio.h>
#include <string.h>

#include "schedule_internal.h"

enum { TOKEN_BYTES = 40 };

/* Ranks above and below the failing one that its grid shows, and the columns it takes. */
static const int FAILURE_RANKS = 12, FAILURE_COLUMNS = 160;

/* The part of the grid that is printed. */
struct view {
    int first_rank, end_rank;
    int64_t first_cell;
    int n_cells;
    int cell_columns;
};

static char cell_letter(enum action_op op)
{
    switch (op) {
    case ACTION_RECEIVE_VALUES:
    case ACTION_FORWARD:
    case ACTION_SEND_VALUES:
        return 'F';
    case ACTION_RECEIVE_GRADIENTS:
    case ACTION_INPUT_GRADIENT:
    case ACTION_SEND_GRADIENTS:
        return 'I';
    default:
        return 'W';
    }
}

static bool is_compute(enum action_op op)
{
    return op == ACTION_FORWARD || op == ACTION_INPUT_GRADIENT || op == ACTION_WEIGHT_GRADIENT;
}

/* Columns of the widest token with a blank behind. */
static int measure_cell(const struct schedule_spec *spec)
{
    char token[TOKEN_BYTES];
    const struct action widest = {.microbatch = spec->n_microbatches - 1,
                                  .chunk = spec->n_chunks - 1};
    schedule_format_token(spec, 'F', &widest, token, sizeof token);
    return (int)strlen(token) + 1;
}

/* Pads with idle cells up to `cell`; false once the view is full. */
static bool advance_to(struct text *out, const struct view *view, int64_t *at, int64_t cell)
{
    const int64_t end = view->first_cell + view->n_cells;
    for (*at = *at < view->first_cell ? view->first_cell : *at; *at < cell && *at < end; (*at)++) {
        text_add(out, "%-*s", view->cell_columns, ".");
    }
    return cell < end;
}

/* A cell with its mark ('!' where the rank failed, blank otherwise). */
static void print_cell(const struct simulation *s, const struct action *action, char mark,
                       const struct view *view, struct text *out)
{
    char token[TOKEN_BYTES];
    const size_t length = sizeof token - 2;
    schedule_format_token(&s->schedule->spec, cell_letter(action->op), action, token, length);
    const size_t end = strlen(token);
    token[end] = mark;
    token[end + 1] = 0;
    text_add(out, "%-*s", view->cell_columns, token);
}

static void print_row(const struct simulation *s, int rank, const struct view *view,
                      struct text *out)
{
    const struct schedule *schedule = s->schedule;
    const char *cut = view->first_cell > 0 ? "... " : "";
    int64_t at = 0;
    text_add(out, "rank %-4d %s", rank, cut);
    for (int64_t i = schedule->first_action[rank]; i < s->next[rank]; i++) {
        const int64_t cell = (int64_t)s->start[i];
        if (!is_compute(schedule->actions[i].op) || cell < view->first_cell) {
            continue;
        }
        if (!advance_to(out, view, &at, cell)) {
            text_add(out, "...\n");
            return;
        }
        print_cell(s, &schedule->actions[i], ' ', view, out);
        at = cell + 1;
    }
    const bool stopped = s->next[rank] < schedule->first_action[rank + 1];
    if (stopped && advance_to(out, view, &at, (int64_t)s->clock[rank])) {
        const char mark = rank == s->failed_rank ? '!' : '?';
        print_cell(s, &schedule->actions[s->next[rank]], mark, view, out);
    }
    text_add(out, "\n");
}

static void print_view(const struct simulation *s, const struct view *view, struct text *out)
{
    for (int rank = view->first_rank; rank < view->end_rank; rank++) {
        print_row(s, rank, view, out);
    }
}

size_t schedule_print_grid(const struct schedule *schedule, int width, char *text, size_t capacity)
{
    struct text out = {.bytes = text, .capacity = capacity};
    const struct schedule_costs costs = schedule_unit_costs();
    struct simulation s;
    simulation_run(&s, schedule, &costs, schedule->channel_depth);
    if (s.next != NULL) {
        const int columns = measure_cell(&schedule->spec), room = width - 10 - 3;
        const struct view view = {.end_rank = schedule->spec.n_ranks,
                                  .n_cells = room > columns ? room / columns : 1,
                                  .cell_columns = columns};
        print_view(&s, &view, &out);
    }
    simulation_finish(&s);
    return out.length;
}

bool schedule_report_failure(const struct schedule *schedule, int channel_depth, struct error *err)
{
    const struct schedule_costs costs = schedule_unit_costs();
    struct simulation s;
    char grid[7000] = "";
    struct text out = {.bytes = grid, .capacity = sizeof grid};
    if (simulation_run(&s, schedule, &costs, channel_depth) || s.next == NULL) {
        simulation_finish(&s);
        return error_set(err, ERROR_CREATE, "no memory to simulate the schedule");
    }
    const int rank = s.failed_rank, columns = measure_cell(&schedule->spec);
    const int64_t cell = (int64_t)s.clock[rank];
    struct view view = {.n_cells = FAILURE_COLUMNS / columns, .cell_columns = columns};
    view.first_cell = cell >= view.n_cells ? cell - view.n_cells + 1 : 0;
    view.first_rank = rank > FAILURE_RANKS ? rank - FAILURE_RANKS : 0;
    view.end_rank = rank + FAILURE_RANKS < schedule->spec.n_ranks ? rank + FAILURE_RANKS + 1
                                                                  : schedule->spec.n_ranks;
    print_view(&s, &view, &out);
    if (out.length < sizeof grid) {
        grid[out.length - 1] = '\0'; /* the last line's end: a message has none */
    }
    char token[TOKEN_BYTES] = "its end";
    if (s.next[rank] < schedule->first_action[rank + 1]) {
        const struct action *action = &schedule->actions[s.next[rank]];
        schedule_format_token(&schedule->spec, cell_letter(action->op), action, token,
                              sizeof token);
    }
    error_set(err, ERROR_INTERNAL, "schedule: rank %d fails at %s: %s\n%s", rank, token, s.reason,
              grid);
    simulation_finish(&s);
    return false;
}
