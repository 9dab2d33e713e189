#include <attnres/schedule.h>

#include "schedule_internal.h"

/* A rank's order while it is written: how many of each action every chunk has had. Microbatches
 * beyond the last are counted but left out. */
struct writer {
    const struct schedule_spec *spec;
    struct action *order;
    int64_t n_order;
    int64_t n_forward[2], n_input_gradient[2], n_weight_gradient[2]; /* zero bubble kinds */
};

static void append(struct writer *w, enum action_op op, int64_t chunk, int64_t microbatch)
{
    if (microbatch < w->spec->n_microbatches) {
        w->order[w->n_order++] = (struct action){.op = op,
                                                 .microbatch = (int32_t)microbatch,
                                                 .chunk = (int32_t)chunk,
                                                 .slot = -1,
                                                 .gradient_slot = -1};
    }
}

static void append_backward(struct writer *w, int64_t chunk, int64_t microbatch)
{
    append(w, ACTION_INPUT_GRADIENT, chunk, microbatch);
    append(w, ACTION_WEIGHT_GRADIENT, chunk, microbatch);
}

static void next_forward(struct writer *w, int chunk)
{
    append(w, ACTION_FORWARD, chunk, w->n_forward[chunk]++);
}

static void next_input_gradient(struct writer *w, int chunk)
{
    append(w, ACTION_INPUT_GRADIENT, chunk, w->n_input_gradient[chunk]++);
}

static void next_weight_gradient(struct writer *w, int chunk)
{
    append(w, ACTION_WEIGHT_GRADIENT, chunk, w->n_weight_gradient[chunk]++);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t schedule_order_gpipe(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    (void)rank;
    for (int64_t k = 0; k < spec->n_microbatches; k++) {
        append(&w, ACTION_FORWARD, 0, k);
    }
    for (int64_t k = 0; k < spec->n_microbatches; k++) {
        append_backward(&w, 0, k);
    }
    return w.n_order;
}

int64_t schedule_order_1f1b(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    const int64_t M = spec->n_microbatches, warmup = smaller(spec->n_ranks - 1 - rank, M);
    for (int64_t k = 0; k < warmup; k++) {
        append(&w, ACTION_FORWARD, 0, k);
    }
    for (int64_t k = 0; k < M; k++) {
        append(&w, ACTION_FORWARD, 0, warmup + k);
        append_backward(&w, 0, k);
    }
    return w.n_order;
}

/* Groups of microbatches go through one chunk after another: which the i-th of a rank's pairs of
 * chunk and microbatch is. */
struct turn {
    int64_t chunk, microbatch;
};

static struct turn find_turn(const struct schedule_spec *spec, int64_t group, int64_t i)
{
    const int64_t first = i / (group * spec->n_chunks) * group,
                  place = i % (group * spec->n_chunks);
    const int64_t n = smaller(group, spec->n_microbatches - first); /* the last may be short */
    return (struct turn){.chunk = place / n, .microbatch = first + place % n};
}

int64_t schedule_order_forward(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    (void)rank;
    for (int64_t i = 0; i < (int64_t)spec->n_chunks * spec->n_microbatches; i++) {
        const struct turn turn = find_turn(spec, spec->n_ranks, i);
        append(&w, ACTION_FORWARD, turn.chunk, turn.microbatch);
    }
    return w.n_order;
}

int64_t schedule_order_interleaved(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    const int64_t group = schedule_group(spec), last_chunk = spec->n_chunks - 1;
    const int64_t n_turns = (int64_t)spec->n_chunks * spec->n_microbatches;
    const int64_t warmup =
        smaller(2 * (int64_t)(spec->n_ranks - 1 - rank) + last_chunk * group, n_turns);
    for (int64_t i = 0; i < n_turns + warmup; i++) {
        if (i < n_turns) {
            const struct turn turn = find_turn(spec, group, i);
            append(&w, ACTION_FORWARD, turn.chunk, turn.microbatch);
        }
        if (i >= warmup) {
            const struct turn turn = find_turn(spec, group, i - warmup);
            append_backward(&w, last_chunk - turn.chunk, turn.microbatch);
        }
    }
    return w.n_order;
}

int64_t schedule_order_zb_h1(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    const int64_t M = spec->n_microbatches, warmup = smaller(spec->n_ranks - 1 - rank, M);
    for (int64_t k = 0; k < warmup; k++) {
        next_forward(&w, 0);
    }
    for (int64_t k = 0; k < M; k++) {
        next_forward(&w, 0);
        next_input_gradient(&w, 0);
        if (k >= rank) {
            next_weight_gradient(&w, 0);
        }
    }
    for (int64_t k = smaller(rank, M); k > 0; k--) {
        next_weight_gradient(&w, 0);
    }
    return w.n_order;
}

/* F, I and W of the upper half. */
static void next_upper(struct writer *w)
{
    next_forward(w, 1);
    next_input_gradient(w, 1);
    next_weight_gradient(w, 1);
}

static void fill_v(struct writer *w, int64_t P, int64_t rank)
{
    for (int64_t i = 0; i < 2 * (P - rank) - 1; i++) {
        next_forward(w, 0);
    }
    for (int64_t i = 0; i < rank; i++) {
        next_forward(w, 1);
        next_forward(w, 0);
    }
    for (int64_t i = 0; i < P - rank; i++) {
        next_upper(w);
    }
}

static void drain_v(struct writer *w, int64_t n, int64_t P, int64_t rank)
{
    for (int64_t i = 0; i < rank; i++) {
        next_input_gradient(w, 0);
        next_input_gradient(w, 1);
    }
    for (int64_t i = 0; i < P - rank; i++) {
        next_input_gradient(w, 0);
        next_weight_gradient(w, 0);
    }
    for (int chunk = 1; chunk >= 0; chunk--) {
        while (w->n_weight_gradient[chunk] < n) {
            next_weight_gradient(w, chunk);
        }
    }
}

int64_t schedule_order_zb_v(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    const int64_t P = spec->n_ranks, M = spec->n_microbatches;
    const int64_t n = M > 2 * P - 1 ? M : 2 * P - 1;
    fill_v(&w, P, rank);
    while (w.n_forward[1] < n) {
        if (w.n_forward[0] < n) {
            next_forward(&w, 0);
        }
        next_input_gradient(&w, 0);
        next_weight_gradient(&w, 0);
        next_upper(&w);
    }
    drain_v(&w, n, P, rank);
    return w.n_order;
}

/* The way up goes on as soon as the way down has come back. */
int64_t schedule_order_forward_v(const struct schedule_spec *spec, int rank, struct action *order)
{
    struct writer w = {.spec = spec, .order = order};
    const int64_t M = spec->n_microbatches, ahead = 2 * (int64_t)(spec->n_ranks - rank) - 1;
    for (int64_t i = 0; i < M + ahead; i++) {
        if (i >= ahead) {
            next_forward(&w, 1);
        }
        if (i < M) {
            next_forward(&w, 0);
        }
    }
    return w.n_order;
}
