/** A schedule is data: for each rank an array of small actions, built from (kind, P, chunks, group,
 * M) and nothing else.
 *
 *  Built in two passes: the order of forwards and backwards, then the sends and receives it
 * implies. The backward of a stage is I (input gradient, sent as soon as it ends) then W (weight
 * gradient); `B` prints an adjacent pair I W of one microbatch. 1f1b on 3 stages, 4 microbatches,
 * as schedule_print_grid draws it:
 *
 *      rank 0    F0 F1 F2 .  .  I0 W0 F3 I1 W1 .  I2 W2 .  I3 W3
 *      rank 1    .  F0 F1 .  I0 W0 F2 I1 W1 F3 I2 W2 .  I3 W3
 *      rank 2    .  .  F0 I0 W0 F1 I1 W1 F2 I2 W2 F3 I3 W3
 *
 *  A schedule is simulated over all ranks before it runs. */
#ifndef ATTNRES_SCHEDULE_H
#define ATTNRES_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/error.h>

enum {
    SCHEDULE_MAX_DEPTH = 64,
    SCHEDULE_MAX_ACTIONS = 20000000, /* that are built and simulated whole */
};

enum action_op {
    ACTION_RECEIVE_VALUES, /* wait for, check and unpack the message from the stage before */
    ACTION_FORWARD,
    ACTION_SEND_VALUES,       /* pack and post to the stage behind */
    ACTION_RECEIVE_GRADIENTS, /* from the stage behind */
    ACTION_INPUT_GRADIENT,
    ACTION_SEND_GRADIENTS, /* to the stage before */
    ACTION_WEIGHT_GRADIENT,
};

struct action {
    enum action_op op;
    int32_t microbatch;
    int32_t chunk;
    int32_t slot; /* activations of this microbatch and chunk, from the receive or forward until W;
                     in an order without backward until the rank's last forward of the microbatch */
    int32_t gradient_slot; /* gradients, from the receive or I until W, and until the I of the stage
                              before if that is on the same rank; -1 where none is held */
};

struct schedule_spec {
    enum schedule_kind kind;
    int n_ranks;  /* P */
    int n_chunks; /* stages per rank */
    int group;    /* interleaved: microbatches that go through a chunk in turn; 0: n_ranks */
    int n_microbatches;
};

/** Numbering of the stages: which stage a chunk of a rank is, and back. Chunk c of rank r is stage
 * c*P + r; in zb_v chunk 0 is stage r and chunk 1 stage 2P-1-r, so that the two stages in the
 * middle share a rank. Nothing is sent between two stages of one rank: the second takes what it
 * needs from the slot of the first (schedule_slot, schedule_gradient_slot). */
int schedule_stage(const struct schedule_spec *spec, int rank, int chunk);
void schedule_place(const struct schedule_spec *spec, int stage, int *rank, int *chunk);
/** Whether a message crosses the cut between stage and stage + 1: both exist, on different ranks.
 */
bool schedule_cut_has_message(const struct schedule_spec *spec, int stage);

/** The order without backward for evaluation on the stages of a kind. */
enum schedule_kind schedule_forward_kind(enum schedule_kind kind);

struct schedule {
    struct schedule_spec spec;
    struct action *actions; /* of all ranks, one after another */
    int64_t *first_action;  /* n_ranks + 1 offsets into actions */
    int *n_slots;           /* per rank: activation slots the rank needs for all its chunks */
    int *n_gradient_slots;  /* per rank */
    bool *alternates; /* per rank: there are I, and each W follows its I at once, as nothing is sent
                         in between. Part after part may then take its W behind its I. */
    int32_t *slots, *gradient_slots; /* per rank, chunk and microbatch: see schedule_slot */
    /* Messages that a cut holds in one direction, sent and not yet taken by their receive action:
     * with so many receives posted in advance no order of events deadlocks; at least 1. 2 for all
     * kinds but interleaved, where the cut back to rank 0 takes (P+1)/2 + 1, or a group if larger.
     */
    int channel_depth;
};

/** Build and slot a schedule. ERROR_CONFIG if the combination is illegal, naming the rule and the
 * nearest legal value; ERROR_INTERNAL if the result does not simulate. End with schedule_finish. */
bool schedule_init(struct schedule *schedule, const struct schedule_spec *spec, struct error *err);
void schedule_finish(struct schedule *schedule);

/** The slot that a microbatch has in a chunk of a rank, the same while it has one; -1: never. */
int schedule_slot(const struct schedule *schedule, int rank, int chunk, int microbatch);
int schedule_gradient_slot(const struct schedule *schedule, int rank, int chunk, int microbatch);

/** The most microbatches that a chunk of a rank has at a time between an action of this kind and
 * the end of their W. They come and go in ascending order. */
int schedule_count_live(const struct schedule *schedule, int rank, int chunk, enum action_op from);

/** What one microbatch takes on one stage, and what its messages take. The rank that packs a
 * message or unpacks it computes nothing meanwhile; a message occupies its sender's link for
 * `transit`. */
struct schedule_stage_costs {
    double forward, input_gradient, weight_gradient;
    double pack_values, values_transit, unpack_values;          /* values it sends; receives */
    double pack_gradients, gradients_transit, unpack_gradients; /* gradients it sends; receives */
};

/** Durations of one microbatch, any unit: on every stage alike, per chunk share already divided, or
 * stage by stage; `send` is the time from a message's leaving until it is there. */
struct schedule_costs {
    double forward, input_gradient, weight_gradient, send;
    bool send_after_weights; /* gradient leaves at the end of B instead of the end of I */
    const struct schedule_stage_costs *stages; /* borrowed, one per stage; NULL: all alike, and
                                                  messages occupy nothing */
};

/** How long its rank is at an action. */
double schedule_duration(const struct schedule_stage_costs *costs, enum action_op op);

struct schedule_simulation {
    double makespan;
    double *busy;   /* per rank: time computing */
    double *start;  /* per action, in the order of schedule->actions */
    int *peak_live; /* per rank: microbatch-chunks between F and the end of W */
};

/** Run all ranks against each other. Fails (ERROR_INTERNAL) with the grid and the failing cell
 * marked if an action cannot complete, a send meets no receive or not in order, a backward precedes
 * its forward, a live slot is overwritten, or more than channel_depth messages pile up on a link.
 * End with schedule_simulation_finish. */
bool schedule_simulate(struct schedule_simulation *out, const struct schedule *schedule,
                       const struct schedule_costs *costs, struct error *err);
void schedule_simulation_finish(struct schedule_simulation *simulation);

/** What planning wants to know of a schedule, of any size. */
struct schedule_summary {
    bool is_whole;   /* simulated whole; otherwise by the rule below */
    double makespan; /* per rank: */
    double *busy;
    int64_t *peak_live, *n_slots, *n_gradient_slots;
    int channel_depth;
};

/** Summarise a schedule of at most max_actions by simulating it. A longer one fills, then repeats
 * itself, then drains: two short ones, as many microbatches modulo the period and one period apart,
 * give the two ends and one period, and everything grows by that with each further period.
 * Errors as schedule_init and schedule_simulate. End with schedule_summary_finish. */
bool schedule_summarize(struct schedule_summary *out, const struct schedule_spec *spec,
                        const struct schedule_costs *costs, int64_t max_actions, struct error *err);
void schedule_summary_finish(struct schedule_summary *summary);

/** The text form: one line per rank, one token per compute action (`F0 F1 B0`, with chunks `1F0`).
 * Returns the length like snprintf. schedule_parse reads it back into compute actions and runs the
 * second pass; ERROR_DATA with line and token if it is not a schedule of that spec. */
size_t schedule_print(const struct schedule *schedule, char *text, size_t capacity);
bool schedule_parse(struct schedule *schedule, const struct schedule_spec *spec, const char *text,
                    size_t length, struct error *err);

/** The grid: a line per rank with a cell per unit of time, from a simulation of unit costs; width
 * is the most columns of text (cut with "..." beyond). Returns the length like snprintf. */
size_t schedule_print_grid(const struct schedule *schedule, int width, char *text, size_t capacity);

#endif
