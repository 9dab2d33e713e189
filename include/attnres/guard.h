/** Guards: what a run makes of numbers that are not finite, that jump, or that do not repeat.
 *
 *  The judge looks at each step's loss and gradient norm. It is a pure function; its state goes
 * into the checkpoint, so that a resumed run decides as one that was never interrupted.
 *
 *  A probe looks on while the engine computes a step, and keeps the first tensor that is not
 * finite, or that is not, bit for bit, what it was when the same step was computed before. First in
 * the order of cause and effect, microbatch after microbatch:
 *
 *      what a stage takes in, outputs of sublayers 0 ... L - 1, logits,
 *      gradients (I, then W) of the head, sublayers L - 1 ... 0, what a stage gives back
 *
 *  What is wrong makes wrong what depends on it, on other ranks too; the first of all ranks is
 * where it came from. A step without a probe pays nothing for this. */
#ifndef ATTNRES_GUARD_H
#define ATTNRES_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/json.h>
#include <attnres/model.h>
#include <attnres/plan.h>

/** A running mean over the last 100 values or so: each weighs a hundredth less than the next. */
struct guard_average {
    double mean, variance;
};

/** What the judge remembers. */
struct guard_state {
    int64_t n_skips_in_a_row;
    int64_t n_seen; /* steps in the averages; stays 0 while guard.spike_z is 0 */
    struct guard_average loss, grad_norm;
};

struct guard_judgement {
    int32_t not_finite, is_spike;
    int32_t
        skips; /* the update is left out: not finite, a spike that shall be, or nothing counts */
    int32_t stops;              /* it was one too many in a row */
    double loss_z, grad_norm_z; /* of a spike: standard deviations above the mean */
};

/** Judge a step; counts: whether any target did, without which there is no loss to look at. A value
 * beyond the limit goes into the averages as the limit, so that it neither hides the next one nor,
 * where it is a lasting change, is refused for ever. Nothing is a spike before 20 steps. */
struct guard_judgement guard_judge(struct guard_state *state, const struct guard_config *config,
                                   double loss, double grad_norm, bool counts);

/** The state's members, into an open object; and back. False if one is not what was written. Keys
 * that an earlier version did not write may be absent. */
void guard_write_state(struct json_writer *w, const struct guard_state *state);
bool guard_read_state(struct guard_state *state, const struct json_value *object);

enum guard_what {
    GUARD_NOTHING,
    GUARD_WEIGHT,   /* weights before the step */
    GUARD_TAKEN,    /* what a stage takes in: values of the stage before, or the embedding */
    GUARD_OUTPUT,   /* of a sublayer; of the head: logits */
    GUARD_GRADIENT, /* of a row of the parameter table, after I or W of a microbatch */
    GUARD_GIVEN,    /* what a stage gives back: gradients of what it took in */
    GUARD_SUM,      /* a row's gradient, summed over tied ends and replicas */
    GUARD_SQUARES,  /* the sum of its squares, by its owner */
    GUARD_UPDATE,   /* the row, or its moments, behind the update */
};

/** A tensor that is not as it should be. */
struct guard_finding {
    int64_t order; /* of cause and effect, over all ranks */
    int32_t what;  /* enum guard_what */
    int32_t rank;  /* of the grid */
    int32_t stage;
    int32_t microbatch; /* of the step, over all replicas; -1: none */
    int64_t index;      /* sublayer of an output; row of the parameter table */
};

_Static_assert(sizeof(struct guard_finding) == 32, "it is sent as it lies in memory: no padding");

enum guard_task { GUARD_FIND_NOT_FINITE, GUARD_REMEMBER, GUARD_COMPARE };

struct guard_probe {
    enum guard_task task;
    const struct plan *plan;
    const struct memory *memory;
    int rank;       /* of the grid */
    uint64_t *seen; /* BUFFER_HASHES: REMEMBER fills it, COMPARE reads it */
    struct guard_finding first;
};

/** Memory is borrowed; REMEMBER and COMPARE need guard.check_every in the plan. */
void guard_probe_init(struct guard_probe *probe, enum guard_task task, const struct plan *plan,
                      const struct memory *memory, int rank);

/** What the engine calls; a probe of NULL looks at nothing. After a stage has taken in a
 * microbatch's values; after a part of F, also one that I runs again; after a part of I or W; after
 * all of I. */
void guard_look_taken(struct guard_probe *probe, const struct model *model,
                      const struct action *action);
void guard_look_forward(struct guard_probe *probe, const struct model *model,
                        const struct action *action, int part);
void guard_look_backward(struct guard_probe *probe, const struct model *model,
                         const struct action *action, int part);
void guard_look_given(struct guard_probe *probe, const struct model *model,
                      const struct action *action);
/** Before a step, and behind the sums of its gradients: of each of the rank's stages. */
void guard_look_weights(struct guard_probe *probe, const struct model *model);
void guard_look_sums(struct guard_probe *probe, const struct model *model);

/** A row of the parameter table on the rank that owns it. */
struct guard_finding guard_find_row(const struct plan *plan, int rank, enum guard_what what,
                                    const struct param *row);

/** The earlier of two findings becomes *first. */
void guard_merge(struct guard_finding *first, const struct guard_finding *other);

/** "the output of model.layers.3.mlp (microbatch 1, stage 2, rank 2)". */
void guard_explain(char *text, size_t capacity, const struct guard_finding *finding,
                   const struct plan *plan);

#endif
