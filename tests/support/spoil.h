/** Numbers that change while a run computes. The linker turns the model's parts and the kernels'
 * table aside (guard_link_arguments in tests/meson.build): what one of them leaves is spoilt at one
 * place, always or at one call. */
#ifndef ATTNRES_TESTS_SPOIL_H
#define ATTNRES_TESTS_SPOIL_H

#include <stdatomic.h>
#include <stdint.h>

/** What is spoilt. */
enum site {
    NOWHERE,
    TAKEN,        /* a value that the stage has taken in */
    OUTPUT,       /* of a part; of the head: logits */
    GAIN,         /* gradient of the part's gain */
    MATRIX,       /* gradient of the part's last matrix */
    EMBEDDING,    /* gradient of the embedding */
    GIVEN,        /* gradient of a value that the stage has taken in */
    WEIGHT,       /* of a replica, once all have the new ones */
    FIRST_WEIGHT, /* of all of them */
    SQUARES,      /* the sum of a row's squares, on the rank in place of the stage */
    NEW_WEIGHT,   /* what an update leaves, there */
    NEW_MEAN,
    NEW_SQUARE,
};

struct spoil_fault {
    enum site site;
    int stage, part, microbatch, replica;
    int call;      /* counted from 1; 0: every one */
    uint32_t flip; /* bits that change; 0: becomes NaN */
    _Atomic int n_calls;
};
extern struct spoil_fault fault;

/** The calling thread is this rank's. */
void spoil_set_rank(int rank);

#endif
