/** metrics.jsonl: one line per logged step. A key is absent, never
 * null.
 *
 *  Only rank 0 holds one. Lines go out whole, in one write. On resume the file is cut after the
 * checkpoint's step, written aside and renamed. */
#ifndef ATTNRES_METRICS_H
#define ATTNRES_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/file.h>

/** One line. NAN or a negative count: the key is left out. */
struct metrics_line {
    int64_t step;
    double loss, grad_norm, lr;
    int64_t tokens;
    double flops;
    double time_s; /* spent, over resumes, but for evaluations, which are not training */
    double step_s, tokens_per_s, wire_bytes, bubble;
    double val_loss, bits_per_byte;
    bool skipped; /* printed only when true */
};

struct metrics {
    struct file_writer file;
};

/** Open for appending, after cutting away lines of steps beyond last_step (-1: start empty) and
 * those that a crash has torn. An absent file is created. */
bool metrics_open(struct metrics *m, const char *path, int64_t last_step, struct error *err);
/** Move the lines of steps up to last_step together at the front of a file's text; returns their
 * length. What is no such line goes, and what follows the last newline, torn by a crash. Pure. */
size_t metrics_keep_lines(char *text, size_t length, int64_t last_step);
bool metrics_write(struct metrics *m, const struct metrics_line *line, struct error *err);
/** The last whole line of a file; keys that are absent are NAN, -1 or false. ERROR_DATA if there is
 * none, or it is no JSON object with a step. */
bool metrics_read_last(struct metrics_line *line, const char *path, struct error *err);
/** What was written stands on the disk. */
bool metrics_flush(struct metrics *m, struct error *err);
bool metrics_close(struct metrics *m, struct error *err);

#endif
