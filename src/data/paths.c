#include "data_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool path_has_ending(const char *path, const char *ending)
{
    const size_t length = strlen(path);
    const size_t n = strlen(ending);
    return length > n && strcmp(path + length - n, ending) == 0;
}

static bool add_path(struct path_list *list, const char *path, struct error *err)
{
    if (list->n == list->capacity) {
        const int64_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        void *grown = realloc(list->paths, (size_t)capacity * sizeof *list->paths);
        if (grown == NULL) {
            return error_set(err, ERROR_CREATE, "no memory for the names of %lld files",
                             (long long)capacity);
        }
        list->paths = grown;
        list->capacity = capacity;
    }
    if (strlen(path) >= FILE_PATH_BYTES) {
        return error_set(err, ERROR_CONFIG, "%s: path longer than %d bytes", path,
                         FILE_PATH_BYTES - 1);
    }
    memcpy(list->paths[list->n++], path, strlen(path) + 1);
    return true;
}

/* What a folder's listing is sifted by: a pattern, or else endings. */
struct sieve {
    struct path_list *list;
    const char *folder, *pattern;
    const char *const *endings; /* NULL-terminated */
    struct error *err;
    bool ok;
};

static bool passes(const struct sieve *sieve, const char *name)
{
    if (sieve->pattern != NULL) {
        return fnmatch(sieve->pattern, name, FNM_PERIOD) == 0;
    }
    for (const char *const *ending = sieve->endings; *ending != NULL; ending++) {
        if (path_has_ending(name, *ending) && name[0] != '.') {
            return true;
        }
    }
    return false;
}

static bool visit_name(void *user, const char *name)
{
    struct sieve *sieve = user;
    char path[FILE_PATH_BYTES];
    if (!passes(sieve, name)) {
        return true;
    }
    sieve->ok = file_join(path, sieve->folder, name, sieve->err);
    if (sieve->ok && !file_is_irregular(path)) { /* opening says why it cannot be looked at */
        sieve->ok = add_path(sieve->list, path, sieve->err);
    }
    return sieve->ok;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(a, b);
}

/** gzip -k leaves the text beside its .gz: both are one text, which is not to count twice. */
static bool has_no_copies(const struct path_list *list, struct error *err)
{
    static const char ENDING[] = ".gz";
    for (int64_t i = 0; i < list->n; i++) {
        char plain[FILE_PATH_BYTES];
        memcpy(plain, list->paths[i], sizeof plain);
        if (!path_has_ending(plain, ENDING)) {
            continue;
        }
        plain[strlen(plain) - (sizeof ENDING - 1)] = '\0';
        if (bsearch(plain, list->paths, (size_t)list->n, sizeof *list->paths, compare_paths)) {
            return error_set(err, ERROR_DATA,
                             "%s: stands beside %s, and one text would count twice: remove one of "
                             "them, or choose by a pattern",
                             list->paths[i], plain);
        }
    }
    return true;
}

static bool list_folder(struct path_list *list, const char *folder, const char *pattern,
                        const char *const *endings, struct error *err)
{
    struct sieve sieve = {.list = list,
                          .folder = folder,
                          .pattern = pattern,
                          .endings = endings,
                          .err = err,
                          .ok = true};
    if (!file_list(folder, visit_name, &sieve, err) || !sieve.ok) {
        return false;
    }
    if (list->n > 0) {
        qsort(list->paths, (size_t)list->n, sizeof *list->paths, compare_paths);
    }
    return has_no_copies(list, err);
}

static bool list_pattern(struct path_list *list, const char *path, struct error *err)
{
    char folder[FILE_PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        const size_t length = slash > path ? (size_t)(slash - path) : 1;
        if (length >= sizeof folder) {
            return error_set(err, ERROR_CONFIG, "%s: path longer than %d bytes", path,
                             FILE_PATH_BYTES - 1);
        }
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    if (strpbrk(folder, "*?[") != NULL) {
        return error_set(err, ERROR_CONFIG, "%s: a pattern may stand in the last part only", path);
    }
    return list_folder(list, folder, slash != NULL ? slash + 1 : path, NULL, err);
}

static bool fill(struct path_list *list, const char *path, const char *const *endings,
                 struct error *err)
{
    if (file_is_folder(path)) {
        return list_folder(list, path, NULL, endings, err);
    }
    if (!file_is_absent(path)) {
        return add_path(list, path, err);
    }
    if (strpbrk(path, "*?[") != NULL) {
        return list_pattern(list, path, err);
    }
    return error_set(err, ERROR_NO_INPUT, "%s: no such file, folder or pattern", path);
}

bool path_list_init(struct path_list *list, const char *path, const char *const *endings,
                    struct error *err)
{
    *list = (struct path_list){0};
    bool ok = fill(list, path, endings, err);
    if (ok && list->n == 0) {
        char names[64] = "";
        for (size_t i = 0, at = 0; endings[i] != NULL && at < sizeof names; i++) {
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "",
                                   endings[i]);
        }
        ok = error_set(err, ERROR_NO_INPUT,
                       "%s: no file in it to read (%s; subfolders are not searched)", path, names);
    }
    if (!ok) {
        path_list_finish(list);
    }
    return ok;
}

void path_list_finish(struct path_list *list)
{
    free(list->paths);
    *list = (struct path_list){0};
}
