/* The state as it was when a save began, while training goes on with it. */
#include "checkpoint_internal.h"

#include <assert.h>
#include <string.h>

/** One write, and what is copied at a time: large enough for any file system, small enough that an
 * update waits for little of it. */
enum { PIECE_BYTES = 4 << 20 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void snapshot_begin(struct snapshot *s)
{
    pthread_mutex_lock(&s->mutex);
    s->written = s->claimed = s->kept = 0;
    s->in_place = s->was_full = false;
    pthread_mutex_unlock(&s->mutex);
}

size_t snapshot_claim(struct snapshot *s, const void *values, size_t length, const void **bytes)
{
    pthread_mutex_lock(&s->mutex);
    const int64_t at = s->written;
    int64_t n = smaller((int64_t)length, PIECE_BYTES);
    s->in_place = at >= s->kept;
    *bytes = values;
    if (!s->in_place) {
        n = smaller(n, smaller(s->kept - at, s->capacity - at % s->capacity));
        *bytes = s->buffer + at % s->capacity;
    }
    s->claimed = at + n;
    pthread_mutex_unlock(&s->mutex);
    return (size_t)n;
}

void snapshot_release(struct snapshot *s)
{
    pthread_mutex_lock(&s->mutex);
    s->written = s->claimed;
    s->in_place = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

void snapshot_abandon(struct snapshot *s)
{
    pthread_mutex_lock(&s->mutex);
    s->written = s->claimed = s->kept = INT64_MAX;
    s->in_place = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

/** Copy from `values`, which byte `from` is at, as much as there is room for; how much that was. */
static int64_t copy(struct snapshot *s, int64_t from, int64_t end, const unsigned char *values)
{
    const int64_t room = s->capacity - (from - s->written);
    if (from >= end || room <= 0) {
        return 0;
    }
    const int64_t until_wrap = s->capacity - from % s->capacity;
    const int64_t n = smaller(smaller(end - from, PIECE_BYTES), smaller(room, until_wrap));
    memcpy(s->buffer + from % s->capacity, values, (size_t)n);
    s->kept = from + n;
    return n;
}

/** Until a piece is written. */
static void wait_for_writer(struct snapshot *s, struct journal *journal)
{
    journal_begin_alone(journal, JOURNAL_WRITE, -1);
    pthread_cond_wait(&s->changed, &s->mutex);
    journal_end(journal);
}

void snapshot_keep(struct snapshot *s, int64_t at, const void *values, size_t length,
                   struct journal *journal)
{
    const int64_t end = at + (int64_t)length;
    pthread_mutex_lock(&s->mutex);
    assert(at <= larger(s->claimed, s->kept) && "updates change tensors in the table's order");
    for (;;) {
        const int64_t from = larger(at, larger(s->claimed, s->kept));
        const bool is_read = s->in_place && s->claimed > at && s->written < end;
        if (from >= end && !is_read) {
            break;
        }
        if (copy(s, from, end, (const unsigned char *)values + (from - at)) == 0) {
            s->was_full = s->was_full || from < end;
            wait_for_writer(s, journal);
        }
    }
    pthread_mutex_unlock(&s->mutex);
}
