/** What the files of sweep share. */
#ifndef ATTNRES_SWEEP_INTERNAL_H
#define ATTNRES_SWEEP_INTERNAL_H

#include <sys/types.h>

#include <attnres/sweep.h>

/** Name the i-th run of a product in sweep->names; false if the name is too long. */
bool sweep_name_run(struct sweep *sweep, const struct sweep_product *product, int i);
/** ERROR_CONFIG if two runs have one name. */
bool sweep_check_names(const struct sweep *sweep, const char *file, struct error *err);

/** The command of a run: what launches it, this program, `train` and its words; ends with NULL. */
enum {
    SWEEP_COMMAND_WORDS = SWEEP_LAUNCH_WORDS + SWEEP_RUN_WORDS + 8,
    SWEEP_MAX_PROCESSORS = 1024,
};
void sweep_make_command(const char *command[SWEEP_COMMAND_WORDS], const struct sweep *sweep,
                        const struct sweep_run *run, const struct sweep_options *options);

/** Which of the processors a job is bound to. */
struct sweep_share {
    const int *processors;
    int n_processors;
    int job, n_jobs;
};
/** Start a command, its output appended to output.txt in dir. */
bool sweep_start_process(pid_t *pid, const char *const *command, const char *dir,
                         const struct sweep_share *share, struct error *err);
/** Of the signals that ask a sweep to stop. */
void sweep_handle_signals(void (*handler)(int));

/** How a run's folder stood before an attempt: what is there beyond that is of the attempt. */
struct sweep_mark {
    size_t output_bytes; /* length of output.txt */
    uint32_t status;     /* hash of STATUS */
};
enum { SWEEP_WORDS_BYTES = 512 };
struct sweep_mark sweep_mark_folder(const char *dir);
/** Why the attempt failed, in one line: by its STATUS, else by what it has said last. Returns
 * whether STATUS says that it failed: it was a run then, not only a launch. */
bool sweep_find_reason(char words[SWEEP_WORDS_BYTES], const char *dir,
                       const struct sweep_mark *before);

/** All of a run; how much of it is done; what this sitting will still do of it, nothing where it
 * has failed; and what it has done so far. In FLOPs, evaluations among them. After a crash STATUS
 * is ahead of the checkpoint that the run goes on from: what is done again counts. */
double sweep_flops_all(const struct sweep_entry *entry);
double sweep_flops_done(const struct sweep_entry *entry);
double sweep_flops_left(const struct sweep_entry *entry);
double sweep_flops_here(const struct sweep_entry *entry);
/** How far all runs are, in words. What is left, with what is at work elsewhere or without, is told
 * by what took_flops have taken; returns whether it is: not where that is 0. */
enum { SWEEP_PROGRESS_BYTES = 128 };
bool sweep_describe_progress(char text[SWEEP_PROGRESS_BYTES], const struct sweep_entry *entries,
                             bool with_held, int n, double took_s, double took_flops);
/** Read STATUS and the last line of metrics again, and look at the lock. */
void sweep_refresh(struct sweep_entry *entry, const char *dir);

#endif
