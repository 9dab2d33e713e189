#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/data.h>

static bool make(const struct command_line *line, struct error *err)
{
    if (line->n_positionals != 4) {
        return error_set(err, ERROR_USAGE,
                         "usage: attnres data make TASK COUNT OUT [--seed N] [--hops K]");
    }
    char *end = NULL;
    errno = 0;
    const long long count = strtoll(line->positionals[2], &end, 10);
    if (*end != '\0' || end == line->positionals[2] || errno != 0 || count < 0) {
        return error_set(err, ERROR_USAGE, "%s: not a count of items", line->positionals[2]);
    }
    enum task_kind task;
    if (!config_find_task(&task, line->positionals[1])) {
        return error_set(err, ERROR_USAGE,
                         "%s: no such task; choose stories, ptr, phop, vars or perm",
                         line->positionals[1]);
    }
    return data_write_items(task, (uint64_t)command_int(line, "seed", 1), count,
                            command_int(line, "hops", 0), line->positionals[3], err);
}

static bool prepare(const struct command_line *line, struct error *err)
{
    if (line->n_positionals < 3) {
        return error_set(err, ERROR_USAGE, "usage: attnres data prepare TEXT... OUT");
    }
    return data_prepare(line->positionals + 1, line->n_positionals - 2,
                        line->positionals[line->n_positionals - 1], err);
}

static bool info(const struct command_line *line, struct error *err)
{
    if (line->n_positionals != 2) {
        return error_set(err, ERROR_USAGE, "usage: attnres data info PATH [--json]");
    }
    char text[8192];
    if (!data_describe(line->positionals[1], command_has(line, "json"), text, sizeof text, err)) {
        return false;
    }
    fputs(text, stdout);
    fputs(command_has(line, "json") ? "\n" : "", stdout);
    return true;
}

static bool run(const struct command_line *line, struct error *err)
{
    static const struct {
        const char *name, *user;
        bool (*run)(const struct command_line *line, struct error *err);
        const char *flags[3]; /* that it heeds */
    } ACTIONS[] = {{"make", "data make", make, {"seed", "hops", NULL}},
                   {"prepare", "data prepare", prepare, {NULL}},
                   {"info", "data info", info, {"json", NULL}}};
    for (int i = 0; i < 3; i++) {
        if (strcmp(line->positionals[0], ACTIONS[i].name) == 0) {
            return command_heeds(line, ACTIONS[i].user, ACTIONS[i].flags, err) &&
                   ACTIONS[i].run(line, err);
        }
    }
    return error_set(err, ERROR_USAGE, "%s: choose make, prepare or info", line->positionals[0]);
}

const struct command data_command = {
    .name = "data",
    .usage = "make TASK COUNT OUT | prepare TEXT... OUT | info PATH",
    .summary = "write synthetic items, turn texts into a token shard, or describe data",
    .details =
        "make     items of stories, ptr, phop, vars or perm: prompt TAB answer TAB options TAB "
        "hops; OUT may be -\n"
        "prepare  files, folders or globs of .txt and .txt.gz into one llm.c shard of bytes\n"
        "info     what a text, shard or folder holds",
    .flags = {{"seed", FLAG_INT, "N",
               "make: seed (default 1, the test seed; training uses 1000 and more)"},
              {"hops", FLAG_INT, "K", "make: hops of every item; 0 draws them (default 0)"},
              {"json", FLAG_SWITCH, NULL, "info: one JSON object"}},
    .least = 1,
    .most = 1 << 20,
    .is_alone = true,
    .run = run,
};
