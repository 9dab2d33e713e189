#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/file.h>
#include <attnres/sweep.h>

enum { TEXT_BYTES = 1 << 24 };

static bool print(const struct sweep *sweep, const struct sweep_entry *entries,
                  const struct sweep_options *options, bool as_json, struct error *err)
{
    char *text = calloc(TEXT_BYTES, 1);
    if (text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to print the runs");
    }
    bool fits = true;
    if (as_json) {
        struct json_writer w;
        json_writer_init(&w, text, TEXT_BYTES);
        json_begin_object(&w, NULL);
        sweep_write_json(&w, sweep, entries, options);
        json_end_object(&w);
        fits = json_writer_ok(&w);
    } else {
        fits = sweep_print(sweep, entries, options, text, TEXT_BYTES) < TEXT_BYTES;
    }
    if (fits) {
        printf("%s%s", text, as_json ? "\n" : "");
    }
    free(text);
    return fits || error_set(err, ERROR_INTERNAL, "the table of runs is too large to print");
}

static bool choose(struct sweep_options *options, char self[FILE_PATH_BYTES],
                   const struct command_line *line, struct error *err)
{
    const int64_t n_jobs = command_int(line, "jobs", 1), only = command_int(line, "only", 0);
    *options = (struct sweep_options){.n_overrides = line->n_overrides,
                                      .overrides = line->overrides,
                                      .n_jobs = (int)n_jobs,
                                      .only = (int)only,
                                      .self = self};
    for (int i = 0; i < line->n_overrides; i++) {
        if (strncmp(line->overrides[i], "run.dir=", strlen("run.dir=")) == 0) {
            return error_set(err, ERROR_USAGE,
                             "%s: a sweep names the folders of its runs: give its file `dir:`",
                             line->overrides[i]);
        }
    }
    if (only > SWEEP_MAX_RUNS) {
        return error_set(err, ERROR_USAGE, "--only=%s: a sweep has at most %d runs",
                         command_text(line, "only", ""), SWEEP_MAX_RUNS);
    }
    if (n_jobs < 1 || n_jobs > SWEEP_MAX_JOBS) {
        return error_set(err, ERROR_USAGE, "--jobs must be 1 to %d", SWEEP_MAX_JOBS);
    }
    if (command_has(line, "only") && command_has(line, "jobs")) {
        return error_set(err, ERROR_USAGE, "--only becomes one run: leave --jobs out");
    }
    if (command_has(line, "only") && command_has(line, "json") && !command_has(line, "dry-run")) {
        return error_set(err, ERROR_USAGE,
                         "--only becomes one run, whose output is train's: --json goes with "
                         "--dry-run there");
    }
    const ssize_t length = readlink("/proc/self/exe", self, FILE_PATH_BYTES - 1);
    if (length <= 0) {
        return error_set(err, ERROR_LAUNCH, "/proc/self/exe does not say where this program is");
    }
    self[length] = '\0';
    return true;
}

static bool run_one(const struct sweep *sweep, struct sweep_entry *entries,
                    const struct sweep_options *options, const struct command_line *line,
                    struct error *err)
{
    struct sweep_entry *entry = &entries[options->only - 1];
    if (!sweep_look(entry, sweep, options->only - 1, options, err)) {
        return false;
    }
    if (command_has(line, "dry-run")) {
        return print(sweep, entries, options, command_has(line, "json"), err);
    }
    return sweep_become(sweep, options, err);
}

static bool run_all(const struct sweep *sweep, struct sweep_entry *entries,
                    const struct sweep_options *options, const struct command_line *line,
                    struct error *err)
{
    struct log log;
    if (!sweep_look_at_all(entries, sweep, options, err)) {
        return false;
    }
    if (command_has(line, "dry-run")) {
        return print(sweep, entries, options, command_has(line, "json"), err);
    }
    log_init(&log, 0);
    const bool ok = sweep_run_all(entries, sweep, options, &log, err);
    log_finish(&log);
    struct error failure = {0};
    const bool printed = print(sweep, entries, options, command_has(line, "json"), &failure);
    return ok && (printed || error_set(err, failure.kind, "%s", failure.message));
}

static bool sweep_with(struct sweep *sweep, const struct command_line *line, struct error *err)
{
    char self[FILE_PATH_BYTES];
    struct sweep_options options;
    if (!choose(&options, self, line, err) || !sweep_load(sweep, line->positionals[0], err)) {
        return false;
    }
    if (command_has(line, "only") && (options.only < 1 || options.only > sweep->n_runs)) {
        return error_set(err, ERROR_USAGE, "--only=%s: the runs of %s are 1 to %d",
                         command_text(line, "only", ""), line->positionals[0], sweep->n_runs);
    }
    struct sweep_entry *entries = calloc((size_t)sweep->n_runs, sizeof *entries);
    if (entries == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for %d runs", sweep->n_runs);
    }
    const bool ok = options.only != 0 ? run_one(sweep, entries, &options, line, err)
                                      : run_all(sweep, entries, &options, line, err);
    free(entries);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a sweep");
    }
    const bool ok = sweep_with(sweep, line, err);
    free(sweep);
    return ok;
}

const struct command sweep_command = {
    .name = "sweep",
    .usage = "FILE [key=value ...] [--jobs N] [--only INDEX] [--dry-run]",
    .summary = "train the runs of a file, one after another or side by side",
    .details =
        "FILE lists runs by their axes:\n\n"
        "  dir: runs/novels              # run NAME lives in dir/NAME; from the current folder, as "
        "run.dir is;\n"
        "                                # default runs/<FILE's name>\n"
        "  base: novels.yaml             # a configuration beside FILE; default: all at their "
        "defaults\n"
        "  launch: mpirun -n 2           # what starts the ranks of a run; default: one rank\n"
        "  set: [train.log_every=25]     # for every run\n"
        "  runs:                         # a list of products; in each the last axis turns "
        "fastest\n"
        "    - size: {small: [model.layers=4, model.dim=48], large: [model.layers=8, "
        "model.dim=64]}\n"
        "      seed: {s1: run.seed=1, s2: run.seed=2}\n"
        "      kind: {standard: model.kind=standard, block: model.kind=block}\n\n"
        "has eight runs, from small-s1-standard to large-s2-block. Each is a process of its own, "
        "`attnres "
        "train --resume`;\n"
        "its output goes to output.txt in its folder. The same command starts a sweep, takes it "
        "on, and tells "
        "what is\n"
        "done. Ctrl-C, TERM and USR1 have the runs at work save and stop (75). A run that fails is "
        "told, and "
        "the sweep\n"
        "goes on; the exit code is then that of the first one. A run that is at work elsewhere is "
        "left alone\n"
        "(75 in the end, unless it is done by then). Runs that share a seed and a size "
        "share data "
        "order and\n"
        "initial weights whatever their kind. Runs save every ten minutes (checkpoint.minutes=10, "
        "unless base,\n"
        "set or a word of the line says otherwise): a killed sweep loses no more.",
    .flags = {{"jobs", FLAG_INT, "N",
               "runs side by side, which share the processors evenly (default 1)"},
              {"only", FLAG_INT, "INDEX",
               "become run INDEX (from 1), as one of its ranks where there are several: for arrays "
               "of jobs"},
              {"dry-run", FLAG_SWITCH, NULL,
               "tell what is done, and what is left if one run follows another; start nothing"},
              {"json", FLAG_SWITCH, NULL, "print the table as one JSON object"}},
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .is_alone = true,
    .shared = "only",
    .run = run,
};
