/** Folders that tests work in. */
#ifndef ATTNRES_TESTS_FOLDER_H
#define ATTNRES_TESTS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/** Make a fresh one, called after the test, in TMPDIR, else in shared memory, where a flush costs
 * nothing. Its path goes to path. False, with a message on standard error, if it cannot be made. */
bool folder_make(char *path, size_t capacity, const char *name);
/** The same, and go there; then leave it and remove it with all that it holds. */
bool folder_enter(char *path, size_t capacity, const char *name);
bool folder_leave(const char *path);

#endif
