#include <attnres/params.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct model_config model_of(enum model_kind kind, bool tied)
{
    return (struct model_config){.kind = kind,
                                 .n_layers = 3,
                                 .n_blocks = 2,
                                 .dim = 20,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .ff = 28,
                                 .vocab = 37,
                                 .seq_len = 8,
                                 .init_std = 0.02,
                                 .tied = tied};
}

static void rows_carry_the_names_of_llama_tools(void **state)
{
    (void)state;
    const struct model_config model = model_of(MODEL_BLOCK_FULL, false);
    const struct depth_plan depth = depth_plan_make(&model);
    struct params params;
    params_init(&params, &model, &depth);
    const char *const names[] = {
        "model.embed_tokens.weight",
        "model.layers.0.self_attn_res.query",
        "model.layers.2.input_layernorm.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.layers.2.mlp.down_proj.weight",
        "model.layers.2.mlp_res.query",
        "model.output_res.query",
        "model.norm.weight",
        "lm_head.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_non_null(params_find_name(&params, names[i]));
    }
    const struct param *k = params_find_name(&params, "model.layers.1.self_attn.k_proj.weight");
    assert_int_equal(k->rows, 10);
    assert_int_equal(k->cols, 20);
    params_finish(&params);
}

static void tied_and_standard_models_have_fewer_rows(void **state)
{
    (void)state;
    const struct model_config model = model_of(MODEL_STANDARD, true);
    const struct depth_plan depth = depth_plan_make(&model);
    struct params params;
    params_init(&params, &model, &depth);
    assert_null(params_find_name(&params, "lm_head.weight"));
    for (int64_t i = 0; i < params.n_rows; i++) {
        assert_null(strstr(params.rows[i].name, "_res."));
    }
    params_finish(&params);
}

static void static_reads_have_a_logit_per_source(void **state)
{
    (void)state;
    struct model_config model = model_of(MODEL_FULL, false);
    model.read = READ_STATIC;
    const struct depth_plan depth = depth_plan_make(&model);
    struct params params;
    params_init(&params, &model, &depth);
    assert_int_equal(params_find_name(&params, "model.layers.1.mlp_res.logits")->count, 4);
    assert_int_equal(params_find_name(&params, "model.output_res.logits")->count, 7);
    params_finish(&params);
}

/* Stages slice the table, so rows must not overlap, and fused matrices must be contiguous at any
 * width. */
static void rows_follow_each_other_without_overlap(void **state)
{
    (void)state;
    const struct model_config model = model_of(MODEL_BLOCK, false);
    const struct depth_plan depth = depth_plan_make(&model);
    struct params params;
    params_init(&params, &model, &depth);
    for (int64_t i = 1; i < params.n_rows; i++) {
        const struct param *a = &params.rows[i - 1], *b = &params.rows[i];
        assert_true(b->offset >= a->offset + a->count);
        if (b->role == PARAM_K || b->role == PARAM_V || b->role == PARAM_UP) {
            assert_int_equal(b->offset, a->offset + a->count);
        } else {
            assert_int_equal(b->offset % 16, 0);
        }
    }
    params_finish(&params);
}

static void initial_values_depend_on_seed_and_name_alone(void **state)
{
    (void)state;
    const struct model_config a = model_of(MODEL_BLOCK, false), b = model_of(MODEL_STANDARD, false);
    const struct depth_plan depth_a = depth_plan_make(&a), depth_b = depth_plan_make(&b);
    struct params pa, pb;
    params_init(&pa, &a, &depth_a);
    params_init(&pb, &b, &depth_b);
    const char *name = "model.layers.1.mlp.up_proj.weight";
    float x[28 * 20], y[28 * 20], z[28 * 20];
    params_draw(params_find_name(&pa, name), 5, x);
    params_draw(params_find_name(&pb, name), 5, y);
    params_draw(params_find_name(&pb, name), 6, z);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_not_equal(x, z, sizeof x);
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < 560; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    /* 560 draws of std 0.02: mean within 5 standard errors, variance within 30 %. */
    assert_true(fabs(sum / 560.0) < 5.0 * 0.02 / sqrt(560.0));
    assert_true(fabs(squares / 560.0 / 0.0004 - 1.0) < 0.3);
    params_finish(&pa);
    params_finish(&pb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_carry_the_names_of_llama_tools),
        cmocka_unit_test(tied_and_standard_models_have_fewer_rows),
        cmocka_unit_test(static_reads_have_a_logit_per_source),
        cmocka_unit_test(rows_follow_each_other_without_overlap),
        cmocka_unit_test(initial_values_depend_on_seed_and_name_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
