#include <attnres/schedule.h>

#include "schedule_internal.h"

static int64_t append(struct action *order, int64_t n, enum action_op op, int64_t microbatch)
{
    order[n] = (struct action){
        .op = op, .microbatch = (int32_t)microbatch, .chunk = 0, .slot = -1, .gradient_slot = -1};
    return n + 1;
}

static int64_t append_backward(struct action *order, int64_t n, int64_t microbatch)
{
    n = append(order, n, ACTION_INPUT_GRADIENT, microbatch);
    return append(order, n, ACTION_WEIGHT_GRADIENT, microbatch);
}

int64_t schedule_order_forward(const struct schedule_spec *spec, int rank, struct action *order)
{
    (void)rank;
    int64_t n = 0;
    for (int64_t k = 0; k < spec->n_microbatches; k++) {
        n = append(order, n, ACTION_FORWARD, k);
    }
    return n;
}

int64_t schedule_order_gpipe(const struct schedule_spec *spec, int rank, struct action *order)
{
    int64_t n = schedule_order_forward(spec, rank, order);
    for (int64_t k = 0; k < spec->n_microbatches; k++) {
        n = append_backward(order, n, k);
    }
    return n;
}

int64_t schedule_order_1f1b(const struct schedule_spec *spec, int rank, struct action *order)
{
    const int64_t M = spec->n_microbatches, behind = spec->n_ranks - 1 - rank;
    const int64_t warmup = behind < M ? behind : M;
    int64_t n = 0;
    for (int64_t k = 0; k < warmup; k++) {
        n = append(order, n, ACTION_FORWARD, k);
    }
    for (int64_t k = 0; k < M; k++) {
        if (warmup + k < M) {
            n = append(order, n, ACTION_FORWARD, warmup + k);
        }
        n = append_backward(order, n, k);
    }
    return n;
}
