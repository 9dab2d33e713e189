/** A limit on the length of files stands in for a full disk, for this process and until its end. */
#ifndef ATTNRES_TESTS_FULL_DISK_H
#define ATTNRES_TESTS_FULL_DISK_H

#include <signal.h>
#include <sys/resource.h>

/** What lies beyond so many bytes of a file is not written; returns the limit before. */
static inline struct rlimit full_disk_begin(rlim_t bytes)
{
    struct rlimit old = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = bytes, .rlim_max = old.rlim_max});
    return old;
}

static inline void full_disk_end(const struct rlimit *old)
{
    setrlimit(RLIMIT_FSIZE, old);
}

#endif
