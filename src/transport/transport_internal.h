/** What transport.c and the two implementations share. */
#ifndef ATTNRES_TRANSPORT_INTERNAL_H
#define ATTNRES_TRANSPORT_INTERNAL_H

#include <attnres/transport.h>

enum { TRANSPORT_NAME_BYTES = 96 };

/** A posted send or receive. */
struct transport_slot {
    bool is_send;
    bool is_done;
    int peer;
    enum transport_channel channel;
    int chunk;
    const void *source; /* of a send */
    void *target;       /* of a receive */
    size_t length;      /* of a send; of a receive once it is done */
    size_t capacity;
    int next; /* index of the next free slot, or in local of the next unmatched one; -1: none */
};

/** What an implementation does. `slot` is an index into transport.slots, filled in. */
struct transport_operations {
    void (*post)(struct transport *t, int slot);
    /** Whether the slot is done. */
    bool (*test)(struct transport *t, int slot);
    /** The same, but may wait for up to about 0.1 s and lets others have the processor. */
    bool (*await)(struct transport *t, int slot);
    void (*abort)(struct transport *t, int exit_code, const char *message);
    void (*leave)(struct transport *t, int exit_code, const char *message);
};

/** The first member of both implementations. */
struct transport {
    const struct transport_operations *operations;
    int rank, size;
    char name[TRANSPORT_NAME_BYTES];
    struct transport_habits habits;
    double deadline_s; /* of a wait; 0: never */
    struct journal *journal;
    int first_free; /* of the slots that were in use; -1: none */
    int n_touched;  /* slots that ever were; memory behind them stays untouched */
    struct transport_slot slots[TRANSPORT_MAX_REQUESTS];
};

void transport_init(struct transport *t, const struct transport_operations *operations, int rank,
                    int size);

/** For tests/mpi: split messages above so many bytes (a multiple of 64) instead of 2^31 - 64. */
void transport_mpi_set_part_bytes(struct transport *t, size_t bytes);

#endif
