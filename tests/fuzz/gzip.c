/* Text files that are gzipped, and the deflated planes of messages. The first byte is how much may
 * come out, the second where the text is parted; the rest is read as a gzip file and as the bare
 * deflated text of one, and taken as text that is packed and comes back. */
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_UNIT = 64, SPARE_BYTES = 64, HEADER_BYTES = 10, TAIL_BYTES = 8 };
enum { MEMORY_BYTES = 1 << 18 }; /* zlib's state and the least that output grows by */

/* zlib grows the output twofold while the old one stands. */
static bool gunzip(unsigned char **out, size_t *out_length, const unsigned char *bytes,
                   size_t length, size_t most, struct error *err)
{
    fuzz_begin_counting();
    const bool ok = zip_gunzip(out, out_length, bytes, length, most, "text.gz", err);
    fuzz_expect_at_most(MEMORY_BYTES + 3 * most);
    assert(!ok || *out_length <= most);
    return ok;
}

/* What comes out is the same when it may be just as much, and refused when it may be less. */
static void read_file(const unsigned char *bytes, size_t length, size_t most)
{
    unsigned char *out = NULL, *again = NULL;
    size_t n = 0, n_again = 0;
    struct error err = {0};
    if (!gunzip(&out, &n, bytes, length, most, &err)) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return;
    }
    assert(gunzip(&again, &n_again, bytes, length, n, NULL));
    assert(n_again == n && memcmp(out, again, n) == 0);
    free(again);
    assert(n == 0 || !gunzip(&again, &n_again, bytes, length, n - 1, NULL));
    free(out);
}

/* Exactly so many bytes or none: any other number is refused. */
static void read_stream(struct zip_codec *codec, const unsigned char *bytes, size_t length,
                        size_t most)
{
    unsigned char *out = malloc(most + 1);
    assert(out != NULL);
    fuzz_begin_counting();
    const bool ok = zip_codec_inflate(codec, out, most, bytes, length);
    const bool one_more = zip_codec_inflate(codec, out, most + 1, bytes, length);
    fuzz_expect_at_most(0);
    assert(!ok || !one_more);
    free(out);
}

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> 8 * i);
    }
}

/* One member. Returns its length. */
static size_t put_member(unsigned char *out, size_t capacity, struct zip_codec *codec,
                         const unsigned char *text, size_t length)
{
    static const unsigned char header[HEADER_BYTES] = {0x1f, 0x8b, 8, [9] = 255};
    size_t n = 0;
    memcpy(out, header, HEADER_BYTES);
    assert(zip_codec_deflate(codec, out + HEADER_BYTES, &n, capacity - HEADER_BYTES - TAIL_BYTES,
                             text, length));
    put_u32(out + HEADER_BYTES + n, zip_crc32(0, text, length));
    put_u32(out + HEADER_BYTES + n + 4, (uint32_t)length);
    return HEADER_BYTES + n + TAIL_BYTES;
}

/* In two members, as joined files are. */
static void write_and_read(struct zip_codec *codec, const unsigned char *text, size_t length,
                           size_t first)
{
    const size_t capacity = 2 * (length + length / 8 + SPARE_BYTES);
    unsigned char *file = malloc(capacity), *out = NULL;
    size_t n = 0;
    assert(file != NULL);
    size_t file_length = put_member(file, capacity, codec, text, first);
    file_length +=
        put_member(file + file_length, capacity - file_length, codec, text + first, length - first);
    assert(gunzip(&out, &n, file, file_length, length, NULL));
    assert(n == length && memcmp(out, text, n) == 0);
    free(out);
    assert(!gunzip(&out, &n, file, file_length - 1, length, NULL) && "the last member is cut");
    free(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length < 3) {
        return 0;
    }
    const size_t most = (size_t)LIMIT_UNIT * bytes[0];
    const size_t first = bytes[1] % (length - 2);
    struct zip_codec *codec = fuzz_zip_codec();
    bytes += 2;
    length -= 2;
    read_file(bytes, length, most);
    read_stream(codec, bytes, length, most);
    write_and_read(codec, bytes, length, first);
    return 0;
}
