#include <attnres/depth.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct depth_plan plan_of(enum model_kind kind, int64_t n_layers, int64_t n_blocks)
{
    const struct model_config model = {.kind = kind, .n_layers = n_layers, .n_blocks = n_blocks};
    return depth_plan_make(&model);
}

/* The sets of every kind, walked by carrying out what the plan says: starting from b_0 and applying
 * each sublayer's output, what is live in front of the next one must be a subset of what exists,
 * and nothing that is live may have been absorbed by a sum. */
static void live_values_are_those_that_the_outputs_left(void **state)
{
    (void)state;
    for (enum model_kind kind = MODEL_STANDARD; kind <= MODEL_BLOCK_FULL; kind++) {
        for (int64_t n_layers = 1; n_layers <= 6; n_layers++) {
            for (int64_t n_blocks = 1; n_blocks <= 2 * n_layers; n_blocks++) {
                const struct depth_plan plan = plan_of(kind, n_layers, n_blocks);
                int exists[32] = {1};
                for (int64_t l = 0; l <= plan.n_sublayers; l++) {
                    const struct depth_set live = depth_live(&plan, l);
                    for (int64_t i = 0; i < depth_set_count(&live); i++) {
                        assert_int_equal(exists[depth_set_id(&live, i)], 1);
                    }
                    if (l == plan.n_sublayers) {
                        break;
                    }
                    const struct depth_output out = depth_output_of(&plan, l);
                    if (out.adds_to >= 0) {
                        assert_int_equal(exists[out.adds_to], 1);
                        exists[out.adds_to] = 2;
                    }
                    exists[out.value] = 1;
                    if (out.completes >= 0) {
                        exists[out.completes] = 1;
                    }
                }
            }
        }
    }
}

static void cuts_carry_what_the_table_of_kinds_says(void **state)
{
    (void)state;
    const int64_t n_layers = 6;
    const struct depth_plan standard = plan_of(MODEL_STANDARD, n_layers, 3);
    const struct depth_plan full = plan_of(MODEL_FULL, n_layers, 3);
    const struct depth_plan block = plan_of(MODEL_BLOCK, n_layers, 3);
    const struct depth_plan block_full = plan_of(MODEL_BLOCK_FULL, n_layers, 3);
    assert_int_equal(block.block_size, 4);
    for (int64_t l = 1; l < 12; l++) {
        const struct depth_set a = depth_live(&standard, l), b = depth_live(&full, l),
                               c = depth_live(&block, l), d = depth_live(&block_full, l);
        const int64_t n_completed = l / 4 + 1, n_open = l % 4;
        assert_int_equal(depth_set_count(&a), 1);
        assert_int_equal(depth_set_count(&b), l + 1);
        assert_int_equal(depth_set_count(&c), n_completed + (n_open > 0));
        assert_int_equal(depth_set_count(&d), n_completed + n_open);
        assert_int_equal(depth_is_border(&block, l), n_open == 0);
    }
}

static void head_reads_every_block(void **state)
{
    (void)state;
    const struct depth_plan plan = plan_of(MODEL_BLOCK_FULL, 5, 4); /* S = 3, last block of one */
    assert_int_equal(plan.block_size, 3);
    const struct depth_set last = depth_live(&plan, 10);
    assert_int_equal(depth_set_count(&last), 5);
    assert_int_equal(last.n_open, 0);
    assert_int_equal(depth_output_of(&plan, 9).value, 4);
    assert_int_equal(depth_output_of(&plan, 9).completes, -1);
    assert_int_equal(depth_output_of(&plan, 8).completes, 3);
}

static void blocks_of_one_are_full_for_both_block_kinds(void **state)
{
    (void)state;
    const struct depth_plan full = plan_of(MODEL_FULL, 4, 1);
    const enum model_kind kinds[] = {MODEL_BLOCK, MODEL_BLOCK_FULL};
    for (int k = 0; k < 2; k++) {
        const struct depth_plan plan = plan_of(kinds[k], 4, 8);
        for (int64_t l = 0; l < 8; l++) {
            const struct depth_set a = depth_live(&full, l), b = depth_live(&plan, l);
            assert_memory_equal(&a, &b, sizeof a);
            assert_int_equal(depth_output_of(&full, l).value, depth_output_of(&plan, l).value);
            assert_int_equal(depth_output_of(&plan, l).adds_to, -1);
        }
    }
}

static void ids_of_a_set_start_at_its_first_completed(void **state)
{
    (void)state;
    const struct depth_set set = {
        .first_completed = 3, .n_completed = 2, .first_open = 9, .n_open = 2};
    const int64_t ids[] = {3, 4, 9, 10};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(depth_set_id(&set, i), ids[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_values_are_those_that_the_outputs_left),
        cmocka_unit_test(cuts_carry_what_the_table_of_kinds_says),
        cmocka_unit_test(head_reads_every_block),
        cmocka_unit_test(blocks_of_one_are_full_for_both_block_kinds),
        cmocka_unit_test(ids_of_a_set_start_at_its_first_completed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
