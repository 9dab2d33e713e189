/* A rank's answer: its state in a line for the judge, then its last events for people. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <attnres/clock.h>
#include <attnres/file.h>

#include "watch_internal.h"

struct watch_state watch_state_of(const struct journal *journal, double now_s, double limit_s)
{
    struct watch_state s = {.answered = true,
                            .idle_s = journal_idle_s(journal, now_s),
                            .limit_s = limit_s,
                            .phase = journal_phase(journal),
                            .event = {.peer = -1, .microbatch = -1, .bytes = -1}};
    /* The writer may be at work on the newest event: then the rank gets on, and its event before
     * does as well. */
    const int64_t count = journal_count(journal);
    if (journal_read(journal, count - 1, &s.event) || journal_read(journal, count - 2, &s.event)) {
        s.is_busy = s.event.end_s == 0.0;
    }
    return s;
}

size_t watch_format(char *line, size_t capacity, const struct watch_state *s)
{
    const struct journal_event *e = &s->event;
    const int n = snprintf(line, capacity,
                           "attnres-stall 1 idle_s %.6f limit_s %.6f phase %d busy %d kind %d peer "
                           "%d channel %d chunk %d step %" PRId64 " microbatch %" PRId64
                           " bytes %" PRId64 " end\n",
                           s->idle_s, s->limit_s, (int)s->phase, (int)s->is_busy, (int)e->kind,
                           e->peer, e->channel, e->chunk, e->step, e->microbatch, e->bytes);
    return n > 0 && (size_t)n < capacity ? (size_t)n : 0;
}

static bool is_within(int64_t value, int64_t least, int64_t end)
{
    return value >= least && value < end;
}

bool watch_parse(struct watch_state *state, const char *text, int n_ranks)
{
    struct watch_state s = {.answered = true};
    struct journal_event *e = &s.event;
    int phase = 0, busy = 0, kind = 0, length = 0;
    const int n = sscanf(text,
                         "attnres-stall 1 idle_s %24lf limit_s %24lf phase %5d busy %5d kind %5d "
                         "peer %9d channel %5d chunk %9d step %18" SCNd64 " microbatch %18" SCNd64
                         " bytes %18" SCNd64 " end%n",
                         &s.idle_s, &s.limit_s, &phase, &busy, &kind, &e->peer, &e->channel,
                         &e->chunk, &e->step, &e->microbatch, &e->bytes, &length);
    if (n != 11 || length == 0 || text[length] != '\n' || !isfinite(s.idle_s) ||
        !isfinite(s.limit_s) || !is_within(phase, 0, JOURNAL_PHASES) || !is_within(busy, 0, 2) ||
        !is_within(kind, 0, JOURNAL_KINDS) || !is_within(e->peer, -1, n_ranks) ||
        !is_within(e->channel, 0, TRANSPORT_CHANNELS)) {
        return false;
    }
    s.phase = (enum journal_phase)phase;
    s.is_busy = busy != 0;
    e->kind = (enum journal_kind)kind;
    *state = s;
    return true;
}

/** Lines gathered into few writes. */
struct lines {
    struct file_writer file;
    size_t length;
    char text[8192];
};

enum { LINE_BYTES = 512 };

static bool flush(struct lines *l, struct error *err)
{
    const bool ok = l->length == 0 || file_writer_write(&l->file, l->text, l->length, err);
    l->length = 0;
    return ok;
}

/** Room for one more line. */
static char *begin_line(struct lines *l, struct error *err)
{
    return sizeof l->text - l->length >= LINE_BYTES || flush(l, err) ? l->text + l->length : NULL;
}

static void end_line(struct lines *l, int length)
{
    l->length += length < 0 ? 0 : (size_t)(length < LINE_BYTES ? length : LINE_BYTES - 1);
}

static bool write_head(struct lines *l, const struct watch_state *state, int rank, int64_t n_events,
                       struct error *err)
{
    char host[64] = "", time[21], said[256];
    gethostname(host, sizeof host - 1);
    clock_format_utc(clock_wall_s(), time);
    watch_describe(said, sizeof said, state);
    char *line = begin_line(l, err);
    if (line == NULL) {
        return false;
    }
    end_line(l, (int)watch_format(line, LINE_BYTES, state));
    line = begin_line(l, err);
    if (line == NULL) {
        return false;
    }
    end_line(l, snprintf(line, LINE_BYTES, "rank %d on %s, %s: %s\n", rank, host, time,
                         n_events > 0 ? said : "nothing noted yet"));
    line = begin_line(l, err);
    if (line == NULL) {
        return false;
    }
    end_line(l, snprintf(line, LINE_BYTES,
                         "The last of %" PRId64 " events, times in seconds before this was "
                         "written; an event without end is under way.\n"
                         "%14s %14s  %-15s %5s  %-11s %5s %9s %10s %12s\n",
                         n_events, "begin", "end", "what", "peer", "channel", "chunk", "step",
                         "microbatch", "bytes"));
    return true;
}

static void format_count(char text[24], int64_t value)
{
    if (value < 0) {
        snprintf(text, 24, "-");
    } else {
        snprintf(text, 24, "%" PRId64, value);
    }
}

static int format_event(char *line, const struct journal_event *e, double now_s)
{
    char end[24] = "-", peer[24], microbatch[24], bytes[24];
    if (e->end_s > 0.0) {
        snprintf(end, sizeof end, "%.6f", now_s - e->end_s);
    }
    format_count(peer, e->peer);
    format_count(microbatch, e->microbatch);
    format_count(bytes, e->bytes);
    return snprintf(line, LINE_BYTES, "%14.6f %14s  %-15s %5s  %-11s %5d %9" PRId64 " %10s %12s\n",
                    now_s - e->begin_s, end, journal_kind_name(e->kind), peer,
                    e->peer < 0 ? "-" : transport_channel_name((enum transport_channel)e->channel),
                    e->chunk, e->step, microbatch, bytes);
}

static bool write_events(struct lines *l, const struct journal *journal, double now_s,
                         struct error *err)
{
    const int64_t count = journal_count(journal);
    for (int64_t i = count > JOURNAL_EVENTS ? count - JOURNAL_EVENTS : 0; i < count; i++) {
        struct journal_event e;
        if (!journal_read(journal, i, &e)) {
            continue;
        }
        char *line = begin_line(l, err);
        if (line == NULL) {
            return false;
        }
        end_line(l, format_event(line, &e, now_s));
    }
    return flush(l, err);
}

bool watch_dump(const char *path, const struct journal *journal, const struct watch_state *state,
                int rank, double now_s, struct error *err)
{
    char partial[FILE_PATH_BYTES];
    struct lines l = {.file = {.fd = -1}};
    const int length = snprintf(partial, sizeof partial, "%s.partial", path);
    if (length < 0 || (size_t)length >= sizeof partial) {
        return error_set(err, ERROR_CREATE, "%.60s...: path too long", path);
    }
    if (!file_writer_create(&l.file, partial, err)) {
        return false;
    }
    bool ok = write_head(&l, state, rank, journal_count(journal), err) &&
              write_events(&l, journal, now_s, err);
    ok = file_writer_close(&l.file, ok ? err : NULL) && ok;
    ok = ok && file_rename(partial, path, err);
    if (!ok) {
        file_remove(partial, NULL);
    }
    return ok;
}
