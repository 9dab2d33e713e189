#include <attnres/transport.h>

#include <assert.h>
#include <stdio.h>

#include <attnres/clock.h>

#include "transport_internal.h"

void transport_init(struct transport *t, const struct transport_operations *operations, int rank,
                    int size)
{
    t->operations = operations;
    t->rank = rank;
    t->size = size;
    t->habits = (struct transport_habits){0};
    t->deadline_s = 0;
    t->journal = NULL;
    t->first_free = -1;
    t->n_touched = 0;
}

int transport_rank(const struct transport *t)
{
    return t->rank;
}

int transport_size(const struct transport *t)
{
    return t->size;
}

const char *transport_name(const struct transport *t)
{
    return t->name;
}

struct transport_habits transport_habits(const struct transport *t)
{
    return t->habits;
}

void transport_set_deadline(struct transport *t, double seconds)
{
    t->deadline_s = seconds;
}

void transport_set_journal(struct transport *t, struct journal *journal)
{
    t->journal = journal;
}

struct journal *transport_journal(const struct transport *t)
{
    return t->journal;
}

const char *transport_channel_name(enum transport_channel channel)
{
    static const char *const names[TRANSPORT_CHANNELS] = {
        [CHANNEL_VALUES] = "values",         [CHANNEL_GRADIENTS] = "gradients",
        [CHANNEL_COLLECTIVE] = "collective", [CHANNEL_TIED_HEAD] = "tied head",
        [CHANNEL_REPLICAS] = "replicas",
    };
    assert(channel >= 0 && channel < TRANSPORT_CHANNELS);
    return names[channel];
}

static int take_slot(struct transport *t)
{
    if (t->first_free < 0) {
        assert(t->n_touched < TRANSPORT_MAX_REQUESTS && "more requests at a time than that");
        return t->n_touched++;
    }
    const int slot = t->first_free;
    t->first_free = t->slots[slot].next;
    return slot;
}

static void post(struct transport *t, const struct transport_slot *filled,
                 struct transport_request *request)
{
    assert(filled->peer >= 0 && filled->peer < t->size);
    assert(filled->channel >= 0 && filled->channel < TRANSPORT_CHANNELS);
    assert(filled->chunk >= 0 && filled->chunk < TRANSPORT_MAX_CHUNKS);
    assert(filled->length <= filled->capacity);
    const int slot = take_slot(t);
    t->slots[slot] = *filled;
    t->slots[slot].next = -1;
    request->index = slot + 1;
    t->operations->post(t, slot);
}

void transport_post_send_within(struct transport *t, int peer, enum transport_channel channel,
                                int chunk, const void *bytes, size_t length, size_t capacity,
                                struct transport_request *request)
{
    const struct transport_slot slot = {.is_send = true,
                                        .peer = peer,
                                        .channel = channel,
                                        .chunk = chunk,
                                        .source = bytes,
                                        .length = length,
                                        .capacity = capacity};
    post(t, &slot, request);
}

void transport_post_send(struct transport *t, int peer, enum transport_channel channel, int chunk,
                         const void *bytes, size_t length, struct transport_request *request)
{
    transport_post_send_within(t, peer, channel, chunk, bytes, length, length, request);
}

void transport_post_receive(struct transport *t, int peer, enum transport_channel channel,
                            int chunk, void *bytes, size_t capacity,
                            struct transport_request *request)
{
    const struct transport_slot slot = {
        .peer = peer, .channel = channel, .chunk = chunk, .target = bytes, .capacity = capacity};
    post(t, &slot, request);
}

static void release(struct transport *t, struct transport_request *request)
{
    const int slot = request->index - 1;
    t->slots[slot].next = t->first_free;
    t->first_free = slot;
    request->index = 0;
    request->length = t->slots[slot].length;
}

bool transport_test(struct transport *t, struct transport_request *request)
{
    if (request->index == 0) {
        return true;
    }
    if (!t->operations->test(t, request->index - 1)) {
        return false;
    }
    release(t, request);
    return true;
}

static void abort_late(struct transport *t, int slot, double waited_s)
{
    const struct transport_slot *s = &t->slots[slot];
    char message[256];
    snprintf(message, sizeof message,
             "stalled: waited %.1f s (the limit is %g) for rank %d to %s %zu bytes on channel "
             "%s, chunk %d",
             waited_s, t->deadline_s, s->peer, s->is_send ? "take" : "send", s->capacity,
             transport_channel_name(s->channel), s->chunk);
    transport_abort(t, ERROR_LAUNCH, message);
}

static void note_wait(struct transport *t, int slot)
{
    const struct transport_slot *s = &t->slots[slot];
    const struct journal_event event = {.kind = s->is_send ? JOURNAL_WAIT_TO_SEND
                                                           : JOURNAL_WAIT_TO_RECEIVE,
                                        .peer = s->peer,
                                        .channel = (int32_t)s->channel,
                                        .chunk = s->chunk,
                                        .bytes = (int64_t)s->capacity};
    journal_begin(t->journal, &event);
}

void transport_wait(struct transport *t, struct transport_request *request)
{
    if (transport_test(t, request)) {
        return;
    }
    const int slot = request->index - 1;
    const double start_s = clock_monotonic_s();
    note_wait(t, slot);
    while (!t->operations->await(t, slot)) {
        const double waited_s = clock_monotonic_s() - start_s;
        if (t->deadline_s > 0 && waited_s > t->deadline_s) {
            abort_late(t, slot, waited_s);
        }
    }
    journal_end(t->journal);
    release(t, request);
}

/** Whether one of the posted requests is done. */
static bool test_any(struct transport *t, struct transport_request *const *requests, int n)
{
    bool any = false;
    for (int i = 0; i < n && !any; i++) {
        any = requests[i]->index != 0 && transport_test(t, requests[i]);
    }
    return any;
}

void transport_wait_any(struct transport *t, struct transport_request *const *requests, int n)
{
    int first = 0;
    while (first < n && requests[first]->index == 0) {
        first++;
    }
    assert(first < n && "something is posted");
    if (test_any(t, requests, n)) {
        return;
    }
    const int slot = requests[first]->index - 1;
    const double start_s = clock_monotonic_s();
    note_wait(t, slot);
    while (!test_any(t, requests, n)) {
        if (t->operations->await(t, slot)) {
            release(t, requests[first]);
            break;
        }
        const double waited_s = clock_monotonic_s() - start_s;
        if (t->deadline_s > 0 && waited_s > t->deadline_s) {
            abort_late(t, slot, waited_s);
        }
    }
    journal_end(t->journal);
}

void transport_abort(struct transport *t, int exit_code, const char *message)
{
    t->operations->abort(t, exit_code, message);
}

void transport_leave(struct transport *t, int exit_code, const char *message)
{
    t->operations->leave(t, exit_code, message);
}

/* The binomial tree over ranks counted from the root: the parent of place p is p without its lowest
 * set bit; the children are p plus each lower power of two. */
static int lowest_bit_or_size(int place, int size)
{
    int bit = 1;
    while (bit < size && (place & bit) == 0) {
        bit *= 2;
    }
    return bit;
}

void transport_broadcast(struct transport *t, int root, void *bytes, size_t length)
{
    assert(root >= 0 && root < t->size);
    const int place = (t->rank - root + t->size) % t->size;
    const int bit = lowest_bit_or_size(place, t->size);
    if (place != 0) {
        transport_receive(t, (place - bit + root) % t->size, CHANNEL_COLLECTIVE, bytes, length);
    }
    for (int child = bit / 2; child > 0; child /= 2) {
        if (place + child < t->size) {
            transport_send(t, (place + child + root) % t->size, CHANNEL_COLLECTIVE, bytes, length);
        }
    }
}

bool transport_all_true(struct transport *t, bool ok)
{
    const int bit = lowest_bit_or_size(t->rank, t->size);
    unsigned char all = ok, theirs = 0;
    for (int child = 1; child < bit; child *= 2) {
        if (t->rank + child < t->size) {
            transport_receive(t, t->rank + child, CHANNEL_COLLECTIVE, &theirs, 1);
            all = all && theirs;
        }
    }
    if (t->rank != 0) {
        transport_send(t, t->rank - bit, CHANNEL_COLLECTIVE, &all, 1);
    }
    transport_broadcast(t, 0, &all, 1);
    return all != 0;
}

void transport_barrier(struct transport *t)
{
    transport_all_true(t, true);
}
