/* Safetensors files, as the tests read them. Every tensor that is found lies within the file. */
#include "fuzz.h"

#include <stdint.h>

#include "../support/safetensors.h"

enum { MEMORY_BYTES = 1 << 14, MEMORY_PER_BYTE = 256 }; /* jansson's values */

static uint32_t read_all(const float *values, int64_t count)
{
    uint32_t n_zeros = 0;
    for (int64_t i = 0; i < count; i++) {
        n_zeros += values[i] == 0.0F;
    }
    return n_zeros;
}

static void expect_within(const struct safetensors *s, const char *name)
{
    int64_t count = -1;
    const float *values = safetensors_find(s, name, &count);
    if (values == NULL) {
        return;
    }
    const unsigned char *first = (const unsigned char *)values;
    assert(first >= s->data && count >= 0);
    assert(count <= (s->data_length - (first - s->data)) / (int64_t)sizeof(float));
    assert(read_all(values, count) <= count);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    struct safetensors s;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = safetensors_parse(&s, bytes, length, "file", &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (!ok) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return 0;
    }
    const struct json_value *value = NULL;
    for (const char *name = json_next(s.header.root, NULL, &value); name != NULL;
         name = json_next(s.header.root, name, &value)) {
        expect_within(&s, name);
        safetensors_metadata(&s, name);
    }
    safetensors_close(&s);
    return 0;
}
