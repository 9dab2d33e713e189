/* Checkpoints in the loop over steps: begun, got on with, waited for, told. */
#include "train_internal.h"

#include <inttypes.h>

#include <attnres/clock.h>

/** From where on it is told that updates were held up, seconds. */
static const double WORTH_TELLING_S = 0.01;

enum train_save train_judge_save(unsigned phases)
{
    const unsigned busy = 1U << CHECKPOINT_WRITING | 1U << CHECKPOINT_PUBLISHING,
                   over = 1U << CHECKPOINT_STANDS | 1U << CHECKPOINT_FAILED;
    if ((phases & busy) != 0) {
        return TRAIN_SAVE_GOES_ON;
    }
    if ((phases & over) != 0) {
        return TRAIN_SAVE_END;
    }
    return (phases & 1U << CHECKPOINT_WRITTEN) != 0 ? TRAIN_SAVE_COLLECT : TRAIN_SAVE_GOES_ON;
}

/** The ranks that know why, and rank 0 what it means. */
static void tell_failure(struct train *t, int64_t step, const struct error *err)
{
    if (err->message[0] != '\0') {
        log_write(t->log, LOG_ERROR, "checkpoint of step %" PRId64 ": %s", step, err->message);
    }
    if (t->is_root) {
        log_write(t->log, LOG_ERROR,
                  "the checkpoint of step %" PRId64 " could not be saved; older ones stand", step);
    }
}

static void tell_success(struct train *t, const struct checkpoint_progress *p)
{
    if (!t->session.config.checkpoint.in_background) {
        log_write(t->log, LOG_INFO, "saved checkpoints/step-%08" PRId64 " in %.2f s", p->step,
                  p->age_s);
        return;
    }
    log_write(t->log, LOG_INFO, "saved checkpoints/step-%08" PRId64 " in %.2f s in the background",
              p->step, p->age_s);
    if (p->was_full && p->held_s >= WORTH_TELLING_S) {
        log_write(t->log, LOG_INFO,
                  "updates of rank %d waited %.2f s for it, the snapshot's %.1f MiB being full: "
                  "see checkpoint.snapshot_bytes",
                  p->held_rank, p->held_s,
                  (double)memory_slot_bytes(&t->session.memory, BUFFER_SNAPSHOT) / 1048576.0);
    }
}

/** All has been done, well or not: tell, and let the folder say so. */
static void end(struct train *t)
{
    struct error err = {0};
    t->is_saving = false;
    t->save_failed = !checkpoint_end(t->saver, &err);
    const struct checkpoint_progress p = checkpoint_progress(t->saver);
    if (t->save_failed) {
        tell_failure(t, p.step, &err);
        return;
    }
    t->saved_step = p.step;
    t->save_s = p.work_s; /* not its age: what a step notices is seconds late */
    watch_note_saved(t->watch, p.step);
    tell_success(t, &p);
    if (!t->is_root) {
        return;
    }
    if (err.message[0] != '\0') {
        log_write(t->log, LOG_WARNING, "old checkpoints: %s", err.message);
        err = (struct error){0};
    }
    if (!train_write_status(t, RUN_TRAINING, "", &err)) {
        log_write(t->log, LOG_WARNING, "%s", err.message);
    }
}

/** Something that belongs to the time and the phase of saving. */
static void within_save(struct train *t, void (*work)(struct train *t))
{
    const double start_s = clock_monotonic_s();
    journal_set_phase(transport_journal(t->transport), JOURNAL_SAVING);
    work(t);
    journal_set_phase(transport_journal(t->transport), JOURNAL_TRAINING);
    t->session.engine.times.save_s += clock_monotonic_s() - start_s;
}

/** A run that goes on from a checkpoint has the lines up to its step. */
static void flush_metrics(struct train *t)
{
    struct error err = {0};
    if (t->is_root && !metrics_flush(&t->metrics, &err)) {
        log_write(t->log, LOG_WARNING, "%s", err.message);
    }
}

static void begin(struct train *t)
{
    flush_metrics(t);
    t->state.time_s = train_spent_s(t);
    checkpoint_begin(t->saver, &t->state);
    t->is_saving = true;
}

static void collect(struct train *t)
{
    checkpoint_collect(t->saver);
}

void train_save(struct train *t)
{
    train_finish_save(t);
    t->save_at_s = clock_monotonic_s();
    within_save(t, begin);
    if (!t->session.config.checkpoint.in_background) {
        train_finish_save(t);
    }
}

void train_advance_save(struct train *t, enum train_save action)
{
    if (action != TRAIN_SAVE_GOES_ON) {
        within_save(t, action == TRAIN_SAVE_COLLECT ? collect : end);
    }
}

void train_finish_save(struct train *t)
{
    if (t->is_saving) {
        within_save(t, end);
    }
}
