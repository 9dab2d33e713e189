#include <attnres/text.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

void text_add(struct text *text, const char *format, ...)
{
    const bool has_room = text->length < text->capacity;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(has_room ? text->bytes + text->length : NULL,
                                 has_room ? text->capacity - text->length : 0, format, arguments);
    va_end(arguments);
    text->length += length > 0 ? (size_t)length : 0;
}
