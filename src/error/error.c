#include <attnres/error.h>

#include <stdio.h>
#include <string.h>

static void append(struct error *err, size_t at, const char *format, va_list arguments)
{
    const size_t room = sizeof err->message - at;
    const int length = vsnprintf(err->message + at, room, format, arguments);
    if (length >= 0 && (size_t)length >= room) {
        memcpy(err->message + sizeof err->message - 4, "...", 4);
    }
}

bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    if (err == NULL) {
        return false;
    }
    va_list arguments;
    va_start(arguments, format);
    err->kind = kind;
    append(err, 0, format, arguments);
    va_end(arguments);
    return false;
}

bool error_add(struct error *err, enum error_kind kind, const char *format, ...)
{
    if (err == NULL) {
        return false;
    }
    size_t at = 0;
    if (err->kind == ERROR_NONE) {
        err->kind = kind;
    } else {
        at = strlen(err->message);
        if (at + 8 >= sizeof err->message) {
            memcpy(err->message + at - 3, "...", 4);
            return false;
        }
        err->message[at++] = '\n';
    }
    va_list arguments;
    va_start(arguments, format);
    append(err, at, format, arguments);
    va_end(arguments);
    return false;
}
