#include "data_internal.h"

#include <string.h>

/* llm.c's format: 256 int32 header words, little-endian (magic, version, number of tokens, zeros),
 * then the tokens. A file without header holds u16 tokens and is named .bin. */
enum { MAGIC_U16 = 20240520, VERSION_U16 = 1, MAGIC_U32 = 20240801, VERSION_U32 = 7 };

static int32_t header_word(const unsigned char *bytes, int index)
{
    const unsigned char *b = bytes + 4 * index;
    const uint32_t word =
        (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return (int32_t)word;
}

bool shard_has_magic(const unsigned char *bytes, size_t length)
{
    if (length < 4) {
        return false;
    }
    const int32_t magic = header_word(bytes, 0);
    return magic == MAGIC_U16 || magic == MAGIC_U32;
}

static bool parse_bare(struct shard *shard, size_t length, const char *name, struct error *err)
{
    if (!path_has_ending(name, ".bin")) {
        return error_set(err, ERROR_DATA,
                         "%s: not a token shard: neither magic %d (u16) nor %d (u32) in front, and "
                         "only a .bin file may come without header",
                         name, MAGIC_U16, MAGIC_U32);
    }
    if (length % 2 != 0) {
        return error_set(err, ERROR_DATA,
                         "%s: neither magic %d (u16) nor %d (u32) in front, and %zu bytes are no "
                         "whole number of u16 tokens",
                         name, MAGIC_U16, MAGIC_U32, length);
    }
    *shard = (struct shard){.offset = 0, .n_tokens = (int64_t)(length / 2), .token_bytes = 2};
    return true;
}

bool shard_parse(struct shard *shard, const unsigned char *bytes, size_t length, const char *name,
                 struct error *err)
{
    if (!shard_has_magic(bytes, length)) {
        return parse_bare(shard, length, name, err);
    }
    if (length < SHARD_HEADER_BYTES) {
        return error_set(err, ERROR_DATA, "%s: %zu bytes are less than a shard's header of %d",
                         name, length, SHARD_HEADER_BYTES);
    }
    const int32_t magic = header_word(bytes, 0);
    const int32_t version = header_word(bytes, 1);
    const int32_t n_tokens = header_word(bytes, 2);
    const int32_t expected = magic == MAGIC_U16 ? VERSION_U16 : VERSION_U32;
    const int token_bytes = magic == MAGIC_U16 ? 2 : 4;
    if (version != expected) {
        return error_set(err, ERROR_DATA, "%s: version %d of shard format %d, expected %d", name,
                         version, magic, expected);
    }
    if (n_tokens < 0 || (uint64_t)n_tokens * (uint64_t)token_bytes != length - SHARD_HEADER_BYTES) {
        return error_set(err, ERROR_DATA,
                         "%s: the header says %d tokens of %d bytes, but %zu bytes follow it", name,
                         n_tokens, token_bytes, length - SHARD_HEADER_BYTES);
    }
    *shard = (struct shard){
        .offset = SHARD_HEADER_BYTES, .n_tokens = n_tokens, .token_bytes = token_bytes};
    return true;
}

void shard_write_header(unsigned char *header, int32_t n_tokens)
{
    memset(header, 0, SHARD_HEADER_BYTES);
    const int32_t words[3] = {MAGIC_U16, VERSION_U16, n_tokens};
    for (int i = 0; i < 3; i++) {
        for (int byte = 0; byte < 4; byte++) {
            header[4 * i + byte] = (unsigned char)((uint32_t)words[i] >> (8 * byte));
        }
    }
}
