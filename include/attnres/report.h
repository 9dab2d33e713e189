/** What runs say, as figures and one page.
 *
 *  Everything is read from the folders of runs: config.yaml, metrics.jsonl, and what other commands
 * have left there: inspect*.json (attnres inspect --json), hops.jsonl (attnres eval --task=hops
 * --json), trace/step.svg. So a report needs no checkpoint. A figure is a gnuplot script with its
 * data in it, written and then run:
 *
 *      runs ─► OUT/loss-steps.gp ─► OUT/loss-steps.svg, .png ─┐
 *              OUT/loss-compute.gp ...                        ├─► OUT/index.html, all in one file
 *
 *  What is not there is left out, with a line that says why. */
#ifndef ATTNRES_REPORT_H
#define ATTNRES_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <attnres/error.h>

enum { REPORT_MAX_RUNS = 1024, REPORT_NOTES_BYTES = 1 << 15 };

/** Lines for people: what was left out and why. */
struct report_notes {
    char text[REPORT_NOTES_BYTES];
    bool has_page; /* index.html was written: also where a figure has failed */
};

struct report_options {
    const char *out; /* the folder that is written, made if needed */
    const char
        *baseline;   /* the kind that others are compared with; NULL: standard, if it is there */
    bool wants_time; /* the multiplier against the clock too, which says something of an undisturbed
                        machine alone */
};

/** Write the report of n run folders. A run that cannot be read is left out and noted, as is an
 * inspect.json or hops.jsonl alone. If no run is left, the kind of the first one's failure;
 * ERROR_USAGE if none is of the baseline's kind, ERROR_CREATE or ERROR_IO if the report cannot be
 * written, also where a file that it would replace or remove was not made by it. A figure that
 * gnuplot fails at is left out and noted, and false is returned in the end. Without gnuplot the
 * page has the tables alone. */
bool report_write(const struct report_options *options, const char *const *runs, int n,
                  struct report_notes *notes, struct error *err);

#endif
