/* What every transport must do; run over local and mpi alike. Sends are synchronous in both. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"

static unsigned char pattern(int from, int to, size_t i)
{
    return (unsigned char)(i * 31 + i / 251 + (size_t)from * 17 + (size_t)to * 5);
}

static void fill(unsigned char *bytes, size_t length, int from, int to)
{
    for (size_t i = 0; i < length; i++) {
        bytes[i] = pattern(from, to, i);
    }
}

static bool is_filled(const unsigned char *bytes, size_t length, int from, int to)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != pattern(from, to, i)) {
            return false;
        }
    }
    return true;
}

static void no_request_is_done_at_once(struct transport *t)
{
    struct transport_request none = {0};
    CHECK(t, transport_test(t, &none));
    transport_wait(t, &none);
}

/* All pairs, self included, exchange messages of one size. A byte behind each must survive. */
static void exchange(struct transport *t, size_t length)
{
    enum { MAX_SIZE = 8 };
    struct transport_request receives[MAX_SIZE] = {{0}}, sends[MAX_SIZE] = {{0}};
    const int rank = transport_rank(t), size = transport_size(t);
    const size_t n = (size_t)size, room = length + 1;
    unsigned char *in = malloc(n * room), *out = malloc(n * room);
    CHECK(t, in != NULL && out != NULL && size <= MAX_SIZE);
    memset(in, 0xee, n * room);
    for (int peer = 0; peer < size; peer++) {
        transport_post_receive(t, peer, CHANNEL_VALUES, 0, in + (size_t)peer * room, length,
                               &receives[peer]);
    }
    for (int peer = 0; peer < size; peer++) {
        unsigned char *bytes = out + (size_t)peer * room;
        fill(bytes, length, rank, peer);
        transport_post_send(t, peer, CHANNEL_VALUES, 0, bytes, length, &sends[peer]);
    }
    for (int peer = 0; peer < size; peer++) {
        transport_wait(t, &receives[peer]);
        transport_wait(t, &sends[peer]);
        const unsigned char *bytes = in + (size_t)peer * room;
        CHECK(t, receives[peer].index == 0 && sends[peer].index == 0);
        CHECK(t, is_filled(bytes, length, peer, rank) && bytes[length] == 0xee);
    }
    free(in);
    free(out);
}

static void every_size_arrives_whole_between_all_pairs(struct transport *t)
{
    static const size_t lengths[] = {0, 1, 7, 64, 4099, 65537, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        exchange(t, lengths[i]);
    }
}

/* To the rank behind, one message after another under one tag, each with its own length: also those
 * at and beside the borders of parts of 128 KiB. What lies behind each in its buffer must survive.
 */
static void a_message_may_use_less_than_its_capacity(struct transport *t)
{
    static const size_t lengths[] = {300000, 0, 131072, 1, 262144, 131073, 262143, 299999};
    enum { COUNT = sizeof lengths / sizeof lengths[0], CAPACITY = 300000 };
    struct transport_request receives[COUNT] = {{0}}, sends[COUNT] = {{0}};
    const int rank = transport_rank(t), size = transport_size(t);
    const int before = (rank + size - 1) % size, behind = (rank + 1) % size;
    unsigned char *in = malloc((size_t)COUNT * CAPACITY), *out = malloc(CAPACITY);
    CHECK(t, in != NULL && out != NULL);
    memset(in, 0xee, (size_t)COUNT * CAPACITY);
    fill(out, CAPACITY, rank, behind);
    for (size_t i = 0; i < COUNT; i++) {
        transport_post_receive(t, before, CHANNEL_VALUES, 0, in + i * CAPACITY, CAPACITY,
                               &receives[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        transport_post_send_within(t, behind, CHANNEL_VALUES, 0, out, lengths[i], CAPACITY,
                                   &sends[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        transport_wait(t, &receives[i]);
        transport_wait(t, &sends[i]);
        const unsigned char *bytes = in + i * CAPACITY;
        CHECK(t, receives[i].length == lengths[i] && is_filled(bytes, lengths[i], before, rank));
        for (size_t k = lengths[i]; k < CAPACITY; k++) {
            CHECK(t, bytes[k] == 0xee);
        }
    }
    free(in);
    free(out);
}

static void messages_of_a_tag_arrive_in_order_whatever_other_tags_do(struct transport *t)
{
    enum { COUNT = 60 };
    static const struct {
        enum transport_channel channel;
        int chunk;
    } tags[] = {{CHANNEL_VALUES, 0}, {CHANNEL_VALUES, 3}, {CHANNEL_GRADIENTS, 0}};
    enum { TAGS = sizeof tags / sizeof tags[0] };
    int32_t in[TAGS][COUNT], out[TAGS][COUNT];
    struct transport_request receives[TAGS][COUNT], sends[TAGS][COUNT];
    const int rank = transport_rank(t), size = transport_size(t);
    const int before = (rank + size - 1) % size, behind = (rank + 1) % size;
    for (int tag = TAGS - 1; tag >= 0; tag--) {
        for (int i = 0; i < COUNT; i++) {
            transport_post_receive(t, before, tags[tag].channel, tags[tag].chunk, &in[tag][i],
                                   sizeof in[tag][i], &receives[tag][i]);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        for (int tag = 0; tag < TAGS; tag++) {
            out[tag][i] = 1000 * tag + i;
            transport_post_send(t, behind, tags[tag].channel, tags[tag].chunk, &out[tag][i],
                                sizeof out[tag][i], &sends[tag][i]);
        }
    }
    for (int i = COUNT - 1; i >= 0; i--) {
        for (int tag = 0; tag < TAGS; tag++) {
            transport_wait(t, &receives[tag][i]);
            transport_wait(t, &sends[tag][i]);
            CHECK(t, in[tag][i] == 1000 * tag + i);
        }
    }
}

static void all_requests_may_be_under_way(struct transport *t)
{
    enum { HALF = TRANSPORT_MAX_REQUESTS / 2 };
    struct transport_request requests[2 * HALF];
    static const unsigned char one = 1;
    unsigned char in[HALF] = {0};
    const int rank = transport_rank(t), size = transport_size(t);
    for (int i = 0; i < HALF; i++) {
        transport_post_receive(t, (rank + size - 1) % size, CHANNEL_VALUES, 0, &in[i], 1,
                               &requests[i]);
    }
    for (int i = 0; i < HALF; i++) {
        transport_post_send(t, (rank + 1) % size, CHANNEL_VALUES, 0, &one, 1, &requests[HALF + i]);
    }
    int n_done = 0;
    while (n_done < 2 * HALF) {
        n_done = 0;
        for (int i = 0; i < 2 * HALF; i++) {
            n_done += transport_test(t, &requests[i]);
        }
    }
    for (int i = 0; i < HALF; i++) {
        CHECK(t, in[i] == 1);
    }
}

static void a_send_is_done_only_when_its_receive_is_posted(struct transport *t)
{
    unsigned char bytes[100], go = 0;
    struct transport_request request = {0};
    if (transport_rank(t) == 0 && transport_size(t) > 1) {
        fill(bytes, sizeof bytes, 0, 1);
        transport_post_send(t, 1, CHANNEL_VALUES, 0, bytes, sizeof bytes, &request);
        for (int i = 0; i < 1000; i++) {
            CHECK(t, !transport_test(t, &request));
        }
        struct transport_request going = {0};
        transport_post_send(t, 1, CHANNEL_REPLICAS, 0, &go, 1, &going);
        transport_wait(t, &going);
        transport_wait(t, &request);
    } else if (transport_rank(t) == 1) {
        transport_post_receive(t, 0, CHANNEL_REPLICAS, 0, &go, 1, &request);
        transport_wait(t, &request);
        transport_post_receive(t, 0, CHANNEL_VALUES, 0, bytes, sizeof bytes, &request);
        transport_wait(t, &request);
        CHECK(t, is_filled(bytes, sizeof bytes, 0, 1));
    }
}

static void broadcast_reaches_all_from_each_root(struct transport *t)
{
    unsigned char bytes[1000];
    for (int root = 0; root < transport_size(t); root++) {
        memset(bytes, 0, sizeof bytes);
        if (transport_rank(t) == root) {
            fill(bytes, sizeof bytes, root, 0);
        }
        transport_broadcast(t, root, bytes, sizeof bytes);
        CHECK(t, is_filled(bytes, sizeof bytes, root, 0));
    }
}

static void all_true_hears_each_rank(struct transport *t)
{
    CHECK(t, transport_all_true(t, true));
    CHECK(t, !transport_all_true(t, false));
    for (int rank = 0; rank < transport_size(t); rank++) {
        CHECK(t, !transport_all_true(t, transport_rank(t) != rank));
    }
    transport_barrier(t);
}

const struct ranks_case transport_suite[] = {
    {"no_request_is_done_at_once", no_request_is_done_at_once},
    {"every_size_arrives_whole_between_all_pairs", every_size_arrives_whole_between_all_pairs},
    {"a_message_may_use_less_than_its_capacity", a_message_may_use_less_than_its_capacity},
    {"messages_of_a_tag_arrive_in_order_whatever_other_tags_do",
     messages_of_a_tag_arrive_in_order_whatever_other_tags_do},
    {"all_requests_may_be_under_way", all_requests_may_be_under_way},
    {"a_send_is_done_only_when_its_receive_is_posted",
     a_send_is_done_only_when_its_receive_is_posted},
    {"broadcast_reaches_all_from_each_root", broadcast_reaches_all_from_each_root},
    {"all_true_hears_each_rank", all_true_hears_each_rank},
    {NULL, NULL},
};
