/** What tests put into configurations. */
#ifndef ATTNRES_TESTS_OVERRIDES_H
#define ATTNRES_TESTS_OVERRIDES_H

/** The n_common first, then up to most_own, ended by a NULL if there are fewer: pointers into
 * overrides, which has room for all. Returns how many. */
int overrides_join(const char **overrides, const char *const *common, int n_common,
                   const char *const *own, int most_own);

#endif
