/** Planned memory: one allocation, slices of 64-byte alignment, sealed before the first step.
 *
 *      measure:  arena_init_empty, then every x_layout(...)  -> arena.used is the size
 *      place:    arena_create(that size), the same x_layout calls again -> real addresses
 *      seal:     arena_seal; a later take is a bug
 *
 *  An empty arena returns NULL slices and counts; so each size is written once. Overflow of count *
 * size is checked here and nowhere else. */
#ifndef ATTNRES_ARENA_H
#define ATTNRES_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include <attnres/error.h>

enum { ARENA_ALIGNMENT = 64 };

struct arena {
    unsigned char *base; /* NULL while measuring */
    size_t capacity;
    size_t used;
    bool sealed;
    bool overflowed; /* a size did not fit size_t while measuring */
};

void arena_init_empty(struct arena *a);

/** Map capacity bytes of zeroed memory. ERROR_CREATE, naming the size, when the system refuses. */
bool arena_create(struct arena *a, size_t capacity, struct error *err);
void arena_destroy(struct arena *a);

/** The next slice of count * size bytes, rounded up to 64. NULL while measuring. */
void *arena_take(struct arena *a, size_t count, size_t size);
void arena_seal(struct arena *a);

#endif
