/** A rank with a tiny model, for tests of what is done with tensors: every element of every tensor
 * is a known function of the tensor's name, so that one can tell where it has come from. */
#ifndef ATTNRES_TESTS_SMALL_RANK_H
#define ATTNRES_TESTS_SMALL_RANK_H

#include <attnres/checkpoint.h>

struct small_rank {
    struct transport *transport;
    struct config *config;
    struct plan plan;
    struct memory memory;
    struct model model;
    char *config_text; /* as a run saves it */
};

/** The tiny model with these overrides (ended by NULL) on the transport's ranks. Aborts the world
 * if that fails. */
void small_rank_init(struct small_rank *r, struct transport *t, enum plan_purpose purpose,
                     const char *const *overrides);
void small_rank_finish(struct small_rank *r);

/** Fill weights and moments with their known values, or everything with NaN. */
void small_rank_fill(struct small_rank *r);
void small_rank_spoil(struct small_rank *r);
/** Whether the weights, and the moments if asked, have their known values; a tied head's copy
 * counts as a weight. */
bool small_rank_is_filled(const struct small_rank *r, bool with_moments);

struct checkpoint_saver *small_rank_saver(struct small_rank *r, const char *run_path,
                                          bool in_background);
/** Save, with a state whose every number is another one. */
bool small_rank_save(struct small_rank *r, const char *run_path, int64_t step, struct error *err);
struct checkpoint_state small_rank_state(int64_t step);

#endif
