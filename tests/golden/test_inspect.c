/* What inspect says of whole models, by facts that tie the kinds together and by what
 * leaving a source out must be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/inspect.h>
#include <attnres/rng.h>

#include "../support/overrides.h"
#include "../support/reads.h"
#include "../support/single_rank.h"

/** Twelve sublayers in three blocks of four. */
static const char *const COMMON[] = {"model.layers=6",   "model.blocks=3",    "model.dim=32",
                                     "model.heads=4",    "model.kv_heads=2",  "model.ff=44",
                                     "model.seq_len=24", "batch.sequences=1", "batch.microbatch=1"};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 3, L = 12, T = 24, N_WINDOWS = 3 };

/** Of f32 against the same function summed in another order, as in test_facts.c. */
static const double SAME_FUNCTION = 1e-5;
/** Of gradients likewise, which come through twelve sublayers. */
static const double SAME_GRADIENT = 1e-4;

/** Of slopes by differences, which are off by the third derivative. */
static const double DIFFERENCES = 1e-2;

/** A model, and what is looked at. */
struct trial {
    struct config config;
    struct single_rank rank;
    int32_t tokens[N_WINDOWS * T], targets[N_WINDOWS * T];
    struct inspection found;
};

static struct trial *make(const char *const *own)
{
    const char *overrides[N_COMMON + N_OWN];
    struct trial *trial = calloc(1, sizeof *trial);
    struct error err = {0};
    assert_non_null(trial);
    const int n = overrides_join(overrides, COMMON, N_COMMON, own, N_OWN);
    if (!config_load(&trial->config, NULL, n, overrides, &err)) {
        fail_msg("%s", err.message);
    }
    single_rank_init(&trial->rank, &trial->config, PLAN_INSPECT);
    for (int i = 0; i < N_WINDOWS * T; i++) {
        trial->tokens[i] = (int32_t)(rng_at(1, (uint64_t)i) % 256);
        trial->targets[i] = (int32_t)(rng_at(2, (uint64_t)i) % 256);
    }
    return trial;
}

static void destroy(struct trial *trial)
{
    inspection_finish(&trial->found);
    single_rank_finish(&trial->rank);
    free(trial);
}

static void look(struct trial *trial, int64_t n_windows, bool wants_weights)
{
    const struct inspect_input input = {.tokens = trial->tokens,
                                        .targets = trial->targets,
                                        .n_windows = n_windows,
                                        .n_tokens = T,
                                        .hides_all = true};
    struct error err = {0};
    assert_true(inspect_model(&trial->found, &trial->rank.engine, &trial->rank.model, &input,
                              wants_weights, &err));
}

static double forward_loss(struct trial *trial)
{
    double loss = 0.0;
    const struct engine_batch batch = {
        .tokens = trial->tokens, .targets = trial->targets, .losses = &loss};
    engine_run(&trial->rank.engine, &trial->rank.plan.forward, &batch);
    return loss / T;
}

static void expect_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance * fabs(expected))) {
        fail_msg("%.9g is not %.9g", found, expected);
    }
}

/* With queries of zero every kind is the standard model: what a sublayer puts out and every
 * gradient are the same, though they are read from a running sum, from partial sums and from
 * outputs; and a read is the mean over the sources where the running sum is their sum. */
static void kinds_agree_where_they_are_one_function(void **state)
{
    (void)state;
    static const char *const KINDS[][N_OWN] = {
        {"model.kind=standard", "model.norm_eps=1e-14"},
        {"model.kind=full", "model.norm_eps=1e-14"},
        {"model.kind=block", "model.norm_eps=1e-14"},
        {"model.kind=block_full", "model.norm_eps=1e-14"},
    };
    struct trial *standard = make(KINDS[0]);
    look(standard, N_WINDOWS, false);
    for (int kind = 1; kind < 4; kind++) {
        struct trial *trial = make(KINDS[kind]);
        const struct inspection *found = &trial->found, *expected = &standard->found;
        look(trial, N_WINDOWS, false);
        expect_near(found->loss, expected->loss, SAME_FUNCTION);
        for (int64_t l = 0; l < L; l++) {
            expect_near(found->outputs[l], expected->outputs[l], SAME_GRADIENT);
            expect_near(found->weight_gradients[l], expected->weight_gradients[l], SAME_GRADIENT);
            expect_near(found->output_gradients[l], expected->output_gradients[l], SAME_GRADIENT);
        }
        for (int64_t l = 0; l <= L && trial->config.model.kind == MODEL_FULL; l++) {
            expect_near((double)(l + 1) * found->inputs[l], expected->inputs[l], SAME_FUNCTION);
        }
        destroy(trial);
    }
    destroy(standard);
}

static double sum_squares(const double *x, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i] * x[i];
    }
    return sum;
}

/** y (n,out) of x (n,in) and w (out,in). */
static void multiply(double *y, const double *x, const float *w, int64_t n, int64_t in, int64_t out)
{
    for (int64_t i = 0; i < n * out; i++) {
        y[i] = 0.0;
        for (int64_t k = 0; k < in; k++) {
            y[i] += x[i / out * in + k] * (double)w[i % out * in + k];
        }
    }
}

static const float *weight_of(const struct trial *trial, int64_t l, enum param_role role)
{
    return model_weight(&trial->rank.model, params_find(&trial->rank.plan.params, l, role));
}

/** Root mean square of what the last sublayer puts out, by the equations of an MLP, from what
 * the model has of its sources: a read whose query is zero is their mean. */
static double last_output(const struct trial *trial)
{
    enum { C = 32, F = 44, LAST = L - 1 };
    double x[T * C] = {0}, gate[T * F], up[T * F], y[T * C];
    for (int64_t i = 0; i < T * C; i++) {
        for (int64_t id = 0; id <= LAST; id++) {
            x[i] += (double)model_value(&trial->rank.model, 0, id)[i] / L;
        }
    }
    const float *gain = weight_of(trial, LAST, PARAM_GAIN);
    for (int64_t t = 0; t < T; t++) {
        const double square = sum_squares(x + t * C, C) / C;
        for (int64_t c = 0; c < C; c++) {
            x[t * C + c] *= (double)gain[c] / sqrt(square + trial->config.model.norm_eps);
        }
    }
    multiply(gate, x, weight_of(trial, LAST, PARAM_GATE), T, C, F);
    multiply(up, x, weight_of(trial, LAST, PARAM_UP), T, C, F);
    for (int64_t i = 0; i < T * F; i++) {
        up[i] *= gate[i] / (1.0 + exp(-gate[i]));
    }
    multiply(y, up, weight_of(trial, LAST, PARAM_DOWN), T, F, C);
    return sqrt(sum_squares(y, T * C) / (T * C));
}

/** Move a sublayer's weights, those of its read left out, along a direction that is theirs one
 * after another. */
static void move_weights(struct trial *trial, int64_t l, const float *direction, double by)
{
    const struct params *params = &trial->rank.plan.params;
    for (int64_t i = params_first(params, l); i < params_first(params, l + 1); i++) {
        const struct param *row = &params->rows[i];
        float *weight = model_weight(&trial->rank.model, row);
        for (int64_t k = 0; k < row->count && row->role != PARAM_READ; k++) {
            weight[k] += (float)(by * (double)*direction++);
        }
    }
}

/** The slope of the loss along a sublayer's gradient, by differences: its norm. */
static double slope_along_gradient(struct trial *trial, int64_t l)
{
    enum { MOST = 1 << 14 };
    static const double STEP = 0.01; /* nats, about: far above the rounding of an f32 loss */
    static float direction[MOST];
    const struct params *params = &trial->rank.plan.params;
    int64_t n = 0;
    for (int64_t i = params_first(params, l); i < params_first(params, l + 1); i++) {
        const struct param *row = &params->rows[i];
        for (int64_t k = 0; k < row->count && row->role != PARAM_READ; k++) {
            assert_true(n < MOST);
            direction[n++] = model_gradient(&trial->rank.model, row)[k];
        }
    }
    double square = 0.0;
    for (int64_t i = 0; i < n; i++) {
        square += (double)direction[i] * (double)direction[i];
    }
    const double by = STEP / square;
    move_weights(trial, l, direction, by);
    const double above = forward_loss(trial);
    move_weights(trial, l, direction, -2.0 * by);
    const double below = forward_loss(trial);
    move_weights(trial, l, direction, by);
    return (above - below) / (2.0 * by * sqrt(square));
}

static void magnitudes_are_those_of_the_equations_and_gradients_those_of_differences(void **state)
{
    (void)state;
    static const char *const OWN[N_OWN] = {"model.kind=full", "model.init_std=0.1"};
    struct trial *trial = make(OWN);
    look(trial, 1, false);
    expect_near(trial->found.outputs[L - 1], last_output(trial), SAME_FUNCTION);
    for (int64_t l = 0; l < L; l += 5) {
        expect_near(slope_along_gradient(trial, l), trial->found.weight_gradients[l], DIFFERENCES);
    }
    destroy(trial);
}

/** One read: returns how many sources it has. */
static int64_t check_read(const struct inspection *found, int64_t l)
{
    double sum_of_means = 0.0;
    int64_t n_sources = 0;
    for (int64_t id = 0; id < found->n_sources; id++) {
        const int64_t cell = l * found->n_sources + id;
        double mean = 0.0;
        for (int64_t t = 0; t < T; t++) {
            mean += (double)found->weights[cell * T + t] / T;
        }
        if (isnan(found->map[cell])) {
            assert_true(mean == 0.0);
            continue;
        }
        expect_near(mean, found->map[cell], SAME_FUNCTION);
        sum_of_means += found->map[cell];
        n_sources++;
    }
    expect_near(sum_of_means, 1.0, SAME_FUNCTION);
    return n_sources;
}

static void weights_of_a_read_sum_to_one_and_average_to_the_map(void **state)
{
    (void)state;
    static const char *const KINDS[][N_OWN] = {
        {"model.kind=full"},
        {"model.kind=block"},
        {"model.kind=block_full"},
        {"model.kind=block_full", "model.read=static"},
    };
    for (size_t kind = 0; kind < sizeof KINDS / sizeof KINDS[0]; kind++) {
        struct trial *trial = make(KINDS[kind]);
        reads_draw(&trial->rank.plan, &trial->rank.model);
        look(trial, 1, true);
        for (int64_t l = 0; l <= L; l++) {
            const struct depth_set set = depth_live(&trial->found.depth, l);
            assert_int_equal(check_read(&trial->found, l), depth_set_count(&set));
        }
        destroy(trial);
    }
}

static void the_heaviest_source_is_named_for_each_token_and_read(void **state)
{
    (void)state;
    static char text[1 << 16];
    static const char *const OWN[N_OWN] = {"model.kind=full"};
    struct trial *trial = make(OWN);
    const struct inspection *found = &trial->found;
    reads_draw(&trial->rank.plan, &trial->rank.model);
    for (int t = 0; t < T; t++) {
        trial->tokens[t] = 'a' + t;
    }
    look(trial, 1, true);
    const struct inspect_label label = {.kind = "full", .prompt = trial->tokens};
    assert_true(inspect_print(found, &label, text, sizeof text) < sizeof text);
    for (int64_t t = 0; t < T; t++) {
        char line[1024];
        int n = snprintf(line, sizeof line, "\n'%c'  ", (char)('a' + t));
        for (int64_t l = 1; l <= L; l++) { /* the first read has the embedding alone */
            char name[INSPECT_NAME_BYTES];
            int64_t best = 0;
            for (int64_t id = 1; id <= l; id++) {
                const float *of = found->weights + (l * found->n_sources + id) * T;
                const float *of_best = found->weights + (l * found->n_sources + best) * T;
                best = of[t] > of_best[t] ? id : best;
            }
            inspect_name_source(name, &found->depth, best);
            n += snprintf(line + n, sizeof line - (size_t)n, " %7s %.2f", name,
                          (double)found->weights[(l * found->n_sources + best) * T + t]);
        }
        assert_non_null(strstr(text, line));
    }
    destroy(trial);
}

/** Give a source this logit in every static read that has it beside others. Returns how many have.
 */
static int set_logits(struct trial *trial, int64_t id, float logit)
{
    const struct plan *plan = &trial->rank.plan;
    int n = 0;
    for (int64_t l = 0; l <= L; l++) {
        const struct depth_set set = depth_live(&plan->depth, l);
        for (int64_t i = 0; i < depth_set_count(&set); i++) {
            if (depth_set_id(&set, i) == id && depth_set_count(&set) > 1) {
                model_weight(&trial->rank.model, params_find(&plan->params, l, PARAM_READ))[i] =
                    logit;
                n++;
            }
        }
    }
    return n;
}

/* In a static read that is to give its source the logit minus infinity; -1e30 is as good. */
static void leaving_a_source_out_is_a_logit_of_minus_infinity(void **state)
{
    (void)state;
    static const char *const KINDS[][N_OWN] = {
        {"model.kind=full", "model.read=static"},
        {"model.kind=block", "model.read=static"},
        {"model.kind=block_full", "model.read=static"},
    };
    for (int kind = 0; kind < 3; kind++) {
        const int64_t N = kind == 0 ? L : 3;
        for (int64_t id = 0; id < N + 1 + (kind == 0 ? 0 : L); id++) {
            struct trial *trial = make(KINDS[kind]);
            reads_draw(&trial->rank.plan, &trial->rank.model);
            look(trial, 1, false);
            expect_near(trial->found.loss, forward_loss(trial), SAME_FUNCTION);
            if (set_logits(trial, id, -1e30F) > 0) {
                assert_true(trial->found.without[id] == forward_loss(trial));
                assert_true(trial->found.without[id] != trial->found.loss);
            } else {
                assert_true(isnan(trial->found.without[id]) && id > N);
            }
            destroy(trial);
        }
    }
}

/* The first read of the last block is the first that sees the block before it: leaving that out
 * changes nothing in front of it, and its other weights grow by one factor. */
static void the_other_weights_of_a_query_read_keep_their_proportions(void **state)
{
    (void)state;
    enum { READ = 8, LEFT_OUT = 2 };
    static const char *const OWN[N_OWN] = {"model.kind=block_full"};
    struct trial *trial = make(OWN);
    double before[LEFT_OUT + 1][T];
    const struct depth_read read = model_read(&trial->rank.model, 0, READ);
    reads_draw(&trial->rank.plan, &trial->rank.model);
    forward_loss(trial);
    for (int64_t i = 0; i <= LEFT_OUT; i++) {
        for (int64_t t = 0; t < T; t++) {
            before[i][t] = exp((double)read.s[i * T + t] - (double)read.m[t]);
        }
    }
    trial->rank.model.masked = LEFT_OUT;
    forward_loss(trial);
    trial->rank.model.masked = -1;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < LEFT_OUT; i++) {
            expect_near(exp((double)read.s[i * T + t] - (double)read.m[t]),
                        before[i][t] / (1.0 - before[LEFT_OUT][t]), SAME_GRADIENT);
        }
        assert_true(exp((double)read.s[LEFT_OUT * T + t] - (double)read.m[t]) == 0.0);
    }
    destroy(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_agree_where_they_are_one_function),
        cmocka_unit_test(magnitudes_are_those_of_the_equations_and_gradients_those_of_differences),
        cmocka_unit_test(weights_of_a_read_sum_to_one_and_average_to_the_map),
        cmocka_unit_test(the_heaviest_source_is_named_for_each_token_and_read),
        cmocka_unit_test(leaving_a_source_out_is_a_logit_of_minus_infinity),
        cmocka_unit_test(the_other_weights_of_a_query_read_keep_their_proportions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
