/** A whole model cut into ranks of a local world, all stepped by one thread: round robin, one
 * action a turn, with nothing but post and test of the transport. So a deadlock is a turn in which
 * no rank got on, and the state it stands in can be looked at and spoilt. */
#ifndef ATTNRES_TESTS_PIPELINE_H
#define ATTNRES_TESTS_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/engine.h>
#include <attnres/error.h>
#include <attnres/model.h>
#include <attnres/plan.h>

enum { PIPELINE_MAX_RANKS = 4 };

struct pipeline_rank {
    struct memory memory;
    struct model *models; /* by chunk */
    struct engine engine;
};

struct pipeline {
    struct config config;
    struct plan plan;
    struct transport_world *world;
    struct pipeline_rank ranks[PIPELINE_MAX_RANKS];
    int32_t *tokens, *targets; /* (sequences, T): every target counts */
    double *losses;            /* nats, by microbatch */
    char stuck[512];           /* after a deadlock: where each rank waits */
};

/** Defaults with n overrides on n_ranks ranks, weights as drawn from run.seed, some batch. NULL
 * with err set if the configuration or the plan is refused. */
struct pipeline *pipeline_create(int n_ranks, const char *const *overrides, int n,
                                 struct error *err);
void pipeline_destroy(struct pipeline *p);

/** Begin a schedule of the plan on all ranks. scale: model_work.loss_scale. */
void pipeline_begin(struct pipeline *p, const struct schedule *schedule, float scale);
/** One turn of each rank. Whether some rank got on. */
bool pipeline_advance(struct pipeline *p);
/** Whether every rank is done. */
bool pipeline_is_done(const struct pipeline *p);
/** Begin and go on to the end. False with `stuck` filled when no rank can. */
bool pipeline_run(struct pipeline *p, const struct schedule *schedule, float scale);
/** A whole training step's gradients and losses: zeroed gradients, then the training schedule. */
bool pipeline_train(struct pipeline *p);
/** Its parts: the zeroing, and the loss scale with which the schedule begins. */
void pipeline_zero_gradients(struct pipeline *p);
float pipeline_scale(const struct pipeline *p);

/** Mean loss of the last training schedule. */
double pipeline_loss(const struct pipeline *p);
/** The model that owns a row of the parameter table. */
const struct model *pipeline_owner(const struct pipeline *p, const struct param *param);
/** The last stage's model, and its rank. */
const struct model *pipeline_last(const struct pipeline *p);

#endif
