/* YAML by libyaml's events: sections of keys, strictly. Nothing of the file is kept beyond the
 * event in hand; what a file may not do (anchors, aliases, tags, a second document, depth) is
 * refused where events come in. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct reader {
    struct reading *reading;
    yaml_parser_t parser;
    yaml_event_t event; /* in hand; YAML_NO_EVENT after the end or a failure */
    int depth;
    bool has_positions; /* an override has none */
};

static void place(struct reader *r, yaml_mark_t mark)
{
    if (r->has_positions) {
        r->reading->here.line = mark.line + 1;
        r->reading->here.column = mark.column + 1;
    }
}

static void check_properties(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL) {
        config_problem(r->reading, "anchors are not allowed (found &%.40s)", (const char *)anchor);
    }
    if (tag != NULL) {
        config_problem(r->reading, "tags are not allowed (found %.40s)", (const char *)tag);
    }
}

static bool stop(struct reader *r)
{
    yaml_event_delete(&r->event);
    memset(&r->event, 0, sizeof r->event);
    return false;
}

static bool check_event(struct reader *r)
{
    const yaml_event_t *event = &r->event;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        check_properties(r, event->data.scalar.anchor, event->data.scalar.tag);
        return true;
    case YAML_SEQUENCE_START_EVENT:
        check_properties(r, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        r->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        check_properties(r, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        r->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return true;
    case YAML_ALIAS_EVENT:
        config_problem(r->reading, "aliases are not allowed (found *%.40s; quote it if it is text)",
                       (const char *)event->data.alias.anchor);
        return true;
    default:
        return true;
    }
    if (r->depth > CONFIG_MAX_DEPTH) {
        config_problem(r->reading, "nested deeper than %d levels", CONFIG_MAX_DEPTH);
        return stop(r);
    }
    return true;
}

/* Take the next event in hand. False at the end, on broken YAML, and when enough is wrong. */
static bool next(struct reader *r)
{
    yaml_event_delete(&r->event);
    memset(&r->event, 0, sizeof r->event);
    if (config_is_full(r->reading)) {
        return false;
    }
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        memset(&r->event, 0, sizeof r->event);
        place(r, r->parser.problem_mark);
        const char *what = r->parser.problem == NULL ? "out of memory" : r->parser.problem;
        const char *while_doing = r->parser.context == NULL ? "" : r->parser.context;
        config_problem(r->reading, "not YAML: %s%s%s", while_doing, *while_doing ? ", " : "", what);
        return false;
    }
    place(r, r->event.start_mark);
    return check_event(r);
}

/* Leave the value in hand out, to its end. */
static bool skip_value(struct reader *r)
{
    const yaml_event_type_t type = r->event.type;
    const bool is_start = type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
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
    return (struct scalar){
        .bytes = (const char *)r->event.data.scalar.value,
        .length = r->event.data.scalar.length,
        .is_quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
    };
}

static const char *shape_in_hand(const struct reader *r)
{
    return r->event.type == YAML_SEQUENCE_START_EVENT  ? "a list"
           : r->event.type == YAML_MAPPING_START_EVENT ? "a mapping"
                                                       : "an alias";
}

static bool refuse_shape(struct reader *r, const struct option *option)
{
    if (r->event.type == YAML_ALIAS_EVENT) { /* has been reported */
        r->reading->is_bad[option - config_options] = true;
        return true;
    }
    config_refuse(r->reading, option, shape_in_hand(r));
    return skip_value(r);
}

static bool read_list(struct reader *r, const struct option *option)
{
    config_begin_items(r->reading, option);
    while (next(r) && r->event.type != YAML_SEQUENCE_END_EVENT) {
        if (r->event.type == YAML_SCALAR_EVENT) {
            config_add_item(r->reading, option, scalar_in_hand(r));
        } else if (!refuse_shape(r, option)) {
            return false;
        }
    }
    if (r->event.type != YAML_SEQUENCE_END_EVENT) {
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
    if (r->event.type != YAML_SCALAR_EVENT) {
        return refuse_shape(r, option);
    }
    config_add_pair(r->reading, option, (struct scalar){word, strlen(word), false},
                    scalar_in_hand(r));
    return true;
}

static bool read_mapping(struct reader *r, const struct option *option)
{
    config_begin_items(r->reading, option);
    while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
        if (r->event.type == YAML_SCALAR_EVENT) {
            if (!read_pair(r, option)) {
                return false;
            }
        } else if (!refuse_shape(r, option) || !next(r) || !skip_value(r)) {
            return false;
        }
    }
    return r->event.type == YAML_MAPPING_END_EVENT;
}

static bool read_option(struct reader *r, const struct option *option)
{
    r->reading->origins[option - config_options] = r->reading->here;
    if (r->event.type == YAML_SCALAR_EVENT) {
        config_set_scalar(r->reading, option, scalar_in_hand(r));
        return true;
    }
    if (r->event.type == YAML_SEQUENCE_START_EVENT && config_takes_list(option)) {
        return read_list(r, option);
    }
    if (r->event.type == YAML_MAPPING_START_EVENT && config_takes_mapping(option)) {
        return read_mapping(r, option);
    }
    return refuse_shape(r, option);
}

/* A key that is no text, with its value. */
static bool refuse_key(struct reader *r)
{
    if (r->event.type != YAML_ALIAS_EVENT) {
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
    while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
        const bool goes_on =
            r->event.type == YAML_SCALAR_EVENT ? read_key(r, section) : refuse_key(r);
        if (!goes_on) {
            return false;
        }
    }
    return r->event.type == YAML_MAPPING_END_EVENT;
}

static bool is_nothing(const struct reader *r)
{
    return r->event.type == YAML_SCALAR_EVENT && scalar_in_hand(r).length == 0 &&
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
    if (r->event.type == YAML_MAPPING_START_EVENT) {
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
    while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
        const bool goes_on =
            r->event.type == YAML_SCALAR_EVENT ? read_section(r, is_seen) : refuse_key(r);
        if (!goes_on) {
            return false;
        }
    }
    return r->event.type == YAML_MAPPING_END_EVENT;
}

/* The root of a file is its sections, the root of an override the value of one option. */
static bool read_root(struct reader *r, const struct option *option)
{
    if (option != NULL) {
        return read_option(r, option);
    }
    if (r->event.type == YAML_MAPPING_START_EVENT) {
        return read_sections(r);
    }
    if (!is_nothing(r)) {
        config_problem(r->reading, "expected sections such as \"model:\" with their keys");
    }
    return skip_value(r);
}

static bool read_document(struct reader *r, const struct option *option)
{
    if (!next(r) || !next(r)) { /* start of the stream, start of the document */
        return false;
    }
    if (r->event.type == YAML_STREAM_END_EVENT) {
        if (option != NULL) {
            config_refuse(r->reading, option, "nothing");
        }
        return true;
    }
    if (!next(r) || !read_root(r, option) || !next(r)) {
        return false;
    }
    if (next(r) && r->event.type != YAML_STREAM_END_EVENT) {
        config_problem(r->reading, "a second document is not allowed");
    }
    return true;
}

static void place_byte(struct reading *reading, const char *bytes, size_t offset)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < offset; i++) {
        if (bytes[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    reading->here.line = line;
    reading->here.column = 1;
    for (size_t i = start; i < offset; i++) {
        reading->here.column += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    }
}

static void read_bytes(struct reading *reading, const struct option *option, const char *bytes,
                       size_t length)
{
    struct reader r = {.reading = reading, .has_positions = option == NULL};
    const size_t bad = config_first_unprintable(bytes, length, true);
    if (bad < length) {
        if (r.has_positions) {
            place_byte(reading, bytes, bad);
        }
        config_problem(reading, "byte 0x%02x: a control character or not UTF-8",
                       (unsigned char)bytes[bad]);
        return;
    }
    if (yaml_parser_initialize(&r.parser) == 0) {
        config_problem(reading, "out of memory for the YAML parser");
        return;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, length);
    read_document(&r, option);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
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
