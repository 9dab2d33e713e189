#include <attnres/collective.h>

#include <assert.h>
#include <string.h>

struct collective_group collective_all(const struct transport *t)
{
    return (struct collective_group){.first = 0, .size = transport_size(t), .stride = 1};
}

static bool is_in_group(struct collective_group group, int rank)
{
    const int place = (rank - group.first) / group.stride;
    return place >= 0 && place < group.size && rank == group.first + place * group.stride;
}

static void check_group(const struct transport *t, struct collective_group group)
{
    assert(group.first >= 0 && group.size >= 1 && group.stride >= 1);
    assert(group.first + (group.size - 1) * group.stride < transport_size(t));
    assert(is_in_group(group, transport_rank(t)));
    (void)t;
}

static void send(struct transport *t, int peer, const void *bytes, size_t length)
{
    transport_send(t, peer, CHANNEL_COLLECTIVE, bytes, length);
}

static void receive(struct transport *t, int peer, void *bytes, size_t length)
{
    transport_receive(t, peer, CHANNEL_COLLECTIVE, bytes, length);
}

void collective_gather(struct transport *t, struct collective_group group, int root,
                       const void *record, size_t record_bytes, void *records)
{
    check_group(t, group);
    assert(is_in_group(group, root));
    if (transport_rank(t) != root) {
        send(t, root, record, record_bytes);
        return;
    }
    for (int i = 0; i < group.size; i++) {
        const int rank = group.first + i * group.stride;
        unsigned char *place = (unsigned char *)records + (size_t)i * record_bytes;
        if (rank != root) {
            receive(t, rank, place, record_bytes);
        } else if (record_bytes > 0 && place != record) {
            memcpy(place, record, record_bytes);
        }
    }
}
