#include "trace_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 1024 };

bool sheet_open(struct sheet *s, const char *path, struct error *err)
{
    s->err = err;
    s->length = 0;
    s->file = (struct file_writer){.fd = -1};
    s->ok = file_writer_create(&s->file, path, err);
    return s->ok;
}

static void flush(struct sheet *s)
{
    s->ok = s->ok && file_writer_write(&s->file, s->bytes, s->length, s->err);
    s->length = 0;
}

void sheet_add_bytes(struct sheet *s, const char *bytes, size_t length)
{
    if (length > sizeof s->bytes - s->length) {
        flush(s);
    }
    memcpy(s->bytes + s->length, bytes, length);
    s->length += length;
}

void sheet_add(struct sheet *s, const char *format, ...)
{
    char piece[PIECE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof piece) {
        s->ok = s->ok &&
                error_set(s->err, ERROR_INTERNAL, "%s: a piece of text is too long", s->file.path);
        return;
    }
    sheet_add_bytes(s, piece, (size_t)length);
}

bool sheet_close(struct sheet *s)
{
    flush(s);
    return file_writer_close(&s->file, s->ok ? s->err : NULL) && s->ok;
}
