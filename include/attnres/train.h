/** Training: the loop over steps on one rank, with everything around it: folder, resume, logging,
 * evaluation, checkpoints, stopping.
 *
 *  One step: read the batch on both ends, run the schedule, join the tied head, report to rank 0,
 * which decides for all (norm, skip, stop), update. Local arithmetic and communication stay in
 * different functions. */
#ifndef ATTNRES_TRAIN_H
#define ATTNRES_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/log.h>
#include <attnres/summary.h>
#include <attnres/transport.h>

/** How this binary was made; for run.json. */
struct train_build {
    const char *version, *revision, *compiler, *flags;
};

struct train_options {
    const char *config_path; /* names the default folder; may be NULL */
    bool resume;             /* take the newest valid checkpoint of the run's folder, if any */
    const char *resume_from; /* this step or run folder instead; must exist. NULL: none */
    bool dry_run;            /* print the plan and end */
    bool stops_on_signals;   /* INT, TERM, USR1 and, unless it is ignored, HUP save and stop; a file
                                size limit does not kill */
    bool wants_entropy;      /* fill order1_entropy, at the end; costs what some steps cost */
    double job_end_s; /* when the job is ended from outside, clock_monotonic_s; 0: unknown. Rank 0's
                         counts: it saves and stops before */
    struct train_build build;
};

/** What a finished run ends with, the same on every rank. */
struct train_result {
    int64_t step;
    double loss, grad_norm, val_loss; /* NAN where none */
    double order1_entropy; /* rank 0, byte data, if asked for: of the training text, nats; or NAN */
    double time_s;         /* spent, over resumes, but for evaluations */
    int64_t n_tokens;
    uint64_t weights_hash;
    struct summary summary; /* rank 0; of 0 steps if none was made */
    char run_path[FILE_PATH_BYTES];
    bool stopped; /* before the last step, with a checkpoint saved */
};

/** Hold back USR1, TERM and USR2, over exec too, until train_run listens to them. Before that they
 * would end the process, with a code that asks nobody to submit the job again. */
void train_hold_signals(void);

/** Train. Collective over all ranks. False on failure: with a message on the rank that knows the
 * cause, and the same kind on every rank. An early stop is a failure of kind ERROR_EARLY if a
 * checkpoint was saved since the run began or resumed, or if it came before the first step. */
bool train_run(struct train_result *result, const struct config *config,
               const struct train_options *options, struct transport *transport, struct log *log,
               struct error *err);

#endif
