#include "compare.h"

#include <math.h>
#include <string.h>

static double ratio(double difference, double norm)
{
    return norm > 0.0 ? sqrt(difference / norm) : sqrt(difference);
}

double compare_relative_error(const float *a, const double *b, size_t count)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return ratio(difference, norm);
}

double compare_relative_error_f32(const float *a, const float *b, int64_t count)
{
    double difference = 0.0, norm = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double x = (double)a[i], y = (double)b[i];
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return norm > 0.0 ? sqrt(difference / norm) : (difference == 0.0 ? 0.0 : INFINITY);
}

double compare_relative_error_f64(const double *a, const double *b, size_t count)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return ratio(difference, norm);
}

bool compare_same_bits(const float *a, const float *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

uint64_t compare_hash(uint64_t hash, const void *bytes, size_t n_bytes)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ byte[i]) * 1099511628211U;
    }
    return hash;
}
