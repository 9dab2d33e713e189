#include <attnres/zip.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zlib.h>

#include <attnres/error.h>
#include <attnres/rng.h>

/* printf 'hello hello hello\n' | gzip -n9 */
static const unsigned char HELLO[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
    0x57, 0xc8, 0x40, 0x90, 0x5c, 0x00, 0x3b, 0x7c, 0x8a, 0xdf, 0x12, 0x00, 0x00, 0x00,
};
static const char HELLO_TEXT[] = "hello hello hello\n";

enum { HELLO_LENGTH = sizeof HELLO_TEXT - 1 };

static bool gunzip(struct error *err, const void *bytes, size_t length, size_t max_bytes,
                   const char *expected)
{
    unsigned char *out = NULL;
    size_t out_length = 0;
    if (!zip_gunzip(&out, &out_length, bytes, length, max_bytes, "test.gz", err)) {
        assert_null(out);
        return false;
    }
    assert_int_equal(out_length, strlen(expected));
    assert_memory_equal(out, expected, out_length);
    free(out);
    return true;
}

static void crc_is_the_standard_one_and_continues(void **state)
{
    (void)state;
    assert_int_equal(zip_crc32(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(zip_crc32(zip_crc32(0, "1234", 4), "56789", 5), 0xCBF43926);
    assert_int_equal(zip_crc32(0, "", 0), 0);
    assert_int_equal(zip_crc32(0xCBF43926, NULL, 0), 0xCBF43926); /* of an empty file, mapped */
}

static void gunzip_inflates_up_to_the_limit(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(gunzip(NULL, HELLO, sizeof HELLO, HELLO_LENGTH, HELLO_TEXT));
    assert_false(gunzip(&err, HELLO, sizeof HELLO, HELLO_LENGTH - 1, HELLO_TEXT));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_non_null(strstr(err.message, "test.gz: inflates to more than 17 bytes"));
    assert_false(gunzip(&err, HELLO, sizeof HELLO, 0, HELLO_TEXT));
}

/* Deflated by zlib itself: zeros (which inflate a thousandfold) after bytes that do not deflate. */
static void gunzip_grows_its_output(void **state)
{
    (void)state;
    enum { LENGTH = 1000003, NOISE = 200000 };
    unsigned char *plain = calloc(LENGTH, 1), *packed = malloc(2 * LENGTH), *out = NULL;
    assert_true(plain != NULL && packed != NULL);
    for (int i = 0; i < NOISE; i++) {
        plain[i] = (unsigned char)rng_at(1, (uint64_t)i);
    }
    z_stream stream = {.next_in = plain, .avail_in = LENGTH};
    stream.next_out = packed;
    stream.avail_out = 2 * LENGTH;
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t length = 0;
    assert_true(zip_gunzip(&out, &length, packed, stream.total_out, LENGTH, "noise", NULL));
    assert_int_equal(length, LENGTH);
    assert_memory_equal(out, plain, LENGTH);
    free(out);
    assert_false(zip_gunzip(&out, &length, packed, stream.total_out, LENGTH - 1, "noise", NULL));
    deflateEnd(&stream);
    free(packed);
    free(plain);
}

static void gunzip_joins_all_members(void **state)
{
    (void)state;
    unsigned char two[2 * sizeof HELLO];
    memcpy(two, HELLO, sizeof HELLO);
    memcpy(two + sizeof HELLO, HELLO, sizeof HELLO);
    assert_true(gunzip(NULL, two, sizeof two, 36, "hello hello hello\nhello hello hello\n"));
    assert_false(gunzip(NULL, two, sizeof two, 35, ""));
}

static void gunzip_refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof HELLO; length++) {
        struct error err = {0};
        assert_false(gunzip(&err, HELLO, length, 1000, HELLO_TEXT));
        assert_int_equal(err.kind, ERROR_DATA);
    }
}

static void gunzip_refuses_or_ignores_every_damaged_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof HELLO; i++) {
        unsigned char damaged[sizeof HELLO];
        memcpy(damaged, HELLO, sizeof HELLO);
        damaged[i] ^= 0x20;
        const bool header_field_without_meaning = i >= 4 && i <= 9; /* time, level, system */
        struct error err = {0};
        assert_int_equal(gunzip(&err, damaged, sizeof damaged, 1000, HELLO_TEXT),
                         header_field_without_meaning);
    }
}

static void gunzip_refuses_trailing_garbage(void **state)
{
    (void)state;
    unsigned char longer[sizeof HELLO + 1];
    memcpy(longer, HELLO, sizeof HELLO);
    const unsigned char tails[] = {0, 0x1f, 'x'};
    for (size_t i = 0; i < sizeof tails; i++) {
        struct error err = {0};
        longer[sizeof HELLO] = tails[i];
        assert_false(gunzip(&err, longer, sizeof longer, 1000, HELLO_TEXT));
        assert_int_equal(err.kind, ERROR_DATA);
    }
}

enum { MOST = 100003 };

struct coded {
    struct zip_codec *codec;
    void *memory;
    unsigned char raw[MOST], deflated[MOST + 1], inflated[MOST + 1];
    size_t length, deflated_length;
};

/* Bytes of which a few are frequent, as exponents are. */
static struct coded *coded_create(size_t length)
{
    struct coded *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->memory = aligned_alloc(64, zip_codec_bytes());
    c->codec = zip_codec_init(c->memory);
    c->length = length;
    for (size_t i = 0; i < length; i++) {
        const uint64_t bits = rng_at(1, i);
        c->raw[i] = (unsigned char)(120 + (bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1));
    }
    assert_true(
        zip_codec_deflate(c->codec, c->deflated, &c->deflated_length, MOST, c->raw, length));
    c->inflated[length] = 0xee;
    return c;
}

static void coded_destroy(struct coded *c)
{
    free(c->memory);
    free(c);
}

static bool inflates(struct coded *c, size_t length, size_t deflated_length)
{
    c->inflated[length] = 0xee;
    const bool ok = zip_codec_inflate(c->codec, c->inflated, length, c->deflated, deflated_length);
    assert_int_equal(c->inflated[length], 0xee);
    return ok;
}

static void codec_returns_what_it_was_given(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 257, 16384, 65537, MOST};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct coded *c = coded_create(lengths[i]);
        for (int again = 0; again < 2; again++) { /* a codec is used over and over */
            assert_true(inflates(c, c->length, c->deflated_length));
            assert_memory_equal(c->inflated, c->raw, c->length);
            memset(c->inflated, 0, c->length);
        }
        assert_true(c->length < 1000 || c->deflated_length < c->length / 2);
        coded_destroy(c);
    }
}

static void codec_refuses_what_does_not_fit_the_capacity(void **state)
{
    (void)state;
    struct coded *c = coded_create(5000);
    const size_t needed = c->deflated_length;
    size_t length = 0;
    for (size_t capacity = 0; capacity <= needed; capacity += 1 + needed / 50) {
        c->inflated[capacity] = 0xee;
        assert_false(
            zip_codec_deflate(c->codec, c->inflated, &length, capacity, c->raw, c->length));
        assert_int_equal(c->inflated[capacity], 0xee);
    }
    assert_false(zip_codec_deflate(c->codec, c->inflated, &length, needed, c->raw, c->length));
    assert_true(zip_codec_deflate(c->codec, c->inflated, &length, needed + 1, c->raw, c->length));
    assert_memory_equal(c->inflated, c->deflated, length);
    coded_destroy(c);
}

static void codec_inflates_exact_lengths_only(void **state)
{
    (void)state;
    struct coded *c = coded_create(5000);
    assert_false(inflates(c, c->length - 1, c->deflated_length));
    assert_false(inflates(c, c->length + 1, c->deflated_length));
    assert_false(inflates(c, c->length, c->deflated_length + 1));
    for (size_t cut = 0; cut < c->deflated_length; cut += 1 + c->deflated_length / 100) {
        assert_false(inflates(c, c->length, cut));
    }
    assert_true(inflates(c, c->length, c->deflated_length));
    coded_destroy(c);
}

/* A stream that is not one of ours may match backwards; damaged ones may say anything. */
static void codec_survives_damaged_streams(void **state)
{
    (void)state;
    struct coded *c = coded_create(3000);
    for (size_t bit = 0; bit < 8 * c->deflated_length; bit++) {
        c->deflated[bit / 8] ^= (unsigned char)(1 << bit % 8);
        inflates(c, c->length, c->deflated_length);
        c->deflated[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (uint64_t seed = 0; seed < 2000; seed++) {
        for (size_t i = 0; i < 64; i++) {
            c->deflated[i] = (unsigned char)rng_at(seed, i);
        }
        inflates(c, c->length, 64);
    }
    assert_true(
        zip_codec_deflate(c->codec, c->deflated, &c->deflated_length, MOST, c->raw, c->length));
    assert_true(inflates(c, c->length, c->deflated_length));
    coded_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_the_standard_one_and_continues),
        cmocka_unit_test(gunzip_inflates_up_to_the_limit),
        cmocka_unit_test(gunzip_grows_its_output),
        cmocka_unit_test(gunzip_joins_all_members),
        cmocka_unit_test(gunzip_refuses_every_truncation),
        cmocka_unit_test(gunzip_refuses_or_ignores_every_damaged_byte),
        cmocka_unit_test(gunzip_refuses_trailing_garbage),
        cmocka_unit_test(codec_returns_what_it_was_given),
        cmocka_unit_test(codec_refuses_what_does_not_fit_the_capacity),
        cmocka_unit_test(codec_inflates_exact_lengths_only),
        cmocka_unit_test(codec_survives_damaged_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
