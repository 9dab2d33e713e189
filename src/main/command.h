/** The command line: a table of commands, each with a table of flags. Parsing and --help come from
 * the tables. */
#ifndef ATTNRES_COMMAND_H
#define ATTNRES_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>

enum { COMMAND_MAX_FLAGS = 16 };

/** FLAG_ANY_TEXT may be empty; FLAG_OPTIONAL takes a value only as --name=VALUE. */
enum flag_value { FLAG_SWITCH, FLAG_TEXT, FLAG_ANY_TEXT, FLAG_OPTIONAL, FLAG_INT, FLAG_REAL };

struct flag {
    const char *name; /* without dashes */
    enum flag_value value;
    const char *placeholder; /* NULL for a switch */
    const char *help;
};

struct command_line;

struct command {
    const char *name;
    const char *usage;   /* behind the name */
    const char *summary; /* one line, without full stop */
    const char *details; /* more for --help; may be NULL */
    struct flag flags[COMMAND_MAX_FLAGS];
    int least, most;      /* positional arguments */
    bool takes_overrides; /* key=value */
    bool is_alone;        /* no MPI: not to be started as several ranks, unless */
    const char *shared;   /* this flag is given; NULL: never */
    bool (*run)(const struct command_line *line, struct error *err);
};

/** A parsed line; everything borrows from argv. */
struct command_line {
    const struct command *command;
    const char *const *positionals;
    int n_positionals;
    const char *const *overrides;
    int n_overrides;
    bool given[COMMAND_MAX_FLAGS];
    const char *texts[COMMAND_MAX_FLAGS];
    int *argc; /* for MPI */
    char ***argv;
};

/** Find the command, parse, run or print help. Returns the exit code. */
int command_main(const struct command *const *commands, int argc, char **argv);

/** Write out what stands on standard output, then the error's message unless it was told before. */
void command_tell(struct error *err);

/** Values of a flag by name: whether given; its text (fallback if not given); as numbers (checked
 * when parsing). */
bool command_has(const struct command_line *line, const char *flag);
const char *command_text(const struct command_line *line, const char *flag, const char *fallback);
int64_t command_int(const struct command_line *line, const char *flag, int64_t fallback);
double command_real(const struct command_line *line, const char *flag, double fallback);

/** Whether all flags given are among these (NULL-terminated), which are those that `user`, a way to
 * call the command, heeds. What is ignored in silence would be taken for heeded. ERROR_USAGE. */
bool command_heeds(const struct command_line *line, const char *user, const char *const *flags,
                   struct error *err);
/** The same of arguments and overrides: `user` heeds none. */
bool command_heeds_no_words(const struct command_line *line, const char *user, struct error *err);

extern const struct command train_command, eval_command, generate_command, inspect_command,
    checkpoint_command, plan_command, doctor_command, data_command, config_command, fit_command,
    sweep_command, report_command, bench_command;

#endif
