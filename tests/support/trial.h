/** One kernel against the oracle: every level this host can run, every size, 1, 2 and 3 threads,
 * and the same bits for every number of threads. */
#ifndef ATTNRES_TESTS_TRIAL_H
#define ATTNRES_TESTS_TRIAL_H

#include <attnres/kernels.h>

#include "tensors.h"

enum { TRIAL_SIZES = 6 };

struct trial {
    const struct kernels *kernels;
    const int64_t *size; /* what the numbers mean is the test's business */
    struct tensors tensors;
    uint64_t hash; /* of all outputs, to compare thread counts */
};

void trial_expect(struct trial *trial, const char *name, const float *actual,
                  const double *expected, int64_t count, double limit);
/* An output without an oracle of its own: only its bits are compared between thread counts. */
void trial_output(struct trial *trial, const void *bytes, size_t n_bytes);

void trial_each(void (*run)(struct trial *), const int64_t (*sizes)[TRIAL_SIZES], size_t n_sizes);

#endif
