/** Collective operations with a fixed order, on transport's send and receive alone.
 *
 *  MPI_Allreduce has no fixed order for floats; here sums run over the ranks of a group in
 * ascending order, so that the bits depend on the values and the group, never on timing. All ranks
 * of a group call the same functions with the same sizes, ranks outside do not. Nothing is
 * allocated but by collective_exchange_create. */
#ifndef ATTNRES_COLLECTIVE_H
#define ATTNRES_COLLECTIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/transport.h>

/** Ranks first, first + stride, ...: size of them. The i-th has place i. */
struct collective_group {
    int first, size, stride;
};

/** The group of all ranks. */
struct collective_group collective_all(const struct transport *t);

/** Gather a record of record_bytes from each rank of the group into records on root (a rank of the
 * group), in rank order; records is not touched elsewhere and may be NULL there. Collective over
 * group. */
void collective_gather(struct transport *t, struct collective_group group, int root,
                       const void *record, size_t record_bytes, void *records);

/** Whether all ranks succeeded so far. If not, every rank returns false with the error kind of the
 * lowest rank that failed, and only that rank keeps its message, so that a failure is told once.
 * err must not be NULL. Collective over all ranks. */
bool collective_agree(struct transport *t, bool ok, struct error *err);

/** A tensor that every rank of a group holds and one of them owns. */
struct collective_tensor {
    float *values;
    int64_t count;
    int owner; /* place */
};

/** Sums of tensors onto their owners and hand-outs from them, cut into messages with checksums,
 * that go on while the caller computes and releases one tensor after another:
 *
 *      collective_begin_sum(x, gradients, n);          receives are posted
 *      ... collective_release(x, 1); ...               the next tensor of the table is whole
 *      ... collective_advance(x); ...                  send, take and add what can be
 *      while (!collective_is_done(x)) ...              the owners' values are the sums
 *
 *  A sum is values of place 0 + values of place 1 + ..., in this order, wherever its owner is; what
 * the others hold stays as it was. All ranks list the same tensors in the same order. */
struct collective_exchange;

/** What an exchange works with. Memory is the caller's, for its whole life. */
struct collective_exchange_spec {
    struct transport *transport;
    struct collective_group group; /* of at least two, this rank among them */
    int64_t chunk_count;           /* elements of a message, at most */
    int depth;                     /* messages under way to and from each other rank */
    unsigned char *out, *in;       /* frames, (size - 1, depth), one behind another */
    float *scratch;                /* (2, chunk_count) */
    void (*add)(float *out, const float *a, const float *b, int64_t count);
};

/** Bytes of a frame. */
size_t collective_frame_bytes(int64_t chunk_count);

struct collective_exchange *collective_exchange_create(const struct collective_exchange_spec *spec);
void collective_exchange_destroy(struct collective_exchange *x);

/** Begin; the one before must be done. The table is borrowed until this one is. */
void collective_begin_sum(struct collective_exchange *x, const struct collective_tensor *tensors,
                          int64_t n);
/** Hand-out: every rank's tensors become those of their owners. */
void collective_begin_hand_out(struct collective_exchange *x,
                               const struct collective_tensor *tensors, int64_t n);

/** The next n tensors of the table hold this rank's values, and stay untouched until all is done.
 */
void collective_release(struct collective_exchange *x, int64_t n);
int64_t collective_count_unreleased(const struct collective_exchange *x);

/** Send at most one message and take what has arrived, at most one from each rank. Never waits.
 * Whether anything was done. */
bool collective_advance(struct collective_exchange *x);

/** Whether all has been taken and all that was sent has left. Once it has, a new one may begin. */
bool collective_is_done(struct collective_exchange *x);

/** The requests to wait for when nothing could be done; the first is what comes next. Valid until
 * the next call. */
int collective_list_requests(struct collective_exchange *x,
                             struct transport_request *const **requests);

/** Bytes sent since the last call. */
int64_t collective_take_bytes(struct collective_exchange *x);

#endif
