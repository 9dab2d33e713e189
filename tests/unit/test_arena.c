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
    assert_int_equal(a.used, 128 + 64 + 64);
    arena_destroy(&a);
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
        cmocka_unit_test(slices_are_aligned_zeroed_and_apart),
        cmocka_unit_test(empty_arena_and_empty_slices_have_addresses),
        cmocka_unit_test(refused_memory_is_an_error_that_names_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
