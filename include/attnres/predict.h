/** What a planned step will take: its time and the parts of it, the bytes of its messages, a
 * picture of who does what when.
 *
 *  The plan's schedule is simulated with the cost of each stage's work, of packing and unpacking,
 * and of a link that one message of a rank occupies at a time. Behind the last action come the sum
 * over replicas, the update and the report to rank 0; nothing of them is taken to overlap. Not
 * predicted are evaluation, checkpoints and logging. */
#ifndef ATTNRES_PREDICT_H
#define ATTNRES_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/costs.h>
#include <attnres/error.h>
#include <attnres/json.h>
#include <attnres/kernels.h>
#include <attnres/plan.h>
#include <attnres/transport.h>

/** Seconds of one step. They add up to step_s. */
struct prediction {
    double compute_s;  /* forward, input and weight gradient: the mean over the ranks */
    double bubble_s;   /* how much longer it takes, ranks waiting for each other, messages free */
    double messages_s; /* what packing, sending and waiting for messages add to that */
    double reduce_s;   /* gradients to their owners and weights back, over the replicas */
    double update_s;   /* of the rank with the most to update; a tied head's way included */
    double report_s;   /* every rank's report to rank 0, and its decision back */
    double step_s;
    double efficiency; /* compute_s / step_s */
    double tokens_per_s;
    struct schedule_stage_costs *stages; /* as simulated, messages included */
    struct schedule_simulation simulation;
};

/** The key of the first rate that a prediction of this plan lacks, as a file of costs spells it;
 * NULL: all are known. */
const char *predict_find_missing(const struct plan *plan, const struct costs *costs);

/** Predict a step. Requires that no rate is missing. End with prediction_finish. */
bool predict_step(struct prediction *out, const struct plan *plan, const struct costs *costs,
                  struct error *err);
void prediction_finish(struct prediction *prediction);

/** Bytes that one rank of a pipeline sends another in a step, in frames. */
struct predicted_link {
    int from, to;
    double bytes;
};
/** With these encodings and this routing in place of the plan's own. links: room for two a stage;
 * returns how many there are, in the order of the stages. */
int predict_links(struct predicted_link *links, const struct plan *plan,
                  const struct routing *routing, enum precision value, enum precision gradient);

/** The sum of it. */
struct predicted_traffic {
    double all;     /* over all links */
    double busiest; /* sent by the rank that sends the most */
};
struct predicted_traffic predict_traffic(const struct plan *plan, const struct routing *routing,
                                         enum precision value, enum precision gradient);

/** For people: bytes for every encoding and of each link, with and without cache; then, unless
 * prediction is NULL, the step's parts and a picture `width` columns wide. Length like snprintf. */
size_t predict_print(const struct plan *plan, const struct costs *costs,
                     const struct prediction *prediction, int width, char *text, size_t capacity);
/** Members of an open JSON object. */
void predict_write_json(struct json_writer *w, const struct plan *plan,
                        const struct prediction *prediction);
/** The picture as SVG. Length like snprintf. */
size_t predict_print_svg(const struct plan *plan, const struct prediction *prediction, char *text,
                         size_t capacity);

/** Measure what the configuration's work costs on this machine, all ranks at the same time, each on
 * one-rank models of its own: with the real kernels and shapes, as many of its layers as
 * max_bytes hold; then, with several ranks, what a message between neighbours takes. The same costs
 * on every rank. Collective over all ranks. */
bool predict_calibrate(struct costs *costs, const struct config *config,
                       struct transport *transport, const struct kernels *kernels,
                       int64_t max_bytes, struct error *err);

#endif
