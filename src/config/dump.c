/* A configuration as YAML, value by value; and two of them compared. */
#include <attnres/config.h>

#include "config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES = 16 * CONFIG_MAX_STAGES }; /* the longest value is a full partition */

/* The shortest digits that read back as the same number; exponents without leading zeros. */
void config_print_real(double value, struct text *text)
{
    char digits[40] = "";
    for (int n = 1; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    char *e = strchr(digits, 'e');
    if (e == NULL) {
        text_add(text, "%s", digits);
        return;
    }
    const long exponent = strtol(e + 1, NULL, 10);
    if (exponent > 0 && exponent < 17) { /* 1e+06 is 1000000 to a reader */
        text_add(text, "%.0f", value);
    } else {
        text_add(text, "%.*se%ld", (int)(e - digits), digits, exponent);
    }
}

/* Bare where no YAML reader could take it for anything else. */
static void print_path(const char *path, struct text *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-";
    const bool is_plain = path[0] != '\0' && path[0] != '-' && path[0] != '.' &&
                          path[strspn(path, plain)] == '\0' && strcmp(path, "null") != 0;
    if (is_plain) {
        text_add(text, "%s", path);
        return;
    }
    text_add(text, "\"");
    for (const char *c = path; *c != '\0'; c++) {
        text_add(text, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    }
    text_add(text, "\"");
}

static void print_partition(const struct pipeline_config *pipeline, struct text *text)
{
    if (pipeline->partition != PARTITION_LIST) {
        text_add(text, pipeline->partition == PARTITION_AUTO ? "auto" : "blocks");
        return;
    }
    for (int64_t i = 0; i < pipeline->n_partition; i++) {
        text_add(text, "%s%d", i == 0 ? "[" : ", ", (int)pipeline->partition_list[i]);
    }
    text_add(text, "]");
}

static void print_tasks(const struct data_config *data, struct text *text)
{
    text_add(text, "{");
    for (int64_t i = 0; i < data->n_tasks; i++) {
        text_add(text, "%s%s: ", i == 0 ? "" : ", ", config_task_name(data->tasks[i].task));
        config_print_real(data->tasks[i].weight, text);
    }
    text_add(text, "}");
}

static void print_ranges(const struct data_config *data, struct text *text)
{
    text_add(text, "[");
    for (int64_t i = 0; i < data->n_skips; i++) {
        const struct window_range *range = &data->skips[i];
        text_add(text, "%s%lld", i == 0 ? "" : ", ", (long long)range->first);
        if (range->last > range->first) {
            text_add(text, "-%lld", (long long)range->last);
        }
    }
    text_add(text, "]");
}

static void print_int(const unsigned char *field, bool is_auto, struct text *text)
{
    int64_t value = 0;
    memcpy(&value, field, sizeof value);
    if (is_auto && value == 0) {
        text_add(text, "auto");
    } else {
        text_add(text, "%lld", (long long)value);
    }
}

void config_print_value(const struct config *config, const struct option *option, struct text *text)
{
    const unsigned char *field = (const unsigned char *)config + option->offset;
    double real = 0;
    int word = 0;
    bool flag = false;
    switch (option->type) {
    case OPTION_BOOL:
        memcpy(&flag, field, sizeof flag);
        text_add(text, flag ? "true" : "false");
        return;
    case OPTION_INT:
    case OPTION_AUTO_INT:
        print_int(field, option->type == OPTION_AUTO_INT, text);
        return;
    case OPTION_REAL:
        memcpy(&real, field, sizeof real);
        config_print_real(real, text);
        return;
    case OPTION_CHOICE:
        memcpy(&word, field, sizeof word);
        text_add(text, "%s", config_choice_word(option->choices, word));
        return;
    case OPTION_TEXT:
        print_path((const char *)field, text);
        return;
    case OPTION_PARTITION:
        print_partition(&config->pipeline, text);
        return;
    case OPTION_TASKS:
        print_tasks(&config->data, text);
        return;
    case OPTION_RANGES:
        print_ranges(&config->data, text);
        return;
    case OPTION_FIXED:
        text_add(text, "%s", option->value);
        return;
    }
}

static void dump_help(const struct option *option, struct text *text)
{
    static const char indent[] = "  # ";
    char values[CONFIG_EXPECTED_BYTES] = "";
    config_describe_values(option, &(struct text){values, sizeof values, 0});
    text_add(text, "%s", indent);
    config_text_wrap(text, indent, strlen(indent), option->help);
    text_add(text, "%sValues: ", indent);
    config_text_wrap(text, indent, strlen(indent) + strlen("Values: "), values);
}

static void dump_section(const struct config *config, const struct section *section, bool with_help,
                         struct text *text)
{
    if (with_help) {
        text_add(text, "\n# %s\n", section->help);
    }
    text_add(text, "%s:\n", section->name);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option *option = &config_options[i];
        if (!config_is_in_section(option, section)) {
            continue;
        }
        if (with_help) {
            dump_help(option, text);
        }
        text_add(text, "  %s: ", config_leaf(option->key));
        config_print_value(config, option, text);
        text_add(text, "\n");
    }
}

size_t config_dump(const struct config *config, bool with_help, char *text, size_t capacity)
{
    struct text out = {text, capacity, 0};
    if (with_help) {
        text_add(&out, "# An attnres configuration: every key, what it means, its value.\n"
                       "# Generated; a file needs only the keys that differ.\n");
    }
    for (size_t i = 0; i < config_n_sections; i++) {
        dump_section(config, &config_sections[i], with_help, &out);
    }
    return out.length;
}

void config_compare(const struct config *a, const struct config *b,
                    void (*visit)(void *user, const char *key, const char *value_a,
                                  const char *value_b, enum config_resume_rule rule),
                    void *user)
{
    for (size_t i = 0; i < config_n_options; i++) {
        char value_a[VALUE_BYTES] = "", value_b[VALUE_BYTES] = "";
        config_print_value(a, &config_options[i], &(struct text){value_a, sizeof value_a, 0});
        config_print_value(b, &config_options[i], &(struct text){value_b, sizeof value_b, 0});
        if (strcmp(value_a, value_b) != 0) {
            visit(user, config_options[i].key, value_a, value_b, config_options[i].resume);
        }
    }
}
