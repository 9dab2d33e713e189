/* Runs that do not count, and why. */
#include "fit_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMED = 4 }; /* of the runs with one reason */

bool fit_points_leave_out(struct fit_points *points, const char *path, const char *why,
                          const char *detail, struct error *err)
{
    if (points->n_left_out == points->left_out_capacity) {
        const int capacity = points->n_left_out > 0 ? 2 * points->n_left_out : 16;
        struct fit_left_out *rows = realloc(points->left_out, (size_t)capacity * sizeof *rows);
        if (rows == NULL) {
            return error_set(err, ERROR_CREATE, "no memory for %d runs that are left out",
                             capacity);
        }
        points->left_out = rows;
        points->left_out_capacity = capacity;
    }
    struct fit_left_out *row = &points->left_out[points->n_left_out++];
    *row = (struct fit_left_out){.path = path};
    snprintf(row->why, sizeof row->why, "%s", why);
    snprintf(row->detail, sizeof row->detail, "%s", detail);
    return true;
}

static void add_run(struct text *t, const struct fit_left_out *row)
{
    text_add(t, "%s", row->path);
    if (row->detail[0] != '\0') {
        text_add(t, " (%s)", row->detail);
    }
}

/** All runs with the reason of row `first`, which is the first that has it. */
static void tell_reason(struct text *t, const struct fit_points *points, int first)
{
    const struct fit_left_out *rows = points->left_out;
    int n = 0;
    for (int i = first; i < points->n_left_out; i++) {
        n += strcmp(rows[i].why, rows[first].why) == 0;
    }
    text_add(t, "  ");
    if (n == 1) {
        add_run(t, &rows[first]);
        text_add(t, ": %s\n", rows[first].why);
        return;
    }
    text_add(t, "%d runs: %s:\n    ", n, rows[first].why);
    for (int i = first, n_named = 0; i < points->n_left_out && n_named < MOST_NAMED; i++) {
        if (strcmp(rows[i].why, rows[first].why) == 0) {
            text_add(t, n_named++ > 0 ? ", " : "");
            add_run(t, &rows[i]);
        }
    }
    if (n > MOST_NAMED) {
        text_add(t, " and %d more", n - MOST_NAMED);
    }
    text_add(t, "\n");
}

static bool is_first_of_reason(const struct fit_points *points, int i)
{
    for (int k = 0; k < i; k++) {
        if (strcmp(points->left_out[k].why, points->left_out[i].why) == 0) {
            return false;
        }
    }
    return true;
}

void fit_tell_left_out(struct text *t, const struct fit_points *points)
{
    if (points->n_left_out == 0) {
        return;
    }
    text_add(t, "%d of %d %s left out:\n", points->n_left_out, points->n_runs,
             points->n_left_out == 1 ? "runs is" : "runs are");
    for (int i = 0; i < points->n_left_out; i++) {
        if (is_first_of_reason(points, i)) {
            tell_reason(t, points, i);
        }
    }
}
