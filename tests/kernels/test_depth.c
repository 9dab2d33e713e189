#include "../support/compare.h"
#include "../support/oracle.h"
#include "../support/trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Scores are sums of C products; the softmax and the sums over sources and tokens add some tens of
 * roundings of 6e-8. */
static const double ERROR_F32 = 2e-6;
static const float EPS = 1e-8F;
enum { MAX_SOURCES = 16 };

/* n, C, sources, 1 if static: one, odd, prime, one past a tile of tokens or of lanes */
static const int64_t SIZES[][TRIAL_SIZES] = {{1, 1, 1, 0},   {7, 3, 2, 0},    {33, 17, 5, 0},
                                             {64, 64, 9, 0}, {97, 31, 13, 0}, {65, 128, 4, 0},
                                             {1, 1, 1, 1},   {33, 17, 5, 1},  {65, 64, 9, 1}};

/* A read and its sources, ready to advance. */
struct fixture {
    struct depth_source sources[MAX_SOURCES];
    struct depth_read read;
    int64_t n, C, n_sources;
};

static struct depth_read new_read(struct tensors *memory, int64_t n, int64_t C, int64_t n_sources)
{
    return (struct depth_read){.o = tensors_nan(memory, (size_t)(n * C)),
                               .m = tensors_nan(memory, (size_t)n),
                               .d = tensors_nan(memory, (size_t)n),
                               .s = tensors_nan(memory, (size_t)(n_sources * n))};
}

static void init(struct fixture *f, const struct kernels *kernels, struct tensors *memory,
                 const int64_t *size)
{
    f->n = size[0], f->C = size[1], f->n_sources = size[2];
    f->read = new_read(memory, f->n, f->C, f->n_sources);
    if (size[3]) {
        f->read.logits = tensors_random(memory, (size_t)f->n_sources, 7, 2.0);
    } else {
        f->read.w = tensors_random(memory, (size_t)f->C, 8, 3.0 / sqrt((double)f->C));
    }
    for (int64_t i = 0; i < f->n_sources; i++) {
        float *r = tensors_nan(memory, (size_t)f->n);
        const float *v =
            tensors_random(memory, (size_t)(f->n * f->C), (uint64_t)(20 + i), 0.5 + (double)i);
        kernels->depth_inverse_rms(r, v, f->n, f->C, EPS);
        f->sources[i] = (struct depth_source){.v = v, .r = r};
    }
}

static void read_all(struct fixture *f, const struct kernels *kernels)
{
    kernels->depth_read_advance(&f->read, 1, f->sources, f->n_sources, f->n, f->C);
    kernels->depth_read_finish(&f->read, f->n, f->C);
}

static struct oracle_read oracle_of(const struct fixture *f, struct tensors *memory,
                                    const double **v)
{
    for (int64_t i = 0; i < f->n_sources; i++) {
        v[i] = tensors_widen(memory, f->sources[i].v, (size_t)(f->n * f->C));
    }
    return (struct oracle_read){
        .v = v,
        .w = f->read.w ? tensors_widen(memory, f->read.w, (size_t)f->C) : NULL,
        .logits =
            f->read.logits ? tensors_widen(memory, f->read.logits, (size_t)f->n_sources) : NULL,
        .n_sources = f->n_sources,
        .n = f->n,
        .C = f->C,
        .eps = (double)EPS};
}

static void check_backward(struct trial *trial, const struct fixture *f,
                           const struct oracle_read *oracle)
{
    struct tensors *memory = &trial->tensors;
    const int64_t count = f->n * f->C, width = f->read.w ? f->C : f->n_sources;
    const float *dh = tensors_random(memory, (size_t)count, 3, 1.0);
    float *dw = tensors_random(memory, (size_t)width, 4, 1.0), *dv[MAX_SOURCES];
    double *dw64 = tensors_widen(memory, dw, (size_t)width), *dv64[MAX_SOURCES];
    float *scratch = tensors_nan(memory, kernels_partials_count(f->n, width));
    for (int64_t i = 0; i < f->n_sources; i++) {
        dv[i] = tensors_random(memory, (size_t)count, (uint64_t)(50 + i), 1.0);
        dv64[i] = tensors_widen(memory, dv[i], (size_t)count);
    }
    trial->kernels->depth_read_backward(dv, dw, dh, &f->read, f->sources, f->n_sources, scratch,
                                        f->n, f->C);
    oracle_depth_backward(dv64, dw64, tensors_widen(memory, dh, (size_t)count), oracle);
    trial_expect(trial, "dw", dw, dw64, width, ERROR_F32);
    for (int64_t i = 0; i < f->n_sources; i++) {
        trial_expect(trial, "dv", dv[i], dv64[i], count, ERROR_F32);
    }
}

static void run(struct trial *trial)
{
    struct tensors *memory = &trial->tensors;
    struct fixture f = {0};
    const double *v[MAX_SOURCES];
    init(&f, trial->kernels, memory, trial->size);
    const struct oracle_read oracle = oracle_of(&f, memory, v);
    double *h = tensors_zeros_f64(memory, (size_t)(f.n * f.C));
    read_all(&f, trial->kernels);
    assert_int_equal(f.read.n_seen, f.n_sources);
    oracle_depth_forward(h, NULL, &oracle);
    trial_expect(trial, "h", f.read.o, h, f.n * f.C, ERROR_F32);
    check_backward(trial, &f, &oracle);
}

static void agrees_with_the_oracle_and_accumulates(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

/* Bit i of `cuts` ends a call after source i; `together` reads advance in one call. */
static uint64_t hash_of_grouping(const struct kernels *kernels, unsigned cuts, int64_t together)
{
    const int64_t n = 67, C = 37, n_sources = 6;
    struct tensors memory = {0};
    struct fixture f = {0};
    init(&f, kernels, &memory, (const int64_t[]){n, C, n_sources, 0});
    struct depth_read reads[3] = {f.read, new_read(&memory, n, C, n_sources),
                                  new_read(&memory, n, C, n_sources)};
    for (int i = 1; i < 3; i++) {
        reads[i].w = tensors_random(&memory, (size_t)C, (uint64_t)(60 + i), 1.0);
    }
    for (int64_t first = 0; first < n_sources;) {
        int64_t end = first + 1;
        while (end < n_sources && !((cuts >> (end - 1)) & 1U)) {
            end++;
        }
        for (int64_t r = 0; r < 3; r += together) {
            kernels->depth_read_advance(reads + r, together, f.sources + first, end - first, n, C);
        }
        first = end;
    }
    uint64_t hash = COMPARE_HASH_START;
    for (int i = 0; i < 3; i++) {
        kernels->depth_read_finish(&reads[i], n, C);
        hash = compare_hash(hash, reads[i].o, (size_t)(n * C) * sizeof(float));
        hash = compare_hash(hash, reads[i].m, (size_t)n * sizeof(float));
        hash = compare_hash(hash, reads[i].s, (size_t)(n_sources * n) * sizeof(float));
    }
    tensors_finish(&memory);
    return hash;
}

static void every_grouping_gives_the_same_bits(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        const struct kernels *kernels = kernels_select(level);
        kernels_set_threads(1);
        const uint64_t expected = hash_of_grouping(kernels, 0, 1);
        for (unsigned cuts = 0; cuts < 32; cuts++) {
            kernels_set_threads(1 + (int)cuts % 3);
            assert_true(hash_of_grouping(kernels, cuts, 1) == expected);
            assert_true(hash_of_grouping(kernels, cuts, 3) == expected);
        }
    }
}

static void a_read_with_one_source_returns_it(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        struct tensors memory = {0};
        struct fixture f = {0};
        init(&f, kernels_select(level), &memory, (const int64_t[]){41, 29, 1, 0});
        read_all(&f, kernels_select(level));
        assert_true(compare_same_bits(f.read.o, f.sources[0].v, 41 * 29));
        tensors_finish(&memory);
    }
}

/* The query of a read with one source never moves, and its gradient passes through exactly. */
static void one_source_has_no_query_gradient(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        struct tensors memory = {0};
        struct fixture f = {0};
        init(&f, kernels_select(level), &memory, (const int64_t[]){41, 29, 1, 0});
        read_all(&f, kernels_select(level));
        float *dv = tensors_random(&memory, 41 * 29, 1, 0.0);
        float *dw = tensors_random(&memory, 29, 1, 0.0);
        const float *dh = tensors_random(&memory, 41 * 29, 2, 1.0);
        float *scratch = tensors_nan(&memory, kernels_partials_count(41, 29));
        kernels_select(level)->depth_read_backward(&dv, dw, dh, &f.read, f.sources, 1, scratch, 41,
                                                   29);
        for (int c = 0; c < 29; c++) {
            assert_true(dw[c] == 0.0F);
        }
        for (int i = 0; i < 41 * 29; i++) {
            assert_true(dv[i] == dh[i]);
        }
        tensors_finish(&memory);
    }
}

static void weights_are_positive_and_sum_to_one(void **state)
{
    (void)state;
    struct tensors memory = {0};
    struct fixture f = {0};
    const struct kernels *kernels = kernels_select(kernels_level_count() - 1);
    init(&f, kernels, &memory, (const int64_t[]){65, 64, 9, 0});
    read_all(&f, kernels);
    for (int64_t t = 0; t < f.n; t++) {
        double sum = 0.0;
        for (int64_t i = 0; i < f.n_sources; i++) {
            const double a = exp((double)f.read.s[i * f.n + t] - (double)f.read.m[t]);
            assert_true(a > 0.0);
            sum += a;
        }
        assert_true(fabs(sum - 1.0) < ERROR_F32);
    }
    tensors_finish(&memory);
}

static void a_zero_query_takes_the_mean(void **state)
{
    (void)state;
    struct tensors memory = {0};
    struct fixture f = {0};
    const struct kernels *kernels = kernels_select(kernels_level_count() - 1);
    init(&f, kernels, &memory, (const int64_t[]){33, 48, 7, 0});
    f.read.w = tensors_random(&memory, 48, 1, 0.0);
    read_all(&f, kernels);
    double *mean = tensors_zeros_f64(&memory, 33 * 48);
    for (int64_t i = 0; i < 7; i++) {
        for (int64_t j = 0; j < 33 * 48; j++) {
            mean[j] += (double)f.sources[i].v[j] / 7.0;
        }
    }
    assert_true(compare_relative_error(f.read.o, mean, 33 * 48) < ERROR_F32);
    tensors_finish(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_oracle_and_accumulates),
        cmocka_unit_test(every_grouping_gives_the_same_bits),
        cmocka_unit_test(a_read_with_one_source_returns_it),
        cmocka_unit_test(one_source_has_no_query_gradient),
        cmocka_unit_test(weights_are_positive_and_sum_to_one),
        cmocka_unit_test(a_zero_query_takes_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
