/* Defaults, then the file, then the overrides, then the rules; and what was wrong on the way. */
#include <attnres/config.h>

#include "config_internal.h"

#include <attnres/file.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void config_problem(struct reading *reading, const char *format, ...)
{
    if (config_is_full(reading)) {
        return;
    }
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    config_mask(message);
    const struct origin here = reading->here;
    if (here.override != NULL) {
        char override[81];
        snprintf(override, sizeof override, "%s", here.override);
        config_mask(override);
        error_add(&reading->problems, ERROR_CONFIG, "override %s: %s", override, message);
    } else if (here.line != 0) {
        error_add(&reading->problems, ERROR_CONFIG, "%s:%zu:%zu: %s", reading->name, here.line,
                  here.column, message);
    } else {
        error_add(&reading->problems, ERROR_CONFIG, "%s: %s", reading->name, message);
    }
    reading->n_problems++;
}

bool config_is_full(const struct reading *reading)
{
    return reading->n_problems >= CONFIG_MAX_PROBLEMS;
}

static void apply_defaults(struct reading *reading)
{
    for (size_t i = 0; i < config_n_options; i++) {
        config_apply_default(reading, &config_options[i]);
    }
    assert(reading->n_problems == 0); /* or the table contradicts itself */
}

/* Text is taken as it stands, since the shell has already dealt with quotes: a glob or a '#' means
 * itself. All else is a YAML value. */
static void apply_override(struct reading *reading, const char *override)
{
    reading->here = (struct origin){.override = override};
    const char *sign = strchr(override, '=');
    if (sign == NULL) {
        config_problem(reading, "expected key=value");
        return;
    }
    const size_t length = (size_t)(sign - override);
    const struct option *option = config_find_option(override, length);
    if (option == NULL && config_find_section(override, length) != NULL) {
        config_problem(reading, "%.*s is a section: give its keys one by one, %.*s.KEY=VALUE",
                       (int)length, override, (int)length, override);
        return;
    }
    if (option == NULL) {
        config_problem(reading, "%.*s: unknown key (nearest: %s)", length < 60 ? (int)length : 60,
                       override, config_nearest_key(override, length));
        return;
    }
    reading->is_bad[option - config_options] = false; /* what the file said no longer counts */
    reading->origins[option - config_options] = reading->here;
    const char *value = sign + 1;
    if (option->type == OPTION_TEXT) {
        config_set_scalar(reading, option, (struct scalar){value, strlen(value), true});
    } else {
        config_read_value(reading, option, value, strlen(value));
    }
}

static void read_file(struct reading *reading, const char *bytes, size_t length)
{
    if (length > CONFIG_MAX_FILE_BYTES) {
        config_problem(reading, "%zu bytes, more than the %d a configuration may have", length,
                       CONFIG_MAX_FILE_BYTES);
        return;
    }
    config_read_file(reading, bytes, length);
}

bool config_parse(struct config *config, const char *name, const char *bytes, size_t length,
                  int n_overrides, const char *const *overrides, struct error *err)
{
    struct reading reading = {.name = name};
    apply_defaults(&reading);
    read_file(&reading, bytes, length);
    for (int i = 0; i < n_overrides; i++) {
        apply_override(&reading, overrides[i]);
    }
    config_check_rules(&reading);
    if (reading.n_problems > 0) {
        return error_set(err, reading.lacks_memory ? ERROR_CREATE : ERROR_CONFIG, "%s",
                         reading.problems.message);
    }
    *config = reading.config;
    return true;
}

bool config_load(struct config *config, const char *path, int n_overrides,
                 const char *const *overrides, struct error *err)
{
    if (path == NULL) {
        return config_parse(config, "defaults", "", 0, n_overrides, overrides, err);
    }
    if (file_is_folder(path)) {
        return error_set(err, ERROR_DATA,
                         "%s: a folder, where a file is expected; a run's is %s/config.yaml", path,
                         path);
    }
    struct file_bytes file = {0};
    if (!file_read(&file, path, CONFIG_MAX_FILE_BYTES, err)) {
        return false;
    }
    const bool is_read = config_parse(config, path, (const char *)file.bytes, file.length,
                                      n_overrides, overrides, err);
    file_bytes_finish(&file);
    return is_read;
}
