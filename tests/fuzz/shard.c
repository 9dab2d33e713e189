/* Token shards. The first byte says whether the name ends in .bin, and how long windows are; the
 * rest is the file. What is accepted accounts for every byte, and its windows hold every token
 * once.
 */
#include "fuzz.h"

#include "../../src/data/data_internal.h"

enum { MOST_SEQ_LEN = 16, HEADER_USED = 12 };

static void expect_whole(const struct shard *shard, const unsigned char *bytes, size_t length)
{
    assert(shard->token_bytes == 2 || shard->token_bytes == 4);
    assert(shard->n_tokens >= 0);
    assert(shard->offset + (size_t)shard->n_tokens * (size_t)shard->token_bytes == length);
    if (shard->offset > 0 && shard->token_bytes == 2) { /* the format that we write */
        unsigned char header[SHARD_HEADER_BYTES];
        shard_write_header(header, (int32_t)shard->n_tokens);
        for (int i = 0; i < HEADER_USED; i++) {
            assert(header[i] == bytes[i]);
        }
    }
}

/* Windows in order follow one another, so their targets are the tokens but the first. */
static void expect_every_token(const struct data *d)
{
    int32_t tokens[MOST_SEQ_LEN], targets[MOST_SEQ_LEN];
    int64_t at = 0;
    for (int64_t window = 0; window < d->n_in_order; window++) {
        const int64_t n = windows_read_in_order(d, window, true, tokens, targets);
        assert(n > 0 && n <= d->seq_len);
        for (int64_t t = 0; t < d->seq_len; t++) {
            const bool counts = t < n;
            assert(tokens[t] == (counts ? (int32_t)file_token(d->files, at + t) : 0));
            assert(targets[t] == (counts ? (int32_t)file_token(d->files, at + t + 1) : -1));
        }
        at += n;
    }
    assert(at == (d->n_tokens > 0 ? d->n_tokens - 1 : 0));
    struct data_position position = {0};
    for (int64_t window = 0; window < d->n_windows; window++) {
        windows_read(d, &position, tokens, targets);
    }
    assert(position.minor == 0 && position.major == (d->n_windows > 0));
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length == 0) {
        return 0;
    }
    const unsigned char how = *bytes++;
    length--;
    struct shard shard;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = shard_parse(&shard, bytes, length, how & 1 ? "shard.bin" : "shard", &err);
    fuzz_expect_at_most(0);
    if (!ok) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return 0;
    }
    expect_whole(&shard, bytes, length);
    struct data_file file = {.tokens = bytes + shard.offset,
                             .n_tokens = shard.n_tokens,
                             .token_bytes = shard.token_bytes};
    struct data d = {.seq_len = 1 + (how >> 1) % MOST_SEQ_LEN, .files = &file, .n_files = 1};
    if (file_largest_token(&file) > INT32_MAX) { /* no vocabulary is so large */
        return 0;
    }
    windows_count(&d);
    expect_every_token(&d);
    return 0;
}
