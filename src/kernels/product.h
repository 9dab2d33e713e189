/** The one door to OpenBLAS: row-major single-precision products on strided views. Called only by
 * matmul.c; compiled once, whatever the level. */
#ifndef ATTNRES_KERNELS_PRODUCT_H
#define ATTNRES_KERNELS_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* c (m,n) = a b, or += with accumulate; k is the length of the sums. */
struct product {
    int64_t m, n, k;
    bool accumulate;
};

/* Each matrix is followed by the stride of its rows. nn: a (m,k), b (k,n); nt: b (n,k); tn: a
 * (k,m).
 */
void product_nn(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size);
void product_nt(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size);
void product_tn(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size);

/* From now on each call runs on the thread that makes it. */
void product_set_single_threaded(void);

#endif
