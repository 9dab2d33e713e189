#include "wire_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include <attnres/zip.h>

enum { ALIGNMENT = 64 };

static const uint64_t MAGIC = 0x3172667365727461; /* "atresfr1" */

/* The header's fields, little-endian, at fixed places. Length and checksum are those of the frame,
 * also where it crosses deflated. */
enum header_field {
    FIELD_MAGIC = 0,       /* u64 */
    FIELD_STEP = 8,        /* i64 */
    FIELD_MICROBATCH = 16, /* i32 */
    FIELD_STAGE = 20,      /* i32 */
    FIELD_DIRECTION = 24,  /* u32 */
    FIELD_CHECKSUM = 28,   /* u32: CRC-32 of the frame with zero in this place */
    FIELD_LENGTH = 32,     /* u64: payload bytes */
    FIELD_ENCODED = 40,    /* u32: tensors in the encoding */
    FIELD_PLAIN = 44,      /* u32: tensors in f32 behind them */
    FIELD_COUNT = 48,      /* u64: elements per tensor */
    FIELD_ENCODING = 56,   /* u32 */
    FIELD_DEFLATED = 60,   /* u32: 0 or 1 */
};

static void put(unsigned char *header, enum header_field at, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        header[(int)at + i] = (unsigned char)(value >> 8 * i);
    }
}

static uint64_t get(const unsigned char *header, enum header_field at, int n_bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < n_bytes; i++) {
        value |= (uint64_t)header[(int)at + i] << 8 * i;
    }
    return value;
}

static size_t padded(uint64_t bytes)
{
    assert(bytes < SIZE_MAX / 4);
    return ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t wire_element_count(const struct wire_layout *layout)
{
    assert(layout->rows >= 0 && layout->cols >= 0);
    assert(layout->cols == 0 || layout->rows <= INT64_MAX / 8 / layout->cols);
    return (size_t)(layout->rows * layout->cols);
}

int wire_element_bytes(enum wire_encoding encoding)
{
    static const int OF[] = {[WIRE_F32] = 4, [WIRE_BF16] = 2, [WIRE_INT8] = 1};
    return OF[encoding];
}

size_t wire_scale_bytes(const struct wire_layout *layout)
{
    return layout->encoding == WIRE_INT8 ? padded((uint64_t)layout->rows * sizeof(float)) : 0;
}

size_t wire_encoded_bytes(const struct wire_layout *layout)
{
    const size_t each = (size_t)wire_element_bytes(layout->encoding);
    return wire_scale_bytes(layout) + padded(wire_element_count(layout) * each);
}

size_t wire_plain_bytes(const struct wire_layout *layout)
{
    return padded(wire_element_count(layout) * sizeof(float));
}

size_t wire_frame_bytes(const struct wire_layout *layout)
{
    const size_t encoded = wire_encoded_bytes(layout), plain = wire_plain_bytes(layout);
    assert(layout->n_encoded >= 0 && layout->n_plain >= 0);
    assert(plain == 0 ||
           (uint64_t)layout->n_encoded + (uint64_t)layout->n_plain <= SIZE_MAX / 4 / plain);
    return WIRE_HEADER_BYTES + (size_t)layout->n_encoded * encoded +
           (size_t)layout->n_plain * plain;
}

size_t wire_message_bytes(const struct wire_layout *layout)
{
    return layout->codec != NULL ? wire_deflated_bytes(layout) : wire_frame_bytes(layout);
}

/* The header that both sides agree on, the checksum still zero. */
static void make_header(unsigned char *header, const struct wire_label *label,
                        const struct wire_layout *layout)
{
    memset(header, 0, WIRE_HEADER_BYTES);
    put(header, FIELD_MAGIC, MAGIC, 8);
    put(header, FIELD_STEP, (uint64_t)label->step, 8);
    put(header, FIELD_MICROBATCH, (uint32_t)label->microbatch, 4);
    put(header, FIELD_STAGE, (uint32_t)label->stage, 4);
    put(header, FIELD_DIRECTION, (uint32_t)label->direction, 4);
    put(header, FIELD_LENGTH, wire_frame_bytes(layout) - WIRE_HEADER_BYTES, 8);
    put(header, FIELD_ENCODED, (uint64_t)layout->n_encoded, 4);
    put(header, FIELD_PLAIN, (uint64_t)layout->n_plain, 4);
    put(header, FIELD_COUNT, wire_element_count(layout), 8);
    put(header, FIELD_ENCODING, (uint64_t)layout->encoding, 4);
    put(header, FIELD_DEFLATED, layout->codec != NULL, 4);
}

/* Of a header with zero in the checksum's place, and the payload behind frame's header. */
static uint32_t checksum(const unsigned char *header, const unsigned char *frame, size_t bytes)
{
    const uint32_t crc = zip_crc32(0, header, WIRE_HEADER_BYTES);
    return zip_crc32(crc, frame + WIRE_HEADER_BYTES, bytes - WIRE_HEADER_BYTES);
}

/* Copy and zero up to the padding. */
static void put_bytes(unsigned char *at, const void *bytes, size_t used, size_t room)
{
    if (used > 0) {
        memcpy(at, bytes, used);
    }
    memset(at + used, 0, room - used);
}

static void encode_bf16(unsigned char *at, const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint16_t high = (uint16_t)(bits >> 16);
        memcpy(at + 2 * i, &high, sizeof high);
    }
}

static void decode_bf16(float *values, const unsigned char *at, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint16_t high;
        memcpy(&high, at + 2 * i, sizeof high);
        const uint32_t bits = (uint32_t)high << 16;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

/* value = q * scale was rounded once, so value / scale rounds back to q. A row of NaN travels as a
 * scale of NaN. */
static void encode_int8(unsigned char *at, const float *values, float scale, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++) {
        const float q = scale > 0.0F ? rintf(values[c] / scale) : 0.0F;
        const int8_t integer = q >= -127.0F && q <= 127.0F ? (int8_t)q : 0;
        memcpy(at + c, &integer, 1);
    }
}

static void decode_int8(float *values, const unsigned char *at, float scale, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++) {
        int8_t integer;
        memcpy(&integer, at + c, 1);
        values[c] = (float)integer * scale;
    }
}

static void encode(unsigned char *at, const struct wire_layout *layout, const float *values,
                   const float *scales)
{
    const uint64_t count = wire_element_count(layout);
    const size_t bytes = wire_encoded_bytes(layout);
    switch (layout->encoding) {
    case WIRE_F32:
        put_bytes(at, values, (size_t)count * sizeof(float), bytes);
        break;
    case WIRE_BF16:
        encode_bf16(at, values, count);
        memset(at + 2 * count, 0, bytes - 2 * (size_t)count);
        break;
    case WIRE_INT8: {
        unsigned char *integers = at + wire_scale_bytes(layout);
        put_bytes(at, scales, (size_t)layout->rows * sizeof(float), wire_scale_bytes(layout));
        for (int64_t row = 0; row < layout->rows; row++) {
            encode_int8(integers + row * layout->cols, values + row * layout->cols, scales[row],
                        layout->cols);
        }
        memset(integers + count, 0, bytes - wire_scale_bytes(layout) - (size_t)count);
        break;
    }
    }
}

static void decode(float *values, float *scales, const struct wire_layout *layout,
                   const unsigned char *at)
{
    const uint64_t count = wire_element_count(layout);
    switch (layout->encoding) {
    case WIRE_F32:
        memcpy(values, at, (size_t)count * sizeof(float));
        break;
    case WIRE_BF16:
        decode_bf16(values, at, count);
        break;
    case WIRE_INT8:
        memcpy(scales, at, (size_t)layout->rows * sizeof(float));
        for (int64_t row = 0; row < layout->rows; row++) {
            decode_int8(values + row * layout->cols,
                        at + wire_scale_bytes(layout) + row * layout->cols, scales[row],
                        layout->cols);
        }
        break;
    }
}

/* The frame: header, checksum, tensors. */
static void make_frame(unsigned char *frame, const struct wire_label *label,
                       const struct wire_layout *layout, const float *const *tensors,
                       const float *const *scales)
{
    make_header(frame, label, layout);
    unsigned char *at = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < layout->n_encoded; i++, at += wire_encoded_bytes(layout)) {
        encode(at, layout, tensors[i], layout->encoding == WIRE_INT8 ? scales[i] : NULL);
    }
    for (int64_t i = 0; i < layout->n_plain; i++, at += wire_plain_bytes(layout)) {
        put_bytes(at, tensors[layout->n_encoded + i], wire_element_count(layout) * sizeof(float),
                  wire_plain_bytes(layout));
    }
    put(frame, FIELD_CHECKSUM, checksum(frame, frame, wire_frame_bytes(layout)), 4);
}

size_t wire_pack(unsigned char *message, const struct wire_label *label,
                 const struct wire_layout *layout, const float *const *tensors,
                 const float *const *scales)
{
    if (layout->codec == NULL) {
        make_frame(message, label, layout, tensors, scales);
        return wire_frame_bytes(layout);
    }
    unsigned char *frame = layout->codec->frame;
    make_frame(frame, label, layout, tensors, scales);
    memcpy(message, frame, WIRE_HEADER_BYTES);
    return WIRE_HEADER_BYTES + wire_deflate(message, frame, layout);
}

static bool check_fields(const unsigned char *frame, const unsigned char *expected,
                         struct error *err)
{
    static const struct {
        enum header_field at;
        int n_bytes;
        const char *name;
    } fields[] = {
        {FIELD_MAGIC, 8, "mark"},
        {FIELD_STEP, 8, "step"},
        {FIELD_STAGE, 4, "stage"},
        {FIELD_DIRECTION, 4, "direction"},
        {FIELD_MICROBATCH, 4, "microbatch"},
        {FIELD_ENCODING, 4, "encoding"},
        {FIELD_DEFLATED, 4, "deflation"},
        {FIELD_ENCODED, 4, "number of encoded tensors"},
        {FIELD_PLAIN, 4, "number of tensors"},
        {FIELD_COUNT, 8, "elements per tensor"},
        {FIELD_LENGTH, 8, "payload length"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const uint64_t found = get(frame, fields[i].at, fields[i].n_bytes);
        const uint64_t wanted = get(expected, fields[i].at, fields[i].n_bytes);
        if (found != wanted) {
            return error_set(err, ERROR_DATA, "message: %s is %llu, expected %llu", fields[i].name,
                             (unsigned long long)found, (unsigned long long)wanted);
        }
    }
    return true;
}

static bool check_sum(const unsigned char *frame, const struct wire_label *expected,
                      const struct wire_layout *layout, struct error *err)
{
    /* Its own header, so that every byte of it is checked. */
    unsigned char header[WIRE_HEADER_BYTES];
    memcpy(header, frame, sizeof header);
    put(header, FIELD_CHECKSUM, 0, 4);
    const uint32_t found = (uint32_t)get(frame, FIELD_CHECKSUM, 4);
    const uint32_t crc = checksum(header, frame, wire_frame_bytes(layout));
    if (found == crc) {
        return true;
    }
    return error_set(err, ERROR_DATA,
                     "message: checksum is %08x, expected %08x: stage %d, microbatch %d "
                     "arrived damaged",
                     (unsigned)crc, (unsigned)found, (int)expected->stage,
                     (int)expected->microbatch);
}

/* The frame that a message holds or stands for, its header checked; NULL if that fails. */
static const unsigned char *open_message(const unsigned char *message, size_t length,
                                         const struct wire_label *expected,
                                         const struct wire_layout *layout, struct error *err)
{
    const size_t least = layout->codec == NULL ? wire_frame_bytes(layout) : WIRE_HEADER_BYTES;
    const size_t most = wire_message_bytes(layout);
    if (length < least || length > most) {
        error_set(err, ERROR_DATA, "message: %zu bytes, expected %s%zu", length,
                  layout->codec == NULL ? "" : "at most ", most);
        return NULL;
    }
    unsigned char header[WIRE_HEADER_BYTES];
    make_header(header, expected, layout);
    if (!check_fields(message, header, err)) {
        return NULL;
    }
    if (layout->codec == NULL) {
        return message;
    }
    unsigned char *frame = layout->codec->frame;
    memcpy(frame, message, WIRE_HEADER_BYTES);
    return wire_inflate(frame, message, length, layout, err) ? frame : NULL;
}

bool wire_unpack(float *const *tensors, float *const *scales, const unsigned char *message,
                 size_t length, const struct wire_label *expected, const struct wire_layout *layout,
                 struct error *err)
{
    const unsigned char *frame = open_message(message, length, expected, layout, err);
    if (frame == NULL || !check_sum(frame, expected, layout, err)) {
        return false;
    }
    const unsigned char *at = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < layout->n_encoded; i++, at += wire_encoded_bytes(layout)) {
        decode(tensors[i], layout->encoding == WIRE_INT8 ? scales[i] : NULL, layout, at);
    }
    for (int64_t i = 0; i < layout->n_plain; i++, at += wire_plain_bytes(layout)) {
        const size_t used = wire_element_count(layout) * sizeof(float);
        if (used > 0) {
            memcpy(tensors[layout->n_encoded + i], at, used);
        }
    }
    return true;
}
