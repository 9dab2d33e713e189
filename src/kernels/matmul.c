/* Matrix products in fixed panels. The cut follows from the shape alone: the bits of
 * a library's call depend on its size, so a panel must not depend on the number of threads.
 *
 * GFLOP/s of one core of an EPYC 9004 at the shapes of tools/bench, panels of 256 rows:
 *
 *                        OpenBLAS 0.3.21    oneDNN 2.6.3    oneDNN, bf16
 *      512-cube               98                107              219
 *      forward              92-101            104-113          201-221
 *      input gradient       94-102             97-114          181-222
 *      weight gradient      79-97              99-112          165-201 */
#include <attnres/kernels.h>

#include <assert.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>

#include "onednn.h"
#include "product.h"
#include "tiles.h"

enum {
    MAX_WORKERS = 64,         /* threads that share one product */
    WORKER_BYTES = 512 * 1024 /* scratch of each: oneDNN packs blocks of at most 64 x 1024 floats */
};

/* One of the three products: panels of `rows` rows of c, the last one may have fewer. */
struct panels {
    struct product_plan plan; /* of the whole */
    int64_t rows, n_panels;
    int n_workers;
    struct onednn_product *full, *last; /* NULL: through OpenBLAS */
};

struct matmul {
    struct panels forward, input_gradient, weight_gradient;
};

/* An even number of equal panels of at most 256 rows: small enough for two threads to share a small
 * product, large enough to stay within a tenth of one call of the whole. */
static int64_t most_panels(int64_t count)
{
    return 2 * ((count + 511) / 512);
}

/* Whole vectors, so the last panels may come to nothing: 4320 rows make 18 panels, 4352 make 17. */
static int64_t panel_rows(int64_t count)
{
    const int64_t n_panels = most_panels(count);
    return (count + n_panels * 16 - 1) / (n_panels * 16) * 16;
}

static int64_t panel_count(int64_t count)
{
    return kernels_tile_count(count, panel_rows(count));
}

static struct product_plan plan_of(const struct panels *p, int64_t panel)
{
    struct product_plan plan = p->plan;
    plan.size.m = kernels_min(p->plan.size.m - panel * p->rows, p->rows);
    return plan;
}

static struct onednn_product *plan_panel(const struct panels *p, int64_t panel)
{
    const struct product_plan plan = plan_of(p, panel);
    struct onednn_product *product = onednn_create(&plan, p->n_workers);
    assert(product != NULL && "the library has code for every product");
    assert(onednn_scratch_bytes(product) <= WORKER_BYTES);
    return product;
}

static struct panels plan_panels(const struct product_plan *plan, bool with_onednn)
{
    struct panels p = {
        .plan = *plan, .rows = panel_rows(plan->size.m), .n_panels = panel_count(plan->size.m)};
    p.n_workers = (int)kernels_min(kernels_min(p.n_panels, MAX_WORKERS), omp_get_max_threads());
    if (with_onednn) {
        p.full = plan_panel(&p, 0);
        p.last = plan_panel(&p, p.n_panels - 1);
    }
    return p;
}

static void run_blas(float *c, const float *a, const float *b, const struct product_plan *plan)
{
    if (plan->a_transposed) {
        product_tn(c, plan->c_stride, a, plan->a_stride, b, plan->b_stride, &plan->size);
    } else if (plan->b_transposed) {
        product_nt(c, plan->c_stride, a, plan->a_stride, b, plan->b_stride, &plan->size);
    } else {
        product_nn(c, plan->c_stride, a, plan->a_stride, b, plan->b_stride, &plan->size);
    }
}

static void run_panel(const struct panels *p, int64_t panel, float *c, const unsigned char *a,
                      const void *b, unsigned char *scratch)
{
    const int64_t row = panel * p->rows;
    const int64_t a_offset = row * (p->plan.a_transposed ? 1 : p->plan.a_stride);
    float *rows = c + row * p->plan.c_stride;
    if (p->full == NULL) {
        const struct product_plan plan = plan_of(p, panel);
        run_blas(rows, (const float *)(const void *)a + a_offset, b, &plan);
        return;
    }
    const int worker = omp_get_thread_num();
    const int64_t element = p->plan.is_bf16 ? 2 : 4;
    onednn_run(panel < p->n_panels - 1 ? p->full : p->last, worker, rows, a + a_offset * element, b,
               scratch + (int64_t)worker * WORKER_BYTES);
}

static void run(const struct panels *p, float *c, const void *a, const void *b, void *scratch)
{
/* Round robin, so that thread numbers stay below the number of workers. */
#pragma omp parallel for schedule(static, 1) num_threads(p->n_workers)
    for (int64_t panel = 0; panel < p->n_panels; panel++) {
        run_panel(p, panel, c, a, b, scratch);
    }
}

static bool is_wide(const struct kernels *kernels)
{
    return strcmp(kernels->level, "x86-64-v4") == 0;
}

bool matmul_uses_onednn(const struct kernels *kernels)
{
    return is_wide(kernels) && onednn_has_f32();
}

void kernels_name_core(char name[KERNELS_CORE_BYTES], const struct kernels *kernels)
{
    const bool both = matmul_uses_onednn(kernels);
    snprintf(name, KERNELS_CORE_BYTES, "%s%s%s", kernels_blas_core(), both ? ", oneDNN " : "",
             both ? kernels_onednn_core() : "");
}

const char *matmul_refusal(enum matmul_precision precision, const struct kernels *kernels)
{
    if (precision == MATMUL_F32) {
        return NULL;
    }
    if (kernels_onednn_version()[0] == '\0') {
        return "this build has no oneDNN, which multiplies in bf16: install libdnnl-dev (oneDNN "
               "2), "
               "set up a new build folder, or set compute.precision=f32";
    }
    if (!is_wide(kernels)) {
        return "bf16 needs the kernels of level x86-64-v4, and here or on some rank they are of a "
               "lower one: run on processors with avx512_bf16, without ATTNRES_KERNELS, or set "
               "compute.precision=f32";
    }
    return onednn_has_bf16() ? NULL
                             : "this processor has no instructions for bf16 (avx512_bf16): run on "
                               "one that has, or set compute.precision=f32";
}

/* By the bound on panels, which grows with the shape as their number does not. */
size_t matmul_scratch_bytes(const struct matmul_shape *shape)
{
    const int64_t n_panels = most_panels(shape->n > shape->out ? shape->n : shape->out);
    return (size_t)kernels_min(n_panels, MAX_WORKERS) * WORKER_BYTES;
}

size_t matmul_used_bytes(const struct matmul *matmul)
{
    const struct panels *all[] = {&matmul->forward, &matmul->input_gradient,
                                  &matmul->weight_gradient};
    int most = 0;
    for (int i = 0; i < 3; i++) {
        most = all[i]->n_workers > most ? all[i]->n_workers : most;
    }
    return (size_t)most * WORKER_BYTES;
}

struct matmul *matmul_create(const struct matmul_shape *shape, enum matmul_precision precision,
                             const struct kernels *kernels)
{
    assert(shape->n > 0 && shape->in > 0 && shape->out > 0 && shape->dy_stride >= shape->out);
    assert(matmul_refusal(precision, kernels) == NULL);
    const int64_t n = shape->n, in = shape->in, out = shape->out;
    const bool is_bf16 = precision == MATMUL_BF16;
    /* One row in f32 is bound by reading w, which oneDNN would pack: OpenBLAS has code for it. */
    const bool with_onednn = matmul_uses_onednn(kernels) && (is_bf16 || n > 1);
    const struct product_plan forward = {.size = {.m = n, .n = out, .k = in},
                                         .c_stride = out,
                                         .a_stride = in,
                                         .b_stride = in,
                                         .b_transposed = true,
                                         .is_bf16 = is_bf16};
    const struct product_plan input_gradient = {.size = {.m = n, .n = in, .k = out},
                                                .c_stride = in,
                                                .a_stride = shape->dy_stride,
                                                .b_stride = in,
                                                .is_bf16 = is_bf16};
    const struct product_plan weight_gradient = {
        .size = {.m = out, .n = in, .k = n, .accumulate = true},
        .c_stride = in,
        .a_stride = shape->dy_stride,
        .b_stride = in,
        .a_transposed = true,
        .is_bf16 = is_bf16};
    struct matmul *matmul = heap_take(1, sizeof *matmul, "a matrix product");
    matmul->forward = plan_panels(&forward, with_onednn);
    matmul->input_gradient = plan_panels(&input_gradient, with_onednn);
    matmul->weight_gradient = plan_panels(&weight_gradient, with_onednn);
    assert(matmul_used_bytes(matmul) <= matmul_scratch_bytes(shape));
    return matmul;
}

void matmul_destroy(struct matmul *matmul)
{
    if (matmul == NULL) {
        return;
    }
    const struct panels *all[] = {&matmul->forward, &matmul->input_gradient,
                                  &matmul->weight_gradient};
    for (int i = 0; i < 3; i++) {
        onednn_destroy(all[i]->full);
        onednn_destroy(all[i]->last);
    }
    free(matmul);
}

void matmul_forward(const struct matmul *matmul, float *y, const void *x, const void *w,
                    void *scratch)
{
    run(&matmul->forward, y, x, w, scratch);
}

void matmul_input_gradient(const struct matmul *matmul, float *dx, const void *dy, const void *w,
                           void *scratch)
{
    run(&matmul->input_gradient, dx, dy, w, scratch);
}

void matmul_weight_gradient(const struct matmul *matmul, float *dw, const void *dy, const void *x,
                            void *scratch)
{
    run(&matmul->weight_gradient, dw, dy, x, scratch);
}
