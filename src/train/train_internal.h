/** What the files of train share: the state of a run on one rank. */
#ifndef ATTNRES_TRAIN_INTERNAL_H
#define ATTNRES_TRAIN_INTERNAL_H

#include <attnres/checkpoint.h>
#include <attnres/data.h>
#include <attnres/deflation.h>
#include <attnres/evaluate.h>
#include <attnres/guard.h>
#include <attnres/metrics.h>
#include <attnres/rundir.h>
#include <attnres/session.h>
#include <attnres/trace.h>
#include <attnres/train.h>
#include <attnres/watch.h>

enum { TRAIN_CONFIG_TEXT_BYTES = 1 << 16 };

enum train_stop {
    TRAIN_GOES_ON,
    TRAIN_STOP_SIGNAL,
    TRAIN_STOP_FILE,
    TRAIN_STOP_TIME,
    TRAIN_STOP_JOB_END
};

struct train {
    const struct train_options *options;
    struct session session;
    struct transport *transport;
    struct log *log;
    bool is_root;
    struct data *train_data, *val_data; /* first and last stage */
    int64_t n_val_windows;              /* evaluated in training; agreed on */
    bool counts_bytes;
    struct rundir folder; /* rank 0 */
    struct metrics metrics;
    bool metrics_open;
    char run_path[FILE_PATH_BYTES];
    char config_text[TRAIN_CONFIG_TEXT_BYTES];
    struct checkpoint_state state;
    struct data_position step_position; /* of the step in hand's first window */
    double start_s;                     /* of this process, for time_s and max_hours */
    double time_before_s;               /* spent by earlier processes of the run */
    double loop_s;                      /* the loop over steps, once it has ended */
    int64_t first_step;                 /* steps done when this process began */
    bool resumed;                       /* the state came from a checkpoint */
    int64_t saved_step; /* of the last checkpoint saved or resumed from; before that, rank 0: of the
                           newest in the folder; -1 */
    struct checkpoint_saver *saver;
    bool save_is_due;                  /* put off while updates are skipped */
    bool is_saving;                    /* in the background; the same on every rank */
    bool save_failed;                  /* the last attempt */
    double step_s, evaluate_s, save_s; /* how long each last took, rank 0; 0: not yet */
    enum train_stop stop;              /* why it stops before its last step */
    double step_start_s;               /* when the step in hand began; clock_monotonic_s */
    double save_rate;                  /* of its files' bytes a second, as an earlier process of the
                                          run measured it, rank 0; 0: not known */
    double save_at_s;                  /* when a save last began, or the loop; clock_monotonic_s */
    bool has_told_without_targets;     /* rank 0, as the next one: of a step */
    bool has_told_without_val_targets; /* of an evaluation */
    struct watch *watch;
    struct trace trace;               /* if is_traced */
    bool is_traced;                   /* steps of this process are */
    struct watch_straggler straggler; /* rank 0, as the next three */
    double *compute_s;                /* by rank: since the run began */
    double *step_compute_s;           /* by rank: in this step */
    double *sorted_s;                 /* scratch */
    struct train_result *result;
};

/** What all ranks do after a step about a save in the background. */
enum train_save { TRAIN_SAVE_GOES_ON, TRAIN_SAVE_COLLECT, TRAIN_SAVE_END };

/** What a step came to, the same on every rank: rank 0 decides, the others are told. */
struct train_decision {
    double loss, grad_norm, clip_factor;
    int64_t n_targets;
    struct guard_state guard; /* behind the step */
    struct guard_judgement judgement;
    struct guard_finding finding; /* where what is not finite came from, or did not repeat */
    int32_t has_changed;          /* computed twice it was not the same */
    int32_t skips;                /* the update is left out */
    int32_t stop;                 /* enum train_stop */
    int32_t has_time_to_save;     /* before the job's end, should it stop here */
    int32_t save;                 /* enum train_save */
    int32_t is_save_due;          /* checkpoint.minutes have passed */
    double wait_s;                /* all ranks, since the run began */
    int64_t bytes_sent;           /* all ranks, since the run began */
};

/** Open the data where it is needed and agree on what of it concerns all. Collective. */
bool train_share_data(struct train *t, struct error *err);
/** Whether the checkpoint that the run would go on from, if any, is there and of this configuration
 * and data; nothing of it is loaded. Collective. */
bool train_rehearse_start(struct train *t, struct error *err);
/** Weights, moments and position: from a checkpoint or fresh. Collective. */
bool train_start_state(struct train *t, struct error *err);

/** The folder's texts and metrics.jsonl, cut after the step that the run goes on from. Collective.
 */
bool train_open_records(struct train *t, struct error *err);

/** Steps from state.step to the end or a stop. Our code allocates nothing in here. */
bool train_loop(struct train *t, struct error *err);

/** Rank 0, after a step: whether the run stops here, and why. */
enum train_stop train_find_stop(const struct train *t, bool signal_arrived);
/** Rank 0: false, with what a stop before the first step comes to. Where more of the job's time is
 * behind than before it, that was its end: submitted again it would come no further (ERROR_IO). */
bool train_stop_at_start(const struct train *t, struct error *err);
/** Rank 0: whether checkpoint.minutes have passed. */
bool train_save_is_due(const struct train *t);
/** Rank 0: bytes a second that the rank with the most saves, by the last save that was measured; 0:
 * not known. */
double train_save_rate(const struct train *t);
/** Rank 0: whether a save would be done before the job's end. */
bool train_has_time_to_save(const struct train *t);

/** Save at the present step, in the background if that is asked for; a save under way is waited
 * for. A failure is loud and leaves the older checkpoints; the run goes on. Collective. */
void train_save(struct train *t);
/** What the ranks shall do about a save under way; phases: bit p is set if some rank is in phase p
 * (enum checkpoint_phase). Pure. */
enum train_save train_judge_save(unsigned phases);
/** Do it. Collective. */
void train_advance_save(struct train *t, enum train_save action);
/** Wait for a save under way, if any. Collective. */
void train_finish_save(struct train *t);

/** Whether the run, submitted again, would begin further on than this process did. */
bool train_has_gained(const struct train *t);
/** Seconds of this run, over resumes, but for evaluations. */
double train_spent_s(const struct train *t);

/** One step up to and including the update. */
struct train_decision train_step(struct train *t);

/** The gradients and losses of the batch that was read: everything up to the sums. From cleared
 * gradients they have the same bits each time. probe: looks on; or NULL. Collective. */
void train_clear_gradients(struct train *t);
void train_compute_gradients(struct train *t, int64_t n_targets, struct guard_probe *probe);

/** Compute the gradients twice. Returns the first thing on this rank that differs. Collective. */
struct guard_finding train_compute_twice(struct train *t, int64_t n_targets);
/** The first of all ranks' findings. Collective. */
struct guard_finding train_share_finding(struct train *t, const struct guard_finding *own);
/** A step was not finite: compute it again to find where that came from. Collective. */
struct guard_finding train_find_not_finite(struct train *t, int64_t n_targets);
/** Whether the next step is one of guard.check_every. */
bool train_is_check_due(const struct train *t);
/** Then, and before a save: whether all replicas hold the same weights. Collective; ERROR_GUARD if
 * not. */
bool train_compare_replicas(struct train *t, struct error *err);
/** Tell what the guards make of a step; false, on all ranks, if the run ends with it. Collective.
 */
bool train_heed_guards(struct train *t, const struct train_decision *d, struct error *err);
/** ERROR_GUARD naming two ranks that hold different weights, with their hosts. Collective. */
bool train_refuse_difference(struct train *t, const struct session_difference *difference,
                             struct error *err);

/** Replace STATUS by what is known now. Before a resume has loaded anything it speaks of what the
 * folder holds. Rank 0. */
bool train_write_status(struct train *t, enum run_state state, const char *reason,
                        struct error *err);

/** Evaluate on the validation windows; NAN if there are none. Collective. */
double train_evaluate(struct train *t);

/** Bytes of data that this rank holds on the heap. */
int64_t train_data_bytes(const struct train *t);

/** Prepare to trace the steps that the configuration names, if any. Collective. */
bool train_start_trace(struct train *t, struct error *err);
void train_trace_step(struct train *t);
/** Merge and draw what was traced. Failing to is no failure of the run. Collective. */
void train_finish_trace(struct train *t);

/** Tell, in the log and in summary.json, what the run's time, messages and memory went to. Failing
 * to is no failure of the run. Collective. */
void train_summarize(struct train *t);

/** The end of a loop that ran: an early stop, or a last checkpoint that could not be saved. All
 * ranks know the kind; rank 0 tells. Collective. */
bool train_conclude(struct train *t, struct error *err);

/** Print the plan on standard output, with what every rank holds beside it. Collective. */
void train_print_plan(struct train *t);

/** Listen to signals that ask to save and stop (INT, TERM, USR1, HUP), or for the last events
 * (USR2), and to those held back so far. Once per process; threads that it starts later have them
 * blocked.
 */
bool train_install_signals(struct error *err);
bool train_signal_arrived(void);
/** Changes with each request for the last events. */
int train_count_requests(void);

#endif
