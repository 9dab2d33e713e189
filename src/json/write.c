#include <attnres/json.h>

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/text.h>

/* Append whole or not at all; once something did not fit, nothing more is added. */
static void append(struct json_writer *w, const char *bytes, size_t length)
{
    if (w->full || length >= w->capacity - w->length) {
        w->full = true;
        return;
    }
    memcpy(w->text + w->length, bytes, length);
    w->length += length;
    w->text[w->length] = '\0';
}

static void append_escaped(struct json_writer *w, unsigned char c)
{
    char text[8];
    if (c == '"' || c == '\\') {
        const int length = snprintf(text, sizeof text, "\\%c", c);
        append(w, text, (size_t)length);
    } else if (c == '\n') {
        append(w, "\\n", 2);
    } else {
        const int length = snprintf(text, sizeof text, "\\u%04x", c);
        append(w, text, (size_t)length);
    }
}

/* Bytes that are no UTF-8 become U+FFFD, so that every reader accepts the line. */
static void append_quoted(struct json_writer *w, const char *value)
{
    append(w, "\"", 1);
    for (const unsigned char *s = (const unsigned char *)value; *s != '\0';) {
        const size_t length = text_utf8_length(s);
        if (length == 0) {
            append(w, "\xEF\xBF\xBD", 3);
        } else if (*s < 0x20 || *s == '"' || *s == '\\') {
            append_escaped(w, *s);
        } else {
            append(w, (const char *)s, length);
        }
        s += length > 0 ? length : 1;
    }
    append(w, "\"", 1);
}

/* What stands before a value: a comma if one came before, and the key. */
static void begin_value(struct json_writer *w, const char *key)
{
    if (w->need_comma) {
        append(w, ", ", 2);
    }
    if (key != NULL) {
        append_quoted(w, key);
        append(w, ": ", 2);
    }
    w->need_comma = true;
}

static void begin(struct json_writer *w, const char *key, const char *bracket)
{
    begin_value(w, key);
    append(w, bracket, 1);
    w->need_comma = false;
    w->depth++;
}

static void end(struct json_writer *w, const char *bracket)
{
    assert(w->depth > 0);
    append(w, bracket, 1);
    w->need_comma = true;
    w->depth--;
}

void json_writer_init(struct json_writer *w, char *text, size_t capacity)
{
    assert(capacity > 0);
    text[0] = '\0';
    *w = (struct json_writer){.text = text, .capacity = capacity};
}

bool json_writer_ok(const struct json_writer *w)
{
    return !w->full && w->depth == 0;
}

void json_begin_object(struct json_writer *w, const char *key)
{
    begin(w, key, "{");
}

void json_end_object(struct json_writer *w)
{
    end(w, "}");
}

void json_begin_array(struct json_writer *w, const char *key)
{
    begin(w, key, "[");
}

void json_end_array(struct json_writer *w)
{
    end(w, "]");
}

void json_text(struct json_writer *w, const char *key, const char *value)
{
    begin_value(w, key);
    append_quoted(w, value);
}

void json_int(struct json_writer *w, const char *key, int64_t value)
{
    char text[24];
    const int length = snprintf(text, sizeof text, "%lld", (long long)value);
    begin_value(w, key);
    append(w, text, (size_t)length);
}

/* The fewest digits that read back as the same double. */
static size_t print_real(char *text, size_t capacity, double value)
{
    int length = 0;
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf(text, capacity, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    /* Without a point a reader takes it for an integer, which has no -0. */
    if (strpbrk(text, ".e") == NULL) {
        length += snprintf(text + length, capacity - (size_t)length, ".0");
    }
    return (size_t)length;
}

void json_number_or_null(struct json_writer *w, const char *key, double value)
{
    char text[40] = "null";
    const size_t length = isfinite(value) ? print_real(text, sizeof text, value) : strlen(text);
    begin_value(w, key);
    append(w, text, length);
}

void json_number(struct json_writer *w, const char *key, double value)
{
    const bool in_array = key == NULL;
    if (isfinite(value) || in_array) {
        json_number_or_null(w, key, value);
    }
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
    begin_value(w, key);
    append(w, value ? "true" : "false", value ? 4 : 5);
}
