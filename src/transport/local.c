/* Ranks of one process. A send is matched with a receive under one lock and its bytes are copied
 * there and then by whoever posted second: a rendezvous, so what would deadlock with synchronous
 * sends deadlocks here too. */
#include <attnres/transport.h>

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <attnres/clock.h>

#include "transport_internal.h"

/* How long a waiting thread sleeps before it looks at its deadline again. */
static const double PATIENCE_S = 0.1;

struct local_rank {
    struct transport base;
    struct transport_world *world;
    int first_unmatched, last_unmatched; /* slots in the order of posting */
};

struct transport_world {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* some slot is done, or the world aborted */
    int size;
    bool is_aborted;
    char message[1024];
    struct local_rank ranks[];
};

static struct local_rank *local(struct transport *t)
{
    return (struct local_rank *)t; /* base is the first member */
}

/* Takes the lock; ends the thread if the world has been aborted meanwhile. */
static void enter(struct transport_world *world)
{
    pthread_mutex_lock(&world->mutex);
    if (world->is_aborted) {
        pthread_mutex_unlock(&world->mutex);
        pthread_exit(NULL);
    }
}

static bool is_match(const struct transport_slot *a, const struct transport_slot *b, int rank_of_a)
{
    return b->peer == rank_of_a && b->is_send != a->is_send && b->channel == a->channel &&
           b->chunk == a->chunk;
}

/* Removes and returns the peer's first unmatched slot that fits; NULL if there is none. */
static struct transport_slot *take_match(struct local_rank *peer, const struct transport_slot *slot,
                                         int rank)
{
    int before = -1;
    for (int i = peer->first_unmatched; i >= 0; before = i, i = peer->base.slots[i].next) {
        struct transport_slot *candidate = &peer->base.slots[i];
        if (!is_match(slot, candidate, rank)) {
            continue;
        }
        if (before < 0) {
            peer->first_unmatched = candidate->next;
        } else {
            peer->base.slots[before].next = candidate->next;
        }
        if (peer->last_unmatched == i) {
            peer->last_unmatched = before;
        }
        return candidate;
    }
    return NULL;
}

static void append_unmatched(struct local_rank *rank, int slot)
{
    if (rank->first_unmatched < 0) {
        rank->first_unmatched = slot;
    } else {
        rank->base.slots[rank->last_unmatched].next = slot;
    }
    rank->last_unmatched = slot;
}

static void deliver(const struct transport_slot *send, struct transport_slot *receive)
{
    assert(send->capacity == receive->capacity && "both sides know a message's capacity");
    if (send->length > 0) {
        memcpy(receive->target, send->source, send->length);
    }
    receive->length = send->length;
}

static void local_post(struct transport *t, int index)
{
    struct local_rank *self = local(t);
    struct transport_world *world = self->world;
    struct transport_slot *slot = &t->slots[index];
    enter(world);
    struct transport_slot *match = take_match(&world->ranks[slot->peer], slot, t->rank);
    if (match == NULL) {
        append_unmatched(self, index);
    } else {
        deliver(slot->is_send ? slot : match, slot->is_send ? match : slot);
        slot->is_done = match->is_done = true;
        pthread_cond_broadcast(&world->changed);
    }
    pthread_mutex_unlock(&world->mutex);
}

static bool local_test(struct transport *t, int slot)
{
    struct transport_world *world = local(t)->world;
    enter(world);
    const bool done = t->slots[slot].is_done;
    pthread_mutex_unlock(&world->mutex);
    return done;
}

static bool local_await(struct transport *t, int slot)
{
    struct transport_world *world = local(t)->world;
    const double until_s = clock_monotonic_s() + PATIENCE_S;
    const struct timespec until = {.tv_sec = (time_t)until_s,
                                   .tv_nsec = (long)((until_s - (double)(time_t)until_s) * 1e9)};
    enter(world);
    if (!t->slots[slot].is_done && !world->is_aborted) {
        pthread_cond_timedwait(&world->changed, &world->mutex, &until);
    }
    const bool done = t->slots[slot].is_done, aborted = world->is_aborted;
    pthread_mutex_unlock(&world->mutex);
    if (aborted) {
        pthread_exit(NULL);
    }
    return done;
}

static void local_leave(struct transport *t, int exit_code, const char *message)
{
    struct transport_world *world = local(t)->world;
    pthread_mutex_lock(&world->mutex);
    if (!world->is_aborted) {
        world->is_aborted = true;
        snprintf(world->message, sizeof world->message, "rank %d: %s (exit code %d)", t->rank,
                 message, exit_code);
    }
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->mutex);
}

static void local_abort(struct transport *t, int exit_code, const char *message)
{
    local_leave(t, exit_code, message);
    pthread_exit(NULL);
}

struct transport_world *transport_world_create(int size)
{
    static const struct transport_operations operations = {.post = local_post,
                                                           .test = local_test,
                                                           .await = local_await,
                                                           .abort = local_abort,
                                                           .leave = local_leave};
    assert(size >= 1);
    struct transport_world *world =
        calloc(1, sizeof *world + (size_t)size * sizeof world->ranks[0]);
    if (world == NULL) {
        return NULL;
    }
    pthread_mutex_init(&world->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&world->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    world->size = size;
    for (int rank = 0; rank < size; rank++) {
        struct local_rank *self = &world->ranks[rank];
        transport_init(&self->base, &operations, rank, size);
        snprintf(self->base.name, sizeof self->base.name, "local (%d ranks of one process)", size);
        self->world = world;
        self->first_unmatched = self->last_unmatched = -1;
    }
    return world;
}

void transport_world_destroy(struct transport_world *world)
{
    if (world == NULL) {
        return;
    }
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->mutex);
    free(world);
}

struct transport *transport_world_rank(struct transport_world *world, int rank)
{
    assert(rank >= 0 && rank < world->size);
    return &world->ranks[rank].base;
}

const char *transport_world_aborted(const struct transport_world *world)
{
    return world->is_aborted ? world->message : NULL;
}
