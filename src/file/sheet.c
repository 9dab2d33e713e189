#include <attnres/file.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 4096 };

bool file_sheet_open(struct file_sheet *s, const char *path, struct error *err)
{
    s->err = err;
    s->length = 0;
    s->file = (struct file_writer){.fd = -1};
    s->ok = file_writer_create(&s->file, path, err);
    return s->ok;
}

static void flush(struct file_sheet *s)
{
    s->ok = s->ok && file_writer_write(&s->file, s->bytes, s->length, s->err);
    s->length = 0;
}

void file_sheet_add_bytes(struct file_sheet *s, const char *bytes, size_t length)
{
    if (length > sizeof s->bytes - s->length) {
        flush(s);
    }
    if (length > sizeof s->bytes) {
        s->ok = s->ok && file_writer_write(&s->file, bytes, length, s->err);
        return;
    }
    memcpy(s->bytes + s->length, bytes, length);
    s->length += length;
}

void file_sheet_add(struct file_sheet *s, const char *format, ...)
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
    file_sheet_add_bytes(s, piece, (size_t)length);
}

bool file_sheet_close(struct file_sheet *s)
{
    flush(s);
    return file_writer_close(&s->file, s->ok ? s->err : NULL) && s->ok;
}
