/** Who waits for whom: a thread per rank that looks on while the rank trains.
 *
 *  It makes no MPI call and takes no lock of the thread that trains; it reads the rank's journal.
 * Ranks talk through small files of the run's folder alone:
 *
 *      .stall-asked          a rank has stood still for longer than it may: all shall answer
 *      stall-rank-0003.txt   rank 3's answer: what it is at, and its last events
 *      stall.txt             the verdict
 *
 *  The lowest rank that answers reads all answers and follows who waits for whom. Whoever ends the
 * chain is the culprit: a rank that is silent (stopped, dead, cut off), or one that is stuck in
 * something of its own for longer than that may take. When the chain ends in a rank that gets on,
 * nothing is wrong but the waiting is long, and the run goes on. Time in which the watch itself did
 * not run is not counted: then the job was suspended. */
#ifndef ATTNRES_WATCH_H
#define ATTNRES_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/journal.h>
#include <attnres/transport.h>

enum { WATCH_CHAIN = 8, WATCH_TEXT_BYTES = 4096 };

/** What a rank says of itself. */
struct watch_state {
    bool answered;
    bool is_busy;           /* event has begun and not ended; else it is the last one done */
    double idle_s, limit_s; /* without progress for so long, and how long it may be */
    enum journal_phase phase;
    struct journal_event event; /* its times are not passed on */
};

enum watch_cause {
    WATCH_NO_STALL, /* nobody is late, or who is late waits for a rank that gets on */
    WATCH_SILENT,   /* the culprit did not answer */
    WATCH_STUCK,    /* the culprit waits for nobody */
    WATCH_CIRCLE    /* the chain's ranks wait for each other */
};

struct watch_verdict {
    enum watch_cause cause;
    int culprit;            /* -1: none, or a circle */
    int n_chain;            /* ranks from the one that is late to the culprit; may be more than */
    int chain[WATCH_CHAIN]; /* stand here: then its first ones, the culprit left out */
};

/** Follow who waits for whom from every rank that is late. Pure. */
struct watch_verdict watch_judge(const struct watch_state *states, int n_ranks);
/** The verdict in words, several lines. Pure. */
void watch_explain(char text[WATCH_TEXT_BYTES], const struct watch_verdict *verdict,
                   const struct watch_state *states, int n_ranks);

/** What a rank is at as of now_s, by its journal. */
struct watch_state watch_state_of(const struct journal *journal, double now_s, double limit_s);
/** An answer's first line, and back again. What is read is foreign: false unless it is a whole line
 * of this format whose numbers make sense among n_ranks. */
size_t watch_format(char *line, size_t capacity, const struct watch_state *state);
bool watch_parse(struct watch_state *state, const char *text, int n_ranks);
/** Write the state and the journal's events to a file, aside first and then renamed. Allocates
 * nothing, whatever the journal's writer does meanwhile. */
bool watch_dump(const char *path, const struct journal *journal, const struct watch_state *state,
                int rank, double now_s, struct error *err);

struct watch_options {
    const char *folder;   /* the run's; borrowed until the stop */
    double stall_s;       /* 0: never ends the job */
    double start_s;       /* while starting and ending */
    double save_s;        /* while saving */
    int (*n_asked)(void); /* how often the events have been asked for (SIGUSR2); may be NULL */
    bool quiet;           /* the verdict goes to log.txt alone */
};

struct watch;

/** One rank, before any rank starts to watch: remove what an earlier stall has left. */
bool watch_clear(const char *folder, struct error *err);
/** Start to watch. Gives the transport its journal until the stop. NULL on failure. */
struct watch *watch_start(const struct watch_options *options, struct transport *transport,
                          struct error *err);
void watch_stop(struct watch *watch);
/** Whether the job has been found stalled: then STATUS is the judge's. A stopped rank that the
 * launcher wakes to end it may still get here. */
bool watch_has_verdict(const struct watch *watch);
/** A checkpoint of this step stands, should the run be found stalled: for STATUS. */
void watch_note_saved(struct watch *watch, int64_t step);

/** Ranks that compute for longer than the others, step after step. Zeroed at first. */
struct watch_straggler {
    int rank;
    int64_t n_steps;       /* in a row */
    double seconds, ratio; /* of the last step: what it computed, and that over the median */
};

/** Look at one step: compute_s (n), scratch (n). True when it is time to say so: after 20 steps in
 * a row above 1.3 times the median, then after 200, 2000 ... */
bool watch_find_straggler(struct watch_straggler *straggler, const double *compute_s, int n,
                          double *scratch);

#endif
