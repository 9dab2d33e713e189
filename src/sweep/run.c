/* All runs: which is next, how far they are, how they end. */
#include "sweep_internal.h"

#include <assert.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <attnres/clock.h>
#include <attnres/kernels.h>
#include <attnres/launch.h>

static const double POLL_S = 0.1, LOOK_S = 2.0;
static const double TELL_S = 600.0; /* where there is no terminal with a live line */

/** Signals are counted and nothing else. A handler has no argument to carry state. */
static volatile sig_atomic_t asks_to_stop;

static void note(int signal_number)
{
    (void)signal_number;
    asks_to_stop = asks_to_stop % 100 + 1; /* never 0 again, and never too large */
}

/** A process at work. */
struct job {
    pid_t pid; /* 0: none */
    int index;
    double start_s;
    struct sweep_mark before;
};

struct work {
    const struct sweep *sweep;
    const struct sweep_options *options;
    struct sweep_entry *entries;
    struct log *log;
    struct job jobs[SWEEP_MAX_JOBS];
    int processors[SWEEP_MAX_PROCESSORS];
    int n_processors;
    int next;           /* run to start next */
    int n_signals_sent; /* of those noted, passed on */
    double start_s, look_s, tell_s;
    enum error_kind failure; /* of the first run that failed */
    bool has_stopped;        /* a run stopped early */
};

/** How a run stands by now. */
static struct sweep_entry *look_at(struct work *work, int index)
{
    struct sweep_run run;
    if (sweep_make_run(&run, work->sweep, index, work->options, NULL)) {
        sweep_refresh(&work->entries[index], run.dir);
    }
    return &work->entries[index];
}

static void tell_held(struct work *work, int index)
{
    log_write(work->log, LOG_INFO, "%s is at work elsewhere", work->sweep->names[index]);
}

/** Whether a run is somebody else's: done by now, or in other hands. */
static bool is_taken(struct work *work, int index)
{
    const struct sweep_entry *entry = look_at(work, index);
    if (entry->is_held) {
        tell_held(work, index);
    }
    return entry->is_held || entry->state == SWEEP_DONE;
}

/** No process where the run is taken. */
static bool start(struct work *work, int slot, int index, struct error *err)
{
    struct sweep_run run;
    const char *command[SWEEP_COMMAND_WORDS];
    const struct sweep_share share = {work->processors, work->n_processors, slot,
                                      work->options->n_jobs};
    pid_t pid = 0;
    if (!sweep_make_run(&run, work->sweep, index, work->options, err)) {
        return false;
    }
    if (is_taken(work, index)) {
        return true;
    }
    sweep_make_command(command, work->sweep, &run, work->options);
    const struct sweep_mark before = sweep_mark_folder(run.dir);
    if (!sweep_start_process(&pid, command, run.dir, &share, err)) {
        return false;
    }
    work->jobs[slot] = (struct job){pid, index, clock_monotonic_s(), before};
    work->entries[index].is_running = true;
    work->entries[index].exit_code = 0;
    return true;
}

/** Ranks of several launchers side by side must not be bound to the same processors: each launcher
 * would begin with the first. They share what their job is bound to instead. */
static void let_launchers_share(const struct work *work)
{
    if (work->sweep->n_launch > 0 && work->options->n_jobs > 1) {
        setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 0);
    }
}

/** What is left is told by what this sitting has done so far. */
static void describe_progress(char text[SWEEP_PROGRESS_BYTES], const struct work *work)
{
    double here = 0.0;
    for (int i = 0; i < work->sweep->n_runs; i++) {
        here += sweep_flops_here(&work->entries[i]);
    }
    sweep_describe_progress(text, work->entries, false, work->sweep->n_runs,
                            clock_monotonic_s() - work->start_s, here);
}

static void look_again(struct work *work)
{
    for (int slot = 0; slot < work->options->n_jobs; slot++) {
        if (work->jobs[slot].pid != 0) {
            look_at(work, work->jobs[slot].index);
        }
    }
    work->look_s = clock_monotonic_s();
}

static void show_progress(struct work *work)
{
    char text[SWEEP_PROGRESS_BYTES];
    if (clock_monotonic_s() - work->look_s >= LOOK_S) {
        look_again(work);
        describe_progress(text, work);
        log_progress(work->log, "%s", text);
    }
    if (!work->log->terminal && clock_monotonic_s() - work->tell_s >= TELL_S) {
        describe_progress(text, work);
        log_write(work->log, LOG_INFO, "%s", text);
        work->tell_s = clock_monotonic_s();
    }
}

/** The exit codes of a run that are failures of it; what else a launcher says is one of the launch.
 * A guard's is also what many programs end with that have found nothing to start. */
static enum error_kind failure_of(int code, bool says_failed)
{
    switch (code) {
    case ERROR_GUARD:
        return says_failed ? ERROR_GUARD : ERROR_LAUNCH;
    case ERROR_DATA:
    case ERROR_NO_INPUT:
    case ERROR_INTERNAL:
    case ERROR_CREATE:
    case ERROR_IO:
    case ERROR_CONFIG:
        return (enum error_kind)code;
    default:
        return ERROR_LAUNCH;
    }
}

static void tell_end(struct work *work, const struct sweep_entry *entry,
                     const struct sweep_run *run, double took_s, const char *words)
{
    const char *name = run->name;
    char progress[SWEEP_PROGRESS_BYTES], took[CLOCK_DURATION_BYTES];
    clock_format_duration(took_s, took);
    describe_progress(progress, work);
    work->tell_s = clock_monotonic_s();
    if (entry->exit_code == 0) {
        char loss[64] = "";
        if (isfinite(entry->val_loss)) {
            snprintf(loss, sizeof loss, "val loss %.4f, ", entry->val_loss);
        }
        log_write(work->log, LOG_INFO, "%s done: %s%s; %s", name, loss, took, progress);
    } else if (entry->exit_code == ERROR_EARLY) {
        log_write(work->log, LOG_INFO, "%s stopped after step %lld of %lld; %s", name,
                  (long long)entry->step, (long long)entry->n_steps, progress);
    } else {
        log_write(work->log, LOG_ERROR, "%s failed with %d (see %s/output.txt): %s; %s", name,
                  entry->exit_code, run->dir, words, progress);
    }
}

static void end(struct work *work, struct job *job, int status)
{
    struct sweep_entry *entry = &work->entries[job->index];
    struct sweep_run run;
    const bool made = sweep_make_run(&run, work->sweep, job->index, work->options, NULL);
    assert(made && "it was made before");
    const double took_s = clock_monotonic_s() - job->start_s;
    entry->is_running = false;
    entry->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    sweep_refresh(entry, run.dir);
    if (entry->exit_code == ERROR_CREATE && entry->is_held) {
        entry->exit_code = 0; /* somebody else came first by a moment */
        tell_held(work, job->index);
        *job = (struct job){0};
        return;
    }
    if (entry->exit_code == 0 && entry->state != SWEEP_DONE) {
        entry->exit_code = ERROR_LAUNCH; /* what was launched was no run, or not all of it */
    }
    /* The signal kills a run that has not begun to listen, and mpirun then says 128 and its number;
     * what was saved stands. */
    if (asks_to_stop != 0 && entry->exit_code > 128) {
        entry->exit_code = ERROR_EARLY;
    }
    char words[SWEEP_WORDS_BYTES];
    const bool says_failed = sweep_find_reason(words, run.dir, &job->before);
    if (entry->exit_code == ERROR_EARLY) {
        work->has_stopped = true;
    } else if (entry->exit_code != 0 && work->failure == ERROR_NONE) {
        work->failure = failure_of(entry->exit_code, says_failed);
    }
    *job = (struct job){0};
    tell_end(work, entry, &run, took_s, words);
}

static bool find_next(struct work *work)
{
    while (work->next < work->sweep->n_runs && work->entries[work->next].state == SWEEP_DONE) {
        work->next++;
    }
    return work->next < work->sweep->n_runs && asks_to_stop == 0;
}

/** A run whose process cannot be started has failed like one that ended badly. */
static void start_next(struct work *work, int slot)
{
    struct error err = {0};
    const int index = work->next++;
    if (!start(work, slot, index, &err)) {
        work->entries[index].exit_code = (int)err.kind;
        work->failure = work->failure == ERROR_NONE ? err.kind : work->failure;
        log_write(work->log, LOG_ERROR, "%s", err.message);
    } else if (work->jobs[slot].pid != 0) {
        log_write(work->log, LOG_INFO, "%s begins (run %d of %d%s)", work->sweep->names[index],
                  index + 1, work->sweep->n_runs,
                  work->entries[index].state == SWEEP_BEGUN ? ", taken on" : "");
    }
}

static void pass_signals_on(struct work *work)
{
    if (asks_to_stop == work->n_signals_sent) {
        return;
    }
    work->n_signals_sent = asks_to_stop;
    log_write(work->log, LOG_INFO, "asked to stop: the runs at work save first");
    for (int slot = 0; slot < work->options->n_jobs; slot++) {
        if (work->jobs[slot].pid != 0) {
            kill(work->jobs[slot].pid, SIGUSR1);
        }
    }
}

/** One look at every job. Returns how many are at work. */
static int attend(struct work *work)
{
    int n_busy = 0;
    pass_signals_on(work);
    for (int slot = 0; slot < work->options->n_jobs; slot++) {
        struct job *job = &work->jobs[slot];
        int status = 0;
        if (job->pid != 0 && waitpid(job->pid, &status, WNOHANG) == job->pid) {
            end(work, job, status);
        }
        if (job->pid == 0 && find_next(work)) {
            start_next(work, slot);
        }
        n_busy += job->pid != 0;
    }
    return n_busy;
}

static bool conclude(struct work *work, struct error *err)
{
    int n_done = 0, n_failed = 0, n_elsewhere = 0;
    for (int i = 0; i < work->sweep->n_runs; i++) {
        const struct sweep_entry *entry = &work->entries[i];
        if (entry->is_held) {
            look_at(work, i);
        }
        n_elsewhere += entry->is_held;
        n_done += entry->state == SWEEP_DONE && !entry->is_held;
        n_failed += entry->exit_code != 0 && entry->exit_code != ERROR_EARLY;
    }
    if (work->has_stopped || (asks_to_stop != 0 && n_done + n_failed < work->sweep->n_runs)) {
        return error_set(err, ERROR_EARLY,
                         "%d of %d runs are done; the same command goes on with the others", n_done,
                         work->sweep->n_runs);
    }
    if (work->failure != ERROR_NONE) {
        return error_set(err, work->failure,
                         "%d of %d runs failed; the same command tries them again", n_failed,
                         work->sweep->n_runs);
    }
    if (n_elsewhere > 0) {
        return error_set(err, ERROR_EARLY,
                         "%d of %d runs are done, and %d at work elsewhere; the same command tells "
                         "how they ended",
                         n_done, work->sweep->n_runs, n_elsewhere);
    }
    /* Who was at work elsewhere may have ended without being done. */
    return n_done == work->sweep->n_runs ||
           error_set(err, ERROR_EARLY,
                     "%d of %d runs are done; the same command goes on with the others", n_done,
                     work->sweep->n_runs);
}

bool sweep_run_all(struct sweep_entry *entries, const struct sweep *sweep,
                   const struct sweep_options *options, struct log *log, struct error *err)
{
    struct work work = {.sweep = sweep,
                        .options = options,
                        .entries = entries,
                        .log = log,
                        .start_s = clock_monotonic_s()};
    assert(options->n_jobs >= 1 && options->n_jobs <= SWEEP_MAX_JOBS);
    const int n_allowed = launch_count_processors();
    work.n_processors = kernels_find_processors(work.processors, SWEEP_MAX_PROCESSORS);
    work.n_processors = n_allowed < work.n_processors ? n_allowed : work.n_processors;
    work.tell_s = work.start_s;
    signal(SIGCHLD, SIG_DFL); /* ignored, as a parent may leave it, no end could be waited for */
    sweep_handle_signals(note);
    let_launchers_share(&work);
    while (attend(&work) > 0 || find_next(&work)) {
        show_progress(&work);
        clock_sleep_s(POLL_S);
    }
    return conclude(&work, err);
}
