/** JSON: reading through jansson (the one door to it) and a writer into fixed memory that never
 * allocates.
 *
 *  The writer prints numbers so that reading them gives the same bits (17 digits at most) and
 * refuses nothing but running out of room, which it remembers: check json_writer_ok once at the
 * end. The text is always terminated by a 0, one line without newline. */
#ifndef ATTNRES_JSON_H
#define ATTNRES_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

struct json_writer {
    char *text;
    size_t capacity, length;
    int depth;
    bool need_comma, full;
};

void json_writer_init(struct json_writer *w, char *text, size_t capacity);
/** Everything fitted and was ended. */
bool json_writer_ok(const struct json_writer *w);

/** key is NULL inside an array and for the outermost value. */
void json_begin_object(struct json_writer *w, const char *key);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w, const char *key);
void json_end_array(struct json_writer *w);
/** Bytes that are not UTF-8 are written as U+FFFD. */
void json_text(struct json_writer *w, const char *key, const char *value);
void json_int(struct json_writer *w, const char *key, int64_t value);
/** Not finite: a member is left out, an element is null so that the others keep their places. (The
 * name json_real is jansson's; defining it here would replace it inside the library.) */
void json_number(struct json_writer *w, const char *key, double value);
/** The same, but a member that is not finite is null: of numbers that every object has. */
void json_number_or_null(struct json_writer *w, const char *key, double value);
void json_bool(struct json_writer *w, const char *key, bool value);

/** A parsed document; values are borrowed from it. */
struct json_value;
struct json_document {
    struct json_value *root;
};

/** Parse length bytes (at most 64 MiB, 2^20 values, depth 32, no duplicate keys). `name` stands in
 * messages. ERROR_DATA; without memory the process ends, as heap_take has it. */
bool json_parse(struct json_document *d, const char *bytes, size_t length, const char *name,
                struct error *err);
void json_document_finish(struct json_document *d);

/** Members and elements; NULL when absent or when v is of another kind (or NULL). */
const struct json_value *json_get(const struct json_value *v, const char *key);
const struct json_value *json_at(const struct json_value *v, size_t index);
size_t json_count(const struct json_value *v); /* members or elements; 0 for the rest */
/** The member of an object behind the one of a key, in file order: its key and value; NULL behind
 * the last. key is what a call before returned, that very pointer; NULL asks for the first. */
const char *json_next(const struct json_value *v, const char *key, const struct json_value **value);
bool json_as_int(const struct json_value *v, int64_t *out);
bool json_as_real(const struct json_value *v, double *out); /* integers too */
bool json_as_bool(const struct json_value *v, bool *out);
const char *json_as_text(const struct json_value *v); /* NULL if it is not text */

#endif
