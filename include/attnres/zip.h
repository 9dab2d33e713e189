/** The door to zlib: CRC-32, gzip reading, and Huffman coding in memory given once. */
#ifndef ATTNRES_ZIP_H
#define ATTNRES_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

/** Continue a CRC-32 (start with 0) over bytes; any length. */
uint32_t zip_crc32(uint32_t crc, const void *bytes, size_t length);

/** Inflate a gzip file's bytes (all members) into heap memory. At most max_bytes come out,
 * ERROR_DATA otherwise: the file never decides the allocation alone. `name` stands in messages. The
 * caller frees *out. */
bool zip_gunzip(unsigned char **out, size_t *out_length, const void *bytes, size_t length,
                size_t max_bytes, const char *name, struct error *err);

/** Deflates by Huffman coding alone, without looking for repetitions, and inflates that again. Its
 * state lies in memory of zip_codec_bytes, 64-byte aligned, that the caller keeps; nothing is
 * allocated, and nothing needs an end. */
struct zip_codec;
size_t zip_codec_bytes(void);
struct zip_codec *zip_codec_init(void *memory);

/** Deflate into out. False unless the result takes less than capacity bytes: out is then undefined.
 */
bool zip_codec_deflate(struct zip_codec *codec, void *out, size_t *out_length, size_t capacity,
                       const void *in, size_t length);
/** Inflate into out. True if the in_length bytes at `in` are one deflated stream, whole and with
 * nothing behind it, of exactly `length` bytes. Never writes beyond them, whatever `in` holds. */
bool zip_codec_inflate(struct zip_codec *codec, void *out, size_t length, const void *in,
                       size_t in_length);

#endif
