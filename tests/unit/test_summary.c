#include <attnres/summary.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { P = 4, N_STEPS = 10 };

/** A sum of eleven f64 terms of this size. */
static const double ROUNDING = 1e-12;

static const char YAML[] = "model: {layers: 8, blocks: 8, dim: 16, heads: 2, kv_heads: 2, ff: 16}\n"
                           "batch: {sequences: 8, microbatch: 2}\n";

static struct config *make_config(const char *override)
{
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    assert_non_null(config);
    if (!config_parse(config, "test", YAML, strlen(YAML), override != NULL, &override, &err)) {
        fail_msg("%s", err.message);
    }
    return config;
}

/** Every rank the same: 10 steps of 4 microbatches; F 10, I 20, W 10 ms a microbatch. */
static void fill(struct summary_rank ranks[P])
{
    for (int rank = 0; rank < P; rank++) {
        ranks[rank] = (struct summary_rank){.loop_s = 4.0,
                                            .times = {.forward_s = 0.4,
                                                      .input_gradient_s = 0.8,
                                                      .weight_gradient_s = 0.4,
                                                      .wait_s = 1.2,
                                                      .pack_s = 0.1,
                                                      .read_s = 0.05,
                                                      .reduce_s = 0.01,
                                                      .optimizer_s = 0.02,
                                                      .evaluate_s = 0.3,
                                                      .save_s = 0.2,
                                                      .bytes_raw = 2000,
                                                      .bytes_sent = 1000},
                                            .planned_bytes = 1 << 20,
                                            .data_bytes = 1 << 10,
                                            .used_bytes = (1 << 20) + rank,
                                            .n_warnings = rank == 2};
    }
}

static struct summary make(const struct summary_rank *ranks, const char *override)
{
    struct config *config = make_config(override);
    struct plan plan;
    struct error err = {0};
    struct summary s;
    if (!plan_init(&plan, config, P, PLAN_TRAIN, &err)) {
        fail_msg("%s", err.message);
    }
    summary_make(&s, &plan, N_STEPS, ranks, P);
    plan_finish(&plan);
    free(config);
    return s;
}

static bool says(const struct summary *s, const char *words)
{
    for (int i = 0; i < s->n_notes; i++) {
        if (strstr(s->notes[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

static void sections_add_up_to_the_time_of_the_loop(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    ranks[1].times.forward_s = 0.7;
    ranks[3].loop_s = 4.5;
    const struct summary s = make(ranks, NULL);
    double seconds = 0.0, share = 0.0;
    for (int i = 0; i < SUMMARY_SECTIONS; i++) {
        const struct summary_row *row = &s.sections[i];
        assert_true(row->min_s <= row->mean_s && row->mean_s <= row->max_s);
        seconds += row->mean_s;
        share += row->share;
    }
    assert_true(fabs(seconds - s.loop_s) < ROUNDING && fabs(s.loop_s - 4.125) < ROUNDING);
    assert_true(fabs(share - 1.0) < ROUNDING);
    assert_true(s.sections[SUMMARY_FORWARD].max_s == 0.7);
    assert_int_equal(s.sections[SUMMARY_FORWARD].slowest, 1);
    assert_int_equal(s.sections[SUMMARY_OTHER].slowest, 3);
    assert_true(fabs(s.sections[SUMMARY_OTHER].max_s - 1.02) < ROUNDING);
    assert_true(fabs(s.step_s - (4.125 - 0.5) / N_STEPS) < ROUNDING);
}

static void the_bubble_is_set_against_the_simulated_one(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    const struct summary s = make(ranks, "pipeline.partition=blocks");
    assert_true(fabs(s.bubble - 1.2 / 3.5) < ROUNDING);
    /* gpipe and 1f1b with gradients sent after I, four stages of F 1, I 2, W 1 and four
     * microbatches: three forwards to fill, three input gradients to drain. The work is M (F+I+W)
     * = 16, the makespan 16 + 3 (1 + 2). */
    assert_true(fabs(s.equal_bubble - (1.0 - 16.0 / 25.0)) < ROUNDING);
    assert_true(fabs(s.simulated_bubble - s.equal_bubble) < ROUNDING);
    assert_true(says(&s, "batch.microbatch=1 (in a new run) 22 %"));
    assert_true(says(&s, "pipeline.schedule=zb_h1"));
    assert_true(says(&s, "pipeline.schedule=zb_v pipeline.chunks=2"));
    assert_false(says(&s, "times the mean"));
}

static void pipelines_side_by_side_are_averaged(void **state)
{
    (void)state;
    struct summary_rank ranks[2 * P];
    struct plan plan;
    struct summary one, two;
    struct config *config = make_config("pipeline.partition=blocks");
    fill(ranks);
    fill(ranks + P);
    ranks[0].times.forward_s -= 0.1;
    ranks[P].times.forward_s += 0.1;
    assert_true(plan_init(&plan, config, P, PLAN_TRAIN, NULL));
    summary_make(&two, &plan, N_STEPS, ranks, 2 * P);
    fill(ranks);
    summary_make(&one, &plan, N_STEPS, ranks, P);
    assert_int_equal(two.n_ranks, 2 * P);
    assert_int_equal(two.slowest, P);
    assert_true(fabs(two.simulated_bubble - one.simulated_bubble) < ROUNDING);
    assert_int_equal(two.bytes_sent, 2 * one.bytes_sent);
    plan_finish(&plan);
    free(config);
}

static void an_uneven_rank_is_named_with_what_it_costs(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    ranks[2].times.forward_s += 0.5;
    ranks[2].times.recompute_s = 0.3;
    const struct summary s = make(ranks, NULL);
    assert_int_equal(s.slowest, 2);
    assert_true(fabs(s.imbalance - 2.4 / 1.8) < ROUNDING);
    assert_true(fabs(s.imbalance_s - 0.6 / N_STEPS) < ROUNDING);
    assert_true(s.simulated_bubble > s.equal_bubble);
    assert_true(says(&s, "rank 2 computes 1.33 times the mean: if its processor"));
    const struct summary in_blocks = make(ranks, "pipeline.partition=blocks");
    assert_true(says(&in_blocks, "try pipeline.partition=auto"));
}

static void what_takes_much_time_gets_a_note(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    struct summary s = make(ranks, NULL);
    assert_false(says(&s, "evaluation") || says(&s, "saving") || says(&s, "to pack"));
    for (int rank = 0; rank < P; rank++) {
        ranks[rank].times.evaluate_s = 1.0;
        ranks[rank].times.save_s = 0.5;
        ranks[rank].times.pack_s = 0.5;
    }
    s = make(ranks, NULL);
    assert_true(says(&s, "evaluation takes 25 %") && says(&s, "saving takes 12 %"));
    assert_true(says(&s, "messages take 12 %") && says(&s, "representative.gradient=bf16"));
    s = make(ranks, "representative.value=bf16");
    assert_false(says(&s, "to pack"));
}

static void messages_memory_and_warnings_are_added_up(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    const struct summary s = make(ranks, NULL);
    assert_int_equal(s.bytes_raw, P * 2000 / N_STEPS);
    assert_int_equal(s.bytes_sent, P * 1000 / N_STEPS);
    assert_int_equal(s.fullest, 3);
    assert_int_equal(s.used_bytes, (1 << 20) + 3);
    assert_int_equal(s.n_warnings, 1);
}

static void the_json_holds_what_the_table_says(void **state)
{
    (void)state;
    struct summary_rank ranks[P];
    fill(ranks);
    const struct summary s = make(ranks, NULL);
    char text[SUMMARY_TEXT_BYTES], table[SUMMARY_TEXT_BYTES];
    struct json_writer w;
    struct json_document d;
    struct error err = {0};
    double value = 0.0;
    json_writer_init(&w, text, sizeof text);
    summary_write_json(&w, NULL, &s);
    assert_true(json_writer_ok(&w));
    assert_true(json_parse(&d, text, w.length, "summary", &err));
    const struct json_value *wait = json_get(json_get(d.root, "sections"), "wait");
    assert_true(json_as_real(json_get(wait, "max_s"), &value) && value == 1.2);
    assert_true(json_as_real(json_get(d.root, "bubble"), &value) && value == s.bubble);
    assert_int_equal(json_count(json_get(d.root, "notes")), s.n_notes);
    assert_int_equal(json_count(json_get(d.root, "sections")), SUMMARY_SECTIONS);
    json_document_finish(&d);
    assert_true(summary_print(&s, table, sizeof table) < sizeof table);
    assert_non_null(strstr(table, "weight gradient       0.400      0.400      0.400    10.0 %"));
    assert_non_null(strstr(table, "bubble: 34.3 % measured; simulated 36.0 % with these times"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_add_up_to_the_time_of_the_loop),
        cmocka_unit_test(the_bubble_is_set_against_the_simulated_one),
        cmocka_unit_test(pipelines_side_by_side_are_averaged),
        cmocka_unit_test(an_uneven_rank_is_named_with_what_it_costs),
        cmocka_unit_test(what_takes_much_time_gets_a_note),
        cmocka_unit_test(messages_memory_and_warnings_are_added_up),
        cmocka_unit_test(the_json_holds_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
