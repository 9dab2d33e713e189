/* Deflating a frame. The bytes of its elements are split into planes; of these the highest is
 * Huffman coded. In floats that is the exponent: activations and gradients have few magnitudes, so
 * that its 8 bits carry less than 3. Signs and fractions are as good as random and are stored. For
 * the exponent to be one byte the sign is rotated out of the way, behind the fraction.
 *
 *      scales (int8) | lowest plane | ... | length of the coded plane, u64 | the coded plane
 *
 * for each tensor, without padding. A plane that coding does not shorten is stored, which its
 * length tells, so a message exceeds its frame by 8 bytes a tensor at most. */
#include "wire_internal.h"

#include <assert.h>
#include <string.h>

#include <attnres/zip.h>

enum { LENGTH_BYTES = 8 };

size_t wire_deflated_bytes(const struct wire_layout *layout)
{
    const size_t n_tensors = (size_t)(layout->n_encoded + layout->n_plain);
    return wire_frame_bytes(layout) + n_tensors * LENGTH_BYTES;
}

size_t wire_plane_bytes(const struct wire_layout *layout)
{
    return wire_element_count(layout);
}

/* One tensor of a frame, and the bytes of its elements. */
struct tensor {
    size_t scale_bytes, scale_room; /* without and with padding */
    int element_bytes;
    size_t count;
    size_t element_room;
};

static struct tensor tensor_at(const struct wire_layout *layout, int64_t i)
{
    const bool encoded = i < layout->n_encoded;
    const size_t room = encoded ? wire_encoded_bytes(layout) : wire_plain_bytes(layout);
    const size_t scale_room = encoded ? wire_scale_bytes(layout) : 0;
    return (struct tensor){.scale_bytes = scale_room > 0 ? (size_t)layout->rows * sizeof(float) : 0,
                           .scale_room = scale_room,
                           .element_bytes =
                               encoded ? wire_element_bytes(layout->encoding) : (int)sizeof(float),
                           .count = wire_element_count(layout),
                           .element_room = room - scale_room};
}

static void split_f32(unsigned char *top, unsigned char *low, const unsigned char *elements,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, elements + 4 * i, sizeof bits);
        bits = bits << 1 | bits >> 31;
        low[i] = (unsigned char)bits;
        low[count + i] = (unsigned char)(bits >> 8);
        low[2 * count + i] = (unsigned char)(bits >> 16);
        top[i] = (unsigned char)(bits >> 24);
    }
}

static void merge_f32(unsigned char *elements, const unsigned char *top, const unsigned char *low,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)low[i] | (uint32_t)low[count + i] << 8 |
                              (uint32_t)low[2 * count + i] << 16 | (uint32_t)top[i] << 24;
        const uint32_t value = bits >> 1 | bits << 31;
        memcpy(elements + 4 * i, &value, sizeof value);
    }
}

static void split_bf16(unsigned char *top, unsigned char *low, const unsigned char *elements,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, elements + 2 * i, sizeof bits);
        bits = (uint16_t)(bits << 1 | bits >> 15);
        low[i] = (unsigned char)bits;
        top[i] = (unsigned char)(bits >> 8);
    }
}

static void merge_bf16(unsigned char *elements, const unsigned char *top, const unsigned char *low,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint16_t bits = (uint16_t)(low[i] | top[i] << 8);
        const uint16_t value = (uint16_t)(bits >> 1 | bits << 15);
        memcpy(elements + 2 * i, &value, sizeof value);
    }
}

/* The lower planes go where they belong, the highest to where it is coded from. */
static void split(unsigned char *top, unsigned char *low, const unsigned char *elements,
                  const struct tensor *t)
{
    switch (t->element_bytes) {
    case 4:
        split_f32(top, low, elements, t->count);
        break;
    case 2:
        split_bf16(top, low, elements, t->count);
        break;
    default:
        memcpy(top, elements, t->count);
        break;
    }
}

static void merge(unsigned char *elements, const unsigned char *top, const unsigned char *low,
                  const struct tensor *t)
{
    switch (t->element_bytes) {
    case 4:
        merge_f32(elements, top, low, t->count);
        break;
    case 2:
        merge_bf16(elements, top, low, t->count);
        break;
    default:
        memcpy(elements, top, t->count);
        break;
    }
    const size_t used = (size_t)t->element_bytes * t->count;
    memset(elements + used, 0, t->element_room - used);
}

static void put_length(unsigned char *at, uint64_t length)
{
    for (int i = 0; i < LENGTH_BYTES; i++) {
        at[i] = (unsigned char)(length >> 8 * i);
    }
}

static uint64_t get_length(const unsigned char *at)
{
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) {
        length |= (uint64_t)at[i] << 8 * i;
    }
    return length;
}

/* Returns the end of what was written. */
static unsigned char *put_tensor(unsigned char *at, const unsigned char *from,
                                 const struct tensor *t, const struct wire_codec *codec)
{
    memcpy(at, from, t->scale_bytes);
    unsigned char *low = at + t->scale_bytes;
    unsigned char *length_at = low + (size_t)(t->element_bytes - 1) * t->count;
    unsigned char *coded = length_at + LENGTH_BYTES;
    split(codec->plane, low, from + t->scale_room, t);
    size_t length = 0;
    if (!zip_codec_deflate(codec->zip, coded, &length, t->count, codec->plane, t->count)) {
        memcpy(coded, codec->plane, t->count);
        length = t->count;
    }
    put_length(length_at, length);
    return coded + length;
}

size_t wire_deflate(unsigned char *message, const unsigned char *frame,
                    const struct wire_layout *layout)
{
    unsigned char *at = message + WIRE_HEADER_BYTES;
    const unsigned char *from = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < layout->n_encoded + layout->n_plain; i++) {
        const struct tensor t = tensor_at(layout, i);
        at = put_tensor(at, from, &t, layout->codec);
        from += t.scale_room + t.element_room;
    }
    return (size_t)(at - message) - WIRE_HEADER_BYTES;
}

/* What is left of a message. */
struct rest {
    const unsigned char *at;
    size_t length;
};

/* The next bytes; NULL if there are not so many. */
static const unsigned char *take(struct rest *rest, size_t bytes)
{
    if (bytes > rest->length) {
        return NULL;
    }
    const unsigned char *taken = rest->at;
    rest->at += bytes;
    rest->length -= bytes;
    return taken;
}

static bool take_tensor(unsigned char *to, struct rest *rest, const struct tensor *t,
                        const struct wire_codec *codec)
{
    const unsigned char *scales = take(rest, t->scale_bytes);
    const unsigned char *low = take(rest, (size_t)(t->element_bytes - 1) * t->count);
    const unsigned char *length_at = take(rest, LENGTH_BYTES);
    const uint64_t length = length_at != NULL ? get_length(length_at) : 0;
    const unsigned char *coded = length <= t->count ? take(rest, (size_t)length) : NULL;
    if (scales == NULL || low == NULL || length_at == NULL || coded == NULL) {
        return false;
    }
    const unsigned char *top = coded;
    if (length < t->count) {
        if (!zip_codec_inflate(codec->zip, codec->plane, t->count, coded, (size_t)length)) {
            return false;
        }
        top = codec->plane;
    }
    memcpy(to, scales, t->scale_bytes);
    memset(to + t->scale_bytes, 0, t->scale_room - t->scale_bytes);
    merge(to + t->scale_room, top, low, t);
    return true;
}

bool wire_inflate(unsigned char *frame, const unsigned char *message, size_t length,
                  const struct wire_layout *layout, struct error *err)
{
    assert(length >= WIRE_HEADER_BYTES);
    struct rest rest = {message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES};
    unsigned char *to = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < layout->n_encoded + layout->n_plain; i++) {
        const struct tensor t = tensor_at(layout, i);
        if (!take_tensor(to, &rest, &t, layout->codec)) {
            return error_set(err, ERROR_DATA,
                             "message: tensor %lld does not inflate to its %zu elements: arrived "
                             "damaged",
                             (long long)i, t.count);
        }
        to += t.scale_room + t.element_room;
    }
    if (rest.length > 0) {
        return error_set(err, ERROR_DATA, "message: %zu bytes behind its last tensor", rest.length);
    }
    return true;
}
