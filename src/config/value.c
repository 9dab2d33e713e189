/* One value: from the text of a scalar into the field of its option. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

void config_show_scalar(char out[CONFIG_FOUND_BYTES], struct scalar scalar)
{
    enum { SHOWN_MAX = 40 };
    if (scalar.length == 0 && !scalar.is_quoted) {
        snprintf(out, CONFIG_FOUND_BYTES, "nothing");
        return;
    }
    const char *quote = scalar.is_quoted ? "\"" : "";
    size_t n = scalar.length;
    if (n > SHOWN_MAX) {
        n = SHOWN_MAX;
        while (n > 0 && ((unsigned char)scalar.bytes[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    char shown[SHOWN_MAX + 1] = "";
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)scalar.bytes[i];
        shown[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    snprintf(out, CONFIG_FOUND_BYTES, "%s%s%s%s", quote, shown, n < scalar.length ? "..." : "",
             quote);
}

static void describe_range(const struct option *option, const char *noun, struct text *text)
{
    text_add(text, "%s from ", noun);
    config_print_real(option->min, text);
    text_add(text, " to ");
    config_print_real(option->max, text);
}

static bool has_one_choice(const struct option *option)
{
    return option->type == OPTION_FIXED ||
           (option->type == OPTION_CHOICE && option->choices[1].word == NULL) ||
           (option->type == OPTION_INT && option->min == option->max);
}

/** Text whose default is: nothing is given. Elsewhere a word says so. */
static bool may_be_empty(const struct option *option)
{
    return option->value[0] == '\0';
}

void config_describe_values(const struct option *option, struct text *text)
{
    if (has_one_choice(option)) {
        text_add(text, "only %s", option->value);
        return;
    }
    switch (option->type) {
    case OPTION_BOOL:
        text_add(text, "true or false");
        return;
    case OPTION_INT:
        describe_range(option, "an integer", text);
        return;
    case OPTION_AUTO_INT:
        describe_range(option, "auto or an integer", text);
        return;
    case OPTION_REAL:
        describe_range(option, "a number", text);
        return;
    case OPTION_CHOICE:
        for (const struct choice *c = option->choices; c->word != NULL; c++) {
            text_add(text, "%s%s", c == option->choices ? "one of " : ", ", c->word);
        }
        return;
    case OPTION_PARTITION:
        text_add(text, "auto, blocks or a list of at most %d ", CONFIG_MAX_STAGES);
        describe_range(option, "integers", text);
        return;
    case OPTION_TASKS:
        text_add(text, "a mapping of ");
        for (const struct choice *c = config_task_words; c->word != NULL; c++) {
            text_add(text, "%s%s", c == config_task_words ? "" : ", ", c->word);
        }
        text_add(text, " to weights above 0, up to ");
        config_print_real(option->max, text);
        return;
    case OPTION_RANGES:
        text_add(text, "a list of at most %d ranges such as 12-15 or 20, ", CONFIG_MAX_SKIPS);
        describe_range(option, "integers", text);
        return;
    case OPTION_TEXT:
    case OPTION_FIXED:
        text_add(text, may_be_empty(option) ? "text of at most %d bytes" : "text of 1 to %d bytes",
                 CONFIG_PATH_BYTES - 1);
        return;
    }
}

void config_refuse(struct reading *reading, const struct option *option, const char *found)
{
    char expected[CONFIG_EXPECTED_BYTES] = "";
    struct text text = {expected, sizeof expected, 0};
    config_describe_values(option, &text);
    const char *verb = has_one_choice(option) ? "this version knows" : "expected";
    config_problem(reading, "%s: found %s, %s %s", option->key, found, verb, expected);
    reading->is_bad[option - config_options] = true;
}

static unsigned char *field_of(struct reading *reading, const struct option *option)
{
    return (unsigned char *)&reading->config + option->offset;
}

static bool set_int(struct reading *reading, const struct option *option, const char *text)
{
    int64_t value = 0;
    const bool is_auto = option->type == OPTION_AUTO_INT && strcmp(text, "auto") == 0;
    if (!is_auto && (!config_scan_int(text, &value) || (double)value < option->min ||
                     (double)value > option->max)) {
        return false;
    }
    memcpy(field_of(reading, option), &value, sizeof value);
    return true;
}

static bool set_real(struct reading *reading, const struct option *option, const char *text)
{
    double value = 0;
    if (!config_scan_real(text, &value) || value < option->min || value > option->max) {
        return false;
    }
    memcpy(field_of(reading, option), &value, sizeof value);
    return true;
}

static bool set_bool(struct reading *reading, const struct option *option, const char *text)
{
    bool value = false;
    if (!config_scan_bool(text, &value)) {
        return false;
    }
    memcpy(field_of(reading, option), &value, sizeof value);
    return true;
}

static bool set_choice(struct reading *reading, const struct option *option, const char *text)
{
    const struct choice *choice = config_find_choice(option->choices, text);
    if (choice == NULL) {
        return false;
    }
    memcpy(field_of(reading, option), &choice->value, sizeof choice->value);
    return true;
}

/* A bare null is how YAML writes "nothing"; as a path it is more likely a slip than a name. */
static bool set_text(struct reading *reading, const struct option *option, struct scalar scalar)
{
    const bool is_null = !scalar.is_quoted && (scalar.length == 0 || !strcmp(scalar.bytes, "~") ||
                                               !strcmp(scalar.bytes, "null"));
    if (is_null || (scalar.length == 0 && !may_be_empty(option)) ||
        scalar.length >= CONFIG_PATH_BYTES ||
        config_first_unprintable(scalar.bytes, scalar.length, false) < scalar.length) {
        return false;
    }
    memcpy(field_of(reading, option), scalar.bytes, scalar.length + 1);
    return true;
}

/* The same value in another spelling is the same value. */
static bool is_fixed_value(const struct option *option, const char *text)
{
    bool a = false, b = false;
    double x = 0, y = 0;
    return strcmp(text, option->value) == 0 ||
           (config_scan_bool(text, &a) && config_scan_bool(option->value, &b) && a == b) ||
           (config_scan_real(text, &x) && config_scan_real(option->value, &y) && x == y);
}

static bool set_partition(struct reading *reading, const char *text)
{
    struct pipeline_config *pipeline = &reading->config.pipeline;
    if (strcmp(text, "auto") != 0 && strcmp(text, "blocks") != 0) {
        return false;
    }
    pipeline->partition = strcmp(text, "auto") == 0 ? PARTITION_AUTO : PARTITION_BLOCKS;
    pipeline->n_partition = 0;
    return true;
}

static bool set_plain(struct reading *reading, const struct option *option, const char *text)
{
    switch (option->type) {
    case OPTION_BOOL:
        return set_bool(reading, option, text);
    case OPTION_INT:
    case OPTION_AUTO_INT:
        return set_int(reading, option, text);
    case OPTION_REAL:
        return set_real(reading, option, text);
    case OPTION_CHOICE:
        return set_choice(reading, option, text);
    case OPTION_PARTITION:
        return set_partition(reading, text);
    case OPTION_FIXED:
        return is_fixed_value(option, text);
    case OPTION_TEXT:
    case OPTION_TASKS:
    case OPTION_RANGES:
        return false;
    }
    return false;
}

/* Quoted scalars are text: words may be quoted, numbers and booleans may not. */
static bool is_quoted_number(struct scalar scalar)
{
    bool boolean = false;
    double real = 0;
    return scalar.is_quoted &&
           (config_scan_real(scalar.bytes, &real) || config_scan_bool(scalar.bytes, &boolean));
}

void config_set_scalar(struct reading *reading, const struct option *option, struct scalar scalar)
{
    bool is_set = false;
    if (option->type == OPTION_TEXT) {
        is_set = set_text(reading, option, scalar);
    } else if (strlen(scalar.bytes) == scalar.length && !is_quoted_number(scalar)) {
        is_set = set_plain(reading, option, scalar.bytes);
    }
    if (!is_set) {
        char found[CONFIG_FOUND_BYTES];
        config_show_scalar(found, scalar);
        config_refuse(reading, option, found);
    }
}

void config_apply_default(struct reading *reading, const struct option *option)
{
    const struct scalar value = {option->value, strlen(option->value), option->value[0] == '\0'};
    const bool is_empty = option->type == OPTION_TASKS || option->type == OPTION_RANGES;
    if (!is_empty) { /* as it is */
        config_set_scalar(reading, option, value);
    }
}
