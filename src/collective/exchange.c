/* Sums onto owners and hand-outs from them, in chunks, while the caller computes.
 *
 * Between two ranks of the group goes a stream of chunks in each direction whose order both know:
 * in a sum those of the tensors that the receiver owns, in a hand-out those of the sender's, in the
 * order of the table. */
#include <attnres/collective.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/heap.h>
#include <attnres/wire.h>

enum exchange_mode { EXCHANGE_NONE, EXCHANGE_SUM, EXCHANGE_HAND_OUT };

/** A place in a stream. */
struct cursor {
    int64_t tensor; /* row of the table; the number of rows: at the end */
    int64_t at;     /* elements of the tensor before the chunk */
    int64_t n;      /* chunks before it */
};

/** What goes on with one other rank of the group. */
struct peer {
    int place;
    struct cursor sent;                 /* of a sum */
    struct cursor posted, taken;        /* receives */
    struct transport_request *out, *in; /* (depth) */
    unsigned char *out_frames, *in_frames;
};

struct collective_exchange {
    struct collective_exchange_spec spec;
    int place, n_peers;
    struct peer *peers;
    struct transport_request *requests; /* of all peers */
    struct transport_request **awaited; /* scratch: all of them */
    enum exchange_mode mode;
    int64_t round; /* sums and hand-outs begun; identifies messages */
    const struct collective_tensor *tensors;
    int64_t n_tensors, n_released;
    struct cursor current; /* sum: the chunk that is being added up; hand-out: that goes out next */
    int turn;              /* sum: the place whose part of it comes next */
    int next_peer;         /* sum: whose turn it is to be sent to */
    int64_t bytes_sent;
};

static struct wire_layout layout_of(int64_t count)
{
    return (struct wire_layout){.encoding = WIRE_F32, .n_plain = 1, .rows = 1, .cols = count};
}

size_t collective_frame_bytes(int64_t chunk_count)
{
    const struct wire_layout layout = layout_of(chunk_count);
    return wire_frame_bytes(&layout);
}

struct collective_exchange *collective_exchange_create(const struct collective_exchange_spec *spec)
{
    const int n_peers = spec->group.size - 1, depth = spec->depth;
    assert(n_peers >= 1 && depth >= 1 && spec->chunk_count >= 1);
    struct collective_exchange *x = heap_take(1, sizeof *x, "an exchange between ranks");
    *x = (struct collective_exchange){.spec = *spec, .n_peers = n_peers};
    x->place = (transport_rank(spec->transport) - spec->group.first) / spec->group.stride;
    x->peers = heap_take((size_t)n_peers, sizeof *x->peers, "an exchange between ranks");
    x->requests =
        heap_take(2 * (size_t)(n_peers * depth), sizeof *x->requests, "an exchange between ranks");
    x->awaited =
        heap_take(2 * (size_t)(n_peers * depth), sizeof *x->awaited, "an exchange between ranks");
    const size_t frames_bytes = (size_t)depth * collective_frame_bytes(spec->chunk_count);
    for (int i = 0; i < n_peers; i++) {
        x->peers[i] = (struct peer){.place = i < x->place ? i : i + 1,
                                    .out = &x->requests[2 * i * depth],
                                    .in = &x->requests[(2 * i + 1) * depth],
                                    .out_frames = spec->out + (size_t)i * frames_bytes,
                                    .in_frames = spec->in + (size_t)i * frames_bytes};
    }
    return x;
}

void collective_exchange_destroy(struct collective_exchange *x)
{
    if (x == NULL) {
        return;
    }
    free(x->peers);
    free(x->requests);
    free(x->awaited);
    free(x);
}

static bool is_at_end(const struct collective_exchange *x, const struct cursor *c)
{
    return c->tensor == x->n_tensors;
}

/** On to the first of the owner's tensors that is not before the cursor. */
static void find_owned(const struct collective_exchange *x, struct cursor *c, int owner)
{
    while (c->tensor < x->n_tensors && x->tensors[c->tensor].owner != owner) {
        c->tensor++;
    }
}

static struct cursor start_of(const struct collective_exchange *x, int owner)
{
    struct cursor c = {0};
    find_owned(x, &c, owner);
    return c;
}

static int64_t count_at(const struct collective_exchange *x, const struct cursor *c)
{
    const int64_t left = x->tensors[c->tensor].count - c->at;
    return left < x->spec.chunk_count ? left : x->spec.chunk_count;
}

static float *values_at(const struct collective_exchange *x, const struct cursor *c)
{
    return x->tensors[c->tensor].values + c->at;
}

static void step(const struct collective_exchange *x, struct cursor *c)
{
    const struct collective_tensor *tensor = &x->tensors[c->tensor];
    c->at += count_at(x, c);
    c->n++;
    if (c->at == tensor->count) {
        c->tensor++;
        c->at = 0;
        find_owned(x, c, tensor->owner);
    }
}

static int rank_of(const struct collective_exchange *x, int place)
{
    return x->spec.group.first + place * x->spec.group.stride;
}

static int slot_of(const struct collective_exchange *x, const struct cursor *c)
{
    return (int)(c->n % x->spec.depth);
}

static unsigned char *frame_of(const struct collective_exchange *x, unsigned char *frames, int slot)
{
    return frames + (size_t)slot * collective_frame_bytes(x->spec.chunk_count);
}

static struct wire_label label_of(const struct collective_exchange *x, const struct cursor *c,
                                  int sender)
{
    return (struct wire_label){.step = x->round,
                               .microbatch = (int32_t)c->n,
                               .stage = sender,
                               .direction = x->mode == EXCHANGE_SUM ? WIRE_SUMS : WIRE_WEIGHTS};
}

/** Post receives of the peer's stream as far ahead as there are frames. */
static void post_receives(struct collective_exchange *x, struct peer *peer)
{
    while (!is_at_end(x, &peer->posted) && peer->posted.n < peer->taken.n + x->spec.depth) {
        const int slot = slot_of(x, &peer->posted);
        transport_post_receive(x->spec.transport, rank_of(x, peer->place), CHANNEL_REPLICAS, 0,
                               frame_of(x, peer->in_frames, slot),
                               collective_frame_bytes(count_at(x, &peer->posted)), &peer->in[slot]);
        step(x, &peer->posted);
    }
}

static void pack(const struct collective_exchange *x, unsigned char *frame, const struct cursor *c)
{
    const struct wire_label label = label_of(x, c, x->place);
    const struct wire_layout layout = layout_of(count_at(x, c));
    wire_pack(frame, &label, &layout, (const float *const[]){values_at(x, c)}, NULL);
}

static void post_send(struct collective_exchange *x, struct peer *peer, const unsigned char *frame,
                      const struct cursor *c)
{
    const size_t bytes = collective_frame_bytes(count_at(x, c));
    transport_post_send(x->spec.transport, rank_of(x, peer->place), CHANNEL_REPLICAS, 0, frame,
                        bytes, &peer->out[slot_of(x, c)]);
    x->bytes_sent += (int64_t)bytes;
}

/** Take the next message of a peer, if it is there, into `out`. */
static bool receive(struct collective_exchange *x, struct peer *peer, float *out)
{
    struct cursor *c = &peer->taken;
    const int slot = slot_of(x, c);
    if (!transport_test(x->spec.transport, &peer->in[slot])) {
        return false;
    }
    const struct wire_label label = label_of(x, c, peer->place);
    const struct wire_layout layout = layout_of(count_at(x, c));
    struct error err = {0};
    if (!wire_unpack((float *const[]){out}, NULL, frame_of(x, peer->in_frames, slot),
                     peer->in[slot].length, &label, &layout, &err)) {
        char message[sizeof err.message + 64];
        snprintf(message, sizeof message, "damaged message from rank %d to rank %d: %s",
                 rank_of(x, peer->place), rank_of(x, x->place), err.message);
        transport_abort(x->spec.transport, ERROR_LAUNCH, message);
    }
    step(x, c);
    post_receives(x, peer);
    return true;
}

static struct peer *peer_at(const struct collective_exchange *x, int place)
{
    return &x->peers[place < x->place ? place : place - 1];
}

static void begin(struct collective_exchange *x, enum exchange_mode mode,
                  const struct collective_tensor *tensors, int64_t n)
{
    assert(x->mode == EXCHANGE_NONE && "the one before is done");
    x->mode = mode;
    x->round++;
    x->tensors = tensors;
    x->n_tensors = n;
    x->n_released = 0;
    x->turn = 0;
    x->current = start_of(x, x->place);
    x->next_peer = x->place % x->n_peers; /* not all to the same one at first */
    for (int i = 0; i < x->n_peers; i++) {
        struct peer *peer = &x->peers[i];
        peer->sent = start_of(x, peer->place);
        peer->taken = start_of(x, mode == EXCHANGE_SUM ? x->place : peer->place);
        peer->posted = peer->taken;
        post_receives(x, peer);
    }
}

void collective_begin_sum(struct collective_exchange *x, const struct collective_tensor *tensors,
                          int64_t n)
{
    begin(x, EXCHANGE_SUM, tensors, n);
}

void collective_begin_hand_out(struct collective_exchange *x,
                               const struct collective_tensor *tensors, int64_t n)
{
    begin(x, EXCHANGE_HAND_OUT, tensors, n);
}

void collective_release(struct collective_exchange *x, int64_t n)
{
    x->n_released += n;
    assert(x->mode != EXCHANGE_NONE && x->n_released <= x->n_tensors);
}

int64_t collective_count_unreleased(const struct collective_exchange *x)
{
    return x->n_tensors - x->n_released;
}

/** Sum: the next chunk of what a peer owns, if it is ready and a frame is free. */
static bool send_part(struct collective_exchange *x, struct peer *peer)
{
    struct cursor *c = &peer->sent;
    const int slot = slot_of(x, c);
    if (c->tensor >= x->n_released || !transport_test(x->spec.transport, &peer->out[slot])) {
        return false;
    }
    unsigned char *frame = frame_of(x, peer->out_frames, slot);
    pack(x, frame, c);
    post_send(x, peer, frame, c);
    step(x, c);
    return true;
}

static bool send_some_part(struct collective_exchange *x)
{
    for (int i = 0; i < x->n_peers; i++) {
        const int at = (x->next_peer + i) % x->n_peers;
        if (send_part(x, &x->peers[at])) {
            x->next_peer = (at + 1) % x->n_peers;
            return true;
        }
    }
    return false;
}

/** Sum: the part of place `turn` of the current chunk. Parts before the owner's gather in scratch,
 * since the owner's own stands where the sum will. */
static bool add_part(struct collective_exchange *x)
{
    if (is_at_end(x, &x->current)) {
        return false;
    }
    const int64_t count = count_at(x, &x->current);
    float *own = values_at(x, &x->current);
    float *sum = x->spec.scratch, *part = sum + x->spec.chunk_count;
    if (x->turn == x->place) {
        if (x->current.tensor >= x->n_released) {
            return false;
        }
        if (x->place > 0) {
            x->spec.add(own, sum, own, count);
        }
    } else {
        if (!receive(x, peer_at(x, x->turn), x->turn == 0 ? sum : part)) {
            return false;
        }
        float *to = x->turn < x->place ? sum : own;
        if (x->turn > 0) {
            x->spec.add(to, to, part, count);
        }
    }
    if (++x->turn == x->spec.group.size) {
        x->turn = 0;
        step(x, &x->current);
    }
    return true;
}

/** Hand-out: the next chunk of what this rank owns, to all peers from the first one's frames. */
static bool send_to_all(struct collective_exchange *x)
{
    const struct cursor *c = &x->current;
    bool is_free = c->tensor < x->n_released;
    for (int i = 0; i < x->n_peers && is_free; i++) {
        is_free = transport_test(x->spec.transport, &x->peers[i].out[slot_of(x, c)]);
    }
    if (!is_free) {
        return false;
    }
    unsigned char *frame = frame_of(x, x->peers[0].out_frames, slot_of(x, c));
    pack(x, frame, c);
    for (int i = 0; i < x->n_peers; i++) {
        post_send(x, &x->peers[i], frame, c);
    }
    step(x, &x->current);
    return true;
}

static bool take_from_each(struct collective_exchange *x)
{
    bool took = false;
    for (int i = 0; i < x->n_peers; i++) {
        struct peer *peer = &x->peers[i];
        took =
            (!is_at_end(x, &peer->taken) && receive(x, peer, values_at(x, &peer->taken))) || took;
    }
    return took;
}

bool collective_advance(struct collective_exchange *x)
{
    bool sent = false, took = false;
    switch (x->mode) {
    case EXCHANGE_SUM:
        sent = send_some_part(x);
        took = add_part(x);
        break;
    case EXCHANGE_HAND_OUT:
        sent = send_to_all(x);
        took = take_from_each(x);
        break;
    case EXCHANGE_NONE:
        break;
    }
    return sent || took;
}

bool collective_is_done(struct collective_exchange *x)
{
    if (x->mode == EXCHANGE_NONE) {
        return true;
    }
    bool done = is_at_end(x, &x->current) && x->n_released == x->n_tensors;
    for (int i = 0; i < x->n_peers && done; i++) {
        struct peer *peer = &x->peers[i];
        done = is_at_end(x, x->mode == EXCHANGE_SUM ? &peer->sent : &peer->taken);
        for (int slot = 0; slot < x->spec.depth; slot++) {
            done = transport_test(x->spec.transport, &peer->out[slot]) && done;
        }
    }
    x->mode = done ? EXCHANGE_NONE : x->mode;
    return done;
}

int collective_list_requests(struct collective_exchange *x,
                             struct transport_request *const **requests)
{
    int n = 0;
    if (x->mode == EXCHANGE_SUM && x->turn != x->place && !is_at_end(x, &x->current)) {
        struct peer *peer = peer_at(x, x->turn);
        x->awaited[n++] = &peer->in[slot_of(x, &peer->taken)];
    }
    for (int i = 0; i < 2 * x->n_peers * x->spec.depth; i++) {
        if (x->requests[i].index != 0 && (n == 0 || x->awaited[0] != &x->requests[i])) {
            x->awaited[n++] = &x->requests[i];
        }
    }
    *requests = x->awaited;
    return n;
}

int64_t collective_take_bytes(struct collective_exchange *x)
{
    const int64_t bytes = x->bytes_sent;
    x->bytes_sent = 0;
    return bytes;
}
