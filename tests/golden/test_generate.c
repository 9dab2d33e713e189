/* Writing one token at a time against whole sequences: the logits at every position are those of a
 * forward pass over all tokens, as evaluation makes it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <attnres/generate.h>

#include "../support/compare.h"
#include "../support/overrides.h"
#include "../support/pipeline.h"
#include "../support/single_rank.h"

static const char *const COMMON[] = {"model.layers=6",   "model.blocks=3",    "model.dim=32",
                                     "model.heads=4",    "model.kv_heads=2",  "model.ff=44",
                                     "model.seq_len=40", "batch.sequences=1", "batch.microbatch=1"};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 2 };

/** Of f32, where libraries sum a product of one row in another order than one of forty. */
static const double SAME_LOGITS = 1e-5;

static double worst_of_all_positions(struct single_rank *w, const struct pipeline *whole)
{
    const int64_t T = whole->config.model.seq_len, V = whole->config.model.vocab;
    const float *expected = memory_buffer(&whole->ranks[0].memory, BUFFER_LOGITS, 0);
    const float *logits = memory_buffer(&w->memory, BUFFER_LOGITS, 0);
    const int32_t no_target = -1;
    double worst = 0.0;
    for (int64_t t = 0; t < T; t++) {
        const struct engine_batch batch = {
            .tokens = &whole->tokens[t], .targets = &no_target, .position = t};
        engine_run(&w->engine, &w->plan.forward, &batch);
        worst = fmax(worst, compare_relative_error_f32(logits, expected + t * V, V));
    }
    return worst;
}

static void compare(const char *const *own)
{
    const char *overrides[N_COMMON + N_OWN];
    const int n = overrides_join(overrides, COMMON, N_COMMON, own, N_OWN);
    struct error err = {0};
    struct pipeline *whole = pipeline_create(1, overrides, n, &err);
    assert_non_null(whole);
    assert_true(pipeline_run(whole, &whole->plan.forward, 0.0F));
    struct single_rank w;
    single_rank_init(&w, &whole->config, PLAN_GENERATE);
    const double worst = worst_of_all_positions(&w, whole);
    printf("%s%s%s: worst logits %.1e\n", own[0], own[1] != NULL ? ", " : "",
           own[1] != NULL ? own[1] : "", worst);
    assert_true(worst <= SAME_LOGITS);
    single_rank_finish(&w);
    pipeline_destroy(whole);
}

static void logits_are_those_of_evaluation(void **state)
{
    (void)state;
    static const char *const MODELS[][N_OWN] = {{"model.kind=standard"},
                                                {"model.kind=full"},
                                                {"model.kind=block"},
                                                {"model.kind=block_full"},
                                                {"model.kind=block_full", "model.read=static"},
                                                {"model.kind=block_full", "model.tied=true"}};
    for (size_t i = 0; i < sizeof MODELS / sizeof MODELS[0]; i++) {
        compare(MODELS[i]);
    }
}

static void count(void *user, int32_t token)
{
    (void)token;
    ++*(int *)user;
}

/* A window of 40 tokens is left three times. */
static void text_goes_on_beyond_the_window(void **state)
{
    (void)state;
    struct error err = {0};
    struct pipeline *whole = pipeline_create(1, COMMON, N_COMMON, &err);
    assert_non_null(whole);
    struct single_rank w;
    single_rank_init(&w, &whole->config, PLAN_GENERATE);
    const struct generate_options options = {.n_tokens = 90};
    int n_emitted = 0;
    generate_tokens(&w.engine, &options, whole->tokens, 7, count, &n_emitted);
    assert_int_equal(n_emitted, 90);
    single_rank_finish(&w);
    pipeline_destroy(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_evaluation),
        cmocka_unit_test(text_goes_on_beyond_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
