/* What a person may ask about the options: one key, one section, or all of them. */
#include <attnres/config.h>

#include "config_internal.h"

#include <string.h>

enum { LIST_INDENT = 29 }; /* two spaces, the longest key, two spaces */

static const char *resume_words(enum config_resume_rule rule)
{
    return rule == CONFIG_RESUME_FREE   ? "may change."
           : rule == CONFIG_RESUME_WARN ? "may change, with a warning."
                                        : "must stay as it was.";
}

static void explain_option(const struct option *option, struct text *text)
{
    static const char indent[] = "    ";
    char values[CONFIG_EXPECTED_BYTES] = "";
    config_describe_values(option, &(struct text){values, sizeof values, 0});
    text_add(text, "%s\n%s", option->key, indent);
    config_text_wrap(text, indent, strlen(indent), option->help);
    text_add(text, "%sValues:    ", indent);
    config_text_wrap(text, "               ", 15, values);
    text_add(text, "%sDefault:   %s\n", indent,
             option->value[0] == '\0' ? "none (\"\")" : option->value);
    text_add(text, "%sOn resume: %s\n", indent, resume_words(option->resume));
}

static void explain_section(const struct section *section, struct text *text)
{
    text_add(text, "%s: %s\n", section->name, section->help);
    for (size_t i = 0; i < config_n_options; i++) {
        if (config_is_in_section(&config_options[i], section)) {
            text_add(text, "\n");
            explain_option(&config_options[i], text);
        }
    }
}

bool config_explain(const char *key, char *text, size_t capacity, struct error *err)
{
    struct text out = {text, capacity, 0};
    const struct option *option = config_find_option(key, strlen(key));
    const struct section *section = config_find_section(key, strlen(key));
    if (option == NULL && section == NULL) {
        return error_set(err, ERROR_USAGE, "%.60s: unknown key (nearest: %s)", key,
                         config_nearest_key(key, strlen(key)));
    }
    if (option != NULL) {
        explain_option(option, &out);
    } else {
        explain_section(section, &out);
    }
    return true;
}

static void list_option(const struct option *option, struct text *text)
{
    char indent[LIST_INDENT + 1] = "", first[CONFIG_EXPECTED_BYTES] = "";
    memset(indent, ' ', LIST_INDENT);
    const char *stop = strstr(option->help, ". ");
    const size_t length = stop == NULL ? strlen(option->help) : (size_t)(stop - option->help) + 1;
    text_add(&(struct text){first, sizeof first, 0}, "%.*s", (int)length, option->help);
    text_add(text, "  %-*s", LIST_INDENT - 2, option->key);
    config_text_wrap(text, indent, LIST_INDENT, first);
}

size_t config_list(char *text, size_t capacity)
{
    struct text out = {text, capacity, 0};
    for (size_t i = 0; i < config_n_sections; i++) {
        text_add(&out, "%s%s: %s\n", i == 0 ? "" : "\n", config_sections[i].name,
                 config_sections[i].help);
        for (size_t k = 0; k < config_n_options; k++) {
            if (config_is_in_section(&config_options[k], &config_sections[i])) {
                list_option(&config_options[k], &out);
            }
        }
    }
    return out.length;
}
