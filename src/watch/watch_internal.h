/** What the files of watch share. */
#ifndef ATTNRES_WATCH_INTERNAL_H
#define ATTNRES_WATCH_INTERNAL_H

#include <attnres/watch.h>

/** The rank that a rank waits for; -1: none. */
int watch_peer(const struct watch_state *state);

/** "has waited 3.1 s for rank 2 to send values of microbatch 0, step 17 (4112 bytes)" */
void watch_describe(char *text, size_t capacity, const struct watch_state *state);

#endif
