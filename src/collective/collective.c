#include <attnres/collective.h>

#include <assert.h>
#include <string.h>

struct collective_group collective_all(const struct transport *t)
{
    return (struct collective_group){.first = 0, .size = transport_size(t)};
}

static void check_group(const struct transport *t, struct collective_group group)
{
    assert(group.first >= 0 && group.size >= 1);
    assert(group.first + group.size <= transport_size(t));
    assert(transport_rank(t) >= group.first && transport_rank(t) < group.first + group.size);
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
    const int group_end = group.first + group.size;
    assert(root >= group.first && root < group_end);
    if (transport_rank(t) != root) {
        send(t, root, record, record_bytes);
        return;
    }
    for (int rank = group.first; rank < group_end; rank++) {
        unsigned char *place =
            (unsigned char *)records + (size_t)(rank - group.first) * record_bytes;
        if (rank != root) {
            receive(t, rank, place, record_bytes);
        } else if (record_bytes > 0 && place != record) {
            memcpy(place, record, record_bytes);
        }
    }
}

/* From the group's first rank to the others. */
static void broadcast_first(struct transport *t, struct collective_group group, void *bytes,
                            size_t length)
{
    if (transport_rank(t) != group.first) {
        receive(t, group.first, bytes, length);
        return;
    }
    for (int rank = group.first + 1; rank < group.first + group.size; rank++) {
        send(t, rank, bytes, length);
    }
}

/* What a sum needs to know of its elements. */
struct element {
    size_t size;
    void (*add)(void *x, const void *y, size_t n); /* x += y */
};

static void add_f32(void *x, const void *y, size_t n)
{
    float *sum = x;
    const float *term = y;
    for (size_t i = 0; i < n; i++) {
        sum[i] += term[i];
    }
}

static void add_f64(void *x, const void *y, size_t n)
{
    double *sum = x;
    const double *term = y;
    for (size_t i = 0; i < n; i++) {
        sum[i] += term[i];
    }
}

/* Adds all on the first rank, in rank order, then hands the sum to all. */
static void sum_in_order(struct transport *t, struct collective_group group, void *x, size_t n,
                         void *scratch, struct element element)
{
    check_group(t, group);
    if (transport_rank(t) != group.first) {
        send(t, group.first, x, n * element.size);
    } else {
        for (int rank = group.first + 1; rank < group.first + group.size; rank++) {
            receive(t, rank, scratch, n * element.size);
            element.add(x, scratch, n);
        }
    }
    broadcast_first(t, group, x, n * element.size);
}

void collective_sum_f32(struct transport *t, struct collective_group group, float *x, size_t n,
                        float *scratch)
{
    sum_in_order(t, group, x, n, scratch, (struct element){sizeof *x, add_f32});
}

void collective_sum_f64(struct transport *t, struct collective_group group, double *x, size_t n,
                        double *scratch)
{
    sum_in_order(t, group, x, n, scratch, (struct element){sizeof *x, add_f64});
}
