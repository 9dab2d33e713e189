#include <attnres/arena.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct parts {
    float *weights;
    unsigned char *flags;
    double *sums;
};

static void parts_layout(struct parts *p, struct arena *a)
{
    p->weights = arena_take(a, 17, sizeof *p->weights);
    p->flags = arena_take(a, 1, 1);
    p->sums = arena_take(a, 8, sizeof *p->sums);
}

static void measured_size_is_exactly_what_placing_takes(void **state)
{
    (void)state;
    struct arena a;
    struct parts p;
    arena_init_empty(&a);
    parts_layout(&p, &a);
    assert_null(p.weights);
    assert_int_equal(a.used, 128 + 64 + 64);
    struct error err = {0};
    const size_t bytes = a.used;
    assert_true(arena_create(&a, bytes, &err));
    parts_layout(&p, &a);
    arena_seal(&a);
    assert_int_equal(a.used, a.capacity);
    arena_destroy(&a);
}

static void slices_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct arena a;
    struct parts p;
    assert_true(arena_create(&a, 256, NULL));
    parts_layout(&p, &a);
    assert_int_equal((uintptr_t)p.weights % ARENA_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)p.flags % ARENA_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)p.sums % ARENA_ALIGNMENT, 0);
    memset(p.weights, 255, 17 * sizeof *p.weights);
    assert_int_equal(*p.flags, 0);
    assert_true(p.sums[7] == 0.0);
    arena_destroy(&a);
}

static void measuring_remembers_overflow(void **state)
{
    (void)state;
    const size_t counts[] = {SIZE_MAX, SIZE_MAX / 4 + 1, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct arena a;
        arena_init_empty(&a);
        assert_null(arena_take(&a, 64, 1));
        assert_null(arena_take(&a, counts[i], 4));
        assert_true(a.overflowed);
        assert_null(arena_take(&a, 1, 1));
        assert_true(a.overflowed && a.used == SIZE_MAX);
    }
}

static void empty_arena_and_empty_slices_have_addresses(void **state)
{
    (void)state;
    struct arena a;
    assert_true(arena_create(&a, 0, NULL));
    assert_non_null(arena_take(&a, 0, 8));
    assert_int_equal(a.used, 0);
    arena_destroy(&a);
    arena_destroy(&a);
    arena_destroy(NULL);
}

static void refused_memory_is_an_error_that_names_the_size(void **state)
{
    (void)state;
    struct arena a;
    struct error err = {0};
    assert_false(arena_create(&a, SIZE_MAX - 4096, &err));
    assert_int_equal(err.kind, ERROR_CREATE);
    assert_non_null(strstr(err.message, "18446744073709547519 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_size_is_exactly_what_placing_takes),
        cmocka_unit_test(slices_are_aligned_zeroed_and_apart),
        cmocka_unit_test(measuring_remembers_overflow),
        cmocka_unit_test(empty_arena_and_empty_slices_have_addresses),
        cmocka_unit_test(refused_memory_is_an_error_that_names_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
