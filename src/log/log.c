#include <attnres/log.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <attnres/clock.h>

enum { HEAD_BYTES = 24, BODY_BYTES = 8192 + 64, UTC_BYTES = 21 };

static const char CLEAR_LINE[] = "\r\033[K";

/* The body of a line, with room in front of it, so that a time stamp or the clearing of the
 * progress line goes out in the same write. */
struct line {
    char text[HEAD_BYTES + BODY_BYTES];
    size_t end;
};

static void line_append_list(struct line *l, const char *format, va_list arguments)
{
    const size_t room = sizeof l->text - l->end;
    const int length = vsnprintf(l->text + l->end, room, format, arguments);
    if (length < 0) {
        return;
    }
    const bool fits = (size_t)length < room;
    l->end += fits ? (size_t)length : room - 1;
    if (!fits) {
        memcpy(l->text + l->end - 3, "...", 3);
    }
}

__attribute__((format(printf, 2, 3))) static void line_append(struct line *l, const char *format,
                                                              ...)
{
    va_list arguments;
    va_start(arguments, format);
    line_append_list(l, format, arguments);
    va_end(arguments);
}

/* Names of files and keys from outside must not steer the reader's terminal. */
static void line_mask_controls(struct line *l, char kept)
{
    for (size_t i = HEAD_BYTES; i < l->end; i++) {
        const unsigned char c = (unsigned char)l->text[i];
        if ((c < 0x20 && c != '\t' && l->text[i] != kept) || c == 0x7F) {
            l->text[i] = '?';
        }
    }
}

/* The newline takes the place of the 0 that always ends the text. */
static void line_finish(struct line *l)
{
    line_mask_controls(l, '\n');
    l->text[l->end++] = '\n';
}

/* The line with head in front of its body. */
static const char *line_with_head(struct line *l, const char *head, size_t *length)
{
    const size_t head_length = strlen(head);
    char *start = l->text + HEAD_BYTES - head_length;
    memcpy(start, head, head_length);
    *length = head_length + l->end - HEAD_BYTES;
    return start;
}

/* What cannot be written to standard error is lost: there is nobody left to tell. */
static void write_standard_error(const char *text, size_t length)
{
    while (length > 0) {
        const ssize_t n = write(STDERR_FILENO, text, length);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        text += n;
        length -= (size_t)n;
    }
}

/* mpirun gives its ranks a pipe as standard error and copies what comes out of it to its own. Then
 * the parent's standard error is what the reader looks at. */
static bool is_pipe_to_terminal(void)
{
    struct stat status;
    if (getenv("OMPI_COMM_WORLD_RANK") == NULL || fstat(STDERR_FILENO, &status) != 0 ||
        !S_ISFIFO(status.st_mode)) {
        return false;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/2", (long)getppid());
    const int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const bool terminal = isatty(fd) == 1;
    close(fd);
    return terminal;
}

static bool is_terminal(void)
{
    const char *kind = getenv("TERM");
    const bool dumb = kind == NULL || kind[0] == '\0' || strcmp(kind, "dumb") == 0;
    if (dumb || getenv("SLURM_JOB_ID") != NULL) {
        return false;
    }
    return isatty(STDERR_FILENO) == 1 || is_pipe_to_terminal();
}

void log_init(struct log *log, int rank)
{
    *log = (struct log){.rank = rank, .file = {.fd = -1}};
    log->terminal = is_terminal();
}

void log_finish(struct log *log)
{
    if (log == NULL) {
        return;
    }
    if (log->progress_shown) {
        write_standard_error("\n", 1);
    }
    file_writer_close(&log->file, NULL);
    *log = (struct log){.file = {.fd = -1}};
}

static bool has_file(const struct log *log)
{
    return log->file.fd >= 0 && log->file.path[0] != '\0';
}

static void show(struct log *log, struct line *l)
{
    if (log->quiet) {
        return;
    }
    /* The other ranks cannot know whether rank 0's progress stands in the line. */
    const bool clear = log->progress_shown || (log->rank != 0 && log->terminal);
    size_t length = 0;
    const char *text = line_with_head(l, clear ? CLEAR_LINE : "", &length);
    write_standard_error(text, length);
    log->progress_shown = false;
}

/* Until there is a file. */
static void keep(struct log *log, const char *text, size_t length)
{
    if (length <= sizeof log->early - log->n_early) {
        memcpy(log->early + log->n_early, text, length);
        log->n_early += length;
    }
}

/* A full disk ends neither the run nor the log, which goes on when there is room again. */
static void write_file(struct log *log, const char *text, size_t length)
{
    struct error err = {0};
    const bool was_broken = log->file_broken;
    log->file_broken = !file_writer_write(&log->file, text, length, &err);
    if (log->file_broken && !was_broken) {
        log_write(log, LOG_WARNING, "%s; until it can be, lines are missing there", err.message);
    }
}

bool log_open_file(struct log *log, const char *path, struct error *err)
{
    if (!file_writer_append(&log->file, path, err)) {
        return false;
    }
    if (log->n_early > 0) {
        write_file(log, log->early, log->n_early);
    }
    return true;
}

static void record(struct log *log, struct line *l)
{
    char stamp[UTC_BYTES + 1] = "";
    clock_format_utc(clock_wall_s(), stamp);
    memcpy(stamp + UTC_BYTES - 1, " ", 2);
    size_t length = 0;
    const char *text = line_with_head(l, stamp, &length);
    if (has_file(log)) {
        write_file(log, text, length);
    } else {
        keep(log, text, length);
    }
}

void log_write(struct log *log, enum log_level level, const char *format, ...)
{
    static const char *const LEVEL_NAMES[] = {
        [LOG_INFO] = "", [LOG_WARNING] = "warning: ", [LOG_ERROR] = "error: "};
    log->n_warnings += level == LOG_WARNING;
    if (log->rank != 0 && level == LOG_INFO) {
        return;
    }
    struct line l;
    l.end = HEAD_BYTES;
    if (log->rank != 0) {
        line_append(&l, "rank %d: ", log->rank);
    }
    line_append(&l, "%s", LEVEL_NAMES[level]);
    va_list arguments;
    va_start(arguments, format);
    line_append_list(&l, format, arguments);
    va_end(arguments);
    line_finish(&l);
    show(log, &l);
    record(log, &l);
}

/* A line wider than the terminal would wrap, and its first part could not be taken back: so
 * wrapping is off while it is written. */
void log_progress(struct log *log, const char *format, ...)
{
    if (log->quiet || !log->terminal || log->rank != 0) {
        return;
    }
    struct line l;
    l.end = HEAD_BYTES;
    va_list arguments;
    va_start(arguments, format);
    line_append_list(&l, format, arguments);
    va_end(arguments);
    line_mask_controls(&l, '\t');
    const char wrap_again[] = "\033[?7h";
    l.end = l.end > sizeof l.text - sizeof wrap_again ? sizeof l.text - sizeof wrap_again : l.end;
    memcpy(l.text + l.end, wrap_again, sizeof wrap_again);
    l.end += sizeof wrap_again - 1;
    size_t length = 0;
    const char *text = line_with_head(&l, "\r\033[K\033[?7l", &length);
    write_standard_error(text, length);
    log->progress_shown = true;
}
