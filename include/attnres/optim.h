/** The update: learning rate, gradient norm, clipping, AdamW, for the tensors of one rank.
 *
 *  Works on BUFFER_WEIGHTS, BUFFER_GRADIENTS and the two moments row by row of the parameter table,
 * so that the result does not depend on how rows are spread over stages. It does not communicate.
 */
#ifndef ATTNRES_OPTIM_H
#define ATTNRES_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/kernels.h>
#include <attnres/plan.h>

/** One rank's tensors; everything is borrowed. Only those that its replica owns are looked at. */
struct optim {
    const struct plan *plan;
    int rank; /* of the pipeline */
    const struct memory *memory;
    const struct kernels *kernels;
    bool twice; /* compute all twice and compare; needs guard.check_every in the plan */
    /** If not NULL: called before an update changes a row of one of the rank's chunks. */
    void (*before_change)(void *user, int chunk, const struct param *param);
    void *user;
};

/** Learning rate of the update with index s (counted from 0). */
double optim_lr(const struct optim_config *config, int64_t n_steps, int64_t s);

/** Squares of the gradients that the rank owns, one f64 per parameter row, its stages in order;
 * what stands at other rows stays. Returns the first row whose sum differed the second time, or
 * NULL.
 */
const struct param *optim_squares(const struct optim *optim, double *squares);

/** Factor on every gradient for a global norm, as PyTorch clips: min(1, clip / (norm + 1e-6)); 1 if
 * clip is 0. */
double optim_clip_factor(const struct optim_config *config, double norm);

/** One AdamW update of every row that the rank owns. n_updates counts this one (the first is 1).
 * Returns the first row whose weight or moments came out differently the second time, or NULL. */
const struct param *optim_update(const struct optim *optim, const struct optim_config *config,
                                 double lr, double clip_factor, int64_t n_updates);

#endif
