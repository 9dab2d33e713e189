/* A configuration file and, each behind a 0 byte, overrides. What is accepted is printed and read
 * again: the same configuration, and the same text. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/config.h>

enum { MOST_OVERRIDES = 8, DUMP_BYTES = 1 << 17 };

/* libyaml has its buffers, and about a hundred bytes for a token of one. */
enum { MEMORY_BYTES = 1 << 19, MEMORY_PER_BYTE = 256 };

static void note_difference(void *user, const char *key, const char *a, const char *b,
                            enum config_resume_rule rule)
{
    (void)user;
    (void)key;
    (void)a;
    (void)b;
    (void)rule;
    assert(false && "the same configuration comes back");
}

static void expect_same_again(const struct config *config, bool with_help)
{
    static char text[DUMP_BYTES], again[DUMP_BYTES];
    static struct config read;
    struct error err = {0};
    const size_t length = config_dump(config, with_help, text, sizeof text);
    assert(length < sizeof text);
    assert(config_parse(&read, "dump", text, length, 0, NULL, &err));
    config_compare(config, &read, note_difference, NULL);
    assert(config_dump(&read, with_help, again, sizeof again) == length);
    assert(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    static struct config config;
    struct error err = {0};
    const char *overrides[MOST_OVERRIDES];
    char *text = fuzz_copy_text(bytes, length);
    const size_t file_length = strlen(text);
    int n = 0;
    for (size_t at = file_length; at < length && n < MOST_OVERRIDES; at += strlen(text + at)) {
        overrides[n++] = text + ++at;
    }
    fuzz_begin_counting();
    const bool ok =
        config_parse(&config, "config.yaml", (const char *)bytes, file_length, n, overrides, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (ok) {
        expect_same_again(&config, false);
        expect_same_again(&config, true);
    } else {
        fuzz_expect_refusal(&err, ERROR_CONFIG);
    }
    free(text);
    return 0;
}
