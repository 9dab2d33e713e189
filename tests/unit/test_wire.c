#include <attnres/wire.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/rng.h>
#include <attnres/zip.h>

enum { TENSORS = 3, COUNT = 21, FRAME_BYTES = 64 + TENSORS * 128 };

static const struct wire_layout LAYOUT = {.n_plain = TENSORS, .rows = 3, .cols = COUNT / 3};

static const struct wire_label LABEL = {
    .step = 5000000000, .microbatch = 7, .stage = 3, .direction = WIRE_GRADIENTS};

static const struct wire_layout NOTHING = {0};
static const struct wire_layout LARGER = {.n_plain = TENSORS, .rows = 3, .cols = COUNT / 3 + 1};

struct fixture {
    _Alignas(64) unsigned char frame[FRAME_BYTES];
    float values[TENSORS][COUNT], out[TENSORS][COUNT];
    const float *in_tensors[TENSORS];
    float *out_tensors[TENSORS];
};

static void fixture_init(struct fixture *f)
{
    memset(f->frame, 0xa5, sizeof f->frame);
    for (int i = 0; i < TENSORS; i++) {
        f->in_tensors[i] = f->values[i];
        f->out_tensors[i] = f->out[i];
        for (int k = 0; k < COUNT; k++) {
            f->values[i][k] = (float)(i * 100 + k) / 3;
            f->out[i][k] = -1;
        }
    }
    wire_pack(f->frame, &LABEL, &LAYOUT, f->in_tensors, NULL);
}

static bool unpack(struct fixture *f, const struct wire_label *label, struct error *err)
{
    return wire_unpack(f->out_tensors, NULL, f->frame, FRAME_BYTES, label, &LAYOUT, err);
}

static void frame_pads_each_tensor_to_64_bytes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(wire_frame_bytes(&LAYOUT), FRAME_BYTES);
    assert_int_equal(wire_frame_bytes(&(struct wire_layout){.rows = 10, .cols = 100}), 64);
    assert_int_equal(wire_frame_bytes(&(struct wire_layout){.n_plain = 2, .rows = 1, .cols = 16}),
                     64 + 2 * 64);
    assert_memory_equal(f.frame + 64 + 128, f.values[1], sizeof f.values[1]);
    for (int i = 64 + COUNT * 4; i < 64 + 128; i++) {
        assert_int_equal(f.frame[i], 0);
    }
}

static void unpack_returns_what_pack_took(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = {0};
    fixture_init(&f);
    assert_true(unpack(&f, &LABEL, &err));
    assert_memory_equal(f.out, f.values, sizeof f.values);
}

static void empty_frames_are_checked_too(void **state)
{
    (void)state;
    unsigned char frame[64];
    struct error err = {0};
    wire_pack(frame, &LABEL, &NOTHING, NULL, NULL);
    assert_true(wire_unpack(NULL, NULL, frame, 64, &LABEL, &NOTHING, &err));
    frame[60] ^= 1;
    assert_false(wire_unpack(NULL, NULL, frame, 64, &LABEL, &NOTHING, &err));
}

static void every_single_bit_flip_is_detected_and_nothing_written(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int bit = 0; bit < 8 * FRAME_BYTES; bit++) {
        struct error err = {0};
        f.frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(unpack(&f, &LABEL, &err));
        assert_int_equal(err.kind, ERROR_DATA);
        f.frame[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (int i = 0; i < TENSORS * COUNT; i++) {
        assert_true(f.out[i / COUNT][i % COUNT] == -1);
    }
}

static void another_message_is_named_by_its_field(void **state)
{
    (void)state;
    static const struct {
        struct wire_label label;
        const char *text;
    } rows[] = {
        {{5000000001, 7, 3, WIRE_GRADIENTS}, "step is 5000000000, expected 5000000001"},
        {{5000000000, 8, 3, WIRE_GRADIENTS}, "microbatch is 7, expected 8"},
        {{5000000000, 7, 2, WIRE_GRADIENTS}, "stage is 3, expected 2"},
        {{5000000000, 7, 3, WIRE_VALUES}, "direction is 2, expected 1"},
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        assert_false(unpack(&f, &rows[i].label, &err));
        assert_non_null(strstr(err.message, rows[i].text));
    }
    struct error err = {0};
    assert_false(wire_unpack(f.out_tensors, NULL, f.frame, FRAME_BYTES, &LABEL, &LARGER, &err));
    assert_non_null(strstr(err.message, "elements per tensor is 21, expected 24"));
}

/* Values already rounded cross in their encoding without a change, open ones in f32 behind them. */
static void encodings_carry_rounded_values_exactly(void **state)
{
    (void)state;
    enum { ROWS = 3, COLS = 7, N = ROWS * COLS };
    for (enum wire_encoding encoding = WIRE_F32; encoding <= WIRE_INT8; encoding++) {
        const struct wire_layout layout = {encoding, 1, 1, ROWS, COLS, NULL};
        _Alignas(64) unsigned char frame[1024];
        float rounded[N], open[N], out_rounded[N] = {0}, out_open[N] = {0};
        float scales[ROWS] = {0.03F, 0.0F, 1.7e-5F}, out_scales[ROWS] = {0};
        for (int i = 0; i < N; i++) {
            const int q = (i * 37) % 255 - 127;
            open[i] = (float)i / 3;
            rounded[i] =
                encoding == WIRE_INT8 ? (float)q * scales[i / COLS] : (float)q * 0.0078125F;
        }
        const float *in[] = {rounded, open}, *in_scales[] = {scales};
        float *out[] = {out_rounded, out_open}, *outs[] = {out_scales};
        struct error err = {0};
        assert_true(wire_frame_bytes(&layout) <= sizeof frame);
        const size_t length = wire_pack(frame, &LABEL, &layout, in, in_scales);
        assert_true(wire_unpack(out, outs, frame, length, &LABEL, &layout, &err));
        assert_memory_equal(out_open, open, sizeof open);
        for (int i = 0; i < N; i++) {
            assert_true(out_rounded[i] == rounded[i]);
        }
        if (encoding == WIRE_INT8) {
            assert_memory_equal(out_scales, scales, sizeof scales);
        }
    }
}

/* Deflated messages: large enough for coding to pay, in each encoding, behind an open tensor. */
enum { ROWS = 24, COLS = 40, N = ROWS * COLS, ROOM = 64 + 2 * (4 * N + 256) };

struct deflated {
    void *memory;
    _Alignas(64) unsigned char frame[ROOM];
    _Alignas(64) unsigned char message[ROOM + 1];
    unsigned char plane[N];
    struct wire_codec codec;
    struct wire_layout layout;
    size_t length;
    float values[2][N], out[2][N], scales[ROWS], out_scales[ROWS];
    const float *in_tensors[2], *in_scales[1];
    float *out_tensors[2], *scales_out[1];
};

/* Values of few magnitudes, as the encoding rounds them. */
static float value_at(enum wire_encoding encoding, uint64_t seed, int i)
{
    const double z = rng_normal_at(seed, (uint64_t)i);
    const float value = (float)z;
    if (encoding == WIRE_INT8) {
        return (float)(int)(20 * z) * 0.03F; /* well within 127 */
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= encoding == WIRE_BF16 ? 0xffff0000U : 0xffffffffU;
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return rounded;
}

static struct deflated *deflated_create(enum wire_encoding encoding)
{
    struct deflated *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->memory = aligned_alloc(64, zip_codec_bytes());
    d->codec = (struct wire_codec){zip_codec_init(d->memory), d->frame, d->plane};
    d->layout = (struct wire_layout){encoding, 1, 1, ROWS, COLS, &d->codec};
    assert_true(wire_plane_bytes(&d->layout) <= N && wire_message_bytes(&d->layout) <= ROOM);
    for (int i = 0; i < N; i++) {
        d->values[0][i] = value_at(encoding, 1, i);
        d->values[1][i] = value_at(WIRE_F32, 2, i);
        d->scales[i / COLS] = 0.03F;
    }
    for (int i = 0; i < 2; i++) {
        d->in_tensors[i] = d->values[i];
        d->out_tensors[i] = d->out[i];
    }
    d->in_scales[0] = d->scales;
    d->scales_out[0] = d->out_scales;
    d->length = wire_pack(d->message, &LABEL, &d->layout, d->in_tensors, d->in_scales);
    memset(d->out, 0xee, sizeof d->out);
    return d;
}

static void deflated_destroy(struct deflated *d)
{
    free(d->memory);
    free(d);
}

static bool inflates(struct deflated *d, size_t length, struct error *err)
{
    return wire_unpack(d->out_tensors, d->scales_out, d->message, length, &LABEL, &d->layout, err);
}

/* One error, and not a value touched. */
static void assert_refused(struct deflated *d, size_t length)
{
    struct error err = {0};
    memset(d->out, 0xee, sizeof d->out);
    assert_false(inflates(d, length, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_int_equal(strncmp(err.message, "message: ", 9), 0);
    assert_null(strchr(err.message, '\n'));
    const unsigned char *bytes = (const unsigned char *)d->out;
    for (size_t i = 0; i < sizeof d->out; i++) {
        assert_int_equal(bytes[i], 0xee);
    }
}

static void deflated_messages_are_shorter_and_exact(void **state)
{
    (void)state;
    for (enum wire_encoding encoding = WIRE_F32; encoding <= WIRE_INT8; encoding++) {
        struct deflated *d = deflated_create(encoding);
        struct error err = {0};
        assert_true(d->length < wire_frame_bytes(&d->layout));
        assert_true(inflates(d, d->length, &err));
        assert_memory_equal(d->out, d->values, sizeof d->values);
        assert_true(encoding != WIRE_INT8 ||
                    memcmp(d->out_scales, d->scales, sizeof d->scales) == 0);
        deflated_destroy(d);
    }
}

/* Whatever the bits are: infinities, every exponent, both signs of zero. */
static void values_that_do_not_deflate_are_stored_within_the_bound(void **state)
{
    (void)state;
    struct deflated *d = deflated_create(WIRE_F32);
    struct error err = {0};
    for (int i = 0; i < 2 * N; i++) {
        const uint32_t bits = (uint32_t)rng_at(7, (uint64_t)i);
        memcpy(&d->values[i / N][i % N], &bits, sizeof bits);
    }
    d->length = wire_pack(d->message, &LABEL, &d->layout, d->in_tensors, NULL);
    assert_true(d->length > wire_frame_bytes(&d->layout) - 2 * 64);
    assert_true(d->length <= wire_deflated_bytes(&d->layout));
    assert_true(inflates(d, d->length, &err));
    assert_memory_equal(d->out, d->values, sizeof d->values);
    deflated_destroy(d);
}

static void truncated_and_extended_messages_are_refused(void **state)
{
    (void)state;
    for (enum wire_encoding encoding = WIRE_F32; encoding <= WIRE_INT8; encoding++) {
        struct deflated *d = deflated_create(encoding);
        for (size_t length = 0; length < d->length; length += length < 80 ? 1 : 61) {
            assert_refused(d, length);
        }
        assert_refused(d, d->length - 1);
        assert_refused(d, d->length + 1);
        assert_refused(d, wire_message_bytes(&d->layout) + 1);
        deflated_destroy(d);
    }
}

/* The last byte of a coded plane has bits that mean nothing: flipped they change no value. Any
 * other flip is found. */
static void bit_flips_in_deflated_messages_change_no_value(void **state)
{
    (void)state;
    int n_harmless = 0;
    struct deflated *d = deflated_create(WIRE_BF16);
    for (size_t bit = 0; bit < 8 * d->length; bit++) {
        struct error err = {0};
        d->message[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (inflates(d, d->length, &err)) {
            n_harmless++;
            assert_memory_equal(d->out, d->values, sizeof d->values);
        } else {
            assert_int_equal(err.kind, ERROR_DATA);
        }
        d->message[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(n_harmless <= 2 * 7);
    deflated_destroy(d);
}

/* The coded plane's length says what the sender likes: nothing, all, more than there is. */
static void forged_lengths_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0,    1,          N - 1,     N,          N + 1,
                                       ROOM, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    struct deflated *d = deflated_create(WIRE_BF16);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (int k = 0; k < 8; k++) {
            d->message[64 + N + k] = (unsigned char)(lengths[i] >> 8 * k);
        }
        assert_refused(d, d->length);
    }
    deflated_destroy(d);
}

/* A bomb: a plane of a few bytes that stands for a million, in place of the coded one. */
static void a_plane_that_inflates_to_more_is_refused(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20 };
    struct deflated *d = deflated_create(WIRE_BF16);
    unsigned char *zeros = calloc(1, LARGE);
    size_t length = 0;
    unsigned char *coded = malloc(LARGE);
    assert_true(zip_codec_deflate(d->codec.zip, coded, &length, LARGE, zeros, LARGE));
    const size_t used = length < N - 1 ? length : N - 1;
    for (int k = 0; k < 8; k++) {
        d->message[64 + N + k] = (unsigned char)(used >> 8 * k);
    }
    memcpy(d->message + 64 + N + 8, coded, used);
    assert_refused(d, d->length);
    free(coded);
    free(zeros);
    deflated_destroy(d);
}

static void a_message_of_the_other_sort_is_named(void **state)
{
    (void)state;
    struct deflated *d = deflated_create(WIRE_F32);
    struct error err = {0};
    struct wire_layout plain = d->layout;
    plain.codec = NULL;
    const size_t length = wire_pack(d->frame, &LABEL, &plain, d->in_tensors, NULL);
    memcpy(d->message, d->frame, length);
    assert_false(inflates(d, length, &err));
    assert_non_null(strstr(err.message, "deflation is 0, expected 1"));
    deflated_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_pads_each_tensor_to_64_bytes),
        cmocka_unit_test(encodings_carry_rounded_values_exactly),
        cmocka_unit_test(unpack_returns_what_pack_took),
        cmocka_unit_test(empty_frames_are_checked_too),
        cmocka_unit_test(every_single_bit_flip_is_detected_and_nothing_written),
        cmocka_unit_test(another_message_is_named_by_its_field),
        cmocka_unit_test(deflated_messages_are_shorter_and_exact),
        cmocka_unit_test(values_that_do_not_deflate_are_stored_within_the_bound),
        cmocka_unit_test(truncated_and_extended_messages_are_refused),
        cmocka_unit_test(bit_flips_in_deflated_messages_change_no_value),
        cmocka_unit_test(forged_lengths_are_refused),
        cmocka_unit_test(a_plane_that_inflates_to_more_is_refused),
        cmocka_unit_test(a_message_of_the_other_sort_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
