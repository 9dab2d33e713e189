/* Which replica owns which row of the parameter table. */
#include "plan_internal.h"

#include <stdlib.h>

#include <attnres/heap.h>

/** A row to be given away. */
struct share {
    int64_t row, count;
};

/** The largest first; equal ones in table order. */
static int compare_shares(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    if (x->count != y->count) {
        return x->count < y->count ? 1 : -1;
    }
    return (x->row > y->row) - (x->row < y->row);
}

/** Give each row, the largest first, to the replica that has the least so far, the lowest of
 * equals: none ends up with more than the mean and one largest row. */
static void choose(struct plan *plan, int rank, struct share *shares, int64_t *loads)
{
    const int R = plan->grid.n_replicas;
    int64_t n = 0;
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        const struct stage *stage = plan_stage(plan, rank, chunk);
        for (int64_t row = stage->first_param; row < stage->end_param; row++) {
            shares[n++] = (struct share){row, plan->params.rows[row].count};
        }
    }
    qsort(shares, (size_t)n, sizeof *shares, compare_shares);
    for (int replica = 0; replica < R; replica++) {
        loads[replica] = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        int least = 0;
        for (int replica = 1; replica < R; replica++) {
            least = loads[replica] < loads[least] ? replica : least;
        }
        loads[least] += shares[i].count;
        plan->owners[shares[i].row].replica = least;
    }
}

/** What a rank owns lies in memory and in its files stage by stage, in table order. */
static void place(struct plan *plan, int rank)
{
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        const struct stage *stage = plan_stage(plan, rank, chunk);
        for (int64_t row = stage->first_param; row < stage->end_param; row++) {
            struct plan_owner *owner = &plan->owners[row];
            int64_t *count = &plan->owned_counts[grid_rank(&plan->grid, owner->replica, rank)];
            owner->base = *count;
            *count += plan->params.rows[row].count;
        }
    }
}

void plan_choose_owners(struct plan *plan)
{
    plan->owners =
        heap_take((size_t)plan->params.n_rows, sizeof *plan->owners, "who owns which weights");
    plan->owned_counts = heap_take((size_t)grid_size(&plan->grid), sizeof *plan->owned_counts,
                                   "who owns which weights");
    struct share *shares =
        heap_take((size_t)plan->max_rank_params, sizeof *shares, "who owns which weights");
    int64_t *loads =
        heap_take((size_t)plan->grid.n_replicas, sizeof *loads, "who owns which weights");
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        choose(plan, rank, shares, loads);
        place(plan, rank);
    }
    free(shares);
    free(loads);
}

bool plan_owns(const struct plan *plan, int replica, const struct param *param)
{
    return plan->owners[param - plan->params.rows].replica == replica;
}
