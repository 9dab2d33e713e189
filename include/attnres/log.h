/** What a person reads while the program runs: lines on standard error and in the run's log.txt.
 *
 *  The log knows who writes: on other ranks than 0 only warnings and errors get through, with their
 * rank in front. Nothing here allocates. Results (what a script reads) do not go through the log.
 */
#ifndef ATTNRES_LOG_H
#define ATTNRES_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/file.h>

enum { LOG_EARLY_BYTES = 4096 };
enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log {
    int rank;
    bool terminal;       /* standard error is a terminal: progress overwrites its line */
    bool quiet;          /* nothing on standard error (tests) */
    bool progress_shown; /* a progress line stands without newline */
    int64_t n_warnings;
    struct file_writer file;     /* log.txt, once log_open_file was called */
    bool file_broken;            /* the last line is missing there */
    char early[LOG_EARLY_BYTES]; /* lines before it was called, as far as there is room */
    size_t n_early;
};

/** terminal is found out from standard error, or from mpirun's when that is where ours leads; a
 * dumb TERM or Slurm's environment make it false. */
void log_init(struct log *log, int rank);
/** Lines go to this file as well, those before too, each with its time (UTC). While it cannot be
 * written lines are missing there; a warning says so, and the run goes on. */
bool log_open_file(struct log *log, const char *path, struct error *err);
void log_finish(struct log *log);

/** One line in one write, or several when the message holds newlines. Other control characters are
 * masked. */
void log_write(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The live line of rank 0: on a terminal it replaces itself, elsewhere nothing is written
 * (log_write the plain line). */
void log_progress(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
