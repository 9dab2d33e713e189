/* Our own allocations, of which the k-th fails. The linker turns the calls aside (--wrap). */
#include <stdlib.h>

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

void memory_arm(int64_t at, int64_t *counter)
{
    now.at = at;
    now.counter = counter;
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
