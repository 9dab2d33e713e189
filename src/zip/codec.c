/* Huffman coding in planned memory. zlib asks for its memory through two functions: ours hand out
 * slices of one piece, or count what would be needed. */
#include <attnres/zip.h>

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    ALIGNMENT = 64,
    RAW_WINDOW = -MAX_WBITS, /* negative: bare deflate data, without header and checksum */
    MEMORY_LEVEL = 8,        /* blocks of 16 Ki bytes, each with its own code */
};

struct zip_codec {
    z_stream deflater, inflater;
    unsigned char *memory; /* behind this struct; NULL: counting */
    size_t used, capacity;
};

static size_t padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static voidpf take(voidpf opaque, uInt items, uInt size)
{
    struct zip_codec *codec = opaque;
    const size_t bytes = padded((size_t)items * size);
    codec->used += bytes;
    if (codec->memory == NULL) {
        return calloc(items, size);
    }
    assert(codec->used <= codec->capacity && "zlib takes what it took when it was counted");
    return codec->memory + codec->used - bytes;
}

static void give_back(voidpf opaque, voidpf address)
{
    const struct zip_codec *codec = opaque;
    if (codec->memory == NULL) {
        free(address);
    }
}

/* Streams of any size, though zlib counts what it is given in 32 bits. */
static void refill(z_stream *s, size_t *in_left, size_t *out_left)
{
    if (s->avail_in == 0) {
        s->avail_in = *in_left < UINT_MAX ? (uInt)*in_left : UINT_MAX;
        *in_left -= s->avail_in;
    }
    if (s->avail_out == 0) {
        s->avail_out = *out_left < UINT_MAX ? (uInt)*out_left : UINT_MAX;
        *out_left -= s->avail_out;
    }
}

static void aim(z_stream *s, void *out, const void *in)
{
    s->next_in = (z_const Bytef *)in;
    s->next_out = out;
    s->avail_in = s->avail_out = 0;
}

bool zip_codec_deflate(struct zip_codec *codec, void *out, size_t *out_length, size_t capacity,
                       const void *in, size_t length)
{
    z_stream *s = &codec->deflater;
    size_t in_left = length, out_left = capacity;
    int status = deflateReset(s);
    aim(s, out, in);
    while (status == Z_OK) {
        refill(s, &in_left, &out_left);
        status = deflate(s, in_left == 0 ? Z_FINISH : Z_NO_FLUSH);
    }
    *out_length = (size_t)(s->next_out - (unsigned char *)out);
    return status == Z_STREAM_END;
}

bool zip_codec_inflate(struct zip_codec *codec, void *out, size_t length, const void *in,
                       size_t in_length)
{
    z_stream *s = &codec->inflater;
    size_t in_left = in_length, out_left = length;
    int status = inflateReset(s);
    aim(s, out, in);
    while (status == Z_OK) {
        refill(s, &in_left, &out_left);
        status = inflate(s, Z_NO_FLUSH);
    }
    return status == Z_STREAM_END && s->next_out == (unsigned char *)out + length &&
           s->avail_in == 0 && in_left == 0;
}

/* Inflating keeps a window from one call to the next, and takes it when first needed: here. */
static void rehearse(struct zip_codec *codec)
{
    static const unsigned char text[2] = {1, 2};
    unsigned char deflated[64], inflated[2];
    size_t deflated_length = 0;
    const bool fits =
        zip_codec_deflate(codec, deflated, &deflated_length, sizeof deflated, text, sizeof text);
    assert(fits);
    z_stream *s = &codec->inflater;
    aim(s, inflated, deflated);
    s->avail_in = (uInt)deflated_length;
    s->avail_out = 1;
    const int status = inflate(s, Z_NO_FLUSH);
    assert(status == Z_OK && inflated[0] == text[0]);
    (void)fits;
    (void)status;
}

static void start(struct zip_codec *codec)
{
    codec->deflater = codec->inflater =
        (z_stream){.zalloc = take, .zfree = give_back, .opaque = codec};
    const int deflating = deflateInit2(&codec->deflater, Z_BEST_SPEED, Z_DEFLATED, RAW_WINDOW,
                                       MEMORY_LEVEL, Z_HUFFMAN_ONLY);
    const int inflating = inflateInit2(&codec->inflater, RAW_WINDOW);
    assert(deflating == Z_OK && inflating == Z_OK);
    (void)deflating;
    (void)inflating;
    rehearse(codec);
}

size_t zip_codec_bytes(void)
{
    struct zip_codec counting = {.used = padded(sizeof counting)};
    start(&counting);
    deflateEnd(&counting.deflater);
    inflateEnd(&counting.inflater);
    return counting.used;
}

struct zip_codec *zip_codec_init(void *memory)
{
    struct zip_codec *codec = memory;
    *codec = (struct zip_codec){
        .memory = memory, .used = padded(sizeof *codec), .capacity = zip_codec_bytes()};
    start(codec);
    return codec;
}
