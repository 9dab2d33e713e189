/** The door to zlib: CRC-32 and gzip reading. */
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

#endif
