#include <attnres/wire.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

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
    return wire_unpack(f->out_tensors, NULL, f->frame, label, &LAYOUT, err);
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
    assert_true(wire_unpack(NULL, NULL, frame, &LABEL, &NOTHING, &err));
    frame[60] ^= 1;
    assert_false(wire_unpack(NULL, NULL, frame, &LABEL, &NOTHING, &err));
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
    assert_false(wire_unpack(f.out_tensors, NULL, f.frame, &LABEL, &LARGER, &err));
    assert_non_null(strstr(err.message, "elements per tensor is 21, expected 24"));
}

/* Values already rounded cross in their encoding without a change, open ones in f32 behind them. */
static void encodings_carry_rounded_values_exactly(void **state)
{
    (void)state;
    enum { ROWS = 3, COLS = 7, N = ROWS * COLS };
    for (enum wire_encoding encoding = WIRE_F32; encoding <= WIRE_INT8; encoding++) {
        const struct wire_layout layout = {encoding, 1, 1, ROWS, COLS};
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
        wire_pack(frame, &LABEL, &layout, in, in_scales);
        assert_true(wire_unpack(out, outs, frame, &LABEL, &layout, &err));
        assert_memory_equal(out_open, open, sizeof open);
        for (int i = 0; i < N; i++) {
            assert_true(out_rounded[i] == rounded[i]);
        }
        if (encoding == WIRE_INT8) {
            assert_memory_equal(out_scales, scales, sizeof scales);
        }
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
