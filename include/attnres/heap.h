/** Small memory that no plan knows, taken at start-up and after the last step: lists, tables,
 * texts.
 *
 *  Nobody who is refused a few bytes can go on, nor unwind with less than that: the process ends
 * with a message and the exit code of ERROR_CREATE, and its launcher ends the other ranks. What is
 * large, or as long as an input says, is taken where a failure has a way out: from an arena, or
 * with malloc and an error; but for JSON, whose library cannot be told. */
#ifndef ATTNRES_HEAP_H
#define ATTNRES_HEAP_H

#include <stddef.h>

/** count * size zeroed bytes, at least one, for the caller to free. what: for the message, as in
 * "no memory for the schedule". */
void *heap_take(size_t count, size_t size, const char *what);

/** The same bytes in a larger place, or a smaller; what is new is not zeroed. */
void *heap_resize(void *bytes, size_t count, size_t size, const char *what);

#endif
