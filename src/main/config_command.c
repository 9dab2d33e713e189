#include "command.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/config.h>
#include <attnres/heap.h>

enum { TEXT_BYTES = 1 << 17 };

static bool run(const struct command_line *line, struct error *err)
{
    char *text = heap_take(TEXT_BYTES, 1, "the printed configuration");
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    const char *key = command_text(line, "explain", NULL);
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    bool ok = true;
    if (command_has(line, "list")) {
        config_list(text, TEXT_BYTES);
    } else if (key != NULL) {
        ok = config_explain(key, text, TEXT_BYTES, err);
    } else {
        ok = config_load(config, path, line->n_overrides, line->overrides, err);
        if (ok) {
            config_dump(config, command_has(line, "help-text"), text, TEXT_BYTES);
        }
    }
    fputs(ok ? text : "", stdout);
    free(config);
    free(text);
    return ok;
}

const struct command config_command = {
    .name = "config",
    .usage = "[CONFIG] [key=value ...] [--dump | --explain KEY | --list]",
    .summary = "check a configuration and print it as it resolves, or explain a key",
    .details = "Without an option, or with --dump, all problems of CONFIG are listed, or the whole "
               "configuration with\n"
               "defaults filled in is printed as YAML that train reads.",
    .flags = {{"dump", FLAG_SWITCH, NULL, "print the resolved configuration (the default)"},
              {"explain", FLAG_TEXT, "KEY",
               "explain a key (optim.lr) or all keys of a section (optim)"},
              {"list", FLAG_SWITCH, NULL, "all keys, one line each"},
              {"help-text", FLAG_SWITCH, NULL,
               "with --dump: each key's help as a comment above it"}},
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
