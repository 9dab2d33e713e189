/** What a run's time, messages and memory went to: the table at its end, and summary.json.
 *
 *  Each rank tells what it measured of its loop over steps; here that becomes a table, is compared
 * with the simulated schedule, and followed by advice. Pure functions of plain data. A rank's
 * sections and what is left over ("other") add up to its loop's time. */
#ifndef ATTNRES_SUMMARY_H
#define ATTNRES_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include <attnres/engine.h>
#include <attnres/json.h>
#include <attnres/plan.h>

enum summary_section {
    SUMMARY_FORWARD,
    SUMMARY_INPUT_GRADIENT,
    SUMMARY_WEIGHT_GRADIENT,
    SUMMARY_RECOMPUTE,
    SUMMARY_WAIT,
    SUMMARY_PACK,
    SUMMARY_REDUCE,
    SUMMARY_OPTIMIZER,
    SUMMARY_READ,
    SUMMARY_EVALUATE,
    SUMMARY_SAVE,
    SUMMARY_OTHER,
    SUMMARY_SECTIONS
};

enum { SUMMARY_NOTES = 8, SUMMARY_NOTE_BYTES = 320, SUMMARY_TEXT_BYTES = 8192 };

/** What a rank tells. */
struct summary_rank {
    double loop_s;
    struct engine_times times;
    int64_t planned_bytes, data_bytes;
    int64_t used_bytes; /* what the process took beside its libraries; -1: not known */
    int64_t n_warnings;
};

/** Over the ranks; share: of the loop's time of all of them. */
struct summary_row {
    double min_s, mean_s, max_s, share;
    int slowest; /* rank of the largest */
};

struct summary {
    int n_ranks;
    int64_t n_steps;
    double loop_s; /* mean over ranks, as all that follows where nothing else is said */
    double step_s; /* of the loop without evaluating and saving, per step */
    struct summary_row sections[SUMMARY_SECTIONS];
    /* Share of the steps' time in which ranks wait: measured; of the schedule simulated with what
     * each stage took on average; and were all stages equal. NAN with one rank. */
    double bubble, simulated_bubble, equal_bubble;
    double imbalance; /* longest computing rank over the mean */
    int slowest;
    double imbalance_s;            /* per step: what that rank computes longer than the mean */
    int64_t bytes_raw, bytes_sent; /* all ranks, per step: as laid out, and as sent */
    int fullest; /* rank that used the most beside its plan and data; its bytes: */
    int64_t planned_bytes, data_bytes, used_bytes;
    int64_t n_warnings; /* all ranks */
    int n_notes;
    char notes[SUMMARY_NOTES][SUMMARY_NOTE_BYTES]; /* what could be done */
};

/** Of n_steps > 0 steps; ranks (n_ranks): one pipeline of the plan's ranks behind another. */
void summary_make(struct summary *out, const struct plan *plan, int64_t n_steps,
                  const struct summary_rank *ranks, int n_ranks);

/** For people, without the notes: a table of several lines. Length like snprintf. */
size_t summary_print(const struct summary *summary, char *text, size_t capacity);
void summary_write_json(struct json_writer *w, const char *key, const struct summary *summary);

#endif
