/* What a run starts from: weights drawn, taken from another run, or a checkpoint of its own. */
#include "train_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>

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
    const char *level = t->session.kernels->level;
    char core[KERNELS_CORE_BYTES];
    kernels_name_core(core, t->session.kernels);
    if (t->is_root && (strcmp(level, c->kernels) != 0 || strcmp(core, c->blas_core) != 0)) {
        log_write(t->log, LOG_WARNING,
                  "%s was saved with kernels %s, BLAS %s; here they are %s, %s: the last bits will "
                  "differ from a run without interruption",
                  c->path, c->kernels, c->blas_core, level, core);
    }
}

/** Its position and what it has read count in the data that it was trained on. */
static bool check_data(const struct train *t, const struct checkpoint *c, struct error *err)
{
    static const char REMEDY[] =
        "give it as it was, or start a new run from these weights with train.init";
    const struct checkpoint_data *now = &t->state.data, *then = &c->state.data;
    if (now->n_tokens != then->n_tokens) {
        return error_set(err, ERROR_CONFIG,
                         "the training data has %" PRId64 " tokens, it had %" PRId64
                         " when %s was saved: %s",
                         now->n_tokens, then->n_tokens, c->path, REMEDY);
    }
    if (then->crc32 >= 0 && now->crc32 != then->crc32) {
        return error_set(err, ERROR_CONFIG,
                         "the training data is not what it was when %s was saved: as many tokens, "
                         "but others: %s",
                         c->path, REMEDY);
    }
    if (then->sizes_crc32 >= 0 && now->sizes_crc32 != then->sizes_crc32) {
        return error_set(err, ERROR_CONFIG,
                         "the training data is not cut into files as it was when %s was saved: the "
                         "same tokens, but in other windows: %s",
                         c->path, REMEDY);
    }
    if (t->is_root && then->val_crc32 >= 0 && now->val_crc32 >= 0 &&
        now->val_crc32 != then->val_crc32) {
        log_write(t->log, LOG_WARNING,
                  "the validation data is not what it was when %s was saved: val_loss before and "
                  "from now on are of different data",
                  c->path);
    }
    return true;
}

/** Load everything of one checkpoint. The state is taken over if all ranks have loaded. Collective.
 */
static bool load(struct train *t, const char *step_path, struct error *err)
{
    struct checkpoint c;
    if (!checkpoint_open_together(&c, step_path, t->transport, err)) {
        return false;
    }
    bool ok = check_config(t, &c, err) && check_data(t, &c, err);
    struct data_position position = c.state.position;
    if (position.window < 0) { /* saved by a version that could not skip any */
        position.window = c.state.tokens / t->session.config.model.seq_len;
    }
    if (ok && t->train_data != NULL && !data_position_is_valid(t->train_data, &position)) {
        ok = error_set(err, ERROR_DATA, "%s: the data position is not one of this data", step_path);
    }
    ok = ok && checkpoint_load(&c, t->session.models, true, err);
    if (ok) {
        warn_of_other_bits(t, &c);
    }
    ok = collective_agree(t->transport, ok, err);
    if (ok) {
        const struct checkpoint_data data = t->state.data;
        t->state = c.state;
        t->state.data = data;
        t->state.position = position;
    }
    checkpoint_close(&c);
    return ok;
}

/** A checkpoint that is damaged, or cannot be read, may be passed over for an older one; one of
 * another configuration may not, nor one for which memory is missing. */
static bool may_fall_back(const struct error *err)
{
    return err->kind == ERROR_DATA || err->kind == ERROR_IO || err->kind == ERROR_NO_INPUT;
}

/** The steps that rank 0 finds in a run's folder, newest first; -1 on failure, on all ranks. A
 * rank that finds some where rank 0 finds none knows better. Collective. */
static int list_steps(const struct train *t, const char *run_path, int64_t *steps, int most,
                      struct error *err)
{
    const int32_t n_here = checkpoint_list(steps, most, run_path, err);
    int32_t n = n_here;
    transport_broadcast(t->transport, 0, &n, sizeof n);
    transport_broadcast(t->transport, 0, steps, (size_t)most * sizeof steps[0]);
    const bool is_unseen = n == 0 && n_here > 0;
    const bool ok =
        n_here >= 0 && (!is_unseen || error_set(err, ERROR_IO,
                                                "%s/checkpoints holds checkpoints that rank 0 does "
                                                "not see: it must be the same folder on all hosts",
                                                run_path));
    return collective_agree(t->transport, ok, err) ? n : -1;
}

/** Whether rank 0 sees all files of a checkpoint that another rank did not find. Collective. */
static bool is_seen_by_root(const struct train *t, const char *path)
{
    struct checkpoint_contents contents;
    int32_t is_seen = t->is_root && checkpoint_measure(&contents, path, NULL);
    transport_broadcast(t->transport, 0, &is_seen, sizeof is_seen);
    return is_seen != 0;
}

/** The newest checkpoint of a run's folder that loads on all ranks. Collective; *found says
 * whether there was one. Where a rank does not see what rank 0 sees, or reading failed and none
 * loads, whole ones may be there: an error, for a run that goes on from before removes them. */
static bool load_newest(struct train *t, const char *run_path, bool *found, struct error *err)
{
    int64_t steps[CHECKPOINT_MOST] = {0};
    const int n = list_steps(t, run_path, steps, CHECKPOINT_MOST, err);
    if (n < 0) {
        return false;
    }
    *found = false;
    bool is_unread = false;
    for (int i = 0; i < n; i++) {
        char path[FILE_PATH_BYTES];
        struct error failure = {0};
        if (checkpoint_step_path(path, run_path, steps[i], &failure) && load(t, path, &failure)) {
            *found = true;
            return true;
        }
        if (failure.kind == ERROR_NO_INPUT && is_seen_by_root(t, path)) {
            if (failure.message[0] != '\0') { /* the rank that tells */
                error_add(&failure, ERROR_IO,
                          "but rank 0 sees it: %s/checkpoints must be the same folder on all hosts",
                          run_path);
            }
            failure.kind = ERROR_IO;
            *err = failure;
            return false;
        }
        if (!may_fall_back(&failure)) {
            *err = failure;
            return false;
        }
        is_unread = is_unread || failure.kind == ERROR_IO;
        if (failure.message[0] != '\0') {
            log_write(t->log, LOG_WARNING, "%s", failure.message);
        }
        if (t->is_root) {
            log_write(t->log, LOG_WARNING, "the checkpoint of step %" PRId64 " cannot be used%s",
                      steps[i], i + 1 < n ? "; trying the one before it" : "");
        }
    }
    const bool ok = !is_unread || !t->is_root ||
                    error_set(err, ERROR_IO,
                              "%s: no checkpoint could be read, though some may be whole: try "
                              "again, or start afresh in another folder",
                              run_path);
    return collective_agree(t->transport, ok, err);
}

/** The checkpoint of --resume=DIR: DIR, or the newest good one of the run in DIR. Collective. */
static bool load_given(struct train *t, const char *dir, struct error *err)
{
    char path[FILE_PATH_BYTES];
    if (!checkpoint_find_together(path, dir, t->transport, err)) {
        return false;
    }
    int32_t is_step = strcmp(path, dir) == 0;
    transport_broadcast(t->transport, 0, &is_step, sizeof is_step);
    if (is_step) {
        return load(t, path, err);
    }
    bool found = false;
    return load_newest(t, dir, &found, err) &&
           collective_agree(
               t->transport,
               found || !t->is_root ||
                   error_set(err, ERROR_DATA, "%s: none of its checkpoints can be used", dir),
               err);
}

/** Initial weights: drawn, or taken from another run's checkpoint (train.init). Collective. */
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
    if (!checkpoint_find_together(path, init, t->transport, err) ||
        !checkpoint_open_together(&c, path, t->transport, err)) {
        return false;
    }
    const bool ok = checkpoint_load(&c, t->session.models, false, err);
    checkpoint_close(&c);
    return collective_agree(t->transport, ok, err);
}

bool train_rehearse_start(struct train *t, struct error *err)
{
    const struct train_options *options = t->options;
    const char *from = options->resume_from;
    char path[FILE_PATH_BYTES];
    struct checkpoint c;
    if (from == NULL && options->resume && t->run_path[0] != '\0') {
        int64_t newest = 0;
        const int n = list_steps(t, t->run_path, &newest, 1, err);
        if (n < 0) {
            return false;
        }
        from = n > 0 ? t->run_path : NULL;
    }
    if (from == NULL) {
        return true;
    }
    if (!checkpoint_find_together(path, from, t->transport, err) ||
        !checkpoint_open_together(&c, path, t->transport, err)) {
        return false;
    }
    const bool ok =
        collective_agree(t->transport, check_config(t, &c, err) && check_data(t, &c, err), err);
    checkpoint_close(&c);
    return ok;
}

/** Clear what a failed attempt to load may have left. */
static void clear_moments(struct train *t)
{
    const struct memory *memory = &t->session.memory;
    for (enum buffer_id id = BUFFER_EXP_AVG; id <= BUFFER_EXP_AVG_SQ; id++) {
        void *moments = memory_buffer(memory, id, 0);
        if (moments != NULL) { /* a replica may own nothing */
            memset(moments, 0, memory_slot_bytes(memory, id));
        }
    }
}

/** Checkpoints behind the step that the run goes on from stay until the next one is saved. */
static void warn_of_later_checkpoints(struct train *t)
{
    int64_t newest = 0;
    if (checkpoint_list(&newest, 1, t->run_path, NULL) == 1 && newest > t->state.step) {
        const int64_t n_lost = newest - t->state.step;
        log_write(t->log, LOG_WARNING,
                  "%s has checkpoints up to step %" PRId64 ": %" PRId64
                  " step%s lost and done again; those beyond step %" PRId64
                  " are removed when this run saves its next one",
                  t->run_path, newest, n_lost, n_lost == 1 ? " is" : "s are", t->state.step);
    }
}

/** A run that was to go on and cannot: what it had is kept beside what it makes now. Rank 0. */
static bool keep_what_was(const struct train *t, struct error *err)
{
    char metrics[FILE_PATH_BYTES], aside[FILE_PATH_BYTES];
    int64_t newest = 0;
    log_write(t->log, LOG_INFO, "no checkpoint to resume from in %s: starting fresh", t->run_path);
    if (checkpoint_list(&newest, 1, t->run_path, NULL) < 1) {
        return true;
    }
    log_write(t->log, LOG_WARNING,
              "%" PRId64 " steps are lost and done again; what cannot be used is kept in %s, as "
              "checkpoints/step-*.damaged and metrics.before.jsonl",
              newest, t->run_path);
    /* The checkpoints last: without them the next start would not know that metrics are to be kept.
     */
    return file_join(metrics, t->run_path, "metrics.jsonl", err) &&
           file_join(aside, t->run_path, "metrics.before.jsonl", err) &&
           (file_is_absent(metrics) || file_rename(metrics, aside, err)) &&
           checkpoint_set_aside(t->run_path, err);
}

static void say_where_it_resumes(struct train *t)
{
    const int64_t n_steps = t->session.config.train.n_steps;
    if (t->state.step < n_steps) {
        log_write(t->log, LOG_INFO, "resuming after step %" PRId64, t->state.step);
        return;
    }
    log_write(t->log, LOG_INFO,
              "nothing is left to do: the checkpoint is of step %" PRId64
              ", and train.steps is %" PRId64 "; to train on, set train.steps=N beyond %" PRId64,
              t->state.step, n_steps, t->state.step);
}

bool train_start_state(struct train *t, struct error *err)
{
    bool found = false;
    if (t->options->resume_from != NULL) {
        if (!load_given(t, t->options->resume_from, err)) {
            return false;
        }
        found = true;
    } else if (t->options->resume && !load_newest(t, t->run_path, &found, err)) {
        return false;
    }
    t->resumed = found;
    t->saved_step = found ? t->state.step : -1;
    watch_note_saved(t->watch, t->saved_step);
    checkpoint_goes_on_from(t->saver, t->saved_step);
    if (found) {
        t->time_before_s = t->state.time_s;
        if (t->is_root) {
            say_where_it_resumes(t);
            warn_of_later_checkpoints(t);
        }
    } else {
        const bool is_kept = !t->options->resume || !t->is_root || keep_what_was(t, err);
        if (!collective_agree(t->transport, is_kept, err)) {
            return false;
        }
        clear_moments(t);
        if (!start_weights(t, err)) {
            return false;
        }
    }
    t->first_step = t->state.step;
    return true;
}
