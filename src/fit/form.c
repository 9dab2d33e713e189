/* Which losses compare: those of the same data, in the same windows. */
#include "fit_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/text.h>

static const char *skip_dots(const char *path)
{
    while (strncmp(path, "./", 2) == 0 || strncmp(path, "../", 3) == 0) {
        path = strchr(path, '/') + 1;
    }
    return path;
}

/** Whether a path ends in another: /data/novels/val.txt in novels/val.txt. A name without a folder
 * says too little. */
static bool ends_in(const char *path, const char *end)
{
    end = skip_dots(end);
    const size_t length = strlen(path), n = strlen(end);
    return strchr(end, '/') != NULL && n <= length && strcmp(path + length - n, end) == 0 &&
           (n == length || path[length - n - 1] == '/');
}

/** Runs may have been given one file by several paths, and may have been trained elsewhere. */
static bool is_same_data(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) {
        return true;
    }
    if (file_exists(a) && file_exists(b)) {
        return file_is_same(a, b) || file_holds_same(a, b);
    }
    return ends_in(a, b) || ends_in(b, a);
}

/** The settings in which two runs differ, of those that val_loss depends on. */
struct otherness {
    struct text *text;
    int n;
};

static void note_otherness(void *user, const char *key, const char *value_a, const char *value_b,
                           enum config_resume_rule rule)
{
    static const char *const KEYS[] = {"data.kind", "data.task",     "data.tasks",
                                       "data.loss", "model.seq_len", "train.eval_tokens"};
    struct otherness *o = user;
    (void)rule;
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        if (strcmp(key, KEYS[i]) == 0) {
            text_add(o->text, "%s %s is %s, not %s", o->n++ > 0 ? ";" : "", key, value_b, value_a);
        }
    }
}

static const char *shown(const char *path)
{
    return path[0] != '\0' ? path : "\"\"";
}

/** How the loss of b differs from that of a; returns in how many settings. Without data.val
 * data.train is what some is kept of. */
static int compare(struct text *t, const struct config *a, const struct config *b)
{
    struct otherness o = {.text = t};
    config_compare(a, b, note_otherness, &o);
    const bool by_train = a->data.val[0] == '\0' && b->data.val[0] == '\0';
    const char *of_a = by_train ? a->data.train : a->data.val,
               *of_b = by_train ? b->data.train : b->data.val;
    if (!is_same_data(of_a, of_b)) {
        text_add(t, "%s %s is %s, not %s", o.n++ > 0 ? ";" : "",
                 by_train ? "data.train" : "data.val", shown(of_b), shown(of_a));
    }
    return o.n;
}

bool fit_points_find_form(int *form, struct fit_points *points, const char *path,
                          const struct config *config, struct error *err)
{
    for (*form = 0; *form < points->n_forms; ++*form) {
        struct text nothing = {0};
        if (compare(&nothing, points->forms[*form].config, config) == 0) {
            return true;
        }
    }
    struct fit_form *forms = realloc(points->forms, (size_t)(points->n_forms + 1) * sizeof *forms);
    struct config *copy = malloc(sizeof *copy);
    points->forms = forms != NULL ? forms : points->forms;
    if (forms == NULL || copy == NULL) {
        free(copy);
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    *copy = *config;
    forms[points->n_forms++] = (struct fit_form){.config = copy, .path = path};
    return true;
}

void fit_points_drop_forms(struct fit_points *points)
{
    for (int i = 0; i < points->n_forms; i++) {
        free(points->forms[i].config);
    }
    free(points->forms);
    points->forms = NULL;
    points->n_forms = 0;
}

/** The form of most runs, of those with as many the first. */
static int commonest(const struct fit_points *points, int *n_runs)
{
    int best = 0;
    *n_runs = 0;
    for (int form = 0; form < points->n_forms; form++) {
        int n = 0;
        for (int i = 0; i < points->n; i++) {
            n += points->rows[i].line == 0 && points->rows[i].form == form;
        }
        if (n > *n_runs) {
            best = form;
            *n_runs = n;
        }
    }
    return best;
}

bool fit_points_keep_comparable(struct fit_points *points, struct error *err)
{
    int n_runs = 0, n_kept = 0;
    const int best = commonest(points, &n_runs);
    for (int i = 0; i < points->n; i++) {
        const struct fit_point *p = &points->rows[i];
        if (p->line > 0 || p->form == best) {
            points->rows[n_kept++] = *p;
            continue;
        }
        char why[FIT_WHY_BYTES];
        struct text t = {why, sizeof why, 0};
        text_add(&t, "the loss does not compare with that of %d %s, such as %s:", n_runs,
                 n_runs == 1 ? "other" : "others", points->forms[best].path);
        compare(&t, points->forms[best].config, points->forms[p->form].config);
        if (!fit_points_leave_out(points, p->source, why, "", err)) {
            return false;
        }
    }
    points->n = n_kept;
    return true;
}
