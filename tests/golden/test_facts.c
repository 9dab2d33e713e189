/* What attention over depth is, as facts of whole models: the residual stream
 * it starts from, the kinds that are one function, and what the weights of a read are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/optim.h>
#include <attnres/rng.h>

#include "../../src/model/model_internal.h"
#include "../support/compare.h"
#include "../support/overrides.h"
#include "../support/pipeline.h"
#include "../support/reads.h"

/** Twelve sublayers; three blocks unless a test says otherwise. */
static const char *const COMMON[] = {
    "model.layers=6",     "model.blocks=3", "model.dim=32",     "model.heads=4",
    "model.kv_heads=2",   "model.ff=44",    "model.seq_len=24", "batch.sequences=4",
    "batch.microbatch=2", "optim.lr=1e-2",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 4, N_SUBLAYERS = 12 };

/** Of f32 against the same function summed in another order; the fact's own bound. */
static const double SAME_FUNCTION = 1e-5;
/** Of a sum of at most 13 weights, each with an error of a few units in its last place. */
static const double SUM_OF_WEIGHTS = 1e-5;
/** Of products whose inputs have 8 bits, off by at most 2^-9 each, against f32: gradients behind
 * twelve sublayers by a few times as much, and those of a read's query, which are differences of
 * nearly equal dot products, by more. */
static const double BF16_LOSS = 1e-3, BF16_GRADIENT = 5e-2, BF16_QUERY_GRADIENT = 2e-1;

/** Defaults, then COMMON, then up to N_OWN overrides, on one rank. */
static struct pipeline *make(const char *const *own)
{
    const char *overrides[N_COMMON + N_OWN];
    const int n = overrides_join(overrides, COMMON, N_COMMON, own, N_OWN);
    struct error err = {0};
    struct pipeline *p = pipeline_create(1, overrides, n, &err);
    if (p == NULL) {
        fail_msg("%s", err.message);
    }
    return p;
}

static const struct model *model_of(const struct pipeline *p)
{
    return &p->ranks[0].models[0];
}

/** The first microbatch forwards, its logits left as they are. Returns its slot. */
static int run_forward(struct pipeline *p)
{
    assert_true(pipeline_run(p, &p->plan.forward, 0.0F));
    return schedule_slot(&p->plan.forward, 0, 0, 0);
}

/** The same for what comes out of it. */
static const float *run_logits(struct pipeline *p)
{
    run_forward(p);
    return model_logits(&p->ranks[0].models[0], 0);
}

static int64_t logit_count(const struct pipeline *p)
{
    return p->plan.microbatch_tokens * p->config.model.vocab;
}

/** Logits, loss and the gradients of all tensors but the reads' are those of `b`. */
static void assert_same_function(struct pipeline *a, struct pipeline *b, const char *name)
{
    const double logits = compare_relative_error_f32(run_logits(a), run_logits(b), logit_count(a));
    assert_true(pipeline_train(a) && pipeline_train(b));
    const double loss = fabs(pipeline_loss(a) / pipeline_loss(b) - 1.0);
    double worst = 0.0;
    int n_compared = 0;
    for (int64_t i = 0; i < b->plan.params.n_rows; i++) {
        const struct param *theirs = &b->plan.params.rows[i];
        const struct param *ours = params_find_name(&a->plan.params, theirs->name);
        if (theirs->role != PARAM_READ) {
            assert_non_null(ours);
            worst = fmax(worst, compare_relative_error_f32(model_gradient(model_of(a), ours),
                                                           model_gradient(model_of(b), theirs),
                                                           ours->count));
            n_compared++;
        }
    }
    printf("%s: relative errors: loss %.1e, logits %.1e, worst gradient %.1e of %d\n", name, loss,
           logits, worst, n_compared);
    assert_true(loss <= SAME_FUNCTION && logits <= SAME_FUNCTION && worst <= SAME_FUNCTION);
}

static void at_zero_queries_every_kind_is_the_standard_residual(void **state)
{
    (void)state;
    static const char *const KINDS[][N_OWN] = {
        {"model.kind=full", "model.norm_eps=1e-14"},
        {"model.kind=block", "model.norm_eps=1e-14"},
        {"model.kind=block_full", "model.norm_eps=1e-14"},
        {"model.kind=block_full", "model.norm_eps=1e-14", "model.tied=true"},
        {"model.kind=full", "model.norm_eps=1e-14", "model.read=static"},
        {"model.kind=block", "model.norm_eps=1e-14", "model.read=static"},
        {"model.kind=block_full", "model.norm_eps=1e-14", "model.read=static"},
    };
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        const bool tied = KINDS[i][2] != NULL && strcmp(KINDS[i][2], "model.tied=true") == 0;
        const char *const standard[N_OWN] = {"model.kind=standard", "model.norm_eps=1e-14",
                                             tied ? "model.tied=true" : NULL};
        struct pipeline *reference = make(standard), *p = make(KINDS[i]);
        assert_same_function(p, reference, KINDS[i][0]);
        pipeline_destroy(p);
        pipeline_destroy(reference);
    }
}

/** Losses and gradients differ from those in f32, but by no more than rounded inputs make them. */
static void products_in_bf16_stay_near_f32(void **state)
{
    (void)state;
    const char *refusal = matmul_refusal(MATMUL_BF16, kernels_select(kernels_level_count() - 1));
    if (refusal != NULL) {
        print_message("products in bf16: %s\n", refusal);
        skip();
    }
    struct pipeline *rounded = make((const char *const[N_OWN]){"compute.precision=bf16"});
    struct pipeline *exact = make((const char *const[N_OWN]){"compute.precision=f32"});
    reads_draw(&rounded->plan, model_of(rounded));
    reads_draw(&exact->plan, model_of(exact));
    assert_true(pipeline_train(rounded) && pipeline_train(exact));
    const double loss = fabs(pipeline_loss(rounded) / pipeline_loss(exact) - 1.0);
    double least = 1.0, worst = 0.0, worst_query = 0.0;
    for (int64_t i = 0; i < exact->plan.params.n_rows; i++) {
        const struct param *param = &exact->plan.params.rows[i];
        if (param->role == PARAM_READ && param->sublayer == 0) {
            continue; /* it has one source: its query never moves */
        }
        double *largest = param->role == PARAM_READ ? &worst_query : &worst;
        const double error = compare_relative_error_f32(
            model_gradient(model_of(rounded), &rounded->plan.params.rows[i]),
            model_gradient(model_of(exact), param), param->count);
        least = fmin(least, error);
        *largest = fmax(*largest, error);
    }
    printf("bf16: relative errors: loss %.1e, gradients %.1e to %.1e, of queries to %.1e\n", loss,
           least, worst, worst_query);
    assert_true(loss > 0.0 && loss <= BF16_LOSS && least > 0.0);
    assert_true(worst <= BF16_GRADIENT && worst_query <= BF16_QUERY_GRADIENT);
    pipeline_destroy(rounded);
    pipeline_destroy(exact);
}

/** Logits, losses, every gradient, and weights after a step. */
static void assert_same_bits(struct pipeline *a, struct pipeline *b)
{
    const float *x = run_logits(a), *y = run_logits(b);
    assert_memory_equal(x, y, (size_t)logit_count(a) * sizeof *x);
    assert_true(pipeline_train(a) && pipeline_train(b));
    assert_memory_equal(a->losses, b->losses, (size_t)a->plan.n_microbatches * sizeof *a->losses);
    assert_int_equal(a->plan.params.n_rows, b->plan.params.n_rows);
    for (int64_t i = 0; i < a->plan.params.n_rows; i++) {
        const struct param *p = &a->plan.params.rows[i], *q = &b->plan.params.rows[i];
        assert_string_equal(p->name, q->name);
        assert_int_equal(p->count, q->count);
        assert_memory_equal(model_gradient(model_of(a), p), model_gradient(model_of(b), q),
                            (size_t)p->count * sizeof(float));
    }
}

static void blocks_of_one_sublayer_are_full_bit_for_bit(void **state)
{
    (void)state;
    static const char *const READS[] = {"model.read=query", "model.read=static"};
    for (int i = 0; i < 2; i++) {
        const char *const full[N_OWN] = {"model.kind=full", READS[i]},
                          *const block[N_OWN] = {"model.kind=block", "model.blocks=12", READS[i]},
                          *const block_full[N_OWN] = {"model.kind=block_full", "model.blocks=12",
                                                      READS[i]};
        struct pipeline *reference = make(full);
        reads_draw(&reference->plan, model_of(reference));
        for (int k = 0; k < 2; k++) {
            struct pipeline *p = make(k == 0 ? block : block_full);
            reads_draw(&p->plan, model_of(p));
            assert_same_bits(p, reference);
            pipeline_destroy(p);
        }
        pipeline_destroy(reference);
    }
}

static void one_block_in_full_differs_from_full_in_the_last_read_alone(void **state)
{
    (void)state;
    static const char *const ONE_BLOCK[N_OWN] = {"model.kind=block_full", "model.blocks=1"},
                             *const FULL[N_OWN] = {"model.kind=full"};
    struct pipeline *p = make(ONE_BLOCK), *full = make(FULL);
    reads_draw(&p->plan, model_of(p));
    reads_draw(&full->plan, model_of(full));
    const int slot = run_forward(p), full_slot = run_forward(full);
    const int64_t n = p->plan.microbatch_tokens, C = p->config.model.dim;
    for (int part = 0; part < N_SUBLAYERS; part++) {
        assert_memory_equal(model_hidden(model_of(p), slot, part),
                            model_hidden(model_of(full), full_slot, part),
                            (size_t)(n * C) * sizeof(float));
    }
    const double difference =
        compare_relative_error_f32(model_hidden(model_of(p), slot, N_SUBLAYERS),
                                   model_hidden(model_of(full), full_slot, N_SUBLAYERS), n * C);
    assert_true(difference > 0.1);
    pipeline_destroy(p);
    pipeline_destroy(full);
}

/** One read of the first microbatch: its weights from scores and log-sum-exp, and its result from
 * the weights. Returns how many weights. */
static int64_t check_read(const struct pipeline *p, int slot, int part)
{
    const struct model *model = model_of(p);
    const int64_t n = model->n, C = p->config.model.dim;
    const int64_t n_sources = model_deep_sources(model, part);
    if (n_sources == 0) {
        return 0;
    }
    const struct depth_read read = model_read(model, slot, part);
    const float *h = model_hidden(model, slot, part);
    float *mean = calloc((size_t)(n * C), sizeof *mean);
    assert_non_null(mean);
    model_fill_sources(model, slot, model_part_sublayer(model, part), 0, n_sources);
    for (int64_t t = 0; t < n; t++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n_sources; i++) {
            const double weight = exp((double)read.s[i * n + t] - (double)read.m[t]);
            assert_true(weight > 0.0 && weight < 1.0);
            sum += weight;
            for (int64_t c = 0; c < C; c++) {
                mean[t * C + c] += (float)(weight * (double)model->sources[i].v[t * C + c]);
            }
        }
        assert_true(fabs(sum - 1.0) <= SUM_OF_WEIGHTS);
    }
    assert_true(compare_relative_error_f32(h, mean, n * C) <= SAME_FUNCTION);
    free(mean);
    return n * n_sources;
}

/** Kinds whose reads draw on several sources. */
static const char *const DEPTH_KINDS[][N_OWN] = {
    {"model.kind=full"},
    {"model.kind=block"},
    {"model.kind=block_full"},
    {"model.kind=block_full", "model.read=static"},
};

static void weights_of_a_read_are_positive_and_sum_to_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof DEPTH_KINDS / sizeof DEPTH_KINDS[0]; i++) {
        struct pipeline *p = make(DEPTH_KINDS[i]);
        reads_draw(&p->plan, model_of(p));
        const int slot = run_forward(p);
        int64_t n_weights = 0;
        for (int part = 0; part <= N_SUBLAYERS; part++) {
            n_weights += check_read(p, slot, part);
        }
        assert_int_equal(n_weights, p->plan.microbatch_tokens * depth_pair_count(&p->plan.depth));
        pipeline_destroy(p);
    }
}

static void update(struct pipeline *p, int64_t n_updates)
{
    const struct pipeline_rank *rank = &p->ranks[0];
    const struct optim optim = {
        .plan = &p->plan, .memory = &rank->memory, .kernels = rank->models[0].kernels};
    optim_update(&optim, &p->config.optim, p->config.optim.lr, 1.0, n_updates);
}

/** Three steps from these queries: the first read's stays, every other one moves. */
static void train_and_look_at_queries(struct pipeline *p)
{
    const struct params *params = &p->plan.params;
    float *before = calloc((size_t)params->n_rows, sizeof *before);
    assert_non_null(before);
    for (int64_t i = 0; i < params->n_rows; i++) {
        before[i] = model_weight(model_of(p), &params->rows[i])[0];
    }
    const struct param *first = params_find(params, 0, PARAM_READ);
    const size_t bytes = (size_t)first->count * sizeof(float);
    float *query = malloc(bytes);
    assert_non_null(query);
    memcpy(query, model_weight(model_of(p), first), bytes);
    for (int step = 1; step <= 3; step++) {
        assert_true(pipeline_train(p));
        update(p, step);
    }
    assert_memory_equal(model_weight(model_of(p), first), query, bytes);
    for (int64_t i = 0; i < params->n_rows; i++) {
        const struct param *param = &params->rows[i];
        if (param->role == PARAM_READ && param != first) {
            assert_true(model_weight(model_of(p), param)[0] != before[i]);
        }
    }
    free(query);
    free(before);
}

static void the_query_of_the_first_read_never_moves(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof DEPTH_KINDS / sizeof DEPTH_KINDS[0]; i++) {
        struct pipeline *p = make(DEPTH_KINDS[i / 2]);
        if (i % 2 == 1) {
            reads_draw(&p->plan, model_of(p));
        }
        train_and_look_at_queries(p);
        pipeline_destroy(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_zero_queries_every_kind_is_the_standard_residual),
        cmocka_unit_test(products_in_bf16_stay_near_f32),
        cmocka_unit_test(blocks_of_one_sublayer_are_full_bit_for_bit),
        cmocka_unit_test(one_block_in_full_differs_from_full_in_the_last_read_alone),
        cmocka_unit_test(weights_of_a_read_are_positive_and_sum_to_one),
        cmocka_unit_test(the_query_of_the_first_read_never_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
