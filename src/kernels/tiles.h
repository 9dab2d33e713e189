/** How work is cut. Sizes are fixed, so that results do not depend on the number of threads
 * (model.md 6f). */
#ifndef ATTNRES_KERNELS_TILES_H
#define ATTNRES_KERNELS_TILES_H

#include <stdint.h>

enum {
    TILE = 32,          /* tokens of a tile: what a thread takes, and what stays in its cache */
    COUNT_TILE = 16384, /* elements of a tile where tokens do not matter */
    CHUNK = 65536,      /* elements of one partial sum of squares (model.md 6e) */
    QUERY_TILE = 64,    /* query rows whose scores are held at once */
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

/* Columns of the scores of one tile, padded so that every row starts on 64 bytes. */
static inline int64_t kernels_score_stride(int64_t T)
{
    return kernels_tile_count(T, 16) * 16;
}

#endif
