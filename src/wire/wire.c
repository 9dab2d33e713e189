#include <attnres/wire.h>

#include <assert.h>
#include <string.h>

#include <attnres/zip.h>

enum { ALIGNMENT = 64 };

static const uint64_t MAGIC = 0x3172667365727461; /* "atresfr1" */

/* The header's fields, little-endian, at fixed places; what is left of its 64 bytes is zero. */
enum header_field {
    FIELD_MAGIC = 0,       /* u64 */
    FIELD_STEP = 8,        /* i64 */
    FIELD_MICROBATCH = 16, /* i32 */
    FIELD_STAGE = 20,      /* i32 */
    FIELD_DIRECTION = 24,  /* u32 */
    FIELD_CHECKSUM = 28,   /* u32: CRC-32 of the frame with zero in this place */
    FIELD_LENGTH = 32,     /* u64: payload bytes */
    FIELD_TENSORS = 40,    /* u64 */
    FIELD_COUNT = 48,      /* u64: floats per tensor */
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

static size_t tensor_bytes(int64_t count)
{
    const uint64_t bytes = (uint64_t)count * sizeof(float);
    assert(count >= 0 && bytes / sizeof(float) == (uint64_t)count && bytes < SIZE_MAX / 2);
    return ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t wire_frame_bytes(int64_t n_tensors, int64_t count)
{
    const size_t each = tensor_bytes(count);
    assert(n_tensors >= 0 &&
           (each == 0 || (uint64_t)n_tensors <= (SIZE_MAX - WIRE_HEADER_BYTES) / each));
    return WIRE_HEADER_BYTES + (size_t)n_tensors * each;
}

/* The header that both sides agree on, the checksum still zero. */
static void make_header(unsigned char *header, const struct wire_label *label, int64_t n_tensors,
                        int64_t count)
{
    memset(header, 0, WIRE_HEADER_BYTES);
    put(header, FIELD_MAGIC, MAGIC, 8);
    put(header, FIELD_STEP, (uint64_t)label->step, 8);
    put(header, FIELD_MICROBATCH, (uint32_t)label->microbatch, 4);
    put(header, FIELD_STAGE, (uint32_t)label->stage, 4);
    put(header, FIELD_DIRECTION, (uint32_t)label->direction, 4);
    put(header, FIELD_LENGTH, wire_frame_bytes(n_tensors, count) - WIRE_HEADER_BYTES, 8);
    put(header, FIELD_TENSORS, (uint64_t)n_tensors, 8);
    put(header, FIELD_COUNT, (uint64_t)count, 8);
}

/* Of a header with zero in the checksum's place, and the payload behind frame's header. */
static uint32_t checksum(const unsigned char *header, const unsigned char *frame, size_t bytes)
{
    const uint32_t crc = zip_crc32(0, header, WIRE_HEADER_BYTES);
    return zip_crc32(crc, frame + WIRE_HEADER_BYTES, bytes - WIRE_HEADER_BYTES);
}

void wire_pack(unsigned char *frame, const struct wire_label *label, const float *const *tensors,
               int64_t n_tensors, int64_t count)
{
    const size_t each = tensor_bytes(count), used = (size_t)count * sizeof(float);
    make_header(frame, label, n_tensors, count);
    unsigned char *at = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < n_tensors && used > 0; i++, at += each) {
        memcpy(at, tensors[i], used);
        memset(at + used, 0, each - used);
    }
    const uint32_t crc = checksum(frame, frame, wire_frame_bytes(n_tensors, count));
    put(frame, FIELD_CHECKSUM, crc, 4);
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
        {FIELD_TENSORS, 8, "number of tensors"},
        {FIELD_COUNT, 8, "floats per tensor"},
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

bool wire_unpack(float *const *tensors, const unsigned char *frame,
                 const struct wire_label *expected, int64_t n_tensors, int64_t count,
                 struct error *err)
{
    unsigned char header[WIRE_HEADER_BYTES];
    make_header(header, expected, n_tensors, count);
    if (!check_fields(frame, header, err)) {
        return false;
    }
    /* Its own header, so that the unused bytes are checked too. */
    memcpy(header, frame, sizeof header);
    put(header, FIELD_CHECKSUM, 0, 4);
    const uint32_t found = (uint32_t)get(frame, FIELD_CHECKSUM, 4);
    const uint32_t crc = checksum(header, frame, wire_frame_bytes(n_tensors, count));
    if (found != crc) {
        return error_set(err, ERROR_DATA,
                         "message: checksum is %08x, expected %08x: stage %d, microbatch %d "
                         "arrived damaged",
                         (unsigned)crc, (unsigned)found, (int)expected->stage,
                         (int)expected->microbatch);
    }
    const size_t each = tensor_bytes(count), used = (size_t)count * sizeof(float);
    const unsigned char *at = frame + WIRE_HEADER_BYTES;
    for (int64_t i = 0; i < n_tensors && used > 0; i++, at += each) {
        memcpy(tensors[i], at, used);
    }
    return true;
}
