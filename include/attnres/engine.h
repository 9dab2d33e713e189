/** The engine carries out one rank's schedule, one action after another. It decides nothing and
 * allocates nothing after engine_init.
 *
 *  A program counter and one switch: engine_advance performs one action or says that it must wait.
 * Receives are posted ahead, as many as the schedule's channel depth; a send waits only for its own
 * buffer. Counters of messages run on from schedule to schedule, so that forward passes of an
 * evaluation follow each other down the pipeline without waiting. */
#ifndef ATTNRES_ENGINE_H
#define ATTNRES_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/collective.h>
#include <attnres/guard.h>
#include <attnres/model.h>
#include <attnres/plan.h>
#include <attnres/transport.h>

enum engine_state { ENGINE_DONE, ENGINE_WORKED, ENGINE_WAITING };

/** One direction between one of the rank's stages and a neighbour stage. From a neighbour on the
 * same rank tensors are copied out of its slot, without a message. */
struct engine_link {
    int peer; /* rank; -1: no neighbour */
    int peer_stage;
    int tag_chunk; /* the receiving stage's chunk */
    enum transport_channel channel;
    enum buffer_id buffer;
    int first_slot;              /* of the buffer: the chunk's share */
    const struct depth_set *set; /* values of a message, or values whose gradients it carries */
    struct wire_layout layout;
    int64_t n_expected;                 /* receiving: messages that the schedules so far bring */
    int64_t n_posted;                   /* receives posted, or messages sent */
    int64_t n_done;                     /* receiving: taken out of their buffers */
    struct transport_request *requests; /* one per buffer */
};

/** The links of one chunk. */
struct engine_chunk {
    struct engine_link values_in, values_out, gradients_in, gradients_out;
};

/** The batch that a schedule works on. Memory stays with the caller until the schedule is done. */
struct engine_batch {
    const int32_t *tokens;     /* (M, n): first stage */
    const int32_t *targets;    /* (M, n): last stage */
    float loss_scale;          /* see model_work */
    bool wants_best;           /* for schedules of one microbatch */
    int64_t position;          /* see model_work */
    double *losses;            /* (M), last stage: nats of each microbatch; may be NULL elsewhere */
    struct guard_probe *probe; /* looks on; NULL: nobody does */
};

/** What a rank's time went to; sums since engine_init. No moment counts twice, so what is left of
 * a loop's time went to something else. */
struct engine_times {
    double forward_s, recompute_s, input_gradient_s, weight_gradient_s, wait_s, pack_s;
    double read_s, reduce_s, optimizer_s; /* batches; gradients of several ranks; norm and update */
    double evaluate_s, save_s;            /* whole, with what is waited and sent meanwhile */
    int64_t bytes_raw, bytes_sent;        /* of messages: as laid out, and as sent */
};

struct engine {
    const struct plan *plan;
    const struct model *models; /* one per chunk */
    const struct memory *memory;
    struct transport *transport;
    int rank;
    int depth; /* buffers per link */
    const struct schedule *schedule;
    int64_t counter, end; /* next action, and one behind the last */
    int64_t round;        /* schedules begun; identifies messages */
    struct engine_batch batch;
    struct engine_chunk *chunks;
    struct transport_request *requests; /* of all links */
    struct wire_codec codec;
    int *n_deposited; /* message cache: deposits that lie in a slot for a value; (slots, values) */
    struct transport_request *pending; /* what ENGINE_WAITING waits for */
    float **tensors, **scales;         /* scratch: tensors of one message */
    struct engine_times times;
    /* With replicas; else NULL: */
    struct collective_exchange *exchange;
    struct collective_tensor *gradients, *weights; /* of the rank, in the order of finishing */
    struct transport_request **awaited;            /* scratch */
};

/** Borrow everything. models: the rank's stages by chunk. */
void engine_init(struct engine *engine, const struct plan *plan, const struct model *models,
                 const struct memory *memory, struct transport *transport);
void engine_finish(struct engine *engine);

/** Whether the messages of one direction across the cut behind a stage are deflated: said before
 * the first message, the same on both its ranks. Where nothing is said they are if pipeline.deflate
 * is on. The plan must have memory for it. A cut that the rank has no side of changes nothing. */
void engine_set_deflation(struct engine *engine, int cut, enum wire_direction direction, bool on);

/** Start a schedule: collective in the sense that every rank begins the same schedules in the same
 * order. */
void engine_begin(struct engine *engine, const struct schedule *schedule,
                  const struct engine_batch *batch);

/** Perform one action, or report that the next one must wait for engine->pending, or that all are
 * done. */
enum engine_state engine_advance(struct engine *engine);

/** engine_begin, then advance to the end, waiting where needed. */
void engine_run(struct engine *engine, const struct schedule *schedule,
                const struct engine_batch *batch);

/** Wait until everything sent to neighbours has left its buffer. */
void engine_drain(struct engine *engine);

/** Replicas add up their gradients while a training schedule runs: a row's sum begins when its last
 * contribution is in, and goes on between the parts of forward, I and W, whose events then contain
 * it, and while the rank waits, as events of its own. Behind the schedule, and once a tied
 * embedding has the head's gradient, wait until the rows that this rank owns hold the sums of all
 * replicas. Nothing with one replica. */
void engine_sum_gradients(struct engine *engine);
/** After the update of what each rank owns: give all replicas the new weights. */
void engine_hand_out_weights(struct engine *engine);

#endif
