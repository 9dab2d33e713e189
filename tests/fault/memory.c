/* Our own allocations, of which the k-th fails. The linker turns the calls aside (--wrap). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <attnres/error.h>
#include <attnres/file.h>

#include "trial.h"

static struct {
    int64_t at, own_counter, *counter;
    bool is_over;
} now = {.counter = &now.own_counter, .is_over = true};

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset);

void memory_arm(int64_t at, int64_t *counter)
{
    now.at = at;
    now.counter = counter;
}

void memory_start_failing(void)
{
    now.is_over = false;
}

void memory_stop_failing(void)
{
    now.is_over = true;
}

static bool fails(void)
{
    return !now.is_over && __atomic_add_fetch(now.counter, 1, __ATOMIC_RELAXED) == now.at;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(at, size, protection, flags, fd, offset);
}

enum { SAVED = 4 }; /* the step that there is to load */

/** It did without, or said that there is no memory; what it should load it has loaded. */
static void expect_end(const struct outcome *o, int64_t first_step, const char *what)
{
    const bool did_without =
        o->code == 0 && o->hash == trial_expected_hash(TRIAL_STEPS) && o->first_step == first_step;
    const bool says_so =
        (o->code == ERROR_CREATE || o->code == ERROR_IO) && strstr(o->message, "memory") != NULL;
    if (!did_without && !says_so) {
        trial_fail("%s: ends with signal %d, code %d, begun at %" PRId64 ": %s", what, o->signal,
                   o->code, o->first_step, o->message);
    }
}

bool memory_row(struct tally *tally, const struct row *row)
{
    struct trial trial = {.resumes = strcmp(row->moment, "load") == 0};
    if (strcmp(row->fault, "no-memory") != 0 ||
        (strcmp(row->moment, "start") != 0 && !trial.resumes)) {
        return false;
    }
    trial_expected_hash(TRIAL_STEPS);
    TRIAL_REQUIRE(trial_run(&(struct trial){.steps = SAVED})->code == 0);
    TRIAL_REQUIRE(file_rename("run", "base", NULL));
    for (trial.fail_allocation = 1;; trial.fail_allocation += row->stride) {
        char what[128];
        snprintf(what, sizeof what, "%s %s, call %" PRId64, row->fault, row->moment,
                 trial.fail_allocation);
        TRIAL_REQUIRE(file_remove_tree("run", NULL));
        if (trial.resumes) {
            trial_copy("base", "run");
        }
        const struct outcome *o = trial_run(&trial);
        if (o->n_allocations < trial.fail_allocation) {
            return true;
        }
        expect_end(o, trial.resumes ? SAVED : 0, what);
        tally->n_cases++;
        tally->n_refused += o->code != 0;
        trial_expect_resumed(tally, &trial, 0, 0, what);
    }
}
