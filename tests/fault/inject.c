#include "inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inject_calls.h"

enum { SLOW_US = 3000, MOST_FILES = 1024, PATH_BYTES = 1024, MOST_READ = 4096 };

/** What a fault can hit. */
enum sort {
    OPENS = 1,
    CREATES = 2,
    WRITES = 4,
    READS = 8,
    FLUSHES = 16,
    CLOSES = 32,
    NAMES = 64,
    LOOKS = 128
};

static const struct {
    const char *word;
    enum inject_action action;
    int error;
    unsigned sorts;
} FAULTS[] = {
    {"kill", INJECT_KILL, 0, 255},
    {"tear", INJECT_TEAR, 0, WRITES},
    {"short", INJECT_SHORT, 0, READS | WRITES},
    {"flip", INJECT_FLIP, 0, WRITES},
    {"slow", INJECT_SLOW, 0, WRITES},
    {"EIO", INJECT_ERROR, EIO, 255},
    {"ENOSPC", INJECT_ERROR, ENOSPC, CREATES | WRITES | FLUSHES | CLOSES | NAMES},
    {"EDQUOT", INJECT_ERROR, EDQUOT, CREATES | WRITES | FLUSHES | CLOSES | NAMES},
    {"EMFILE", INJECT_ERROR, EMFILE, OPENS | CREATES},
    {"EINTR", INJECT_ERROR, EINTR, OPENS | CREATES | WRITES | READS | FLUSHES | CLOSES},
};
enum { N_FAULTS = sizeof FAULTS / sizeof FAULTS[0] };

static struct {
    pthread_mutex_t mutex;
    struct inject_fault fault;
    unsigned sorts;
    char scope[PATH_BYTES];
    int64_t own_counter, *counter;
    int record;
    struct {
        char path[PATH_BYTES]; /* empty: not of the scope */
        int64_t offset;
    } files[MOST_FILES]; /* by descriptor */
    struct {
        char path[PATH_BYTES];
        int64_t n_bytes, n_opened;
    } reads[MOST_READ];
    int n_reads;
} now = {.mutex = PTHREAD_MUTEX_INITIALIZER, .record = -1};

bool inject_parse(struct inject_fault *fault, const char *word)
{
    for (int i = 0; i < N_FAULTS; i++) {
        if (strcmp(word, FAULTS[i].word) == 0) {
            fault->action = FAULTS[i].action;
            fault->error = FAULTS[i].error;
            return true;
        }
    }
    return false;
}

void inject_arm(const struct inject_fault *fault, const char *scope, int64_t *counter)
{
    now.fault = *fault;
    now.counter = counter != NULL ? counter : &now.own_counter;
    now.sorts = 0;
    for (int i = 0; i < N_FAULTS; i++) {
        if (FAULTS[i].action == fault->action && FAULTS[i].error == fault->error) {
            now.sorts = FAULTS[i].sorts;
        }
    }
    snprintf(now.scope, sizeof now.scope, "%s", scope);
}

void inject_record(int fd)
{
    now.record = fd;
}

int64_t inject_bytes_read(const char *part)
{
    int64_t n = 0;
    for (int i = 0; i < now.n_reads; i++) {
        n += strstr(now.reads[i].path, part) != NULL ? now.reads[i].n_bytes : 0;
    }
    return n;
}

int64_t inject_files_opened(const char *part)
{
    int64_t n = 0;
    for (int i = 0; i < now.n_reads; i++) {
        n += strstr(now.reads[i].path, part) != NULL ? now.reads[i].n_opened : 0;
    }
    return n;
}

static bool is_in_scope(const char *path)
{
    const size_t n = strlen(now.scope);
    if (n == 0) {
        return false;
    }
    const char *at = strncmp(path, now.scope, n) == 0 ? path : NULL;
    for (const char *next = strstr(path, now.scope); at == NULL && next != NULL;
         next = strstr(next + 1, now.scope)) {
        at = next > path && next[-1] == '/' ? next : NULL;
    }
    return at != NULL && (at[n] == '\0' || at[n] == '/');
}

static const char *path_of(int fd)
{
    return fd >= 0 && fd < MOST_FILES ? now.files[fd].path : "";
}

/** Whether the fault hits this call; errno is set, or the process ends. */
static bool hits(enum sort sort, bool in_scope)
{
    if (!in_scope || (now.sorts & sort) == 0) {
        return false;
    }
    const int64_t k = __atomic_fetch_add(now.counter, 1, __ATOMIC_RELAXED);
    if (k < now.fault.at || k - now.fault.at >= now.fault.times) {
        return false;
    }
    if (now.fault.action == INJECT_KILL) {
        kill(getpid(), SIGKILL);
    }
    errno = now.fault.error;
    return true;
}

static void record(enum inject_call call, const char *path, int64_t offset, const void *bytes,
                   size_t n_bytes)
{
    if (now.record < 0) {
        return;
    }
    struct inject_entry entry = {.call = (int32_t)call,
                                 .path_bytes = (int32_t)strlen(path),
                                 .offset = offset,
                                 .n_bytes = (int64_t)n_bytes};
    const struct iovec parts[] = {
        {&entry, sizeof entry}, {(void *)path, (size_t)entry.path_bytes}, {(void *)bytes, n_bytes}};
    if (writev(now.record, parts, 3) !=
        (ssize_t)(sizeof entry + (size_t)entry.path_bytes + n_bytes)) {
        kill(getpid(), SIGABRT);
    }
}

static void note_open(int fd, const char *path, int flags)
{
    if (fd < 0 || fd >= MOST_FILES) {
        return;
    }
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    pthread_mutex_lock(&now.mutex);
    snprintf(now.files[fd].path, PATH_BYTES, "%s", path);
    struct stat64 status;
    now.files[fd].offset =
        (flags & O_APPEND) != 0 && REAL(fstat64)(fd, &status) == 0 ? status.st_size : 0;
    if (writes) {
        record(CALL_CREATE, path, (flags & O_TRUNC) != 0, NULL, 0);
    } else {
        int i = 0;
        while (i < now.n_reads && strcmp(now.reads[i].path, path) != 0) {
            i++;
        }
        if (i < MOST_READ) {
            snprintf(now.reads[i].path, PATH_BYTES, "%s", path);
            now.reads[i].n_opened++;
            now.n_reads = i == now.n_reads ? i + 1 : now.n_reads;
        }
    }
    pthread_mutex_unlock(&now.mutex);
}

static void note_read(int fd, ssize_t n)
{
    pthread_mutex_lock(&now.mutex);
    for (int i = 0; i < now.n_reads && n > 0; i++) {
        if (strcmp(now.reads[i].path, path_of(fd)) == 0) {
            now.reads[i].n_bytes += n;
        }
    }
    pthread_mutex_unlock(&now.mutex);
}

int HOOK(open64)(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const bool in_scope = is_in_scope(path);
    if (hits((flags & O_CREAT) != 0 ? CREATES : OPENS, in_scope)) {
        return -1;
    }
    const int fd = REAL(open64)(path, flags, mode);
    if (in_scope) {
        note_open(fd, path, flags);
    }
    return fd;
}

int HOOK(openat64)(int folder, const char *name, int flags, ...)
{
    char path[2 * PATH_BYTES];
    const bool in_scope = path_of(folder)[0] != '\0';
    snprintf(path, sizeof path, "%.1000s/%.1000s", path_of(folder), name);
    if (hits(OPENS, in_scope)) {
        return -1;
    }
    const int fd = REAL(openat64)(folder, name, flags, 0);
    if (in_scope && fd >= 0) {
        note_open(fd, path, O_RDONLY);
    }
    return fd;
}

int HOOK(close)(int fd)
{
    const bool fails = hits(CLOSES, path_of(fd)[0] != '\0');
    const int error = errno;
    if (fd >= 0 && fd < MOST_FILES) {
        now.files[fd].path[0] = '\0';
    }
    const int result = REAL(close)(fd); /* it is closed in any case */
    errno = fails ? error : errno;
    return fails ? -1 : result;
}

static ssize_t write_some(int fd, const void *bytes, size_t n)
{
    const ssize_t done = REAL(write)(fd, bytes, n);
    if (path_of(fd)[0] != '\0' && done > 0) {
        pthread_mutex_lock(&now.mutex);
        record(CALL_WRITE, path_of(fd), now.files[fd].offset, bytes, (size_t)done);
        now.files[fd].offset += done;
        pthread_mutex_unlock(&now.mutex);
    }
    return done;
}

/** Flip a bit in the middle on its way. */
static ssize_t write_flipped(int fd, const void *bytes, size_t n)
{
    unsigned char byte = ((const unsigned char *)bytes)[n / 2];
    byte ^= 1;
    return write_some(fd, bytes, n / 2) == (ssize_t)(n / 2) && write_some(fd, &byte, 1) == 1 &&
                   write_some(fd, (const char *)bytes + n / 2 + 1, n - n / 2 - 1) ==
                       (ssize_t)(n - n / 2 - 1)
               ? (ssize_t)n
               : -1;
}

ssize_t HOOK(write)(int fd, const void *bytes, size_t n)
{
    if (!hits(WRITES, path_of(fd)[0] != '\0')) {
        return write_some(fd, bytes, n);
    }
    switch (now.fault.action) {
    case INJECT_TEAR:
        write_some(fd, bytes, n / 2);
        kill(getpid(), SIGKILL);
        return -1;
    case INJECT_SHORT:
        return write_some(fd, bytes, (n + 1) / 2);
    case INJECT_SLOW:
        usleep(SLOW_US);
        return write_some(fd, bytes, n);
    case INJECT_FLIP:
        return write_flipped(fd, bytes, n);
    default:
        return -1;
    }
}

ssize_t HOOK(pread64)(int fd, void *bytes, size_t n, off64_t offset)
{
    const bool fails = hits(READS, path_of(fd)[0] != '\0');
    if (fails && now.fault.action == INJECT_ERROR) {
        return -1;
    }
    const ssize_t done = REAL(pread64)(fd, bytes, fails ? (n + 1) / 2 : n, offset);
    note_read(fd, done);
    return done;
}

ssize_t HOOK(pwrite64)(int fd, const void *bytes, size_t n, off64_t offset)
{
    const bool in_scope = path_of(fd)[0] != '\0';
    const bool is_hit = hits(WRITES, in_scope);
    if (is_hit && now.fault.action == INJECT_ERROR) {
        return -1;
    }
    const bool is_short = is_hit && now.fault.action == INJECT_SHORT;
    const ssize_t done = REAL(pwrite64)(fd, bytes, is_short ? (n + 1) / 2 : n, offset);
    if (in_scope && done > 0) {
        pthread_mutex_lock(&now.mutex);
        record(CALL_WRITE, path_of(fd), offset, bytes, (size_t)done);
        pthread_mutex_unlock(&now.mutex);
    }
    return done;
}

int HOOK(fsync)(int fd)
{
    const bool in_scope = path_of(fd)[0] != '\0';
    if (hits(FLUSHES, in_scope)) {
        return -1;
    }
    struct stat64 status;
    if (in_scope && REAL(fstat64)(fd, &status) == 0) {
        pthread_mutex_lock(&now.mutex);
        record(S_ISDIR(status.st_mode) ? CALL_FLUSH_FOLDER : CALL_FLUSH, path_of(fd), 0, NULL, 0);
        pthread_mutex_unlock(&now.mutex);
    }
    return in_scope ? 0 : REAL(fsync)(fd); /* no trial pulls a plug: what is flushed is played */
}

/** A call that changes names, noted if it succeeds. */
static int note_name(int result, enum inject_call call, const char *path, const char *other)
{
    if (result == 0) {
        pthread_mutex_lock(&now.mutex);
        record(call, path, 0, other, strlen(other));
        pthread_mutex_unlock(&now.mutex);
    }
    return result;
}

int HOOK(rename)(const char *from, const char *to)
{
    if (!is_in_scope(from)) {
        return REAL(rename)(from, to);
    }
    return hits(NAMES, true) ? -1 : note_name(REAL(rename)(from, to), CALL_RENAME, from, to);
}

int HOOK(mkdir)(const char *path, mode_t mode)
{
    if (!is_in_scope(path)) {
        return REAL(mkdir)(path, mode);
    }
    return hits(NAMES, true) ? -1 : note_name(REAL(mkdir)(path, mode), CALL_MAKE_FOLDER, path, "");
}

int HOOK(unlink)(const char *path)
{
    if (!is_in_scope(path)) {
        return REAL(unlink)(path);
    }
    return hits(NAMES, true) ? -1 : note_name(REAL(unlink)(path), CALL_REMOVE, path, "");
}

int HOOK(rmdir)(const char *path)
{
    if (!is_in_scope(path)) {
        return REAL(rmdir)(path);
    }
    return hits(NAMES, true) ? -1 : note_name(REAL(rmdir)(path), CALL_REMOVE, path, "");
}

int HOOK(unlinkat)(int folder, const char *name, int flags)
{
    char path[2 * PATH_BYTES];
    if (path_of(folder)[0] == '\0') {
        return REAL(unlinkat)(folder, name, flags);
    }
    snprintf(path, sizeof path, "%.1000s/%.1000s", path_of(folder), name);
    return hits(NAMES, true)
               ? -1
               : note_name(REAL(unlinkat)(folder, name, flags), CALL_REMOVE, path, "");
}

int HOOK(ftruncate64)(int fd, off64_t length)
{
    const bool in_scope = path_of(fd)[0] != '\0';
    if (hits(NAMES, in_scope)) {
        return -1;
    }
    if (in_scope) {
        pthread_mutex_lock(&now.mutex);
        record(CALL_TRUNCATE, path_of(fd), length, NULL, 0);
        pthread_mutex_unlock(&now.mutex);
    }
    return REAL(ftruncate64)(fd, length);
}

int HOOK(stat64)(const char *path, struct stat64 *status)
{
    return hits(LOOKS, is_in_scope(path)) ? -1 : REAL(stat64)(path, status);
}

int HOOK(fstat64)(int fd, struct stat64 *status)
{
    return hits(LOOKS, path_of(fd)[0] != '\0') ? -1 : REAL(fstat64)(fd, status);
}

/** It closes a descriptor whose number is soon another file's. */
int HOOK(closedir)(DIR *folder)
{
    const int fd = dirfd(folder);
    if (fd >= 0 && fd < MOST_FILES) {
        now.files[fd].path[0] = '\0';
    }
    return REAL(closedir)(folder);
}

DIR *HOOK(opendir)(const char *path)
{
    return hits(OPENS, is_in_scope(path)) ? NULL : REAL(opendir)(path);
}
