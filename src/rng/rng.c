#include <attnres/rng.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

enum { FEISTEL_ROUNDS = 6 };

static const double PI = 3.14159265358979323846;
static const double UNIT_53 = 1.0 / 9007199254740992.0; /* 2^-53 */

/* The finaliser of splitmix64: a bijection of 64 bits. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t fnv1a64(const char *text)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    }
    return hash;
}

/* High half of the 128-bit product, from halves of 32 bits; no sum below can overflow. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    const uint64_t low = UINT32_MAX;
    const uint64_t a0 = a & low, a1 = a >> 32, b0 = b & low, b1 = b >> 32;
    const uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    const uint64_t carry = a0 * b1 + (middle & low);
    return a1 * b1 + (middle >> 32) + (carry >> 32);
}

struct rng rng_stream(uint64_t seed)
{
    return (struct rng){.state = seed};
}

uint64_t rng_next(struct rng *r)
{
    r->state += GOLDEN;
    return mix(r->state);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    return multiply_high(rng_next(r), n);
}

double rng_uniform(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * UNIT_53;
}

uint64_t rng_key(uint64_t seed, const char *name)
{
    return mix(fnv1a64(name) ^ mix(seed + GOLDEN));
}

uint64_t rng_at(uint64_t key, uint64_t index)
{
    return mix(key + (index + 1) * GOLDEN);
}

uint64_t rng_hash_floats(const float *values, int64_t count)
{
    uint64_t hash = (uint64_t)count;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        hash = rng_at(hash, bits);
    }
    return hash;
}

double rng_normal_at(uint64_t key, uint64_t index)
{
    /* u1 lies in (0, 1], so that its logarithm is finite. */
    const double u1 = (double)((rng_at(key, 2 * index) >> 11) + 1) * UNIT_53;
    const double u2 = (double)(rng_at(key, 2 * index + 1) >> 11) * UNIT_53;
    return sqrt(-2.0 * log(u1)) * cos(2.0 * PI * u2);
}

/* One pass over pairs of half_bits bits. Each round is invertible whatever mix does, so the whole
 * is a bijection of 2 half_bits bits. */
static uint64_t feistel(uint64_t key, uint64_t index, unsigned half_bits)
{
    const uint64_t mask = (UINT64_C(1) << half_bits) - 1;
    uint64_t left = index >> half_bits, right = index & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint64_t next = left ^ (mix(rng_at(key, round) + right) & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t rng_permute(uint64_t key, uint64_t index, uint64_t n)
{
    assert(index < n);
    unsigned half_bits = 1;
    while (half_bits < 32 && (n - 1) >> (2 * half_bits) != 0) {
        half_bits++;
    }
    /* The network permutes fewer than 4n numbers (four for n = 1). Walking its cycle from inside
     * [0, n) comes back inside, and two starts never meet. */
    do {
        index = feistel(key, index, half_bits);
    } while (index >= n);
    return index;
}
