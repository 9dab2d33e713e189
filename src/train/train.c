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

/** Bytes of text looked at for the order-1 entropy. */
enum { ENTROPY_BYTES = 1 << 20 };

/** Times the longest limit of the watch. */
static const double LAST_RESORT = 2.0;

/** Room for a text about the run's stages. */
static size_t text_bytes(const struct train *t)
{
    enum { FIXED = 1 << 16, PER_STAGE = 1 << 10 };
    return FIXED + (size_t)t->session.plan.n_stages * PER_STAGE;
}

/** What is known before the memory is taken: the plan, and what the libraries hold already. */
static void log_plan(struct train *t)
{
    if (!t->is_root) {
        return;
    }
    struct buffer_table table;
    plan_lay_out(&table, &t->session.plan, 0);
    log_write(t->log, LOG_INFO,
              "%s: %" PRId64 " parameters, %d stage%s x %d thread%s, %s, kernels %s, BLAS %s; "
              "planned %.1f MiB on rank 0 "
              "beside %.1f MiB of libraries",
              config_model_kind_name(t->session.config.model.kind),
              t->session.plan.params.n_parameters, t->session.plan.n_stages,
              t->session.plan.n_stages == 1 ? "" : "s", t->session.n_threads,
              t->session.n_threads == 1 ? "" : "s",
              config_schedule_name(t->session.config.pipeline.schedule), t->session.kernels->level,
              kernels_blas_core(), (double)table.total_bytes / 1048576.0,
              (double)t->session.base_bytes / 1048576.0);
    if (t->session.config.pipeline.cache) {
        log_write(
            t->log, LOG_INFO,
            "pipeline.cache is on: a run repeats bit for bit on this grid and partition, but its "
            "numbers depend on them");
    }
}

bool train_write_status(struct train *t, enum run_state state, const char *reason,
                        struct error *err)
{
    if (watch_has_verdict(t->watch)) {
        return true;
    }
    const bool is_resumable = t->saved_step >= 0 && state != RUN_DONE;
    const int64_t step = t->state.step > t->saved_step ? t->state.step : t->saved_step;
    return rundir_write_status(&t->folder, state, reason, is_resumable, step, err);
}

/** Lock first: what the folder holds counts only while nobody else can change it. */
static bool open_folder(struct train *t, struct error *err)
{
    const struct config *config = &t->session.config;
    char log_path[FILE_PATH_BYTES];
    if (!rundir_choose(t->run_path, config->run.dir, t->options->config_path, false, err) ||
        !rundir_open(&t->folder, t->run_path, err)) {
        return false;
    }
    const bool resumes = t->options->resume || t->options->resume_from != NULL;
    if (rundir_holds_run(t->run_path) && !resumes) {
        rundir_close(&t->folder); /* its STATUS stays as it is */
        return error_set(err, ERROR_CONFIG,
                         "%s already holds a run: continue it with --resume, or choose another "
                         "folder with run.dir=...",
                         t->run_path);
    }
    int64_t newest = 0;
    t->saved_step = checkpoint_list(&newest, 1, t->run_path) > 0 ? newest : -1;
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

/** Rank 0 compares how long the ranks compute. */
static bool make_rank_times(struct train *t, struct error *err)
{
    const size_t n = (size_t)t->session.plan.n_ranks;
    if (!t->is_root) {
        return true;
    }
    t->compute_s = calloc(3 * n, sizeof *t->compute_s);
    if (t->compute_s == NULL) {
        return error_set(err, ERROR_CREATE, "no memory at start-up");
    }
    t->step_compute_s = t->compute_s + n;
    t->sorted_s = t->step_compute_s + n;
    return true;
}

static bool open_data(struct train *t, struct error *err)
{
    const struct config *config = &t->session.config;
    const struct plan_rank *own = &t->session.plan.ranks[transport_rank(t->transport)];
    if (!own->has_first && !own->has_last) {
        return true;
    }
    if (!data_open(&t->train_data, &config->data, DATA_TRAIN, config->run.seed,
                   config->model.seq_len, config->model.vocab, err)) {
        return false;
    }
    if (config->train.eval_every == 0) {
        return true;
    }
    return data_open(&t->val_data, &config->data, DATA_VAL, config->run.seed, config->model.seq_len,
                     config->model.vocab, err);
}

/** Both ends must see the same files: one reads the inputs of a window, the other its targets. */
static bool check_same_data(const struct train *t, struct error *err)
{
    if (t->train_data == NULL) {
        return true;
    }
    const int64_t n_tokens = data_size_tokens(t->train_data);
    const int64_t n_val = t->val_data != NULL ? data_in_order_count(t->val_data, false) : 0;
    if (n_tokens == t->state.data_tokens && (n_val < 0 || n_val >= t->n_val_windows)) {
        return true;
    }
    return error_set(err, ERROR_DATA,
                     "the data here has %" PRId64 " training tokens and %" PRId64
                     " validation windows; rank 0 sees %" PRId64 " and at least %" PRId64
                     ": data.train and data.val must name the same files on all hosts",
                     n_tokens, n_val, t->state.data_tokens, t->n_val_windows);
}

/** Open the data where it is needed and agree on what of it concerns all. Collective. */
static bool share_data(struct train *t, struct error *err)
{
    if (!collective_agree(t->transport, open_data(t, err), err)) {
        return false;
    }
    if (t->is_root) {
        const int64_t T = t->session.config.model.seq_len;
        const int64_t wanted = (t->session.config.train.eval_tokens + T - 1) / T;
        const int64_t there = t->val_data != NULL ? data_in_order_count(t->val_data, false) : 0;
        t->n_val_windows = there >= 0 && there < wanted ? there : wanted;
        t->counts_bytes = data_is_bytes(t->train_data);
        t->state.data_tokens = data_size_tokens(t->train_data);
        if (t->n_val_windows == 0 && t->session.config.train.eval_every > 0) {
            log_write(t->log, LOG_WARNING,
                      "nothing is evaluated: there is no window of validation data (data.val)");
        }
        log_write(t->log, LOG_INFO, "data: %.1f MiB of memory for the training split",
                  (double)data_memory_bytes(t->train_data) / 1048576.0);
    }
    transport_broadcast(t->transport, 0, &t->n_val_windows, sizeof t->n_val_windows);
    transport_broadcast(t->transport, 0, &t->state.data_tokens, sizeof t->state.data_tokens);
    return collective_agree(t->transport, check_same_data(t, err), err);
}

/** What the comparison of two configurations on resume found. */
struct differences {
    struct log *log;
    struct error *err;
    const char *path;
    bool refused;
};

static void note_difference(void *user, const char *key, const char *ours, const char *theirs,
                            enum config_resume_rule rule)
{
    struct differences *d = user;
    if (rule == CONFIG_RESUME_WARN && d->log->rank == 0) {
        log_write(d->log, LOG_WARNING, "%s is %s, was %s in %s", key, ours, theirs, d->path);
    } else if (rule == CONFIG_RESUME_REFUSE) {
        d->refused = true;
        error_add(d->err, ERROR_CONFIG,
                  "%s is %s, but %s was saved with %s; it cannot change on resume", key, ours,
                  d->path, theirs);
    }
}

static bool check_config(const struct train *t, const struct checkpoint *c, struct error *err)
{
    struct config *saved = calloc(1, sizeof *saved);
    if (saved == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to read %s", c->path);
    }
    bool ok = config_parse(saved, c->path, c->config_text, strlen(c->config_text), 0, NULL, err);
    if (ok) {
        struct differences d = {.log = t->log, .err = err, .path = c->path};
        config_compare(&t->session.config, saved, note_difference, &d);
        ok = !d.refused;
    }
    free(saved);
    return ok;
}

/** Other kernels round differently: the run goes on, but not bit for bit as it would have. */
static void warn_of_other_bits(const struct train *t, const struct checkpoint *c)
{
    const char *level = t->session.kernels->level, *core = kernels_blas_core();
    if (t->is_root && (strcmp(level, c->kernels) != 0 || strcmp(core, c->blas_core) != 0)) {
        log_write(t->log, LOG_WARNING,
                  "%s was saved with kernels %s, BLAS %s; here they are %s, %s: the last bits will "
                  "differ from a run without interruption",
                  c->path, c->kernels, c->blas_core, level, core);
    }
}

/** Load everything of one checkpoint on this rank. The caller takes the state over once all ranks
 * have loaded: those that failed may go on without it. */
static bool load(struct checkpoint_state *state, const struct train *t, const char *step_path,
                 struct error *err)
{
    struct checkpoint c;
    if (!checkpoint_open(&c, step_path, err)) {
        return false;
    }
    bool ok = check_config(t, &c, err);
    if (ok && c.state.data_tokens != t->state.data_tokens) {
        ok = error_set(err, ERROR_CONFIG,
                       "the training data has %" PRId64 " tokens, it had %" PRId64
                       " when %s was saved",
                       t->state.data_tokens, c.state.data_tokens, step_path);
    }
    if (ok && t->train_data != NULL && !data_position_is_valid(t->train_data, &c.state.position)) {
        ok = error_set(err, ERROR_DATA, "%s: the data position is not one of this data", step_path);
    }
    ok = ok && checkpoint_load(&c, t->session.models, true, err);
    if (ok) {
        warn_of_other_bits(t, &c);
    }
    *state = c.state;
    checkpoint_close(&c);
    return ok;
}

/** A checkpoint that is damaged may be passed over for an older one; a configuration that differs
 * may not. */
static bool may_fall_back(const struct error *err)
{
    return err->kind == ERROR_DATA || err->kind == ERROR_IO || err->kind == ERROR_NO_INPUT;
}

/** The newest checkpoint of the run's folder that loads on all ranks. Collective; *found says
 * whether there was one. */
static bool load_newest(struct train *t, bool *found, struct error *err)
{
    enum { MOST = 64 };
    int64_t steps[MOST] = {0};
    int32_t n = t->is_root ? checkpoint_list(steps, MOST, t->run_path) : 0;
    transport_broadcast(t->transport, 0, &n, sizeof n);
    transport_broadcast(t->transport, 0, steps, sizeof steps);
    *found = false;
    for (int i = 0; i < n; i++) {
        char path[FILE_PATH_BYTES];
        struct checkpoint_state state;
        struct error failure = {0};
        const bool ok = checkpoint_step_path(path, t->run_path, steps[i], &failure) &&
                        load(&state, t, path, &failure);
        if (collective_agree(t->transport, ok, &failure)) {
            t->state = state;
            *found = true;
            return true;
        }
        if (!may_fall_back(&failure)) {
            *err = failure;
            return false;
        }
        if (failure.message[0] != '\0') {
            log_write(t->log, LOG_WARNING, "%s", failure.message);
        }
        if (t->is_root) {
            log_write(t->log, LOG_WARNING, "the checkpoint of step %" PRId64 " cannot be used%s",
                      steps[i], i + 1 < n ? "; trying the one before it" : "");
        }
    }
    return true;
}

/** Initial weights: drawn, or taken from another run's checkpoint (train.init). */
static bool start_weights(struct train *t, struct error *err)
{
    const char *init = t->session.config.train.init;
    for (int chunk = 0; chunk < t->session.plan.n_chunks; chunk++) {
        model_draw_weights(&t->session.models[chunk], t->session.config.run.seed);
    }
    if (strcmp(init, "none") == 0) {
        return true;
    }
    char path[FILE_PATH_BYTES];
    struct checkpoint c;
    if (!checkpoint_find(path, init, err) || !checkpoint_open(&c, path, err)) {
        return false;
    }
    const bool ok = checkpoint_load(&c, t->session.models, false, err);
    checkpoint_close(&c);
    return ok;
}

/** Clear what a failed attempt to load may have left. */
static void clear_moments(struct train *t)
{
    const struct memory *memory = &t->session.memory;
    memset(memory_buffer(memory, BUFFER_EXP_AVG, 0), 0, memory_slot_bytes(memory, BUFFER_EXP_AVG));
    memset(memory_buffer(memory, BUFFER_EXP_AVG_SQ, 0), 0,
           memory_slot_bytes(memory, BUFFER_EXP_AVG_SQ));
}

/** Checkpoints behind the step that the run goes on from stay until the next one is saved. */
static void warn_of_later_checkpoints(struct train *t)
{
    int64_t newest = 0;
    if (checkpoint_list(&newest, 1, t->run_path) == 1 && newest > t->state.step) {
        log_write(t->log, LOG_WARNING,
                  "%s has checkpoints up to step %" PRId64 "; those beyond step %" PRId64
                  " are removed when this run saves its next one",
                  t->run_path, newest, t->state.step);
    }
}

/** Weights, moments and position: from a checkpoint or fresh. Collective. */
static bool start_state(struct train *t, struct error *err)
{
    bool found = false;
    if (t->options->resume_from != NULL) {
        char path[FILE_PATH_BYTES];
        struct checkpoint_state state;
        const bool ok =
            checkpoint_find(path, t->options->resume_from, err) && load(&state, t, path, err);
        if (!collective_agree(t->transport, ok, err)) {
            return false;
        }
        t->state = state;
        found = true;
    } else if (t->options->resume && !load_newest(t, &found, err)) {
        return false;
    }
    t->resumed = found;
    t->saved_step = found ? t->state.step : -1;
    watch_note_saved(t->watch, t->saved_step);
    if (found) {
        t->time_before_s = t->state.time_s;
        if (t->is_root) {
            log_write(t->log, LOG_INFO, "resuming after step %" PRId64, t->state.step);
            warn_of_later_checkpoints(t);
        }
    } else {
        if (t->options->resume && t->is_root) {
            log_write(t->log, LOG_INFO, "no checkpoint to resume from in %s: starting fresh",
                      t->run_path);
        }
        clear_moments(t);
        if (!collective_agree(t->transport, start_weights(t, err), err)) {
            return false;
        }
    }
    t->first_step = t->state.step;
    return true;
}

enum { HOST_BYTES = 64 };

static size_t write_run_json(const struct train *t, const char *hosts, char *text, size_t capacity)
{
    const struct train_build *build = &t->options->build;
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_text(&w, "version", build->version);
    json_text(&w, "revision", build->revision);
    json_text(&w, "compiler", build->compiler);
    json_text(&w, "flags", build->flags);
    json_text(&w, "transport", transport_name(t->transport));
    json_text(&w, "blas", kernels_blas_version());
    json_text(&w, "blas_core", kernels_blas_core());
    json_text(&w, "kernels", t->session.kernels->level);
    json_int(&w, "threads", t->session.n_threads);
    json_int(&w, "first_step", t->first_step);
    json_begin_array(&w, "hosts");
    for (int i = 0; i < t->session.plan.n_ranks; i++) {
        json_text(&w, NULL, hosts + (size_t)i * HOST_BYTES);
    }
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_ok(&w) ? w.length : 0;
}

static bool write_texts(struct train *t, const char *hosts, struct error *err)
{
    char *plan = calloc(text_bytes(t), 1);
    char *run = calloc(text_bytes(t), 1);
    bool ok =
        plan != NULL && run != NULL && plan_print_json(&t->session.plan, plan, text_bytes(t)) > 0;
    if (!ok) {
        error_set(err, ERROR_CREATE, "no memory for plan.json");
    }
    const size_t run_length = ok ? write_run_json(t, hosts, run, text_bytes(t)) : 0;
    ok =
        ok &&
        rundir_write_file(&t->folder, "config.yaml", t->config_text, strlen(t->config_text), err) &&
        rundir_write_file(&t->folder, "plan.json", plan, strlen(plan), err) &&
        rundir_write_file(&t->folder, "run.json", run, run_length, err);
    free(plan);
    free(run);
    return ok;
}

/** The folder's texts and metrics.jsonl, cut after the step that the run goes on from. Collective.
 */
static bool open_records(struct train *t, struct error *err)
{
    char host[HOST_BYTES] = "", metrics_path[FILE_PATH_BYTES], parent[FILE_PATH_BYTES];
    gethostname(host, sizeof host - 1);
    char *hosts = calloc((size_t)t->session.plan.n_ranks, HOST_BYTES);
    assert(hosts != NULL);
    collective_gather(t->transport, collective_all(t->transport), 0, host, HOST_BYTES, hosts);
    bool ok = true;
    if (t->is_root) {
        /* These make the folder hold a run; a start that failed before leaves it free. */
        ok = write_texts(t, hosts, err) && file_join(parent, t->run_path, "checkpoints", err) &&
             file_make_folders(parent, err) &&
             file_join(metrics_path, t->run_path, "metrics.jsonl", err) &&
             metrics_open(&t->metrics, metrics_path, t->resumed ? t->state.step : -1, err);
        t->metrics_open = ok;
        ok = ok && train_write_status(t, RUN_TRAINING, "", err);
    }
    free(hosts);
    return collective_agree(t->transport, ok, err);
}

static bool set_up(struct train *t, const struct config *config, struct error *err)
{
    if (!session_plan(&t->session, config, t->transport, t->log, PLAN_TRAIN, err)) {
        return false;
    }
    log_plan(t);
    if (t->options->dry_run) {
        if (!share_data(t, err)) {
            return false;
        }
        train_print_plan(t);
        return session_check_memory(&t->session, err);
    }
    const size_t length =
        config_dump(&t->session.config, false, t->config_text, sizeof t->config_text);
    assert(length < sizeof t->config_text && "a configuration is small");
    if (!session_check_memory(&t->session, err) || !share_folder(t, err) || !start_watch(t, err) ||
        !share_data(t, err) || !session_start(&t->session, err)) {
        return false;
    }
    set_last_resort(t);
    return collective_agree(t->transport, make_rank_times(t, err), err) && start_state(t, err) &&
           open_records(t, err);
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
    const char *reason = err->message[0] != '\0' ? err->message : "see another rank's message";
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

/** The ends of a loop that ran: an early stop, or a last checkpoint that could not be saved. All
 * ranks know the kind; rank 0 tells. */
static bool conclude(struct train *t, struct error *err)
{
    t->result->weights_hash = session_hash_weights(&t->session);
    if (t->options->wants_entropy && t->is_root && t->counts_bytes) {
        t->result->order1_entropy = data_order1_entropy(t->train_data, ENTROPY_BYTES);
    }
    if (!t->save_failed && !t->result->stopped) {
        return true;
    }
    err->kind = t->save_failed ? ERROR_IO : ERROR_EARLY;
    if (!t->is_root) {
        return false;
    }
    if (t->save_failed) {
        return error_set(err, ERROR_IO,
                         "the last checkpoint (step %" PRId64
                         ") could not be saved in %s; --resume goes on from the one before",
                         t->state.step, t->run_path);
    }
    return error_set(err, ERROR_EARLY,
                     "stopped after step %" PRId64 " of %" PRId64 ", saved; continue with --resume",
                     t->state.step, t->session.config.train.n_steps);
}

bool train_run(struct train_result *result, const struct config *config,
               const struct train_options *options, struct transport *transport, struct log *log,
               struct error *err)
{
    struct train *t = calloc(1, sizeof *t);
    assert(t != NULL);
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
    if (options->stops_on_signals) {
        train_install_signals();
    }
    bool ok = set_up(t, config, err);
    if (ok && !options->dry_run) {
        say_how_to_stop(t);
        ok = train_loop(t, err);
        journal_set_phase(transport_journal(t->transport), JOURNAL_ENDING);
        ok = ok && conclude(t, err);
    }
    result->step = t->state.step;
    result->n_tokens = t->state.tokens;
    result->time_s = t->time_before_s + clock_monotonic_s() - t->start_s;
    snprintf(result->run_path, sizeof result->run_path, "%s", t->run_path);
    close_folder(t, ok, err);
    watch_stop(t->watch);
    data_close(t->train_data);
    data_close(t->val_data);
    session_finish(&t->session);
    free(t->compute_s);
    free(t);
    return ok;
}
