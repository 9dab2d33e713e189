/** The depth plan: who reads what, as data.
 *
 *  Computed from (kind, L, N) and nothing else. Every tensor that a read may attend over, or that
 * crosses a cut, is a *value* with an id that is the same on every rank:
 *
 *      0 ... N          completed sources b_0 (the embedding) ... b_N
 *      N + 1 + l        what sublayer l leaves in the open block: its output (`block_full`), the
 * partial sum after it (`block`), the running sum after it (`standard`, where N = 0)
 *
 *  `full` is a plan with blocks of one sublayer. The sources of read l are exactly what is live at
 * a cut in front of sublayer l, so one function answers both. Lists are never stored: a set of
 * values is two runs of ids. */
#ifndef ATTNRES_DEPTH_H
#define ATTNRES_DEPTH_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>

struct depth_plan {
    enum model_kind kind;
    int64_t n_sublayers; /* L */
    int64_t n_blocks;    /* N: sources that get completed beside b_0; 0 for standard, L for full */
    int64_t block_size;  /* S; the last block may be shorter; L for standard */
};

/** A set of values in ascending id: [first_completed, first_completed + n_completed), then
 * [first_open, ...). */
struct depth_set {
    int64_t first_completed, n_completed;
    int64_t first_open, n_open; /* ids */
};

/** Where the output y of a sublayer goes. */
struct depth_output {
    int64_t value;     /* the id that y becomes, alone or added to `adds_to` */
    int64_t adds_to;   /* id of the sum that y is added to; -1: y is the value itself */
    int64_t completes; /* id of the block sum that this sublayer completes out of several values;
                          -1: none. (A value that is its block's only or last sum is itself
                          completed, without a copy.) */
};

struct depth_plan depth_plan_make(const struct model_config *model);

/** Sources of read l, which are the values live in front of sublayer l; l = L is the read of the
 * head. */
struct depth_set depth_live(const struct depth_plan *plan, int64_t l);
int64_t depth_set_count(const struct depth_set *set);
/** The i-th id of a set; requires i < depth_set_count. */
int64_t depth_set_id(const struct depth_set *set, int64_t i);

struct depth_output depth_output_of(const struct depth_plan *plan, int64_t l);

/** The members of block n (counted from 1) as sublayers [first, end). */
int64_t depth_block_of(const struct depth_plan *plan, int64_t l);
int64_t depth_block_first(const struct depth_plan *plan, int64_t n);
int64_t depth_block_end(const struct depth_plan *plan, int64_t n);

/** The id of what sublayer l leaves open. */
int64_t depth_open_id(const struct depth_plan *plan, int64_t l);

/** Whether a cut in front of sublayer l lies on a block border (standard: everywhere). */
bool depth_is_border(const struct depth_plan *plan, int64_t l);

/** (read, source) pairs of all reads with more than one source: what depth attention costs per
 * token. */
int64_t depth_pair_count(const struct depth_plan *plan);

#endif
