/** How work is cut. Sizes are fixed, so that results do not depend on the number of threads. */
#ifndef ATTNRES_KERNELS_TILES_H
#define ATTNRES_KERNELS_TILES_H

#include <stdint.h>

#include <attnres/kernels.h>

enum {
    TILE = 32,          /* tokens of a tile: what a thread takes, and what stays in its cache */
    LONG_TILE = 128,    /* the same in depth attention, where rows are short */
    COUNT_TILE = 16384, /* elements of a tile where tokens do not matter */
    CHUNK = 65536,      /* elements of one partial sum of squares */
    QUERY_TILE = 64,    /* queries and */
    KEY_TILE = 64,      /* keys whose scores are held at once */
    HEAD_TILE = 32,     /* what a head's channels are padded to */
    MAX_ATTENTION_SLOTS = 64 /* tasks of attention that may run at the same time */
};

static inline int64_t kernels_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t kernels_tile_count(int64_t count, int64_t tile)
{
    return (count + tile - 1) / tile;
}

/* Tokens of a tile of depth attention, which walks over many sources, a tile of each: short runs of
 * memory are slow to fetch, so a tile has 32 KiB or more. */
static inline int64_t kernels_depth_tile(int64_t C)
{
    return C <= 64 ? LONG_TILE : (C <= 128 ? LONG_TILE / 2 : TILE);
}

/* Channels and keys of a head in the scratch of attention. Queries come in tiles, and keys of a
 * whole tile of queries are looked at. */
static inline int64_t kernels_head_width(int64_t D)
{
    return kernels_tile_count(D, HEAD_TILE) * HEAD_TILE;
}

static inline int64_t kernels_padded_keys(int64_t T)
{
    return kernels_tile_count(T, QUERY_TILE) * QUERY_TILE;
}

/* Elements of scratch that one thread of attention needs; attention.c says for what. */
static inline int64_t kernels_attention_slot(const struct attention_shape *shape)
{
    const int64_t width = kernels_head_width(shape->head_dim);
    const int64_t keys = kernels_padded_keys(shape->n_tokens) * width;
    return 4 * keys + 5 * QUERY_TILE * width + 2 * KEY_TILE * QUERY_TILE;
}

/* Bytes of scratch that a plan's workers write to, at most: fewer threads than panels use less than
 * matmul_scratch_bytes. */
size_t matmul_used_bytes(const struct matmul *matmul);

#endif
