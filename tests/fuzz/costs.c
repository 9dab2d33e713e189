/* A file of measured costs. What is accepted is printed and read again: to six digits the same, and
 * from then on exactly. */
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/costs.h>

enum { MEMORY_BYTES = 1 << 15, MEMORY_PER_BYTE = 256, TEXT_BYTES = 4096 };

static struct costs read_again(const char *text)
{
    struct costs costs;
    struct error err = {0};
    const bool ok = costs_parse(&costs, "again.json", text, strlen(text), &err);
    assert(ok);
    return costs;
}

static void expect_same_again(const struct costs *costs)
{
    char text[TEXT_BYTES], again[TEXT_BYTES];
    assert(costs_print(costs, text, sizeof text) < sizeof text);
    const struct costs read = read_again(text);
    assert(costs_has_parts(&read) == costs_has_parts(costs));
    assert(strcmp(read.shape, costs->shape) == 0);
    assert(costs_print(&read, again, sizeof again) < sizeof again);
    assert(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    struct costs costs;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = costs_parse(&costs, "costs.json", (const char *)bytes, length, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (ok) {
        expect_same_again(&costs);
    } else {
        fuzz_expect_refusal(&err, ERROR_DATA);
    }
    return 0;
}
