/** What the files of the plan module share: partition and the memory it leads to. */
#ifndef ATTNRES_PLAN_INTERNAL_H
#define ATTNRES_PLAN_INTERNAL_H

#include <attnres/plan.h>

/** Count what each part of the plan's model costs. Needs depth, params and the number of
 * microbatches; end with plan_costs_finish. */
void plan_costs_count(struct plan_costs *costs, const struct plan *plan);
void plan_costs_finish(struct plan_costs *costs);

/** The message of these values, and of their gradients, over a cut in front of a sublayer. */
struct wire_layout plan_layout_values(const struct plan *plan, const struct depth_set *set);
struct wire_layout plan_layout_gradients(const struct plan *plan, const struct depth_set *set,
                                         int64_t cut);

/** Bytes that a message may take, deflated or not; ERROR_CONFIG if one of the plan is more than the
 * transport can carry. */
size_t plan_message_bytes(const struct plan *plan, const struct wire_layout *layout);
bool plan_check_messages(const struct plan *plan, struct error *err);

/** Stages, ranks and routing of a plan that has all else; what plan_drop_stages frees. */
bool plan_make_stages(struct plan *plan, const int64_t *ends, struct error *err);
void plan_drop_stages(struct plan *plan);

/** Share the rows of each rank of the pipeline among the replicas, as evenly as whole rows allow.
 */
void plan_choose_owners(struct plan *plan);

/** Bytes of the replica that needs the most at a rank of the pipeline; SIZE_MAX if that cannot be
 * addressed. at_rank: which rank of the grid that is; may be NULL. */
size_t plan_most_bytes(const struct plan *plan, int rank, int *at_rank);

/** Decide what a stage keeps and which parts it runs again together; the rest of the stage is
 * there.
 */
void plan_place_values(struct stage *stage, const struct plan *plan);

/** How many more times than once a training step runs the forward pass of sublayer l of a
 * microbatch, on average over where cuts may lie: what is in the last block and, under `all`, the
 * last stage is left to I by F. */
double plan_repeats(const struct plan *plan, int64_t l);

/** ERROR_LAUNCH if there are more stages than sublayers, ERROR_CONFIG if one rank has more. */
bool plan_check_stages(const struct plan *plan, struct error *err);
/** Cut the plan's L sublayers into its stages: ends[i] is the end of stage i. A function of the
 * configuration and the number of ranks alone. Needs all of the plan but stages, ranks and routing.
 */
bool plan_partition(int64_t *ends, const struct plan *plan, struct error *err);

/** Work of the sublayers [first, end) with embedding or head, without cuts; and with them, as stage
 * `index`. A cut between two stages of one rank costs nothing. */
double partition_work(const struct plan *plan, int64_t first, int64_t end);
double partition_stage_work(const struct plan *plan, int index, int64_t first, int64_t end);
/** Sublayers of a block of model.blocks, which guide the partition of kinds without blocks as well;
 * and whether a cut in front of sublayer l lies on a border of those. */
int64_t partition_block_size(const struct plan *plan);
bool partition_is_border(const struct plan *plan, int64_t l);
/** How many sources the read in front of sublayer l has, if the depth kernel runs for it: 0 of one
 * source, which is passed through, and of `standard`. */
int64_t plan_deep_sources(const struct depth_plan *depth, int64_t l);

/** What is known not to fit memory.limit: a rank with these chunks, and therefore any rank with as
 * many slots whose chunks contain them and receive and send as much. */
struct misfit {
    int rank;
    int64_t *first, *end; /* per chunk */
};
struct misfits {
    const struct plan *plan;
    struct misfit *rows;
    int64_t n_rows, capacity;
};
/** Lay out all ranks under these stage ends and note those beyond memory.limit; returns how many
 * there are. */
int misfits_note(struct misfits *misfits, const int64_t *ends);
/** Whether a rank that owns these stages, one per chunk, is known not to fit. */
bool misfits_contain(const struct misfits *misfits, int rank, const int64_t *first,
                     const int64_t *end);
void misfits_finish(struct misfits *misfits);

const char *plan_group_name(enum buffer_group group);
/** Bytes of the rank that needs the most, if the stages recomputed like that; SIZE_MAX if that
 * cannot be addressed. */
size_t plan_most_bytes_recomputing(const struct plan *plan, enum recompute_kind recompute);

/** One chunk a rank: the partition whose slowest stage is the fastest possible; of those with the
 * fewest cuts inside blocks; of those the most even. Exact. False if every one has a misfit.
 * misfits may be NULL. */
bool partition_search(int64_t *ends, const struct plan *plan, const struct misfits *misfits);
/** Several chunks a rank: the slowest rank as fast as possible, then the slowest stage, the cuts
 * inside blocks, the evenness. All partitions are tried if they are few; otherwise cuts are moved,
 * from where `ends` has them, as long as that helps: a descent, not proven best of all. False if it
 * ends at a misfit. */
bool partition_balance(int64_t *ends, const struct plan *plan, const struct misfits *misfits);

#endif
