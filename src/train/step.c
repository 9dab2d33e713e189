/* One training step: batch, schedule, tied head, report and decision, update. */
#include "train_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/collective.h>
#include <attnres/optim.h>

/** Head of what a rank reports after a step; the losses of its microbatches and the squares of the
 * gradients that it owns follow. */
struct report {
    double wait_s, compute_s;
    int64_t bytes_sent;
    struct guard_finding finding; /* of a step that was computed twice */
    int32_t signal_arrived;
    int32_t saving; /* enum checkpoint_phase */
};

_Static_assert(sizeof(struct report) <= PLAN_REPORT_HEAD_BYTES, "the plan reserves the head");

static struct optim optim_of(const struct train *t)
{
    const struct session *s = &t->session;
    return (struct optim){.plan = &s->plan,
                          .rank = s->engine.rank,
                          .memory = &s->memory,
                          .kernels = s->kernels,
                          .twice = train_is_check_due(t)};
}

/** Losses: the last stage's nats by microbatch. */
static double *losses_of(void *report)
{
    return (double *)(void *)((unsigned char *)report + PLAN_REPORT_HEAD_BYTES);
}

static double *squares_of(const struct session *s, void *report)
{
    return losses_of(report) + s->plan.n_microbatches;
}

static int64_t count_targets(const int32_t *targets, int64_t n)
{
    int64_t n_targets = 0;
    for (int64_t i = 0; i < n; i++) {
        n_targets += targets[i] >= 0;
    }
    return n_targets;
}

/** Read the step's sequences on the ends of the pipeline: microbatch k of replica r is the (kR +
 * r)-th of the step. Returns the counted targets of all replicas. */
static int64_t read_batch(struct train *t)
{
    const struct session *s = &t->session;
    const int64_t B = s->config.batch.microbatch, n = B * s->config.model.seq_len;
    int32_t *tokens = memory_buffer(&s->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(&s->memory, BUFFER_TARGETS, 0);
    int64_t n_targets = 0;
    t->step_position = t->state.position;
    for (int64_t k = 0; k < s->plan.n_microbatches && t->train_data != NULL; k++) {
        for (int replica = 0; replica < s->plan.grid.n_replicas; replica++) {
            if (replica == s->memory.replica) {
                data_read(t->train_data, &t->state.position, B, tokens + k * n, targets + k * n);
                n_targets += count_targets(targets + k * n, n);
            } else {
                n_targets += data_skip(t->train_data, &t->state.position, B);
            }
        }
    }
    return n_targets;
}

void train_clear_gradients(struct train *t)
{
    const struct session *s = &t->session;
    memset(memory_buffer(&s->memory, BUFFER_GRADIENTS, 0), 0,
           memory_slot_bytes(&s->memory, BUFFER_GRADIENTS));
    void *head = memory_buffer(&s->memory, BUFFER_HEAD_GRADIENT, 0);
    if (head != NULL) {
        memset(head, 0, memory_slot_bytes(&s->memory, BUFFER_HEAD_GRADIENT));
    }
}

/** Waiting outside the engine counts as waiting too: so ends every step of a rank that is done
 * early. */
static void add_wait(struct session *s, double start_s)
{
    s->engine.times.wait_s += clock_monotonic_s() - start_s;
}

/** Between two ranks of one pipeline. */
static void exchange(struct session *s, int from, int to, float *values, int64_t count)
{
    const struct grid *grid = &s->plan.grid;
    const int replica = s->memory.replica;
    const size_t bytes = (size_t)count * sizeof *values;
    const double start_s = clock_monotonic_s();
    if (s->engine.rank == from) {
        transport_send(s->transport, grid_rank(grid, replica, to), CHANNEL_TIED_HEAD, values,
                       bytes);
        s->engine.times.bytes_raw += (int64_t)bytes;
        s->engine.times.bytes_sent += (int64_t)bytes;
    } else if (s->engine.rank == to) {
        transport_receive(s->transport, grid_rank(grid, replica, from), CHANNEL_TIED_HEAD, values,
                          bytes);
    }
    add_wait(s, start_s);
}

/** Tied head, before the norm: the first stage adds the head's gradient and the embedding's, once a
 * step. */
static void join_head_gradient(struct session *s)
{
    if (!s->config.model.tied || !(s->own->has_first || s->own->has_last)) {
        return;
    }
    const struct param *embedding = params_find(&s->plan.params, -1, PARAM_EMBEDDING);
    float *head = memory_buffer(&s->memory, BUFFER_HEAD_GRADIENT, 0);
    if (plan_last_rank(&s->plan) != 0) {
        exchange(s, plan_last_rank(&s->plan), 0, head, embedding->count);
    }
    if (s->own->has_first) {
        const double start_s = clock_monotonic_s();
        float *gradient = model_gradient(&s->models[0], embedding);
        s->kernels->add(gradient, head, gradient, embedding->count);
        s->engine.times.reduce_s += clock_monotonic_s() - start_s;
    }
}

/** Tied head, after the update: the last stage gets the new weight. */
static void share_head_weight(struct session *s)
{
    const int last = plan_last_rank(&s->plan);
    if (!s->config.model.tied || last == 0 || !(s->own->has_first || s->own->has_last)) {
        return;
    }
    const struct param *embedding = params_find(&s->plan.params, -1, PARAM_EMBEDDING);
    float *weight = s->own->has_first ? model_weight(&s->models[0], embedding)
                                      : memory_buffer(&s->memory, BUFFER_HEAD_WEIGHT, 0);
    exchange(s, 0, last, weight, embedding->count);
}

static void *report_of(const struct session *s, int rank)
{
    unsigned char *reports = memory_buffer(&s->memory, BUFFER_REPORTS, 0);
    return reports + (size_t)rank * memory_slot_bytes(&s->memory, BUFFER_REPORT);
}

/** The step's loss: the microbatches of all replicas, in the order of their sequences. */
static double sum_losses(const struct session *s, int64_t n_targets)
{
    double sum = 0.0;
    for (int64_t k = 0; k < s->plan.n_microbatches; k++) {
        for (int replica = 0; replica < s->plan.grid.n_replicas; replica++) {
            const int rank = grid_rank(&s->plan.grid, replica, plan_last_rank(&s->plan));
            sum += losses_of(report_of(s, rank))[k];
        }
    }
    return n_targets > 0 ? sum / (double)n_targets : NAN;
}

/** Squares of all gradients, each from its owner, added in table order. */
static double sum_squares(const struct session *s)
{
    double sum = 0.0;
    for (int i = 0; i < s->plan.n_stages; i++) {
        const struct stage *stage = &s->plan.stages[i];
        for (int64_t row = stage->first_param; row < stage->end_param; row++) {
            const int owner = grid_rank(&s->plan.grid, s->plan.owners[row].replica, stage->rank);
            sum += squares_of(s, report_of(s, owner))[stage->param_base + row - stage->first_param];
        }
    }
    return sum;
}

/** Rank 0: whether the same rank keeps computing for longer than the others. */
static void look_for_straggler(struct train *t)
{
    const struct session *s = &t->session;
    const int n_ranks = grid_size(&s->plan.grid);
    for (int rank = 0; rank < n_ranks; rank++) {
        const struct report *report = report_of(s, rank);
        t->step_compute_s[rank] = report->compute_s - t->compute_s[rank];
        t->compute_s[rank] = report->compute_s;
    }
    if (watch_find_straggler(&t->straggler, t->step_compute_s, n_ranks, t->sorted_s)) {
        log_write(t->log, LOG_WARNING,
                  "rank %d has computed the longest for %" PRId64
                  " steps: %.3f s in the last, %.2f times the median; its processor is slow or "
                  "shared, or the partition uneven (attnres plan; run.json names its host)",
                  t->straggler.rank, t->straggler.n_steps, t->straggler.seconds,
                  t->straggler.ratio);
    }
}

/** Rank 0: what all reports come to. */
static struct train_decision decide(const struct train *t, int64_t n_targets)
{
    const struct session *s = &t->session;
    struct train_decision d = {.n_targets = n_targets, .guard = t->state.guard};
    bool signal_arrived = false;
    unsigned phases = 0;
    for (int rank = 0; rank < grid_size(&s->plan.grid); rank++) {
        const struct report *report = report_of(s, rank);
        d.wait_s += report->wait_s;
        d.bytes_sent += report->bytes_sent;
        guard_merge(&d.finding, &report->finding);
        signal_arrived = signal_arrived || report->signal_arrived != 0;
        phases |= 1U << report->saving;
    }
    d.save = train_judge_save(phases);
    d.loss = sum_losses(s, n_targets);
    d.grad_norm = sqrt(sum_squares(s));
    d.judgement = guard_judge(&d.guard, &s->config.guard, d.loss, d.grad_norm, d.n_targets > 0);
    d.has_changed = d.finding.what != GUARD_NOTHING;
    d.skips = d.judgement.skips || d.has_changed;
    d.clip_factor = optim_clip_factor(&s->config.optim, d.grad_norm);
    d.stop = train_find_stop(t, signal_arrived);
    d.has_time_to_save = train_has_time_to_save(t);
    d.is_save_due = train_save_is_due(t);
    return d;
}

/** What was computed twice and differed on this rank; odd: the row, or NULL. */
static void note_odd(const struct train *t, struct guard_finding *finding, enum guard_what what,
                     const struct param *odd)
{
    if (odd != NULL) {
        const struct guard_finding own =
            guard_find_row(&t->session.plan, transport_rank(t->transport), what, odd);
        guard_merge(finding, &own);
    }
}

static void take_squares(struct train *t, double *squares, struct guard_finding *finding)
{
    struct session *s = &t->session;
    struct journal *journal = transport_journal(s->transport);
    const double start_s = clock_monotonic_s();
    const struct optim optim = optim_of(t);
    journal_begin_alone(journal, JOURNAL_NORM, -1);
    note_odd(t, finding, GUARD_SQUARES, optim_squares(&optim, squares));
    journal_end(journal);
    s->engine.times.optimizer_s += clock_monotonic_s() - start_s;
}

/** A save in the background may not have written this row yet. */
static void keep_for_save(void *user, int chunk, const struct param *param)
{
    struct train *t = user;
    struct journal *journal = transport_journal(t->transport);
    const double start_s = clock_monotonic_s();
    journal_end(journal); /* of the update */
    journal_set_phase(journal, JOURNAL_SAVING);
    checkpoint_keep(t->saver, &t->session.models[chunk], param);
    journal_set_phase(journal, JOURNAL_TRAINING);
    journal_begin_alone(journal, JOURNAL_UPDATE, -1);
    t->session.engine.times.save_s += clock_monotonic_s() - start_s;
}

static void update(struct train *t, double clip_factor, struct guard_finding *finding)
{
    struct session *s = &t->session;
    struct journal *journal = transport_journal(t->transport);
    const double start_s = clock_monotonic_s(), save_s = s->engine.times.save_s;
    const double lr = optim_lr(&s->config.optim, s->config.train.n_steps, t->state.step);
    struct optim optim = optim_of(t);
    optim.before_change = checkpoint_phase(t->saver) == CHECKPOINT_WRITING ? keep_for_save : NULL;
    optim.user = t;
    t->state.n_updates++;
    journal_begin_alone(journal, JOURNAL_UPDATE, -1);
    note_odd(t, finding, GUARD_UPDATE,
             optim_update(&optim, &s->config.optim, lr, clip_factor, t->state.n_updates));
    journal_end(journal);
    s->engine.times.optimizer_s +=
        clock_monotonic_s() - start_s - (s->engine.times.save_s - save_s);
}

static struct train_decision report_and_decide(struct train *t, int64_t n_targets,
                                               const struct guard_finding *finding)
{
    struct session *s = &t->session;
    const struct engine_times *times = &s->engine.times;
    void *own = memory_buffer(&s->memory, BUFFER_REPORT, 0);
    struct report *report = own;
    *report =
        (struct report){.wait_s = times->wait_s,
                        .compute_s = times->forward_s + times->recompute_s +
                                     times->input_gradient_s + times->weight_gradient_s,
                        .bytes_sent = times->bytes_sent,
                        .finding = *finding,
                        .signal_arrived = t->options->stops_on_signals && train_signal_arrived(),
                        .saving = (int32_t)checkpoint_phase(t->saver)};
    take_squares(t, squares_of(s, own), &report->finding);
    const double start_s = clock_monotonic_s();
    collective_gather(t->transport, collective_all(t->transport), 0, own,
                      memory_slot_bytes(&s->memory, BUFFER_REPORT),
                      memory_buffer(&s->memory, BUFFER_REPORTS, 0));
    struct train_decision decision = {0};
    if (t->is_root) {
        decision = decide(t, n_targets);
        look_for_straggler(t);
    }
    transport_broadcast(t->transport, 0, &decision, sizeof decision);
    add_wait(s, start_s); /* part of the next report */
    return decision;
}

void train_compute_gradients(struct train *t, int64_t n_targets, struct guard_probe *probe)
{
    struct session *s = &t->session;
    const struct engine_batch batch = {
        .tokens = memory_buffer(&s->memory, BUFFER_TOKENS, 0),
        .targets = memory_buffer(&s->memory, BUFFER_TARGETS, 0),
        /* Without counted targets every gradient is zero, whatever the scale. */
        .loss_scale = n_targets > 0 ? (float)(1.0 / (double)n_targets) : 1.0F,
        .losses = losses_of(memory_buffer(&s->memory, BUFFER_REPORT, 0)),
        .probe = probe,
    };
    engine_run(&s->engine, &s->plan.schedule, &batch);
    engine_drain(&s->engine);
    join_head_gradient(s);
    engine_sum_gradients(&s->engine);
}

static int64_t read_next(struct train *t)
{
    struct journal *journal = transport_journal(t->transport);
    const double start_s = clock_monotonic_s();
    journal_set_step(journal, t->state.step + 1);
    journal_begin_alone(journal, JOURNAL_READ_BATCH, -1);
    const int64_t n_targets = read_batch(t);
    train_clear_gradients(t);
    journal_end(journal);
    t->session.engine.times.read_s += clock_monotonic_s() - start_s;
    return n_targets;
}

struct train_decision train_step(struct train *t)
{
    struct session *s = &t->session;
    const int64_t n_targets = read_next(t);
    struct guard_finding finding = {0};
    if (train_is_check_due(t)) {
        finding = train_compute_twice(t, n_targets);
    } else {
        train_compute_gradients(t, n_targets, NULL);
    }
    struct train_decision decision = report_and_decide(t, n_targets, &finding);
    if (!decision.skips) {
        update(t, decision.clip_factor, &finding);
        if (train_is_check_due(t)) {
            decision.finding = train_share_finding(t, &finding);
            decision.has_changed = decision.finding.what != GUARD_NOTHING;
        }
    }
    if (!decision.skips && !decision.has_changed) {
        engine_hand_out_weights(&s->engine);
        share_head_weight(s);
    }
    if (decision.judgement.not_finite && !decision.has_changed) {
        decision.finding = train_find_not_finite(t, n_targets);
    }
    t->state.step++;
    t->state.tokens += s->config.batch.n_sequences * s->config.model.seq_len;
    t->state.guard = decision.guard;
    return decision;
}

double train_evaluate(struct train *t)
{
    if (t->n_val_windows == 0) {
        return NAN;
    }
    /* What evaluation waits and sends is not part of the steps' figures. */
    struct engine_times before = t->session.engine.times;
    const double start_s = clock_monotonic_s();
    journal_set_phase(transport_journal(t->transport), JOURNAL_EVALUATING);
    const struct evaluate_loss result =
        evaluate_windows(&t->session.engine, t->val_data, t->n_val_windows, false);
    before.evaluate_s += clock_monotonic_s() - start_s;
    t->session.engine.times = before;
    journal_set_phase(transport_journal(t->transport), JOURNAL_TRAINING);
    if (t->is_root && result.n_targets == 0 && !t->has_told_without_val_targets) {
        t->has_told_without_val_targets = true;
        log_write(t->log, LOG_WARNING,
                  "the evaluation after step %" PRId64
                  " has no result: its windows hold no answer, and with data.loss=answer no other "
                  "token counts; a larger model.seq_len or train.eval_tokens holds more of them",
                  t->state.step);
    }
    return result.loss;
}
