#include "file_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int try_lock(int fd, int kind)
{
    int failed = 0;
    do {
        failed = flock(fd, kind | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    return failed;
}

/* The first line of the lock file, without what could upset a terminal. */
static void read_owner(char owner[FILE_OWNER_BYTES], int fd)
{
    const ssize_t n = pread(fd, owner, FILE_OWNER_BYTES - 1, 0);
    owner[n > 0 ? n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    for (char *c = owner; *c != '\0'; c++) {
        *c = isprint((unsigned char)*c) ? *c : '?';
    }
}

static enum file_lock refuse(int fd, const char *path, char holder[FILE_OWNER_BYTES],
                             struct error *err)
{
    const bool is_lockless = errno == ENOSYS || errno == ENOTSUP || errno == ENOLCK;
    if (errno != EWOULDBLOCK) {
        file_fail(err, ERROR_CREATE, path, "cannot lock");
        return is_lockless ? FILE_LOCKLESS : FILE_LOCK_FAILED;
    }
    read_owner(holder, fd);
    error_set(err, ERROR_CREATE, "%s: locked by %s", path,
              holder[0] != '\0' ? holder : "a process that has not told its name yet");
    return FILE_LOCK_HELD;
}

static bool write_at(int fd, const char *bytes, size_t length, off_t at)
{
    for (size_t done = 0; done < length;) {
        const ssize_t n = pwrite(fd, bytes + done, length - done, at + (off_t)done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/* On a full disk the owner stays unnamed: the lock is what counts, and whoever has it may make
 * room. */
static void record_owner(int fd, const char *owner)
{
    const size_t length = strlen(owner);
    const bool is_named = ftruncate(fd, 0) == 0 && write_at(fd, owner, length, 0) &&
                          write_at(fd, "\n", 1, (off_t)length);
    (void)is_named;
}

/* flock belongs to the open file, not to the process: two openings in one process refuse each
 * other, closing another descriptor of the file frees nothing, and the kernel frees it when the
 * owner dies in whatever way. */
enum file_lock file_lock(int *fd, const char *path, const char *owner,
                         char holder[FILE_OWNER_BYTES], struct error *err)
{
    *fd = -1;
    holder[0] = '\0';
    const int opened = file_open_to_write(path, O_RDWR, err);
    if (opened < 0) {
        return FILE_LOCK_FAILED;
    }
    enum file_lock outcome = FILE_LOCKED;
    if (try_lock(opened, LOCK_EX) != 0) {
        outcome = refuse(opened, path, holder, err);
    }
    if (outcome == FILE_LOCKED) {
        record_owner(opened, owner);
        *fd = opened;
    } else {
        close(opened);
    }
    return outcome;
}

/* The file stays: removing it would let a second process lock a new file of the same name while a
 * third still waits with the old one open. */
void file_unlock(int *fd)
{
    if (fd == NULL || *fd < 0) {
        return;
    }
    const int emptied = ftruncate(*fd, 0);
    (void)emptied; /* a stale name in a free lock misleads nobody: the lock is what counts */
    close(*fd);
    *fd = -1;
}

/* A shared lock, so that two who ask do not see each other. */
bool file_is_locked(const char *path)
{
    const int fd = file_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    const bool is_locked = try_lock(fd, LOCK_SH) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return is_locked;
}
