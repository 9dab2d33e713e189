#include <attnres/arena.h>

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Round up count * size to the alignment; false if that does not fit. */
static bool slice_bytes(size_t *out, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX - (ARENA_ALIGNMENT - 1)) / size) {
        return false;
    }
    *out = (count * size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    return true;
}

/* The system maps no empty range, but an empty arena has an address like any other. */
static size_t mapped_bytes(size_t capacity)
{
    return capacity > 0 ? capacity : ARENA_ALIGNMENT;
}

bool arena_create(struct arena *a, size_t capacity, struct error *err)
{
    void *base = mmap(NULL, mapped_bytes(capacity), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return error_set(err, ERROR_CREATE, "cannot reserve %zu bytes (%.1f MiB) of memory: %s",
                         capacity, (double)capacity / 1048576.0, strerror(errno));
    }
    /* Kernels stride over many tensors at once; with small pages each step of theirs misses the
     * translation cache. Advice alone: a system that knows no large pages refuses it, and all works
     * as before. */
    madvise(base, mapped_bytes(capacity), MADV_HUGEPAGE);
    *a = (struct arena){.base = base, .capacity = capacity};
    return true;
}

void arena_destroy(struct arena *a)
{
    if (a == NULL) {
        return;
    }
    if (a->base != NULL) {
        munmap(a->base, mapped_bytes(a->capacity));
    }
    *a = (struct arena){0};
}

void *arena_take(struct arena *a, size_t count, size_t size)
{
    assert(!a->sealed);
    size_t bytes = 0;
    const bool fits = slice_bytes(&bytes, count, size);
    assert(fits && bytes <= a->capacity - a->used);
    (void)fits;
    void *slice = a->base + a->used;
    a->used += bytes;
    return slice;
}

void arena_seal(struct arena *a)
{
    a->sealed = true;
}
