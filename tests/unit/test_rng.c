#include <attnres/rng.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* All values here were computed by an independent Python program with exact integers. */

static void stream_gives_the_recorded_values(void **state)
{
    (void)state;
    struct rng r = rng_stream(1);
    assert_true(rng_next(&r) == UINT64_C(0x910a2dec89025cc1));
    assert_true(rng_next(&r) == UINT64_C(0xbeeb8da1658eec67));
    assert_true(rng_next(&r) == UINT64_C(0xf893a2eefb32555e));
    struct rng other = rng_stream(UINT64_C(0xdeadbeef));
    assert_true(rng_next(&other) == UINT64_C(0x4adfb90f68c9eb9b));
}

static void below_is_the_high_half_of_the_product(void **state)
{
    (void)state;
    const uint64_t n[] = {2, 10, 1000, UINT64_C(1) << 32, (UINT64_C(1) << 63) + 12345, UINT64_MAX};
    const uint64_t expected[] = {0,
                                 0,
                                 900,
                                 UINT64_C(2503666544),
                                 UINT64_C(4173039922750367422),
                                 UINT64_C(4601199455465548304)};
    struct rng r = rng_stream(7);
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        assert_true(rng_below(&r, n[i]) == expected[i]);
    }
}

static void uniform_keeps_53_bits(void **state)
{
    (void)state;
    struct rng r = rng_stream(7);
    assert_true(rng_uniform(&r) == 0x1.8f2f879164c82p-2);
    assert_true(rng_uniform(&r) == 0x1.130f35fd0f180p-6);
}

static void keyed_values_are_the_recorded_ones(void **state)
{
    (void)state;
    const uint64_t key = rng_key(1, "embedding");
    assert_true(key == UINT64_C(0xdf4ec153d21bfb69));
    assert_true(rng_key(2, "embedding") == UINT64_C(0xa069a785b68cbc));
    assert_true(rng_key(1, "") == UINT64_C(0xd72ac492360993ea));
    assert_true(rng_at(key, 0) == UINT64_C(0x4c47165d17d9c075));
    assert_true(rng_at(key, 1) == UINT64_C(0x6190b9a7f50c80a0));
    assert_true(rng_at(key, UINT64_C(1) << 40) == UINT64_C(0x2c776e8f77513eb));
}

static void normals_are_the_recorded_ones_and_standard(void **state)
{
    (void)state;
    const double libm_slack = 1e-14; /* two libms may differ in the last place of log and cos */
    const uint64_t key = rng_key(1, "embedding");
    assert_true(fabs(rng_normal_at(key, 0) + 1.1418147099538318) < libm_slack);
    assert_true(fabs(rng_normal_at(key, 1) + 2.283393451536373) < libm_slack);
    assert_true(fabs(rng_normal_at(key, 2) + 0.12856155348081058) < libm_slack);
    const int n = 100000;
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < n; i++) {
        const double x = rng_normal_at(key, (uint64_t)i);
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum / n) < 5.0 / sqrt(n)); /* five standard errors of a mean */
    assert_true(fabs(squares / n - 1.0) < 5.0 * sqrt(2.0 / n));
}

static void check_bijection(uint64_t key, uint64_t n)
{
    unsigned char *hit = calloc(n, 1);
    assert_non_null(hit);
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t to = rng_permute(key, i, n);
        assert_true(to < n && !hit[to]);
        hit[to] = 1;
    }
    free(hit);
}

static void permute_is_a_bijection(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1, 2, 3, 4, 5, 97, 256, 257, 65536, 65537};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_bijection(rng_key(1, "order"), sizes[i]);
        check_bijection(rng_key(2, "order"), sizes[i]);
    }
}

static void permute_gives_the_recorded_places(void **state)
{
    (void)state;
    const uint64_t key = rng_key(1, "embedding");
    const uint64_t ten[] = {7, 1, 8, 4, 6, 2, 5, 3, 0, 9};
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(rng_permute(key, i, 10) == ten[i]);
    }
    assert_true(rng_permute(key, 0, 65537) == 3196);
    assert_true(rng_permute(key, 3, 65537) == 20446);
    assert_true(rng_permute(key, 5, UINT64_C(1) << 40) == UINT64_C(147651492516));
    assert_true(rng_permute(key, 0, UINT64_MAX) == UINT64_C(13066191124754491100));
}

static void permute_spreads_neighbours_evenly(void **state)
{
    (void)state;
    enum { N = 30000, BINS = 10 };
    int count[BINS] = {0};
    for (uint64_t i = 0; i < N / 3; i++) {
        count[rng_permute(rng_key(3, "order"), i, N) * BINS / N]++;
    }
    for (int bin = 0; bin < BINS; bin++) {
        assert_in_range(count[bin], 850, 1150); /* 1000 expected, standard deviation below 30 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_gives_the_recorded_values),
        cmocka_unit_test(below_is_the_high_half_of_the_product),
        cmocka_unit_test(uniform_keeps_53_bits),
        cmocka_unit_test(keyed_values_are_the_recorded_ones),
        cmocka_unit_test(normals_are_the_recorded_ones_and_standard),
        cmocka_unit_test(permute_is_a_bijection),
        cmocka_unit_test(permute_gives_the_recorded_places),
        cmocka_unit_test(permute_spreads_neighbours_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
