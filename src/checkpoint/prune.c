#include "checkpoint_internal.h"

#include <stdio.h>

struct leftovers {
    const char *parent;
    struct error *err;
    bool ok;
};

/** What a save that was killed has left; the run's lock says that nobody is at work on it. */
static bool remove_if_partial(void *user, const char *name)
{
    struct leftovers *l = user;
    char path[FILE_PATH_BYTES];
    if (checkpoint_is_partial_name(name)) {
        l->ok = file_join(path, l->parent, name, l->err) && file_remove_tree(path, l->err);
    }
    return l->ok;
}

/** A step's folder loses its name before its files, so that a kill leaves it complete or absent. */
static bool disown(const char *run_path, const char *parent, int64_t step, struct error *err)
{
    char path[FILE_PATH_BYTES], partial[FILE_PATH_BYTES], name[FILE_NAME_BYTES];
    checkpoint_partial_name(name, step);
    return checkpoint_step_path(path, run_path, step, err) &&
           file_join(partial, parent, name, err) && file_remove_tree(partial, err) &&
           file_rename(path, partial, err);
}

bool checkpoint_remove_partial(const char *run_path, struct error *err)
{
    char parent[FILE_PATH_BYTES];
    if (!file_join(parent, run_path, "checkpoints", err)) {
        return false;
    }
    struct leftovers l = {.parent = parent, .err = err, .ok = true};
    return file_is_absent(parent) || (file_list(parent, remove_if_partial, &l, err) && l.ok);
}

/** A folder without one is no checkpoint, and must not count as one that stays. */
static bool has_manifest(const char *run_path, int64_t step)
{
    char path[FILE_PATH_BYTES];
    return checkpoint_step_path(path, run_path, step, NULL) &&
           file_join(path, path, "manifest.json", NULL) && file_exists(path);
}

bool checkpoint_set_aside(const char *run_path, struct error *err)
{
    int64_t steps[CHECKPOINT_MOST];
    const int n = checkpoint_list(steps, CHECKPOINT_MOST, run_path, err);
    for (int i = 0; i < n; i++) {
        static const char TAIL[] = ".damaged";
        char path[FILE_PATH_BYTES], aside[FILE_PATH_BYTES + sizeof TAIL];
        if (!checkpoint_step_path(path, run_path, steps[i], err)) {
            return false;
        }
        snprintf(aside, sizeof aside, "%s%s", path, TAIL);
        if (!file_remove_tree(aside, err) || !file_rename(path, aside, err)) {
            return false;
        }
    }
    return n >= 0;
}

bool checkpoint_prune(const char *run_path, int64_t before, int64_t step, int64_t keep,
                      struct error *err)
{
    int64_t steps[CHECKPOINT_MOST];
    char parent[FILE_PATH_BYTES];
    const int n = checkpoint_list(steps, CHECKPOINT_MOST, run_path, err);
    if (n < 0 || !file_join(parent, run_path, "checkpoints", err)) {
        return false;
    }
    int64_t n_kept = 0;
    for (int i = 0; i < n; i++) {
        const bool is_own = steps[i] <= before || steps[i] == step;
        if (is_own && (n_kept < keep || keep == 0)) {
            n_kept += has_manifest(run_path, steps[i]);
        } else if (!disown(run_path, parent, steps[i], err)) {
            return false;
        }
    }
    return checkpoint_remove_partial(run_path, err);
}
