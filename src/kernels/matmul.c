/* Matrix products in fixed panels. The cut follows from the shape alone (model.md 6f): the bits of
 * a BLAS call depend on its size, so a panel must not depend on the number of threads. */
#include <attnres/kernels.h>

#include "product.h"

/* Rows of a panel where tokens are the rows of the result. */
static const int64_t TOKEN_PANEL = 256;
/* Rows of a panel of a weight gradient, where the sum runs over all tokens. */
static const int64_t WEIGHT_PANEL = 128;

static int64_t panel_count(int64_t count, int64_t panel)
{
    return (count + panel - 1) / panel;
}

static int64_t panel_rows(int64_t count, int64_t panel, int64_t index)
{
    const int64_t left = count - index * panel;
    return left < panel ? left : panel;
}

void matmul_forward(float *y, const float *x, const float *w, const struct matmul_shape *shape)
{
    const int64_t in = shape->in, out = shape->out;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < panel_count(shape->n, TOKEN_PANEL); panel++) {
        const int64_t row = panel * TOKEN_PANEL;
        const struct product size = {
            .m = panel_rows(shape->n, TOKEN_PANEL, panel), .n = out, .k = in};
        product_nt(y + row * out, out, x + row * in, in, w, in, &size);
    }
}

void matmul_input_gradient(float *dx, const float *dy, const float *w,
                           const struct matmul_shape *shape, bool accumulate)
{
    const int64_t in = shape->in, out = shape->out;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < panel_count(shape->n, TOKEN_PANEL); panel++) {
        const int64_t row = panel * TOKEN_PANEL;
        const struct product size = {.m = panel_rows(shape->n, TOKEN_PANEL, panel),
                                     .n = in,
                                     .k = out,
                                     .accumulate = accumulate};
        product_nn(dx + row * in, in, dy + row * out, out, w, in, &size);
    }
}

void matmul_weight_gradient(float *dw, const float *dy, const float *x,
                            const struct matmul_shape *shape)
{
    const int64_t in = shape->in, out = shape->out;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < panel_count(out, WEIGHT_PANEL); panel++) {
        const int64_t row = panel * WEIGHT_PANEL;
        const struct product size = {
            .m = panel_rows(out, WEIGHT_PANEL, panel), .n = in, .k = shape->n, .accumulate = true};
        product_tn(dw + row * in, in, dy + row, out, x, in, &size);
    }
}
