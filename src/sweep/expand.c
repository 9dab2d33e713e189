/* From products of axes to runs. */
#include "sweep_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/rundir.h>

/** The value of axis `axis` (from 0) in the i-th run of a product: the last axis turns fastest. */
static const struct sweep_value *value_of(const struct sweep *sweep,
                                          const struct sweep_product *product, int i, int axis)
{
    for (int a = product->n_axes - 1; a > axis; a--) {
        i /= sweep->axes[product->first_axis + a].n_values;
    }
    const struct sweep_axis *own = &sweep->axes[product->first_axis + axis];
    return &sweep->values[own->first_value + i % own->n_values];
}

bool sweep_name_run(struct sweep *sweep, const struct sweep_product *product, int i)
{
    char *name = sweep->names[product->first_run + i];
    size_t length = 0;
    for (int axis = 0; axis < product->n_axes; axis++) {
        const int n = snprintf(name + length, SWEEP_NAME_BYTES - length, "%s%s",
                               axis == 0 ? "" : "-", value_of(sweep, product, i, axis)->name);
        length += (size_t)n;
        if (length >= SWEEP_NAME_BYTES) {
            return false;
        }
    }
    return true;
}

bool sweep_check_names(const struct sweep *sweep, const char *file, struct error *err)
{
    for (int i = 1; i < sweep->n_runs; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(sweep->names[i], sweep->names[k]) == 0) {
                return error_set(err, ERROR_CONFIG, "%s: runs %d and %d are both called %s", file,
                                 k + 1, i + 1, sweep->names[i]);
            }
        }
    }
    return true;
}

/** What base says of checkpoint.minutes is the user's; one that cannot be read by itself may say
 * something. */
static bool choose_saving(struct sweep *sweep, struct error *err)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a configuration");
    }
    sweep->saves_by_the_clock =
        sweep->base[0] == '\0' ||
        (config_load(config, sweep->base, 0, NULL, NULL) && config->checkpoint.minutes == 0.0);
    free(config);
    return true;
}

bool sweep_load(struct sweep *sweep, const char *path, struct error *err)
{
    struct file_bytes file = {0};
    if (!file_read(&file, path, SWEEP_MAX_FILE_BYTES, err)) {
        return false;
    }
    bool ok = sweep_parse(sweep, path, (const char *)file.bytes, file.length, err);
    file_bytes_finish(&file);
    if (ok && sweep->dir[0] == '\0') {
        ok = rundir_choose(sweep->dir, "auto", path, err);
    }
    const char *slash = strrchr(path, '/');
    if (ok && sweep->base[0] != '\0' && sweep->base[0] != '/' && slash != NULL) {
        char base[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        ok = file_join(base, slash == path ? "/" : folder, sweep->base, err);
        if (ok) {
            memcpy(sweep->base, base, sizeof base);
        }
    }
    return ok && choose_saving(sweep, err);
}

static bool add_words(struct sweep_run *run, int n, const char *const *words, struct error *err)
{
    if (n > SWEEP_RUN_WORDS - 1 - run->n_overrides) { /* one stays for the folder */
        return error_set(err, ERROR_CONFIG, "run %s: more than %d words", run->name,
                         SWEEP_RUN_WORDS - 1);
    }
    for (int i = 0; i < n; i++) {
        run->overrides[run->n_overrides++] = words[i];
    }
    return true;
}

static const struct sweep_product *product_of(const struct sweep *sweep, int index)
{
    const struct sweep_product *product = sweep->products;
    while (index >= product->first_run + product->n_runs) {
        product++;
    }
    return product;
}

bool sweep_make_run(struct sweep_run *run, const struct sweep *sweep, int index,
                    const struct sweep_options *options, struct error *err)
{
    assert(index >= 0 && index < sweep->n_runs);
    const struct sweep_product *product = product_of(sweep, index);
    *run = (struct sweep_run){.name = sweep->names[index]};
    static const char *const FIRST[] = {"checkpoint.minutes=10"};
    if (!file_join(run->dir, sweep->dir, run->name, err) ||
        !add_words(run, sweep->saves_by_the_clock ? 1 : 0, FIRST, err) ||
        !add_words(run, sweep->set.n, sweep->words + sweep->set.first, err)) {
        return false;
    }
    for (int axis = 0; axis < product->n_axes; axis++) {
        const struct sweep_value *value =
            value_of(sweep, product, index - product->first_run, axis);
        if (!add_words(run, value->words.n, sweep->words + value->words.first, err)) {
            return false;
        }
    }
    if (!add_words(run, options->n_overrides, options->overrides, err)) {
        return false;
    }
    snprintf(run->dir_word, sizeof run->dir_word, "run.dir=%s", run->dir);
    run->overrides[run->n_overrides++] = run->dir_word;
    return true;
}

void sweep_make_command(const char *command[SWEEP_COMMAND_WORDS], const struct sweep *sweep,
                        const struct sweep_run *run, const struct sweep_options *options)
{
    int n = 0;
    for (int i = 0; i < sweep->n_launch; i++) {
        command[n++] = sweep->launch[i];
    }
    command[n++] = options->self;
    command[n++] = "train";
    if (sweep->base[0] != '\0') {
        command[n++] = sweep->base;
    }
    for (int i = 0; i < run->n_overrides; i++) {
        command[n++] = run->overrides[i];
    }
    command[n++] = "--resume";
    command[n] = NULL;
}
