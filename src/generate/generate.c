#include <attnres/generate.h>

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

void generate_tokens(struct engine *engine, const struct generate_options *options,
                     const int32_t *prompt, int64_t n_prompt,
                     void (*emit)(void *user, int32_t token), void *user)
{
    const struct model_config *config = &engine->plan->config->model;
    const int64_t T = config->seq_len, V = config->vocab;
    assert(n_prompt >= 1 && engine->plan->config->batch.microbatch == 1);
    int32_t *window = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    double *scratch = calloc((size_t)V, sizeof *scratch);
    assert(scratch != NULL);
    memset(targets, 0xff, (size_t)T * sizeof *targets);
    int64_t length = n_prompt < T ? n_prompt : T;
    memcpy(window, prompt + n_prompt - length, (size_t)length * sizeof *window);
    memset(window + length, 0, (size_t)(T - length) * sizeof *window);
    const struct stage *head = &engine->plan->stages[engine->plan->n_stages - 1];
    for (int64_t i = 0; i < options->n_tokens; i++) {
        const struct engine_batch batch = {.tokens = window, .targets = targets};
        engine_run(engine, &engine->plan->forward, &batch);
        int32_t token = 0;
        if (engine->plan->ranks[engine->rank].has_last) {
            const float *logits = model_logits(&engine->models[head->chunk], 0);
            token = generate_sample(logits + (length - 1) * V, V, options, (uint64_t)i, scratch);
        }
        transport_broadcast(engine->transport, plan_last_rank(engine->plan), &token, sizeof token);
        emit(user, token);
        if (options->stop_at_newline && token == '\n') {
            break;
        }
        if (length == T) {
            length = T - T / 2;
            memmove(window, window + T / 2, (size_t)length * sizeof *window);
            if (length == T) { /* a window of one token */
                length = 0;
            }
        }
        window[length++] = token;
    }
    engine_drain(engine);
    free(scratch);
}
