/** What every command that runs a model sets up, in the order that ranks can agree on:
 * configuration, kernel level, threads, plan, memory, model, engine.
 *
 *  Rank 0 reads the configuration and hands it to all, so that no two ranks can differ in it. */
#ifndef ATTNRES_SESSION_H
#define ATTNRES_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/engine.h>
#include <attnres/error.h>
#include <attnres/kernels.h>
#include <attnres/launch.h>
#include <attnres/log.h>
#include <attnres/model.h>
#include <attnres/plan.h>
#include <attnres/transport.h>

struct session {
    struct config config;
    struct transport *transport;
    struct log *log;
    const struct kernels *kernels;
    int n_threads;
    int64_t base_bytes; /* resident before the arena was taken: libraries and program */
    struct plan plan;
    uint64_t *hosts; /* by rank: hash of the host it is on */
    struct memory memory;
    struct model *models; /* of the rank's stages, by chunk */
    const struct plan_rank *own;
    struct engine engine;
};

/** Agree on a configuration: rank 0's *config goes to all ranks. ok and err are rank 0's; others'
 * are ignored. Collective over all ranks. */
bool session_share_config(struct config *config, struct transport *transport, bool ok,
                          struct error *err);

/** The kernels that a process by itself takes: of the highest level that the processor has, or of
 * ATTNRES_KERNELS. NULL (ERROR_USAGE) if that is no level. */
const struct kernels *session_choose_kernels(struct error *err);
/** Kernel level and threads only. Collective over all ranks. */
bool session_begin(struct session *s, const struct config *config, struct transport *transport,
                   struct log *log, struct error *err);
/** Plan only: kernel level, threads and plan; no memory is taken yet. Collective over all ranks. */
bool session_plan(struct session *s, const struct config *config, struct transport *transport,
                  struct log *log, enum plan_purpose purpose, struct error *err);
/** Refuse a plan beyond memory.limit. Collective over all ranks. */
bool session_check_memory(const struct session *s, struct error *err);
/** Look whether the launch is sound. folder: rank 0's path of the run's folder, NULL if none
 * is needed, "" if none is chosen. The report is appended to on rank 0. Collective over all ranks.
 */
void session_check_launch(const struct session *s, const char *folder,
                          struct launch_report *report);
/** The same, told: warnings to the session's log, unless quietly; ERROR_LAUNCH if it fails.
 * Collective over all ranks. */
bool session_require_launch(const struct session *s, const char *folder, bool quietly,
                            struct error *err);
/** Take the memory and make model and engine. Collective over all ranks. */
bool session_start(struct session *s, struct error *err);
/** From here on a rank that waits for a message longer than run.stall_s ends the job; before it,
 * longer than run.stall_start_s: one rank may read through its data for minutes while the others
 * wait. */
void session_expect_messages(struct session *s);
void session_finish(struct session *s);

/** Anonymous and shared memory of this process that is resident, bytes; -1 where the system does
 * not tell. */
int64_t session_resident_bytes(void);

/** Two ranks that hold different weights of a row that should be the same. */
struct session_difference {
    int32_t is_there, row; /* of the parameter table */
    int32_t odd, other;    /* ranks */
    int32_t is_outvoted;   /* most replicas hold what `other` holds; else either may be wrong */
};

/** Hash of all weights in table order, the same for every number of stages, and the first row in
 * which replicas differ, if any. Collective over all ranks. */
uint64_t session_hash_weights(struct session *s, struct session_difference *difference);

#endif
