/** Collective operations with a fixed order, on transport's send and receive alone.
 *
 *  MPI_Allreduce has no fixed order for floats; here sums run over the ranks in ascending order, so
 * that the bits depend on the values and the group, never on timing. A group is a contiguous run of
 * ranks; all its ranks call the same function with the same sizes, ranks outside do not. Nothing is
 * allocated. */
#ifndef ATTNRES_COLLECTIVE_H
#define ATTNRES_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>

#include <attnres/error.h>
#include <attnres/transport.h>

/** Ranks first ... first + size - 1. */
struct collective_group {
    int first, size;
};

/** The group of all ranks. */
struct collective_group collective_all(const struct transport *t);

/** Gather a record of record_bytes from each rank of the group into records on root (a rank of the
 * group), in rank order; records is not touched elsewhere and may be NULL there. Collective over
 * group. */
void collective_gather(struct transport *t, struct collective_group group, int root,
                       const void *record, size_t record_bytes, void *records);

/** x := x of the first rank + x of the second + ..., in this order, on every rank of the group.
 * x, scratch (n); scratch is overwritten. Collective over group. */
void collective_sum_f32(struct transport *t, struct collective_group group, float *x, size_t n,
                        float *scratch);
void collective_sum_f64(struct transport *t, struct collective_group group, double *x, size_t n,
                        double *scratch);

/** Whether all ranks succeeded so far. If not, every rank returns false with the error kind of the
 * lowest rank that failed, and only that rank keeps its message, so that a failure is told once.
 * err must not be NULL. Collective over all ranks. */
bool collective_agree(struct transport *t, bool ok, struct error *err);

#endif
