#include "../../src/kernels/tiles.h"
#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A sum of up to 300 products in f32, in BLAS's order. */
static const double ERROR_F32 = 2e-6;

/* n, in, out, stride of dy: one, odd, prime, one past a panel of tokens and of weights; 513 rows
 * make four panels; one panel that a library might share among threads */
static const int64_t SIZES[][TRIAL_SIZES] = {
    {1, 1, 1, 1},         {7, 3, 5, 8},     {64, 32, 48, 96},      {257, 17, 129, 129},
    {300, 31, 513, 1026}, {513, 5, 17, 17}, {16, 300, 1024, 1024}, {300, 1024, 16, 16}};

static struct matmul_shape shape_of(const struct trial *trial)
{
    return (struct matmul_shape){trial->size[0], trial->size[1], trial->size[2], trial->size[3]};
}

/* dy (n, out) with its rows as far apart as the shape says, NaN between them. */
static void *spread(struct trial *trial, const void *dy, size_t element_bytes,
                    const struct matmul_shape *shape)
{
    const size_t stride = (size_t)shape->dy_stride * element_bytes,
                 row = (size_t)shape->out * element_bytes;
    unsigned char *rows =
        (unsigned char *)tensors_nan(&trial->tensors, (size_t)(shape->n * shape->dy_stride));
    for (int64_t t = 0; t < shape->n; t++) {
        memcpy(rows + (size_t)t * stride, (const unsigned char *)dy + (size_t)t * row, row);
    }
    return rows;
}

/* The inputs of a product's three sides, as the library takes them and in f64. */
struct inputs {
    const void *x, *w, *dy;
    const double *x64, *w64, *dy64;
    size_t element_bytes;
};

static void compare(struct trial *trial, enum matmul_precision precision, const struct inputs *in)
{
    const struct matmul_shape shape = shape_of(trial);
    const int64_t nx = shape.n * shape.in, ny = shape.n * shape.out, nw = shape.in * shape.out;
    struct tensors *memory = &trial->tensors;
    float *y = tensors_nan(memory, (size_t)ny), *dx = tensors_nan(memory, (size_t)nx);
    float *dw = tensors_random(memory, (size_t)nw, 4, 1.0);
    double *y64 = tensors_zeros_f64(memory, (size_t)ny);
    double *dx64 = tensors_zeros_f64(memory, (size_t)nx);
    double *dw64 = tensors_widen(memory, dw, (size_t)nw);
    const void *dy_rows = spread(trial, in->dy, in->element_bytes, &shape);
    struct matmul *matmul = matmul_create(&shape, precision, trial->kernels);
    float *scratch = tensors_nan(memory, matmul_scratch_bytes(&shape) / sizeof *scratch);

    matmul_forward(matmul, y, in->x, in->w, scratch);
    oracle_matmul_forward(y64, in->x64, in->w64, &shape);
    trial_expect(trial, "y", y, y64, ny, ERROR_F32);
    matmul_weight_gradient(matmul, dw, dy_rows, in->x, scratch);
    oracle_matmul_weight_gradient(dw64, in->dy64, in->x64, &shape);
    trial_expect(trial, "dw", dw, dw64, nw, ERROR_F32);
    matmul_input_gradient(matmul, dx, dy_rows, in->w, scratch);
    oracle_matmul_input_gradient(dx64, in->dy64, in->w64, &shape);
    trial_expect(trial, "dx", dx, dx64, nx, ERROR_F32);
    matmul_destroy(matmul);
}

static void run(struct trial *trial)
{
    const struct matmul_shape shape = shape_of(trial);
    const size_t nx = (size_t)(shape.n * shape.in), ny = (size_t)(shape.n * shape.out),
                 nw = (size_t)(shape.in * shape.out);
    struct tensors *memory = &trial->tensors;
    const float *x = tensors_random(memory, nx, 1, 1.0), *w = tensors_random(memory, nw, 2, 1.0),
                *dy = tensors_random(memory, ny, 3, 1.0);
    const struct inputs in = {.x = x,
                              .w = w,
                              .dy = dy,
                              .x64 = tensors_widen(memory, x, nx),
                              .w64 = tensors_widen(memory, w, nw),
                              .dy64 = tensors_widen(memory, dy, ny),
                              .element_bytes = sizeof *dy};
    compare(trial, MATMUL_F32, &in);
}

/* count random numbers that bf16 holds exactly: in bf16 into *rounded, in f64 as the result. */
static const double *random_bf16(struct trial *trial, int64_t count, uint64_t seed,
                                 const void **rounded)
{
    float *x = tensors_random(&trial->tensors, (size_t)count, seed, 1.0);
    trial->kernels->round_bf16(x, count);
    uint16_t *narrow = (uint16_t *)(void *)tensors_nan(&trial->tensors, (size_t)count);
    trial->kernels->to_bf16(narrow, x, count);
    *rounded = narrow;
    return tensors_widen(&trial->tensors, x, (size_t)count);
}

static void run_bf16(struct trial *trial)
{
    const struct matmul_shape shape = shape_of(trial);
    if (matmul_refusal(MATMUL_BF16, trial->kernels) != NULL) {
        return; /* a lower level */
    }
    struct inputs in = {.element_bytes = sizeof(uint16_t)};
    in.x64 = random_bf16(trial, shape.n * shape.in, 1, &in.x);
    in.w64 = random_bf16(trial, shape.in * shape.out, 2, &in.w);
    in.dy64 = random_bf16(trial, shape.n * shape.out, 3, &in.dy);
    compare(trial, MATMUL_BF16, &in);
}

/* Its inputs rounded, a product in bf16 is one in f32: sums lose nothing. */
static void bf16_rounds_inputs_alone(void **state)
{
    (void)state;
    const char *refusal = matmul_refusal(MATMUL_BF16, kernels_select(kernels_level_count() - 1));
    if (refusal != NULL && getenv("ATTNRES_KERNELS") == NULL) { /* or a level was chosen */
        print_message("products in bf16: %s\n", refusal);
        skip();
    }
    trial_each(run_bf16, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

static void bf16_is_refused_below_the_highest_level(void **state)
{
    (void)state;
    assert_null(matmul_refusal(MATMUL_F32, kernels_select(0)));
    for (int level = 0; level < kernels_level_count(); level++) {
        const struct kernels *kernels = kernels_select(level);
        if (strcmp(kernels->level, "x86-64-v4") != 0 || kernels_onednn_version()[0] == '\0') {
            assert_non_null(strstr(matmul_refusal(MATMUL_BF16, kernels), "compute.precision=f32"));
        }
    }
}

static void agrees_with_the_oracle_and_accumulates(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

/* Bytes that the products of n rows and a width write to, on as many threads as may share one. */
static size_t used_bytes(int64_t n, int64_t width)
{
    const struct matmul_shape shape = {n, 1, width, width};
    struct matmul *matmul = matmul_create(&shape, MATMUL_F32, kernels_select(0));
    const size_t bytes = matmul_used_bytes(matmul);
    matmul_destroy(matmul);
    return bytes;
}

/* Panels are whole vectors, so a larger count may make fewer: 4320 rows 18, 4352 rows 17. */
static void scratch_of_the_widest_serves_every_narrower_product(void **state)
{
    (void)state;
    enum { STEP = 32, MOST = 9216 };
    kernels_set_threads(64); /* and more do not share a product */
    for (int64_t n = STEP; n <= MOST; n += STEP) {
        size_t most = 0;
        for (int64_t width = STEP; width <= MOST; width += STEP) {
            const struct matmul_shape shape = {n, 1, width, width};
            const size_t used = used_bytes(n, width), planned = matmul_scratch_bytes(&shape);
            most = used > most ? used : most;
            if (planned < most) {
                fail_msg("n %d, width %d: %zu bytes are used, %zu planned", (int)n, (int)width,
                         most, planned);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_and_accumulates),
        cmocka_unit_test(bf16_rounds_inputs_alone),
        cmocka_unit_test(bf16_is_refused_below_the_highest_level),
        cmocka_unit_test(scratch_of_the_widest_serves_every_narrower_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
