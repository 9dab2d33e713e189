/** The calls that are turned aside: HOOK(x) stands in for x, REAL(x) does what x does. */
#ifndef ATTNRES_TESTS_INJECT_CALLS_H
#define ATTNRES_TESTS_INJECT_CALLS_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef INJECT_PRELOAD
#define HOOK(name) name
#define REAL(name) inject_real.name
#define DECLARE(type, name, ...)
#else
#define HOOK(name) __wrap_##name
#define REAL(name) __real_##name
#define DECLARE(type, name, ...)                                                                   \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __real_##name(__VA_ARGS__);
#endif

/* Objects are compiled with files of 64 bits, whose calls the C library names so. */
#define INJECT_CALLS(X)                                                                            \
    X(int, open64, const char *path, int flags, ...)                                               \
    X(int, openat64, int folder, const char *name, int flags, ...)                                 \
    X(int, close, int fd)                                                                          \
    X(ssize_t, write, int fd, const void *bytes, size_t n)                                         \
    X(ssize_t, pread64, int fd, void *bytes, size_t n, off64_t offset)                             \
    X(ssize_t, pwrite64, int fd, const void *bytes, size_t n, off64_t offset)                      \
    X(int, fsync, int fd)                                                                          \
    X(int, rename, const char *from, const char *to)                                               \
    X(int, mkdir, const char *path, mode_t mode)                                                   \
    X(int, unlink, const char *path)                                                               \
    X(int, rmdir, const char *path)                                                                \
    X(int, unlinkat, int folder, const char *name, int flags)                                      \
    X(int, ftruncate64, int fd, off64_t length)                                                    \
    X(int, stat64, const char *path, struct stat64 *status)                                        \
    X(int, fstat64, int fd, struct stat64 *status)                                                 \
    X(DIR *, opendir, const char *path)                                                            \
    X(int, closedir, DIR *folder)

INJECT_CALLS(DECLARE)

#ifdef INJECT_PRELOAD
#define MEMBER(type, name, ...) type (*name)(__VA_ARGS__);
extern struct inject_real {
    INJECT_CALLS(MEMBER)
} inject_real;
#undef MEMBER
#endif

#endif
