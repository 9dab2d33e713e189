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

/* A read, its sources and the norm behind it, ready to advance. */
struct fixture {
    struct depth_source sources[MAX_SOURCES];
    struct depth_read read;
    float *gain, *normed, *rstd;
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
    f->gain = tensors_random(memory, (size_t)f->C, 9, 1.5);
    f->normed = tensors_nan(memory, (size_t)(f->n * f->C));
    f->rstd = tensors_nan(memory, (size_t)f->n);
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

/* The last n_open sources in the call that ends the read. */
static void read_all(struct fixture *f, const struct kernels *kernels, int64_t n_open)
{
    const int64_t n_completed = f->n_sources - n_open;
    kernels->depth_read_advance(&f->read, 1, f->sources, n_completed, f->n, f->C);
    kernels->depth_read_finish(f->normed, f->rstd, &f->read, f->sources + n_completed, n_open,
                               f->gain, f->n, f->C, EPS);
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

/* The last n_open sources in the first phase, the others in the second. */
static void check_backward(struct trial *trial, struct fixture *f, const struct oracle_read *oracle,
                           const double *h64, int64_t n_open)
{
    struct tensors *memory = &trial->tensors;
    const int64_t n = f->n, C = f->C, count = n * C, width = f->read.w ? C : f->n_sources,
                  n_completed = f->n_sources - n_open;
    const float *dnormed = tensors_random(memory, (size_t)count, 3, 1.0);
    float *dw = tensors_random(memory, (size_t)width, 4, 1.0);
    float *dgain = tensors_random(memory, (size_t)C, 5, 1.0);
    double *dw64 = tensors_widen(memory, dw, (size_t)width), *dv64[MAX_SOURCES];
    double *dgain64 = tensors_widen(memory, dgain, (size_t)C);
    double *dh64 = tensors_zeros_f64(memory, (size_t)count);
    const double *gain64 = tensors_widen(memory, f->gain, (size_t)C);
    float *scratch = tensors_nan(memory, kernels_partials_count(n, C));
    struct depth_gradient dv[MAX_SOURCES];
    for (int64_t i = 0; i < f->n_sources; i++) {
        float *base = tensors_random(memory, (size_t)count, (uint64_t)(50 + i), 1.0);
        dv64[i] = tensors_widen(memory, base, (size_t)count);
        dv[i] = (struct depth_gradient){
            .dv = i % 2 == 0 ? base : tensors_nan(memory, (size_t)count), .base = base};
    }
    f->read.dw = dw;
    f->read.partials = tensors_nan(memory, kernels_partials_count(n, width));
    trial->kernels->depth_read_begin_backward(dv + n_completed, dgain, &f->read, dnormed, f->gain,
                                              f->rstd, f->sources + n_completed, n_open, scratch, n,
                                              C);
    trial->kernels->depth_read_end_backward(dv, &f->read, 1, f->sources, n_completed, n, C);
    oracle_rmsnorm_backward(dh64, dgain64, tensors_widen(memory, dnormed, (size_t)count), h64,
                            gain64, n, C, (double)EPS);
    oracle_depth_backward(dv64, dw64, dh64, oracle);
    trial_expect(trial, "dgain", dgain, dgain64, C, ERROR_F32);
    trial_expect(trial, "dw", dw, dw64, width, ERROR_F32);
    for (int64_t i = 0; i < f->n_sources; i++) {
        trial_expect(trial, "dv", dv[i].dv, dv64[i], count, ERROR_F32);
    }
}

static void run(struct trial *trial)
{
    struct tensors *memory = &trial->tensors;
    struct fixture f = {0};
    const double *v[MAX_SOURCES];
    init(&f, trial->kernels, memory, trial->size);
    const int64_t count = f.n * f.C, n_open = f.n_sources / 2;
    const struct oracle_read oracle = oracle_of(&f, memory, v);
    double *h = tensors_zeros_f64(memory, (size_t)count);
    double *normed = tensors_zeros_f64(memory, (size_t)count);
    read_all(&f, trial->kernels, n_open);
    assert_int_equal(f.read.n_seen, f.n_sources);
    oracle_depth_forward(h, NULL, &oracle);
    oracle_rmsnorm_forward(normed, h, tensors_widen(memory, f.gain, (size_t)f.C), f.n, f.C,
                           (double)EPS);
    trial_expect(trial, "h", f.read.o, h, count, ERROR_F32);
    trial_expect(trial, "normed", f.normed, normed, count, ERROR_F32);
    check_backward(trial, &f, &oracle, h, n_open);
}

static void agrees_with_the_oracle_and_accumulates(void **state)
{
    (void)state;
    trial_each(run, SIZES, sizeof SIZES / sizeof SIZES[0]);
}

/* Three reads of the same sources. */
enum { GROUP_N = 67, GROUP_C = 37, GROUP_SOURCES = 6, GROUP_READS = 3 };

struct group {
    struct fixture f;
    struct depth_read reads[GROUP_READS];
};

static void init_group(struct group *g, const struct kernels *kernels, struct tensors *memory)
{
    *g = (struct group){0};
    init(&g->f, kernels, memory, (const int64_t[]){GROUP_N, GROUP_C, GROUP_SOURCES, 0});
    g->reads[0] = g->f.read;
    for (int l = 1; l < GROUP_READS; l++) {
        g->reads[l] = new_read(memory, GROUP_N, GROUP_C, GROUP_SOURCES);
        g->reads[l].w = tensors_random(memory, GROUP_C, (uint64_t)(60 + l), 1.0);
    }
}

/* The sources from `first` on in the call that ends each read. */
static uint64_t finish_group(struct group *g, const struct kernels *kernels, int64_t first)
{
    const int64_t count = (int64_t)GROUP_N * GROUP_C;
    uint64_t hash = COMPARE_HASH_START;
    for (int l = 0; l < GROUP_READS; l++) {
        const struct depth_read *read = &g->reads[l];
        kernels->depth_read_finish(g->f.normed, g->f.rstd, &g->reads[l], g->f.sources + first,
                                   GROUP_SOURCES - first, g->f.gain, GROUP_N, GROUP_C, EPS);
        hash = compare_hash(hash, read->o, (size_t)count * sizeof(float));
        hash = compare_hash(hash, read->m, GROUP_N * sizeof(float));
        hash = compare_hash(hash, read->s, GROUP_SOURCES * GROUP_N * sizeof(float));
        hash = compare_hash(hash, g->f.normed, (size_t)count * sizeof(float));
    }
    return hash;
}

/* Bit i of `cuts` ends a call after source i, the last call ends the read; `together` reads advance
 * in one call. */
static uint64_t hash_of_grouping(const struct kernels *kernels, unsigned cuts, int64_t together)
{
    struct tensors memory = {0};
    struct group g;
    int64_t first = 0;
    init_group(&g, kernels, &memory);
    for (int64_t end = 1; end < GROUP_SOURCES; end++) {
        if ((cuts >> (end - 1)) & 1U) {
            for (int64_t l = 0; l < GROUP_READS; l += together) {
                kernels->depth_read_advance(g.reads + l, together, g.f.sources + first, end - first,
                                            GROUP_N, GROUP_C);
            }
            first = end;
        }
    }
    const uint64_t hash = finish_group(&g, kernels, first);
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

/* The last n_open sources in the first phase of each read, deepest first; the others in the second,
 * of `together` reads at a time. */
static uint64_t hash_of_backward(const struct kernels *kernels, int64_t n_open, int together)
{
    const int64_t left = GROUP_SOURCES - n_open, count = (int64_t)GROUP_N * GROUP_C;
    const size_t n_partials = kernels_partials_count(GROUP_N, GROUP_C);
    struct tensors memory = {0};
    struct depth_gradient dv[GROUP_SOURCES];
    struct group g;
    init_group(&g, kernels, &memory);
    finish_group(&g, kernels, 0);
    for (int i = 0; i < GROUP_SOURCES; i++) {
        float *x = tensors_random(&memory, (size_t)count, (uint64_t)(90 + i), 1.0);
        dv[i] = (struct depth_gradient){x, x};
    }
    float *dgain = tensors_random(&memory, GROUP_C, 70, 1.0),
          *scratch = tensors_nan(&memory, n_partials);
    const float *dnormed = tensors_random(&memory, (size_t)count, 71, 1.0);
    for (int l = GROUP_READS - 1; l >= 0; l--) {
        g.reads[l].dw = tensors_random(&memory, GROUP_C, 72, 1.0);
        g.reads[l].partials = tensors_nan(&memory, n_partials);
        kernels->depth_read_begin_backward(dv + left, dgain, &g.reads[l], dnormed, g.f.gain,
                                           g.f.rstd, g.f.sources + left, n_open, scratch, GROUP_N,
                                           GROUP_C);
        assert_int_equal(g.reads[l].n_seen, left);
    }
    for (int l = GROUP_READS - together; l >= 0; l -= together) {
        kernels->depth_read_end_backward(dv, &g.reads[l], together, g.f.sources, left, GROUP_N,
                                         GROUP_C);
    }
    uint64_t hash = compare_hash(COMPARE_HASH_START, dgain, GROUP_C * sizeof(float));
    for (int i = 0; i < GROUP_SOURCES; i++) {
        hash = compare_hash(hash, dv[i].dv, (size_t)count * sizeof(float));
    }
    for (int l = 0; l < GROUP_READS; l++) {
        hash = compare_hash(hash, g.reads[l].dw, GROUP_C * sizeof(float));
    }
    tensors_finish(&memory);
    return hash;
}

static void backward_gives_the_same_bits_in_either_phase(void **state)
{
    (void)state;
    for (int level = 0; level < kernels_level_count(); level++) {
        const struct kernels *kernels = kernels_select(level);
        kernels_set_threads(1);
        const uint64_t expected = hash_of_backward(kernels, 0, 1);
        for (int64_t n_open = 0; n_open <= GROUP_SOURCES; n_open++) {
            kernels_set_threads(1 + (int)n_open % 3);
            assert_true(hash_of_backward(kernels, n_open, 1) == expected);
            assert_true(hash_of_backward(kernels, n_open, 3) == expected);
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
        read_all(&f, kernels_select(level), 0);
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
        read_all(&f, kernels_select(level), 0);
        float *x = tensors_random(&memory, 41 * 29, 1, 0.0);
        float *dw = tensors_random(&memory, 29, 1, 0.0);
        float *dgain = tensors_random(&memory, 29, 1, 0.0);
        const float *dnormed = tensors_random(&memory, 41 * 29, 2, 1.0);
        float *scratch = tensors_nan(&memory, kernels_partials_count(41, 29));
        const struct depth_gradient dv = {x, x};
        f.read.dw = dw;
        f.read.partials = tensors_nan(&memory, kernels_partials_count(41, 29));
        kernels_select(level)->depth_read_begin_backward(&dv, dgain, &f.read, dnormed, f.gain,
                                                         f.rstd, f.sources, 1, scratch, 41, 29);
        kernels_select(level)->depth_read_end_backward(NULL, &f.read, 1, NULL, 0, 41, 29);
        for (int c = 0; c < 29; c++) {
            assert_true(dw[c] == 0.0F);
        }
        for (int i = 0; i < 41 * 29; i++) {
            assert_true(x[i] == f.read.o[i]); /* dh */
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
    read_all(&f, kernels, 3);
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
    read_all(&f, kernels, 3);
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
        cmocka_unit_test(backward_gives_the_same_bits_in_either_phase),
        cmocka_unit_test(a_read_with_one_source_returns_it),
        cmocka_unit_test(one_source_has_no_query_gradient),
        cmocka_unit_test(weights_are_positive_and_sum_to_one),
        cmocka_unit_test(a_zero_query_takes_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
