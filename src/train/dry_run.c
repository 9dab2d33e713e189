/* What --dry-run prints: the plan, and what the ranks hold beside it. */
#include "train_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/collective.h>
#include <attnres/heap.h>

enum { WIDTH = 100, TEXT_BYTES = 1 << 16, TEXT_BYTES_PER_STAGE = 1 << 10 };

int64_t train_data_bytes(const struct train *t)
{
    int64_t bytes = t->train_data != NULL ? (int64_t)data_memory_bytes(t->train_data) : 0;
    bytes += t->val_data != NULL ? (int64_t)data_memory_bytes(t->val_data) : 0;
    return bytes;
}

static void print(const struct plan *plan, const struct plan_measured *measured)
{
    const size_t capacity = TEXT_BYTES + (size_t)plan->n_stages * TEXT_BYTES_PER_STAGE;
    char *text = heap_take(capacity, 1, "the printed plan");
    plan_print(plan, measured, WIDTH, text, capacity);
    fputs(text, stdout);
    fflush(stdout);
    free(text);
}

void train_print_plan(struct train *t)
{
    const struct plan_measured own = {.library_bytes = t->session.base_bytes,
                                      .data_bytes = train_data_bytes(t)};
    struct plan_measured *measured = heap_take((size_t)grid_size(&t->session.plan.grid),
                                               sizeof *measured, "the table of memory");
    collective_gather(t->transport, collective_all(t->transport), 0, &own, sizeof own, measured);
    if (t->is_root) {
        print(&t->session.plan, measured);
    }
    free(measured);
}
