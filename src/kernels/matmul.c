/* Matrix products in fixed panels. The cut follows from the shape alone (model.md 6f): the bits of
 * a BLAS call depend on its size, so a panel must not depend on the number of threads. */
#include <attnres/kernels.h>

#include "product.h"

/* An even number of equal panels of at most 256 rows: small enough for two threads to share a small
 * product, large enough to stay within a tenth of one call of the whole. Whole vectors. */
static int64_t panel_size(int64_t count)
{
    const int64_t n_panels = 2 * ((count + 511) / 512);
    if (count == 0) {
        return 1;
    }
    return (count + n_panels * 16 - 1) / (n_panels * 16) * 16;
}

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
    const int64_t rows = panel_size(shape->n), n_panels = panel_count(shape->n, rows);
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < n_panels; panel++) {
        const int64_t row = panel * rows;
        const struct product size = {.m = panel_rows(shape->n, rows, panel), .n = out, .k = in};
        product_nt(y + row * out, out, x + row * in, in, w, in, &size);
    }
}

void matmul_input_gradient(float *dx, const float *dy, const float *w,
                           const struct matmul_shape *shape, bool accumulate)
{
    const int64_t in = shape->in, out = shape->out;
    const int64_t rows = panel_size(shape->n), n_panels = panel_count(shape->n, rows);
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < n_panels; panel++) {
        const int64_t row = panel * rows;
        const struct product size = {
            .m = panel_rows(shape->n, rows, panel), .n = in, .k = out, .accumulate = accumulate};
        product_nn(dx + row * in, in, dy + row * out, out, w, in, &size);
    }
}

void matmul_weight_gradient(float *dw, const float *dy, const float *x,
                            const struct matmul_shape *shape)
{
    const int64_t in = shape->in, out = shape->out;
    const int64_t rows = panel_size(out), n_panels = panel_count(out, rows);
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < n_panels; panel++) {
        const int64_t row = panel * rows;
        const struct product size = {
            .m = panel_rows(out, rows, panel), .n = in, .k = shape->n, .accumulate = true};
        product_tn(dw + row * in, in, dy + row, out, x, in, &size);
    }
}
