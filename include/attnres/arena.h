/** Planned memory: one allocation, slices of 64-byte alignment, sealed before the first step.
 *
 *  Plan's table of buffers gives the size and says in which order slices are taken; a take that
 * does not fit, or comes after arena_seal, is a bug. */
#ifndef ATTNRES_ARENA_H
#define ATTNRES_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include <attnres/error.h>

enum { ARENA_ALIGNMENT = 64 };

struct arena {
    unsigned char *base;
    size_t capacity;
    size_t used;
    bool sealed;
};

/** Map capacity bytes of zeroed memory. ERROR_CREATE, naming the size, when the system refuses. */
bool arena_create(struct arena *a, size_t capacity, struct error *err);
void arena_destroy(struct arena *a);

/** The next slice of count * size bytes, rounded up to 64. */
void *arena_take(struct arena *a, size_t count, size_t size);
void arena_seal(struct arena *a);

#endif
