/** The format of a rank's file, and what its readers share. */
#ifndef ATTNRES_TRACE_INTERNAL_H
#define ATTNRES_TRACE_INTERNAL_H

#include <stddef.h>

#include <attnres/trace.h>

enum { TRACE_MARK_BYTES = 16 };

/** Without the 0 behind them. */
#define TRACE_BEGINS "attnres-trace-1<"
#define TRACE_ENDS "attnres-trace-1>"

/** In front of the events and, with the other mark, behind them. */
struct trace_head {
    char mark[TRACE_MARK_BYTES];
    int32_t rank, n_ranks;
    struct trace_clock clock;
    int64_t n_events; /* at the end; 0 at the beginning */
    char name[TRACE_NAME_BYTES];
};

_Static_assert(sizeof(struct trace_head) == 184, "files are read as they were written");
_Static_assert(sizeof(struct journal_event) == 56, "files are read as they were written");

bool trace_path(char *path, const char *folder, int rank, struct error *err);

/** Events [first, end) of a rank that belong to one step, from its beginning to its update. */
struct trace_span {
    int64_t first, end;
};

/** Whether the rank has all of a step up to its update. */
bool trace_find_step(struct trace_span *span, const struct trace_set *set, int rank, int64_t step);

/** The schedule's part of a step, over all ranks: from the first forward to the last gradient. */
struct trace_work {
    double begin_s, end_s, busy_s;
};

/** Whether all ranks have all of the step. */
bool trace_measure_step(struct trace_work *work, const struct trace_set *set, int64_t step);
/** The step whose length is the median of those that all ranks have whole; -1: none. */
int64_t trace_median_step(const struct trace_set *set);
/** What each stage takes of a microbatch, on average over those steps. stages (n_stages). */
void trace_stage_costs(struct schedule_stage_costs *stages, const struct trace_set *set,
                       const struct schedule_spec *spec);

#endif
