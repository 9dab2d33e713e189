#include <attnres/schedule.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "schedule_internal.h"

void schedule_format_token(const struct schedule_spec *spec, char letter,
                           const struct action *action, char *token, size_t capacity)
{
    if (spec->n_chunks > 1) {
        snprintf(token, capacity, "%d%c%d", action->chunk, letter, action->microbatch);
    } else {
        snprintf(token, capacity, "%c%d", letter, action->microbatch);
    }
}

static char compute_letter(enum action_op op)
{
    switch (op) {
    case ACTION_FORWARD:
        return 'F';
    case ACTION_INPUT_GRADIENT:
        return 'I';
    case ACTION_WEIGHT_GRADIENT:
        return 'W';
    default:
        return 0;
    }
}

/* Index of the next compute action from i on, or end. */
static int64_t find_compute(const struct schedule *schedule, int64_t i, int64_t end)
{
    while (i < end && compute_letter(schedule->actions[i].op) == 0) {
        i++;
    }
    return i;
}

static void print_rank(const struct schedule *schedule, int rank, struct text *out)
{
    const int64_t end = schedule->first_action[rank + 1];
    const char *separator = "";
    int64_t i = find_compute(schedule, schedule->first_action[rank], end);
    while (i < end) {
        const struct action *action = &schedule->actions[i];
        char letter = compute_letter(action->op), token[40];
        const int64_t next = find_compute(schedule, i + 1, end);
        const struct action *behind = next < end ? &schedule->actions[next] : NULL;
        i = next;
        if (letter == 'I' && behind != NULL && behind->op == ACTION_WEIGHT_GRADIENT &&
            behind->microbatch == action->microbatch && behind->chunk == action->chunk) {
            letter = 'B';
            i = find_compute(schedule, next + 1, end);
        }
        schedule_format_token(&schedule->spec, letter, action, token, sizeof token);
        text_add(out, "%s%s", separator, token);
        separator = " ";
    }
    text_add(out, "\n");
}

size_t schedule_print(const struct schedule *schedule, char *text, size_t capacity)
{
    struct text out = {.bytes = text, .capacity = capacity};
    for (int rank = 0; rank < schedule->spec.n_ranks; rank++) {
        print_rank(schedule, rank, &out);
    }
    return out.length;
}

/* Where the parser stands. */
struct reader {
    const struct schedule_spec *spec;
    const char *text;
    size_t length, at;
    int line, token; /* from 1 */
    struct action *order;
    int64_t n_order;
};

static bool reject(const struct reader *r, struct error *err, const char *what)
{
    return error_set(err, ERROR_DATA, "schedule: line %d, token %d: %s", r->line, r->token, what);
}

static bool read_number(struct reader *r, int limit, int *out)
{
    const size_t first = r->at;
    int64_t value = 0;
    while (r->at < r->length && isdigit((unsigned char)r->text[r->at])) {
        value = 10 * value + (r->text[r->at++] - '0');
        if (value >= limit) {
            return false;
        }
    }
    *out = (int)value;
    return r->at > first;
}

static bool add_action(struct reader *r, enum action_op op, int microbatch, int chunk,
                       struct error *err)
{
    if (r->n_order == schedule_order_capacity(r->spec)) {
        return reject(r, err, "more actions than the rank has");
    }
    r->order[r->n_order++] = (struct action){
        .op = op, .microbatch = microbatch, .chunk = chunk, .slot = -1, .gradient_slot = -1};
    return true;
}

static bool read_token(struct reader *r, struct error *err)
{
    int chunk = 0, microbatch = 0;
    if (r->spec->n_chunks > 1 && !read_number(r, r->spec->n_chunks, &chunk)) {
        return reject(r, err, "expected a chunk of this schedule in front");
    }
    const char letter = r->at < r->length ? r->text[r->at++] : 0;
    if (letter != 'F' && letter != 'B' && letter != 'I' && letter != 'W') {
        return reject(r, err, "expected one of F, B, I, W");
    }
    if (letter != 'F' && !schedule_find_rule(r->spec->kind)->has_backward) {
        return reject(r, err, "this schedule has forwards only");
    }
    if (!read_number(r, r->spec->n_microbatches, &microbatch)) {
        return reject(r, err, "expected a microbatch of this schedule");
    }
    if (letter == 'F') {
        return add_action(r, ACTION_FORWARD, microbatch, chunk, err);
    }
    return (letter == 'W' || add_action(r, ACTION_INPUT_GRADIENT, microbatch, chunk, err)) &&
           (letter == 'I' || add_action(r, ACTION_WEIGHT_GRADIENT, microbatch, chunk, err));
}

static bool read_line(struct reader *r, struct error *err)
{
    r->line++;
    r->token = 1;
    r->n_order = 0;
    while (r->at < r->length && r->text[r->at] != '\n') {
        if (r->token > 1 && r->text[r->at++] != ' ') {
            return reject(r, err, "expected a space behind the token before");
        }
        if (!read_token(r, err)) {
            return false;
        }
        r->token++;
    }
    if (r->at == r->length) {
        return reject(r, err, "the text ends inside a line");
    }
    r->at++;
    return r->n_order == schedule_order_capacity(r->spec) ||
           reject(r, err, "fewer actions than the rank has");
}

bool schedule_parse(struct schedule *schedule, const struct schedule_spec *spec, const char *text,
                    size_t length, struct error *err)
{
    struct schedule built = {0};
    if (!schedule_check_spec(spec, err) || !schedule_check_size(spec, err) ||
        !schedule_allocate(&built, spec, err)) {
        return false;
    }
    struct reader reader = {.spec = spec, .text = text, .length = length};
    reader.order = calloc((size_t)schedule_order_capacity(spec), sizeof *reader.order);
    bool ok = reader.order != NULL || error_set(err, ERROR_CREATE, "no memory for a schedule");
    for (int rank = 0; ok && rank < spec->n_ranks; rank++) {
        ok = read_line(&reader, err);
        if (ok) {
            schedule_append_rank(&built, rank, reader.order, reader.n_order);
        }
    }
    if (ok && reader.at < length) {
        ok = error_set(err, ERROR_DATA, "schedule: more than %d lines", spec->n_ranks);
    }
    free(reader.order);
    ok = ok && schedule_complete(&built, err);
    if (!ok) {
        schedule_finish(&built);
        return false;
    }
    *schedule = built;
    return true;
}
