/* The file of a sweep, by the events of its YAML. */
#include "sweep_internal.h"

#include <stdio.h>
#include <string.h>

struct reader {
    struct sweep *sweep;
    struct config_yaml *yaml;
    struct config_event event; /* in hand */
    struct error *err;
};

static const char NAME_BYTES[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
static const char KEY_BYTES[] = "abcdefghijklmnopqrstuvwxyz0123456789_.";
enum { NAME_MAX_BYTES = 40 };

static bool refuse(struct reader *r, const char *what)
{
    return config_yaml_refuse(r->yaml, &r->event, r->err, "%s", what);
}

static bool refuse_with(struct reader *r, const char *found, const char *what)
{
    return config_yaml_refuse(r->yaml, &r->event, r->err, "%.60s: %s", found, what);
}

static bool next(struct reader *r)
{
    config_yaml_next(r->yaml, &r->event);
    return r->event.problem[0] == '\0' || refuse(r, r->event.problem);
}

static bool next_is(struct reader *r, enum config_event_kind kind, const char *expected)
{
    return next(r) && (r->event.kind == kind || refuse(r, expected));
}

/** Keep a scalar's text. Without room, or with a 0 inside, NULL. */
static const char *keep(struct reader *r)
{
    struct sweep *s = r->sweep;
    const size_t length = r->event.length;
    if (memchr(r->event.bytes, '\0', length) != NULL || length + 1 > sizeof s->text - s->n_text) {
        refuse(r, "text with a zero byte, or too much of it");
        return NULL;
    }
    char *kept = s->text + s->n_text;
    memcpy(kept, r->event.bytes, length + 1);
    s->n_text += length + 1;
    return kept;
}

/** The name of an axis or a value becomes part of a folder's name. */
static const char *keep_name(struct reader *r)
{
    if (r->event.kind != CONFIG_SCALAR) {
        refuse(r, "expected a name");
        return NULL;
    }
    const size_t length = r->event.length;
    if (length == 0 || length > NAME_MAX_BYTES || strspn(r->event.bytes, NAME_BYTES) != length ||
        r->event.bytes[0] == '.' || r->event.bytes[0] == '-') {
        refuse_with(
            r, r->event.bytes,
            "not a name: 1 to 40 letters, digits, '.', '_', '+' and '-', the first no '.' or '-'");
        return NULL;
    }
    return keep(r);
}

static bool add_word(struct reader *r)
{
    struct sweep *s = r->sweep;
    const size_t key = strspn(r->event.bytes, KEY_BYTES);
    if (r->event.bytes[key] != '=' || key == 0) {
        return refuse_with(r, r->event.bytes, "expected key=value");
    }
    if (strncmp(r->event.bytes, "run.dir=", 8) == 0) {
        return refuse(r, "run.dir: a sweep names its runs' folders itself, below dir");
    }
    if (s->n_words == SWEEP_MAX_WORDS) {
        return refuse(r, "too many words");
    }
    s->words[s->n_words] = keep(r);
    return s->words[s->n_words++] != NULL;
}

/** A word, or a list of them. */
static bool read_words(struct reader *r, struct sweep_words *words)
{
    static const char EXPECTED[] = "expected key=value or a list of such words";
    words->first = r->sweep->n_words;
    if (!next(r)) {
        return false;
    }
    if (r->event.kind == CONFIG_SCALAR) {
        words->n = 1;
        return add_word(r);
    }
    if (r->event.kind != CONFIG_LIST) {
        return refuse(r, EXPECTED);
    }
    while (next(r) && r->event.kind != CONFIG_END) {
        if (r->event.kind != CONFIG_SCALAR) {
            return refuse(r, EXPECTED);
        }
        if (!add_word(r)) {
            return false;
        }
    }
    words->n = r->sweep->n_words - words->first;
    return r->event.kind == CONFIG_END;
}

static bool read_value(struct reader *r, struct sweep_axis *axis)
{
    struct sweep *s = r->sweep;
    struct sweep_value value = {.name = keep_name(r)};
    if (value.name == NULL) {
        return false;
    }
    for (int i = 0; i < axis->n_values; i++) {
        if (strcmp(s->values[axis->first_value + i].name, value.name) == 0) {
            return refuse_with(r, value.name, "stands there twice");
        }
    }
    if (s->n_values == SWEEP_MAX_VALUES) {
        return refuse(r, "too many values");
    }
    if (!read_words(r, &value.words)) {
        return false;
    }
    s->values[s->n_values++] = value;
    axis->n_values++;
    return true;
}

static bool read_axis(struct reader *r, struct sweep_product *product)
{
    struct sweep *s = r->sweep;
    struct sweep_axis axis = {.name = keep_name(r), .first_value = s->n_values};
    if (axis.name == NULL) {
        return false;
    }
    for (int i = 0; i < product->n_axes; i++) {
        if (strcmp(s->axes[product->first_axis + i].name, axis.name) == 0) {
            return refuse_with(r, axis.name, "stands there twice");
        }
    }
    if (s->n_axes == SWEEP_MAX_AXES) {
        return refuse(r, "too many axes");
    }
    if (!next_is(r, CONFIG_MAPPING, "expected the values of an axis, NAME: [key=value, ...]")) {
        return false;
    }
    while (next(r) && r->event.kind != CONFIG_END) {
        if (!read_value(r, &axis)) {
            return false;
        }
    }
    if (r->event.kind != CONFIG_END) {
        return false;
    }
    if (axis.n_values == 0) {
        return refuse_with(r, axis.name, "an axis needs a value");
    }
    s->axes[s->n_axes++] = axis;
    product->n_axes++;
    return true;
}

static bool count_runs(struct reader *r, struct sweep_product *product)
{
    struct sweep *s = r->sweep;
    product->n_runs = product->n_axes > 0 ? 1 : 0;
    for (int i = 0; i < product->n_axes; i++) {
        product->n_runs *= s->axes[product->first_axis + i].n_values; /* no more than 2^22 */
        if (product->n_runs > SWEEP_MAX_RUNS - product->first_run) {
            return refuse(r, "more than 1024 runs");
        }
    }
    return product->n_runs > 0 || refuse(r, "expected an axis");
}

static bool read_product(struct reader *r)
{
    struct sweep *s = r->sweep;
    struct sweep_product product = {.first_axis = s->n_axes, .first_run = s->n_runs};
    if (r->event.kind != CONFIG_MAPPING) {
        return refuse(r, "expected axes, each a mapping of values");
    }
    if (s->n_products == SWEEP_MAX_PRODUCTS) {
        return refuse(r, "too many products");
    }
    while (next(r) && r->event.kind != CONFIG_END) {
        if (!read_axis(r, &product)) {
            return false;
        }
    }
    if (r->event.kind != CONFIG_END || !count_runs(r, &product)) {
        return false;
    }
    for (int i = 0; i < product.n_runs; i++) {
        if (!sweep_name_run(s, &product, i)) {
            return refuse(r, "a run's name would be longer than 127 characters");
        }
    }
    s->products[s->n_products++] = product;
    s->n_runs += product.n_runs;
    return true;
}

static bool read_runs(struct reader *r)
{
    if (!next_is(r, CONFIG_LIST, "expected a list of products, each with its axes")) {
        return false;
    }
    while (next(r) && r->event.kind != CONFIG_END) {
        if (!read_product(r)) {
            return false;
        }
    }
    return r->event.kind == CONFIG_END;
}

static bool read_path(struct reader *r, char *path)
{
    if (!next_is(r, CONFIG_SCALAR, "expected a path")) {
        return false;
    }
    if (r->event.length == 0 || r->event.length >= FILE_PATH_BYTES ||
        memchr(r->event.bytes, '\0', r->event.length) != NULL) {
        return refuse(r, "expected a path of 1 to 1023 bytes");
    }
    memcpy(path, r->event.bytes, r->event.length + 1);
    return true;
}

static bool read_dir(struct reader *r)
{
    return read_path(r, r->sweep->dir);
}

static bool read_base(struct reader *r)
{
    return read_path(r, r->sweep->base);
}

static bool read_set(struct reader *r)
{
    return read_words(r, &r->sweep->set);
}

/** Words between blanks, as a shell without quotes would have them. */
static bool read_launch(struct reader *r)
{
    struct sweep *s = r->sweep;
    if (!next_is(r, CONFIG_SCALAR, "expected a command, such as mpirun -n 2")) {
        return false;
    }
    char *word = s->text + s->n_text;
    if (keep(r) == NULL) {
        return false;
    }
    for (word += strspn(word, " "); *word != '\0'; word += strspn(word, " ")) {
        if (s->n_launch == SWEEP_LAUNCH_WORDS) {
            return refuse(r, "a command of more than 64 words");
        }
        s->launch[s->n_launch++] = word;
        word += strcspn(word, " ");
        if (*word != '\0') {
            *word++ = '\0';
        }
    }
    return s->n_launch > 0 || refuse(r, "expected a command, such as mpirun -n 2");
}

static const struct {
    const char *key;
    bool (*read)(struct reader *r);
} KEYS[] = {{"dir", read_dir},
            {"base", read_base},
            {"launch", read_launch},
            {"set", read_set},
            {"runs", read_runs}};
enum { N_KEYS = sizeof KEYS / sizeof KEYS[0] };

static bool read_key(struct reader *r, bool is_seen[N_KEYS])
{
    if (r->event.kind != CONFIG_SCALAR) {
        return refuse(r, "expected dir, base, launch, set or runs");
    }
    for (int i = 0; i < N_KEYS; i++) {
        if (strcmp(KEYS[i].key, r->event.bytes) == 0) {
            if (is_seen[i]) {
                return refuse_with(r, KEYS[i].key, "stands there twice");
            }
            is_seen[i] = true;
            return KEYS[i].read(r);
        }
    }
    return refuse_with(r, r->event.bytes,
                       "unknown key; a sweep has dir, base, launch, set and runs");
}

static bool read_document(struct reader *r)
{
    bool is_seen[N_KEYS] = {false};
    if (!next_is(r, CONFIG_MAPPING, "expected a mapping with the key runs")) {
        return false;
    }
    while (next(r) && r->event.kind != CONFIG_END) {
        if (!read_key(r, is_seen)) {
            return false;
        }
    }
    if (r->event.kind != CONFIG_END || !next(r)) {
        return false;
    }
    return r->sweep->n_runs > 0 || refuse(r, "no runs: the list runs is absent or empty");
}

bool sweep_parse(struct sweep *sweep, const char *name, const char *bytes, size_t length,
                 struct error *err)
{
    *sweep = (struct sweep){0};
    if (length > SWEEP_MAX_FILE_BYTES) {
        return error_set(err, ERROR_CONFIG, "%s: %zu bytes, more than the %d a sweep may have",
                         name, length, SWEEP_MAX_FILE_BYTES);
    }
    struct reader r = {.sweep = sweep, .yaml = config_yaml_open(name, bytes, length), .err = err};
    if (r.yaml == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to read %s", name);
    }
    const bool ok = read_document(&r);
    config_yaml_close(r.yaml);
    return ok && sweep_check_names(sweep, name, err);
}
