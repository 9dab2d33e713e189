#include "file_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A zeroed writer has descriptor 0 but no path: it was never opened. */
static bool is_open(const struct file_writer *w)
{
    return w->fd >= 0 && w->path[0] != '\0';
}

static bool open_writer(struct file_writer *w, const char *path, int flags, struct error *err)
{
    struct file_writer opened = {.fd = -1};
    if (!file_copy_path(opened.path, path, err)) {
        return false;
    }
    opened.fd = file_open_to_write(path, O_WRONLY | flags, err);
    if (opened.fd < 0) {
        return false;
    }
    struct stat status = {0};
    if (fstat(opened.fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(opened.fd);
        return error_set(err, ERROR_CREATE, "%s: not a regular file", path);
    }
    opened.offset = status.st_size;
    *w = opened;
    return true;
}

bool file_writer_create(struct file_writer *w, const char *path, struct error *err)
{
    return open_writer(w, path, O_TRUNC, err);
}

bool file_writer_append(struct file_writer *w, const char *path, struct error *err)
{
    return open_writer(w, path, O_APPEND, err);
}

/** Half a line would be glued to the next one. The file may have other writers, each appending:
 * only what was just written is taken back, and only while it is the end. */
static void take_back(struct file_writer *w, int64_t written)
{
    struct stat status = {0};
    const off_t end = written > 0 ? lseek(w->fd, 0, SEEK_CUR) : -1;
    if (end >= written && fstat(w->fd, &status) == 0 && status.st_size == end &&
        ftruncate(w->fd, end - written) == 0 && lseek(w->fd, end - written, SEEK_SET) >= 0) {
        w->offset -= written;
    }
}

bool file_writer_write(struct file_writer *w, const void *bytes, size_t length, struct error *err)
{
    assert(is_open(w));
    const unsigned char *rest = bytes;
    const int64_t start = w->offset;
    while (length > 0) {
        const ssize_t n = write(w->fd, rest, length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            file_fail(err, ERROR_IO, w->path, "cannot write");
            take_back(w, w->offset - start);
            return false;
        }
        rest += n;
        length -= (size_t)n;
        w->offset += n;
    }
    return true;
}

static int flush_descriptor(int fd)
{
    int failed = 0;
    do {
        failed = fsync(fd);
    } while (failed != 0 && errno == EINTR);
    return failed;
}

bool file_writer_flush(struct file_writer *w, struct error *err)
{
    assert(is_open(w));
    if (flush_descriptor(w->fd) != 0) {
        return file_fail(err, ERROR_IO, w->path, "cannot flush");
    }
    return true;
}

/* After EINTR Linux has closed the descriptor all the same; closing again could hit another file.
 */
bool file_writer_close(struct file_writer *w, struct error *err)
{
    if (w == NULL || !is_open(w)) {
        return true;
    }
    const int failed = close(w->fd);
    w->fd = -1;
    if (failed != 0 && errno != EINTR) {
        return file_fail(err, ERROR_IO, w->path, "cannot close");
    }
    return true;
}

bool file_rename(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) != 0) {
        return error_set(err, ERROR_IO, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    }
    return true;
}

bool file_flush_folder(const char *path, struct error *err)
{
    const int fd = file_open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return file_fail_to_open(err, path);
    }
    /* Some network file systems cannot flush a folder and say EINVAL; they order renames anyway. */
    const bool ok = flush_descriptor(fd) == 0 || errno == EINVAL;
    if (!ok) {
        file_fail(err, ERROR_IO, path, "cannot flush the folder");
    }
    close(fd);
    return ok;
}

/* "<folder>/.<name>.partial" */
static bool partial_path(char *out, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    const int folder_length = slash == NULL ? 0 : (int)(slash - path + 1);
    const int length = snprintf(out, FILE_PATH_BYTES, "%.*s.%s.partial", folder_length, path,
                                path + folder_length);
    if (length < 0 || length >= FILE_PATH_BYTES) {
        return error_set(err, ERROR_CONFIG, "%.60s...: path too long", path);
    }
    return true;
}

static bool write_whole(const char *path, const void *bytes, size_t length, struct error *err)
{
    struct file_writer w = {.fd = -1};
    if (!file_writer_create(&w, path, err)) {
        return false;
    }
    const bool written = file_writer_write(&w, bytes, length, err) && file_writer_flush(&w, err);
    return file_writer_close(&w, written ? err : NULL) && written;
}

bool file_replace(const char *path, const void *bytes, size_t length, struct error *err)
{
    char partial[FILE_PATH_BYTES];
    char folder[FILE_PATH_BYTES];
    if (!partial_path(partial, path, err)) {
        return false;
    }
    struct error failure = {0};
    /* People know the file by the name that they gave. */
    const bool is_written =
        write_whole(partial, bytes, length, &failure) ||
        error_set(err, failure.kind, "%s: is written aside first: %s", path, failure.message);
    if (!is_written || !file_rename(partial, path, err)) {
        file_remove(partial, NULL);
        return false;
    }
    file_parent(folder, path);
    return file_flush_folder(folder, err);
}
