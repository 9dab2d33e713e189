/* How far the messages of a trained model deflate, and how fast: one training step of it on two
 * ranks in one process; then what crosses the cut is packed and unpacked again and again, and each
 * byte plane coded by itself. Prints tables in Markdown.
 *
 * usage: messages CHECKPOINT TEXT [key=value ...]
 *
 * The keys are those of the run that saved the checkpoint, as far as they describe the model. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/checkpoint.h>
#include <attnres/clock.h>
#include <attnres/file.h>
#include <attnres/zip.h>

#include "../../../tests/support/pipeline.h"

enum { MAX_OVERRIDES = 32, ROUNDS = 30, MAX_TENSORS = 64, MAX_PLANES = 4 };

static const double MB = 1e6;

static const char *const ENCODING_NAMES[] = {"f32", "bf16", "int8"};

/** What crosses the cut in one direction. */
struct message {
    const char *direction;
    struct wire_layout layout;
    float *tensors[MAX_TENSORS], *scales[MAX_TENSORS];
};

static void fail(const char *what)
{
    fprintf(stderr, "messages: %s\n", what);
    exit(1);
}

static void read_batch(struct pipeline *p, const char *path)
{
    struct error err = {0};
    struct file_bytes text;
    if (!file_read(&text, path, (size_t)1 << 30, &err)) {
        fail(err.message);
    }
    const size_t n = (size_t)(p->config.batch.n_sequences * p->config.model.seq_len);
    if (text.length < 2 * n + 1) {
        fail("the text is too short");
    }
    const unsigned char *bytes = text.bytes + text.length / 2;
    for (size_t i = 0; i < n; i++) {
        p->tokens[i] = bytes[i];
        p->targets[i] = bytes[i + 1];
    }
    file_bytes_finish(&text);
}

static void load_weights(struct pipeline *p, const char *path)
{
    char step_path[FILE_PATH_BYTES];
    struct checkpoint c;
    struct error err = {0};
    if (!checkpoint_find(step_path, path, &err) || !checkpoint_open(&c, step_path, &err)) {
        fail(err.message);
    }
    for (int rank = 0; rank < p->plan.n_ranks; rank++) {
        if (!checkpoint_load(&c, p->ranks[rank].models, false, &err)) {
            fail(err.message);
        }
    }
    checkpoint_close(&c);
}

/** The last message that the engine of a rank has sent, while its slots still hold it. */
static struct message message_of(const struct pipeline *p, bool carries_values)
{
    const struct model *model = &p->ranks[carries_values ? 0 : 1].models[0];
    const struct depth_set *set = &p->plan.stages[0].outgoing;
    struct message m = {.direction = carries_values ? "values" : "gradients",
                        .layout = carries_values ? plan_values_layout(&p->plan, 0)
                                                 : plan_gradients_layout(&p->plan, 0)};
    assert(depth_set_count(set) <= MAX_TENSORS);
    for (int64_t i = 0; i < depth_set_count(set); i++) {
        const int64_t id = depth_set_id(set, i);
        m.tensors[i] = carries_values ? model_value(model, 0, id) : model_dvalue(model, 0, id);
        m.scales[i] = carries_values ? model_scales(model, 0, id) : NULL;
    }
    return m;
}

/** Byte `plane` of all elements, the sign rotated behind the fraction: what coding leaves of them.
 */
static double coded_share(const unsigned char *elements, int element_bytes, int plane, size_t count,
                          struct zip_codec *zip)
{
    unsigned char *bytes = malloc(count), *coded = malloc(2 * count);
    assert(bytes != NULL && coded != NULL);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, elements + i * (size_t)element_bytes, (size_t)element_bytes);
        const int width = 8 * element_bytes;
        if (element_bytes > 1) {
            bits = bits << 1 | bits >> (width - 1);
        }
        bytes[i] = (unsigned char)(bits >> 8 * plane);
    }
    size_t length = 0;
    const bool fits = zip_codec_deflate(zip, coded, &length, 2 * count, bytes, count);
    assert(fits);
    (void)fits;
    free(bytes);
    free(coded);
    return (double)length / (double)count;
}

static void print_planes(const struct message *m, const unsigned char *frame, struct zip_codec *zip)
{
    static const int BYTES[] = {4, 2, 1};
    const int element_bytes = BYTES[m->layout.encoding];
    const size_t count = (size_t)(m->layout.rows * m->layout.cols);
    const size_t tensor_bytes = (wire_frame_bytes(&m->layout) - WIRE_HEADER_BYTES) /
                                (size_t)(m->layout.n_encoded + m->layout.n_plain);
    const size_t scale_bytes = tensor_bytes - count * (size_t)element_bytes;
    printf("| %s | %s |", m->direction, ENCODING_NAMES[m->layout.encoding]);
    for (int plane = MAX_PLANES - 1; plane >= 0; plane--) {
        double sum = 0.0;
        for (int64_t i = 0; i < m->layout.n_encoded && plane < element_bytes; i++) {
            const unsigned char *tensor = frame + WIRE_HEADER_BYTES + (size_t)i * tensor_bytes;
            sum += coded_share(tensor + scale_bytes, element_bytes, plane, count, zip);
        }
        if (plane < element_bytes) {
            printf(" %.3f |", sum / (double)m->layout.n_encoded);
        } else {
            printf(" |");
        }
    }
    printf("\n");
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void print_speed(struct message *m, const struct wire_codec *codec, unsigned char *bytes)
{
    const struct wire_label label = {.direction = WIRE_VALUES};
    const double mb = (double)wire_frame_bytes(&m->layout) / MB;
    double pack_s[2] = {INFINITY, INFINITY}, unpack_s[2] = {INFINITY, INFINITY};
    size_t length[2] = {0, 0};
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const int deflated = round % 2;
        struct error err = {0};
        m->layout.codec = deflated ? codec : NULL;
        const double start_s = clock_monotonic_s();
        length[deflated] = wire_pack(bytes, &label, &m->layout, (const float *const *)m->tensors,
                                     (const float *const *)m->scales);
        const double packed_s = clock_monotonic_s();
        if (!wire_unpack(m->tensors, m->scales, bytes, length[deflated], &label, &m->layout,
                         &err)) {
            fail(err.message);
        }
        pack_s[deflated] = least(pack_s[deflated], packed_s - start_s);
        unpack_s[deflated] = least(unpack_s[deflated], clock_monotonic_s() - packed_s);
    }
    m->layout.codec = NULL;
    printf("| %s | %s | %.3f | %.3f | %.3f | %.0f | %.0f | %.0f | %.0f |\n", m->direction,
           ENCODING_NAMES[m->layout.encoding], mb, (double)length[1] / MB,
           (double)length[0] / (double)length[1], mb / pack_s[0], mb / pack_s[1], mb / unpack_s[0],
           mb / unpack_s[1]);
}

static void measure(const char *value, const char *gradient, bool planes, char **arguments, int n)
{
    char value_key[64], gradient_key[64];
    const char *overrides[MAX_OVERRIDES] = {"batch.sequences=2",
                                            "batch.microbatch=2",
                                            "pipeline.partition=blocks",
                                            "pipeline.deflate=on",
                                            value_key,
                                            gradient_key};
    int n_overrides = 6;
    struct error err = {0};
    snprintf(value_key, sizeof value_key, "representative.value=%s", value);
    snprintf(gradient_key, sizeof gradient_key, "representative.gradient=%s", gradient);
    for (int i = 2; i < n && n_overrides < MAX_OVERRIDES; i++) {
        overrides[n_overrides++] = arguments[i];
    }
    struct pipeline *p = pipeline_create(2, overrides, n_overrides, &err);
    if (p == NULL) {
        fail(err.message);
    }
    load_weights(p, arguments[0]);
    read_batch(p, arguments[1]);
    if (!pipeline_train(p)) {
        fail(p->stuck);
    }
    const struct wire_codec *codec = &p->ranks[0].engine.codec;
    for (int direction = 0; direction < 2; direction++) {
        struct message m = message_of(p, direction == 0);
        if (direction == 1 && strcmp(value, gradient) != 0) {
            continue; /* seen, or without an encoding of this name */
        }
        unsigned char *bytes = aligned_alloc(64, (wire_deflated_bytes(&m.layout) + 63) / 64 * 64);
        assert(bytes != NULL);
        if (planes) {
            wire_pack(bytes, &(struct wire_label){0}, &m.layout, (const float *const *)m.tensors,
                      (const float *const *)m.scales);
            print_planes(&m, bytes, codec->zip);
        } else {
            print_speed(&m, codec, bytes);
        }
        free(bytes);
    }
    pipeline_destroy(p);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *value, *gradient;
    } rows[] = {{"f32", "f32"}, {"bf16", "bf16"}, {"int8", "f32"}};
    if (argc < 3) {
        fprintf(stderr, "usage: messages CHECKPOINT TEXT [key=value ...]\n");
        return 64;
    }
    printf("| message | encoding | plane 3 | 2 | 1 | 0 |\n|---|---|---|---|---|---|\n");
    for (int i = 0; i < 3; i++) {
        measure(rows[i].value, rows[i].gradient, true, argv + 1, argc - 1);
    }
    printf("\n| message | encoding | MB | deflated | ratio | packing, MB/s | deflated | unpacking, "
           "MB/s | deflated |\n|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < 3; i++) {
        measure(rows[i].value, rows[i].gradient, false, argv + 1, argc - 1);
    }
    return 0;
}
