/* What is kept of a metrics file on resume. The first byte is the last step; the rest is the file.
 * Only whole lines stay, in order; keeping the same again changes nothing. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/metrics.h>

enum { MEMORY_BYTES = 1 << 14, MEMORY_PER_BYTE = 256 };

/* Each kept line is one of the file, and comes behind those kept before it. */
static void expect_lines_of(const char *kept, size_t n_kept, const unsigned char *file,
                            size_t length)
{
    const char *all = (const char *)file, *all_end = all + length;
    for (const char *line = kept; line < kept + n_kept;) {
        const char *end = memchr(line, '\n', n_kept - (size_t)(line - kept));
        assert(end != NULL && "whole lines");
        const size_t line_length = (size_t)(end - line) + 1;
        for (bool is_found = false; !is_found;) {
            const char *newline = memchr(all, '\n', (size_t)(all_end - all));
            assert(newline != NULL && "a line of the file");
            is_found =
                (size_t)(newline - all) + 1 == line_length && memcmp(all, line, line_length) == 0;
            all = newline + 1;
        }
        line = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length < 2) {
        return 0;
    }
    const int64_t last_step = *bytes++;
    length--;
    char *text = malloc(length);
    assert(text != NULL);
    memcpy(text, bytes, length);
    fuzz_begin_counting();
    const size_t kept = metrics_keep_lines(text, length, last_step);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    assert(kept <= length);
    expect_lines_of(text, kept, bytes, length);
    assert(metrics_keep_lines(text, kept, last_step) == kept);
    assert(metrics_keep_lines(text, kept, last_step - 1) <= kept);
    free(text);
    return 0;
}
