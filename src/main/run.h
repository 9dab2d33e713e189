/** What commands that run a model share: the job's ranks, and a checkpoint opened with overrides.
 */
#ifndef ATTNRES_RUN_H
#define ATTNRES_RUN_H

#include "command.h"

#include <attnres/checkpoint.h>
#include <attnres/data.h>
#include <attnres/log.h>
#include <attnres/session.h>
#include <attnres/transport.h>

/** Start MPI, and refuse ranks that do not know of each other or are not the same program. */
struct transport *run_start_ranks(const struct command_line *line, struct log *log,
                                  struct error *err);
/** Start MPI, whatever comes of it. The environment variable ATTNRES_SYNC_SEND=1 makes every send
 * complete only when matched. */
struct transport *run_create_ranks(const struct command_line *line, struct log *log,
                                   struct error *err);
/** Tell what failed, if anything did, and end MPI. In this order: once the first rank has left with
 * an exit code, mpirun ends the others, and what they had still to say is lost. */
void run_stop_ranks(struct transport *transport, struct log *log, struct error *err);

/** What a command does with the model of a checkpoint. Collective over all ranks. */
typedef bool run_function(const struct command_line *line, struct session *session,
                          const struct checkpoint *checkpoint, struct error *err);
/** Set up a session of the purpose given from the checkpoint (step or run folder) that the line
 * names, its configuration changed by the line's overrides and by `extra` (NULL-terminated), and
 * work on it. Any number of ranks. Collective over all ranks. */
bool run_with_checkpoint(const struct command_line *line, const char *const *extra,
                         enum plan_purpose purpose, run_function *work, struct transport *transport,
                         struct log *log, struct error *err);
/** Start the ranks, do that, and end them. */
bool run_on_checkpoint(const struct command_line *line, const char *const *extra,
                       enum plan_purpose purpose, run_function *work, struct error *err);

/** Whether a picture may be written to path. To be asked before the work that it shows. */
bool run_may_draw(const char *path, struct error *err);

/** Whether a model's tokens are bytes, so that text can be given to it: not if it was trained on
 * shards whose vocabulary goes beyond them. */
bool run_takes_bytes(const struct config *config);

/** Open what a loss is taken of, on the ends of the pipeline: the data at path whole, or, NULL, the
 * configuration's validation data. */
bool run_open_data(struct data **data, const struct session *s, const char *path,
                   struct error *err);

#endif
