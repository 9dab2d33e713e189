/* While a run is traced: clocks compared, events from tape to file. */
#include "trace_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <attnres/clock.h>

/** Messages there and back, of which the fastest counts. */
enum { ROUNDS = 32 };

/** Rank 0: how its clock and that of another rank compare. Theirs was read between the two moments
 * at which ours was. */
static struct trace_clock ask(struct transport *t, int rank, double (*now_s)(void))
{
    struct trace_clock best = {.error_s = INFINITY};
    for (int i = 0; i < ROUNDS; i++) {
        double their_s = 0.0;
        const double sent_s = now_s();
        transport_send(t, rank, CHANNEL_COLLECTIVE, &sent_s, sizeof sent_s);
        transport_receive(t, rank, CHANNEL_COLLECTIVE, &their_s, sizeof their_s);
        const double back_s = now_s();
        if (0.5 * (back_s - sent_s) < best.error_s) {
            best = (struct trace_clock){.at_s = their_s,
                                        .offset_s = 0.5 * (sent_s + back_s) - their_s,
                                        .error_s = 0.5 * (back_s - sent_s)};
        }
    }
    transport_send(t, rank, CHANNEL_COLLECTIVE, &best, sizeof best);
    return best;
}

static struct trace_clock answer(struct transport *t, double (*now_s)(void))
{
    struct trace_clock found;
    for (int i = 0; i < ROUNDS; i++) {
        double asked_s = 0.0;
        transport_receive(t, 0, CHANNEL_COLLECTIVE, &asked_s, sizeof asked_s);
        const double own_s = now_s();
        transport_send(t, 0, CHANNEL_COLLECTIVE, &own_s, sizeof own_s);
    }
    transport_receive(t, 0, CHANNEL_COLLECTIVE, &found, sizeof found);
    return found;
}

struct trace_clock trace_align(struct transport *t, double (*now_s)(void))
{
    if (transport_rank(t) != 0) {
        return answer(t, now_s);
    }
    for (int rank = 1; rank < transport_size(t); rank++) {
        ask(t, rank, now_s);
    }
    return (struct trace_clock){.at_s = now_s()};
}

bool trace_path(char *path, const char *folder, int rank, struct error *err)
{
    char name[32];
    snprintf(name, sizeof name, "rank-%04d.bin", rank);
    return file_join(path, folder, name, err);
}

static void put(struct trace *t, const void *bytes, size_t length)
{
    if (t->failure.kind == ERROR_NONE) {
        file_writer_write(&t->file, bytes, length, &t->failure);
    }
}

static void write_head(struct trace *t, const char *mark, const struct trace_clock *clock)
{
    struct trace_head head = {.rank = transport_rank(t->transport),
                              .n_ranks = transport_size(t->transport),
                              .clock = *clock,
                              .n_events = t->n_written};
    memcpy(head.mark, mark, sizeof head.mark);
    memcpy(head.name, t->name, sizeof head.name);
    put(t, &head, sizeof head);
}

static void empty_tape(void *user)
{
    struct trace *t = user;
    put(t, t->tape.events, (size_t)t->tape.count * sizeof *t->tape.events);
    t->n_written += t->tape.count;
    t->tape.count = 0;
}

bool trace_start(struct trace *t, const struct trace_options *options, struct transport *transport,
                 struct error *err)
{
    char path[FILE_PATH_BYTES];
    *t = (struct trace){.transport = transport,
                        .first_step = options->first_step,
                        .n_steps = options->n_steps,
                        .file = {.fd = -1}};
    snprintf(t->name, sizeof t->name, "%s", options->name);
    t->tape = (struct journal_tape){.events = options->events,
                                    .capacity = TRACE_TAPE_EVENTS,
                                    .when_full = empty_tape,
                                    .user = t};
    const struct trace_clock clock = trace_align(transport, clock_monotonic_s);
    if (!trace_path(path, options->folder, transport_rank(transport), err) ||
        !file_writer_create(&t->file, path, err)) {
        return false;
    }
    write_head(t, TRACE_BEGINS, &clock);
    return true;
}

/* Between steps a tape half full is emptied, so that it is seldom full within one. */
void trace_begin_step(struct trace *t, int64_t step)
{
    const bool is_traced = step >= t->first_step && step - t->first_step < t->n_steps;
    if (t->tape.count > (is_traced ? TRACE_TAPE_EVENTS / 2 : 0)) {
        empty_tape(t);
    }
    journal_set_tape(transport_journal(t->transport), is_traced ? &t->tape : NULL);
}

bool trace_finish(struct trace *t, struct error *err)
{
    journal_set_tape(transport_journal(t->transport), NULL);
    empty_tape(t);
    const struct trace_clock clock = trace_align(t->transport, clock_monotonic_s);
    write_head(t, TRACE_ENDS, &clock);
    const bool failed = t->failure.kind != ERROR_NONE;
    const bool ok = file_writer_close(&t->file, failed ? NULL : &t->failure) && !failed;
    if (!ok) {
        *err = t->failure;
    }
    return ok;
}
