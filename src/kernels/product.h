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

/* A product on strided views, as it is planned: where transposed, a is stored as (k,m), b as (n,k).
 * Operands in bf16 need oneDNN; c and the sums are always f32. */
struct product_plan {
    struct product size;
    int64_t c_stride, a_stride, b_stride;
    bool a_transposed, b_transposed, is_bf16;
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
