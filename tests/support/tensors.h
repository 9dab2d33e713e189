/** Memory of one test: tensors on 64 bytes, freed together. Random numbers are a fixed function of
 * the seed. */
#ifndef ATTNRES_TESTS_TENSORS_H
#define ATTNRES_TESTS_TENSORS_H

#include <stddef.h>
#include <stdint.h>

enum { TENSORS_MAX = 256 };

struct tensors {
    void *items[TENSORS_MAX];
    int count;
};

/* Filled with NaN, so that a result that was not written is seen. */
float *tensors_nan(struct tensors *tensors, size_t count);
/* Uniform in (-scale, scale). */
float *tensors_random(struct tensors *tensors, size_t count, uint64_t seed, double scale);
double *tensors_random_f64(struct tensors *tensors, size_t count, uint64_t seed, double scale);
int32_t *tensors_random_tokens(struct tensors *tensors, size_t count, uint64_t seed, int32_t V);
float *tensors_copy(struct tensors *tensors, const float *x, size_t count);
/* The same numbers in f64. */
double *tensors_widen(struct tensors *tensors, const float *x, size_t count);
double *tensors_zeros_f64(struct tensors *tensors, size_t count);
void tensors_finish(struct tensors *tensors);

#endif
