#include "command.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/config.h>
#include <attnres/heap.h>
#include <attnres/rundir.h>

enum { TEXT_BYTES = 1 << 17 };

/** The configuration, or with --run-dir the folder alone. */
static bool print_resolved(const struct command_line *line, char *text, struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    char folder[FILE_PATH_BYTES];
    bool ok = config_load(config, path, line->n_overrides, line->overrides, err);
    if (ok && command_has(line, "run-dir")) {
        ok = rundir_choose(folder, config->run.dir, path, err);
        snprintf(text, TEXT_BYTES, "%s\n", ok ? folder : "");
    } else if (ok) {
        config_dump(config, command_has(line, "help-text"), text, TEXT_BYTES);
    }
    free(config);
    return ok;
}

/** Whether all that is given is heeded: the first option given says what the others may be. */
static bool check_words(const struct command_line *line, struct error *err)
{
    static const struct {
        const char *flag, *user;
        bool takes_words;
        const char *flags[3]; /* that it heeds */
    } USES[] = {{"list", "config --list", false, {"list", NULL}},
                {"explain", "config --explain", false, {"explain", NULL}},
                {"run-dir", "config --run-dir", true, {"run-dir", NULL}},
                {"help-text", "config --dump", true, {"dump", "help-text", NULL}}};
    for (size_t i = 0; i < sizeof USES / sizeof USES[0]; i++) {
        if (command_has(line, USES[i].flag)) {
            return command_heeds(line, USES[i].user, USES[i].flags, err) &&
                   (USES[i].takes_words || command_heeds_no_words(line, USES[i].user, err));
        }
    }
    return true;
}

static bool run(const struct command_line *line, struct error *err)
{
    if (!check_words(line, err)) {
        return false;
    }
    char *text = heap_take(TEXT_BYTES, 1, "the printed configuration");
    const char *key = command_text(line, "explain", NULL);
    bool ok = true;
    if (command_has(line, "list")) {
        config_list(text, TEXT_BYTES);
    } else if (key != NULL) {
        ok = config_explain(key, text, TEXT_BYTES, err);
    } else {
        ok = print_resolved(line, text, err);
    }
    fputs(ok ? text : "", stdout);
    free(text);
    return ok;
}

const struct command config_command = {
    .name = "config",
    .usage = "[CONFIG] [key=value ...] [--dump | --run-dir | --explain KEY | --list]",
    .summary = "check a configuration and print it as it resolves, or explain a key",
    .details = "Without an option, or with --dump, all problems of CONFIG are listed, or the whole "
               "configuration with\n"
               "defaults filled in is printed as YAML that train reads.",
    .flags = {{"dump", FLAG_SWITCH, NULL, "print the resolved configuration (the default)"},
              {"run-dir", FLAG_SWITCH, NULL, "print the folder that train takes, for scripts"},
              {"explain", FLAG_TEXT, "KEY",
               "explain a key (optim.lr) or all keys of a section (optim)"},
              {"list", FLAG_SWITCH, NULL, "all keys, one line each"},
              {"help-text", FLAG_SWITCH, NULL,
               "with --dump: each key's help as a comment above it"}},
    .most = 1,
    .takes_overrides = true,
    .is_alone = true,
    .run = run,
};
