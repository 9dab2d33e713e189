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

bool checkpoint_prune(const char *run_path, int64_t step, int64_t keep, struct error *err)
{
    enum { MOST = 4096 };
    int64_t steps[MOST];
    char path[FILE_PATH_BYTES];
    const int n = checkpoint_list(steps, MOST, run_path);
    int64_t n_kept = 0;
    for (int i = 0; i < n; i++) {
        if (steps[i] <= step && n_kept < keep) {
            n_kept++;
        } else if (!checkpoint_step_path(path, run_path, steps[i], err) ||
                   !file_remove_tree(path, err)) {
            return false;
        }
    }
    struct leftovers l = {.parent = path, .err = err, .ok = true};
    return file_join(path, run_path, "checkpoints", err) &&
           file_list(path, remove_if_partial, &l, err) && l.ok;
}
