/* What the clock says: when a run stops before its last step, what time is left, and when to save.
 */
#include "train_internal.h"

#include <math.h>

#include <attnres/clock.h>

/** Seconds behind a save: ranks end, the launcher notices, the job is requeued. */
static const double ENDING_S = 2.0;

/** A step or a save may take longer than the last one did: so many times, and of steps that take
 * milliseconds one now and then seconds. Else there would be no time left to save what was
 * stopped for it. */
static const double SAFETY = 1.5, HICCUP_S = 3.0;

/** How fast all ranks together are thought to save before any save was measured. */
static const double BYTES_PER_S = 100e6;

/** A weight and two moments, 4 bytes each. */
enum { BYTES_PER_PARAMETER = 12 };

static double largest_rank_bytes(const struct train *t)
{
    const struct plan *plan = &t->session.plan;
    int64_t most = 0;
    for (int rank = 0; rank < grid_size(&plan->grid); rank++) {
        most = plan->owned_counts[rank] > most ? plan->owned_counts[rank] : most;
    }
    return BYTES_PER_PARAMETER * (double)most;
}

static double guess_save_s(const struct train *t)
{
    return t->save_rate > 0.0
               ? largest_rank_bytes(t) / t->save_rate
               : BYTES_PER_PARAMETER * (double)t->session.plan.params.n_parameters / BYTES_PER_S;
}

/** The save, and the one under way that it waits for. */
static double save_s(const struct train *t)
{
    const double one_s = t->save_s > 0.0 ? t->save_s : guess_save_s(t);
    return t->is_saving ? 2.0 * one_s : one_s;
}

double train_save_rate(const struct train *t)
{
    return t->save_s > 0.0 ? largest_rank_bytes(t) / t->save_s : t->save_rate;
}

/** Seconds until the job is ended from outside; INFINITY if it is not. */
static double left_of_job_s(const struct train *t)
{
    return t->options->job_end_s > 0.0 ? t->options->job_end_s - clock_monotonic_s() : INFINITY;
}

/** Seconds of run.max_hours that are left; INFINITY without. */
static double left_of_run_s(const struct train *t)
{
    const double most_s = 3600.0 * t->session.config.run.max_hours;
    return most_s > 0.0 ? t->start_s + most_s - clock_monotonic_s() : INFINITY;
}

/** What a save takes at most, and the end behind it. */
static double saving_s(const struct train *t)
{
    return ENDING_S + SAFETY * save_s(t);
}

/** What a step takes: the last one, or as much of the one in hand as is done if that is longer, as
 * in the first step of a process. */
static double step_s(const struct train *t)
{
    return fmax(t->step_s, clock_monotonic_s() - t->step_start_s);
}

/** What evaluations take before the next stop can be heeded: the one behind the step in hand, and
 * the last. Before any was measured: a forward pass is a third of a step. */
static double evaluations_s(const struct train *t)
{
    const struct config *config = &t->session.config;
    const int64_t step = t->state.step + 1, every = config->train.eval_every;
    const double n_steps = (double)t->n_val_windows / (double)config->batch.n_sequences;
    const double one_s = t->evaluate_s > 0.0 ? t->evaluate_s : step_s(t) * n_steps / 3.0;
    const bool is_due = every > 0 && step % every == 0, is_last = step + 1 == config->train.n_steps;
    return (is_due ? one_s : 0.0) + (is_last ? one_s : 0.0);
}

/** What a save takes with another step before. */
static double going_on_s(const struct train *t)
{
    return HICCUP_S + SAFETY * (step_s(t) + evaluations_s(t)) + saving_s(t);
}

bool train_save_is_due(const struct train *t)
{
    const double most_s = 60.0 * t->session.config.checkpoint.minutes;
    return most_s > 0.0 && clock_monotonic_s() - t->save_at_s >= most_s;
}

bool train_has_time_to_save(const struct train *t)
{
    return left_of_job_s(t) > saving_s(t);
}

enum train_stop train_find_stop(const struct train *t, bool signal_arrived)
{
    if (signal_arrived) {
        return TRAIN_STOP_SIGNAL;
    }
    if (rundir_stop_is_asked(&t->folder)) {
        return TRAIN_STOP_FILE;
    }
    if (left_of_run_s(t) < going_on_s(t)) {
        return TRAIN_STOP_TIME;
    }
    return left_of_job_s(t) < going_on_s(t) ? TRAIN_STOP_JOB_END : TRAIN_GOES_ON;
}

bool train_stop_at_start(const struct train *t, struct error *err)
{
    const double spent_s = clock_monotonic_s() - t->start_s, left_s = left_of_job_s(t);
    if (left_s < spent_s) {
        return error_set(err, ERROR_IO,
                         "stopped before the first step: the job ends in %.0f s, and reading the "
                         "data has taken %.0f s so far: give it more time",
                         fmax(left_s, 0.0), spent_s);
    }
    return error_set(err, ERROR_EARLY, "stopped before the first step");
}
