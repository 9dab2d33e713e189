#include "command.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/heap.h>
#include <attnres/launch.h>

#include "build.h"

static int find_flag(const struct command *command, const char *name, size_t length)
{
    for (int i = 0; i < COMMAND_MAX_FLAGS && command->flags[i].name != NULL; i++) {
        if (strlen(command->flags[i].name) == length &&
            strncmp(command->flags[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

static int require_flag(const struct command_line *line, const char *flag)
{
    const int i = find_flag(line->command, flag, strlen(flag));
    assert(i >= 0 && "the command's table has this flag");
    return i;
}

bool command_has(const struct command_line *line, const char *flag)
{
    return line->given[require_flag(line, flag)];
}

const char *command_text(const struct command_line *line, const char *flag, const char *fallback)
{
    const int i = require_flag(line, flag);
    return line->texts[i] != NULL ? line->texts[i] : fallback;
}

int64_t command_int(const struct command_line *line, const char *flag, int64_t fallback)
{
    const char *text = command_text(line, flag, NULL);
    return text != NULL ? strtoll(text, NULL, 10) : fallback;
}

double command_real(const struct command_line *line, const char *flag, double fallback)
{
    const char *text = command_text(line, flag, NULL);
    return text != NULL ? strtod(text, NULL) : fallback;
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

bool command_heeds(const struct command_line *line, const char *user, const char *const *flags,
                   struct error *err)
{
    const struct flag *all = line->command->flags;
    for (int i = 0; i < COMMAND_MAX_FLAGS && all[i].name != NULL; i++) {
        if (line->given[i] && !is_among(all[i].name, flags)) {
            return error_set(err, ERROR_USAGE, "%s does not use --%s: leave it out", user,
                             all[i].name);
        }
    }
    return true;
}

bool command_heeds_no_words(const struct command_line *line, const char *user, struct error *err)
{
    const char *word = line->n_positionals > 0 ? line->positionals[0]
                       : line->n_overrides > 0 ? line->overrides[0]
                                               : NULL;
    return word == NULL ||
           error_set(err, ERROR_USAGE, "%s does not use %s: leave it out", user, word);
}

static bool is_number(enum flag_value value, const char *text)
{
    char *end = NULL;
    errno = 0;
    if (value == FLAG_INT) {
        const long long number = strtoll(text, &end, 10);
        return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && number >= 0;
    }
    const double number = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(number) && number >= 0.0;
}

/** Take the flag at argv[*i], and its value where it has one. None has a single dash. */
static bool parse_flag(struct command_line *line, char **argv, int argc, int *i, struct error *err)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    const size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const bool is_long = argv[*i][1] == '-';
    const int index = is_long ? find_flag(line->command, name, length) : -1;
    if (index < 0) {
        return error_set(err, ERROR_USAGE, "%s: unknown option (attnres %s --help lists all)",
                         argv[*i], line->command->name);
    }
    const struct flag *flag = &line->command->flags[index];
    const char *text = equals != NULL ? equals + 1 : NULL;
    if (flag->value == FLAG_SWITCH && text != NULL) {
        return error_set(err, ERROR_USAGE, "%s: --%s takes no value", argv[*i], flag->name);
    }
    const bool needs_value = flag->value != FLAG_SWITCH && flag->value != FLAG_OPTIONAL;
    if (text == NULL && needs_value && *i + 1 < argc) {
        text = argv[++*i];
    }
    if (text == NULL ? needs_value : text[0] == '\0' && flag->value != FLAG_ANY_TEXT) {
        return error_set(err, ERROR_USAGE, "--%s needs a value: --%s=%s", flag->name, flag->name,
                         flag->placeholder);
    }
    if ((flag->value == FLAG_INT || flag->value == FLAG_REAL) && !is_number(flag->value, text)) {
        return error_set(err, ERROR_USAGE, "--%s=%s: not a %snumber of 0 or more", flag->name, text,
                         flag->value == FLAG_INT ? "whole " : "");
    }
    line->given[index] = true;
    line->texts[index] = text;
    return true;
}

/** An override is key=value with a plain key. */
static bool is_override(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.");
    return length > 0 && text[length] == '=';
}

static bool check_count(const struct command_line *line, struct error *err)
{
    const struct command *command = line->command;
    if (line->n_positionals > command->most) {
        return error_set(err, ERROR_USAGE, "%s: one argument too many; usage: attnres %s %s",
                         line->positionals[command->most], command->name, command->usage);
    }
    return line->n_positionals >= command->least ||
           error_set(err, ERROR_USAGE, "usage: attnres %s %s", command->name, command->usage);
}

static bool parse(struct command_line *line, const char **words, int argc, char **argv,
                  struct error *err)
{
    const char **overrides = words + argc;
    line->positionals = words;
    line->overrides = overrides;
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!parse_flag(line, argv, argc, &i, err)) {
                return false;
            }
        } else if (line->command->takes_overrides && is_override(argv[i])) {
            overrides[line->n_overrides++] = argv[i];
        } else if (argv[i][0] == '\0') {
            return error_set(err, ERROR_USAGE, "argument %d is empty; usage: attnres %s %s", i - 1,
                             line->command->name, line->command->usage);
        } else {
            words[line->n_positionals++] = argv[i];
        }
    }
    return check_count(line, err);
}

static void print_help(const struct command *command)
{
    printf("attnres %s %s\n\n%s.\n", command->name, command->usage, command->summary);
    if (command->details != NULL) {
        printf("\n%s\n", command->details);
    }
    for (int i = 0; i < COMMAND_MAX_FLAGS && command->flags[i].name != NULL; i++) {
        const struct flag *flag = &command->flags[i];
        char left[64];
        const char *placeholder = flag->placeholder != NULL ? flag->placeholder : "";
        const char *const opening =
            flag->value == FLAG_OPTIONAL ? "[=" : (flag->value == FLAG_SWITCH ? "" : "=");
        snprintf(left, sizeof left, "--%s%s%s%s", flag->name, opening, placeholder,
                 flag->value == FLAG_OPTIONAL ? "]" : "");
        printf("%s  %-22s %s\n", i == 0 ? "\n" : "", left, flag->help);
    }
}

static void print_overview(const struct command *const *commands)
{
    printf("attnres %s trains transformers with attention over depth on CPU clusters.\n\n"
           "usage: attnres COMMAND ...        (mpirun -n RANKS attnres COMMAND ... to use several "
           "ranks)\n\n",
           BUILD_VERSION);
    for (int i = 0; commands[i] != NULL; i++) {
        printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("\nattnres COMMAND --help tells more; attnres config --explain KEY explains a "
           "configuration key.\n");
}

void command_tell(struct error *err)
{
    fflush(stdout);
    if (err->message[0] != '\0') {
        fprintf(stderr, "attnres: %s\n", err->message);
        err->message[0] = '\0';
    }
}

static int fail(struct error *err)
{
    command_tell(err);
    return (int)err->kind;
}

static const struct command *find_command(const struct command *const *commands, const char *name)
{
    for (int i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

static bool check_ranks(const struct command_line *line, struct error *err)
{
    const struct command *command = line->command;
    const bool is_shared = command->shared != NULL && command_has(line, command->shared);
    return !command->is_alone || is_shared || launch_require_alone(command->name, err);
}

/** Write out standard output, which may fail what has gone well; the exit code. */
static int finish(bool ok, struct error *err)
{
    const bool flushed = fflush(stdout) == 0;
    if (ok && (!flushed || ferror(stdout) != 0)) {
        ok = error_set(err, ERROR_IO, "standard output: %s",
                       flushed ? "not all could be written" : strerror(errno));
    }
    return ok ? 0 : fail(err);
}

int command_main(const struct command *const *commands, int argc, char **argv)
{
    file_end_on_lost_page();
    struct error err = {0};
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--version") == 0) {
        printf("attnres %s (%s)\n", BUILD_VERSION, BUILD_REVISION);
        return finish(true, &err);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_overview(commands);
        return argc > 1 ? finish(true, &err) : ERROR_USAGE;
    }
    struct command_line line = {
        .command = find_command(commands, name), .argc = &argc, .argv = &argv};
    if (line.command == NULL) {
        error_set(&err, ERROR_USAGE, "%s: no such command (attnres --help lists all)", name);
        return fail(&err);
    }
    if (asks_for_help(argc, argv)) {
        print_help(line.command);
        return finish(true, &err);
    }
    const char **words = heap_take(2 * (size_t)argc, sizeof *words, "the command line");
    const bool ok = parse(&line, words, argc, argv, &err) && check_ranks(&line, &err) &&
                    line.command->run(&line, &err);
    free(words);
    return finish(ok, &err);
}
