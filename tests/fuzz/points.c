/* A file of points for fit. What is accepted is printed as JSON lines and as comma-separated
 * values, and read again from both: the same points. Sorting them loses none. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/fit.h>
#include <attnres/text.h>

enum { MEMORY_BYTES = 1 << 17, MEMORY_PER_BYTE = 512, LINE_BYTES = 512 };

static const char *const NAMES[] = {"compute", "loss", "size", "seed", "tokens", "time"};
enum { N_NAMES = sizeof NAMES / sizeof NAMES[0] };

/** The point's numbers in the order of the names; 0: not given. */
static void list_numbers(double numbers[N_NAMES], const struct fit_point *p)
{
    const double all[N_NAMES] = {p->spent[FIT_FLOPS],  p->loss,
                                 (double)p->size,      (double)p->seed,
                                 p->spent[FIT_TOKENS], p->spent[FIT_TIME]};
    memcpy(numbers, all, sizeof all);
}

static void put_object(struct text *text, const char *kind, const struct fit_point *p)
{
    char line[LINE_BYTES];
    double numbers[N_NAMES];
    struct json_writer w;
    list_numbers(numbers, p);
    json_writer_init(&w, line, sizeof line);
    json_begin_object(&w, NULL);
    json_text(&w, "kind", kind);
    for (int i = 0; i < N_NAMES; i++) {
        if (numbers[i] != 0.0) {
            json_number(&w, NAMES[i], numbers[i]);
        }
    }
    json_end_object(&w);
    assert(json_writer_ok(&w));
    text_add(text, "%s\n", line);
}

static void put_values(struct text *text, const char *kind, const struct fit_point *p)
{
    double numbers[N_NAMES];
    list_numbers(numbers, p);
    text_add(text, "%s", kind);
    for (int i = 0; i < N_NAMES; i++) {
        if (numbers[i] != 0.0 || i == 3) { /* a seed of 0 is one */
            text_add(text, ",%.17g", numbers[i]);
        } else {
            text_add(text, ",");
        }
    }
    text_add(text, "\n");
}

static void expect_same(const struct fit_points *a, const struct fit_points *b)
{
    assert(a->n == b->n && a->n_kinds == b->n_kinds);
    assert(memcmp(a->kinds, b->kinds, (size_t)a->n_kinds * sizeof a->kinds[0]) == 0);
    for (int i = 0; i < a->n; i++) {
        const struct fit_point *p = &a->rows[i], *q = &b->rows[i];
        assert(p->kind == q->kind && p->size == q->size && p->seed == q->seed);
        assert(memcmp(p->spent, q->spent, sizeof p->spent) == 0 && p->loss == q->loss);
    }
}

static void expect_reads_back(const struct fit_points *points, bool as_values)
{
    const size_t capacity = ((size_t)points->n + 1) * LINE_BYTES;
    char *bytes = malloc(capacity);
    assert(bytes != NULL);
    struct text text = {bytes, capacity, 0};
    text_add(&text, as_values ? "kind,compute,loss,size,seed,tokens,time\n" : "");
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        (as_values ? put_values : put_object)(&text, points->kinds[p->kind], p);
    }
    assert(text.length < capacity);
    struct fit_points again = {0};
    struct error err = {0};
    const bool ok = fit_points_parse(&again, "again", bytes, text.length, &err);
    assert(ok);
    expect_same(points, &again);
    fit_points_finish(&again);
    free(bytes);
}

/** A kind that an object names may hold what parts values, or look like a comment or a quoted
 * value. */
static bool are_values(const struct fit_points *points)
{
    bool ok = true;
    for (int i = 0; i < points->n_kinds; i++) {
        ok = ok && strchr(points->kinds[i], ',') == NULL &&
             strchr("#\"", points->kinds[i][0]) == NULL;
    }
    return ok;
}

/** Groups hold cells, and cells units; numbers rise by one. */
static void expect_order(const struct fit_points *points)
{
    const struct fit_point *rows = points->rows;
    for (int i = 0; i < points->n; i++) {
        const int group = i > 0 ? rows[i - 1].group : -1, cell = i > 0 ? rows[i - 1].cell : -1,
                  unit = i > 0 ? rows[i - 1].unit : -1;
        assert(rows[i].group == group || rows[i].group == group + 1);
        assert(rows[i].cell == cell || rows[i].cell == cell + 1);
        assert(rows[i].unit == unit || rows[i].unit == unit + 1);
        assert(rows[i].group <= rows[i].cell && rows[i].cell <= rows[i].unit);
    }
    const struct fit_point *last = points->n > 0 ? &rows[points->n - 1] : NULL;
    assert(points->n_groups == (last != NULL ? last->group + 1 : 0));
    assert(points->n_cells == (last != NULL ? last->cell + 1 : 0));
    assert(points->n_units == (last != NULL ? last->unit + 1 : 0));
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    struct fit_points points = {0};
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = fit_points_parse(&points, "points", (const char *)bytes, length, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (!ok) {
        fuzz_expect_refusal(&err, ERROR_DATA);
    } else {
        expect_reads_back(&points, false);
        if (are_values(&points)) {
            expect_reads_back(&points, true);
        }
        if (fit_points_arrange(&points, &err)) {
            expect_order(&points);
        } else {
            fuzz_expect_refusal(&err, ERROR_DATA);
        }
    }
    fit_points_finish(&points);
    return 0;
}
