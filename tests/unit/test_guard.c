#include <attnres/guard.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct guard_config OFF = {.max_skips = 2}, TELLS = {.max_skips = 2, .spike_z = 4},
                                 SKIPS = {.max_skips = 2, .spike_z = 4, .spike_skip = true};

/** Losses around 3 and norms around 1 that go to and fro by a tenth. */
static void settle(struct guard_state *state, const struct guard_config *config, int n)
{
    for (int i = 0; i < n; i++) {
        const double aside = i % 2 == 0 ? 0.1 : -0.1;
        const struct guard_judgement j = guard_judge(state, config, 3.0 + aside, 1.0 - aside, true);
        assert_false(j.skips || j.is_spike || j.not_finite || j.stops);
    }
}

static void what_is_not_finite_is_skipped_until_it_is_too_often(void **state)
{
    (void)state;
    static const double BAD[][2] = {{NAN, 1.0}, {INFINITY, 1.0}, {3.0, NAN}, {3.0, INFINITY}};
    for (int i = 0; i < 4; i++) {
        struct guard_state s = {0};
        for (int n = 1; n <= 4; n++) {
            const struct guard_judgement j = guard_judge(&s, &OFF, BAD[i][0], BAD[i][1], true);
            assert_true(j.not_finite && j.skips && !j.is_spike);
            assert_int_equal(j.stops, n > 2);
            assert_int_equal(s.n_skips_in_a_row, n);
        }
        settle(&s, &OFF, 1);
        assert_int_equal(s.n_skips_in_a_row, 0);
    }
}

static void a_step_without_targets_has_no_loss_to_judge(void **state)
{
    (void)state;
    struct guard_state s = {.n_skips_in_a_row = 1};
    const struct guard_judgement j = guard_judge(&s, &TELLS, NAN, 0.0, false);
    assert_true(j.skips && !j.not_finite && !j.stops);
    assert_int_equal(s.n_skips_in_a_row, 0);
    assert_int_equal(s.n_seen, 0);
}

static void a_spike_of_loss_or_norm_is_found_and_skipped_if_wanted(void **state)
{
    (void)state;
    for (int skips = 0; skips < 2; skips++) {
        const struct guard_config *config = skips ? &SKIPS : &TELLS;
        struct guard_state s = {0};
        settle(&s, config, 50);
        struct guard_judgement j = guard_judge(&s, config, 3.3, 1.3, true);
        assert_false(j.is_spike || j.skips);
        j = guard_judge(&s, config, 3.6, 1.0, true);
        assert_true(j.is_spike && j.loss_z > 4.0 && j.grad_norm_z == 0.0);
        assert_int_equal(j.skips, skips);
        assert_int_equal(s.n_skips_in_a_row, skips);
        j = guard_judge(&s, config, 3.0, 9.0, true);
        assert_true(j.is_spike && j.loss_z == 0.0 && j.grad_norm_z > 30.0);
        assert_int_equal(s.n_skips_in_a_row, 2 * skips);
        j = guard_judge(&s, config, 9.0, 9.0, true);
        assert_int_equal(j.stops, skips);
        j = guard_judge(&s, config, -9.0, 0.0, true); /* downwards is no harm */
        assert_false(j.is_spike || j.skips || j.stops);
    }
}

static void nothing_is_a_spike_early_or_where_none_are_looked_for(void **state)
{
    (void)state;
    struct guard_state s = {0};
    settle(&s, &OFF, 50);
    assert_false(guard_judge(&s, &OFF, 1e9, 1e9, true).is_spike);
    assert_int_equal(s.n_seen, 0);
    for (int i = 0; i < 20; i++) {
        assert_false(guard_judge(&s, &TELLS, i == 10 ? 100.0 : 3.0, 1.0, true).is_spike);
    }
    assert_true(guard_judge(&s, &TELLS, 1000.0, 1.0, true).is_spike);
}

static void one_spike_does_not_hide_the_next(void **state)
{
    (void)state;
    struct guard_state s = {0};
    settle(&s, &TELLS, 200);
    for (int i = 0; i < 10; i++) {
        assert_true(guard_judge(&s, &TELLS, 1e6, 1.0, true).is_spike);
        settle(&s, &TELLS, 20);
    }
}

static void a_lasting_change_becomes_the_rule(void **state)
{
    (void)state;
    struct guard_state s = {0};
    settle(&s, &TELLS, 200);
    int n_spikes = 0;
    for (int i = 0; i < 100; i++) {
        n_spikes += guard_judge(&s, &TELLS, 5.0 + (i % 2 == 0 ? 0.1 : -0.1), 1.0, true).is_spike;
    }
    assert_in_range(n_spikes, 1, 60);
    assert_true(fabs(s.loss.mean - 5.0) < 2.0);
}

static void a_loss_that_hardly_moves_has_no_tiny_spikes(void **state)
{
    (void)state;
    struct guard_state s = {0};
    for (int i = 0; i < 100; i++) {
        assert_false(guard_judge(&s, &TELLS, 3.0, 1.0, true).is_spike);
    }
    assert_false(guard_judge(&s, &TELLS, 3.0 + 1e-9, 1.0, true).is_spike);
    assert_true(guard_judge(&s, &TELLS, 3.1, 1.0, true).is_spike);
}

static struct guard_state read_back(const char *text)
{
    struct guard_state s;
    struct json_document d;
    assert_true(json_parse(&d, text, strlen(text), "guard", NULL));
    const bool ok = guard_read_state(&s, d.root);
    json_document_finish(&d);
    return ok ? s : (struct guard_state){.n_seen = -1};
}

static void the_state_reads_back_bit_for_bit(void **state)
{
    (void)state;
    struct guard_state s = {0};
    settle(&s, &TELLS, 33);
    guard_judge(&s, &TELLS, NAN, 1.0, true);
    char text[1024];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    guard_write_state(&w, &s);
    json_end_object(&w);
    assert_true(json_writer_ok(&w));
    const struct guard_state back = read_back(text);
    assert_memory_equal(&back, &s, sizeof s);
}

static void a_state_that_no_run_can_have_is_refused(void **state)
{
    (void)state;
    static const char *const REFUSED[] = {
        "{\"skips_in_a_row\": -1}",
        "{\"skips_in_a_row\": 1.5}",
        "{\"seen\": 3}",
        "{\"skips_in_a_row\": 0, \"seen\": 4611686018427387904}",
        "{\"skips_in_a_row\": 0, \"loss\": 3}",
        "{\"skips_in_a_row\": 0, \"loss\": [1]}",
        "{\"skips_in_a_row\": 0, \"loss\": [1, -1]}",
        "{\"skips_in_a_row\": 0, \"grad_norm\": [null, 1]}",
        "{\"skips_in_a_row\": 0, \"grad_norm\": [1, \"1\"]}",
    };
    assert_int_equal(read_back("{\"skips_in_a_row\": 3}").n_skips_in_a_row, 3);
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        assert_int_equal(read_back(REFUSED[i]).n_seen, -1);
    }
    struct guard_state s;
    assert_false(guard_read_state(&s, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_finite_is_skipped_until_it_is_too_often),
        cmocka_unit_test(a_step_without_targets_has_no_loss_to_judge),
        cmocka_unit_test(a_spike_of_loss_or_norm_is_found_and_skipped_if_wanted),
        cmocka_unit_test(nothing_is_a_spike_early_or_where_none_are_looked_for),
        cmocka_unit_test(one_spike_does_not_hide_the_next),
        cmocka_unit_test(a_lasting_change_becomes_the_rule),
        cmocka_unit_test(a_loss_that_hardly_moves_has_no_tiny_spikes),
        cmocka_unit_test(the_state_reads_back_bit_for_bit),
        cmocka_unit_test(a_state_that_no_run_can_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
