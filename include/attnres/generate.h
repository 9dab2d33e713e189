/** Writing text: one token after another from the model's distribution.
 *
 *  Each token is passed through the model once; attention remembers the keys and values of those
 * before it. When the window of seq_len tokens is full its older half is dropped, and the newer is
 * passed through again at its new positions. Collective over all ranks. */
#ifndef ATTNRES_GENERATE_H
#define ATTNRES_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/engine.h>

struct generate_options {
    double temperature; /* 0: the most likely token */
    int64_t top_k;      /* 0: all */
    uint64_t seed;
    int64_t n_tokens;
    bool stop_at_newline;
};

/** Continue prompt (n_prompt tokens, at least one). emit is called on every rank with each new
 * token. The plan must be a PLAN_GENERATE of one sequence. */
void generate_tokens(struct engine *engine, const struct generate_options *options,
                     const int32_t *prompt, int64_t n_prompt,
                     void (*emit)(void *user, int32_t token), void *user);

/** Draw a token from logits (V): scratch holds V doubles. Pure. */
int32_t generate_sample(const float *logits, int64_t V, const struct generate_options *options,
                        uint64_t index, double *scratch);

#endif
