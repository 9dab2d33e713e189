/* The loop over steps: logging, evaluation, checkpoints, stopping. */
#include "train_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <attnres/clock.h>
#include <attnres/optim.h>

/** Sums at the last logged line, to take means from. */
struct since {
    double spent_s;
    int64_t step, bytes_sent;
    double wait_s;
};

static const double LN2 = 0.69314718055994530942;

double train_spent_s(const struct train *t)
{
    return t->time_before_s + clock_monotonic_s() - t->start_s - t->session.engine.times.evaluate_s;
}

static struct metrics_line make_line(const struct train *t, const struct train_decision *d,
                                     double val_loss, const struct since *since)
{
    const struct config *config = &t->session.config;
    const double spent_s = train_spent_s(t), elapsed_s = spent_s - since->spent_s;
    const double n_steps = (double)(t->state.step - since->step);
    const double step_tokens = (double)(config->batch.n_sequences * config->model.seq_len);
    return (struct metrics_line){
        .step = t->state.step,
        .loss = d->loss,
        .grad_norm = d->grad_norm,
        .lr = optim_lr(&config->optim, config->train.n_steps, t->state.step - 1),
        .tokens = t->state.tokens,
        .flops = plan_flops_per_token(&t->session.plan) * (double)t->state.tokens,
        .time_s = spent_s,
        .step_s = elapsed_s / n_steps,
        .tokens_per_s = step_tokens * n_steps / elapsed_s,
        .wire_bytes = (double)(d->bytes_sent - since->bytes_sent) / n_steps,
        .bubble = (d->wait_s - since->wait_s) / (elapsed_s * grid_size(&t->session.plan.grid)),
        .val_loss = val_loss,
        .bits_per_byte = t->counts_bytes ? val_loss / LN2 : NAN,
        .skipped = d->skips != 0,
    };
}

/** The plain line. */
static void print_line(struct train *t, const struct metrics_line *line)
{
    char eta[CLOCK_DURATION_BYTES], evaluated[64] = "";
    const int64_t n_steps = t->session.config.train.n_steps;
    clock_format_duration((double)(n_steps - line->step) * line->step_s, eta);
    if (isfinite(line->val_loss)) {
        snprintf(evaluated, sizeof evaluated, "  val %.4f", line->val_loss);
    }
    log_write(t->log, LOG_INFO,
              "step %" PRId64 "/%" PRId64
              "  loss %.4f%s  norm %.3f  lr %.2e  %.0f tokens/s  ETA %s",
              line->step, n_steps, line->loss, evaluated, line->grad_norm, line->lr,
              line->tokens_per_s, eta);
}

static void show_progress(struct train *t, const struct train_decision *d, double run_start_s)
{
    const struct config *config = &t->session.config;
    const double elapsed_s = clock_monotonic_s() - run_start_s;
    const double n_done = (double)(t->state.step - t->first_step);
    const double tokens = n_done * (double)(config->batch.n_sequences * config->model.seq_len);
    char eta[CLOCK_DURATION_BYTES];
    clock_format_duration(elapsed_s / n_done * (double)(config->train.n_steps - t->state.step),
                          eta);
    log_progress(t->log, "step %" PRId64 " of %" PRId64 "  loss %.4f  %.0f tokens/s  ETA %s",
                 t->state.step, config->train.n_steps, d->loss, tokens / elapsed_s, eta);
}

static void update_status(struct train *t)
{
    struct error err = {0};
    if (!train_write_status(t, RUN_TRAINING, "", &err)) {
        log_write(t->log, LOG_WARNING, "%s", err.message);
    }
}

/** Write the metrics line; a full disk is loud but does not end the run. */
static void record(struct train *t, const struct metrics_line *line)
{
    struct error err = {0};
    if (!metrics_write(&t->metrics, line, &err)) {
        log_write(t->log, LOG_WARNING, "%s", err.message);
    }
    update_status(t);
}

/** Such a step leaves the weights as they are; the first one says so. */
static void tell_without_targets(struct train *t, const struct train_decision *d)
{
    if (d->n_targets == 0 && !t->has_told_without_targets) {
        t->has_told_without_targets = true;
        log_write(t->log, LOG_WARNING,
                  "step %" PRId64 " trains nothing: its windows hold no answer, and with "
                  "data.loss=answer no other token counts; a larger model.seq_len or "
                  "batch.sequences holds more of them",
                  t->state.step);
    }
}

/** Compare the plan with what the process really uses, once everything has been touched. */
static void report_memory(struct train *t)
{
    static const double MIB = 1048576.0;
    const int64_t now_bytes = session_resident_bytes(), base_bytes = t->session.base_bytes;
    if (now_bytes >= 0) {
        log_write(t->log, LOG_INFO,
                  "memory of rank 0: planned %.1f MiB, data %.1f MiB; resident %.1f MiB more than "
                  "the %.1f MiB before (libraries)",
                  (double)t->session.memory.table.total_bytes / MIB,
                  (double)train_data_bytes(t) / MIB, (double)(now_bytes - base_bytes) / MIB,
                  (double)base_bytes / MIB);
    }
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

/** Whether a step is evaluated after; not where the run stops early, which must not wait. */
static bool is_evaluated(const struct train *t, const struct train_decision *d)
{
    const struct config *config = &t->session.config;
    const bool is_end = t->state.step == config->train.n_steps;
    return is_end || (d->stop == TRAIN_GOES_ON && is_due(t->state.step, config->train.eval_every));
}

/** The loss of the validation data, NAN if it is not evaluated now. */
static double evaluate_if_due(struct train *t, const struct train_decision *d)
{
    if (!is_evaluated(t, d)) {
        return NAN;
    }
    const double start_s = clock_monotonic_s(), val_loss = train_evaluate(t);
    t->evaluate_s = clock_monotonic_s() - start_s;
    t->result->val_loss = val_loss;
    return val_loss;
}

/** Whether no further step is made. */
static bool is_last(const struct train *t, const struct train_decision *d)
{
    return t->state.step == t->session.config.train.n_steps || d->stop != TRAIN_GOES_ON;
}

/** Rank 0: the step's line, if it is one that is logged. */
static void log_step(struct train *t, const struct train_decision *d, double val_loss,
                     struct since *since)
{
    const int64_t step = t->state.step;
    const bool is_wanted = step == 1 || is_last(t, d) || is_evaluated(t, d);
    if (!t->is_root || (!is_wanted && !is_due(step, t->session.config.train.log_every))) {
        return;
    }
    const struct metrics_line line = make_line(t, d, val_loss, since);
    record(t, &line);
    if (!t->log->terminal || is_evaluated(t, d) || is_last(t, d)) {
        print_line(t, &line);
    }
    *since = (struct since){line.time_s, step, d->bytes_sent, d->wait_s};
}

/** Whether the run stops so late that the job may end before this step is saved, and better leaves
 * it at what stands (train_conclude tells). */
static bool gives_up_saving(struct train *t, const struct train_decision *d)
{
    const bool is_late = t->state.step < t->session.config.train.n_steps &&
                         d->stop != TRAIN_GOES_ON && !d->has_time_to_save;
    const bool gives_up = is_late && train_has_gained(t);
    if (is_late && !gives_up && t->is_root) {
        log_write(
            t->log, LOG_WARNING,
            "the job may end before step %" PRId64
            " is saved; it is tried all the same, since nothing was saved in this job: give it "
            "more time",
            t->state.step);
    }
    return gives_up;
}

/** A save that is due is put off while updates are skipped: the state may be one from which no
 * update can be made, and must not push out those of before. Nothing is saved of replicas that do
 * not hold the same weights: false if they do not. */
static bool save_if_due(struct train *t, const struct train_decision *d, struct error *err)
{
    const bool gives_up = gives_up_saving(t, d);
    t->save_is_due = t->save_is_due || d->is_save_due ||
                     is_due(t->state.step, t->session.config.checkpoint.every);
    const bool is_put_off = d->guard.n_skips_in_a_row > 0;
    if (gives_up || (!is_last(t, d) && (!t->save_is_due || is_put_off))) {
        return true;
    }
    if (!train_compare_replicas(t, err)) {
        return false;
    }
    train_save(t);
    t->save_is_due = false;
    return true;
}

static bool run_steps(struct train *t, struct error *err)
{
    const int64_t n_steps = t->session.config.train.n_steps;
    const double start_s = clock_monotonic_s();
    struct since since = {.spent_s = train_spent_s(t), .step = t->state.step};
    t->save_at_s = start_s;
    journal_set_phase(transport_journal(t->transport), JOURNAL_TRAINING);
    if (t->state.step == 0 && t->session.config.checkpoint.initial) {
        train_save(t);
    }
    while (t->state.step < n_steps) {
        if (train_is_check_due(t) && !train_compare_replicas(t, err)) {
            return false;
        }
        train_trace_step(t);
        t->step_start_s = clock_monotonic_s();
        const struct train_decision d = train_step(t);
        t->step_s = clock_monotonic_s() - t->step_start_s;
        t->result->loss = d.loss;
        t->result->grad_norm = d.grad_norm;
        train_advance_save(t, (enum train_save)d.save);
        if (!train_heed_guards(t, &d, err)) {
            return false;
        }
        log_step(t, &d, evaluate_if_due(t, &d), &since);
        if (!save_if_due(t, &d, err)) {
            return false;
        }
        if (t->state.step == t->first_step + 3) {
            report_memory(t);
        }
        if (t->is_root) {
            tell_without_targets(t, &d);
        }
        if (t->is_root && t->log->terminal) {
            show_progress(t, &d, start_s);
        }
        if (d.stop != TRAIN_GOES_ON && t->state.step < n_steps) {
            t->result->stopped = true;
            t->stop = (enum train_stop)d.stop;
            break;
        }
    }
    return true;
}

bool train_loop(struct train *t, struct error *err)
{
    const bool ok = run_steps(t, err);
    train_finish_save(t);
    return ok;
}
