/** exp and log in f32 as polynomials, so that loops vectorise and bits do not depend on libm. The
 * polynomials are those of Moshier's Cephes library; tests/kernels/test_exponential.c holds the
 * errors stated here over the whole range. */
#ifndef ATTNRES_KERNELS_EXPONENTIAL_H
#define ATTNRES_KERNELS_EXPONENTIAL_H

#include <stdint.h>

union float_bits {
    float f;
    int32_t i;
};

/* e^x, relative error below 2e-7. exp(0) is exactly 1. Below ln(FLT_MIN) = -87.34 the result is 0
 * (no denormals: they are slow), above 88.37 that of 88.37. NaN gives NaN. */
static inline float exponential(float x)
{
    const float lowest = -87.33654F, highest = 88.3762F;
    float y = x < lowest ? lowest : x;
    y = y > highest ? highest : y;
    const float shift = 12582912.0F; /* 1.5 * 2^23: adding it rounds to an integer */
    const float k = (y * 1.44269504F + shift) - shift;
    /* ln 2 in two parts; k times the first is exact. */
    const float r = (y - k * 0.693359375F) + k * 2.12194440e-4F;
    float q = 1.9875691500e-4F;
    q = q * r + 1.3981999507e-3F;
    q = q * r + 8.3334519073e-3F;
    q = q * r + 4.1665795894e-2F;
    q = q * r + 1.6666665459e-1F;
    q = q * r + 5.0000001201e-1F;
    const float e = (q * (r * r) + r) + 1.0F;
    /* A NaN must not reach the conversion, where it is undefined; it is carried by e. */
    const float exponent = k >= -126.0F ? k : -126.0F;
    const union float_bits scale = {.i = ((int32_t)exponent + 127) * (1 << 23)};
    return x < lowest ? 0.0F : e * scale.f;
}

/* ln x for normal x > 0, error below 1e-7 of max(|ln x|, 1). log(1) is exactly 0. NaN and infinity
 * give NaN. */
static inline float logarithm(float x)
{
    const union float_bits bits = {.f = x};
    /* The mantissa taken from [sqrt(1/2), sqrt(2)), so that the polynomial is centred on 1. */
    const int32_t k = (bits.i - 0x3f3504f3) >> 23;
    const union float_bits mantissa = {.i = bits.i - k * (1 << 23)};
    const float z = mantissa.f - 1.0F, e = (float)k;
    float q = 7.0376836292e-2F;
    q = q * z - 1.1514610310e-1F;
    q = q * z + 1.1676998740e-1F;
    q = q * z - 1.2420140846e-1F;
    q = q * z + 1.4249322787e-1F;
    q = q * z - 1.6668057665e-1F;
    q = q * z + 2.0000714765e-1F;
    q = q * z - 2.4999993993e-1F;
    q = q * z + 3.3333331174e-1F;
    const float square = z * z;
    const float y = q * z * square - e * 2.12194440e-4F - 0.5F * square;
    const float result = (z + y) + e * 0.693359375F;
    return result + (x - x);
}

#endif
