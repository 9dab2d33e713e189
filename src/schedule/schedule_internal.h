/** What the files of the schedule module share. */
#ifndef ATTNRES_SCHEDULE_INTERNAL_H
#define ATTNRES_SCHEDULE_INTERNAL_H

#include <attnres/schedule.h>
#include <attnres/text.h>

/** What a kind of schedule is: its order of compute and the limits of its grid. */
struct schedule_rule {
    bool has_backward;
    bool is_v; /* chunk 1 goes back over the ranks: the last rank's two stages are neighbours */
    bool has_groups;            /* of microbatches, which go through one chunk after another */
    int min_chunks, max_chunks; /* stages that a rank may own */
    /** Write the compute actions of a rank in order; returns how many. Room is
     * schedule_order_capacity. */
    int64_t (*order)(const struct schedule_spec *spec, int rank, struct action *order);
};

/** The orders of the rules; each writes schedule_order_capacity actions. */
int64_t schedule_order_forward(const struct schedule_spec *spec, int rank, struct action *order);
int64_t schedule_order_gpipe(const struct schedule_spec *spec, int rank, struct action *order);
int64_t schedule_order_1f1b(const struct schedule_spec *spec, int rank, struct action *order);
int64_t schedule_order_interleaved(const struct schedule_spec *spec, int rank,
                                   struct action *order);
int64_t schedule_order_zb_h1(const struct schedule_spec *spec, int rank, struct action *order);
int64_t schedule_order_zb_v(const struct schedule_spec *spec, int rank, struct action *order);
int64_t schedule_order_forward_v(const struct schedule_spec *spec, int rank, struct action *order);

const struct schedule_rule *schedule_find_rule(enum schedule_kind kind);
bool schedule_check_spec(const struct schedule_spec *spec, struct error *err);
/** Whether the spec has no more actions than that; the error if more than may be built. */
bool schedule_fits(const struct schedule_spec *spec, int64_t max_actions);
bool schedule_check_size(const struct schedule_spec *spec, struct error *err);

/** Microbatches of a group. */
int schedule_group(const struct schedule_spec *spec);
/** The largest legal group of at most so many; 0: none. */
int schedule_group_below(const struct schedule_spec *spec, int most);

/** Compute actions that a rank of this schedule has. */
int64_t schedule_order_capacity(const struct schedule_spec *spec);
int schedule_count_stages(const struct schedule_spec *spec);

/** Whether the cut lies between two stages of one rank: no message, the second takes what it needs
 * from the first one's slot. */
bool schedule_cut_is_local(const struct schedule_spec *spec, int stage);

/** Room for the actions of all ranks. End with schedule_finish. */
bool schedule_allocate(struct schedule *schedule, const struct schedule_spec *spec,
                       struct error *err);
/** Append the program of the next rank: its order with the receives and sends that it implies. */
void schedule_append_rank(struct schedule *schedule, int rank, const struct action *order,
                          int64_t n_order);
/** Index into the slot tables. */
int64_t schedule_pair(const struct schedule_spec *spec, int rank, int chunk, int microbatch);
/** Whether an order without backward needs nothing of the microbatch on this rank after the action:
 * until then a later stage of the rank may take values from the slots of the earlier ones. */
bool schedule_is_last_forward(const struct schedule_spec *spec, int rank,
                              const struct action *action);
/** Give every action its slots, the lowest that are free. */
bool schedule_assign_slots(struct schedule *schedule, struct error *err);
/** Slots and channel depth, once all ranks are there. */
bool schedule_complete(struct schedule *schedule, struct error *err);

/** Order of the messages on one cut in one direction: FIFO, exactly one per microbatch. */
struct simulated_link {
    int64_t n_sent, n_received;
    int32_t *microbatch; /* of each message sent */
    double *arrival;     /* when it can be received */
    double *sent;        /* when it was handed over */
    double *received;    /* when it was consumed */
};

/** A run of all ranks against each other, in any order that the messages allow: neither the result
 * nor a failure depends on which rank goes first. */
struct simulation {
    const struct schedule *schedule;
    struct schedule_costs costs;
    struct schedule_stage_costs alike; /* of every stage, where the costs do not tell them apart */
    int channel_depth;                 /* messages that a link holds; 0: any number */
    int n_stages;
    int64_t *next;     /* per rank: index of its next action */
    double *clock;     /* per rank */
    double *busy;      /* per rank: computing */
    double *link_free; /* per rank: when what it sent so far has left */
    int *live, *peak_live;
    double *start;                             /* per action */
    unsigned char *done;                       /* per stage and microbatch: a bit per op */
    int64_t *slot_owner, *gradient_slot_owner; /* stage * M + microbatch + 1; 0: free */
    int64_t *first_slot, *first_gradient_slot; /* per rank: offset into the owners */
    struct simulated_link *links;              /* 2 per cut: values, gradients */
    int32_t *message_microbatches;
    double *message_times;
    int *runnable; /* stack of ranks to go on with */
    bool *is_runnable;
    int n_runnable;
    int failed_rank; /* -1: none */
    char reason[256];
};

/** Run; false if it failed (simulation.reason says why; the state stays for the grid) or memory
 * ran out (next is NULL). End with simulation_finish in either case. */
bool simulation_run(struct simulation *simulation, const struct schedule *schedule,
                    const struct schedule_costs *costs, int channel_depth);
void simulation_finish(struct simulation *simulation);

enum step { STEP_DONE, STEP_BLOCKED, STEP_FAILED };

/* One action in its surroundings. */
struct moment {
    int rank, stage;
    const struct action *action;
    int64_t index; /* into schedule->actions */
    int64_t pair;  /* stage * M + microbatch */
};

/** Record why the moment's rank failed; STEP_FAILED. */
enum step simulation_fail(struct simulation *simulation, const struct moment *moment,
                          const char *format, ...) __attribute__((format(printf, 3, 4)));
bool simulation_is_done(const struct simulation *simulation, int64_t pair, enum action_op op);
/** What must have happened on the same stage (or, when both share a rank, on its neighbour) before
 * an action. */
enum step simulation_check_order(struct simulation *simulation, const struct moment *moment);
/** Claim, check and release the action's slots. */
enum step simulation_check_slots(struct simulation *simulation, const struct moment *moment);

/** The most messages that wait on one link at a time. */
int simulation_peak_messages(const struct simulation *simulation);

/** Costs of 1 for every compute action, messages at once. */
struct schedule_costs schedule_unit_costs(void);

/** One token: F0, 1F0, B0 and so on. */
void schedule_format_token(const struct schedule_spec *spec, char letter,
                           const struct action *action, char *token, size_t capacity);

/** Set err to the simulation's failure: the reason, then the grid around the failing rank. */
bool schedule_report_failure(const struct schedule *schedule, int channel_depth, struct error *err);

#endif
