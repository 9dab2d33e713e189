/** Message routing as data: which values cross each hop between two stages, and whose gradients
 * come back.
 *
 *  Without cache a hop carries everything live at its cut. With the message cache a rank keeps the
 * completed sources that its stages have received or produced, and a hop carries only what the
 * receiver's rank does not hold; open values are new at each cut and never cached. 2 ranks, 2
 * chunks, one block a stage:
 *
 *      stage 0 (rank 0)  --b0 b1-->  stage 1 (rank 1)  --b2-->  stage 2 (rank 0)  --b3-->  stage 3
 *
 *  On the way back a stage adds up, for every value, what the stage behind returned, the deposits
 * of later stages of its rank, and its own reads; the sum goes to the stage before (`received`),
 * is deposited for the stage that brought the value to the rank (`cached`), or ends here
 * (produced). Nothing is sent on a rank: before F a cached value is copied from the activation slot
 * of the stage that brought it, which keeps it until that stage's W, behind every use. */
#ifndef ATTNRES_ROUTING_H
#define ATTNRES_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/depth.h>
#include <attnres/error.h>
#include <attnres/schedule.h>

struct routing_stage {
    int rank, chunk;
    int64_t first, end;        /* sublayers */
    struct depth_set received; /* from the stage before; their gradients go back there. Empty on
                                  the first stage, which makes b_0 itself. */
    bool is_local;             /* the stage before is on the same rank: taken over, not sent */
    struct depth_set cached;   /* held by the rank before: copied from the slot of the stage that
                                  brought them, a gradient deposited for each */
    struct depth_set brought;  /* what the stage is the first of its rank to hold, received or
                                  produced; later stages of the rank find it here */
    int n_deposits;            /* that each brought value collects before its gradient goes on */
};

struct routing {
    bool cache;
    int n_stages, n_ranks;
    int64_t n_completed;          /* sources b_0 ... of the depth plan */
    struct routing_stage *stages; /* ascending */
    int *bringers;                /* (n_ranks, n_completed): see routing_bringer */
};

/** Route a depth plan over stages that end at `ends` (P*chunks entries, ascending, the last L), on
 * the ranks where the schedule places them. Fails only for want of memory. End with
 * routing_finish. */
bool routing_init(struct routing *routing, const struct depth_plan *depth, const int64_t *ends,
                  const struct schedule_spec *schedule, bool cache, struct error *err);
void routing_finish(struct routing *routing);

/** What a stage hands to the stage behind: what that one receives; empty behind the last. */
struct depth_set routing_sent(const struct routing *routing, int stage);

/** The stage that brought completed value `id` to a rank; -1: none, or no cache. */
int routing_bringer(const struct routing *routing, int rank, int64_t id);

/** The stages of a rank that hold a microbatch's cached sources first and last: in training the
 * rank may free them after I of the first, without backward after F of the last. */
int routing_first_stage(const struct routing *routing, int rank);
int routing_last_stage(const struct routing *routing, int rank);

/** Tensors that a rank's deposits of one microbatch take: values 0 ... n - 1, in place by id. */
int64_t routing_deposit_count(const struct routing *routing, int rank);
/** Microbatches that have deposits on a rank at a time, from I of its last stage until I of its
 * first; 0 without. Microbatch k can use slot k % n, since they come and go in ascending order. */
int routing_deposit_slots(const struct routing *routing, const struct schedule *schedule, int rank);

/** Tensors that a microbatch sends from rank to rank in one direction, over all hops. */
int64_t routing_count_sent(const struct routing *routing);

#endif
