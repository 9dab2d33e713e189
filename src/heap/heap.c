#include <attnres/heap.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/error.h>

/** No call here takes memory, nor waits for another thread: stderr is not buffered. */
static void *require(void *bytes, size_t count, size_t size, const char *what)
{
    if (bytes == NULL) {
        fprintf(stderr, "attnres: out of memory: no %zu x %zu bytes for %s\n", count, size, what);
        _Exit(ERROR_CREATE);
    }
    return bytes;
}

void *heap_take(size_t count, size_t size, const char *what)
{
    return require(calloc(count > 0 ? count : 1, size), count, size, what);
}

void *heap_resize(void *bytes, size_t count, size_t size, const char *what)
{
    void *resized = count <= SIZE_MAX / size ? realloc(bytes, count * size) : NULL;
    return require(resized, count, size, what);
}
