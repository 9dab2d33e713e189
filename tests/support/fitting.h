/** Points as text, and how two kinds of them compare. A failure fails the test. */
#ifndef ATTNRES_TESTS_FITTING_H
#define ATTNRES_TESTS_FITTING_H

#include <attnres/fit.h>

/** Read and arrange. */
void fitting_parse(struct fit_points *points, const char *text);
/** A kind with "standard", by compute. */
struct fit_comparison fitting_compare(const struct fit_points *points, const char *kind, double at,
                                      int n_redraws, uint64_t seed);
/** "block" with "standard", by what is given. */
struct fit_comparison fitting_compare_on(const struct fit_points *points, enum fit_axis axis);

#endif
