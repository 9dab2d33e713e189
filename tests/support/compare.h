/** Comparing tensors. Relative error always means ||a - b|| / ||b|| over the whole tensor. */
#ifndef ATTNRES_TESTS_COMPARE_H
#define ATTNRES_TESTS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ||a - b|| / ||b||; ||a|| where b is zero. NaN if either holds one: compare with !(x < limit). */
double compare_relative_error(const float *a, const double *b, size_t count);
/* Of two in f32; infinite where b is zero and a is not. */
double compare_relative_error_f32(const float *a, const float *b, int64_t count);
double compare_relative_error_f64(const double *a, const double *b, size_t count);

bool compare_same_bits(const float *a, const float *b, size_t count);

/* FNV-1a over bytes, going on from `hash`; begin with COMPARE_HASH_START. */
static const uint64_t COMPARE_HASH_START = 14695981039346656037U;
uint64_t compare_hash(uint64_t hash, const void *bytes, size_t n_bytes);

#endif
