/* The header of a checkpoint's file, as `attnres checkpoint verify` reads it. The first byte says
 * how far the tensors of the manifest are from where the header ends, or that they are as far as a
 * number goes; the rest is the file, without what its tensors hold. What is accepted describes each
 * tensor once, where the manifest has it, and the tests' reader of safetensors finds the same. */
#include "fuzz.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/checkpoint/checkpoint_internal.h"
#include "../support/safetensors.h"

enum {
    MEMORY_BYTES = 1 << 14,
    MEMORY_PER_BYTE = 256,
    N_TENSORS = 2,
    DATA_BYTES = 4 * (6 + 200),
    FAR = -128
};

static const struct param matrix = {.rows = 2, .cols = 3, .count = 6},
                          vector = {.cols = 200, .count = 200};

/* The manifest's word: two tensors one behind the other, from some byte on. */
static void list(struct listed_tensor tensors[N_TENSORS], int64_t begin)
{
    memset(tensors, 0, N_TENSORS * sizeof *tensors);
    tensors[0].param = &matrix;
    tensors[1].param = &vector;
    snprintf(tensors[0].name, sizeof tensors[0].name, "embed.weight");
    snprintf(tensors[1].name, sizeof tensors[1].name, "norm.weight");
    tensors[0].at.offset = begin;
    tensors[1].at.offset = begin + checkpoint_tensor_bytes(&matrix);
}

/* The whole file, with zeros for the tensors, read by the other reader. */
static void expect_found(const struct listed_file *f, const unsigned char *head)
{
    struct safetensors s;
    struct error err = {0};
    unsigned char *bytes = calloc(1, (size_t)f->bytes);
    assert(bytes != NULL && f->header_bytes + DATA_BYTES == f->bytes);
    memcpy(bytes, head, (size_t)f->header_bytes);
    assert(safetensors_parse(&s, bytes, (size_t)f->bytes, "file", &err));
    assert(json_count(s.header.root) == N_TENSORS);
    assert(s.data == bytes + f->header_bytes);
    for (int64_t k = 0; k < f->n; k++) {
        const struct listed_tensor *t = &f->tensors[k];
        int64_t count = 0;
        const float *values = safetensors_find(&s, t->name, &count);
        assert(values == NULL ||
               (count == t->param->count && (const unsigned char *)values == bytes + t->at.offset));
        assert(values != NULL || f->header_bytes % (int64_t)sizeof(float) != 0);
    }
    safetensors_close(&s);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length < 1 + HEADER_LENGTH_BYTES) {
        return 0;
    }
    const int64_t shift = (signed char)bytes[0], head_bytes = (int64_t)length - 1;
    struct listed_tensor tensors[N_TENSORS];
    struct listed_file f = {.name = "file",
                            .path = "step/file",
                            .bytes = head_bytes + DATA_BYTES,
                            .tensors = tensors,
                            .n = N_TENSORS};
    struct error err = {0};
    if (!checkpoint_header_length(&f, bytes + 1, &err)) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return 0;
    }
    assert(f.header_bytes >= HEADER_LENGTH_BYTES && f.header_bytes <= f.bytes);
    if (f.header_bytes > head_bytes) {
        return 0; /* it reaches into the tensors, which are not here */
    }
    list(tensors,
         shift == FAR ? INT64_MAX - checkpoint_tensor_bytes(&matrix) : f.header_bytes + shift);
    fuzz_begin_counting();
    const bool ok =
        checkpoint_check_header(&f, (const char *)bytes + 1 + HEADER_LENGTH_BYTES, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (ok) {
        assert(shift == 0);
        expect_found(&f, bytes + 1);
    } else {
        fuzz_expect_refusal(&err, ERROR_DATA);
    }
    return 0;
}
