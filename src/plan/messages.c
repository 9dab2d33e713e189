/* Whether the transport can carry what ranks send each other whole. */
#include "plan_internal.h"

#include <attnres/transport.h>

static const size_t MOST_BYTES = (size_t)TRANSPORT_MAX_PARTS * TRANSPORT_PART_BYTES;

size_t plan_message_bytes(const struct plan *plan, const struct wire_layout *layout)
{
    const bool may_deflate = plan->config->pipeline.deflate != DEFLATE_OFF;
    return may_deflate ? wire_deflated_bytes(layout) : wire_frame_bytes(layout);
}

/** Bytes of a stage's larger message to or from the stage behind, with so many sequences. */
static size_t bytes_behind(const struct plan *plan, int stage, int64_t microbatch)
{
    struct wire_layout values = plan_values_layout(plan, stage),
                       gradients = plan_gradients_layout(plan, stage);
    const int64_t rows = plan->microbatch_tokens / plan->config->batch.microbatch * microbatch;
    values.rows = gradients.rows = rows;
    const size_t there = plan_message_bytes(plan, &values),
                 back = plan_trains(plan) ? plan_message_bytes(plan, &gradients) : 0;
    return there > back ? there : back;
}

/** The same of the cut whose messages are the largest. */
static size_t largest_bytes(const struct plan *plan, int64_t microbatch)
{
    size_t largest = 0;
    for (int stage = 0; stage + 1 < plan->n_stages; stage++) {
        if (schedule_cut_has_message(&plan->schedule.spec, stage)) {
            const size_t bytes = bytes_behind(plan, stage, microbatch);
            largest = bytes > largest ? bytes : largest;
        }
    }
    return largest;
}

/** The largest smaller microbatch whose messages can be sent; 0: none. */
static int64_t find_microbatch(const struct plan *plan)
{
    const struct batch_config *batch = &plan->config->batch;
    int64_t size = batch->microbatch - 1;
    while (size > 0 && (batch->n_sequences % size != 0 || largest_bytes(plan, size) > MOST_BYTES)) {
        size--;
    }
    return size;
}

static bool check_frames(const struct plan *plan, struct error *err)
{
    const int64_t size = plan->config->batch.microbatch;
    const size_t bytes = largest_bytes(plan, size);
    if (bytes <= MOST_BYTES) {
        return true;
    }
    const int64_t smaller = find_microbatch(plan);
    if (smaller == 0) {
        return error_set(err, ERROR_CONFIG,
                         "model.seq_len is %lld: a message between two stages would take %zu bytes "
                         "with batch.microbatch 1, and at most %zu can be sent",
                         (long long)plan->config->model.seq_len, largest_bytes(plan, 1),
                         MOST_BYTES);
    }
    return error_set(err, ERROR_CONFIG,
                     "batch.microbatch is %lld: a message between two stages would take %zu bytes, "
                     "and at most %zu can be sent: nearest legal value %lld",
                     (long long)size, bytes, MOST_BYTES, (long long)smaller);
}

/** The head's gradient goes to the rank with the embedding. */
static bool check_tied_head(const struct plan *plan, struct error *err)
{
    const struct model_config *model = &plan->config->model;
    const size_t bytes = sizeof(float) * (size_t)model->vocab * (size_t)model->dim;
    return !plan_trains(plan) || !model->tied || plan_last_rank(plan) == 0 || bytes <= MOST_BYTES ||
           error_set(
               err, ERROR_CONFIG,
               "model.tied: the gradient of the head, model.vocab x model.dim, would take %zu "
               "bytes, and at most %zu can be sent: set model.tied=false",
               bytes, MOST_BYTES);
}

bool plan_check_messages(const struct plan *plan, struct error *err)
{
    return check_frames(plan, err) && check_tied_head(plan, err);
}
