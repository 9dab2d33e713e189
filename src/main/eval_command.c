#include "run.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/data.h>
#include <attnres/evaluate.h>
#include <attnres/zip.h>

static const double LN2 = 0.69314718055994530942;

/** Text and shards whole; endless synthetic data as far as training looks at it. */
static int64_t count_windows(const struct session *s, const struct data *data)
{
    const int64_t T = s->config.model.seq_len, count = data_in_order_count(data, true);
    return count >= 0 ? count : (s->config.train.eval_tokens + T - 1) / T;
}

/** A result, as one line. */
static void print_line(const struct json_writer *w)
{
    assert(json_writer_ok(w) && "a result fits");
    printf("%s\n", w->text);
}

/** What a rank has read: checksums of tokens, and of how they are cut. */
struct identity {
    uint32_t tokens_crc32, sizes_crc32;
};

/** Of the two ends of a pipeline one reads inputs and the other targets, and they may be on two
 * hosts. own: NULL on ranks that read nothing; rank 0 has the first stage. Collective. */
static bool check_same_input(struct transport *t, const struct identity *own, struct error *err)
{
    struct identity first = {0};
    if (transport_rank(t) == 0) {
        first = *own;
    }
    transport_broadcast(t, 0, &first, sizeof first);
    const bool is_same = own == NULL || (own->tokens_crc32 == first.tokens_crc32 &&
                                         own->sizes_crc32 == first.sizes_crc32);
    const bool ok =
        is_same || error_set(err, ERROR_DATA,
                             "rank %d does not read what rank 0 reads: the path must name the same "
                             "files on all hosts",
                             transport_rank(t));
    return collective_agree(t, ok, err);
}

static struct identity identify_data(const struct data *data)
{
    struct data_checksum sum = {0};
    while (data_checksum_advance(&sum, data)) {
    }
    return (struct identity){sum.crc32, sum.sizes_crc32};
}

static struct identity identify_questions(const struct questions *q)
{
    return (struct identity){zip_crc32(0, q->tokens, (size_t)q->n_tokens * sizeof *q->tokens),
                             zip_crc32(0, q->choices, (size_t)q->n_choices * sizeof *q->choices)};
}

static bool names_data(const struct command_line *line)
{
    for (int i = 0; i < line->n_overrides; i++) {
        if (strncmp(line->overrides[i], "data.", 5) == 0) {
            return true;
        }
    }
    return command_has(line, "file");
}

/** Rank 0. The same path may lead elsewhere now, a relative one from another folder. */
static void tell_of_other_data(const struct session *s, const struct checkpoint *c,
                               const struct data *data, const struct identity *own)
{
    if (data_size_tokens(data) > 0 && c->state.data.val_crc32 >= 0 &&
        c->state.data.val_crc32 != own->tokens_crc32) {
        log_write(s->log, LOG_WARNING,
                  "the validation data (%s) is not what it was when %s was saved: this loss is of "
                  "other data than the run's val_loss",
                  s->config.data.val, c->path);
    }
}

static bool evaluate_data_loss(const struct command_line *line, struct session *s,
                               const struct checkpoint *checkpoint, struct error *err)
{
    struct data *data = NULL;
    if (!collective_agree(s->transport,
                          run_open_data(&data, s, command_text(line, "file", NULL), err), err)) {
        data_close(data);
        return false;
    }
    const struct identity own = data != NULL ? identify_data(data) : (struct identity){0};
    if (!check_same_input(s->transport, data != NULL ? &own : NULL, err)) {
        data_close(data);
        return false;
    }
    if (transport_rank(s->transport) == 0 && !names_data(line)) {
        tell_of_other_data(s, checkpoint, data, &own);
    }
    int64_t n_windows = data != NULL ? count_windows(s, data) : 0;
    transport_broadcast(s->transport, 0, &n_windows, sizeof n_windows);
    session_expect_messages(s);
    const struct evaluate_loss result = evaluate_windows(&s->engine, data, n_windows, true);
    if (transport_rank(s->transport) == 0) {
        char text[1024];
        struct json_writer w;
        json_writer_init(&w, text, sizeof text);
        json_begin_object(&w, NULL);
        json_number_or_null(&w, "loss", result.loss);
        json_int(&w, "tokens", result.n_targets);
        json_number(&w, "bits_per_byte", data_is_bytes(data) ? result.loss / LN2 : NAN);
        json_end_object(&w);
        print_line(&w);
    }
    data_close(data);
    return true;
}

/** What a guesser reaches by the best of three: to guess among an item's candidates, to say always
 * the same, to stop after fewer hops. */
static double best_guess(const struct evaluate_hops *r)
{
    return fmax(fmax(r->chance, r->constant), r->shortcut);
}

/** A number of a table; '-' where there is none, as for the error of a single item. */
static void print_cell(int width, int decimals, double value)
{
    if (isfinite(value)) {
        printf("%*.*f", width, decimals, value);
    } else {
        printf("%*s", width, "-");
    }
}

static void print_hops_row(enum task_kind task, const struct evaluate_hops *r)
{
    const double accuracy = (double)r->n_right / (double)r->n_items, guess = best_guess(r);
    const double shares[] = {accuracy, questions_standard_error(accuracy, r->n_items), r->chance,
                             r->constant, r->shortcut};
    printf("%-8s %3d%s %7lld ", config_task_name(task), r->hops,
           r->hops <= data_task_max_hops(task) ? " " : "*", (long long)r->n_items);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        print_cell(10, 4, shares[i]);
    }
    print_cell(13, 1, (accuracy - guess) / questions_standard_error(guess, r->n_items));
    printf("\n");
}

static void print_hops_json(enum task_kind task, const struct evaluate_hops *r)
{
    const double accuracy = (double)r->n_right / (double)r->n_items;
    char text[1024];
    struct json_writer w;
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    json_text(&w, "task", config_task_name(task));
    json_int(&w, "hops", r->hops);
    json_bool(&w, "trained", r->hops <= data_task_max_hops(task));
    json_int(&w, "items", r->n_items);
    json_number(&w, "accuracy", accuracy);
    json_number_or_null(&w, "standard_error", questions_standard_error(accuracy, r->n_items));
    json_number(&w, "chance", r->chance);
    json_number(&w, "constant", r->constant);
    json_number(&w, "shortcut", r->shortcut);
    json_number_or_null(&w, "guess_standard_error",
                        questions_standard_error(best_guess(r), r->n_items));
    json_int(&w, "cut", r->n_cut);
    json_end_object(&w);
    print_line(&w);
}

/** Returns how many items did not fit the window. */
static int64_t evaluate_one_task(const struct command_line *line, struct session *s,
                                 enum task_kind task)
{
    enum { TEST_SEED = 1 };
    int64_t n_cut = 0;
    const int64_t n_items = command_int(line, "items", 500);
    for (int hops = 1; hops <= data_task_farthest_hops(task); hops++) {
        const struct evaluate_hops result =
            evaluate_task(&s->engine, task, TEST_SEED, hops, n_items);
        n_cut += result.n_cut;
        if (transport_rank(s->transport) == 0) {
            if (command_has(line, "json")) {
                print_hops_json(task, &result);
            } else {
                print_hops_row(task, &result);
            }
        }
    }
    return n_cut;
}

static bool evaluate_all_hops(const struct command_line *line, struct session *s,
                              const struct checkpoint *checkpoint, struct error *err)
{
    (void)checkpoint;
    const struct data_config *data = &s->config.data;
    if (data->kind != DATA_SYNTHETIC) {
        return collective_agree(
            s->transport,
            error_set(err, ERROR_USAGE,
                      "--task=hops is for models of synthetic data; choose with "
                      "data.kind=synthetic data.train= data.val= data.task=..."),
            err);
    }
    if (command_int(line, "items", 500) == 0) {
        return collective_agree(s->transport,
                                error_set(err, ERROR_USAGE, "--items must be at least 1"), err);
    }
    const bool prints = transport_rank(s->transport) == 0 && !command_has(line, "json");
    if (prints) {
        printf("task    hops    items   accuracy     error    chance  constant  shortcut  above "
               "guess\n");
    }
    int64_t n_cut = 0;
    session_expect_messages(s);
    for (int64_t i = 0; i < data->n_tasks; i++) {
        n_cut += evaluate_one_task(line, s, data->tasks[i].task);
    }
    if (data->n_tasks == 0) {
        n_cut += evaluate_one_task(line, s, data->task);
    }
    if (prints) {
        printf("*: more hops than training shows\n");
    }
    if (prints && n_cut > 0) {
        printf("%lld items did not fit model.seq_len %lld and have lost their beginning: a longer "
               "one holds them\n",
               (long long)n_cut, (long long)s->config.model.seq_len);
    }
    return true;
}

static enum questions_form form_of(const struct command_line *line)
{
    return strcmp(command_text(line, "task", "loss"), "pairs") == 0 ? QUESTIONS_PAIRS
                                                                    : QUESTIONS_CHOICE;
}

/** On the ends of the pipeline. */
static bool open_questions(struct questions *q, int64_t *n_cut, const struct command_line *line,
                           const struct session *s, struct error *err)
{
    const char *path = command_text(line, "file", NULL);
    const int64_t vocab = s->config.model.vocab;
    if (!s->own->has_first && !s->own->has_last) {
        return true;
    }
    const struct questions_request request = {
        .form = form_of(line), .vocab = vocab, .join = command_text(line, "join", " ")};
    if (!questions_read(q, path, &request, err) ||
        !questions_fit(q, path, s->config.model.seq_len, n_cut, err)) {
        return false;
    }
    if (q->is_text && !run_takes_bytes(&s->config)) {
        return error_set(err, ERROR_DATA,
                         "%s: is text, taken as bytes, but the model was trained on tokens; give "
                         "an evaluation file of llm.c",
                         path);
    }
    return true;
}

static void print_choices(const struct questions *q, enum questions_form form, int64_t n_cut,
                          const double *nats)
{
    char text[1024];
    struct questions_score score;
    struct json_writer w;
    const bool is_choice = form == QUESTIONS_CHOICE;
    questions_score(&score, q, nats);
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    json_int(&w, is_choice ? "questions" : "pairs", q->n);
    json_number_or_null(&w, "accuracy", score.accuracy);
    json_number_or_null(&w, "standard_error", score.standard_error);
    json_number_or_null(&w, "accuracy_normalised", score.accuracy_normalised);
    json_number_or_null(&w, "standard_error_normalised", score.standard_error_normalised);
    json_text(&w, "normalised_by", q->is_text ? "byte" : "token");
    json_number_or_null(&w, "chance", score.chance);
    json_number(&w, "constant", is_choice ? score.constant : NAN);
    json_number_or_null(&w, "answer_loss", score.answer_loss);
    json_int(&w, "cut", n_cut);
    json_end_object(&w);
    print_line(&w);
}

static bool evaluate_questions(const struct command_line *line, struct session *s,
                               const struct checkpoint *checkpoint, struct error *err)
{
    (void)checkpoint;
    struct questions q = {0};
    int64_t n_cut = 0;
    bool ok = collective_agree(s->transport, open_questions(&q, &n_cut, line, s, err), err);
    if (ok) {
        const struct identity own = identify_questions(&q);
        ok = check_same_input(s->transport, q.n > 0 ? &own : NULL, err);
    }
    int64_t n_choices = q.n_choices;
    if (ok) {
        transport_broadcast(s->transport, 0, &n_choices, sizeof n_choices);
    }
    double *nats = ok ? calloc((size_t)n_choices, sizeof *nats) : NULL;
    ok = ok && collective_agree(
                   s->transport,
                   nats != NULL || error_set(err, ERROR_CREATE, "no memory for likelihoods"), err);
    if (ok) {
        session_expect_messages(s);
        evaluate_choices(&s->engine, &q, n_choices, nats);
        if (transport_rank(s->transport) == 0) {
            print_choices(&q, form_of(line), n_cut, nats);
        }
    }
    free(nats);
    questions_finish(&q);
    return ok;
}

/** A way to measure, and the flags that it heeds; NULL-terminated. (All heed --json: each but hops
 * prints JSON in any case.) */
struct task {
    const char *name;
    run_function *run;
    const char *flags[5];
};

static const struct task *find_task(const char *name)
{
    static const struct task TASKS[] = {
        {"loss", evaluate_data_loss, {"task", "json", "file", NULL}},
        {"hops", evaluate_all_hops, {"task", "json", "items", NULL}},
        {"choice", evaluate_questions, {"task", "json", "file", "join", NULL}},
        {"pairs", evaluate_questions, {"task", "json", "file", NULL}},
    };
    for (size_t i = 0; i < sizeof TASKS / sizeof TASKS[0]; i++) {
        if (strcmp(name, TASKS[i].name) == 0) {
            return &TASKS[i];
        }
    }
    return NULL;
}

static bool run(const struct command_line *line, struct error *err)
{
    static const char *const NOTHING[] = {NULL};
    const char *name = command_text(line, "task", "loss");
    const struct task *const task = find_task(name);
    if (task == NULL) {
        return error_set(err, ERROR_USAGE, "--task=%s: choose loss, hops, choice or pairs", name);
    }
    char user[64];
    snprintf(user, sizeof user, "--task=%s", task->name);
    if (!command_heeds(line, user, task->flags, err)) {
        return false;
    }
    if (task->run == evaluate_questions && !command_has(line, "file")) {
        return error_set(err, ERROR_USAGE, "--task=%s needs --file=PATH", name);
    }
    return run_on_checkpoint(line, NOTHING, PLAN_FORWARD, task->run, err);
}

const struct command eval_command = {
    .name = "eval",
    .usage = "CKPT [--task=loss|hops|choice|pairs] [--file=PATH] [key=value ...]",
    .summary = "measure a checkpoint: loss on a text, accuracy on questions or on items that need "
               "hops",
    .details =
        "CKPT is a step folder, or a run folder (its newest checkpoint). Works on any number of "
        "ranks up to two per layer\n"
        "of the model.\n\n"
        "loss    mean nats per token over --file or the validation data.\n"
        "hops    for each number of hops, more than training shows included, the share of items "
        "answered byte for byte,\n"
        "        its standard error, and what guesses get right of the same items. chance: one of "
        "the answers that a prompt\n"
        "        leaves possible. constant: always the same answer, the best one. shortcut: "
        "stopping some hops early, as\n"
        "        many as get most right (of perm: only the last swaps count; of ptr and stories "
        "that is never right). above\n"
        "        guess: by how many standard errors of the best guess the accuracy lies above it.\n"
        "        Items are drawn under a seed that training never uses. Where few are possible, a "
        "long training has seen most\n"
        "        of them all the same: of perm with one, two and three swaps there are 100, 2,000 "
        "and 40,000. Items longer\n"
        "        than the window lose their beginning: model.seq_len=333 holds all of stories, 256 "
        "those of four hops.\n"
        "choice  which of several continuations is likeliest. FILE: an evaluation file of llm.c "
        "(u16 tokens), or JSON\n"
        "        lines, taken as bytes: {\"question\": \"2 + 2 =\", \"choices\": [\"3\", \"4\"], "
        "\"answer\": 1}; answer is an\n"
        "        index from 0, a letter from A, or the text of a choice. Right is whose "
        "log-likelihood, summed over its\n"
        "        bytes or tokens, is above all others'; normalised: over how many the choice has, "
        "without --join. cut:\n"
        "        choices whose question did not fit the window and lost its beginning. "
        "answer_loss: "
        "nats per byte or token\n"
        "        of the right choices.\n"
        "pairs   which of two texts is likelier, each after a newline: JSON lines {\"good\": "
        "\"...\", \"bad\": \"...\"}.\n\n"
        "Each but hops prints one JSON line. Every text fills a window: where texts are short, "
        "model.seq_len=64\n"
        "batch.microbatch=16 batch.sequences=16 is faster, and says the same up to rounding.",
    .flags = {{"task", FLAG_TEXT, "NAME", "loss (default), hops, choice or pairs"},
              {"file", FLAG_TEXT, "PATH",
               "loss: a text (file, folder or glob) or token shard; choice, pairs: the questions"},
              {"join", FLAG_ANY_TEXT, "TEXT",
               "choice: stands between question and choice of JSON lines (default a space)"},
              {"items", FLAG_INT, "N", "hops: items per number of hops (default 500)"},
              {"json", FLAG_SWITCH, NULL, "hops: one JSON object a line"}},
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
