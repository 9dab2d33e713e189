/** What the files of config share: a row of the option table, text in fixed memory, and one reading
 * of a configuration with the problems found on the way. */
#ifndef ATTNRES_CONFIG_INTERNAL_H
#define ATTNRES_CONFIG_INTERNAL_H

#include <attnres/config.h>
#include <attnres/text.h>

enum {
    CONFIG_OPTIONS_MAX = 96,   /* rows of the table, checked where it stands */
    CONFIG_MAX_PROBLEMS = 100, /* reading stops there: the rest would not fit the message */
    CONFIG_COLUMNS = 80,       /* of text made for a person */
    CONFIG_FOUND_BYTES = 64,
    CONFIG_EXPECTED_BYTES = 256,
};

enum option_type {
    OPTION_BOOL,
    OPTION_INT,      /* int64_t */
    OPTION_AUTO_INT, /* int64_t, 0 for the word auto */
    OPTION_REAL,     /* double */
    OPTION_CHOICE,   /* an enum */
    OPTION_TEXT,     /* char[CONFIG_PATH_BYTES] */
    OPTION_PARTITION,
    OPTION_TASKS,
    OPTION_RANGES, /* data.skip */
    OPTION_FIXED,  /* no field: this version knows only the default */
};

struct choice {
    const char *word;
    int value;
};

struct option {
    const char *key; /* section.name; rows of one section stand together */
    enum option_type type;
    size_t offset;     /* of the field in struct config */
    const char *value; /* the default, spelt as in a file */
    double min, max;
    const struct choice *choices; /* ends with a NULL word */
    enum config_resume_rule resume;
    const char *help; /* the first sentence stands alone in lists */
};

struct section {
    const char *name, *help;
};

extern const struct option config_options[];
extern const size_t config_n_options;
extern const struct section config_sections[];
extern const size_t config_n_sections;
extern const struct choice config_task_words[];

/** The row of a key of `length` bytes; NULL if there is none. */
const struct option *config_find_option(const char *key, size_t length);
const struct section *config_find_section(const char *name, size_t length);
/** Sections are prefixes of keys: does the row belong to it? */
bool config_is_in_section(const struct option *option, const struct section *section);
/** The part of a key behind its section. */
const char *config_leaf(const char *key);
const struct choice *config_find_choice(const struct choice *choices, const char *word);
const char *config_choice_word(const struct choice *choices, int value);

/** The known key or section that looks most like this one. Never NULL. */
const char *config_nearest_key(const char *key, size_t length);

/** Add words, broken so that no line is longer than CONFIG_COLUMNS; `indent` opens each line but
 * the first, which starts at `column`. Ends with a line break. */
void config_text_wrap(struct text *text, const char *indent, size_t column, const char *words);
/** Offset of the first byte which is not part of printable UTF-8; length if there is none. Line
 * breaks and tabs are printable only when allowed. */
size_t config_first_unprintable(const char *bytes, size_t length, bool allow_breaks);

/** What a terminal is told is text: control characters are masked, and what was cut inside a
 * character. */
void config_mask(char *text);

/** A scalar as it stands in the file; quoted ones are text and never numbers. */
struct scalar {
    const char *bytes; /* bytes[length] is 0 */
    size_t length;
    bool is_quoted;
};

/** Where an option's value was written: an override, or a place in the file; line 0 is a default.
 */
struct origin {
    const char *override;
    size_t line, column;
};

/** One reading: what has been read so far, where, and what was wrong with it. */
struct reading {
    struct config config;
    struct error problems;
    const char *name;   /* of the file */
    struct origin here; /* the event in hand */
    size_t n_problems;
    bool lacks_memory; /* a problem of the machine, not of the file */
    struct origin origins[CONFIG_OPTIONS_MAX];
    bool is_bad[CONFIG_OPTIONS_MAX];  /* had a problem: rules leave it alone */
    bool is_seen[CONFIG_OPTIONS_MAX]; /* stood in the file */
};

/** Record a problem at reading->here. */
void config_problem(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool config_is_full(const struct reading *reading);

/** Read a whole YAML file, or the value of one option. Problems go to the reading. */
void config_read_file(struct reading *reading, const char *bytes, size_t length);
void config_read_value(struct reading *reading, const struct option *option, const char *bytes,
                       size_t length);

/** Numbers and booleans as a file may spell them; false on anything else. */
bool config_scan_int(const char *text, int64_t *out);
bool config_scan_real(const char *text, double *out);
bool config_scan_bool(const char *text, bool *out);

/** Set one option; a value that does not fit is a problem and marks the row bad. Lists and mappings
 * come as begin, one item each, end; takes_ says whether the option has that form at all. */
void config_set_scalar(struct reading *reading, const struct option *option, struct scalar scalar);
bool config_takes_list(const struct option *option);
bool config_takes_mapping(const struct option *option);
void config_begin_items(struct reading *reading, const struct option *option);
void config_add_item(struct reading *reading, const struct option *option, struct scalar item);
void config_add_pair(struct reading *reading, const struct option *option, struct scalar word,
                     struct scalar weight);
void config_end_items(struct reading *reading, const struct option *option);
/** "found X, expected Y" for this option, or what this version knows. */
void config_refuse(struct reading *reading, const struct option *option, const char *found);
void config_apply_default(struct reading *reading, const struct option *option);
/** How a scalar is shown in a message: short, printable, in quotes if it was quoted. */
void config_show_scalar(char out[CONFIG_FOUND_BYTES], struct scalar scalar);
/** The values an option takes, in words ("an integer from 1 to 4096"). */
void config_describe_values(const struct option *option, struct text *text);

void config_print_value(const struct config *config, const struct option *option,
                        struct text *text);
void config_print_real(double value, struct text *text);

void config_check_rules(struct reading *reading);

#endif
