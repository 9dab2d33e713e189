/* Questions with choices. The first byte says which form is wanted; the rest is the file. What is
 * accepted has no empty span, every token in the vocabulary, and every token in just one span. */
#include "fuzz.h"

#include <stdint.h>

#include <attnres/questions.h>

enum { MEMORY_BYTES = 1 << 15, MEMORY_PER_BYTE = 256, VOCAB = 50000 };

static int64_t expect_span(const struct questions *q, struct question_span span, int64_t at)
{
    assert(span.first == at && span.n > 0 && span.n <= q->n_tokens - at);
    for (int64_t i = 0; i < span.n; i++) {
        assert(q->tokens[at + i] >= 0 && q->tokens[at + i] < VOCAB);
    }
    return at + span.n;
}

static void expect_whole(const struct questions *q)
{
    int64_t at = 0, choice = 0;
    for (int64_t i = 0; i < q->n; i++) {
        const struct question *row = &q->rows[i];
        assert(row->n_choices >= 2 && row->n_choices <= QUESTIONS_MOST_CHOICES);
        assert(row->answer >= 0 && row->answer < row->n_choices && row->first_choice == choice);
        at = expect_span(q, row->context, at);
        for (int c = 0; c < row->n_choices; c++, choice++) {
            assert(q->choices[choice].question == i);
            at = expect_span(q, q->choices[choice].span, at);
        }
    }
    assert(q->n > 0 && at == q->n_tokens && choice == q->n_choices);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length == 0) {
        return 0;
    }
    const struct questions_request request = {
        .form = bytes[0] & 1 ? QUESTIONS_PAIRS : QUESTIONS_CHOICE, .vocab = VOCAB, .join = " "};
    struct questions q;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = questions_parse(&q, "questions", bytes + 1, length - 1, &request, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (ok) {
        expect_whole(&q);
    } else {
        fuzz_expect_refusal(&err, ERROR_DATA);
    }
    questions_finish(&q);
    return 0;
}
