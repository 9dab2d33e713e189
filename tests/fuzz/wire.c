/* Messages between stages. The first byte chooses the layout; the rest is the message. Chance hits
 * no checksum, so each is tried as it is, and again with header and checksum set right: then
 * anything may stand in the tensors, and in the deflated planes. What is accepted and packed again
 * is accepted again with the same values; a refused message leaves the tensors alone. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/wire.h>
#include <attnres/zip.h>

enum { MOST_TENSORS = 4, MOST_ROWS = 4, MOST_COUNT = 48, CHECKSUM_AT = 28 };

static const struct wire_layout LAYOUTS[] = {
    {.encoding = WIRE_F32, .n_encoded = 1, .n_plain = 0, .rows = 1, .cols = 1},
    {.encoding = WIRE_F32, .n_encoded = 1, .n_plain = 1, .rows = 3, .cols = 16},
    {.encoding = WIRE_BF16, .n_encoded = 2, .n_plain = 1, .rows = 4, .cols = 7},
    {.encoding = WIRE_BF16, .n_encoded = 0, .n_plain = 2, .rows = 2, .cols = 5},
    {.encoding = WIRE_INT8, .n_encoded = 3, .n_plain = 0, .rows = 4, .cols = 11},
    {.encoding = WIRE_INT8, .n_encoded = 1, .n_plain = 1, .rows = 1, .cols = 13},
    {.encoding = WIRE_INT8, .n_encoded = 2, .n_plain = 1, .rows = 0, .cols = 3},
};
enum { N_LAYOUTS = sizeof LAYOUTS / sizeof LAYOUTS[0] };

static const struct wire_label LABEL = {
    .step = 7, .microbatch = 2, .stage = 1, .direction = WIRE_GRADIENTS};

/* What a message holds. */
struct contents {
    float tensors[MOST_TENSORS][MOST_COUNT], scales[MOST_TENSORS][MOST_ROWS];
};

static const struct contents UNTOUCHED = {.tensors = {{1.5F}}, .scales = {{2.5F}}};

static bool unpack(struct contents *out, const unsigned char *message, size_t length,
                   const struct wire_layout *layout, struct error *err)
{
    float *tensors[MOST_TENSORS], *scales[MOST_TENSORS];
    for (int i = 0; i < MOST_TENSORS; i++) {
        tensors[i] = out->tensors[i];
        scales[i] = out->scales[i];
    }
    *out = UNTOUCHED;
    fuzz_begin_counting();
    const bool ok = wire_unpack(tensors, scales, message, length, &LABEL, layout, err);
    fuzz_expect_at_most(0);
    assert(ok || memcmp(out, &UNTOUCHED, sizeof *out) == 0);
    return ok;
}

/* Returns the message, to be freed. */
static unsigned char *pack(size_t *length, const struct contents *contents,
                           const struct wire_layout *layout)
{
    const float *tensors[MOST_TENSORS], *scales[MOST_TENSORS];
    for (int i = 0; i < MOST_TENSORS; i++) {
        tensors[i] = contents->tensors[i];
        scales[i] = contents->scales[i];
    }
    unsigned char *message = malloc(wire_message_bytes(layout));
    assert(message != NULL);
    *length = wire_pack(message, &LABEL, layout, tensors, scales);
    assert(*length <= wire_message_bytes(layout));
    return message;
}

/* Quantised rows that nobody packs so (-128, or more than 0 times a scale of 0) lose what they had;
 * everything else is there again, and a second packing gives the bytes of the first. */
static void expect_same_again(const struct contents *contents, const struct wire_layout *layout)
{
    struct contents once, twice;
    size_t length = 0, length_again = 0;
    unsigned char *message = pack(&length, contents, layout);
    assert(unpack(&once, message, length, layout, NULL));
    if (layout->encoding != WIRE_INT8) {
        assert(memcmp(&once, contents, sizeof once) == 0);
    }
    unsigned char *again = pack(&length_again, &once, layout);
    assert(length == length_again && memcmp(message, again, length) == 0);
    assert(unpack(&twice, again, length, layout, NULL));
    assert(memcmp(&once, &twice, sizeof once) == 0);
    free(again);
    free(message);
}

static void try(const unsigned char *message, size_t length, const struct wire_layout *layout)
{
    struct contents contents;
    struct error err = {0};
    if (unpack(&contents, message, length, layout, &err)) {
        expect_same_again(&contents, layout);
    } else {
        fuzz_expect_refusal(&err, ERROR_DATA);
    }
}

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> 8 * i);
    }
}

/* The header that is expected, and the checksum of the frame that the tensors stand for; of a
 * deflated one unpacking leaves it in the codec's memory. */
static void set_right(unsigned char *message, size_t length, const struct wire_layout *layout)
{
    static const struct contents zeros;
    size_t model_length = 0;
    unsigned char *model = pack(&model_length, &zeros, layout);
    memcpy(message, model, WIRE_HEADER_BYTES);
    free(model);
    put_u32(message + CHECKSUM_AT, 0);
    const unsigned char *frame = message;
    if (layout->codec != NULL) {
        struct contents ignored;
        memset(layout->codec->frame, 0, wire_frame_bytes(layout));
        unpack(&ignored, message, length, layout, NULL);
        frame = layout->codec->frame;
    } else if (length != wire_frame_bytes(layout)) {
        return;
    }
    put_u32(message + CHECKSUM_AT, zip_crc32(0, frame, wire_frame_bytes(layout)));
}

static void try_both(const unsigned char *message, size_t length, const struct wire_layout *layout)
{
    try(message, length, layout);
    if (length < WIRE_HEADER_BYTES) {
        return;
    }
    unsigned char *copy = malloc(length);
    assert(copy != NULL);
    memcpy(copy, message, length);
    set_right(copy, length, layout);
    try(copy, length, layout);
    free(copy);
}

/* Memory of the layout's exact size, so that a byte beyond is seen. */
static void try_deflated(const unsigned char *message, size_t length, struct wire_layout layout)
{
    struct wire_codec codec = {.zip = fuzz_zip_codec(),
                               .frame = malloc(wire_frame_bytes(&layout)),
                               .plane = malloc(wire_plane_bytes(&layout) + 1)};
    assert(codec.frame != NULL && codec.plane != NULL);
    layout.codec = &codec;
    try_both(message, length, &layout);
    free(codec.plane);
    free(codec.frame);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length == 0) {
        return 0;
    }
    const struct wire_layout *layout = &LAYOUTS[(bytes[0] >> 1) % N_LAYOUTS];
    if (bytes[0] & 1) {
        try_deflated(bytes + 1, length - 1, *layout);
    } else {
        try_both(bytes + 1, length - 1, layout);
    }
    return 0;
}
