#include <attnres/text.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

size_t text_utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        return is_continuation(s[1]) ? 2 : 0;
    }
    if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        const bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
        const bool surrogate = s[0] == 0xED && s[1] > 0x9F;
        const bool whole = is_continuation(s[1]) && is_continuation(s[2]);
        return whole && !overlong && !surrogate ? 3 : 0;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        const bool overlong = s[0] == 0xF0 && s[1] < 0x90;
        const bool too_large = s[0] == 0xF4 && s[1] > 0x8F;
        const bool whole = is_continuation(s[1]) && is_continuation(s[2]) && is_continuation(s[3]);
        return whole && !overlong && !too_large ? 4 : 0;
    }
    return 0;
}

size_t text_mark_length(const char *bytes, size_t length)
{
    static const char MARK[] = "\xef\xbb\xbf";
    return length >= 3 && memcmp(bytes, MARK, 3) == 0 ? 3 : 0;
}
