/** What the files of the predict module share: the picture of a step, column by column. */
#ifndef ATTNRES_PREDICT_INTERNAL_H
#define ATTNRES_PREDICT_INTERNAL_H

#include <attnres/predict.h>

/** What a rank is at; waiting where it is at nothing. */
enum predict_state { STATE_FORWARD, STATE_INPUT, STATE_WEIGHT, STATE_MESSAGE, STATE_WAITING };
enum { PREDICT_STATES = STATE_WAITING + 1 };

/** For each of n_columns equal slices of the pipeline's time what a rank of it does for the
 * longest.
 */
void predict_fill_row(unsigned char *states, const struct plan *plan,
                      const struct prediction *prediction, int rank, int n_columns);

/** Append a line per rank to text. */
size_t predict_print_picture(const struct plan *plan, const struct prediction *prediction,
                             int width, char *text, size_t capacity);

#endif
