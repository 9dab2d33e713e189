/** One process of a fault trial: a small run of two ranks, as threads, in a process of its own,
 * which a fault may hit. The parent never trains, so that every child starts alike. */
#ifndef ATTNRES_TESTS_FAULT_TRIAL_H
#define ATTNRES_TESTS_FAULT_TRIAL_H

#include <attnres/train.h>

#include "inject.h"

enum { TRIAL_STEPS = 6, TRIAL_EVERY = 2 };

/** What a child is to do; zeroed: a fresh run, undisturbed. */
struct trial {
    bool in_background; /* checkpoint.async */
    bool resumes;
    int64_t steps;           /* 0: TRIAL_STEPS */
    const char *config_path; /* NULL: the overrides that a fresh run has */
    const char *override;    /* one more; NULL: none */
    struct inject_fault fault;
    const char *scope;                 /* files that it may hit; NULL: all of the run's */
    int record;                        /* descriptor for inject_record; 0: none */
    int64_t fail_allocation;           /* the k-th of our own calls, from 1; 0: none */
    void (*before_step)(int64_t step); /* on rank 0; may be NULL */
};

/** How it ended. In memory that both processes see. */
struct outcome {
    int64_t n_calls;          /* that the fault could have hit */
    int64_t n_allocations;    /* of ours, until the first step */
    int64_t first_step, step; /* steps done when it began, and when it ended; -1: none began */
    int64_t n_warnings;
    int64_t bytes_read, files_opened; /* of safetensors files */
    uint64_t hash;
    int signal, code;  /* of the process */
    char message[512]; /* its error, or what it wrote on stderr */
};

/** Run a trial in a child, in the present folder: the run is in "run". Returns memory that the next
 * call uses again. */
const struct outcome *trial_run(const struct trial *trial);

/** The k-th of our own allocations from here on fails, until the first step. */
void memory_arm(int64_t at, int64_t *counter);
void memory_start_failing(void);
void memory_stop_failing(void);

/** A folder of its own for each case, made and entered, or left and removed. */
void trial_enter_folder(void);
void trial_leave_folder(void);
/** Copy a tree of files. */
void trial_copy(const char *from, const char *to);

/** Say what is wrong and end with exit code 1. */
void trial_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define TRIAL_REQUIRE(condition)                                                                   \
    ((condition) ? (void)0 : trial_fail("%s:%d: %s", __FILE__, __LINE__, #condition))

/** What a row of the matrix came to. */
struct tally {
    int64_t n_cases, n_steps_lost;
    int64_t n_refused; /* ended with an error of its own */
};

/** A row: fault and moment as its words; false if the words mean nothing here. */
struct row {
    const char *fault, *moment, *expected;
    int64_t stride; /* every so many cases alone; 1 is the long form */
};
bool calls_row(struct tally *tally, const struct row *row);
bool crash_row(struct tally *tally, const struct row *row);
bool damage_row(struct tally *tally, const struct row *row);
bool reads_row(struct tally *tally, const struct row *row);
bool memory_row(struct tally *tally, const struct row *row);
bool stop_row(struct tally *tally, const struct row *row);

/** The hash of an undisturbed run of so many steps. */
uint64_t trial_expected_hash(int64_t steps);
/** Go on without a fault and compare the weights; what was lost, of the steps up to step_reached,
 * is counted and may be `most` at most. */
void trial_expect_resumed(struct tally *tally, const struct trial *before, int64_t step_reached,
                          int64_t most, const char *what);

#endif
