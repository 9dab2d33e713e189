/* Whole messages between two ranks, checked on receipt. TCP can deliver wrong bytes with
 * MPI_SUCCESS after a connection reset, so a trailer follows each payload. (Messages between stages
 * carry wire's header instead, which can be checked while others are under way.) */
#include <attnres/transport.h>

#include <stdio.h>

#include <attnres/zip.h>

#include "transport_internal.h"

static const uint32_t MARK = 0x746E7274;

struct trailer {
    uint64_t length;
    uint32_t mark, checksum; /* CRC-32 of the payload */
};

static struct trailer trailer_of(const void *bytes, size_t length)
{
    return (struct trailer){
        .length = length, .mark = MARK, .checksum = zip_crc32(0, bytes, length)};
}

void transport_send(struct transport *t, int peer, enum transport_channel channel,
                    const void *bytes, size_t length)
{
    struct transport_request payload = {0}, end = {0};
    const struct trailer trailer = trailer_of(bytes, length);
    transport_post_send(t, peer, channel, 0, bytes, length, &payload);
    transport_post_send(t, peer, channel, 0, &trailer, sizeof trailer, &end);
    transport_wait(t, &payload);
    transport_wait(t, &end);
}

void transport_receive(struct transport *t, int peer, enum transport_channel channel, void *bytes,
                       size_t length)
{
    struct transport_request payload = {0}, end = {0};
    struct trailer trailer = {0};
    transport_post_receive(t, peer, channel, 0, bytes, length, &payload);
    transport_post_receive(t, peer, channel, 0, &trailer, sizeof trailer, &end);
    transport_wait(t, &payload);
    transport_wait(t, &end);
    const struct trailer expected = trailer_of(bytes, length);
    if (payload.length == length && end.length == sizeof trailer &&
        trailer.length == expected.length && trailer.mark == expected.mark &&
        trailer.checksum == expected.checksum) {
        return;
    }
    char message[256];
    snprintf(message, sizeof message,
             "damaged message from rank %d to rank %d on channel %s: %zu of %zu bytes, of checksum "
             "%08x, and a trailer of %zu of %zu bytes that says %08x",
             peer, t->rank, transport_channel_name(channel), payload.length, length,
             (unsigned)expected.checksum, end.length, sizeof trailer, (unsigned)trailer.checksum);
    transport_abort(t, ERROR_LAUNCH, message);
}
