#include <attnres/evaluate.h>

#include <math.h>
#include <string.h>

/** One forward pass of the microbatch that lies in the plan's batch buffers. Returns its loss on
 * the last stage. */
static double run_microbatch(struct engine *engine, bool wants_best)
{
    double loss = 0.0;
    const struct engine_batch batch = {.tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0),
                                       .targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0),
                                       .loss_scale = 0.0F,
                                       .wants_best = wants_best,
                                       .losses = &loss};
    engine_run(engine, &engine->plan->forward, &batch);
    return loss;
}

/** Replicas take microbatches in turn: of so many, the i-th of a round is replica i's. */
struct turn {
    const struct engine *engine;
    int replica, n_replicas;
    bool reads; /* has an end of the pipeline, where tokens and targets are needed */
};

static struct turn make_turn(const struct engine *engine)
{
    const struct plan_rank *own = &engine->plan->ranks[engine->rank];
    return (struct turn){.engine = engine,
                         .replica = engine->memory->replica,
                         .n_replicas = engine->plan->grid.n_replicas,
                         .reads = own->has_first || own->has_last};
}

/** What a microbatch came to. */
struct outcome {
    double sum; /* nats */
    int64_t n;  /* counted targets, or right answers */
};

/** The last rank of replica 0 adds up the outcomes of a round, in the order of its microbatches;
 * the other replicas' last ranks send it theirs. */
static void add_round(const struct turn *turn, struct outcome *total, const struct outcome *own)
{
    const struct plan *plan = turn->engine->plan;
    const int last = plan_last_rank(plan);
    if (turn->engine->rank != last) {
        return;
    }
    if (turn->replica > 0) {
        transport_send(turn->engine->transport, last, CHANNEL_COLLECTIVE, own, sizeof *own);
        return;
    }
    for (int replica = 0; replica < turn->n_replicas; replica++) {
        struct outcome outcome = *own;
        if (replica > 0) {
            transport_receive(turn->engine->transport, grid_rank(&plan->grid, replica, last),
                              CHANNEL_COLLECTIVE, &outcome, sizeof outcome);
        }
        total->sum += outcome.sum;
        total->n += outcome.n;
    }
}

/** Read windows [first, first + B) in order; beyond the last one nothing counts. Returns the
 * counted targets. */
static int64_t read_windows(const struct engine *engine, const struct data *data, int64_t first,
                            int64_t n_windows, bool tail)
{
    const int64_t T = engine->plan->config->model.seq_len,
                  B = engine->plan->config->batch.microbatch;
    int32_t *tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    int64_t n = 0;
    for (int64_t b = 0; b < B; b++) {
        if (first + b < n_windows) {
            n += data_read_in_order(data, first + b, tail, tokens + b * T, targets + b * T);
        } else {
            memset(tokens + b * T, 0, (size_t)T * sizeof *tokens);
            memset(targets + b * T, 0xff, (size_t)T * sizeof *targets); /* -1: not counted */
        }
    }
    return n;
}

struct evaluate_loss evaluate_windows(struct engine *engine, const struct data *data,
                                      int64_t n_windows, bool tail)
{
    const struct turn turn = make_turn(engine);
    const int64_t B = engine->plan->config->batch.microbatch;
    struct outcome total = {0};
    for (int64_t round = 0; round < n_windows; round += turn.n_replicas * B) {
        struct outcome own = {0};
        if (turn.reads) {
            own.n = read_windows(engine, data, round + turn.replica * B, n_windows, tail);
        }
        own.sum = run_microbatch(engine, false);
        add_round(&turn, &total, &own);
    }
    engine_drain(engine);
    transport_broadcast(engine->transport, plan_last_rank(engine->plan), &total, sizeof total);
    return (struct evaluate_loss){.loss = total.n > 0 ? total.sum / (double)total.n : NAN,
                                  .n_targets = total.n};
}

/** Tokens that are given, and those behind them that are to be predicted. */
struct sequence {
    const int32_t *given, *asked;
    int64_t n_given, n_asked;
};

static int32_t token_of(const struct sequence *s, int64_t at)
{
    return at < s->n_given ? s->given[at] : s->asked[at - s->n_given];
}

/** Lay a sequence into a row: as much of its end as fits, targets on what is asked only. */
static void place_sequence(int32_t *tokens, int32_t *targets, int64_t T, const struct sequence *s)
{
    const int64_t length = s->n_given + s->n_asked;
    const int64_t start = length - 1 > T ? length - 1 - T : 0;
    for (int64_t t = 0; t < T; t++) {
        const int64_t at = start + t;
        tokens[t] = at < length ? token_of(s, at) : 0;
        targets[t] = at + 1 >= s->n_given && at + 1 < length ? token_of(s, at + 1) : -1;
    }
}

static void place_item(int32_t *tokens, int32_t *targets, int64_t T, const struct data_item *item)
{
    int32_t text[DATA_ITEM_BYTES];
    const int64_t n_given = item->prompt_length, n_asked = item->answer_length;
    for (int64_t i = 0; i < n_given + n_asked; i++) {
        text[i] = (unsigned char)item->text[i];
    }
    const struct sequence s = {
        .given = text, .asked = text + n_given, .n_given = n_given, .n_asked = n_asked};
    place_sequence(tokens, targets, T, &s);
}

static bool is_right(const int32_t *best, const int32_t *targets, int64_t T)
{
    for (int64_t t = 0; t < T; t++) {
        if (targets[t] >= 0 && best[t] != targets[t]) {
            return false;
        }
    }
    return true;
}

static int64_t count_cut(enum task_kind task, uint64_t seed, int hops, int64_t n_items, int64_t T)
{
    int64_t n = 0;
    struct data_item item;
    for (int64_t i = 0; i < n_items; i++) {
        data_make_item(&item, task, seed, (uint64_t)i, hops);
        n += item.prompt_length + item.answer_length - 1 > T;
    }
    return n;
}

struct evaluate_hops evaluate_task(struct engine *engine, enum task_kind task, uint64_t seed,
                                   int hops, int64_t n_items)
{
    const struct turn turn = make_turn(engine);
    const int64_t T = engine->plan->config->model.seq_len,
                  B = engine->plan->config->batch.microbatch;
    int32_t *tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    const int32_t *best = memory_buffer(engine->memory, BUFFER_BEST, 0);
    struct outcome total = {0};
    struct data_item item;
    for (int64_t round = 0; round < n_items; round += turn.n_replicas * B) {
        const int64_t first = round + turn.replica * B;
        struct outcome own = {0};
        for (int64_t b = 0; b < B && turn.reads; b++) {
            const bool is_item = first + b < n_items; /* other rows repeat one, uncounted */
            data_make_item(&item, task, seed, (uint64_t)(is_item ? first + b : 0), hops);
            place_item(tokens + b * T, targets + b * T, T, &item);
        }
        run_microbatch(engine, true);
        for (int64_t b = 0; b < B && first + b < n_items && best != NULL; b++) {
            own.n += is_right(best + b * T, targets + b * T, T);
        }
        add_round(&turn, &total, &own);
    }
    engine_drain(engine);
    transport_broadcast(engine->transport, plan_last_rank(engine->plan), &total, sizeof total);
    return (struct evaluate_hops){.hops = hops,
                                  .n_items = n_items,
                                  .n_right = total.n,
                                  .constant = data_best_constant(task, seed, hops, n_items),
                                  .shortcut = data_best_shortcut(task, seed, hops, n_items),
                                  .chance = 1.0 / data_task_guesses(task),
                                  .n_cut = count_cut(task, seed, hops, n_items, T)};
}

/** Rows [first, first + B) are choices; beyond the last one nothing counts. */
static void read_choices(const struct engine *engine, const struct questions *q, int64_t first)
{
    const int64_t T = engine->plan->config->model.seq_len,
                  B = engine->plan->config->batch.microbatch;
    int32_t *tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    for (int64_t b = 0; b < B; b++) {
        struct sequence s = {0}; /* nothing is given or asked */
        const int64_t choice = first + b;
        if (choice < q->n_choices) {
            const struct question_choice *c = &q->choices[choice];
            const struct question_span given = q->rows[c->question].context, asked = c->span;
            s = (struct sequence){.given = q->tokens + given.first,
                                  .asked = q->tokens + asked.first,
                                  .n_given = given.n,
                                  .n_asked = asked.n};
        }
        place_sequence(tokens + b * T, targets + b * T, T, &s);
    }
}

/** The last stage: what each row's targets cost, in token order. */
static void sum_rows(const struct engine *engine, double *nats, int64_t n_rows)
{
    const int64_t T = engine->plan->config->model.seq_len;
    const float *losses = memory_buffer(engine->memory, BUFFER_LOSSES, 0);
    for (int64_t b = 0; b < n_rows; b++) {
        nats[b] = 0.0;
        for (int64_t t = 0; t < T; t++) {
            nats[b] += (double)losses[b * T + t];
        }
    }
}

/** The last rank of replica 0 takes the rows of the others' microbatches of a round into their
 * place. */
static void gather_rows(const struct turn *turn, double *nats, int64_t round, int64_t n_rows)
{
    const struct plan *plan = turn->engine->plan;
    const int64_t B = plan->config->batch.microbatch;
    const int last = plan_last_rank(plan);
    for (int replica = 1; replica < turn->n_replicas && turn->engine->rank == last; replica++) {
        const int64_t first = round + replica * B, n = n_rows - first < B ? n_rows - first : B;
        if (n > 0 && turn->replica == replica) {
            transport_send(turn->engine->transport, last, CHANNEL_COLLECTIVE, nats + first,
                           (size_t)n * sizeof *nats);
        } else if (n > 0 && turn->replica == 0) {
            transport_receive(turn->engine->transport, grid_rank(&plan->grid, replica, last),
                              CHANNEL_COLLECTIVE, nats + first, (size_t)n * sizeof *nats);
        }
    }
}

void evaluate_choices(struct engine *engine, const struct questions *q, int64_t n_choices,
                      double *nats)
{
    const struct turn turn = make_turn(engine);
    const int64_t B = engine->plan->config->batch.microbatch;
    const bool is_last = engine->rank == plan_last_rank(engine->plan);
    for (int64_t round = 0; round < n_choices; round += turn.n_replicas * B) {
        const int64_t first = round + turn.replica * B, n = n_choices - first;
        if (turn.reads) {
            read_choices(engine, q, first);
        }
        run_microbatch(engine, false);
        if (is_last && n > 0) {
            sum_rows(engine, nats + first, n < B ? n : B);
        }
        gather_rows(&turn, nats, round, n_choices);
    }
    engine_drain(engine);
    transport_broadcast(engine->transport, plan_last_rank(engine->plan), nats,
                        (size_t)n_choices * sizeof *nats);
}
