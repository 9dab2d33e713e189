/* A JSON document. What is accepted is written by our own writer and read again: the same values,
 * and from then on the same text. */
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/json.h>

/* A character of a text takes six at most, a number of two 24. */
enum {
    MEMORY_BYTES = 1 << 14,
    MEMORY_PER_BYTE = 256,
    TEXT_BYTES = 64,
    TEXT_PER_BYTE = 32,
    MOST_DEPTH = 32
};

static void write_value(struct json_writer *w, const char *key, const struct json_value *v);

static void write_members(struct json_writer *w, const struct json_value *v)
{
    const struct json_value *member = NULL;
    for (const char *key = json_next(v, NULL, &member); key != NULL;
         key = json_next(v, key, &member)) {
        write_value(w, key, member);
    }
}

/* The reader does not tell null, [] and {} apart; they are all written as []. */
static void write_value(struct json_writer *w, const char *key, const struct json_value *v)
{
    int64_t integer = 0;
    double real = 0.0;
    bool boolean = false;
    const struct json_value *member = NULL;
    if (json_as_text(v) != NULL) {
        json_text(w, key, json_as_text(v));
    } else if (json_as_int(v, &integer)) {
        json_int(w, key, integer);
    } else if (json_as_real(v, &real)) {
        json_number(w, key, real);
    } else if (json_as_bool(v, &boolean)) {
        json_bool(w, key, boolean);
    } else if (json_next(v, NULL, &member) != NULL) {
        json_begin_object(w, key);
        write_members(w, v);
        json_end_object(w);
    } else {
        json_begin_array(w, key);
        for (size_t i = 0; i < json_count(v); i++) {
            write_value(w, NULL, json_at(v, i));
        }
        json_end_array(w);
    }
}

static void expect_same(const struct json_value *a, const struct json_value *b)
{
    int64_t integer[2] = {0};
    double real[2] = {0.0};
    bool boolean[2] = {false};
    const char *text = json_as_text(a);
    assert(json_count(a) == json_count(b));
    assert(text == NULL ? json_as_text(b) == NULL : strcmp(text, json_as_text(b)) == 0);
    assert(json_as_int(a, &integer[0]) == json_as_int(b, &integer[1]) && integer[0] == integer[1]);
    assert(json_as_real(a, &real[0]) == json_as_real(b, &real[1]));
    assert(memcmp(&real[0], &real[1], sizeof real[0]) == 0);
    assert(json_as_bool(a, &boolean[0]) == json_as_bool(b, &boolean[1]));
    assert(boolean[0] == boolean[1]);
    const struct json_value *inside = NULL;
    for (const char *key = json_next(a, NULL, &inside); key != NULL;
         key = json_next(a, key, &inside)) {
        assert(json_get(b, key) != NULL);
        expect_same(inside, json_get(b, key));
    }
    for (size_t i = 0; (inside = json_at(a, i)) != NULL; i++) {
        expect_same(inside, json_at(b, i));
    }
}

/* Returns the text; the caller frees it. */
static char *print(const struct json_value *root, size_t length)
{
    const size_t capacity = TEXT_BYTES + TEXT_PER_BYTE * length;
    char *text = malloc(capacity);
    struct json_writer w;
    assert(text != NULL);
    json_writer_init(&w, text, capacity);
    write_value(&w, NULL, root);
    assert(json_writer_ok(&w));
    return text;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

/* Levels that the written text has: null takes one, as []. */
static int depth_of(const struct json_value *v)
{
    double real = 0.0;
    bool boolean = false;
    if (json_as_text(v) != NULL || json_as_real(v, &real) || json_as_bool(v, &boolean)) {
        return 0;
    }
    const struct json_value *inside = NULL;
    int deepest = 0;
    for (const char *key = json_next(v, NULL, &inside); key != NULL;
         key = json_next(v, key, &inside)) {
        deepest = max(deepest, depth_of(inside));
    }
    for (size_t i = 0; (inside = json_at(v, i)) != NULL; i++) {
        deepest = max(deepest, depth_of(inside));
    }
    return deepest + 1;
}

static void expect_same_again(const struct json_value *root, size_t length)
{
    if (depth_of(root) > MOST_DEPTH) {
        return;
    }
    struct json_document d;
    char *text = print(root, length);
    assert(json_parse(&d, text, strlen(text), "again", NULL));
    expect_same(root, d.root);
    char *again = print(d.root, strlen(text));
    assert(strcmp(text, again) == 0);
    json_document_finish(&d);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    struct json_document d;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = json_parse(&d, (const char *)bytes, length, "document", &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (!ok) {
        fuzz_expect_refusal(&err, ERROR_DATA);
        return 0;
    }
    expect_same_again(d.root, length);
    json_document_finish(&d);
    return 0;
}
