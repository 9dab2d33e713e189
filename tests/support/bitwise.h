/** The bitwise contract as a table: axes whose every combination must give the same
 * numbers as one stage.
 *
 *  Three axes define the model, so each of their combinations has a reference of its own: one
 * stage, one thread, never interrupted. All others may not change a bit of loss, gradient norm,
 * validation loss, weights or moments. */
#ifndef ATTNRES_TESTS_BITWISE_H
#define ATTNRES_TESTS_BITWISE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/transport.h>

enum bitwise_axis {
    AXIS_MODEL,
    AXIS_HEAD,
    AXIS_REPRESENTATIVE,
    AXIS_RANKS,
    AXIS_SCHEDULE,
    AXIS_CUT,
    AXIS_RECOMPUTE,
    AXIS_THREADS,
    AXIS_RUN,
    BITWISE_AXES
};

enum { BITWISE_MAX_RANKS = 4, BITWISE_STEPS = 3, BITWISE_SAVED_STEP = 2 };

/** How many values an axis has, and one value's name. */
int bitwise_axis_size(enum bitwise_axis axis);
const char *bitwise_value_name(enum bitwise_axis axis, int value);

/** One combination: the index of a value on each axis. */
struct bitwise_case {
    int value[BITWISE_AXES];
};

int bitwise_case_count(void);
struct bitwise_case bitwise_case_at(int index);
/** Ranks of a case. */
int bitwise_ranks(const struct bitwise_case *c);
/** `standard` has no representatives to round, and products in bf16 are tried with f32 ones and a
 * tied head alone, where the processor has them; every other combination is legal. */
bool bitwise_is_legal(const struct bitwise_case *c);
/** Whether the case goes on from a checkpoint instead of starting fresh. */
bool bitwise_is_resumed(const struct bitwise_case *c);
/** The case that this one is compared with. */
struct bitwise_case bitwise_reference(const struct bitwise_case *c);
void bitwise_describe(const struct bitwise_case *c, char *text, int capacity);

/** The numbers of a run. */
struct bitwise_outcome {
    uint64_t tensors; /* fold of every tensor's name and CRC-32 in the last checkpoint */
    double loss[BITWISE_STEPS + 1],
        norm[BITWISE_STEPS + 1]; /* by step, from 1; 0 where the run did not log it */
    double val_loss;
    int n_tensors, n_steps;
};

/** Whether two runs agree in every bit that both have. */
bool bitwise_equal(const struct bitwise_outcome *a, const struct bitwise_outcome *b);

/** Run a case in run_dir on the ranks of t (as many as its stages), from the step-2 checkpoint of
 * resume_from if it is resumed. The outcome is filled on rank 0. False with a message if training
 * failed. Collective. */
bool bitwise_run(struct transport *t, const struct bitwise_case *c, const char *run_dir,
                 const char *resume_from, struct bitwise_outcome *outcome, char *message,
                 int message_bytes);

/** The same on a local world of as many threads as stages, from any one rank. */
bool bitwise_run_local(const struct bitwise_case *c, const char *run_dir, const char *resume_from,
                       struct bitwise_outcome *outcome, char *message, int message_bytes);

#endif
