/* All ranks in one file of Chrome's trace-event format ("Trace Event Format", Google, 2016): slices
 * are complete events (X), arrows are pairs of flow events (s, f), times are microseconds. */
#include "trace_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/json.h>

enum { LINE_BYTES = 1024 };

static const double US_PER_S = 1e6, NS_PER_S = 1e9, NS_PER_US = 1e3;

/** Whole nanoseconds, so that what does not overlap does not after rounding either. */
static int64_t ns(double seconds)
{
    return (int64_t)floor(seconds * NS_PER_S);
}

/** One end of a message between stages. */
struct message_end {
    int32_t sender, receiver, channel, chunk;
    int64_t step, microbatch;
    int64_t begin_ns, end_ns; /* of its slice */
};

/** Which message: the same at both ends. */
static int compare_keys(const struct message_end *a, const struct message_end *b)
{
    const int64_t x[] = {a->channel, a->sender, a->receiver, a->chunk, a->step, a->microbatch};
    const int64_t y[] = {b->channel, b->sender, b->receiver, b->chunk, b->step, b->microbatch};
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Messages of the same key (an evaluation's) are sent and received in the same order. */
static int compare(const void *a, const void *b)
{
    const struct message_end *x = a, *y = b;
    const int order = compare_keys(x, y);
    return order != 0 ? order : (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

/** Ends of all messages: sends from the front, receives from the back. */
struct messages {
    struct message_end *sends, *receives;
    int64_t n_sends, n_receives;
};

static bool collect(struct messages *m, const struct trace_set *set, struct error *err)
{
    int64_t n_sends = 0, n_receives = 0;
    for (int rank = 0; rank < set->n_ranks; rank++) {
        for (int64_t i = 0; i < set->ranks[rank].n_events; i++) {
            n_sends += set->ranks[rank].events[i].kind == JOURNAL_PACK;
            n_receives += set->ranks[rank].events[i].kind == JOURNAL_UNPACK;
        }
    }
    m->sends = calloc((size_t)(n_sends + n_receives + 1), sizeof *m->sends);
    if (m->sends == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to match %lld messages", (long long)n_sends);
    }
    m->receives = m->sends + n_sends;
    for (int rank = 0; rank < set->n_ranks; rank++) {
        for (int64_t i = 0; i < set->ranks[rank].n_events; i++) {
            const struct journal_event e = trace_event(set, rank, i);
            const bool sends = e.kind == JOURNAL_PACK;
            if (!sends && e.kind != JOURNAL_UNPACK) {
                continue;
            }
            struct message_end *end =
                sends ? &m->sends[m->n_sends++] : &m->receives[m->n_receives++];
            *end = (struct message_end){.sender = sends ? rank : e.peer,
                                        .receiver = sends ? e.peer : rank,
                                        .channel = e.channel,
                                        .chunk = e.chunk,
                                        .step = e.step,
                                        .microbatch = e.microbatch,
                                        .begin_ns = ns(e.begin_s),
                                        .end_ns = ns(e.end_s)};
        }
    }
    qsort(m->sends, (size_t)m->n_sends, sizeof *m->sends, compare);
    qsort(m->receives, (size_t)m->n_receives, sizeof *m->receives, compare);
    return true;
}

/** An event of the file, begun; the caller adds what it has more and ends it. */
static void begin_line(struct json_writer *w, char *line, const char *name, const char *phase,
                       int rank)
{
    json_writer_init(w, line, LINE_BYTES);
    json_begin_object(w, NULL);
    json_text(w, "name", name);
    json_text(w, "ph", phase);
    json_int(w, "pid", rank);
    json_int(w, "tid", 0);
}

static void end_line(struct file_sheet *sheet, struct json_writer *w)
{
    json_end_object(w);
    if (!json_writer_ok(w)) {
        sheet->ok = sheet->ok && error_set(sheet->err, ERROR_INTERNAL, "%s: an event is too long",
                                           sheet->file.path);
        return;
    }
    file_sheet_add_bytes(sheet, ",\n", 2);
    file_sheet_add_bytes(sheet, w->text, w->length);
}

static void write_name(struct file_sheet *sheet, const char *what, const char *name, int rank)
{
    char line[LINE_BYTES];
    struct json_writer w;
    begin_line(&w, line, what, "M", rank);
    json_begin_object(&w, "args");
    json_text(&w, "name", name);
    json_end_object(&w);
    end_line(sheet, &w);
}

static void write_place(struct file_sheet *sheet, int rank)
{
    char line[LINE_BYTES];
    struct json_writer w;
    begin_line(&w, line, "process_sort_index", "M", rank);
    json_begin_object(&w, "args");
    json_int(&w, "sort_index", rank);
    json_end_object(&w);
    end_line(sheet, &w);
}

static void write_times(struct json_writer *w, int64_t begin_ns, int64_t end_ns)
{
    json_number(w, "ts", (double)begin_ns / NS_PER_US);
    json_number(w, "dur", (double)(end_ns - begin_ns) / NS_PER_US);
}

static const char *category(enum journal_kind kind)
{
    switch (kind) {
    case JOURNAL_PACK:
    case JOURNAL_UNPACK:
        return "message";
    case JOURNAL_WAIT_TO_SEND:
    case JOURNAL_WAIT_TO_RECEIVE:
        return "wait";
    case JOURNAL_WRITE:
    case JOURNAL_FLUSH:
    case JOURNAL_READ_BACK:
        return "file";
    default:
        return "compute";
    }
}

static void write_event(struct file_sheet *sheet, const struct journal_event *e, int rank)
{
    char line[LINE_BYTES];
    struct json_writer w;
    begin_line(&w, line, journal_kind_name(e->kind), "X", rank);
    json_text(&w, "cat", category(e->kind));
    write_times(&w, ns(e->begin_s), ns(e->end_s));
    json_begin_object(&w, "args");
    json_int(&w, "step", e->step);
    if (e->microbatch >= 0) {
        json_int(&w, "microbatch", e->microbatch);
        json_int(&w, "chunk", e->chunk);
    }
    if (e->peer >= 0) {
        json_int(&w, "peer", e->peer);
        json_text(&w, "channel", transport_channel_name((enum transport_channel)e->channel));
    }
    if (e->bytes >= 0) {
        json_int(&w, "bytes", e->bytes);
    }
    json_end_object(&w);
    end_line(sheet, &w);
}

/** The slice around all that belongs to a step. */
static void write_step(struct file_sheet *sheet, const struct trace_set *set, int rank,
                       int64_t first, int64_t end)
{
    char line[LINE_BYTES], name[32];
    struct json_writer w;
    const int64_t step = set->ranks[rank].events[first].step;
    snprintf(name, sizeof name, "step %lld", (long long)step);
    begin_line(&w, line, name, "X", rank);
    json_text(&w, "cat", "step");
    write_times(&w, ns(trace_event(set, rank, first).begin_s),
                ns(trace_event(set, rank, end - 1).end_s));
    json_begin_object(&w, "args");
    json_int(&w, "step", step);
    json_end_object(&w);
    end_line(sheet, &w);
}

static void write_rank(struct file_sheet *sheet, const struct trace_set *set, int rank)
{
    const struct trace_rank *r = &set->ranks[rank];
    write_name(sheet, "process_name", r->name, rank);
    write_name(sheet, "thread_name", "training", rank);
    write_place(sheet, rank);
    for (int64_t first = 0, end = 0; first < r->n_events; first = end) {
        while (end < r->n_events && r->events[end].step == r->events[first].step) {
            end++;
        }
        write_step(sheet, set, rank, first, end);
        for (int64_t i = first; i < end; i++) {
            const struct journal_event e = trace_event(set, rank, i);
            write_event(sheet, &e, rank);
        }
    }
}

/** An arrow's end lies in the middle of its slice, which is the one it then belongs to. */
static void write_arrow_end(struct file_sheet *sheet, const struct message_end *m, bool sends,
                            int64_t id)
{
    char line[LINE_BYTES];
    struct json_writer w;
    begin_line(&w, line, transport_channel_name((enum transport_channel)m->channel),
               sends ? "s" : "f", sends ? m->sender : m->receiver);
    json_text(&w, "cat", "message");
    json_int(&w, "id", id);
    json_number(&w, "ts", (double)(m->begin_ns + (m->end_ns - m->begin_ns) / 2) / NS_PER_US);
    if (!sends) {
        json_text(&w, "bp", "e");
    }
    end_line(sheet, &w);
}

static void write_arrows(struct file_sheet *sheet, const struct messages *m,
                         struct trace_merged *merged)
{
    int64_t s = 0, r = 0;
    while (s < m->n_sends && r < m->n_receives) {
        const int order = compare_keys(&m->sends[s], &m->receives[r]);
        if (order == 0) {
            merged->n_messages++;
            merged->n_early += m->receives[r].end_ns < m->sends[s].begin_ns;
            write_arrow_end(sheet, &m->sends[s], true, merged->n_messages);
            write_arrow_end(sheet, &m->receives[r], false, merged->n_messages);
        }
        s += order <= 0;
        r += order >= 0;
    }
    merged->n_unmatched = m->n_sends + m->n_receives - 2 * merged->n_messages;
}

static void write_end(struct file_sheet *sheet, const struct trace_set *set,
                      const struct trace_merged *merged)
{
    char line[LINE_BYTES];
    struct json_writer w;
    json_writer_init(&w, line, sizeof line);
    json_begin_object(&w, NULL);
    json_text(&w, "clocks",
              "those of all ranks compared with rank 0's by messages there and back, in the "
              "beginning and at the end; times are rank 0's");
    json_number(&w, "clock_error_us", US_PER_S * merged->error_s);
    json_int(&w, "ranks", set->n_ranks);
    json_int(&w, "events", merged->n_events);
    json_int(&w, "messages", merged->n_messages);
    json_int(&w, "messages_without_other_end", merged->n_unmatched);
    json_int(&w, "messages_received_before_sent", merged->n_early);
    json_end_object(&w);
    file_sheet_add(sheet, "\n],\n\"displayTimeUnit\": \"ms\",\n\"otherData\": %s}\n", line);
}

bool trace_write_json(const struct trace_set *set, const char *path, struct trace_merged *merged,
                      struct error *err)
{
    struct file_sheet sheet;
    struct messages messages = {0};
    *merged = (struct trace_merged){0};
    if (!collect(&messages, set, err)) {
        return false;
    }
    if (!file_sheet_open(&sheet, path, err)) {
        free(messages.sends);
        return false;
    }
    file_sheet_add(&sheet, "{\"traceEvents\": [\n{\"name\": \"trace\", \"ph\": \"M\", \"pid\": 0}");
    for (int rank = 0; rank < set->n_ranks; rank++) {
        const struct trace_rank *r = &set->ranks[rank];
        merged->n_events += r->n_events;
        merged->error_s = fmax(merged->error_s, fmax(r->begin.error_s, r->end.error_s));
        write_rank(&sheet, set, rank);
    }
    write_arrows(&sheet, &messages, merged);
    write_end(&sheet, set, merged);
    free(messages.sends);
    return file_sheet_close(&sheet);
}
