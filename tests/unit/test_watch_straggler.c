/* Who is slower than the others, and when that is said. */
#include <attnres/watch.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int64_t first_said(double slowest_s, int n_steps, int n)
{
    struct watch_straggler s = {0};
    double compute_s[5], scratch[5];
    for (int step = 1; step <= n_steps; step++) {
        for (int rank = 0; rank < n; rank++) {
            compute_s[rank] = 1.0 + 0.01 * rank;
        }
        compute_s[2 % n] = slowest_s;
        if (watch_find_straggler(&s, compute_s, n, scratch)) {
            assert_int_equal(s.rank, 2 % n);
            return step;
        }
    }
    return -1;
}

static void a_rank_slow_for_20_steps_is_told_of(void **state)
{
    (void)state;
    assert_int_equal(first_said(1.35, 100, 5), 20);
    assert_int_equal(first_said(1.32, 100, 5), -1); /* the median is 1.03 with it */
    assert_int_equal(first_said(1.35, 100, 4), 20);
    assert_int_equal(first_said(1.5, 100, 2), -1); /* of two the median is the mean */
    assert_int_equal(first_said(2.5, 100, 2), 20);
    assert_int_equal(first_said(9.0, 100, 1), -1);
    struct watch_straggler s = {0};
    double slow[3] = {1.0, 2.0, 1.0}, even[3] = {1.0, 1.0, 1.0}, scratch[3];
    double fast[3] = {0.001, 0.002, 0.001};
    int n_said = 0;
    for (int step = 1; step <= 2000; step++) {
        n_said += watch_find_straggler(&s, slow, 3, scratch);
    }
    assert_int_equal(n_said, 3); /* at 20, 200 and 2000 */
    assert_true(s.ratio == 2.0 && s.seconds == 2.0 && s.n_steps == 2000);
    for (int step = 0; step < 100; step++) {
        assert_false(watch_find_straggler(&s, step % 15 == 0 ? even : slow, 3, scratch));
        assert_memory_equal(slow, ((double[]){1.0, 2.0, 1.0}), sizeof slow);
    }
    for (int step = 0; step < 100; step++) {
        assert_false(watch_find_straggler(&s, fast, 3, scratch)); /* a millisecond is nothing */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_slow_for_20_steps_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
