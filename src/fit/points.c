#include "fit_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>

/** Runs of a size are of one cell if their tokens are less than this factor apart. */
static const double SAME_TOKENS = 1.05;

const char *fit_axis_name(enum fit_axis axis)
{
    static const char *const NAMES[FIT_AXES] = {"flops", "tokens", "time"};
    return NAMES[axis];
}

int fit_points_find_kind(const struct fit_points *points, const char *name)
{
    for (int i = 0; i < points->n_kinds; i++) {
        if (strcmp(points->kinds[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

enum { PLACE_BYTES = FILE_PATH_BYTES + 16 };

/** file:line, or a run's folder. */
static const char *place_of(char text[PLACE_BYTES], const struct fit_point *point)
{
    if (point->line > 0) {
        snprintf(text, PLACE_BYTES, "%s:%d", point->source, point->line);
    } else {
        snprintf(text, PLACE_BYTES, "%s", point->source);
    }
    return text;
}

static bool find_or_add_kind(int *kind, struct fit_points *points, const char *name,
                             const struct fit_point *point, struct error *err)
{
    *kind = fit_points_find_kind(points, name);
    if (*kind >= 0) {
        return true;
    }
    if (points->n_kinds == FIT_MAX_KINDS) {
        char place[PLACE_BYTES];
        return error_set(err, ERROR_DATA, "%s: %s is one kind too many, at most %d are compared",
                         place_of(place, point), name, FIT_MAX_KINDS);
    }
    *kind = points->n_kinds++;
    memcpy(points->kinds[*kind], name, strlen(name) + 1);
    return true;
}

bool fit_points_add(struct fit_points *points, const char *kind, const struct fit_point *point,
                    struct error *err)
{
    if (points->n == FIT_MAX_POINTS) {
        char place[PLACE_BYTES];
        return error_set(err, ERROR_DATA, "%s: one point too many, at most %d are read",
                         place_of(place, point), FIT_MAX_POINTS);
    }
    if (points->n == points->capacity) {
        const int capacity = points->capacity > 0 ? 2 * points->capacity : 64;
        struct fit_point *rows = realloc(points->rows, (size_t)capacity * sizeof *rows);
        if (rows == NULL) {
            return error_set(err, ERROR_CREATE, "no memory for %d points", capacity);
        }
        points->rows = rows;
        points->capacity = capacity;
    }
    struct fit_point row = *point;
    if (!find_or_add_kind(&row.kind, points, kind, point, err)) {
        return false;
    }
    points->rows[points->n++] = row;
    return true;
}

void fit_points_finish(struct fit_points *points)
{
    if (points == NULL) {
        return;
    }
    free(points->rows);
    fit_points_drop_forms(points);
    free(points->left_out);
    *points = (struct fit_points){0};
}

static int order_of(double a, double b)
{
    return (a > b) - (a < b);
}

/** What tells the cells of a size apart. */
static enum fit_axis axis_of(const struct fit_point *point)
{
    return point->size > 0 ? FIT_TOKENS : FIT_FLOPS;
}

static int by_spent(const void *left, const void *right)
{
    const struct fit_point *a = left, *b = right;
    if (a->size != b->size) {
        return a->size < b->size ? -1 : 1;
    }
    return order_of(a->spent[axis_of(a)], b->spent[axis_of(a)]);
}

static int by_unit(const void *left, const void *right)
{
    const struct fit_point *a = left, *b = right;
    int order = a->cell - b->cell;
    order = order != 0 ? order : (a->seed > b->seed) - (a->seed < b->seed);
    return order != 0 ? order : a->kind - b->kind;
}

/** Twins after each other; source and line make the order that of the input. */
static int by_twin(const void *left, const void *right)
{
    const struct fit_point *a = left, *b = right;
    int order = a->kind - b->kind;
    order = order != 0 ? order : (a->seed > b->seed) - (a->seed < b->seed);
    order = order != 0 ? order : by_spent(a, b);
    order = order != 0 ? order : strcmp(a->source, b->source);
    return order != 0 ? order : a->line - b->line;
}

bool fit_is_same_budget(double a, double b)
{
    return a <= SAME_TOKENS * b && b <= SAME_TOKENS * a;
}

/** Whether a point of the same size, which spent no less, spent about as much. */
static bool is_near(const struct fit_point *less, const struct fit_point *more)
{
    const double a = less->spent[axis_of(less)], b = more->spent[axis_of(more)];
    return less->size > 0 ? fit_is_same_budget(a, b) : b <= a;
}

static bool are_twins(const struct fit_point *a, const struct fit_point *b)
{
    return a->kind == b->kind && a->seed == b->seed && a->size == b->size && is_near(a, b);
}

static bool leave_twin_out(struct fit_points *points, const struct fit_point *twin,
                           struct error *err)
{
    char line[32] = "";
    if (twin->line > 0) {
        snprintf(line, sizeof line, "line %d", twin->line);
    }
    if (!fit_points_leave_out(points, twin->source,
                              "another is of the same kind, size, tokens and seed; give only the "
                              "one that shall count or, of a file's points, their seeds",
                              line, err)) {
        return false;
    }
    points->left_out[points->n_left_out - 1].has_twin = true;
    return true;
}

/** All of them: which one should count is not for the fit to say. */
static bool leave_twins_out(struct fit_points *points, struct error *err)
{
    struct fit_point *rows = points->rows;
    int n_kept = 0;
    bool follows_twin = false;
    if (points->n > 0) {
        qsort(rows, (size_t)points->n, sizeof *rows, by_twin);
    }
    for (int i = 0; i < points->n; i++) {
        const bool precedes_twin = i + 1 < points->n && are_twins(&rows[i], &rows[i + 1]);
        if (!follows_twin && !precedes_twin) {
            rows[n_kept++] = rows[i];
        } else if (!leave_twin_out(points, &rows[i], err)) {
            return false;
        }
        follows_twin = precedes_twin;
    }
    points->n = n_kept;
    return true;
}

/** Of rows in the order of what was spent: a cell goes on while tokens are within SAME_TOKENS of
 * those it began with. */
static void number_cells(struct fit_points *points)
{
    struct fit_point *rows = points->rows;
    points->n_groups = points->n_cells = 0;
    for (int i = 0, first = 0; i < points->n; i++) {
        const bool is_new_size = i == 0 || rows[i].size != rows[first].size;
        if (is_new_size || !is_near(&rows[first], &rows[i])) {
            first = i;
            points->n_cells++;
            points->n_groups += is_new_size || rows[i].size == 0;
        }
        rows[i].group = points->n_groups - 1;
        rows[i].cell = points->n_cells - 1;
    }
}

void fit_points_drop_kinds(struct fit_points *points)
{
    int n_kept = 0;
    for (int kind = 0; kind < points->n_kinds; kind++) {
        if (fit_count_runs(points, kind) == 0) {
            continue;
        }
        memmove(points->kinds[n_kept], points->kinds[kind], sizeof points->kinds[kind]);
        for (int i = 0; i < points->n; i++) {
            points->rows[i].kind = points->rows[i].kind == kind ? n_kept : points->rows[i].kind;
        }
        n_kept++;
    }
    points->n_kinds = n_kept;
}

void fit_points_sort(struct fit_points *points)
{
    struct fit_point *rows = points->rows;
    points->n_groups = points->n_cells = points->n_units = 0;
    if (points->n == 0) {
        return;
    }
    qsort(rows, (size_t)points->n, sizeof *rows, by_spent);
    number_cells(points);
    qsort(rows, (size_t)points->n, sizeof *rows, by_unit);
    for (int i = 0; i < points->n; i++) {
        const bool is_new =
            i == 0 || rows[i - 1].cell != rows[i].cell || rows[i - 1].seed != rows[i].seed;
        assert(is_new || rows[i - 1].kind != rows[i].kind);
        points->n_units += is_new;
        rows[i].unit = points->n_units - 1;
    }
}

bool fit_points_arrange(struct fit_points *points, struct error *err)
{
    if (!fit_points_keep_comparable(points, err) || !leave_twins_out(points, err)) {
        return false;
    }
    fit_points_drop_kinds(points);
    fit_points_sort(points);
    return points->n > 0 || error_set(err, ERROR_DATA, "no finished run is left to fit");
}
