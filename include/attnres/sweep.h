/** Many runs from one file: a base configuration and axes, whose values are key=value words;
 * `attnres sweep --help` shows such a file.
 *
 *  A run's name is its values' names in the order of the axes, small-s1-standard; runs count from 1
 * in that order, so that a sweep which is cut short is a smaller sweep. Weights and data order come
 * from run.seed alone: runs of one seed and size are paired whatever their kind.
 *
 *  A sweep has no state of its own. What is done stands in the runs' folders, and every run is
 * started as `attnres train ... --resume`: the same command starts a sweep and takes it on. */
#ifndef ATTNRES_SWEEP_H
#define ATTNRES_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/json.h>
#include <attnres/log.h>

enum {
    SWEEP_MAX_FILE_BYTES = 1 << 16,
    SWEEP_MAX_RUNS = 1024,
    SWEEP_MAX_PRODUCTS = 256,
    SWEEP_MAX_AXES = 1024,   /* of all products */
    SWEEP_MAX_VALUES = 4096, /* of all axes */
    SWEEP_MAX_WORDS = 8192,  /* of all values */
    SWEEP_RUN_WORDS = 256,   /* of one run, the command line's too */
    SWEEP_LAUNCH_WORDS = 64,
    SWEEP_MAX_JOBS = 256,
    SWEEP_NAME_BYTES = 128,
    SWEEP_TEXT_BYTES =
        3 * SWEEP_MAX_FILE_BYTES, /* two bytes of an escape are at most three of text */
};

struct sweep_words {
    int first, n; /* of sweep.words */
};

struct sweep_value {
    const char *name;
    struct sweep_words words;
};

struct sweep_axis {
    const char *name;
    int first_value, n_values;
};

struct sweep_product {
    int first_axis, n_axes;
    int first_run, n_runs;
};

/** A file as read; pointers lead into text. */
struct sweep {
    char dir[FILE_PATH_BYTES], base[FILE_PATH_BYTES]; /* empty: not given */
    const char *launch[SWEEP_LAUNCH_WORDS];
    int n_launch;
    bool saves_by_the_clock; /* checkpoint.minutes=10 goes before set: base says nothing of it */
    struct sweep_words set;
    struct sweep_product products[SWEEP_MAX_PRODUCTS];
    struct sweep_axis axes[SWEEP_MAX_AXES];
    struct sweep_value values[SWEEP_MAX_VALUES];
    const char *words[SWEEP_MAX_WORDS];
    char names[SWEEP_MAX_RUNS][SWEEP_NAME_BYTES];
    int n_products, n_axes, n_values, n_words, n_runs;
    char text[SWEEP_TEXT_BYTES];
    size_t n_text;
};

/** Read a file from memory, dir and base as they stand there. A pure function of its arguments:
 * allocates nothing but what libyaml needs (ERROR_CREATE without). ERROR_CONFIG with line and
 * column. */
bool sweep_parse(struct sweep *sweep, const char *name, const char *bytes, size_t length,
                 struct error *err);
/** Read a file from disk; base then stands beside it, dir is known, and runs save every ten minutes
 * unless base or words say otherwise. */
bool sweep_load(struct sweep *sweep, const char *path, struct error *err);

/** Words of the command line that stand behind those of the file. */
struct sweep_options {
    int n_overrides;
    const char *const *overrides;
    int n_jobs;       /* runs side by side, 1 or more; they share the processors evenly */
    int only;         /* 0: all runs */
    const char *self; /* path of this program */
};

/** One run: what `attnres train` is given. */
struct sweep_run {
    const char *name;
    char dir[FILE_PATH_BYTES];
    char dir_word[FILE_PATH_BYTES + 16]; /* run.dir=... */
    const char *overrides[SWEEP_RUN_WORDS];
    int n_overrides;
};
/** Words of run `index` (from 0): of set, of its values, of the options, its folder. ERROR_CONFIG
 * if there are too many or the folder's path is too long. */
bool sweep_make_run(struct sweep_run *run, const struct sweep *sweep, int index,
                    const struct sweep_options *options, struct error *err);

/** What stands in a run's folder, beside what the run is to be. */
enum sweep_state { SWEEP_NEW, SWEEP_BEGUN, SWEEP_DONE };
struct sweep_entry {
    enum sweep_state state;
    bool has_failed; /* says its STATUS */
    int64_t step, n_steps;
    int64_t step_before;           /* where this sitting began, or went back to */
    double flops;                  /* of the whole run, but for evaluations */
    double eval_flops;             /* of one evaluation, as far as its data reaches */
    int64_t eval_every;            /* steps; and after the last. 0: none */
    double time_s, loss, val_loss; /* of its last line of metrics; NAN: none */
    int exit_code;                 /* of this sitting's process; 0: none ended badly */
    bool is_running;               /* as a process of this sweep */
    bool is_held;                  /* by a run that somebody else has started */
};
const char *sweep_state_name(const struct sweep_entry *entry);

/** Resolve a run's configuration and look into its folder. ERROR_CONFIG, with the run's name, if
 * the configuration is wrong or the folder holds another run: one with a setting that changes
 * numbers. */
bool sweep_look(struct sweep_entry *entry, const struct sweep *sweep, int index,
                const struct sweep_options *options, struct error *err);
/** The same of all runs, with all problems together. entries: sweep->n_runs. */
bool sweep_look_at_all(struct sweep_entry *entries, const struct sweep *sweep,
                       const struct sweep_options *options, struct error *err);

/** Run what is not done, n_jobs at a time, each a process of its own; its output goes to output.txt
 * in its folder. A run that fails is told and the sweep goes on; one that is at work elsewhere is
 * left to whoever started it. INT, TERM and USR1 pass on to the runs as USR1: they save and stop.
 * Afterwards entries say how things stand. ERROR_EARLY: stopped, or a run stopped early or is at
 * work elsewhere, and the same command goes on; else the kind of the first run that failed. */
bool sweep_run_all(struct sweep_entry *entries, const struct sweep *sweep,
                   const struct sweep_options *options, struct log *log, struct error *err);
/** Become one run: replaces this process, also where it is one of several ranks. Returns only if
 * that fails. */
bool sweep_become(const struct sweep *sweep, const struct sweep_options *options,
                  struct error *err);

/** The table of runs for people, which ends with how far all are (not with `only`). Length like
 * snprintf. The other writes its runs as members of an open JSON object. */
size_t sweep_print(const struct sweep *sweep, const struct sweep_entry *entries,
                   const struct sweep_options *options, char *text, size_t capacity);
void sweep_write_json(struct json_writer *w, const struct sweep *sweep,
                      const struct sweep_entry *entries, const struct sweep_options *options);

#endif
