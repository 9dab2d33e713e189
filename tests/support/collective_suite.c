/* What the fixed-order collectives must do; run over local and mpi alike. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include <attnres/collective.h>

enum { MAX_SIZE = 8 };

struct record {
    int64_t rank;
    double values[3];
};

static void gather_puts_records_in_rank_order_on_each_root(struct transport *t)
{
    const struct collective_group all = collective_all(t);
    for (int root = 0; root < all.size; root++) {
        struct record records[MAX_SIZE];
        memset(records, 0xee, sizeof records);
        const struct record mine = {transport_rank(t), {root, 2, 0.5 * transport_rank(t)}};
        collective_gather(t, all, root, &mine, sizeof mine, records);
        for (int rank = 0; rank < all.size && transport_rank(t) == root; rank++) {
            const struct record theirs = {rank, {root, 2, 0.5 * rank}};
            CHECK(t, memcmp(&records[rank], &theirs, sizeof theirs) == 0);
        }
    }
}

static void gather_leaves_ranks_outside_the_group_alone(struct transport *t)
{
    const int size = transport_size(t), rank = transport_rank(t);
    const struct collective_group group = {.first = size / 2, .size = size - size / 2, .stride = 1};
    int32_t records[MAX_SIZE] = {0}, mine = 100 + rank;
    if (rank >= group.first) {
        collective_gather(t, group, size - 1, &mine, sizeof mine, records);
    }
    for (int i = 0; i < group.size && rank == size - 1; i++) {
        CHECK(t, records[i] == 100 + group.first + i);
    }
}

/* Values whose f32 sum depends on the order of the terms. */
static float term(int place, int tensor, int64_t i)
{
    return (place % 2 == 0 ? 1e8f : 1.25f) * (float)(i + tensor + 1) / (float)(place + 3);
}

/* Shorter than a message, exactly one, and several; a place may own none of them. */
enum { TENSORS = 5, LARGEST = 200, CHUNK = 64, MAX_DEPTH = 2, ALIGNMENT = 64 };
static const int64_t COUNTS[TENSORS] = {1, 64, 200, 7, 130};

/** One rank of an exchange. */
struct side {
    struct transport *t;
    struct collective_group group;
    int place;
    float values[TENSORS][LARGEST];
    struct collective_tensor tensors[TENSORS];
    float scratch[2 * CHUNK];
    unsigned char *memory; /* of the frames */
    struct collective_exchange *x;
};

static void add(float *out, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        out[i] = a[i] + b[i];
    }
}

static struct side *make_side(struct transport *t, struct collective_group group, int depth)
{
    struct side *s = calloc(1, sizeof *s);
    const size_t n_frames = (size_t)(group.size - 1) * (size_t)depth,
                 frame_bytes = collective_frame_bytes(CHUNK);
    CHECK(t, s != NULL);
    *s = (struct side){.t = t, .group = group};
    s->place = (transport_rank(t) - group.first) / group.stride;
    s->memory = malloc(2 * n_frames * frame_bytes + ALIGNMENT);
    CHECK(t, s->memory != NULL);
    unsigned char *frames = s->memory + ALIGNMENT - (uintptr_t)s->memory % ALIGNMENT;
    for (int k = 0; k < TENSORS; k++) {
        s->tensors[k] = (struct collective_tensor){s->values[k], COUNTS[k], (7 - k) % group.size};
    }
    const struct collective_exchange_spec spec = {.transport = t,
                                                  .group = group,
                                                  .chunk_count = CHUNK,
                                                  .depth = depth,
                                                  .out = frames,
                                                  .in = frames + n_frames * frame_bytes,
                                                  .scratch = s->scratch,
                                                  .add = add};
    s->x = collective_exchange_create(&spec);
    return s;
}

static void end_side(struct side *s)
{
    collective_exchange_destroy(s->x);
    free(s->memory);
    free(s);
}

/** Release one tensor after another, a few turns between them, other places at other times; then go
 * on to the end. */
static void complete(struct side *s)
{
    for (int k = 0; k < TENSORS; k++) {
        for (int i = 0; i < s->place; i++) {
            collective_advance(s->x);
        }
        CHECK(s->t, !collective_is_done(s->x));
        collective_release(s->x, 1);
    }
    while (!collective_is_done(s->x)) {
        struct transport_request *const *requests = NULL;
        if (!collective_advance(s->x)) {
            const int n = collective_list_requests(s->x, &requests);
            transport_wait_any(s->t, requests, n);
        }
    }
}

static void check_sum(const struct side *s, int k)
{
    for (int64_t i = 0; i < COUNTS[k]; i++) {
        volatile float sum = term(0, k, i);
        for (int place = 1; place < s->group.size; place++) {
            sum = sum + term(place, k, i);
        }
        CHECK(s->t, s->values[k][i] == sum);
    }
}

static void sum_and_hand_out(struct transport *t, struct collective_group group, int depth)
{
    struct side *s = make_side(t, group, depth);
    for (int round = 0; round < 3; round++) {
        for (int k = 0; k < TENSORS; k++) {
            for (int64_t i = 0; i < COUNTS[k]; i++) {
                s->values[k][i] = term(s->place, k, i);
            }
        }
        collective_begin_sum(s->x, s->tensors, TENSORS);
        complete(s);
        for (int k = 0; k < TENSORS; k++) {
            if (s->tensors[k].owner == s->place) {
                check_sum(s, k);
            } else {
                CHECK(t, s->values[k][0] == term(s->place, k, 0));
            }
        }
        collective_begin_hand_out(s->x, s->tensors, TENSORS);
        complete(s);
        for (int k = 0; k < TENSORS; k++) {
            check_sum(s, k);
        }
    }
    CHECK(t, collective_take_bytes(s->x) > 0 && collective_take_bytes(s->x) == 0);
    end_side(s);
}

static void owners_get_sums_in_the_order_of_places_and_hand_them_out(struct transport *t)
{
    for (int depth = 1; depth <= MAX_DEPTH && transport_size(t) > 1; depth++) {
        sum_and_hand_out(t, collective_all(t), depth);
    }
}

/* Replicas of a place lie a pipeline apart. */
static void groups_of_every_second_rank_do_not_disturb_each_other(struct transport *t)
{
    const int first = transport_rank(t) % 2, size = (transport_size(t) + 1 - first) / 2;
    if (size > 1) {
        sum_and_hand_out(t, (struct collective_group){first, size, 2}, MAX_DEPTH);
    }
}

const struct ranks_case collective_suite[] = {
    {"gather_puts_records_in_rank_order_on_each_root",
     gather_puts_records_in_rank_order_on_each_root},
    {"gather_leaves_ranks_outside_the_group_alone", gather_leaves_ranks_outside_the_group_alone},
    {"owners_get_sums_in_the_order_of_places_and_hand_them_out",
     owners_get_sums_in_the_order_of_places_and_hand_them_out},
    {"groups_of_every_second_rank_do_not_disturb_each_other",
     groups_of_every_second_rank_do_not_disturb_each_other},
    {NULL, NULL},
};
