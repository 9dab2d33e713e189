/* Setting up and ending a run: plan, folder, data, weights or resume, run.json, result. */
#include "train_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/clock.h>
#include <attnres/collective.h>
#include <attnres/heap.h>

/** Times the longest limit of the watch. */
static const double LAST_RESORT = 2.0;

static void log_replicas(struct train *t)
{
    const struct grid *grid = &t->session.plan.grid;
    if (grid->n_replicas == 1) {
        return;
    }
    log_write(
        t->log, LOG_INFO,
        "%d replicas of %d rank%s: a run's numbers depend on the number of replicas, on nothing "
        "else of the grid",
        grid->n_replicas, grid->n_places, grid->n_places == 1 ? "" : "s");
    const int n_split = grid_count_split(grid, t->session.hosts);
    if (n_split > 0) {
        log_write(t->log, LOG_WARNING,
                  "%d of %d pipelines have ranks on several hosts, where neighbours exchange "
                  "messages for every microbatch: fill one host after another (mpirun --map-by "
                  "slot, srun --distribution=block)",
                  n_split, grid->n_replicas);
    } else if (grid->n_places > 1) {
        log_write(t->log, LOG_INFO, "each pipeline's ranks are on one host");
    }
}

/** What is known before the memory is taken: the plan, and what the libraries hold already. */
static void log_plan(struct train *t)
{
    if (!t->is_root) {
        return;
    }
    struct buffer_table table;
    plan_lay_out(&table, &t->session.plan, 0);
    char core[KERNELS_CORE_BYTES];
    kernels_name_core(core, t->session.kernels);
    log_write(
        t->log, LOG_INFO,
        "%s: %" PRId64 " parameters, %d stage%s x %d thread%s, %s, kernels %s, BLAS %s; "
        "planned %.1f MiB on rank 0 "
        "beside %.1f MiB of libraries",
        config_model_kind_name(t->session.config.model.kind), t->session.plan.params.n_parameters,
        t->session.plan.n_stages, t->session.plan.n_stages == 1 ? "" : "s", t->session.n_threads,
        t->session.n_threads == 1 ? "" : "s",
        config_schedule_name(t->session.config.pipeline.schedule), t->session.kernels->level, core,
        (double)table.total_bytes / 1048576.0, (double)t->session.base_bytes / 1048576.0);
    log_replicas(t);
    if (t->session.config.pipeline.cache) {
        log_write(t->log, LOG_INFO, "pipeline.cache is on: %s",
                  t->session.plan.routing.cache
                      ? "a run repeats bit for bit on this grid and partition, but its numbers "
                        "depend on them"
                      : "with one chunk a rank there is nothing to keep, so it changes nothing");
    }
}

bool train_write_status(struct train *t, enum run_state state, const char *reason,
                        struct error *err)
{
    if (watch_has_verdict(t->watch)) {
        return true;
    }
    /* Stopped before the first step, too: --resume begins where this did. */
    const bool is_resumable = state == RUN_STOPPED || (t->saved_step >= 0 && state != RUN_DONE);
    const int64_t step = t->state.step > t->saved_step ? t->state.step : t->saved_step;
    t->folder.save_rate = train_save_rate(t);
    return rundir_write_status(&t->folder, state, reason, is_resumable, step, err);
}

/** Longer than an NFS server keeps the lock of a host that has died (its lease, by default 90 s).
 */
static const double LOCK_WAIT_S = 120.0;

/** A folder that holds a run takes nothing but what goes on from that run: all of it, or a step.
 * One without a checkpoint may be what is left of an attempt to go on from elsewhere. */
static bool check_origin(const struct train *t, struct error *err)
{
    char owner[FILE_PATH_BYTES];
    int64_t newest = 0;
    const char *dir = t->options->resume_from;
    if (!rundir_holds_run(t->run_path)) {
        return true;
    }
    if (dir == NULL) {
        return t->options->resume ||
               error_set(err, ERROR_CONFIG,
                         "%s already holds a run: continue it with --resume, or choose another "
                         "folder with run.dir=...",
                         t->run_path);
    }
    const int n = checkpoint_list(&newest, 1, t->run_path, err);
    if (n <= 0) {
        return n == 0;
    }
    return file_is_same(dir, t->run_path) ||
           (file_join(owner, dir, "../..", NULL) && file_is_same(owner, t->run_path)) ||
           error_set(err, ERROR_CONFIG,
                     "%s already holds a run with checkpoints, and %s is not in it: choose another "
                     "folder with run.dir=..., or go on with what is there by --resume alone",
                     t->run_path, dir);
}

/** Lock first: what the folder holds counts only while nobody else can change it. */
static bool open_folder(struct train *t, struct error *err)
{
    const struct config *config = &t->session.config;
    const bool resumes = t->options->resume || t->options->resume_from != NULL;
    const struct rundir_taking taking = {
        .log = t->log, .wait_s = resumes ? LOCK_WAIT_S : 0.0, .is_stopped = train_signal_arrived};
    char log_path[FILE_PATH_BYTES];
    if (!rundir_choose(t->run_path, config->run.dir, t->options->config_path, err) ||
        !rundir_open(&t->folder, t->run_path, &taking, err)) {
        return false;
    }
    if (!check_origin(t, err)) {
        rundir_close(&t->folder); /* its STATUS stays as it is */
        return false;
    }
    int64_t newest = 0;
    const int n = checkpoint_list(&newest, 1, t->run_path, err);
    if (n < 0) {
        rundir_close(&t->folder);
        return false;
    }
    t->saved_step = n > 0 ? newest : -1;
    struct rundir_status before;
    if (rundir_read_status(&before, t->run_path, NULL)) {
        t->save_rate = before.save_rate;
    }
    struct error failure = {0};
    if (!checkpoint_remove_partial(t->run_path, &failure)) {
        log_write(t->log, LOG_WARNING, "%s", failure.message);
    }
    return watch_clear(t->run_path, err) && train_write_status(t, RUN_STARTING, "", err) &&
           file_join(log_path, t->run_path, "log.txt", err) && log_open_file(t->log, log_path, err);
}

/** The run's folder, chosen and locked by rank 0; every rank learns its path. Collective. */
static bool share_folder(struct train *t, struct error *err)
{
    const bool ok = !t->is_root || open_folder(t, err);
    if (!collective_agree(t->transport, ok, err)) {
        return false;
    }
    transport_broadcast(t->transport, 0, t->run_path, sizeof t->run_path);
    return true;
}

/** From here on somebody looks on. Collective. */
static bool start_watch(struct train *t, struct error *err)
{
    const struct run_config *run = &t->session.config.run;
    const struct watch_options options = {
        .folder = t->run_path,
        .stall_s = run->stall_s,
        .start_s = run->stall_start_s,
        .save_s = run->stall_save_s,
        .n_asked = t->options->stops_on_signals ? train_count_requests : NULL,
        .quiet = t->log->quiet,
    };
    t->watch = watch_start(&options, t->transport, err);
    return collective_agree(t->transport, t->watch != NULL, err);
}

/** The transport's own deadline is for stalls that the watch does not see. */
static void set_last_resort(struct train *t)
{
    const struct run_config *run = &t->session.config.run;
    const bool never = run->stall_s == 0.0 || run->stall_start_s == 0.0 || run->stall_save_s == 0.0;
    const double longest_s = fmax(run->stall_s, fmax(run->stall_start_s, run->stall_save_s));
    transport_set_deadline(t->transport, never ? 0.0 : LAST_RESORT * longest_s);
}

/** Collective. */
static bool make_saver(struct train *t, struct error *err)
{
    const struct checkpoint_config *config = &t->session.config.checkpoint;
    const struct checkpoint_saver_spec spec = {.models = t->session.models,
                                               .transport = t->transport,
                                               .run_path = t->run_path,
                                               .config_text = t->config_text,
                                               .keep = config->keep,
                                               .in_background = config->in_background};
    t->saver = checkpoint_saver_create(&spec, err);
    return collective_agree(t->transport, t->saver != NULL, err);
}

/** Rank 0 compares how long the ranks compute. */
static void make_rank_times(struct train *t)
{
    const size_t n = (size_t)grid_size(&t->session.plan.grid);
    if (t->is_root) {
        t->compute_s = heap_take(3 * n, sizeof *t->compute_s, "how long ranks compute");
        t->step_compute_s = t->compute_s + n;
        t->sorted_s = t->step_compute_s + n;
    }
}

/** The launch check, which looks at the folder that the run will take. Collective. */
static bool check_launch(struct train *t, struct error *err)
{
    char path[FILE_PATH_BYTES];
    const bool chosen =
        t->is_root && rundir_choose(path, t->session.config.run.dir, t->options->config_path, NULL);
    return session_require_launch(&t->session, chosen ? path : NULL, false, err);
}

/** As it resolved, but for run.dir: a run's folder is where its config.yaml lies, also when it is
 * moved. */
static void dump_config(struct train *t)
{
    struct run_config *run = &t->session.config.run;
    char dir[sizeof run->dir];
    memcpy(dir, run->dir, sizeof dir);
    snprintf(run->dir, sizeof run->dir, "auto");
    const size_t length =
        config_dump(&t->session.config, false, t->config_text, sizeof t->config_text);
    assert(length < sizeof t->config_text && "a configuration is small");
    memcpy(run->dir, dir, sizeof dir);
}

/** What a run would refuse at its start, found without taking its folder or its memory. Collective.
 */
static bool rehearse(struct train *t, struct error *err)
{
    if (!train_share_data(t, err)) {
        return false;
    }
    train_print_plan(t);
    if (!session_check_memory(&t->session, err) || !check_launch(t, err)) {
        return false;
    }
    const bool has_folder = t->is_root && rundir_choose(t->run_path, t->session.config.run.dir,
                                                        t->options->config_path, NULL);
    const bool ok = collective_agree(t->transport, !has_folder || check_origin(t, err), err);
    transport_broadcast(t->transport, 0, t->run_path, sizeof t->run_path);
    return ok && train_rehearse_start(t, err);
}

static bool set_up(struct train *t, const struct config *config, struct error *err)
{
    if (!session_plan(&t->session, config, t->transport, t->log, PLAN_TRAIN, err)) {
        return false;
    }
    log_plan(t);
    if (t->options->dry_run) {
        return rehearse(t, err);
    }
    dump_config(t);
    if (!session_check_memory(&t->session, err) || !check_launch(t, err) || !share_folder(t, err) ||
        !start_watch(t, err) || !train_share_data(t, err) || !session_start(&t->session, err) ||
        !make_saver(t, err)) {
        return false;
    }
    set_last_resort(t);
    make_rank_times(t);
    if (!train_start_state(t, err)) {
        return false;
    }
    deflation_choose(&t->session.engine, t->session.hosts, t->log);
    return train_open_records(t, err) && train_start_trace(t, err);
}

/** What the folder says when the run ends in whatever way. */
static void close_folder(struct train *t, bool ok, const struct error *err)
{
    if (!t->is_root || t->folder.path[0] == '\0') {
        return;
    }
    struct error failure = {0};
    if (t->metrics_open && !metrics_close(&t->metrics, &failure)) {
        log_write(t->log, LOG_WARNING, "%s", failure.message);
    }
    if ((ok || t->result->stopped) && !rundir_remove_stop(&t->folder, &failure)) {
        log_write(t->log, LOG_WARNING, "%s", failure.message);
    }
    const enum run_state state =
        ok ? RUN_DONE : (err->kind == ERROR_EARLY ? RUN_STOPPED : RUN_FAILED);
    const char *reason = err->message[0] != '\0' ? err->message : RUNDIR_TOLD_ELSEWHERE;
    if (!train_write_status(t, state, ok ? "" : reason, &failure)) {
        log_write(t->log, LOG_WARNING, "%s", failure.message);
    }
    rundir_close(&t->folder);
}

static void say_how_to_stop(struct train *t)
{
    if (t->is_root && t->log->terminal) {
        log_write(t->log, LOG_INFO,
                  "to stop and save: touch %s/STOP, or send USR1 to mpirun or to this rank (kill "
                  "-USR1 %ld); Ctrl-C under mpirun kills within about two seconds and keeps what "
                  "was saved before",
                  t->run_path, (long)getpid());
    }
}

bool train_run(struct train_result *result, const struct config *config,
               const struct train_options *options, struct transport *transport, struct log *log,
               struct error *err)
{
    struct train *t = heap_take(1, sizeof *t, "the training");
    *result = (struct train_result){
        .loss = NAN, .grad_norm = NAN, .val_loss = NAN, .order1_entropy = NAN};
    t->options = options;
    t->transport = transport;
    t->log = log;
    t->is_root = transport_rank(transport) == 0;
    t->folder.lock_fd = -1;
    t->saved_step = -1;
    t->result = result;
    t->start_s = clock_monotonic_s();
    bool ok = !options->stops_on_signals || train_install_signals(err);
    ok = collective_agree(transport, ok, err) && set_up(t, config, err);
    if (ok && !options->dry_run) {
        say_how_to_stop(t);
        const double start_s = clock_monotonic_s();
        ok = train_loop(t, err);
        t->loop_s = clock_monotonic_s() - start_s;
        journal_set_phase(transport_journal(t->transport), JOURNAL_ENDING);
        train_summarize(t);
        train_finish_trace(t);
        ok = ok && train_conclude(t, err);
    }
    result->step = t->state.step;
    result->n_tokens = t->state.tokens;
    result->time_s = train_spent_s(t);
    snprintf(result->run_path, sizeof result->run_path, "%s", t->run_path);
    close_folder(t, ok, err);
    checkpoint_saver_destroy(t->saver);
    watch_stop(t->watch);
    data_close(t->train_data);
    data_close(t->val_data);
    session_finish(&t->session);
    free(t->compute_s);
    free(t);
    return ok;
}
