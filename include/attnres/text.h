/** Text printed into fixed memory, piece by piece, that goes on counting when it is full, as
 * snprintf does: so one function both measures and prints. It allocates nothing. */
#ifndef ATTNRES_TEXT_H
#define ATTNRES_TEXT_H

#include <stddef.h>

struct text {
    char *bytes; /* may be NULL with capacity 0 */
    size_t capacity;
    size_t length; /* of all that was added, without the closing 0 */
};

/** Append. What does not fit is cut; with any capacity the bytes end in 0. */
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The length of the UTF-8 character at s (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF), 0 if there is none. A terminating 0 is no continuation, so nothing is read beyond. */
size_t text_utf8_length(const unsigned char *s);

/** The length of the byte order mark that some editors put in front of UTF-8, which nobody sees: 3,
 * or 0 where there is none. */
size_t text_mark_length(const char *bytes, size_t length);

#endif
