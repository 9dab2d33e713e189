/* Answers of ranks that were asked what they wait for. The first byte is the number of ranks, each
 * line behind it one rank's answer. Those that are accepted print and read back the same, and the
 * verdict names ranks of the run, in printable words, whatever they say. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/watch.h>

enum { MOST_RANKS = 12, LINE_BYTES = 1024 };

static void expect_same_again(const struct watch_state *state, int n_ranks)
{
    char line[LINE_BYTES], again[LINE_BYTES];
    struct watch_state read = {0};
    assert(state->answered);
    assert(watch_format(line, sizeof line, state) > 0);
    assert(watch_parse(&read, line, n_ranks));
    assert(watch_format(again, sizeof again, &read) > 0);
    assert(strcmp(line, again) == 0);
}

static void expect_sane(const struct watch_verdict *v, const struct watch_state *states,
                        int n_ranks)
{
    char text[WATCH_TEXT_BYTES];
    assert(v->culprit >= -1 && v->culprit < n_ranks);
    assert(v->n_chain >= 0 && v->n_chain <= n_ranks);
    for (int i = 0; i < v->n_chain && i < WATCH_CHAIN; i++) {
        assert(v->chain[i] >= 0 && v->chain[i] < n_ranks);
    }
    const bool has_culprit = v->cause == WATCH_SILENT || v->cause == WATCH_STUCK;
    assert(has_culprit == (v->culprit >= 0));
    watch_explain(text, v, states, n_ranks);
    struct error said = {.kind = ERROR_LAUNCH};
    assert(memchr(text, '\0', sizeof text) != NULL && strlen(text) < sizeof said.message);
    memcpy(said.message, text, strlen(text));
    fuzz_expect_refusal(&said, ERROR_LAUNCH);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length == 0) {
        return 0;
    }
    struct watch_state states[MOST_RANKS] = {0};
    const int n_ranks = 1 + bytes[0] % MOST_RANKS;
    char *text = fuzz_copy_text(bytes + 1, length - 1), *at = text;
    fuzz_begin_counting();
    for (int rank = 0; rank < n_ranks && at != NULL; rank++) {
        if (watch_parse(&states[rank], at, n_ranks)) {
            expect_same_again(&states[rank], n_ranks);
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    const struct watch_verdict verdict = watch_judge(states, n_ranks);
    expect_sane(&verdict, states, n_ranks);
    fuzz_expect_at_most(LINE_BYTES); /* scanf may keep digits */
    free(text);
    return 0;
}
