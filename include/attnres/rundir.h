/** A run's folder: lock, STATUS, STOP, run.json, log and the checkpoints' parent.
 *
 *  Only rank 0 holds one. STATUS is replaced atomically; none of these files is ever an input to
 * numbers. Nothing here allocates after rundir_open. */
#ifndef ATTNRES_RUNDIR_H
#define ATTNRES_RUNDIR_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/log.h>

struct rundir {
    char path[FILE_PATH_BYTES];
    int lock_fd;
    double save_rate; /* the owner's to set, STATUS says it: bytes a second that a rank saves; 0:
                         not known */
};

/** The reason in STATUS where rank 0 does not know it: another rank has told it. */
#define RUNDIR_TOLD_ELSEWHERE "see another rank's message"

/** What STATUS says. */
enum run_state { RUN_STARTING, RUN_TRAINING, RUN_STOPPED, RUN_DONE, RUN_FAILED };

/** dir itself unless it is "auto"; then the folder of the run that has left this configuration file
 * there (config.yaml); else runs/<config file's name without .yaml>. "auto" without a config file
 * (config_path NULL) is ERROR_CONFIG. */
bool rundir_choose(char *out, const char *dir, const char *config_path, struct error *err);

/** Whether the folder holds a run (a checkpoints folder or metrics.jsonl). */
bool rundir_holds_run(const char *path);

/** How a folder is taken that another run may hold. */
struct rundir_taking {
    struct log *log;          /* is told of waiting, and of a file system without locks */
    double wait_s;            /* at most, for a holder that may have died with its host; 0: not */
    bool (*is_stopped)(void); /* asked while waiting: ends it with ERROR_EARLY */
};
/** Create if needed and lock. ERROR_CREATE if another run holds it, with host and pid of the
 * holder: at once if that is seen to run on this host. A file system without locks is no failure.
 * taking NULL: no waiting, and nobody is told. */
bool rundir_open(struct rundir *r, const char *path, const struct rundir_taking *taking,
                 struct error *err);
void rundir_close(struct rundir *r);
/** Whether a run holds the folder now, as far as locks tell. */
bool rundir_is_held(const char *path);

/** Replace STATUS: one line, the JSON object {state, reason, resumable, step, time (UTC, as text)},
 * with save_bytes_per_s if that is known. A reason of NULL is empty; one beyond 1023 bytes is cut.
 */
bool rundir_write_status(const struct rundir *r, enum run_state state, const char *reason,
                         bool resumable, int64_t step, struct error *err);
/** What the STATUS of the run in this folder says. ERROR_NO_INPUT if there is none; ERROR_DATA if
 * it is not what the function above writes. Needs no lock. */
struct rundir_status {
    enum run_state state;
    char reason[1024];
    bool resumable;
    int64_t step;
    double save_rate; /* as in struct rundir */
};
bool rundir_read_status(struct rundir_status *out, const char *path, struct error *err);
/** Write a small file of the folder whole, atomically (run.json, plan.json, config.yaml). */
bool rundir_write_file(const struct rundir *r, const char *name, const void *bytes, size_t length,
                       struct error *err);

/** Whether STOP lies in the folder. */
bool rundir_stop_is_asked(const struct rundir *r);
bool rundir_remove_stop(const struct rundir *r, struct error *err);

#endif
