/** Fewer cases where every operation is slow: under valgrind and sanitizers tools/test sets
 * ATTNRES_TEST_EVERY to n, and large tables run each nth case. */
#ifndef ATTNRES_TESTS_SAMPLE_H
#define ATTNRES_TESTS_SAMPLE_H

#include <stdbool.h>

/** n; 1 where all cases are run. */
int sample_every(void);
/** Whether to run the case of this number, from 0. */
bool sample_takes(int number);

#endif
