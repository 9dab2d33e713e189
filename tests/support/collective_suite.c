/* What the fixed-order collectives must do; run over local and mpi alike. */
#include <stdint.h>
#include <string.h>

#include "ranks.h"
#include <attnres/collective.h>

enum { MAX_SIZE = 8, COUNT = 33 };

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
    const struct collective_group group = {.first = size / 2, .size = size - size / 2};
    int32_t records[MAX_SIZE] = {0}, mine = 100 + rank;
    if (rank >= group.first) {
        collective_gather(t, group, size - 1, &mine, sizeof mine, records);
    }
    for (int i = 0; i < group.size && rank == size - 1; i++) {
        CHECK(t, records[i] == 100 + group.first + i);
    }
}

/* Values whose f32 sum depends on the order of the terms. */
static float term(int rank, int i)
{
    return (rank % 2 == 0 ? 1e8f : 1.25f) * (float)(i + 1) / (float)(rank + 3);
}

static void sums_equal_the_terms_added_in_rank_order(struct transport *t)
{
    const struct collective_group all = collective_all(t);
    float x[COUNT], scratch[COUNT];
    double y[COUNT], wide_scratch[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = term(transport_rank(t), i);
        y[i] = x[i] / 3.0;
    }
    collective_sum_f32(t, all, x, COUNT, scratch);
    collective_sum_f64(t, all, y, COUNT, wide_scratch);
    for (int i = 0; i < COUNT; i++) {
        volatile float sum = term(0, i);
        volatile double wide = term(0, i) / 3.0;
        for (int rank = 1; rank < all.size; rank++) {
            sum = sum + term(rank, i);
            wide = wide + term(rank, i) / 3.0;
        }
        CHECK(t, x[i] == sum);
        CHECK(t, y[i] == wide);
    }
}

const struct ranks_case collective_suite[] = {
    {"gather_puts_records_in_rank_order_on_each_root",
     gather_puts_records_in_rank_order_on_each_root},
    {"gather_leaves_ranks_outside_the_group_alone", gather_leaves_ranks_outside_the_group_alone},
    {"sums_equal_the_terms_added_in_rank_order", sums_equal_the_terms_added_in_rank_order},
    {NULL, NULL},
};
