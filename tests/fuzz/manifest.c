/* A checkpoint's manifest. Its last line is a checksum, which chance does not hit: each input is
 * tried as it is, and again with the last line set right. No tensor of what is accepted lies
 * outside the step's folder, and no count is beyond what a run can do. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/checkpoint/checkpoint_internal.h"

#include <attnres/zip.h>

enum { LAST_LINE_BYTES = 21, MEMORY_BYTES = 1 << 15, MEMORY_PER_BYTE = 256 };

static void expect_inside(const struct checkpoint *c, const char *name)
{
    struct tensor_location l;
    struct error err = {0};
    if (!checkpoint_locate(&l, c, name, &err)) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return;
    }
    assert(memchr(l.file, '\0', sizeof l.file) != NULL);
    assert(l.file[0] != '\0' && l.file[0] != '.' && strchr(l.file, '/') == NULL);
    assert(l.offset >= 0);
}

/* Names are asked for by the model's table, which has none that a terminal could obey. */
static bool is_printable(const char *name)
{
    while (*name >= ' ' && *name < 0x7f) {
        name++;
    }
    return *name == '\0';
}

static void expect_sane(const struct checkpoint *c)
{
    const struct checkpoint_state *s = &c->state;
    assert(s->step >= 0 && s->n_updates >= 0 && s->guard.n_skips_in_a_row >= 0 && s->tokens >= 0);
    assert(s->position.major >= 0 && s->position.minor >= 0 && s->data.n_tokens >= -1);
    assert(s->position.window >= -1 && s->guard.n_seen >= 0);
    assert(strlen(c->config_text) + strlen(c->kernels) + strlen(c->blas_core) < SIZE_MAX);
    const struct json_value *tensors = json_get(c->manifest.root, "tensors"), *entry = NULL;
    for (const char *name = json_next(tensors, NULL, &entry); name != NULL;
         name = json_next(tensors, name, &entry)) {
        if (is_printable(name)) {
            expect_inside(c, name);
        }
    }
    expect_inside(c, "no such tensor");
}

static void parse(const char *bytes, size_t length)
{
    struct checkpoint c;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = checkpoint_parse(&c, "run/step", bytes, length, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (ok) {
        expect_sane(&c);
    } else { /* a format of another version is no damage */
        fuzz_expect_refusal(&err, err.kind == ERROR_CONFIG ? ERROR_CONFIG : ERROR_DATA);
    }
    checkpoint_close(&c);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    parse((const char *)bytes, length);
    size_t start = length > 0 ? length - 1 : 0;
    while (start > 0 && bytes[start - 1] != '\n') {
        start--;
    }
    char *signed_text = malloc(start + LAST_LINE_BYTES);
    assert(signed_text != NULL);
    if (start > 0) {
        memcpy(signed_text, bytes, start);
    }
    snprintf(signed_text + start, LAST_LINE_BYTES, "\"crc32\":\"%08" PRIx32 "\"}\n",
             zip_crc32(0, bytes, start));
    parse(signed_text, start + LAST_LINE_BYTES - 1);
    free(signed_text);
    return 0;
}
