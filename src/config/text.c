#include "config_internal.h"

#include <stdio.h>
#include <string.h>

void config_text_wrap(struct text *text, const char *indent, size_t column, const char *words)
{
    bool is_line_start = true;
    for (const char *word = words; *word != '\0';) {
        const size_t length = strcspn(word, " ");
        if (!is_line_start && column + 1 + length > CONFIG_COLUMNS) {
            text_add(text, "\n%s", indent);
            column = strlen(indent);
            is_line_start = true;
        }
        text_add(text, "%s%.*s", is_line_start ? "" : " ", (int)length, word);
        column += length + (is_line_start ? 0 : 1);
        is_line_start = false;
        word += length;
        word += strspn(word, " ");
    }
    text_add(text, "\n");
}

/* The code point at bytes, and its length in *n; -1 for what is not well-formed UTF-8. */
static int32_t decode(const unsigned char *bytes, size_t room, size_t *n)
{
    static const int32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char first = bytes[0];
    *n = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0x80) {
        return first;
    }
    if (first < 0xc2 || first > 0xf4 || *n > room) {
        return -1;
    }
    int32_t point = first & (0x7f >> *n);
    for (size_t i = 1; i < *n; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return -1;
        }
        point = point << 6 | (bytes[i] & 0x3f);
    }
    return point >= smallest[*n] ? point : -1;
}

/* YAML's own set without byte order marks and without the line breaks that only YAML knows, so that
 * quoted text comes back as it was. */
static bool is_printable(int32_t point)
{
    return (point >= 0x20 && point <= 0x7e) || (point >= 0xa0 && point < 0x2028) ||
           (point > 0x2029 && point <= 0xd7ff) || (point >= 0xe000 && point < 0xfeff) ||
           (point > 0xfeff && point <= 0xfffd) || (point >= 0x10000 && point <= 0x10ffff);
}

size_t config_first_unprintable(const char *bytes, size_t length, bool allow_breaks)
{
    size_t at = 0;
    while (at < length) {
        size_t n = 0;
        const int32_t point = decode((const unsigned char *)bytes + at, length - at, &n);
        const bool is_break = point == '\n' || point == '\r' || point == '\t';
        if (!is_printable(point) && !(allow_breaks && is_break)) {
            return at;
        }
        at += n;
    }
    return length;
}

void config_mask(char *text)
{
    const size_t length = strlen(text);
    for (size_t at = 0; at < length; at++) {
        at += config_first_unprintable(text + at, length - at, false);
        text[at] = at < length ? '?' : '\0';
    }
}
