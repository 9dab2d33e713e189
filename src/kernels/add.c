/* out = a + b, element by element. */
#include "level.h"

void KERNEL(add)(float *out, const float *a, const float *b, int64_t count)
{
    const int64_t n_tiles = kernels_tile_count(count, COUNT_TILE);
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        const int64_t end = kernels_min(count, (tile + 1) * COUNT_TILE);
#pragma omp simd
        for (int64_t i = tile * COUNT_TILE; i < end; i++) {
            out[i] = a[i] + b[i];
        }
    }
}
