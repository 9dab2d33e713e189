#include <attnres/wire.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TENSORS = 3, COUNT = 21, FRAME_BYTES = 64 + TENSORS * 128 };

static const struct wire_label LABEL = {
    .step = 5000000000, .microbatch = 7, .stage = 3, .direction = WIRE_GRADIENTS};

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
    wire_pack(f->frame, &LABEL, f->in_tensors, TENSORS, COUNT);
}

static bool unpack(struct fixture *f, const struct wire_label *label, struct error *err)
{
    return wire_unpack(f->out_tensors, f->frame, label, TENSORS, COUNT, err);
}

static void frame_pads_each_tensor_to_64_bytes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(wire_frame_bytes(TENSORS, COUNT), FRAME_BYTES);
    assert_int_equal(wire_frame_bytes(0, 1000), 64);
    assert_int_equal(wire_frame_bytes(2, 16), 64 + 2 * 64);
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
    wire_pack(frame, &LABEL, NULL, 0, 0);
    assert_true(wire_unpack(NULL, frame, &LABEL, 0, 0, &err));
    frame[60] ^= 1;
    assert_false(wire_unpack(NULL, frame, &LABEL, 0, 0, &err));
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
    assert_false(wire_unpack(f.out_tensors, f.frame, &LABEL, TENSORS, COUNT + 1, &err));
    assert_non_null(strstr(err.message, "floats per tensor is 21, expected 22"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_pads_each_tensor_to_64_bytes),
        cmocka_unit_test(unpack_returns_what_pack_took),
        cmocka_unit_test(empty_frames_are_checked_too),
        cmocka_unit_test(every_single_bit_flip_is_detected_and_nothing_written),
        cmocka_unit_test(another_message_is_named_by_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
