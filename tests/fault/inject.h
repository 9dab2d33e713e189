/** Faults of file calls: the k-th call on the run's files fails, is short, flips a bit, or is the
 * last thing that the process does.
 *
 *  The same source is linked into a test program, whose calls the linker turns aside (--wrap; the
 * list is in tests/meson.build), and preloaded into attnres under mpirun (inject_preload.c). Calls
 * are counted in the order in which they are made, by all threads together. */
#ifndef ATTNRES_TESTS_INJECT_H
#define ATTNRES_TESTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

enum inject_action {
    INJECT_NOTHING,
    INJECT_KILL,  /* before the call */
    INJECT_TEAR,  /* after half of a write */
    INJECT_SHORT, /* half of a read or write, which is no error */
    INJECT_FLIP,  /* a bit of what is read or written, unnoticed */
    INJECT_SLOW,  /* a write that takes a while */
    INJECT_ERROR,
};

struct inject_fault {
    enum inject_action action;
    int error;     /* errno of INJECT_ERROR */
    int64_t at;    /* among the calls that the fault can hit, from 0 */
    int64_t times; /* this call and the next ones; INT64_MAX: for good */
};

/** What a word of the matrix means: "kill", "tear", "short", "flip", "EIO" ...; false if nothing.
 */
bool inject_parse(struct inject_fault *fault, const char *word);

/** From here on, for files whose path is `scope` or below. counter, which may be shared with
 * another process: calls so far that the fault could have hit. */
void inject_arm(const struct inject_fault *fault, const char *scope, int64_t *counter);

/** Also note every call that changes something, with what it writes, in this open file. */
void inject_record(int fd);

/** A call of a record. */
enum inject_call {
    CALL_CREATE, /* or open for writing; offset: 1 truncates */
    CALL_WRITE,
    CALL_FLUSH,
    CALL_FLUSH_FOLDER,
    CALL_RENAME, /* bytes: the new path */
    CALL_MAKE_FOLDER,
    CALL_REMOVE,
    CALL_TRUNCATE, /* offset: the new length */
};
struct inject_entry {
    int32_t call, path_bytes;
    int64_t offset, n_bytes; /* path and bytes follow */
};

/** Bytes that were read of files below the scope whose path holds `part`, and how many were opened.
 */
int64_t inject_bytes_read(const char *part);
int64_t inject_files_opened(const char *part);

#endif
