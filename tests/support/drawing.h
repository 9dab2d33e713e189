/** Figures as text, of runs that are not read from files. */
#ifndef ATTNRES_TESTS_DRAWING_H
#define ATTNRES_TESTS_DRAWING_H

#include "../../src/report/report_internal.h"

struct drawing {
    struct report *report; /* of the kinds standard, block and full */
    char data[1 << 17], body[1 << 17], why[512];
    struct figure figure;
    struct text data_text, body_text, why_text;
};

/** runs are borrowed. */
struct drawing *begin_drawing(struct report_run *runs, int n);
/** Draw; it must be possible. */
void draw_on(struct drawing *d, figure_function *function);
/** Begin and draw. rows: the points of the report's fit, one a run; or NULL. */
struct drawing *draw(figure_function *function, struct report_run *runs, int n,
                     struct fit_point *rows);
void finish_drawing(struct drawing *d);

#endif
