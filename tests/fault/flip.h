/** A bit that flips in a message, between its arrival and whoever reads it. The linker turns the
 * transport's calls aside (flip_link_arguments in tests/meson.build); no other program has this. */
#ifndef ATTNRES_TESTS_FLIP_H
#define ATTNRES_TESTS_FLIP_H

#include <stdint.h>

enum { FLIP_MAX_RANKS = 8 };

struct flip {
    int rank;        /* that receives */
    int channel;     /* enum transport_channel; -1: any */
    int64_t message; /* of those that this rank receives on this channel, from 0; -1: none flips */
    uint64_t bit;    /* modulo the message's length */
    void (*hit)(void); /* called when it has flipped, unless NULL */
};

/** Once, before any rank talks. */
void flip_arm(const struct flip *flip);
/** Messages that a rank of this process has received so far on the armed channel. */
int64_t flip_count(int rank);

#endif
