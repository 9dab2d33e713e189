#include "tensors.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *take(struct tensors *tensors, size_t n_bytes)
{
    assert(tensors->count < TENSORS_MAX);
    void *memory = aligned_alloc(64, (n_bytes + 64) / 64 * 64);
    assert(memory);
    tensors->items[tensors->count++] = memory;
    return memory;
}

/* splitmix64 of (seed, index). */
static uint64_t bits_at(uint64_t seed, uint64_t index)
{
    uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15U + index * 0xd1342543de82ef95U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static double uniform(uint64_t seed, uint64_t index, double scale)
{
    return scale * ((double)(bits_at(seed, index) >> 11) * 0x1p-52 - 1.0);
}

float *tensors_nan(struct tensors *tensors, size_t count)
{
    float *x = take(tensors, count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = NAN;
    }
    return x;
}

float *tensors_random(struct tensors *tensors, size_t count, uint64_t seed, double scale)
{
    float *x = take(tensors, count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)uniform(seed, i, scale);
    }
    return x;
}

double *tensors_random_f64(struct tensors *tensors, size_t count, uint64_t seed, double scale)
{
    double *x = take(tensors, count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = uniform(seed, i, scale);
    }
    return x;
}

int32_t *tensors_random_tokens(struct tensors *tensors, size_t count, uint64_t seed, int32_t V)
{
    int32_t *tokens = take(tensors, count * sizeof *tokens);
    for (size_t i = 0; i < count; i++) {
        tokens[i] = (int32_t)(bits_at(seed, i) % (uint64_t)V);
    }
    return tokens;
}

float *tensors_copy(struct tensors *tensors, const float *x, size_t count)
{
    float *copy = take(tensors, count * sizeof *copy);
    memcpy(copy, x, count * sizeof *copy);
    return copy;
}

double *tensors_widen(struct tensors *tensors, const float *x, size_t count)
{
    double *wide = take(tensors, count * sizeof *wide);
    for (size_t i = 0; i < count; i++) {
        wide[i] = (double)x[i];
    }
    return wide;
}

double *tensors_zeros_f64(struct tensors *tensors, size_t count)
{
    double *x = take(tensors, count * sizeof *x);
    memset(x, 0, count * sizeof *x);
    return x;
}

void tensors_finish(struct tensors *tensors)
{
    for (int i = 0; i < tensors->count; i++) {
        free(tensors->items[i]);
    }
    tensors->count = 0;
}
