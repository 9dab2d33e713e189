/** A model on one rank, for a purpose and a configuration given: what forward passes are compared
 * on.
 */
#ifndef ATTNRES_TESTS_SINGLE_RANK_H
#define ATTNRES_TESTS_SINGLE_RANK_H

#include <attnres/engine.h>

struct single_rank {
    struct plan plan;
    struct memory memory;
    struct model model;
    struct transport_world *world;
    struct engine engine;
};

/** Weights as drawn from run.seed. config is borrowed. Asserts that all goes well. */
void single_rank_init(struct single_rank *r, const struct config *config,
                      enum plan_purpose purpose);
void single_rank_finish(struct single_rank *r);

#endif
