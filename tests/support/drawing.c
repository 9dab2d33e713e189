#include "drawing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct drawing *begin_drawing(struct report_run *runs, int n)
{
    static const char KINDS[][FIT_KIND_BYTES] = {"standard", "block", "full"};
    struct drawing *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->report = calloc(1, sizeof *d->report);
    assert_non_null(d->report);
    d->data_text = (struct text){d->data, sizeof d->data, 0};
    d->body_text = (struct text){d->body, sizeof d->body, 0};
    d->why_text = (struct text){d->why, sizeof d->why, 0};
    d->figure = (struct figure){.data = &d->data_text, .body = &d->body_text};
    d->report->runs = runs;
    d->report->n_runs = n;
    d->report->n_kinds = 3;
    memcpy(d->report->kinds, KINDS, sizeof KINDS);
    return d;
}

void draw_on(struct drawing *d, figure_function *function)
{
    d->data_text.length = d->body_text.length = 0;
    assert_true(function(&d->figure, d->report, &d->why_text));
    assert_true(d->data_text.length < sizeof d->data && d->body_text.length < sizeof d->body);
}

struct drawing *draw(figure_function *function, struct report_run *runs, int n,
                     struct fit_point *rows)
{
    struct drawing *d = begin_drawing(runs, n);
    d->report->points = (struct fit_points){.rows = rows, .n = rows != NULL ? n : 0};
    draw_on(d, function);
    return d;
}

void finish_drawing(struct drawing *d)
{
    free(d->report);
    free(d);
}
