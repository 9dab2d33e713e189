/** Whole training runs on the ranks of a local world, each rank a thread, and what two such runs
 * have come to. */
#ifndef ATTNRES_TESTS_LOCAL_TRAIN_H
#define ATTNRES_TESTS_LOCAL_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/train.h>

enum { LOCAL_TRAIN_MAX_RANKS = 8 };

/** Train; resume_from: a step or run folder to go on from, or NULL. result: rank 0's. False if any
 * rank failed; what went wrong is printed. */
bool local_train(struct train_result *result, const struct config *config, int n_ranks,
                 const char *resume_from);

/** Largest relative error over all tensors between the first moments that two runs saved at a step,
 * whatever ranks they were saved by; after one step these are a multiple of the gradients.
 * INFINITY if a tensor is missing. */
double local_train_compare_moments(const char *a_dir, const char *b_dir,
                                   const struct config *config, int64_t step);

#endif
