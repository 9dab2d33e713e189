#include "../support/oracle.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A sum of up to 300 products in f32, in BLAS's order. */
static const double ERROR_F32 = 2e-6;

/* n, in, out: one, odd, prime, one past a panel of tokens and of weights; 513 rows make four panels
 */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1, 1},      {7, 3, 5},      {64, 32, 48},
                                             {257, 17, 129}, {300, 31, 513}, {513, 5, 17}};

static void run(struct trial *trial)
{
    const struct matmul_shape shape = {trial->size[0], trial->size[1], trial->size[2]};
    const int64_t nx = shape.n * shape.in, ny = shape.n * shape.out, nw = shape.in * shape.out;
    struct tensors *memory = &trial->tensors;
    const float *x = tensors_random(memory, (size_t)nx, 1, 1.0);
    const float *w = tensors_random(memory, (size_t)nw, 2, 1.0);
    const float *dy = tensors_random(memory, (size_t)ny, 3, 1.0);
    float *y = tensors_nan(memory, (size_t)ny), *dx = tensors_nan(memory, (size_t)nx);
    float *dw = tensors_random(memory, (size_t)nw, 4, 1.0);
    const double *x64 = tensors_widen(memory, x, (size_t)nx);
    const double *w64 = tensors_widen(memory, w, (size_t)nw);
    const double *dy64 = tensors_widen(memory, dy, (size_t)ny);
    double *y64 = tensors_zeros_f64(memory, (size_t)ny);
    double *dx64 = tensors_zeros_f64(memory, (size_t)nx);
    double *dw64 = tensors_widen(memory, dw, (size_t)nw);

    matmul_forward(y, x, w, &shape);
    oracle_matmul_forward(y64, x64, w64, &shape);
    trial_expect(trial, "y", y, y64, ny, ERROR_F32);
    matmul_weight_gradient(dw, dy, x, &shape);
    oracle_matmul_weight_gradient(dw64, dy64, x64, &shape);
    trial_expect(trial, "dw", dw, dw64, nw, ERROR_F32);
    matmul_input_gradient(dx, dy, w, &shape, false);
    oracle_matmul_input_gradient(dx64, dy64, w64, &shape);
    trial_expect(trial, "dx", dx, dx64, nx, ERROR_F32);
    matmul_input_gradient(dx, dy, w, &shape, true);
    oracle_matmul_input_gradient(dx64, dy64, w64, &shape);
    trial_expect(trial, "dx accumulated", dx, dx64, nx, ERROR_F32);
}

static void agrees_with_the_oracle_and_accumulates(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_the_oracle_and_accumulates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
