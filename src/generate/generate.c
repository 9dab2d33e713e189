#include <attnres/generate.h>

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include <attnres/heap.h>
#include <attnres/rng.h>

static int32_t most_likely(const float *logits, int64_t V)
{
    int64_t best = 0;
    for (int64_t v = 1; v < V; v++) {
        best = logits[v] > logits[best] ? v : best;
    }
    return (int32_t)best;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/** The k-th largest logit; what is below it is left out. */
static double threshold_of(const float *logits, int64_t V, int64_t k, double *scratch)
{
    if (k <= 0 || k >= V) {
        return -INFINITY;
    }
    for (int64_t v = 0; v < V; v++) {
        scratch[v] = (double)logits[v];
    }
    qsort(scratch, (size_t)V, sizeof *scratch, descending);
    return scratch[k - 1];
}

int32_t generate_sample(const float *logits, int64_t V, const struct generate_options *options,
                        uint64_t index, double *scratch)
{
    const int32_t best = most_likely(logits, V);
    if (options->temperature <= 0.0) {
        return best;
    }
    const double threshold = threshold_of(logits, V, options->top_k, scratch);
    double sum = 0.0;
    for (int64_t v = 0; v < V; v++) {
        const double logit = (double)logits[v];
        sum += logit < threshold ? 0.0 : exp((logit - (double)logits[best]) / options->temperature);
        scratch[v] = sum;
    }
    struct rng r = rng_stream(rng_at(rng_key(options->seed, "generate"), index));
    const double draw = rng_uniform(&r) * sum;
    for (int64_t v = 0; v < V; v++) {
        if (draw < scratch[v]) {
            return (int32_t)v;
        }
    }
    return best;
}

/** The sequence as it is read: its newest tokens, at most T, each passed through the model once. */
struct window {
    struct engine *engine;
    int32_t *tokens; /* (T) */
    int64_t length;
};

/** One more token; the logits behind it are left in their buffer. */
static void push(struct window *w, int32_t token)
{
    const int32_t no_target = -1;
    w->tokens[w->length] = token;
    const struct engine_batch batch = {
        .tokens = &w->tokens[w->length], .targets = &no_target, .position = w->length};
    engine_run(w->engine, &w->engine->plan->forward, &batch);
    w->length++;
}

/** Make room in a full window: its newer half moves to the front, where every position, and so
 * every key, is another. */
static void make_room(struct window *w, int64_t T)
{
    if (w->length < T) {
        return;
    }
    const int64_t n_kept = T > 1 ? T - T / 2 : 0, first = T - n_kept;
    w->length = 0;
    for (int64_t i = 0; i < n_kept; i++) {
        push(w, w->tokens[first + i]);
    }
}

static int32_t draw_token(const struct engine *engine, const struct generate_options *options,
                          int64_t index, double *scratch)
{
    const struct plan *plan = engine->plan;
    int32_t token = 0;
    if (plan->ranks[engine->rank].has_last) {
        const struct stage *head = &plan->stages[plan->n_stages - 1];
        const float *logits = model_logits(&engine->models[head->chunk], 0);
        token =
            generate_sample(logits, plan->config->model.vocab, options, (uint64_t)index, scratch);
    }
    transport_broadcast(engine->transport, plan_last_rank(plan), &token, sizeof token);
    return token;
}

void generate_tokens(struct engine *engine, const struct generate_options *options,
                     const int32_t *prompt, int64_t n_prompt,
                     void (*emit)(void *user, int32_t token), void *user)
{
    const struct plan *plan = engine->plan;
    const int64_t T = plan->config->model.seq_len;
    assert(n_prompt >= 1 && plan->purpose == PLAN_GENERATE && plan->microbatch_tokens == 1);
    double *scratch =
        heap_take((size_t)plan->config->model.vocab, sizeof *scratch, "a token's logits");
    struct window window = {engine, memory_buffer(engine->memory, BUFFER_TOKENS, 0), 0};
    for (int64_t i = n_prompt < T ? 0 : n_prompt - T; i < n_prompt; i++) {
        push(&window, prompt[i]);
    }
    for (int64_t i = 0; i < options->n_tokens; i++) {
        const int32_t token = draw_token(engine, options, i, scratch);
        emit(user, token);
        if (i + 1 == options->n_tokens || (options->stop_at_newline && token == '\n')) {
            break;
        }
        make_room(&window, T);
        push(&window, token);
    }
    engine_drain(engine);
    free(scratch);
}
