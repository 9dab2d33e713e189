#include <attnres/json.h>

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>

enum { MAX_BYTES = 64 << 20, MAX_DEPTH = 32, MAX_VALUES = 1 << 20 };

/* jansson spends up to a hundred bytes on a value of two, and its depth is fixed when it is built:
 * so both are bounded before it sees the text. Only strings must be told apart for that. */
struct extent {
    int depth;
    size_t n_values;
};

static size_t skip_string(const char *bytes, size_t at, size_t length)
{
    for (at++; at < length && bytes[at] != '"'; at++) {
        at += bytes[at] == '\\';
    }
    return at;
}

static struct extent measure(const char *bytes, size_t length)
{
    struct extent e = {.n_values = 1};
    int depth = 0;
    for (size_t at = 0; at < length; at++) {
        switch (bytes[at]) {
        case '"':
            at = skip_string(bytes, at, length);
            break;
        case '[':
        case '{':
            depth++;
            e.n_values++;
            e.depth = depth > e.depth ? depth : e.depth;
            break;
        case ']':
        case '}':
            depth--;
            break;
        case ',':
            e.n_values++;
            break;
        default:
            break;
        }
    }
    return e;
}

static bool check_extent(const char *bytes, size_t length, const char *name, struct error *err)
{
    if (length > MAX_BYTES) {
        return error_set(err, ERROR_DATA, "%s: %zu bytes of JSON, at most %d are read", name,
                         length, MAX_BYTES);
    }
    const struct extent e = measure(bytes, length);
    if (e.depth > MAX_DEPTH) {
        return error_set(err, ERROR_DATA, "%s: JSON %d levels deep, at most %d are read", name,
                         e.depth, MAX_DEPTH);
    }
    if (e.n_values > MAX_VALUES) {
        return error_set(err, ERROR_DATA, "%s: JSON of %zu values, at most %d are read", name,
                         e.n_values, MAX_VALUES);
    }
    return true;
}

/* jansson quotes the text it stumbled over; what could upset a terminal is masked. */
static bool refuse(const json_error_t *cause, const char *name, struct error *err)
{
    char text[JSON_ERROR_TEXT_LENGTH];
    memcpy(text, cause->text, sizeof text);
    text[sizeof text - 1] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c;
    }
    return error_set(err, ERROR_DATA, "%s:%d:%d: not JSON: %s", name, cause->line, cause->column,
                     text);
}

/* Where memory is missing jansson 2.14 takes text for wrong, so that a good checkpoint would be
 * passed over, or fails an assertion of its own. It is never told so: the process ends instead. */
static void *take(size_t n_bytes)
{
    return heap_take(1, n_bytes, "a JSON document");
}

static pthread_once_t gives_memory = PTHREAD_ONCE_INIT;

static void give_memory(void)
{
    json_set_alloc_funcs(take, free);
}

bool json_parse(struct json_document *d, const char *bytes, size_t length, const char *name,
                struct error *err)
{
    if (!check_extent(bytes, length, name, err)) {
        return false;
    }
    json_error_t cause;
    pthread_once(&gives_memory, give_memory);
    json_t *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &cause);
    if (root == NULL) {
        return refuse(&cause, name, err);
    }
    d->root = (struct json_value *)root;
    return true;
}

void json_document_finish(struct json_document *d)
{
    if (d == NULL) {
        return;
    }
    json_decref((json_t *)d->root);
    *d = (struct json_document){0};
}

static const json_t *inner(const struct json_value *v)
{
    return (const json_t *)v;
}

const struct json_value *json_get(const struct json_value *v, const char *key)
{
    return (const struct json_value *)json_object_get(inner(v), key);
}

const struct json_value *json_at(const struct json_value *v, size_t index)
{
    return (const struct json_value *)json_array_get(inner(v), index);
}

size_t json_count(const struct json_value *v)
{
    return json_is_object(inner(v)) ? json_object_size(inner(v)) : json_array_size(inner(v));
}

const char *json_next(const struct json_value *v, const char *key, const struct json_value **value)
{
    json_t *object = (json_t *)v; /* jansson's iterators want it so, and change nothing */
    void *at = key == NULL ? json_object_iter(object)
                           : json_object_iter_next(object, json_object_key_to_iter(key));
    if (at == NULL) {
        return NULL;
    }
    *value = (const struct json_value *)json_object_iter_value(at);
    return json_object_iter_key(at);
}

bool json_as_int(const struct json_value *v, int64_t *out)
{
    if (!json_is_integer(inner(v))) {
        return false;
    }
    *out = json_integer_value(inner(v));
    return true;
}

bool json_as_real(const struct json_value *v, double *out)
{
    if (!json_is_number(inner(v))) {
        return false;
    }
    *out = json_number_value(inner(v));
    return true;
}

bool json_as_bool(const struct json_value *v, bool *out)
{
    if (!json_is_boolean(inner(v))) {
        return false;
    }
    *out = json_is_true(inner(v));
    return true;
}

const char *json_as_text(const struct json_value *v)
{
    return json_string_value(inner(v));
}
