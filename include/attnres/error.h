/** Errors of the world: what went wrong, told once, with the exit code it leads to.
 *
 *  A function that can fail on account of a file, an option or memory at start-up returns bool and
 * takes `struct error *err` last. It calls error_set where the cause is known; callers pass the
 * failure on unchanged. Only main prints. Bugs are asserts, not errors. */
#ifndef ATTNRES_ERROR_H
#define ATTNRES_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/** The kinds; each value is the exit code of the program. */
enum error_kind {
    ERROR_NONE = 0,
    ERROR_GUARD = 1,     /* training stopped by a guard (numbers not finite) */
    ERROR_USAGE = 64,    /* command line */
    ERROR_DATA = 65,     /* damaged or foreign contents */
    ERROR_NO_INPUT = 66, /* a named input does not exist */
    ERROR_LAUNCH = 69,   /* wrong launch, MPI, stall */
    ERROR_INTERNAL = 70, /* a broken promise between our own parts */
    ERROR_CREATE = 73,   /* cannot create, or locked by another run */
    ERROR_IO = 74,       /* reading or writing failed */
    ERROR_EARLY = 75,    /* stopped early, and can be resumed: resubmit */
    ERROR_CONFIG = 78,   /* configuration */
};

struct error {
    enum error_kind kind;
    char message[8192]; /* one or more lines, no trailing newline */
};

/** Record a failure and return false, so that a caller can `return error_set(...)`. err may be
 * NULL. */
bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Add a line to what is recorded (or record it when nothing is), keeping the first kind. Returns
 * false. Lines beyond the buffer are dropped; the last one kept then ends in "...". */
bool error_add(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
