/** What every rank did and when, event by event, for some steps of a run.
 *
 *      journal ─► tape ─► trace/rank-0003.bin    each rank, while those steps run
 *      rank 0, at the end:  all of them ─► trace/trace.json    for Perfetto or chrome://tracing
 *                                      └─► trace/step.svg      a step, measured above simulated
 *
 *  A rank's file opens with a head, events as the journal keeps them follow, and a second head ends
 * it; without that (a run that was killed) what is there counts. Each head tells the rank's clock
 * against rank 0's, so that the files alone suffice to merge them. */
#ifndef ATTNRES_TRACE_H
#define ATTNRES_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/journal.h>
#include <attnres/schedule.h>
#include <attnres/transport.h>

enum {
    TRACE_TAPE_EVENTS = 4096, /* written at once when so many are there, at the latest */
    TRACE_NAME_BYTES = 128,
};

/** Rank 0's clock minus this rank's, when this rank's showed at_s; wrong by error_s at most. */
struct trace_clock {
    double at_s, offset_s, error_s;
};

/** Compare clocks by messages back and forth with rank 0; the fastest of them counts. Collective
 * over all ranks. now_s: this rank's clock. */
struct trace_clock trace_align(struct transport *t, double (*now_s)(void));

struct trace_options {
    const char *folder; /* of the trace; exists */
    const char *name;   /* the rank's, for people */
    int64_t first_step, n_steps;
    struct journal_event *events; /* (TRACE_TAPE_EVENTS); the trace's from start to finish */
};

struct trace {
    struct transport *transport; /* events come from its journal */
    char name[TRACE_NAME_BYTES];
    int64_t first_step, n_steps;
    struct journal_tape tape;
    int64_t n_written;
    struct file_writer file;
    struct error failure; /* kind ERROR_NONE: none so far */
};

/** Align clocks, then open this rank's file. Collective over all ranks. */
bool trace_start(struct trace *t, const struct trace_options *options, struct transport *transport,
                 struct error *err);
/** Tell which step is about to begin. Allocates nothing. */
void trace_begin_step(struct trace *t, int64_t step);
/** Align again and end the file. False if something of it could not be written. Collective over all
 * ranks. */
bool trace_finish(struct trace *t, struct error *err);

/** One rank's file, read back. */
struct trace_rank {
    char name[TRACE_NAME_BYTES];
    struct trace_clock begin, end; /* the same where a file has no end */
    const struct journal_event *events;
    int64_t n_events;
    struct file_map file;
};

/** The files of all ranks. What is read is foreign: a file whose numbers make no sense is
 * ERROR_DATA, named. */
struct trace_set {
    int n_ranks;
    struct trace_rank *ranks;
    double zero_s; /* when the first event began, by rank 0's clock */
};

bool trace_load(struct trace_set *set, const char *folder, int n_ranks, struct error *err);
void trace_unload(struct trace_set *set);
/** An event with its times in seconds since zero_s. */
struct journal_event trace_event(const struct trace_set *set, int rank, int64_t index);

/** What a merged trace holds. */
struct trace_merged {
    int64_t n_events, n_messages;
    int64_t n_unmatched; /* sends without their receive and the other way round: no arrow */
    int64_t n_early;     /* receives that end before their send begins: clocks are that wrong */
    double error_s;      /* of the clocks, at most */
};

/** All ranks in one file of Chrome's trace-event format: a process per rank, a slice per event and
 * per step, an arrow from each message's send to its receive. */
bool trace_write_json(const struct trace_set *set, const char *path, struct trace_merged *merged,
                      struct error *err);

/** A picture of the traced step whose length is the median, above the schedule simulated with what
 * each stage took on average, at one scale. Of the schedule's ranks: those of the first pipeline.
 * False and ERROR_DATA if no step was traced whole. */
bool trace_draw(const struct trace_set *set, const struct schedule *schedule, const char *path,
                struct error *err);

#endif
