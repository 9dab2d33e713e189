#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int file_open(const char *path, int flags)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int file_open_to_write(const char *path, int flags, struct error *err)
{
    const int fd = file_open(path, flags | O_CREAT | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP) {
        error_set(err, ERROR_CREATE,
                  "%s: is a symbolic link: refused, for it leads elsewhere; remove it", path);
    } else if (fd < 0) {
        file_fail(err, ERROR_CREATE, path, "cannot create");
    }
    return fd;
}

bool file_fail(struct error *err, enum error_kind kind, const char *path, const char *what)
{
    return error_set(err, kind, "%s: %s: %s", path, what, strerror(errno));
}

bool file_fail_to_open(struct error *err, const char *path)
{
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    return file_fail(err, absent ? ERROR_NO_INPUT : ERROR_IO, path, "cannot open");
}

bool file_copy_path(char *out, const char *path, struct error *err)
{
    const size_t length = strlen(path);
    if (length == 0) {
        return error_set(err, ERROR_CONFIG, "a path is empty");
    }
    if (length >= FILE_PATH_BYTES) {
        return error_set(err, ERROR_CONFIG, "%.60s...: a path of %zu bytes, at most %d fit", path,
                         length, FILE_PATH_BYTES - 1);
    }
    memcpy(out, path, length + 1);
    return true;
}

void file_parent(char *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        memcpy(out, ".", 2);
        return;
    }
    const size_t length = slash == path ? 1 : (size_t)(slash - path);
    memcpy(out, path, length);
    out[length] = '\0';
}
