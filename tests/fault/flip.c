#include "flip.h"

#include <assert.h>
#include <stddef.h>

#include <attnres/transport.h>

/** A receive that is posted: whose bytes come to lie where. */
struct receive {
    const struct transport_request *request; /* NULL: a free place */
    enum transport_channel channel;
    unsigned char *bytes;
};

enum { MOST_RECEIVES = 1024 }; /* at a time, of the small runs that are flipped */

static struct flip armed = {.rank = -1, .message = -1};
/** By rank, each its own thread's. */
static struct {
    struct receive receives[MOST_RECEIVES];
    int64_t n_received;
} ranks[FLIP_MAX_RANKS];

void flip_arm(const struct flip *flip)
{
    armed = *flip;
}

int64_t flip_count(int rank)
{
    return ranks[rank].n_received;
}

static struct receive *find(int rank, const struct transport_request *request)
{
    for (int i = 0; i < MOST_RECEIVES; i++) {
        if (ranks[rank].receives[i].request == request) {
            return &ranks[rank].receives[i];
        }
    }
    return NULL;
}

/** The request is done: if it was a receive, its message has come. */
static void arrive(int rank, const struct transport_request *request)
{
    struct receive *r = find(rank, request);
    if (r == NULL) {
        return;
    }
    r->request = NULL;
    if (armed.channel >= 0 && (int)r->channel != armed.channel) {
        return;
    }
    const int64_t message = ranks[rank].n_received++;
    if (rank == armed.rank && message == armed.message && request->length > 0) {
        const uint64_t bit = armed.bit % (8 * (uint64_t)request->length);
        r->bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        if (armed.hit != NULL) {
            armed.hit();
        }
    }
}

void __real_transport_post_receive(struct transport *t, int peer, enum transport_channel channel,
                                   int chunk, void *bytes, size_t capacity,
                                   struct transport_request *request);
bool __real_transport_test(struct transport *t, struct transport_request *request);
void __real_transport_wait(struct transport *t, struct transport_request *request);
void __wrap_transport_post_receive(struct transport *t, int peer, enum transport_channel channel,
                                   int chunk, void *bytes, size_t capacity,
                                   struct transport_request *request);
bool __wrap_transport_test(struct transport *t, struct transport_request *request);
void __wrap_transport_wait(struct transport *t, struct transport_request *request);

void __wrap_transport_post_receive(struct transport *t, int peer, enum transport_channel channel,
                                   int chunk, void *bytes, size_t capacity,
                                   struct transport_request *request)
{
    const int rank = transport_rank(t);
    struct receive *place = find(rank, NULL);
    assert(rank < FLIP_MAX_RANKS && place != NULL);
    *place = (struct receive){request, channel, bytes};
    __real_transport_post_receive(t, peer, channel, chunk, bytes, capacity, request);
}

bool __wrap_transport_test(struct transport *t, struct transport_request *request)
{
    const bool is_done = __real_transport_test(t, request);
    if (is_done) {
        arrive(transport_rank(t), request);
    }
    return is_done;
}

void __wrap_transport_wait(struct transport *t, struct transport_request *request)
{
    __real_transport_wait(t, request);
    arrive(transport_rank(t), request);
}
