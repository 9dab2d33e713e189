/** What the files of this module share: opening, and telling a failure. */
#ifndef ATTNRES_FILE_INTERNAL_H
#define ATTNRES_FILE_INTERNAL_H

#include <attnres/file.h>

/** open(2) with O_CLOEXEC, continued after signals; new files get mode 0666 less the umask. */
int file_open(const char *path, int flags);

/** The same for a file to be written, made if absent. One that is a symbolic link is refused: a
 * folder that somebody else has packed shall not lead to files outside of it. -1 with ERROR_CREATE.
 */
int file_open_to_write(const char *path, int flags, struct error *err);

/** Open a regular file for reading without ever blocking on a FIFO or a device. Gives the
 * descriptor and the file's length. */
bool file_open_regular(int *fd, int64_t *length, const char *path, struct error *err);

/** "path: what: strerror(errno)". Returns false. */
bool file_fail(struct error *err, enum error_kind kind, const char *path, const char *what);

/** The same for a failed opening to read: ERROR_NO_INPUT when the path leads nowhere. */
bool file_fail_to_open(struct error *err, const char *path);

/** Copy path into FILE_PATH_BYTES; ERROR_CONFIG if it is empty or does not fit. */
bool file_copy_path(char *out, const char *path, struct error *err);

#endif
