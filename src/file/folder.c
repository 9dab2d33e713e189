#include "file_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TREE_DEPTH = 4 };

void file_refresh(const char *folder)
{
    const int fd = file_open(folder, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        close(fd);
    }
}

bool file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

bool file_is_absent(const char *path)
{
    struct stat status;
    return stat(path, &status) != 0 &&
           (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG);
}

bool file_is_irregular(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

bool file_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool file_is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int64_t file_length(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
}

bool file_has_folder(const char *path, struct error *err)
{
    char folder[FILE_PATH_BYTES];
    if (!file_copy_path(folder, path, err)) {
        return false;
    }
    file_parent(folder, path);
    return file_is_folder(folder) ||
           error_set(err, ERROR_CREATE, "%s: there is no folder %s", path, folder);
}

/* Look before making: mkdir of what is there may fail for the want of rights on its parent. */
static bool make_folder(const char *path, struct error *err)
{
    if (file_is_folder(path) || mkdir(path, 0777) == 0) {
        return true;
    }
    const int cause = errno;
    if (cause == EEXIST && file_is_folder(path)) { /* another process was faster */
        return true;
    }
    errno = cause;
    return file_fail(err, ERROR_CREATE, path, "cannot create the folder");
}

bool file_make_folders(const char *path, struct error *err)
{
    char prefix[FILE_PATH_BYTES];
    if (!file_copy_path(prefix, path, err)) {
        return false;
    }
    for (char *c = prefix + 1; *c != '\0'; c++) {
        if (*c != '/') {
            continue;
        }
        *c = '\0';
        if (!make_folder(prefix, err)) {
            return false;
        }
        *c = '/';
    }
    return make_folder(prefix, err);
}

bool file_remove(const char *path, struct error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return file_fail(err, ERROR_IO, path, "cannot remove");
    }
    return true;
}

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *open_folder(const char *path)
{
    DIR *folder = NULL;
    do {
        folder = opendir(path);
    } while (folder == NULL && errno == EINTR);
    return folder;
}

static int open_inner(int fd, const char *name)
{
    int inner = -1;
    do {
        inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } while (inner < 0 && errno == EINTR);
    return inner;
}

bool file_list(const char *path, bool (*visit)(void *user, const char *name), void *user,
               struct error *err)
{
    DIR *folder = open_folder(path);
    if (folder == NULL) {
        return file_fail_to_open(err, path);
    }
    const struct dirent *entry = NULL;
    errno = 0;
    while ((entry = readdir(folder)) != NULL) {
        if (!is_self_or_parent(entry->d_name) && !visit(user, entry->d_name)) {
            break;
        }
        errno = 0;
    }
    const bool ok = entry != NULL || errno == 0;
    if (!ok) {
        file_fail(err, ERROR_IO, path, "cannot list");
    }
    closedir(folder);
    return ok;
}

/* A removal under way: the path is kept for messages, entries are reached through their folder's
 * descriptor, and no symbolic link is ever followed. */
struct removal {
    const char *path;
    int depth;
    struct error *err;
};

static bool remove_contents(struct removal *r, int fd);

static bool remove_entry(struct removal *r, int fd, const char *name)
{
    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT) {
        return true;
    }
    if (errno != EISDIR && errno != EPERM) {
        return file_fail(r->err, ERROR_IO, r->path, "cannot remove the folder");
    }
    const int inner = open_inner(fd, name);
    if (inner < 0) {
        return file_fail(r->err, ERROR_IO, r->path, "cannot remove the folder");
    }
    if (!remove_contents(r, inner)) { /* closes inner */
        return false;
    }
    if (unlinkat(fd, name, AT_REMOVEDIR) != 0) {
        return file_fail(r->err, ERROR_IO, r->path, "cannot remove the folder");
    }
    return true;
}

/* One pass over the entries. Removing while reading may skip some on network file systems, so
 * passes are repeated until one finds nothing. */
static bool remove_pass(struct removal *r, DIR *folder, bool *found)
{
    *found = false;
    rewinddir(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (is_self_or_parent(entry->d_name)) {
            continue;
        }
        *found = true;
        if (!remove_entry(r, dirfd(folder), entry->d_name)) {
            return false;
        }
    }
    return true;
}

static bool remove_contents(struct removal *r, int fd)
{
    if (r->depth == TREE_DEPTH) {
        close(fd);
        return error_set(r->err, ERROR_IO, "%s: not removed, it is more than %d folders deep",
                         r->path, TREE_DEPTH);
    }
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        file_fail(r->err, ERROR_IO, r->path, "cannot list");
        close(fd);
        return false;
    }
    r->depth++;
    bool ok = true, found = true;
    while (ok && found) {
        ok = remove_pass(r, folder, &found);
    }
    r->depth--;
    closedir(folder);
    return ok;
}

bool file_remove_tree(const char *path, struct error *err)
{
    const int fd = file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        return true;
    }
    if (fd < 0 && errno == ENOTDIR) {
        return error_set(err, ERROR_IO, "%s: no folder, or a symbolic link: remove it by hand",
                         path);
    }
    if (fd < 0) {
        return file_fail(err, ERROR_IO, path, "cannot remove the folder");
    }
    struct removal r = {.path = path, .err = err};
    if (!remove_contents(&r, fd)) {
        return false;
    }
    if (rmdir(path) != 0) {
        return file_fail(err, ERROR_IO, path, "cannot remove the folder");
    }
    return true;
}

bool file_join(char *out, const char *folder, const char *name, struct error *err)
{
    size_t length = strlen(folder);
    while (length > 0 && folder[length - 1] == '/') {
        length--;
    }
    const size_t slash = folder[0] != '\0' ? 1 : 0;
    const size_t total = length + slash + strlen(name);
    if (total >= FILE_PATH_BYTES) {
        return error_set(err, ERROR_CONFIG, "%.60s.../%.60s: a path of %zu bytes, at most %d fit",
                         folder, name, total, FILE_PATH_BYTES - 1);
    }
    memmove(out, folder, length); /* out may be folder itself */
    if (slash > 0) {
        out[length] = '/';
    }
    memcpy(out + length + slash, name, total - length - slash + 1);
    return true;
}
