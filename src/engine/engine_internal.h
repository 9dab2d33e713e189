/** What stages of one rank hand each other without messages: neighbours' values and gradients, and
 * with the message cache the sources that an earlier chunk holds and the gradients deposited for
 * it. */
#ifndef ATTNRES_ENGINE_INTERNAL_H
#define ATTNRES_ENGINE_INTERNAL_H

#include <attnres/engine.h>

/** Before F: copy the values that another stage of this rank holds into the action's slot. */
void engine_take_values(struct engine *engine, const struct action *action);

/** Before I, behind what a message brought: complete the gradients of the values that the stage
 * hands on. */
void engine_take_gradients(struct engine *engine, const struct action *action);

/** After I: leave the gradients of cached sources for the stage that brought them. */
void engine_deposit_gradients(struct engine *engine, const struct action *action);

/** With the message cache gradients take their precision here, when they leave the rank. */
void engine_round_gradients(struct engine *engine, const struct engine_link *link,
                            const struct action *action);

/** Cells of n_deposited: as many as deposits in the plan's memory. */
int64_t engine_deposit_cells(const struct engine *engine);

/** Replicas (replicas.c): set up and end; begin the sums of a training schedule; tell that a part
 * of an action is done; get on between kernels. Nothing with one replica. */
void engine_join_replicas(struct engine *engine);
void engine_leave_replicas(struct engine *engine);
void engine_begin_sums(struct engine *engine);
void engine_release(struct engine *engine, const struct action *action, int part);
void engine_drive_exchange(struct engine *engine);
/** Wait for a request, getting on with the exchange meanwhile. */
void engine_wait(struct engine *engine, struct transport_request *request);

#endif
