/* Attention over depth: reads made of the steps of depth_step.c, one sweep over the sources while a
 * tile of tokens is in cache. */
#include "depth_step.h"

#include <string.h>

#include "partials.h"

static struct depth_tile tile_at(int64_t index, int64_t n, int64_t C)
{
    const int64_t rows = kernels_depth_tile(C);
    return (struct depth_tile){
        .begin = index * rows, .end = kernels_min(n, (index + 1) * rows), .n = n, .C = C};
}

void KERNEL(depth_inverse_rms)(float *restrict r, const float *restrict v, int64_t n, int64_t C,
                               float eps)
{
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < kernels_tile_count(n, kernels_depth_tile(C)); index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        KERNEL(depth_step_inverse_rms)(r, v, &tile, eps);
    }
}

void KERNEL(depth_read_advance)(struct depth_read *reads, int64_t n_reads,
                                const struct depth_source *sources, int64_t n_sources, int64_t n,
                                int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < kernels_tile_count(n, kernels_depth_tile(C)); index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        for (int64_t i = 0; i < n_sources; i++) {
            for (int64_t read = 0; read < n_reads; read++) {
                KERNEL(depth_step_advance)
                (&reads[read], reads[read].n_seen + i, &sources[i], &tile);
            }
        }
    }
    for (int64_t read = 0; read < n_reads; read++) {
        reads[read].n_seen += n_sources;
    }
}

void KERNEL(depth_read_finish)(float *restrict out, float *restrict rstd, struct depth_read *read,
                               const struct depth_source *sources, int64_t n_sources,
                               const float *restrict gain, int64_t n, int64_t C, float eps)
{
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < kernels_tile_count(n, kernels_depth_tile(C)); index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        for (int64_t i = 0; i < n_sources; i++) {
            KERNEL(depth_step_advance)(read, read->n_seen + i, &sources[i], &tile);
        }
        KERNEL(depth_step_finish)(read, &tile);
        KERNEL(depth_step_norm)(out, rstd, read->o, gain, &tile, eps);
    }
    read->n_seen += n_sources;
}

/* The sums over tokens of one tile: of dw, or of what a call adds to dlogits. */
static float *partial_of(const struct depth_read *read, int64_t n_sources, int64_t index, int64_t C)
{
    return read->partials + index * (read->w ? C : n_sources);
}

static void clear(float *x, int64_t count)
{
    memset(x, 0, (size_t)count * sizeof *x);
}

/* The terms of source i, the k-th of those of a call. */
static void add_terms(const struct depth_gradient *dv, float *partial,
                      const struct depth_read *read, int64_t i, int64_t k,
                      const struct depth_source *source, const struct depth_tile *tile)
{
    if (read->w) {
        KERNEL(depth_step_backward)(dv, partial, read, i, source, tile);
    } else {
        KERNEL(depth_step_backward_static)(dv, partial + k, read, i, source, tile);
    }
}

void KERNEL(depth_read_begin_backward)(const struct depth_gradient *dv, float *restrict dgain,
                                       struct depth_read *read, const float *restrict dout,
                                       const float *restrict gain, const float *restrict rstd,
                                       const struct depth_source *sources, int64_t n_sources,
                                       float *restrict scratch, int64_t n, int64_t C)
{
    const int64_t n_tiles = kernels_tile_count(n, kernels_depth_tile(C)),
                  n_left = read->n_seen - n_sources;
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < n_tiles; index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        float *partial = partial_of(read, n_sources, index, C);
        clear(scratch + index * C, C);
        clear(partial, read->w ? C : n_sources);
        KERNEL(depth_step_norm_backward)(read, scratch + index * C, dout, gain, rstd, &tile);
        for (int64_t k = n_sources - 1; k >= 0; k--) {
            add_terms(&dv[k], partial, read, n_left + k, k, &sources[k], &tile);
        }
    }
    partials_add(dgain, scratch, n_tiles, C);
    if (!read->w) {
        partials_add(read->dw + n_left, read->partials, n_tiles, n_sources);
    }
    read->n_seen = n_left;
}

static void end_tile(const struct depth_gradient *dv, const struct depth_read *reads,
                     int64_t n_reads, const struct depth_source *sources, int64_t n_sources,
                     int64_t index, const struct depth_tile *tile)
{
    for (int64_t l = 0; l < n_reads; l++) {
        if (!reads[l].w) {
            clear(partial_of(&reads[l], n_sources, index, tile->C), n_sources);
        }
    }
    for (int64_t i = n_sources - 1; i >= 0; i--) {
        for (int64_t l = n_reads - 1; l >= 0; l--) {
            float *partial = partial_of(&reads[l], n_sources, index, tile->C);
            add_terms(&dv[i], partial, &reads[l], i, i, &sources[i], tile);
        }
    }
}

void KERNEL(depth_read_end_backward)(const struct depth_gradient *dv, struct depth_read *reads,
                                     int64_t n_reads, const struct depth_source *sources,
                                     int64_t n_sources, int64_t n, int64_t C)
{
    const int64_t n_tiles = kernels_tile_count(n, kernels_depth_tile(C));
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < n_tiles; index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        end_tile(dv, reads, n_reads, sources, n_sources, index, &tile);
    }
    for (int64_t l = 0; l < n_reads; l++) {
        partials_add(reads[l].dw, reads[l].partials, n_tiles, reads[l].w ? C : n_sources);
        reads[l].n_seen = 0;
    }
}
