/* What the clock says: when a run stops before its last step, what time is left, and when to save.
 */
#include "train_internal.h"

#include <math.h>

#include <attnres/clock.h>

/** What the job needs at its end beside a step and a save, seconds: ranks end, the launcher
 * notices. And how fast a save is thought to be before the first was measured. */
static const double ENDING_S = 5.0, BYTES_PER_S = 100e6;

/** A save may take longer than the last one did. */
static const double SAFETY = 1.5;

/** The save, and the one under way that it waits for. */
static double save_s(const struct train *t)
{
    enum { BYTES_PER_PARAMETER = 12 };
    const double bytes = BYTES_PER_PARAMETER * (double)t->session.plan.params.n_parameters;
    const double one_s = t->save_s > 0.0 ? t->save_s : bytes / BYTES_PER_S;
    return t->is_saving ? 2.0 * one_s : one_s;
}

/** Seconds until the job is ended from outside; INFINITY if it is not. */
static double left_s(const struct train *t)
{
    return t->options->job_end_s > 0.0 ? t->options->job_end_s - clock_wall_s() : INFINITY;
}

/** Whether another step, an evaluation behind it and a save would end too late. */
static bool job_ends_soon(const struct train *t)
{
    return left_s(t) < ENDING_S + SAFETY * (t->step_s + t->evaluate_s + save_s(t));
}

bool train_save_is_due(const struct train *t)
{
    const double most_s = 60.0 * t->session.config.checkpoint.minutes;
    return most_s > 0.0 && clock_monotonic_s() - t->save_at_s >= most_s;
}

bool train_has_time_to_save(const struct train *t)
{
    return left_s(t) > save_s(t);
}

enum train_stop train_find_stop(const struct train *t, bool signal_arrived)
{
    const double max_s = 3600.0 * t->session.config.run.max_hours;
    if (signal_arrived) {
        return TRAIN_STOP_SIGNAL;
    }
    if (rundir_stop_is_asked(&t->folder)) {
        return TRAIN_STOP_FILE;
    }
    if (max_s > 0.0 && clock_monotonic_s() - t->start_s >= max_s) {
        return TRAIN_STOP_TIME;
    }
    return job_ends_soon(t) ? TRAIN_STOP_JOB_END : TRAIN_GOES_ON;
}
