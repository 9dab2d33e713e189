/* What a run is to be, and what of it stands in its folder. */
#include "sweep_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/depth.h>
#include <attnres/metrics.h>
#include <attnres/params.h>
#include <attnres/rundir.h>

const char *sweep_state_name(const struct sweep_entry *entry)
{
    static const char *const NAMES[] = {
        [SWEEP_NEW] = "new", [SWEEP_BEGUN] = "begun", [SWEEP_DONE] = "done"};
    return entry->is_running || entry->is_held ? "running"
           : entry->exit_code == ERROR_EARLY   ? "stopped"
           : entry->exit_code != 0             ? "failed"
           : entry->has_failed                 ? "failed"
                                               : NAMES[entry->state];
}

/** Steps and the evaluations after them. */
static double flops_until(const struct sweep_entry *entry, int64_t step)
{
    const int64_t every = entry->eval_every;
    const bool has_last = every > 0 && step == entry->n_steps && step % every != 0;
    const int64_t n_evaluations = every > 0 ? step / every + has_last : 0;
    return entry->flops * (double)step / (double)entry->n_steps +
           entry->eval_flops * (double)n_evaluations;
}

double sweep_flops_all(const struct sweep_entry *entry)
{
    return flops_until(entry, entry->n_steps);
}

double sweep_flops_done(const struct sweep_entry *entry)
{
    const bool still_evaluates = entry->step == entry->n_steps && entry->state != SWEEP_DONE;
    return flops_until(entry, entry->step) - (still_evaluates ? entry->eval_flops : 0.0);
}

double sweep_flops_left(const struct sweep_entry *entry)
{
    const bool has_ended = entry->exit_code != 0 && entry->exit_code != ERROR_EARLY;
    return has_ended || entry->is_held ? 0.0 : sweep_flops_all(entry) - sweep_flops_done(entry);
}

double sweep_flops_here(const struct sweep_entry *entry)
{
    /* One that had its last evaluation before it then has done less than its steps. */
    return fmax(0.0, sweep_flops_done(entry) - flops_until(entry, entry->step_before));
}

static void count_flops(struct sweep_entry *entry, const struct config *config)
{
    const struct depth_plan depth = depth_plan_make(&config->model);
    struct params params;
    params_init(&params, &config->model, &depth);
    const double per_token = params_flops_per_token(&params, &config->model, &depth);
    params_finish(&params);
    entry->flops = per_token * (double)config->train.n_steps *
                   (double)(config->batch.n_sequences * config->model.seq_len);
    /* A forward pass is a third of a step. */
    entry->eval_flops = per_token / 3.0 * (double)config->train.eval_tokens;
    entry->eval_every = config->train.eval_every;
}

/** The first setting that counts in which two configurations differ. */
struct difference {
    char text[512];
};

static void note_difference(void *user, const char *key, const char *value_a, const char *value_b,
                            enum config_resume_rule rule)
{
    struct difference *difference = user;
    if (rule != CONFIG_RESUME_FREE && difference->text[0] == '\0') {
        snprintf(difference->text, sizeof difference->text, "%s %.200s, not %.200s", key, value_a,
                 value_b);
    }
}

/** A folder with another run's configuration must not be taken on, nor count as done. */
static bool check_folder(const struct sweep_run *run, const struct config *config,
                         struct error *err)
{
    char path[FILE_PATH_BYTES];
    if (!file_join(path, run->dir, "config.yaml", err)) {
        return false;
    }
    if (file_is_absent(path)) {
        return true;
    }
    struct config *held = calloc(1, sizeof *held);
    if (held == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    struct difference difference = {{0}};
    const bool is_read = config_load(held, path, 0, NULL, err);
    if (is_read) {
        config_compare(held, config, note_difference, &difference);
    }
    free(held);
    if (is_read && difference.text[0] != '\0') {
        return error_set(err, ERROR_CONFIG,
                         "run %s: %s holds another run, with %s: move it away, or give the sweep "
                         "another dir",
                         run->name, run->dir, difference.text);
    }
    return is_read;
}

void sweep_refresh(struct sweep_entry *entry, const char *dir)
{
    struct rundir_status status;
    char path[FILE_PATH_BYTES];
    entry->state = SWEEP_NEW;
    entry->has_failed = false;
    entry->is_held = !entry->is_running && rundir_is_held(dir);
    entry->step = 0;
    entry->time_s = entry->loss = entry->val_loss = NAN;
    if (!rundir_read_status(&status, dir, NULL)) {
        return;
    }
    entry->step = status.step < 0 ? 0 : status.step > entry->n_steps ? entry->n_steps : status.step;
    entry->state = status.state == RUN_DONE && status.step >= entry->n_steps ? SWEEP_DONE
                   : status.step > 0                                         ? SWEEP_BEGUN
                                                                             : SWEEP_NEW;
    entry->has_failed = status.state == RUN_FAILED;
    entry->step_before = entry->step < entry->step_before ? entry->step : entry->step_before;
    struct metrics_line last;
    if (file_join(path, dir, "metrics.jsonl", NULL) && metrics_read_last(&last, path, NULL)) {
        entry->time_s = last.time_s;
        entry->loss = last.loss;
        entry->val_loss = last.val_loss;
    }
}

static bool look(struct sweep_entry *entry, struct config *config, const struct sweep *sweep,
                 const struct sweep_run *run, struct error *err)
{
    struct error problem = {0};
    if (!config_load(config, sweep->base[0] != '\0' ? sweep->base : NULL, run->n_overrides,
                     run->overrides, &problem)) {
        return error_set(err, problem.kind, "run %s: %s", run->name, problem.message);
    }
    entry->n_steps = config->train.n_steps;
    count_flops(entry, config);
    sweep_refresh(entry, run->dir);
    entry->step_before = entry->step;
    return check_folder(run, config, err);
}

bool sweep_look(struct sweep_entry *entry, const struct sweep *sweep, int index,
                const struct sweep_options *options, struct error *err)
{
    *entry = (struct sweep_entry){0};
    struct sweep_run run;
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    const bool ok =
        sweep_make_run(&run, sweep, index, options, err) && look(entry, config, sweep, &run, err);
    free(config);
    return ok;
}

bool sweep_look_at_all(struct sweep_entry *entries, const struct sweep *sweep,
                       const struct sweep_options *options, struct error *err)
{
    bool ok = true;
    for (int i = 0; i < sweep->n_runs; i++) {
        struct error problem = {0};
        if (!sweep_look(&entries[i], sweep, i, options, &problem)) {
            ok = error_add(err, problem.kind, "%s", problem.message);
        }
    }
    return ok;
}
