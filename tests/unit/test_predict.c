#include <attnres/predict.h>

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Sums of the same numbers in another order. */
static const double ROUNDING = 1e-9;

enum { TEXT_BYTES = 1 << 16, MOST_OVERRIDES = 12 };

struct trial {
    struct config config;
    struct plan plan;
};

/* 16 layers of a block_full model with a block for every two layers, and these overrides. */
static struct trial *make_trial(int n_ranks, const char *const *extra)
{
    const char *overrides[MOST_OVERRIDES] = {"model.layers=16", "model.blocks=8", "model.dim=32",
                                             "model.ff=88", "model.seq_len=32"};
    int n = 5;
    for (int i = 0; extra[i] != NULL; i++) {
        overrides[n++] = extra[i];
    }
    struct trial *t = calloc(1, sizeof *t);
    struct error err = {0};
    assert_non_null(t);
    if (!config_load(&t->config, NULL, n, overrides, &err) ||
        !plan_init(&t->plan, &t->config, n_ranks, PLAN_TRAIN, &err)) {
        fail_msg("%s", err.message);
    }
    return t;
}

static void finish_trial(struct trial *t)
{
    plan_finish(&t->plan);
    free(t);
}

/* So that a stage of n sublayers takes F = I = W = n, and messages next to nothing. */
static const struct costs UNIT = {.shape = "any",
                                  .attention = {1, 1, 1},
                                  .mlp = {1, 1, 1},
                                  .pack_s = 1e-20,
                                  .unpack_s = 1e-20,
                                  .link_bytes_per_s = 1e20};

static struct prediction predict(const struct plan *plan, const struct costs *costs)
{
    struct prediction p;
    struct error err = {0};
    assert_null(predict_find_missing(plan, costs));
    if (!predict_step(&p, plan, costs, &err)) {
        fail_msg("%s", err.message);
    }
    return p;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= ROUNDING * fabs(b);
}

static void step_is_the_published_makespan(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, n_chunks;
        const char *schedule, *chunks, *sequences;
        double makespan; /* F = I = W = 1 per rank */
    } rows[] = {
        {2, 1, "1f1b", "1", "4", 14},         {4, 1, "1f1b", "1", "8", 30},
        {8, 1, "gpipe", "1", "16", 62},       {4, 1, "zb_h1", "1", "16", 51},
        {4, 2, "interleaved", "2", "16", 51}, {8, 4, "interleaved", "4", "32", 99.5},
        {4, 2, "zb_v", "2", "8", 25.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char schedule[64], chunks[64], sequences[64];
        snprintf(schedule, sizeof schedule, "pipeline.schedule=%s", rows[i].schedule);
        snprintf(chunks, sizeof chunks, "pipeline.chunks=%s", rows[i].chunks);
        snprintf(sequences, sizeof sequences, "batch.sequences=%s", rows[i].sequences);
        struct trial *t =
            make_trial(rows[i].n_ranks,
                       (const char *const[]){schedule, chunks, sequences, "batch.microbatch=1",
                                             "pipeline.partition=blocks", NULL});
        struct prediction p = predict(&t->plan, &UNIT);
        const double per_rank = 32.0 / rows[i].n_ranks;
        assert_true(is_near(p.step_s, rows[i].makespan * per_rank));
        assert_true(is_near(p.compute_s, 3.0 * (double)t->plan.n_microbatches * per_rank));
        assert_true(is_near(p.compute_s + p.bubble_s, p.step_s));
        prediction_finish(&p);
        finish_trial(t);
    }
}

/* One microbatch on two ranks: there and back, nothing to hide behind. */
static void messages_add_packing_way_and_latency(void **state)
{
    (void)state;
    struct trial *t = make_trial(2, (const char *const[]){"batch.sequences=1", "batch.microbatch=1",
                                                          "representative.value=bf16", NULL});
    struct costs costs = UNIT;
    costs.pack_s = 1e-3;
    costs.unpack_s = 2e-3;
    costs.link_bytes_per_s = 250.0;
    costs.link_latency_s = 5.0;
    struct prediction p = predict(&t->plan, &costs);
    const struct wire_layout values = plan_values_layout(&t->plan, 0);
    const struct wire_layout gradients = plan_gradients_layout(&t->plan, 0);
    const double bytes = (double)(wire_frame_bytes(&values) + wire_frame_bytes(&gradients));
    assert_true(is_near(p.messages_s, bytes * (1e-3 + 2e-3 + 1.0 / 250.0) + 2.0 * 5.0));
    assert_true(is_near(
        p.compute_s + p.bubble_s + p.messages_s + p.reduce_s + p.update_s + p.report_s, p.step_s));
    prediction_finish(&p);
    finish_trial(t);
}

static void update_is_that_of_the_largest_rank(void **state)
{
    (void)state;
    struct trial *t = make_trial(2, (const char *const[]){"pipeline.partition=[8, 24]", NULL});
    struct costs costs = UNIT;
    costs.update_s = 1.0;
    struct prediction p = predict(&t->plan, &costs);
    assert_true(is_near(p.update_s, (double)t->plan.owned_counts[1]));
    prediction_finish(&p);
    finish_trial(t);
}

/* Four replicas of one rank: what the one that owns the most receives, and sends back. */
static void replicas_add_the_sum_of_their_gradients(void **state)
{
    (void)state;
    struct trial *t = make_trial(4, (const char *const[]){"pipeline.replicas=4", NULL});
    struct costs costs = UNIT;
    costs.link_bytes_per_s = 1e3;
    costs.link_latency_s = 0.25;
    costs.update_s = 1.0;
    struct prediction p = predict(&t->plan, &costs);
    int64_t most = 0;
    for (int rank = 0; rank < 4; rank++) {
        most = t->plan.owned_counts[rank] > most ? t->plan.owned_counts[rank] : most;
    }
    const double held = (double)t->plan.params.n_parameters;
    assert_true((double)most < 0.3 * held);
    assert_true(is_near(p.reduce_s, 2.0 * (3.0 * (double)most * 4.0 / 1e3 + 3 * 0.25)));
    assert_true(is_near(p.update_s, (4.0 * held + 32.0 * (double)most) / 36.0));
    assert_true(is_near(p.compute_s, 3.0 * 32.0 * (double)t->plan.n_microbatches));
    prediction_finish(&p);
    finish_trial(t);
}

/* Of 4 ranks with 2 chunks, one block a stage, a microbatch sends 35 tensors each
 * way, with the cache 21; a header stands in front of each of the 7 messages. */
static void traffic_counts_tensors_and_headers(void **state)
{
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        struct trial *t = make_trial(
            4, (const char *const[]){"pipeline.schedule=interleaved", "pipeline.chunks=2",
                                     "pipeline.partition=blocks", "batch.sequences=8",
                                     cache ? "pipeline.cache=on" : "pipeline.cache=off", NULL});
        const double n = 2.0 * 4.0 * 2.0; /* bytes of a value apart: 4 microbatches, two ways */
        const double tensor = 64.0 * 32.0, tensors = cache ? 21.0 : 35.0;
        const struct predicted_traffic f32 =
            predict_traffic(&t->plan, &t->plan.routing, PRECISION_F32, PRECISION_F32);
        assert_true(is_near(f32.all, n / 2.0 * (tensors * 4.0 * tensor + 7.0 * 64.0)));
        const struct predicted_traffic bf16 =
            predict_traffic(&t->plan, &t->plan.routing, PRECISION_BF16, PRECISION_BF16);
        assert_true(is_near(bf16.all, n / 2.0 * (tensors * 2.0 * tensor + 7.0 * 64.0)));
        assert_true(f32.busiest < f32.all && f32.busiest > f32.all / 4.0);
        finish_trial(t);
    }
}

/* Interleaved stages go round the ranks: between two neighbours lie two cuts, between the last and
 * the first one. */
static void links_add_up_to_the_traffic(void **state)
{
    (void)state;
    struct trial *t =
        make_trial(4, (const char *const[]){"pipeline.schedule=interleaved", "pipeline.chunks=2",
                                            "pipeline.partition=blocks", NULL});
    struct predicted_link links[16];
    const int n = predict_links(links, &t->plan, &t->plan.routing, PRECISION_F32, PRECISION_BF16);
    const struct predicted_traffic traffic =
        predict_traffic(&t->plan, &t->plan.routing, PRECISION_F32, PRECISION_BF16);
    double all = 0.0;
    assert_int_equal(n, 8);
    for (int i = 0; i < n; i += 2) {
        assert_int_equal(links[i].to, (links[i].from + 1) % 4);
        assert_int_equal(links[i + 1].from, links[i].to);
        assert_int_equal(links[i + 1].to, links[i].from);
        assert_true(links[i + 1].bytes < links[i].bytes);
        all += links[i].bytes + links[i + 1].bytes;
    }
    assert_true(is_near(all, traffic.all));
    finish_trial(t);
}

static void rates_that_are_missing_are_named(void **state)
{
    (void)state;
    struct trial *t = make_trial(2, (const char *const[]){NULL});
    struct costs costs = {0};
    assert_string_equal(predict_find_missing(&t->plan, &costs), "flops_per_s");
    costs.flops_per_s = 1e12;
    assert_string_equal(predict_find_missing(&t->plan, &costs), "memory_bytes_per_s");
    costs.memory_bytes_per_s = 1e11;
    costs_assume_packing(&costs);
    assert_string_equal(predict_find_missing(&t->plan, &costs), "link_bytes_per_s");
    costs.link_bytes_per_s = 1e9;
    assert_null(predict_find_missing(&t->plan, &costs));
    finish_trial(t);
}

/* With memory and links that take nothing a step of one rank is its FLOPs. */
static void counted_work_is_its_flops(void **state)
{
    (void)state;
    struct trial *t = make_trial(1, (const char *const[]){NULL});
    const struct costs costs = {.flops_per_s = 1e6, .memory_bytes_per_s = 1e20};
    struct prediction p = predict(&t->plan, &costs);
    const double tokens = (double)(t->plan.n_microbatches * t->plan.microbatch_tokens);
    assert_true(is_near(p.step_s, plan_flops_per_token(&t->plan) * tokens / 1e6));
    prediction_finish(&p);
    finish_trial(t);
}

static void picture_shows_what_takes_the_longest(void **state)
{
    (void)state;
    struct trial *t = make_trial(2, (const char *const[]){"batch.sequences=1", "batch.microbatch=1",
                                                          "pipeline.partition=blocks", NULL});
    struct prediction p = predict(&t->plan, &UNIT);
    char *text = malloc(TEXT_BYTES);
    assert_non_null(text);
    assert_true(predict_print(&t->plan, &UNIT, &p, 20, text, TEXT_BYTES) < TEXT_BYTES);
    assert_non_null(strstr(text, "rank 0    FF....IIWW\nrank 1    ..FFIIWW..\n"));
    assert_true(predict_print_svg(&t->plan, &p, text, TEXT_BYTES) < TEXT_BYTES);
    assert_non_null(strstr(text, "<rect x=\"70\" y=\"45\" width=\"240\" height=\"16\" "
                                 "fill=\"#0072B2\"/>"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
    prediction_finish(&p);
    finish_trial(t);
}

static void costs_beyond_all_machines_draw_nothing(void **state)
{
    (void)state;
    struct trial *t = make_trial(2, (const char *const[]){NULL});
    struct costs costs = UNIT;
    costs.link_bytes_per_s = 1e-305;
    struct prediction p = predict(&t->plan, &costs);
    char *text = malloc(TEXT_BYTES);
    assert_non_null(text);
    predict_print(&t->plan, &costs, &p, 20, text, TEXT_BYTES);
    assert_non_null(strstr(text, "rank 0    ..........\nrank 1    ..........\n"));
    free(text);
    prediction_finish(&p);
    finish_trial(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_is_the_published_makespan),
        cmocka_unit_test(messages_add_packing_way_and_latency),
        cmocka_unit_test(update_is_that_of_the_largest_rank),
        cmocka_unit_test(replicas_add_the_sum_of_their_gradients),
        cmocka_unit_test(traffic_counts_tensors_and_headers),
        cmocka_unit_test(links_add_up_to_the_traffic),
        cmocka_unit_test(rates_that_are_missing_are_named),
        cmocka_unit_test(counted_work_is_its_flops),
        cmocka_unit_test(picture_shows_what_takes_the_longest),
        cmocka_unit_test(costs_beyond_all_machines_draw_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
