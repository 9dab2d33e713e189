/* Ranks' files read back. Nothing in them is believed before it was looked at. */
#include "trace_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** What a clock may show or differ by: a century. */
static const double MOST_S = 3.2e9;
/** Clocks differ by some 1e-5; measured over a moment it looks like more. */
static const double MOST_DRIFT = 0.5;
static const int64_t MOST_STEP = (int64_t)1 << 53;

static bool is_time(double seconds)
{
    return isfinite(seconds) && fabs(seconds) < MOST_S;
}

static bool is_head(const struct trace_head *head, const char *mark, int rank, int n_ranks)
{
    const struct trace_clock *c = &head->clock;
    return memcmp(head->mark, mark, TRACE_MARK_BYTES) == 0 && head->rank == rank &&
           head->n_ranks == n_ranks && is_time(c->at_s) && is_time(c->offset_s) &&
           is_time(c->error_s) && c->error_s >= 0.0 &&
           memchr(head->name, 0, sizeof head->name) != NULL;
}

static bool is_event(const struct journal_event *e, double not_before_s, int n_ranks)
{
    return (unsigned)e->kind < JOURNAL_KINDS && e->peer >= -1 && e->peer < n_ranks &&
           e->channel >= 0 && e->channel < TRANSPORT_CHANNELS && e->chunk >= 0 &&
           e->chunk < TRANSPORT_MAX_CHUNKS && e->step >= 0 && e->step < MOST_STEP &&
           e->microbatch >= -1 && e->microbatch < MOST_STEP && e->bytes >= -1 &&
           is_time(e->begin_s) && is_time(e->end_s) && e->begin_s >= not_before_s &&
           e->end_s >= e->begin_s;
}

static bool check_events(const struct trace_rank *r, const char *path, int n_ranks,
                         struct error *err)
{
    double last_s = -MOST_S;
    int64_t last_step = 0;
    for (int64_t i = 0; i < r->n_events; i++) {
        if (!is_event(&r->events[i], last_s, n_ranks) || r->events[i].step < last_step) {
            return error_set(err, ERROR_DATA, "%s: event %lld is damaged", path, (long long)i);
        }
        last_s = r->events[i].end_s;
        last_step = r->events[i].step;
    }
    return true;
}

/** What rank 0's clock gains on this rank's, per second. */
static double drift_of(const struct trace_rank *r)
{
    const double apart_s = r->end.at_s - r->begin.at_s;
    return apart_s > 0.0 ? (r->end.offset_s - r->begin.offset_s) / apart_s : 0.0;
}

/** A moment of a rank's clock by that of rank 0: the difference is taken to change evenly. */
static double align(const struct trace_rank *r, double own_s)
{
    return own_s + r->begin.offset_s + drift_of(r) * (own_s - r->begin.at_s);
}

static bool load_rank(struct trace_rank *r, const char *folder, int rank, int n_ranks,
                      struct error *err)
{
    enum { HEAD = sizeof(struct trace_head) };
    char path[FILE_PATH_BYTES];
    struct trace_head head;
    if (!trace_path(path, folder, rank, err) || !file_map_init(&r->file, path, err)) {
        return false;
    }
    if (r->file.length < HEAD) {
        return error_set(err, ERROR_DATA, "%s: %zu bytes are no trace", path, r->file.length);
    }
    memcpy(&head, r->file.bytes, HEAD);
    if (!is_head(&head, TRACE_BEGINS, rank, n_ranks)) {
        return error_set(err, ERROR_DATA, "%s: not the trace of rank %d of %d", path, rank,
                         n_ranks);
    }
    memcpy(r->name, head.name, sizeof r->name);
    r->begin = r->end = head.clock;
    /* The map begins at a page and a head is a multiple of eight bytes. */
    r->events = (const void *)(r->file.bytes + HEAD);
    size_t bytes = r->file.length - HEAD;
    r->n_events = (int64_t)(bytes / sizeof *r->events);
    if (bytes >= HEAD) {
        memcpy(&head, r->file.bytes + r->file.length - HEAD, HEAD);
        bytes -= HEAD;
        if (is_head(&head, TRACE_ENDS, rank, n_ranks) && head.n_events >= 0 &&
            (uint64_t)head.n_events == bytes / sizeof *r->events) {
            r->end = head.clock;
            r->n_events = head.n_events;
        }
    }
    if (fabs(drift_of(r)) > MOST_DRIFT) {
        return error_set(err, ERROR_DATA, "%s: a clock that gains %g s a second", path,
                         drift_of(r));
    }
    return check_events(r, path, n_ranks, err);
}

bool trace_load(struct trace_set *set, const char *folder, int n_ranks, struct error *err)
{
    *set = (struct trace_set){.n_ranks = n_ranks,
                              .ranks = calloc((size_t)n_ranks, sizeof *set->ranks),
                              .zero_s = INFINITY};
    bool ok = set->ranks != NULL || error_set(err, ERROR_CREATE, "no memory to read a trace");
    for (int rank = 0; ok && rank < n_ranks; rank++) {
        struct trace_rank *r = &set->ranks[rank];
        ok = load_rank(r, folder, rank, n_ranks, err);
        if (ok && r->n_events > 0) {
            set->zero_s = fmin(set->zero_s, align(r, r->events[0].begin_s));
        }
    }
    if (!ok) {
        trace_unload(set);
    }
    return ok;
}

void trace_unload(struct trace_set *set)
{
    for (int rank = 0; set->ranks != NULL && rank < set->n_ranks; rank++) {
        file_map_finish(&set->ranks[rank].file);
    }
    free(set->ranks);
    *set = (struct trace_set){0};
}

struct journal_event trace_event(const struct trace_set *set, int rank, int64_t index)
{
    const struct trace_rank *r = &set->ranks[rank];
    struct journal_event e = r->events[index];
    e.begin_s = align(r, e.begin_s) - set->zero_s;
    e.end_s = align(r, e.end_s) - set->zero_s;
    return e;
}
