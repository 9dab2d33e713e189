/** How ranks talk: few operations, two implementations. `mpi` is the real one (src/transport/mpi.c,
 * the only file that knows MPI); `local` connects ranks inside one process, each a thread, or all
 * stepped by one thread as long as only post and test are used.
 *
 *  Messages between two ranks under one tag arrive in the order of their posting. Receives are
 * posted before their message is due; a send may complete only when its receive was posted (always
 * so in `local` and in synchronous mode). Both sides know a message's capacity; how much of it is
 * used, the sender alone. Communication lost in a step aborts the job: there is nothing to unwind.
 */
#ifndef ATTNRES_TRANSPORT_H
#define ATTNRES_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/journal.h>

enum {
    TRANSPORT_MAX_REQUESTS = 20480, /* posted at a time on one rank: see engine.c */
    TRANSPORT_MAX_CHUNKS = 4096,
    TRANSPORT_PART_BYTES = INT32_MAX - 63, /* what MPI can count, a multiple of 64 */
    TRANSPORT_MAX_PARTS = 16,              /* of a message: 32 GiB */
};

/** What a message is for; with the chunk it makes the tag. */
enum transport_channel {
    CHANNEL_VALUES,
    CHANNEL_GRADIENTS,
    CHANNEL_COLLECTIVE,
    CHANNEL_TIED_HEAD,
    CHANNEL_REPLICAS,
    TRANSPORT_CHANNELS
};

struct transport;

/** A posted send or receive. Zeroed: none, and testing or waiting returns at once. */
struct transport_request {
    int index;     /* slot in the transport plus 1; 0: none */
    size_t length; /* once it is done: bytes sent or received */
};

int transport_rank(const struct transport *t);
int transport_size(const struct transport *t);
const char *
transport_name(const struct transport *t); /* "mpi" or "local", with the library's version */

/** What the library under a transport asks of the hosts; zeroed for `local`. */
struct transport_habits {
    bool is_mpi;
    bool yields;           /* its own waits give up the processor */
    int64_t segment_bytes; /* shared memory that it may use for a rank beside others; 0: none */
    char segment_folder[64];
};
struct transport_habits transport_habits(const struct transport *t);

/** The channel as messages name it: "values". */
const char *transport_channel_name(enum transport_channel channel);

/** Let a wait that is not done after so many seconds abort the job with exit code 69, naming rank,
 * peer, channel and how long; 0, as after create: never. In training the watch names the culprit
 * long before. */
void transport_set_deadline(struct transport *t, double seconds);

/** Note every wait that is not over at once in this journal, until another one is set; NULL, as
 * after create: nowhere. Borrowed; its writer is the thread that uses the transport. */
void transport_set_journal(struct transport *t, struct journal *journal);
struct journal *transport_journal(const struct transport *t);

/** Post a send of bytes to peer. The memory stays untouched until the request is done. */
void transport_post_send(struct transport *t, int peer, enum transport_channel channel, int chunk,
                         const void *bytes, size_t length, struct transport_request *request);
/** The same for a message whose length varies: the receive was posted with this capacity. */
void transport_post_send_within(struct transport *t, int peer, enum transport_channel channel,
                                int chunk, const void *bytes, size_t length, size_t capacity,
                                struct transport_request *request);
/** Post a receive of up to capacity bytes; request->length tells how many came. A longer message
 * aborts the job. The memory belongs to the transport until the request is done. */
void transport_post_receive(struct transport *t, int peer, enum transport_channel channel,
                            int chunk, void *bytes, size_t capacity,
                            struct transport_request *request);
/** Whether the request is done; if so it becomes none. Drives progress of all requests. */
bool transport_test(struct transport *t, struct transport_request *request);
void transport_wait(struct transport *t, struct transport_request *request);
/** Wait until at least one of those of the n requests that are posted is done, at least one of
 * which must be. The first such one stands for the wait in the journal and in messages. */
void transport_wait_any(struct transport *t, struct transport_request *const *requests, int n);

/** Send or receive a message whole, of exactly this length, with a checksum behind it; a message
 * that arrives damaged aborts the job, naming both ranks. Both sides must use these. */
void transport_send(struct transport *t, int peer, enum transport_channel channel,
                    const void *bytes, size_t length);
void transport_receive(struct transport *t, int peer, enum transport_channel channel, void *bytes,
                       size_t length);

/** Collective over all ranks. */
void transport_broadcast(struct transport *t, int root, void *bytes, size_t length);
void transport_barrier(struct transport *t);
/** True on every rank if ok on every rank. Collective over all ranks. */
bool transport_all_true(struct transport *t, bool ok);

/** End the job on all ranks with this exit code after printing the message with the rank. Does not
 * return. In local it prints nothing, marks the world as aborted and ends the calling thread; the
 * other ranks' threads end at their next call, or now if they wait. */
void transport_abort(struct transport *t, int exit_code, const char *message);

/** End this process at once with this exit code, from any of its threads and without a call that
 * could wait; the launcher ends the other ranks. For whoever finds that the thread which uses the
 * transport no longer gets on. Does not return. In local the world counts as aborted by the
 * rank, the ranks' threads end as after transport_abort, and the call returns. */
void transport_leave(struct transport *t, int exit_code, const char *message);

/** The mpi transport: MPI_Init (thread level: funneled) and MPI_COMM_WORLD, once per process.
 * synchronous: every send completes only when matched. Destroy finalises MPI. Only main and
 * tests/mpi call these. */
struct transport *transport_mpi_create(int *argc, char ***argv, bool synchronous,
                                       struct error *err);
void transport_mpi_destroy(struct transport *t);
/** Whether the environment says that a launcher (mpirun, srun) started this process. */
bool transport_mpi_is_launched(void);

/** `size` ranks of one process. Ranks are owned by the world. NULL when memory ran out. */
struct transport_world;
struct transport_world *transport_world_create(int size);
void transport_world_destroy(struct transport_world *world);
struct transport *transport_world_rank(struct transport_world *world, int rank);
/** Whether some rank aborted; its message, else NULL. Ask when the ranks' threads have ended. */
const char *transport_world_aborted(const struct transport_world *world);

#endif
