/** Evaluation on any number of ranks: loss over windows, accuracy over synthetic items, likelihood
 * of choices.
 *
 *  Forward passes of one microbatch each follow each other down the pipeline. All functions are
 * collective over all ranks and return the same numbers everywhere; they allocate nothing. */
#ifndef ATTNRES_EVALUATE_H
#define ATTNRES_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/data.h>
#include <attnres/engine.h>
#include <attnres/questions.h>

struct evaluate_loss {
    double loss; /* mean nats per counted target; NAN without any */
    int64_t n_targets;
};

/** Loss over windows 0 ... n_windows - 1 of data in file order. `tail` counts each file's last
 * shorter window as one. data is open on the first and the last stage at least. */
struct evaluate_loss evaluate_windows(struct engine *engine, const struct data *data,
                                      int64_t n_windows, bool tail);

/** Accuracy on items whose answer the model must write, byte for byte (the most likely byte at
 * every place). */
struct evaluate_hops {
    int hops;
    int64_t n_items, n_right;
    double chance;   /* 1 / data_task_guesses */
    double constant; /* what the best answer that is always the same would get right */
    double shortcut; /* what stopping after fewer hops would: data_best_shortcut */
    int64_t n_cut;   /* items longer than the window: they have lost their beginning */
};

/** n_items items of a task with a fixed number of hops under a seed. */
struct evaluate_hops evaluate_task(struct engine *engine, enum task_kind task, uint64_t seed,
                                   int hops, int64_t n_items);

/** Minus the log-likelihood, in nats, of each choice after its question: nats (n_choices), on every
 * rank. questions are read on the first and the last stage at least, and fit the window
 * (questions_fit). */
void evaluate_choices(struct engine *engine, const struct questions *questions, int64_t n_choices,
                      double *nats);

#endif
