#include <attnres/kernels.h>

#include <assert.h>
#include <math.h>
#include <omp.h>

#include "cpu.h"
#include "product.h"
#include "tiles.h"

int kernels_level_count(void)
{
    return cpu_level_count();
}

const struct kernels *kernels_select(int level)
{
    assert(level >= 0 && level < cpu_level_count());
    return cpu_level(level);
}

void kernels_set_threads(int n_threads)
{
    assert(n_threads > 0);
    product_set_single_threaded();
    omp_set_num_threads(n_threads);
}

size_t kernels_partials_count(int64_t n, int64_t C)
{
    return (size_t)(kernels_tile_count(n, TILE) * C);
}

size_t kernels_attention_scratch_count(const struct attention_shape *shape)
{
    const int64_t n_tasks = shape->n_sequences * shape->n_heads;
    const int64_t n_slots = kernels_min(n_tasks, MAX_ATTENTION_SLOTS);
    return (size_t)(n_slots * 2 * QUERY_TILE * kernels_score_stride(shape->n_tokens));
}

size_t kernels_chunk_count(int64_t count)
{
    return (size_t)kernels_tile_count(count, CHUNK);
}

void kernels_rope_table(float *cos_sin, int64_t T, int64_t D)
{
    assert(D > 0 && D % 2 == 0);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < D / 2; i++) {
            const double angle = (double)t * pow(10000.0, -2.0 * (double)i / (double)D);
            cos_sin[t * D + i] = (float)cos(angle);
            cos_sin[t * D + D / 2 + i] = (float)sin(angle);
        }
    }
}
