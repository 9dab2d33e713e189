/* The one door to libyaml: the events of one document, strictly. What a file may not do is found
 * here: a control character, an anchor, an alias, a tag, depth, a second document. */
#include "config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include <attnres/heap.h>
#include <attnres/text.h>

struct config_yaml {
    const char *name, *bytes;
    size_t length, bad; /* offset of the first byte that may not stand in a file, or length */
    yaml_parser_t parser;
    yaml_event_t event; /* what the last event given out borrows from */
    int depth;
    bool has_ended; /* the document */
};

struct config_yaml *config_yaml_open(const char *name, const char *bytes, size_t length)
{
    struct config_yaml *y = heap_take(1, sizeof *y, "the YAML parser");
    if (yaml_parser_initialize(&y->parser) == 0) {
        free(y);
        return NULL;
    }
    const size_t skipped = text_mark_length(bytes, length);
    y->name = name;
    y->bytes = bytes + skipped;
    y->length = length - skipped;
    y->bad = config_first_unprintable(y->bytes, y->length, true);
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, (const unsigned char *)y->bytes, y->length);
    return y;
}

void config_yaml_close(struct config_yaml *y)
{
    if (y == NULL) {
        return;
    }
    yaml_event_delete(&y->event);
    yaml_parser_delete(&y->parser);
    free(y);
}

static bool fail(struct config_event *event, const char *format, const char *what)
{
    snprintf(event->problem, sizeof event->problem, format, what);
    return false;
}

static void place(struct config_event *event, yaml_mark_t mark)
{
    event->line = mark.line + 1;
    event->column = mark.column + 1;
}

static bool refuse_byte(const struct config_yaml *y, struct config_event *event)
{
    event->line = event->column = 1;
    for (size_t i = 0; i < y->bad; i++) {
        if (y->bytes[i] == '\n') {
            event->line++;
            event->column = 1;
        } else {
            event->column += ((unsigned char)y->bytes[i] & 0xc0) != 0x80;
        }
    }
    snprintf(event->problem, sizeof event->problem, "byte 0x%02x: a control character or not UTF-8",
             (unsigned char)y->bytes[y->bad]);
    return false;
}

/* The parser's next event; false on broken YAML. */
static bool parse(struct config_yaml *y, struct config_event *event)
{
    yaml_event_delete(&y->event);
    memset(&y->event, 0, sizeof y->event);
    if (yaml_parser_parse(&y->parser, &y->event) != 0) {
        place(event, y->event.start_mark);
        return true;
    }
    memset(&y->event, 0, sizeof y->event);
    place(event, y->parser.problem_mark);
    if (y->parser.problem == NULL) { /* libyaml has words for all else */
        event->lacks_memory = true;
        return fail(event, "%s", "no memory to read it as YAML");
    }
    const char *while_doing = y->parser.context == NULL ? "" : y->parser.context;
    snprintf(event->problem, sizeof event->problem, "not YAML: %s%s%s", while_doing,
             *while_doing ? ", " : "", y->parser.problem);
    return false;
}

static void check_properties(struct config_event *event, const yaml_char_t *anchor,
                             const yaml_char_t *tag)
{
    if (anchor != NULL) {
        fail(event, "anchors are not allowed (found &%.40s)", (const char *)anchor);
    } else if (tag != NULL) {
        fail(event, "tags are not allowed (found %.40s)", (const char *)tag);
    }
}

static bool enter(struct config_yaml *y, struct config_event *event, enum config_event_kind kind)
{
    event->kind = kind;
    if (++y->depth > CONFIG_MAX_DEPTH) {
        snprintf(event->problem, sizeof event->problem, "nested deeper than %d levels",
                 CONFIG_MAX_DEPTH);
        return false;
    }
    return true;
}

static void take_scalar(struct config_event *event, const yaml_event_t *from)
{
    event->kind = CONFIG_SCALAR;
    event->bytes = (const char *)from->data.scalar.value;
    event->length = from->data.scalar.length;
    event->is_quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    check_properties(event, from->data.scalar.anchor, from->data.scalar.tag);
}

/* What stands in the document. */
static bool take(struct config_yaml *y, struct config_event *event)
{
    const yaml_event_t *from = &y->event;
    switch (from->type) {
    case YAML_SCALAR_EVENT:
        take_scalar(event, from);
        return true;
    case YAML_SEQUENCE_START_EVENT:
        check_properties(event, from->data.sequence_start.anchor, from->data.sequence_start.tag);
        return enter(y, event, CONFIG_LIST);
    case YAML_MAPPING_START_EVENT:
        check_properties(event, from->data.mapping_start.anchor, from->data.mapping_start.tag);
        return enter(y, event, CONFIG_MAPPING);
    case YAML_ALIAS_EVENT:
        event->kind = CONFIG_ALIAS;
        fail(event, "aliases are not allowed (found *%.40s; quote it if it is text)",
             (const char *)from->data.alias.anchor);
        return true;
    default:
        event->kind = CONFIG_END;
        y->depth--;
        return true;
    }
}

bool config_yaml_next(struct config_yaml *y, struct config_event *event)
{
    *event = (struct config_event){.kind = CONFIG_NOTHING};
    if (y->bad < y->length) {
        return refuse_byte(y, event);
    }
    for (;;) {
        if (!parse(y, event)) {
            return false;
        }
        switch (y->event.type) {
        case YAML_STREAM_START_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (y->has_ended) {
                return fail(event, "%s", "a second document is not allowed");
            }
            break;
        case YAML_DOCUMENT_END_EVENT:
            y->has_ended = true;
            break;
        case YAML_STREAM_END_EVENT:
        case YAML_NO_EVENT:
            return true;
        default:
            return take(y, event);
        }
    }
}

bool config_yaml_refuse(const struct config_yaml *y, const struct config_event *event,
                        struct error *err, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    config_mask(message);
    return error_set(err, event->lacks_memory ? ERROR_CREATE : ERROR_CONFIG, "%s:%zu:%zu: %s",
                     y->name, event->line, event->column, message);
}
