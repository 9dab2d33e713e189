/* Likelihoods of choices against probabilities computed by themselves: each token is passed through
 * the model alone, as generation does it, and its probability taken from the logits in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/config.h>
#include <attnres/evaluate.h>

#include "../support/single_rank.h"

/** Of f32 logits of products of one row against those of many; relative. */
static const double SAME_NATS = 1e-5;

/* Choices of several lengths, two questions, one of which is longer than the window of 24. */
static const char QUESTIONS[] =
    "{\"question\": \"Who?\", \"choices\": [\"I\", \"you and they\", \"\u00e9\"], \"answer\": 0}\n"
    "{\"question\": \"the quick brown fox jumps over the\", \"choices\": [\"lazy dog\", \"moon\"], "
    "\"answer\": \"B\"}\n";

static void load(struct config *config, const char *kind)
{
    const char *overrides[] = {kind,
                               "model.layers=4",
                               "model.blocks=2",
                               "model.dim=32",
                               "model.heads=4",
                               "model.kv_heads=2",
                               "model.ff=44",
                               "model.seq_len=24",
                               "batch.sequences=2",
                               "batch.microbatch=2",
                               "model.init_std=0.2"};
    struct error err = {0};
    assert_true(config_load(config, NULL, sizeof overrides / sizeof overrides[0], overrides, &err));
}

static double nats_of(const float *logits, int64_t V, int32_t token)
{
    double sum = 0.0;
    for (int64_t v = 0; v < V; v++) {
        sum += exp((double)logits[v] - (double)logits[token]);
    }
    return log(sum);
}

/** Minus the log-likelihood of a choice, one token after another; of what does not fit the window
 * the beginning is dropped. */
static double nats_alone(struct single_rank *writer, const struct questions *q, int64_t choice)
{
    const int64_t T = writer->plan.config->model.seq_len, V = writer->plan.config->model.vocab;
    const struct question_span given = q->rows[q->choices[choice].question].context,
                               asked = q->choices[choice].span;
    int32_t text[256];
    memcpy(text, q->tokens + given.first, (size_t)given.n * sizeof *text);
    memcpy(text + given.n, q->tokens + asked.first, (size_t)asked.n * sizeof *text);
    const int64_t length = given.n + asked.n, start = length - 1 > T ? length - 1 - T : 0;
    const int32_t no_target = -1;
    double nats = 0.0;
    for (int64_t at = start; at + 1 < length; at++) {
        const struct engine_batch batch = {
            .tokens = &text[at], .targets = &no_target, .position = at - start};
        engine_run(&writer->engine, &writer->plan.forward, &batch);
        if (at + 1 >= given.n) {
            nats += nats_of(memory_buffer(&writer->memory, BUFFER_LOGITS, 0), V, text[at + 1]);
        }
    }
    return nats;
}

static void compare(const char *kind)
{
    struct config *config = calloc(1, sizeof *config), *one = calloc(1, sizeof *one);
    struct single_rank together, writer;
    struct questions q;
    struct error err = {0};
    const struct questions_request request = {.vocab = 256, .join = " "};
    double nats[5];
    int64_t n_cut = 0;
    assert_non_null(config);
    assert_non_null(one);
    load(config, kind);
    *one = *config;
    one->batch.microbatch = one->batch.n_sequences = 1;
    assert_true(questions_parse(&q, "q", (const unsigned char *)QUESTIONS, sizeof QUESTIONS - 1,
                                &request, &err));
    assert_int_equal(q.n_choices, 5);
    assert_true(questions_fit(&q, "q", config->model.seq_len, &n_cut, &err));
    assert_int_equal(n_cut, 2);
    single_rank_init(&together, config, PLAN_FORWARD);
    single_rank_init(&writer, one, PLAN_GENERATE);
    evaluate_choices(&together.engine, &q, q.n_choices, nats);
    for (int64_t choice = 0; choice < q.n_choices; choice++) {
        const double expected = nats_alone(&writer, &q, choice);
        assert_true(fabs(nats[choice] - expected) <= SAME_NATS * expected);
    }
    single_rank_finish(&together);
    single_rank_finish(&writer);
    questions_finish(&q);
    free(one);
    free(config);
}

static void likelihoods_are_products_of_the_tokens_probabilities(void **state)
{
    (void)state;
    compare("model.kind=standard");
    compare("model.kind=block");
    compare("model.kind=block_full");
}

/** Let a model write A to E only: the logits of all else are 0. */
static void write_letters_only(struct single_rank *r)
{
    const struct model_config *model = &r->plan.config->model;
    const int64_t head = r->plan.depth.n_sublayers;
    float *rows = model_weight(&r->model, params_find(&r->plan.params, head, PARAM_HEAD));
    for (int64_t i = 0; i < model->vocab * model->dim; i++) {
        const int64_t token = i / model->dim;
        rows[i] = token >= 'A' && token <= 'E' ? 10.0F * rows[i] : 0.0F;
    }
}

/** Whether the model, given an item, writes its answer, one token after another. */
static bool writes_answer(struct single_rank *writer, const struct data_item *item)
{
    const int64_t T = writer->plan.config->model.seq_len, V = writer->plan.config->model.vocab;
    const int64_t length = item->prompt_length + item->answer_length;
    const int64_t start = length - 1 > T ? length - 1 - T : 0;
    const int32_t no_target = -1;
    for (int64_t at = start; at + 1 < length; at++) {
        const int32_t token = (unsigned char)item->text[at];
        const struct engine_batch batch = {
            .tokens = &token, .targets = &no_target, .position = at - start};
        engine_run(&writer->engine, &writer->plan.forward, &batch);
        const float *logits = memory_buffer(&writer->memory, BUFFER_LOGITS, 0);
        int64_t best = 0;
        for (int64_t v = 1; v < V; v++) {
            best = logits[v] > logits[best] ? v : best;
        }
        if (at + 1 >= item->prompt_length && best != (unsigned char)item->text[at + 1]) {
            return false;
        }
    }
    return true;
}

/* Twelve microbatches of two and one that is half full; items of twelve hops lose their beginning.
 */
static void right_answers_are_those_that_the_model_writes(void **state)
{
    (void)state;
    enum { N_ITEMS = 25, SEED = 1 };
    struct config *config = calloc(1, sizeof *config), *one = calloc(1, sizeof *one);
    struct single_rank together, writer;
    assert_non_null(config);
    assert_non_null(one);
    load(config, "model.kind=block_full");
    *one = *config;
    one->batch.microbatch = one->batch.n_sequences = 1;
    single_rank_init(&together, config, PLAN_FORWARD);
    single_rank_init(&writer, one, PLAN_GENERATE);
    write_letters_only(&together);
    write_letters_only(&writer);
    for (int hops = 4; hops <= 12; hops += 8) {
        int64_t n_right = 0;
        for (uint64_t i = 0; i < N_ITEMS; i++) {
            struct data_item item;
            data_make_item(&item, TASK_PERM, SEED, i, hops);
            n_right += writes_answer(&writer, &item);
        }
        const struct evaluate_hops found =
            evaluate_task(&together.engine, TASK_PERM, SEED, hops, N_ITEMS);
        assert_in_range(n_right, 1, N_ITEMS - 1);
        assert_int_equal(found.n_right, n_right);
        assert_true(found.chance == 1.0 / 5.0);
    }
    single_rank_finish(&together);
    single_rank_finish(&writer);
    free(one);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_answers_are_those_that_the_model_writes),
        cmocka_unit_test(likelihoods_are_products_of_the_tokens_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
