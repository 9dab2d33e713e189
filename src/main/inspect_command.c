#include "run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/inspect.h>

/** What is looked at. */
struct windows {
    int32_t *tokens, *targets; /* (n, T) */
    int64_t n, n_tokens;
};

static void finish_windows(struct windows *w)
{
    free(w->tokens);
    free(w->targets);
    *w = (struct windows){0};
}

static bool make_windows(struct windows *w, int64_t n, int64_t T, struct error *err)
{
    *w = (struct windows){.n = n, .n_tokens = T};
    w->tokens = calloc((size_t)(n * T), sizeof *w->tokens);
    w->targets = calloc((size_t)(n * T), sizeof *w->targets);
    return (w->tokens != NULL && w->targets != NULL) ||
           error_set(err, ERROR_CREATE, "no memory for %lld windows", (long long)n);
}

/** The prompt's bytes at the front of one window. */
static bool take_prompt(struct windows *w, const struct config *config, const char *prompt,
                        struct error *err)
{
    const struct model_config *model = &config->model;
    if (!run_takes_bytes(config)) {
        return error_set(err, ERROR_USAGE,
                         "--prompt is taken as bytes, but the model was trained on tokens: look at "
                         "a token shard with --file");
    }
    const int64_t n = (int64_t)strlen(prompt), T = model->seq_len;
    if (n < 2 || n > T) {
        return error_set(err, ERROR_USAGE,
                         "--prompt has %lld bytes: expected 2 to model.seq_len = %lld",
                         (long long)n, (long long)T);
    }
    if (!make_windows(w, 1, T, err)) {
        return false;
    }
    w->n_tokens = n;
    for (int64_t t = 0; t < T; t++) {
        const int32_t token = t < n ? (unsigned char)prompt[t] : 0;
        if (token >= model->vocab) {
            return error_set(err, ERROR_USAGE,
                             "--prompt: byte %d is outside the model's vocabulary of %lld", token,
                             (long long)model->vocab);
        }
        w->tokens[t] = token;
        w->targets[t] = t + 1 < n ? (unsigned char)prompt[t + 1] : -1;
    }
    return true;
}

/** The first whole windows of --file or the validation data. */
static bool take_data(struct windows *w, const struct command_line *line, const struct session *s,
                      struct error *err)
{
    const int64_t wanted = command_int(line, "windows", 16), T = s->config.model.seq_len;
    struct data *data = NULL;
    if (wanted < 1 || wanted > 4096) {
        return error_set(err, ERROR_USAGE, "--windows must be 1 to 4096");
    }
    if (!run_open_data(&data, s, command_text(line, "file", NULL), err)) {
        data_close(data);
        return false;
    }
    const int64_t there = data_in_order_count(data, false);
    const int64_t n = there >= 0 && there < wanted ? there : wanted;
    bool ok = (n > 0 || error_set(err, ERROR_DATA, "the data holds no window of %lld tokens",
                                  (long long)T)) &&
              make_windows(w, n, T, err);
    int64_t n_targets = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        n_targets += data_read_in_order(data, i, false, w->tokens + i * T, w->targets + i * T);
    }
    data_close(data);
    return ok && (n_targets > 0 || error_set(err, ERROR_DATA, "no target counts in the data"));
}

static bool take_windows(struct windows *w, const struct command_line *line,
                         const struct session *s, struct error *err)
{
    const char *prompt = command_text(line, "prompt", NULL);
    return prompt != NULL ? take_prompt(w, &s->config, prompt, err) : take_data(w, line, s, err);
}

/** Print into memory of the right size: measured, then filled. */
static char *print_whole(size_t (*print)(const struct inspection *inspection,
                                         const struct inspect_label *label, char *text,
                                         size_t capacity),
                         const struct inspection *inspection, const struct inspect_label *label)
{
    const size_t length = print(inspection, label, NULL, 0);
    char *text = calloc(length + 1, 1);
    if (text != NULL) {
        print(inspection, label, text, length + 1);
    }
    return text;
}

static char *print_json(const struct inspection *inspection, const struct inspect_label *label)
{
    const size_t capacity = inspect_json_bytes(inspection) + 2 * FILE_PATH_BYTES;
    char *text = calloc(capacity, 1);
    const bool fits = text == NULL || inspect_print_json(inspection, label, text, capacity);
    assert(fits && "inspect_json_bytes is enough");
    return text;
}

static bool tell(const struct command_line *line, const struct inspection *inspection,
                 const struct inspect_label *label, struct error *err)
{
    const bool as_json = command_has(line, "json");
    const char *picture = command_text(line, "svg", NULL);
    char *text =
        as_json ? print_json(inspection, label) : print_whole(inspect_print, inspection, label);
    char *drawn = picture != NULL ? print_whole(inspect_draw, inspection, label) : NULL;
    bool ok = (text != NULL && (picture == NULL || drawn != NULL)) ||
              error_set(err, ERROR_CREATE, "no memory to print");
    ok = ok && (picture == NULL || file_replace(picture, drawn, strlen(drawn), err));
    if (ok) {
        printf("%s%s", text, as_json ? "\n" : "");
    }
    free(drawn);
    free(text);
    return ok;
}

static bool look_and_tell(const struct command_line *line, struct session *s,
                          const struct checkpoint *c, struct error *err)
{
    struct windows w = {0};
    struct inspection inspection = {0};
    const bool has_prompt = command_has(line, "prompt");
    if (command_has(line, "svg") && s->config.model.kind == MODEL_STANDARD) {
        return error_set(err, ERROR_USAGE,
                         "--svg draws which sources each token draws on; in a model of kind "
                         "standard every read has one, the running sum");
    }
    bool ok = take_windows(&w, line, s, err);
    if (ok) {
        const struct inspect_input input = {
            .tokens = w.tokens,
            .targets = w.targets,
            .n_windows = w.n,
            .n_tokens = w.n_tokens,
            .hides_all = strcmp(command_text(line, "hide", "blocks"), "all") == 0};
        const struct inspect_label label = {
            .checkpoint = c->path,
            .step = c->state.step,
            .kind = config_model_kind_name(s->config.model.kind),
            .prompt = has_prompt ? w.tokens : NULL,
        };
        ok = inspect_model(&inspection, &s->engine, &s->models[0], &input, has_prompt, err) &&
             tell(line, &inspection, &label, err);
    }
    inspection_finish(&inspection);
    finish_windows(&w);
    return ok;
}

static bool inspect(const struct command_line *line, struct transport *transport, struct log *log,
                    struct error *err)
{
    /* All of the model on one rank, everything kept, one sequence at a time. */
    static const char *const ALONE[] = {
        "batch.sequences=1",     "batch.microbatch=1",  "pipeline.stages=1",
        "pipeline.chunks=1",     "pipeline.replicas=1", "pipeline.schedule=1f1b",
        "pipeline.group=auto",   "pipeline.cache=off",  "pipeline.deflate=off",
        "memory.recompute=none", "trace.steps=0",       NULL};
    if (transport_size(transport) > 1) {
        return collective_agree(
            transport,
            error_set(err, ERROR_USAGE,
                      "inspect looks at a whole model on one rank: start it without mpirun"),
            err);
    }
    return run_with_checkpoint(line, ALONE, PLAN_INSPECT, look_and_tell, transport, log, err);
}

static bool run(const struct command_line *line, struct error *err)
{
    if (command_has(line, "svg") && !command_has(line, "prompt")) {
        return error_set(err, ERROR_USAGE, "--svg draws the tokens of a --prompt=TEXT");
    }
    for (int i = 0; i < 2 && command_has(line, "prompt"); i++) {
        static const char *const OF_DATA[] = {"file", "windows"};
        if (command_has(line, OF_DATA[i])) {
            return error_set(err, ERROR_USAGE,
                             "--%s is for windows of data, and --prompt looks at its own text: "
                             "leave one of them out",
                             OF_DATA[i]);
        }
    }
    const char *hide = command_text(line, "hide", "blocks");
    if (strcmp(hide, "blocks") != 0 && strcmp(hide, "all") != 0) {
        return error_set(err, ERROR_USAGE, "--hide=%s: choose blocks or all", hide);
    }
    if (command_has(line, "svg") && !run_may_draw(command_text(line, "svg", NULL), err)) {
        return false;
    }
    struct log log;
    struct transport *transport = run_start_ranks(line, &log, err);
    if (transport == NULL) {
        return false;
    }
    const bool ok = inspect(line, transport, &log, err);
    run_stop_ranks(transport, &log, err);
    return ok;
}

const struct command inspect_command = {
    .name = "inspect",
    .usage = "CKPT [--prompt=TEXT] [--json] [--svg=FILE] [key=value ...]",
    .summary = "show what a model reads along its depth, magnitudes, gradients, what sources are "
               "worth",
    .details =
        "CKPT is a step folder, or a run folder (its newest checkpoint). On one rank.\n\n"
        "Without a prompt it looks at the first windows of the validation data: the mean weight of "
        "each source in each\n"
        "read, root mean squares and gradients of every sublayer (of the mean loss, before "
        "clipping), and the loss with\n"
        "one source hidden from every read (the other weights then sum to 1): the embedding and "
        "finished blocks, with\n"
        "--hide=all also what reads inside a block have of it. With a prompt, at that text, and "
        "token by token: the mean\n"
        "weight of each source, and the heaviest source of each read; every weight is in the "
        "JSON.\n\n"
        "A read is named for the sublayer that it is for, such as 0.attn or 0.mlp; the last is "
        "head. Its sources: b0\n"
        "is the embedding, b1, b2 ... the sums of finished blocks, 0.attn the output of that "
        "sublayer; to 0.attn (kind block)\n"
        "is the open block's sum so far, up to and with that sublayer.\n\n"
        "  attnres inspect RUN --json >RUN/inspect.json      for attnres report\n\n"
        "map[read][source] of the JSON are mean weights, null where a read does not have the "
        "source; weights\n"
        "[read][source][token] those of a prompt; without[source] the losses.",
    .flags = {{"prompt", FLAG_TEXT, "TEXT", "what to look at; taken as bytes"},
              {"file", FLAG_TEXT, "PATH",
               "a text or token shard to look at in place of the validation data"},
              {"windows", FLAG_INT, "N", "how many windows of it (default 16)"},
              {"hide", FLAG_TEXT, "blocks|all",
               "which sources to hide, one by one (default blocks); all takes a forward pass for "
               "each sublayer"},
              {"json", FLAG_SWITCH, NULL, "one JSON object"},
              {"svg", FLAG_TEXT, "FILE", "with a prompt: draw which blocks each token draws on"}},
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
