/* A configuration's YAML: sections of keys. Nothing of the file is kept beyond the event in hand.
 */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

struct reader {
    struct reading *reading;
    struct config_yaml *yaml;
    struct config_event event; /* in hand */
    int depth;
    bool has_positions; /* an override has none */
};

/* Take the next event in hand. False at the end, on broken YAML, and when enough is wrong. */
static bool next(struct reader *r)
{
    if (config_is_full(r->reading)) {
        r->event.kind = CONFIG_NOTHING;
        return false;
    }
    const bool is_whole = config_yaml_next(r->yaml, &r->event);
    if (r->has_positions) {
        r->reading->here.line = r->event.line;
        r->reading->here.column = r->event.column;
    }
    if (r->event.problem[0] != '\0') {
        r->reading->lacks_memory = r->reading->lacks_memory || r->event.lacks_memory;
        config_problem(r->reading, "%s", r->event.problem);
    }
    if (!is_whole) {
        r->event.kind = CONFIG_NOTHING;
        return false;
    }
    r->depth += r->event.kind == CONFIG_LIST || r->event.kind == CONFIG_MAPPING;
    r->depth -= r->event.kind == CONFIG_END;
    return r->event.kind != CONFIG_NOTHING;
}

/* Leave the value in hand out, to its end. */
static bool skip_value(struct reader *r)
{
    const bool is_start = r->event.kind == CONFIG_LIST || r->event.kind == CONFIG_MAPPING;
    const int outside = r->depth - is_start;
    while (r->depth > outside) {
        if (!next(r)) {
            return false;
        }
    }
    return true;
}

static struct scalar scalar_in_hand(const struct reader *r)
{
    return (struct scalar){r->event.bytes, r->event.length, r->event.is_quoted};
}

static const char *shape_in_hand(const struct reader *r)
{
    return r->event.kind == CONFIG_LIST      ? "a list"
           : r->event.kind == CONFIG_MAPPING ? "a mapping"
                                             : "an alias";
}

static bool refuse_shape(struct reader *r, const struct option *option)
{
    if (r->event.kind == CONFIG_ALIAS) { /* has been reported */
        r->reading->is_bad[option - config_options] = true;
        return true;
    }
    config_refuse(r->reading, option, shape_in_hand(r));
    return skip_value(r);
}

static bool read_list(struct reader *r, const struct option *option)
{
    config_begin_items(r->reading, option);
    while (next(r) && r->event.kind != CONFIG_END) {
        if (r->event.kind == CONFIG_SCALAR) {
            config_add_item(r->reading, option, scalar_in_hand(r));
        } else if (!refuse_shape(r, option)) {
            return false;
        }
    }
    if (r->event.kind != CONFIG_END) {
        return false;
    }
    config_end_items(r->reading, option);
    return true;
}

/* The word is copied, for the weight's event takes its place. */
static bool read_pair(struct reader *r, const struct option *option)
{
    char word[CONFIG_FOUND_BYTES] = "";
    const struct scalar scalar = scalar_in_hand(r);
    config_show_scalar(word, (struct scalar){scalar.bytes, scalar.length, false});
    if (!next(r)) {
        return false;
    }
    if (r->event.kind != CONFIG_SCALAR) {
        return refuse_shape(r, option);
    }
    config_add_pair(r->reading, option, (struct scalar){word, strlen(word), false},
                    scalar_in_hand(r));
    return true;
}

static bool read_mapping(struct reader *r, const struct option *option)
{
    config_begin_items(r->reading, option);
    while (next(r) && r->event.kind != CONFIG_END) {
        if (r->event.kind == CONFIG_SCALAR) {
            if (!read_pair(r, option)) {
                return false;
            }
        } else if (!refuse_shape(r, option) || !next(r) || !skip_value(r)) {
            return false;
        }
    }
    return r->event.kind == CONFIG_END;
}

static bool read_option(struct reader *r, const struct option *option)
{
    r->reading->origins[option - config_options] = r->reading->here;
    if (r->event.kind == CONFIG_SCALAR) {
        config_set_scalar(r->reading, option, scalar_in_hand(r));
        return true;
    }
    if (r->event.kind == CONFIG_LIST && config_takes_list(option)) {
        return read_list(r, option);
    }
    if (r->event.kind == CONFIG_MAPPING && config_takes_mapping(option)) {
        return read_mapping(r, option);
    }
    return refuse_shape(r, option);
}

/* A key that is no text, with its value. */
static bool refuse_key(struct reader *r)
{
    if (r->event.kind != CONFIG_ALIAS) {
        config_problem(r->reading, "found %s, expected a key", shape_in_hand(r));
    }
    return skip_value(r) && next(r) && skip_value(r);
}

static bool refuse_unknown(struct reader *r, const char *key, const char *what)
{
    config_problem(r->reading, "%s: unknown %s (nearest: %s)", key, what,
                   config_nearest_key(key, strlen(key)));
    return next(r) && skip_value(r);
}

static bool read_key(struct reader *r, const struct section *section)
{
    char leaf[CONFIG_FOUND_BYTES], key[2 * CONFIG_FOUND_BYTES];
    const struct scalar scalar = scalar_in_hand(r);
    config_show_scalar(leaf, (struct scalar){scalar.bytes, scalar.length, false});
    snprintf(key, sizeof key, "%s.%s", section->name, leaf);
    const struct option *option = config_find_option(key, strlen(key));
    if (option == NULL) {
        return refuse_unknown(r, key, "key");
    }
    const size_t row = (size_t)(option - config_options);
    if (r->reading->is_seen[row]) {
        config_problem(r->reading, "%s: duplicate key (first at line %zu)", key,
                       r->reading->origins[row].line);
        return next(r) && skip_value(r);
    }
    r->reading->is_seen[row] = true;
    return next(r) && read_option(r, option);
}

static bool read_keys(struct reader *r, const struct section *section)
{
    while (next(r) && r->event.kind != CONFIG_END) {
        const bool goes_on = r->event.kind == CONFIG_SCALAR ? read_key(r, section) : refuse_key(r);
        if (!goes_on) {
            return false;
        }
    }
    return r->event.kind == CONFIG_END;
}

static bool is_nothing(const struct reader *r)
{
    return r->event.kind == CONFIG_SCALAR && scalar_in_hand(r).length == 0 &&
           !scalar_in_hand(r).is_quoted;
}

/* A section whose keys are all commented out is an empty one. */
static bool read_section(struct reader *r, bool is_seen[])
{
    char name[CONFIG_FOUND_BYTES];
    const struct scalar scalar = scalar_in_hand(r);
    config_show_scalar(name, (struct scalar){scalar.bytes, scalar.length, false});
    const struct section *section = config_find_section(name, strlen(name));
    if (section == NULL && config_find_option(name, strlen(name)) != NULL) {
        config_problem(r->reading, "%s: a file gives it as %s under its section", name,
                       config_leaf(name));
        return next(r) && skip_value(r);
    }
    if (section == NULL) {
        return refuse_unknown(r, name, "section");
    }
    bool *seen = &is_seen[section - config_sections];
    if (*seen) {
        config_problem(r->reading, "%s: duplicate section", name);
        return next(r) && skip_value(r);
    }
    *seen = true;
    if (!next(r)) {
        return false;
    }
    if (r->event.kind == CONFIG_MAPPING) {
        return read_keys(r, section);
    }
    if (!is_nothing(r)) {
        config_problem(r->reading, "%s: is a section, expected its keys below it", name);
    }
    return skip_value(r);
}

static bool read_sections(struct reader *r)
{
    bool is_seen[CONFIG_OPTIONS_MAX] = {false};
    while (next(r) && r->event.kind != CONFIG_END) {
        const bool goes_on =
            r->event.kind == CONFIG_SCALAR ? read_section(r, is_seen) : refuse_key(r);
        if (!goes_on) {
            return false;
        }
    }
    return r->event.kind == CONFIG_END;
}

/* The root of a file is its sections, the root of an override the value of one option. */
static bool read_root(struct reader *r, const struct option *option)
{
    if (option != NULL) {
        return read_option(r, option);
    }
    if (r->event.kind == CONFIG_MAPPING) {
        return read_sections(r);
    }
    if (!is_nothing(r)) {
        config_problem(r->reading, "expected sections such as \"model:\" with their keys");
    }
    return skip_value(r);
}

/* A second document fails in next. */
static void read_document(struct reader *r, const struct option *option)
{
    if (next(r)) {
        if (read_root(r, option)) {
            next(r);
        }
    } else if (option != NULL && r->event.problem[0] == '\0') {
        config_refuse(r->reading, option, "nothing");
    }
}

static void read_bytes(struct reading *reading, const struct option *option, const char *bytes,
                       size_t length)
{
    struct reader r = {.reading = reading,
                       .yaml = config_yaml_open(reading->name, bytes, length),
                       .has_positions = option == NULL};
    if (r.yaml == NULL) {
        reading->lacks_memory = true;
        config_problem(reading, "out of memory for the YAML parser");
        return;
    }
    read_document(&r, option);
    config_yaml_close(r.yaml);
}

void config_read_file(struct reading *reading, const char *bytes, size_t length)
{
    read_bytes(reading, NULL, bytes, length);
}

void config_read_value(struct reading *reading, const struct option *option, const char *bytes,
                       size_t length)
{
    read_bytes(reading, option, bytes, length);
}
