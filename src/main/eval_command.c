#include "run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/data.h>
#include <attnres/evaluate.h>

static const double LN2 = 0.69314718055994530942;

/** Open what the loss is taken of, on the ends of the pipeline: --file, or the configuration's
 * validation data. */
static bool open_data(struct data **data, const struct session *s, const char *path,
                      struct error *err)
{
    const struct plan_rank *own = s->own;
    const struct model_config *model = &s->config.model;
    if (!own->has_first && !own->has_last) {
        return true;
    }
    if (path != NULL) {
        return data_open_path(data, path, model->seq_len, model->vocab, err);
    }
    if (!data_open(data, &s->config.data, DATA_VAL, s->config.run.seed, model->seq_len,
                   model->vocab, err)) {
        return false;
    }
    if (data_in_order_count(*data, true) == 0) {
        return error_set(err, ERROR_NO_INPUT,
                         "there is no validation data: give data.val=PATH or --file=PATH");
    }
    return true;
}

/** Text and shards whole; endless synthetic data as far as training looks at it. */
static int64_t count_windows(const struct session *s, const struct data *data)
{
    const int64_t T = s->config.model.seq_len, count = data_in_order_count(data, true);
    return count >= 0 ? count : (s->config.train.eval_tokens + T - 1) / T;
}

static bool evaluate_data_loss(const struct command_line *line, struct session *s,
                               struct error *err)
{
    struct data *data = NULL;
    if (!collective_agree(s->transport, open_data(&data, s, command_text(line, "file", NULL), err),
                          err)) {
        data_close(data);
        return false;
    }
    int64_t n_windows = data != NULL ? count_windows(s, data) : 0;
    transport_broadcast(s->transport, 0, &n_windows, sizeof n_windows);
    const struct evaluate_loss result = evaluate_windows(&s->engine, data, n_windows, true);
    if (transport_rank(s->transport) == 0) {
        char text[1024];
        struct json_writer w;
        json_writer_init(&w, text, sizeof text);
        json_begin_object(&w, NULL);
        json_number(&w, "loss", result.loss);
        json_int(&w, "tokens", result.n_targets);
        json_number(&w, "bits_per_byte", data_is_bytes(data) ? result.loss / LN2 : NAN);
        json_end_object(&w);
        printf("%s\n", json_writer_ok(&w) ? text : "{}");
    }
    data_close(data);
    return true;
}

static void print_hops(const char *task, const struct evaluate_hops *r, bool as_json)
{
    const double n = (double)r->n_items, accuracy = (double)r->n_right / n;
    const double error = sqrt(r->chance * (1.0 - r->chance) / n); /* of the accuracy of a guesser */
    if (!as_json) {
        printf("%-8s %4d %7lld   %8.4f  %8.4f  %14.4f  %+9.1f\n", task, r->hops,
               (long long)r->n_items, accuracy, r->chance, error, (accuracy - r->chance) / error);
        return;
    }
    char text[1024];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    json_text(&w, "task", task);
    json_int(&w, "hops", r->hops);
    json_int(&w, "items", r->n_items);
    json_number(&w, "accuracy", accuracy);
    json_number(&w, "chance", r->chance);
    json_number(&w, "standard_error", error);
    json_end_object(&w);
    printf("%s\n", json_writer_ok(&w) ? text : "{}");
}

static void evaluate_one_task(const struct command_line *line, struct session *s,
                              enum task_kind task)
{
    enum { TEST_SEED = 1 };
    const int64_t n_items = command_int(line, "items", 500);
    for (int hops = 1; hops <= data_task_max_hops(task); hops++) {
        const struct evaluate_hops result =
            evaluate_task(&s->engine, task, TEST_SEED, hops, n_items);
        if (transport_rank(s->transport) == 0) {
            print_hops(config_task_name(task), &result, command_has(line, "json"));
        }
    }
}

static bool evaluate_hops(const struct command_line *line, struct session *s, struct error *err)
{
    const struct data_config *data = &s->config.data;
    if (data->kind != DATA_SYNTHETIC) {
        return collective_agree(
            s->transport,
            error_set(err, ERROR_USAGE,
                      "--task=hops is for models of synthetic data; choose with "
                      "data.kind=synthetic data.task=..."),
            err);
    }
    if (command_int(line, "items", 500) == 0) {
        return collective_agree(s->transport,
                                error_set(err, ERROR_USAGE, "--items must be at least 1"), err);
    }
    if (transport_rank(s->transport) == 0 && !command_has(line, "json")) {
        printf("task     hops   items   accuracy    chance  standard error  in errors\n");
    }
    for (int64_t i = 0; i < data->n_tasks; i++) {
        evaluate_one_task(line, s, data->tasks[i].task);
    }
    if (data->n_tasks == 0) {
        evaluate_one_task(line, s, data->task);
    }
    return true;
}

static bool run(const struct command_line *line, struct error *err)
{
    static const char *const NOTHING[] = {NULL};
    const char *task = command_text(line, "task", "loss");
    if (strcmp(task, "loss") != 0 && strcmp(task, "hops") != 0) {
        return error_set(err, ERROR_USAGE, "--task=%s: choose loss or hops", task);
    }
    struct log log;
    struct transport *transport = run_start_ranks(line, &log, err);
    if (transport == NULL) {
        return false;
    }
    struct session session = {0};
    const bool ok =
        run_open_checkpoint(&session, line, NOTHING, PLAN_FORWARD, transport, &log, err) &&
        (strcmp(task, "hops") == 0 ? evaluate_hops(line, &session, err)
                                   : evaluate_data_loss(line, &session, err));
    session_finish(&session);
    run_stop_ranks(transport, &log, err);
    return ok;
}

const struct command eval_command = {
    .name = "eval",
    .usage = "CKPT [--task=loss|hops] [--file=PATH] [key=value ...]",
    .summary = "measure a checkpoint: loss on a text, or accuracy on items that need hops",
    .details = "CKPT is a step folder, or a run folder (its newest checkpoint). Works on any "
               "number of ranks.\n\n"
               "loss: mean nats per token over --file or the validation data, one JSON line. hops: "
               "for each number of hops,\n"
               "the share of held-out items answered byte for byte, beside what guessing among the "
               "candidates would reach,\n"
               "that guess's standard error, and how many of them lie between.",
    .flags = {{"task", FLAG_TEXT, "NAME", "loss (default) or hops"},
              {"file", FLAG_TEXT, "PATH", "loss: a text (file, folder or glob) or token shard"},
              {"items", FLAG_INT, "N", "hops: items per number of hops (default 500)"},
              {"json", FLAG_SWITCH, NULL, "hops: one JSON object a line"}},
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
