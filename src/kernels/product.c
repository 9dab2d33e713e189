#include "product.h"

#include <cblas.h>
#include <sys/mman.h>

#include <attnres/kernels.h>

static float beta_of(const struct product *size)
{
    return size->accumulate ? 1.0F : 0.0F;
}

void product_nn(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)size->m, (blasint)size->n,
                (blasint)size->k, 1.0F, a, (blasint)a_stride, b, (blasint)b_stride, beta_of(size),
                c, (blasint)c_stride);
}

void product_nt(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size)
{
    if (size->m == 1) { /* reads b once, where a general product would pack it first */
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)size->n, (blasint)size->k, 1.0F, b,
                    (blasint)b_stride, a, 1, beta_of(size), c, 1);
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)size->m, (blasint)size->n,
                (blasint)size->k, 1.0F, a, (blasint)a_stride, b, (blasint)b_stride, beta_of(size),
                c, (blasint)c_stride);
}

void product_tn(float *c, int64_t c_stride, const float *a, int64_t a_stride, const float *b,
                int64_t b_stride, const struct product *size)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)size->m, (blasint)size->n,
                (blasint)size->k, 1.0F, a, (blasint)a_stride, b, (blasint)b_stride, beta_of(size),
                c, (blasint)c_stride);
}

void product_set_single_threaded(void)
{
    openblas_set_num_threads(1);
}

const char *kernels_blas_core(void)
{
    return openblas_get_corename();
}

const char *kernels_blas_version(void)
{
    return openblas_get_config();
}

int kernels_blas_threads(void)
{
    return openblas_get_num_threads();
}

bool kernels_blas_is_serial(void)
{
    return openblas_get_parallel() == OPENBLAS_SEQUENTIAL;
}

/* Piece by piece, as OpenBLAS takes it: in one the system may refuse more than it has memory. Each
 * begins with the address of the one before. */
bool kernels_blas_fits(int n_threads)
{
    const size_t bytes = (size_t)(KERNELS_BLAS_MIB + 1) << 20;
    void **last = NULL;
    int n = 0;
    while (n < n_threads) {
        void **piece =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED) {
            break;
        }
        *piece = last;
        last = piece;
        n++;
    }
    while (last != NULL) {
        void *piece = last;
        last = *last;
        munmap(piece, bytes);
    }
    return n == n_threads;
}
