/* Whether a checkpoint's tensors are those of another configuration's model. */
#include "checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

struct comparison {
    const char *path;
    struct error *err;
    bool fits;
};

/** These change what is computed with the tensors, not which tensors there are. */
static bool is_free(const char *key)
{
    return strncmp(key, "model.", 6) != 0 || strcmp(key, "model.seq_len") == 0 ||
           strcmp(key, "model.norm_eps") == 0 || strcmp(key, "model.init_std") == 0;
}

static void note_difference(void *user, const char *key, const char *ours, const char *theirs,
                            enum config_resume_rule rule)
{
    (void)rule;
    struct comparison *comparison = user;
    if (!is_free(key)) {
        comparison->fits = false;
        error_add(comparison->err, ERROR_CONFIG, "%s is %s, but %s was saved with %s", key, ours,
                  comparison->path, theirs);
    }
}

bool checkpoint_fits(const struct checkpoint *c, const struct config *config, struct error *err)
{
    struct config *saved = calloc(1, sizeof *saved);
    if (saved == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to read %s", c->path);
    }
    struct comparison comparison = {.path = c->path, .err = err, .fits = true};
    const bool ok =
        config_parse(saved, c->path, c->config_text, strlen(c->config_text), 0, NULL, err);
    if (ok) {
        config_compare(config, saved, note_difference, &comparison);
    }
    free(saved);
    return ok && comparison.fits;
}
