/** What every merged trace must be, whatever was traced. */
#ifndef ATTNRES_TESTS_TRACE_CHECK_H
#define ATTNRES_TESTS_TRACE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a checked file holds. */
struct trace_checked {
    int64_t n_slices, n_arrows;
    int64_t n_processes; /* named ones */
    int64_t n_steps;     /* slices of whole steps, of all ranks */
};

/** Whether a file of Chrome's trace-event format is whole: every arrow has its two ends in slices,
 * an id of its own, and its end not before its beginning; slices of a process nest, and none of one
 * depth overlap. Otherwise says what is wrong. */
bool trace_check(struct trace_checked *out, const char *path, char *message, size_t capacity);

#endif
