/* The evaluation files of llm.c: 256 int32 header words, little-endian (magic, version, examples,
 * bytes of the longest example, zeros), then the examples, all in u16:
 *
 *      65535, bytes of this example, its number, the right choice, how many choices,
 *      tokens of the question and as many tokens; for each choice likewise */
#include "questions_internal.h"

#include <string.h>

enum { MAGIC = 20240522, VERSION = 1, HEADER_BYTES = 1024, HEAD_WORDS = 5, BEGINS = 65535 };

static int32_t header_word(const unsigned char *bytes, int index)
{
    const unsigned char *b = bytes + 4 * index;
    return (int32_t)((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                     (uint32_t)b[3] << 24);
}

bool questions_are_llmc(const unsigned char *bytes, size_t length)
{
    return length >= 4 && header_word(bytes, 0) == MAGIC;
}

/** The example in hand: where reading stands, in words. */
struct reading {
    struct questions *q;
    const char *name;
    const unsigned char *words;
    int64_t n_words, at;
    int64_t vocab;
    int example; /* from 0 */
    struct error *err;
};

static int word_at(const struct reading *r, int64_t at)
{
    return r->words[2 * at] | r->words[2 * at + 1] << 8;
}

static bool refuse(const struct reading *r, const char *what)
{
    return error_set(r->err, ERROR_DATA, "%s: example %d: %s", r->name, r->example + 1, what);
}

/** A count of tokens, at least one, and the tokens. */
static bool take_tokens(struct reading *r)
{
    if (r->at >= r->n_words) {
        return refuse(r, "the file ends in it");
    }
    const int n = word_at(r, r->at++);
    if (n == 0) {
        return refuse(r, "a question or choice without tokens");
    }
    if (n > r->n_words - r->at) {
        return refuse(r, "the file ends in it");
    }
    for (int i = 0; i < n; i++) {
        const int token = word_at(r, r->at++);
        if (token >= r->vocab) {
            return error_set(r->err, ERROR_DATA,
                             "%s: example %d: holds token %d, but model.vocab is %lld", r->name,
                             r->example + 1, token, (long long)r->vocab);
        }
        if (!questions_add_token(r->q, token, r->err)) {
            return false;
        }
    }
    return true;
}

static bool take_example(struct reading *r)
{
    const int64_t first = r->at;
    if (r->n_words - first < HEAD_WORDS) {
        return refuse(r, "the file ends in it");
    }
    const int n_bytes = word_at(r, first + 1), answer = word_at(r, first + 3),
              n_choices = word_at(r, first + 4);
    if (word_at(r, first) != BEGINS || word_at(r, first + 2) != r->example) {
        return refuse(r, "does not begin with 65535, its bytes and its number");
    }
    if (n_choices < 2 || n_choices > QUESTIONS_MOST_CHOICES || answer >= n_choices) {
        return error_set(r->err, ERROR_DATA,
                         "%s: example %d: choice %d of %d is right; expected 2 to %d choices",
                         r->name, r->example + 1, answer, n_choices, QUESTIONS_MOST_CHOICES);
    }
    r->at += HEAD_WORDS;
    if (!questions_add(r->q, r->example + 1, r->err) || !take_tokens(r)) {
        return false;
    }
    for (int c = 0; c < n_choices; c++) {
        if (!questions_add_choice(r->q, r->err) || !take_tokens(r)) {
            return false;
        }
    }
    r->q->rows[r->q->n - 1].answer = answer;
    return 2 * (r->at - first) == n_bytes || refuse(r, "has not the number of bytes that it says");
}

bool questions_parse_llmc(struct questions *q, const char *name, const unsigned char *bytes,
                          size_t length, int64_t vocab, struct error *err)
{
    if (length < HEADER_BYTES || length % 2 != 0) {
        return error_set(err, ERROR_DATA,
                         "%s: %zu bytes: no header of %d and a whole number of u16 words", name,
                         length, HEADER_BYTES);
    }
    const int32_t version = header_word(bytes, 1), n = header_word(bytes, 2),
                  longest = header_word(bytes, 3);
    if (version != VERSION) {
        return error_set(err, ERROR_DATA, "%s: version %d of evaluation format %d, expected %d",
                         name, version, MAGIC, VERSION);
    }
    struct reading r = {.q = q,
                        .name = name,
                        .words = bytes + HEADER_BYTES,
                        .n_words = (int64_t)(length - HEADER_BYTES) / 2,
                        .vocab = vocab,
                        .err = err};
    int64_t longest_found = 0;
    for (; r.example < n; r.example++) {
        const int64_t first = r.at;
        if (!take_example(&r)) {
            return false;
        }
        longest_found = 2 * (r.at - first) > longest_found ? 2 * (r.at - first) : longest_found;
    }
    if (n < 0 || r.at != r.n_words || longest != longest_found) {
        return error_set(err, ERROR_DATA,
                         "%s: the header says %d examples of at most %d bytes; the longest has "
                         "%lld, and %lld bytes follow the last",
                         name, n, longest, (long long)longest_found,
                         (long long)(2 * (r.n_words - r.at)));
    }
    return true;
}
