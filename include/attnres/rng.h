/** Random numbers that depend on nothing but their key: streams (splitmix64), values by counter,
 * permutations.
 *
 *  Everything random in a run is drawn from here by (seed, name, index), so that it does not depend
 * on the number of ranks or on the order in which ranks ask. */
#ifndef ATTNRES_RNG_H
#define ATTNRES_RNG_H

#include <stdint.h>

/** A splitmix64 stream (Steele, Lea, Flood 2014). Plain data: copy it to fork it. */
struct rng {
    uint64_t state;
};

struct rng rng_stream(uint64_t seed);
uint64_t rng_next(struct rng *r);

/** A number in [0, n): high half of the 128-bit product of a draw and n; no rejection. Requires n >
 * 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

/** Uniform in [0, 1), 53 bits. */
double rng_uniform(struct rng *r);

/** A key from a seed and a name: equal names under equal seeds give equal keys on every machine. */
uint64_t rng_key(uint64_t seed, const char *name);

/** The index-th value under a key. */
uint64_t rng_at(uint64_t key, uint64_t index);

/** 64-bit hash of the bits of count floats. */
uint64_t rng_hash_floats(const float *values, int64_t count);

/** The index-th standard normal under a key (Box-Muller on rng_at(2 index), rng_at(2 index + 1), in
 * f64). */
double rng_normal_at(uint64_t key, uint64_t index);

/** Where index goes under a keyed permutation of [0, n): a Feistel network with cycle walking, so
 * that any position is found without the others. Requires index < n. */
uint64_t rng_permute(uint64_t key, uint64_t index, uint64_t n);

#endif
