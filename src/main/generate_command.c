#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/generate.h>

/** Bytes as they are, what is none of them (a vocabulary may have more) as numbers. Rank 0 only. */
static void emit(void *user, int32_t token)
{
    const bool *is_root = user;
    if (!*is_root) {
        return;
    }
    if (token < 256) {
        putchar(token);
    } else {
        printf(" %d", (int)token);
    }
    fflush(stdout);
}

static bool check_prompt(const struct session *s, const char *prompt, struct error *err)
{
    if (prompt[0] == '\0') {
        return error_set(err, ERROR_USAGE, "--prompt is empty: give at least one byte to continue");
    }
    if (!run_takes_bytes(&s->config)) {
        return error_set(err, ERROR_USAGE,
                         "--prompt is taken as bytes, but the model was trained on tokens, whose "
                         "text only their tokenizer knows");
    }
    for (const char *c = prompt; *c != '\0'; c++) {
        if ((unsigned char)*c >= s->config.model.vocab) {
            return error_set(err, ERROR_USAGE,
                             "--prompt: byte %d is outside the model's vocabulary of %lld",
                             (unsigned char)*c, (long long)s->config.model.vocab);
        }
    }
    return true;
}

static bool generate(const struct command_line *line, struct session *s,
                     const struct checkpoint *checkpoint, struct error *err)
{
    (void)checkpoint;
    const char *prompt = command_text(line, "prompt", "");
    if (!collective_agree(s->transport, check_prompt(s, prompt, err), err)) {
        return false;
    }
    const size_t n = strlen(prompt);
    int32_t *tokens = calloc(n, sizeof *tokens);
    const bool has_memory = tokens != NULL || error_set(err, ERROR_CREATE, "no memory for tokens");
    if (!collective_agree(s->transport, has_memory, err)) {
        free(tokens);
        return false;
    }
    session_expect_messages(s);
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (unsigned char)prompt[i];
    }
    const struct generate_options options = {
        .temperature = command_real(line, "temperature", 1.0),
        .top_k = command_int(line, "top-k", 0),
        .seed = (uint64_t)command_int(line, "seed", 1),
        .n_tokens = command_int(line, "tokens", 200),
        .stop_at_newline = command_has(line, "line"),
    };
    bool is_root = transport_rank(s->transport) == 0;
    if (is_root) {
        printf("%s", prompt);
    }
    generate_tokens(&s->engine, &options, tokens, (int64_t)n, emit, &is_root);
    if (is_root) {
        putchar('\n');
    }
    free(tokens);
    return true;
}

static bool run(const struct command_line *line, struct error *err)
{
    static const char *const ONE_SEQUENCE[] = {"batch.microbatch=1", "batch.sequences=1",
                                               "pipeline.replicas=1", NULL};
    return run_on_checkpoint(line, ONE_SEQUENCE, PLAN_GENERATE, generate, err);
}

const struct command generate_command = {
    .name = "generate",
    .usage = "CKPT --prompt=TEXT [--temperature T --top-k K --seed N --tokens N] [key=value ...]",
    .summary = "continue a text with a trained model",
    .details = "CKPT is a step folder, or a run folder (its newest checkpoint). Works on any "
               "number of ranks up to two\n"
               "per layer of the model, and writes the same text on all.\n\n"
               "The model sees model.seq_len tokens at most. Of a longer prompt it sees the last "
               "so many; whenever they are full\n"
               "the older half is dropped, and the newer is read again from the start: what was "
               "dropped has no say any more.",
    .flags = {{"prompt", FLAG_TEXT, "TEXT", "what to continue; taken as bytes"},
              {"temperature", FLAG_REAL, "T",
               "divide logits by T; 0 takes the most likely token (default 1)"},
              {"top-k", FLAG_INT, "K",
               "draw from the K most likely tokens; 0: from all (default 0)"},
              {"seed", FLAG_INT, "N", "seed of the draws (default 1)"},
              {"tokens", FLAG_INT, "N", "how many tokens to write (default 200)"},
              {"line", FLAG_SWITCH, NULL, "stop behind the first newline"}},
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
