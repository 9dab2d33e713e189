#include "file_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_open_regular(int *fd, int64_t *length, const char *path, struct error *err)
{
    const int opened = file_open(path, O_RDONLY | O_NONBLOCK);
    if (opened < 0 && errno != ENXIO) {
        return file_fail_to_open(err, path);
    }
    struct stat status = {0};
    if (opened >= 0 && fstat(opened, &status) != 0) {
        file_fail(err, ERROR_IO, path, "cannot read its status");
        close(opened);
        return false;
    }
    if (opened < 0 || !S_ISREG(status.st_mode)) { /* ENXIO: a socket, or a device without driver */
        if (opened >= 0) {
            close(opened);
        }
        return error_set(err, ERROR_DATA, "%s: not a regular file", path);
    }
    *fd = opened;
    *length = status.st_size;
    return true;
}

/* Read up to length bytes at offset; what is missing lies beyond the end. Returns the bytes read,
 * -1 with errno on failure. */
static int64_t read_at(int fd, int64_t offset, unsigned char *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        const ssize_t n = pread(fd, bytes + done, length - done, offset + (int64_t)done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (int64_t)done;
}

static bool read_contents(struct file_bytes *out, int fd, size_t length, const char *path,
                          struct error *err)
{
    unsigned char *bytes = malloc(length + 1);
    if (bytes == NULL) {
        return error_set(err, ERROR_CREATE, "%s: no memory for %zu bytes", path, length);
    }
    const int64_t n = read_at(fd, 0, bytes, length);
    if (n < 0) {
        file_fail(err, ERROR_IO, path, "cannot read");
        free(bytes);
        return false;
    }
    bytes[n] = 0;
    *out = (struct file_bytes){.bytes = bytes, .length = (size_t)n};
    return true;
}

bool file_read(struct file_bytes *out, const char *path, size_t max_bytes, struct error *err)
{
    int fd = -1;
    int64_t length = 0;
    if (!file_open_regular(&fd, &length, path, err)) {
        return false;
    }
    bool ok = false;
    if ((uint64_t)length > max_bytes) {
        error_set(err, ERROR_DATA, "%s: %lld bytes, at most %zu expected", path, (long long)length,
                  max_bytes);
    } else {
        ok = read_contents(out, fd, (size_t)length, path, err);
    }
    close(fd);
    return ok;
}

/** One byte more than is allowed tells what is too long. */
static bool read_to_end(struct file_bytes *in, int fd, size_t max_bytes, const char *name,
                        struct error *err)
{
    for (size_t capacity = 0; in->length <= max_bytes;) {
        if (capacity < in->length + 2) {
            capacity = capacity > 0 ? 2 * capacity : 1 << 16;
            unsigned char *bytes = realloc(in->bytes, capacity);
            if (bytes == NULL) {
                return error_set(err, ERROR_CREATE, "%s: no memory for %zu bytes", name, capacity);
            }
            in->bytes = bytes;
        }
        const ssize_t n = read(fd, in->bytes + in->length, capacity - in->length - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_fail(err, ERROR_IO, name, "cannot read");
        }
        in->length += (size_t)n;
        in->bytes[in->length] = 0;
        if (n == 0) {
            return true;
        }
    }
    return error_set(err, ERROR_DATA, "%s: more than the %zu bytes expected", name, max_bytes);
}

bool file_read_input(struct file_bytes *out, size_t max_bytes, struct error *err)
{
    struct file_bytes in = {0};
    if (!read_to_end(&in, STDIN_FILENO, max_bytes, "standard input", err)) {
        file_bytes_finish(&in);
        return false;
    }
    *out = in;
    return true;
}

void file_bytes_finish(struct file_bytes *f)
{
    if (f == NULL) {
        return;
    }
    free(f->bytes);
    *f = (struct file_bytes){0};
}

bool file_map_init(struct file_map *map, const char *path, struct error *err)
{
    int fd = -1;
    int64_t length = 0;
    if (!file_open_regular(&fd, &length, path, err)) {
        return false;
    }
    void *bytes = NULL;
    if (length > 0) {
        bytes = mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (bytes == MAP_FAILED) {
        file_fail(err, ERROR_IO, path, "cannot map");
        close(fd);
        return false;
    }
    close(fd);
    *map = (struct file_map){.bytes = bytes, .length = (size_t)length};
    return true;
}

void file_map_finish(struct file_map *map)
{
    if (map == NULL) {
        return;
    }
    if (map->bytes != NULL) {
        munmap((void *)map->bytes, map->length);
    }
    *map = (struct file_map){0};
}

bool file_reader_open(struct file_reader *r, const char *path, struct error *err)
{
    struct file_reader opened = {.fd = -1};
    if (!file_copy_path(opened.path, path, err) ||
        !file_open_regular(&opened.fd, &opened.length, path, err)) {
        return false;
    }
    *r = opened;
    return true;
}

void file_reader_forget(const struct file_reader *r)
{
    posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED); /* advice: whatever it comes to is good */
}

bool file_reader_read(struct file_reader *r, int64_t offset, void *bytes, size_t length,
                      struct error *err)
{
    assert(r->fd >= 0 && offset >= 0);
    const uint64_t room = offset <= r->length ? (uint64_t)(r->length - offset) : 0;
    if (length > room) {
        return error_set(err, ERROR_DATA, "%s: %zu bytes wanted at offset %lld of %lld", r->path,
                         length, (long long)offset, (long long)r->length);
    }
    const int64_t n = read_at(r->fd, offset, bytes, length);
    if (n < 0) {
        return file_fail(err, ERROR_IO, r->path, "cannot read");
    }
    if ((uint64_t)n < length) {
        return error_set(err, ERROR_DATA, "%s: ends at offset %lld, was %lld long when opened",
                         r->path, (long long)(offset + n), (long long)r->length);
    }
    return true;
}

/* A zeroed reader has descriptor 0 but no path: it was never opened. */
void file_reader_close(struct file_reader *r)
{
    if (r == NULL) {
        return;
    }
    if (r->fd >= 0 && r->path[0] != '\0') {
        close(r->fd);
    }
    *r = (struct file_reader){.fd = -1};
}

bool file_holds_same(const char *a, const char *b)
{
    struct file_map of_a = {0}, of_b = {0};
    const bool is_same = file_map_init(&of_a, a, NULL) && file_map_init(&of_b, b, NULL) &&
                         of_a.length == of_b.length &&
                         (of_a.length == 0 || memcmp(of_a.bytes, of_b.bytes, of_a.length) == 0);
    file_map_finish(&of_a);
    file_map_finish(&of_b);
    return is_same;
}

bool file_may_replace(const char *path, const struct file_form *form, struct error *err)
{
    struct file_map map;
    if (file_is_absent(path) || file_length(path) == 0) {
        return true;
    }
    if (file_is_irregular(path)) {
        return error_set(err, ERROR_CREATE, "%s: is %s; give the path of a file to write", path,
                         file_is_folder(path) ? "a folder" : "no regular file");
    }
    if (!file_map_init(&map, path, err)) {
        return false;
    }
    const bool is_one = form->is_one(map.bytes, map.length);
    file_map_finish(&map);
    return is_one || error_set(err, ERROR_CREATE,
                               "%s: exists and is not %s, so it is not written over: give the "
                               "path of a new file, or remove this one first",
                               path, form->name);
}
