#include <attnres/zip.h>

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 16 + MAX_WBITS, FIRST_OUTPUT_BYTES = 1 << 16 };

uint32_t zip_crc32(uint32_t crc, const void *bytes, size_t length)
{
    return length > 0 ? (uint32_t)crc32_z(crc, bytes, length) : crc; /* zlib takes NULL for anew */
}

/* Inflating under way. The output may grow to one byte beyond the limit, so that reaching the
 * limit and passing it look different. */
struct inflation {
    z_stream stream;
    const unsigned char *in;
    size_t in_left;
    unsigned char *out;
    size_t length, capacity, max_bytes;
    const char *name;
    struct error *err;
};

static bool refuse(struct inflation *f, const char *what)
{
    return error_set(f->err, ERROR_DATA, "%s: %s (after %zu bytes of output)", f->name, what,
                     f->length);
}

static bool grow(struct inflation *f)
{
    size_t wanted = f->capacity == 0 ? FIRST_OUTPUT_BYTES : 2 * f->capacity;
    if (wanted > f->max_bytes || wanted < f->capacity) {
        wanted = f->max_bytes + 1;
    }
    unsigned char *larger = realloc(f->out, wanted);
    if (larger == NULL) {
        return error_set(f->err, ERROR_CREATE, "%s: no memory for %zu bytes", f->name, wanted);
    }
    f->out = larger;
    f->capacity = wanted;
    return true;
}

/* One call of inflate on as much as its 32-bit counts can hold. */
static int inflate_piece(struct inflation *f)
{
    const size_t room = f->capacity - f->length;
    const uInt in = f->in_left < UINT_MAX ? (uInt)f->in_left : UINT_MAX;
    const uInt out = room < UINT_MAX ? (uInt)room : UINT_MAX;
    f->stream.next_in = (z_const Bytef *)f->in;
    f->stream.avail_in = in;
    f->stream.next_out = f->out + f->length;
    f->stream.avail_out = out;
    const int status = inflate(&f->stream, Z_NO_FLUSH);
    f->in += in - f->stream.avail_in;
    f->in_left -= in - f->stream.avail_in;
    f->length += out - f->stream.avail_out;
    return status;
}

/* Inflate to the end of one member. */
static bool inflate_member(struct inflation *f)
{
    for (;;) {
        if (f->length == f->capacity && !grow(f)) {
            return false;
        }
        const int status = inflate_piece(f);
        if (f->length > f->max_bytes) {
            return error_set(f->err, ERROR_DATA, "%s: inflates to more than %zu bytes", f->name,
                             f->max_bytes);
        }
        if (status == Z_STREAM_END) {
            return true;
        }
        if (status == Z_MEM_ERROR) {
            return error_set(f->err, ERROR_CREATE, "%s: no memory to inflate it", f->name);
        }
        if (status != Z_OK && status != Z_BUF_ERROR) {
            return refuse(f, f->stream.msg != NULL ? f->stream.msg : "damaged gzip data");
        }
        if (f->in_left == 0 && f->length < f->capacity) {
            return refuse(f, "the gzip data end too early");
        }
    }
}

static bool inflate_all(struct inflation *f)
{
    if (inflateInit2(&f->stream, GZIP_WINDOW) != Z_OK) {
        return error_set(f->err, ERROR_CREATE, "%s: no memory to inflate it", f->name);
    }
    bool ok = inflate_member(f);
    while (ok && f->in_left > 0) {
        ok = inflateReset(&f->stream) == Z_OK && inflate_member(f);
    }
    inflateEnd(&f->stream);
    return ok;
}

bool zip_gunzip(unsigned char **out, size_t *out_length, const void *bytes, size_t length,
                size_t max_bytes, const char *name, struct error *err)
{
    assert(max_bytes < SIZE_MAX);
    struct inflation f = {
        .in = bytes, .in_left = length, .max_bytes = max_bytes, .name = name, .err = err};
    if (!inflate_all(&f)) {
        free(f.out);
        return false;
    }
    unsigned char *fitted = realloc(f.out, f.length > 0 ? f.length : 1);
    *out = fitted != NULL ? fitted : f.out;
    *out_length = f.length;
    return true;
}
