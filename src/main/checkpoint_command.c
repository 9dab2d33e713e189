#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/checkpoint.h>
#include <attnres/json.h>

enum { TEXT_BYTES = 1 << 24 };

/** What was found of one checkpoint. */
struct finding {
    char path[FILE_PATH_BYTES];
    struct checkpoint_contents contents;
    bool ok;
    struct error problems;
};

/** Or it could not be read, as for lack of memory or permission. */
static bool is_damaged(const struct finding *f)
{
    return !f->ok && f->problems.kind != ERROR_IO && f->problems.kind != ERROR_CREATE;
}

static void print_text(const struct finding *f, const char *good)
{
    if (f->ok) {
        printf("%s: %s: step %" PRId64 ", %" PRId64 " tensors in %" PRId64 " files, %.1f MiB\n",
               f->path, good, f->contents.step, f->contents.n_tensors, f->contents.n_files,
               (double)f->contents.n_bytes / 1048576.0);
        return;
    }
    printf("%s: %s\n", f->path, is_damaged(f) ? "damaged" : "cannot be read");
    for (const char *line = f->problems.message; *line != '\0';) {
        const int length = (int)strcspn(line, "\n");
        printf("  %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

static void write_json(struct json_writer *w, const struct finding *f, const char *good)
{
    json_begin_object(w, NULL);
    json_text(w, "path", f->path);
    json_bool(w, good, f->ok);
    if (f->ok) {
        json_int(w, "step", f->contents.step);
        json_int(w, "tensors", f->contents.n_tensors);
        json_int(w, "files", f->contents.n_files);
        json_int(w, "bytes", f->contents.n_bytes);
    } else {
        json_text(w, "problems", f->problems.message);
    }
    json_end_object(w);
}

/** Look at the checkpoints of a command line. */
struct look {
    const char *good; /* the word for what holds, and the name of its member in JSON */
    bool (*at)(struct checkpoint_contents *contents, const char *step_path, struct error *err);
    bool as_json, takes_runs_only;
    struct json_writer w;
    int n, n_damaged, n_unread;
    enum error_kind unread; /* why, the first of them */
};

static void look_at(struct look *look, const char *path)
{
    struct finding f = {0};
    snprintf(f.path, sizeof f.path, "%s", path);
    f.ok = look->at(&f.contents, path, &f.problems);
    look->n++;
    look->n_damaged += is_damaged(&f);
    if (!f.ok && !is_damaged(&f)) {
        look->unread = look->n_unread == 0 ? f.problems.kind : look->unread;
        look->n_unread++;
    }
    if (look->as_json) {
        write_json(&look->w, &f, look->good);
    } else {
        print_text(&f, look->good);
    }
}

static bool look_at_run(struct look *look, const char *run_path, struct error *err)
{
    int64_t *steps = calloc(CHECKPOINT_MOST, sizeof *steps);
    if (steps == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to list checkpoints");
    }
    const int n = checkpoint_list_some(steps, CHECKPOINT_MOST, run_path, err);
    bool ok = n > 0;
    for (int i = 0; i < n && ok; i++) {
        char path[FILE_PATH_BYTES];
        ok = checkpoint_step_path(path, run_path, steps[i], err);
        if (ok) {
            look_at(look, path);
        }
    }
    free(steps);
    return ok;
}

/** A step's folder stays one when its manifest is gone. */
static bool is_step(const char *path)
{
    char manifest[FILE_PATH_BYTES];
    size_t begin = strlen(path);
    while (begin > 0 && path[begin - 1] == '/') {
        begin--;
    }
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    const char *number = path + begin + strlen("step-");
    return (strncmp(path + begin, "step-", strlen("step-")) == 0 && *number >= '0' &&
            *number <= '9' && number[strspn(number, "0123456789/")] == '\0') ||
           (file_join(manifest, path, "manifest.json", NULL) && file_exists(manifest));
}

static bool conclude(struct look *look, struct error *err)
{
    if (look->as_json) {
        json_end_array(&look->w);
        json_end_object(&look->w);
        if (!json_writer_ok(&look->w)) {
            return error_set(err, ERROR_INTERNAL, "what was found is too large to print");
        }
        printf("%s\n", look->w.text);
    }
    if (look->n_damaged > 0) {
        return error_set(err, ERROR_DATA, "%d of %d damaged", look->n_damaged, look->n);
    }
    return look->n_unread == 0 ||
           error_set(err, look->unread, "%d of %d cannot be read", look->n_unread, look->n);
}

static bool look_at_all(struct look *look, const char *path, struct error *err)
{
    if (file_is_absent(path)) {
        return error_set(err, ERROR_NO_INPUT, "%s: no such checkpoint or run folder", path);
    }
    if (look->takes_runs_only && is_step(path)) {
        return error_set(err, ERROR_USAGE,
                         "%s: is a checkpoint, and list takes the folder of a run; verify reads "
                         "one checkpoint",
                         path);
    }
    char *text = look->as_json ? malloc(TEXT_BYTES) : NULL;
    if (look->as_json && text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to print");
    }
    if (look->as_json) {
        json_writer_init(&look->w, text, TEXT_BYTES);
        json_begin_object(&look->w, NULL);
        json_begin_array(&look->w, "checkpoints");
    }
    bool ok = true;
    if (is_step(path)) {
        look_at(look, path);
    } else {
        ok = look_at_run(look, path, err);
    }
    ok = ok && conclude(look, err);
    free(text);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    struct look look = {.as_json = command_has(line, "json")};
    const char *what = line->positionals[0];
    if (line->n_positionals == 2 && strcmp(what, "list") == 0) {
        look.good = "complete";
        look.at = checkpoint_measure;
        look.takes_runs_only = true;
        return look_at_all(&look, line->positionals[1], err);
    }
    if (line->n_positionals == 2 && strcmp(what, "verify") == 0) {
        look.good = "good";
        look.at = checkpoint_verify;
        return look_at_all(&look, line->positionals[1], err);
    }
    return error_set(err, ERROR_USAGE, "usage: attnres checkpoint %s", line->command->usage);
}

const struct command checkpoint_command = {
    .name = "checkpoint",
    .usage = "list RUN [--json] | verify CKPT|RUN [--json]",
    .summary = "list a run's checkpoints, or check every byte of them",
    .details =
        "list tells of each checkpoint of a run, the newest first, whether its files are "
        "there; verify reads all of\n"
        "them: manifest, configuration, headers, and the checksum of every tensor. A damaged "
        "one ends with exit\n"
        "code 65, one that cannot be read with 73 or 74, none at all with 66. --resume passes over "
        "a damaged one by\n"
        "itself.",
    .flags = {{"json", FLAG_SWITCH, NULL,
               "one JSON object; of each checkpoint \"complete\" (list) or \"good\" (verify)"}},
    .least = 1,
    .most = 2,
    .is_alone = true,
    .run = run,
};
