/* Sum of squares in f64: fixed chunks, sixteen lanes inside a chunk, the chunks added
 * in ascending order. */
#include "level.h"

#include "lanes.h"

static double chunk_sum(const float *restrict x, int64_t count)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane[j] += (double)x[i + j] * (double)x[i + j];
        }
    }
    for (int j = 0; i + j < count; j++) {
        lane[j] += (double)x[i + j] * (double)x[i + j];
    }
    double sum = 0.0;
    for (int j = 0; j < LANES; j++) {
        sum += lane[j];
    }
    return sum;
}

double KERNEL(sum_squares)(const float *restrict x, double *restrict partials, int64_t count)
{
    const int64_t n_chunks = kernels_tile_count(count, CHUNK);
#pragma omp parallel for schedule(static)
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        const int64_t begin = chunk * CHUNK;
        partials[chunk] = chunk_sum(x + begin, kernels_min(count - begin, CHUNK));
    }
    double sum = 0.0;
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        sum += partials[chunk];
    }
    return sum;
}
