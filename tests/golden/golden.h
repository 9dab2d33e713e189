/** A recorded case run by our own model: once by hand, from perturbed weights through one forward
 * pass and one schedule, for logits and gradients; then by train_run, from a checkpoint of the same
 * weights. */
#ifndef ATTNRES_TESTS_GOLDEN_H
#define ATTNRES_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>

#include "../support/safetensors.h"

enum { GOLDEN_MAX_STAGES = 3 };

/** One case on some stages. The folder is temporary: the caller puts token files in tokens/; start/
 * (a checkpoint) and run/ are made here. Ranks write disjoint parts of the results. */
struct golden_run {
    struct safetensors golden;
    int n_stages;
    char folder[FILE_PATH_BYTES];
    float *gradients;     /* of all rows, at the parameter table's offsets */
    float *head_gradient; /* tied: the head's share, (V,C); else untouched */
    float *logits;        /* of the first microbatch */
    double loss;          /* mean over the batch */
};

/** The golden's configuration, with folders of this run. init: weights to start from, or "none". */
bool golden_load_config(struct config *config, const struct golden_run *run, const char *init,
                        struct error *err);

/** Token of the batch at a place in its rows of seq_len + 1. */
int32_t golden_draw_token(const struct config *config, int64_t index);

/** Run the case on a local world, a thread per stage; fills the results and the folder. Prints why
 * if it fails. */
bool golden_run_ranks(struct golden_run *run);

#endif
