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

void KERNEL(depth_read_finish)(struct depth_read *read, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < kernels_tile_count(n, kernels_depth_tile(C)); index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        KERNEL(depth_step_finish)(read, &tile);
    }
}

static void backward_tile(float *const *dv, float *partial, const float *dh,
                          const struct depth_read *read, const struct depth_source *sources,
                          int64_t n_sources, const struct depth_tile *tile)
{
    float dh_h[LONG_TILE];
    KERNEL(depth_step_dot)(dh_h, dh, read->o, tile);
    for (int64_t i = n_sources - 1; i >= 0; i--) {
        if (read->w) {
            KERNEL(depth_step_backward)(dv[i], partial, dh, dh_h, read, i, &sources[i], tile);
        } else {
            KERNEL(depth_step_backward_static)
            (dv[i], partial + i, dh, dh_h, read, i, &sources[i], tile);
        }
    }
}

void KERNEL(depth_read_backward)(float *const *dv, float *dw, const float *dh,
                                 const struct depth_read *read, const struct depth_source *sources,
                                 int64_t n_sources, float *scratch, int64_t n, int64_t C)
{
    const int64_t width = read->w ? C : n_sources,
                  n_tiles = kernels_tile_count(n, kernels_depth_tile(C));
#pragma omp parallel for schedule(static)
    for (int64_t index = 0; index < n_tiles; index++) {
        const struct depth_tile tile = tile_at(index, n, C);
        float *partial = scratch + index * width;
        memset(partial, 0, (size_t)width * sizeof *partial);
        backward_tile(dv, partial, dh, read, sources, n_sources, &tile);
    }
    partials_add(dw, scratch, n_tiles, width);
}
