/** What a rank has done last: a ring of events, for whoever asks why nothing moves.
 *
 *  One thread writes, the one that trains; any other may read at any time. There are no locks and
 * no allocation: a slot carries the number of its event, which is taken away while it is being
 * overwritten, so that a reader knows what it has read whole. An event that has begun and not ended
 * is what the rank does now. Events do not nest. */
#ifndef ATTNRES_JOURNAL_H
#define ATTNRES_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { JOURNAL_EVENTS = 2048, JOURNAL_WORDS = 7 };

enum journal_kind {
    JOURNAL_READ_BATCH,
    JOURNAL_FORWARD,
    JOURNAL_INPUT_GRADIENT,
    JOURNAL_WEIGHT_GRADIENT,
    JOURNAL_PACK,            /* a message is filled and posted */
    JOURNAL_UNPACK,          /* a message is taken out of its buffer */
    JOURNAL_WAIT_TO_SEND,    /* until the peer has taken a message */
    JOURNAL_WAIT_TO_RECEIVE, /* until the peer has sent one */
    JOURNAL_REDUCE,          /* sums over replicas, or new weights to them; see engine.h */
    JOURNAL_NORM,            /* squares of the gradients */
    JOURNAL_UPDATE,
    JOURNAL_WRITE, /* files of a checkpoint */
    JOURNAL_FLUSH,
    JOURNAL_READ_BACK,
    JOURNAL_KINDS
};

/** What a run is at; how long it may stand still depends on it. */
enum journal_phase {
    JOURNAL_STARTING,
    JOURNAL_TRAINING,
    JOURNAL_EVALUATING,
    JOURNAL_SAVING,
    JOURNAL_ENDING,
    JOURNAL_PHASES
};

struct journal_event {
    enum journal_kind kind;
    int32_t peer;             /* rank; -1: none */
    int32_t channel, chunk;   /* of a message (enum transport_channel); chunk: of F, I, W too */
    int64_t step, microbatch; /* microbatch -1: none */
    int64_t bytes;            /* -1: not counted */
    double begin_s, end_s;    /* clock_monotonic_s; end_s 0: not ended */
};

/** Where finished events are kept whole while it is set, for a trace; the writer's own. */
struct journal_tape {
    struct journal_event *events;
    int64_t capacity, count;
    void (*when_full)(void *user); /* makes room: the count must have fallen when it returns */
    void *user;
};

struct journal_slot {
    _Atomic int64_t number; /* of its event, plus 1; 0: none, or being written */
    _Atomic int64_t words[JOURNAL_WORDS];
};

struct journal {
    int64_t step, microbatch; /* what the next events belong to; the writer's own */
    int64_t n_begun;
    bool is_open;
    struct journal_tape *tape;   /* NULL: none */
    _Atomic int64_t n_events;    /* begun so far */
    _Atomic int64_t progress_ns; /* when something last began, ended or changed */
    _Atomic int phase;           /* enum journal_phase */
    struct journal_slot slots[JOURNAL_EVENTS];
};

void journal_init(struct journal *j);

/** The writer's calls; a journal of NULL notes nothing. */
void journal_set_phase(struct journal *j, enum journal_phase phase);
void journal_set_step(struct journal *j, int64_t step);
void journal_set_microbatch(struct journal *j, int64_t microbatch); /* -1: none */
/** Step, microbatch and times of `event` are filled in here. */
void journal_begin(struct journal *j, const struct journal_event *event);
/** Something that concerns no peer. */
void journal_begin_alone(struct journal *j, enum journal_kind kind, int64_t bytes);
void journal_end(struct journal *j);
/** Keep the events that end from now on; NULL: no longer. */
void journal_set_tape(struct journal *j, struct journal_tape *tape);

/** Readers' calls. */
int64_t journal_count(const struct journal *j); /* events begun so far */
enum journal_phase journal_phase(const struct journal *j);
double journal_idle_s(const struct journal *j, double now_s);
/** Event `number` (from 0). False if it is no longer there, not yet, or just being overwritten. */
bool journal_read(const struct journal *j, int64_t number, struct journal_event *event);

const char *journal_kind_name(enum journal_kind kind);    /* "forward" */
const char *journal_phase_name(enum journal_phase phase); /* "training" */
bool journal_kind_waits(enum journal_kind kind);

#endif
