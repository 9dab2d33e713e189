/** Test cases that ranks run together, over any transport. A case checks with CHECK, which aborts
 * the world: under mpi the job ends with the text, in local the runner finds it. */
#ifndef ATTNRES_TESTS_RANKS_H
#define ATTNRES_TESTS_RANKS_H

#include <stdbool.h>

#include <attnres/transport.h>

struct ranks_case {
    const char *name; /* the fact it proves */
    void (*run)(struct transport *t);
};

/** The suites, each ended by a case without name. */
extern const struct ranks_case transport_suite[];
extern const struct ranks_case collective_suite[];

void ranks_check(struct transport *t, bool ok, const char *file, int line, const char *expression);
#define CHECK(t, expression) ranks_check(t, expression, __FILE__, __LINE__, #expression)

/** Run one function on every rank of a new local world, a thread each; whether no rank aborted. The
 * message of one that did goes to message (1024 bytes). */
bool ranks_run_local(int size, void (*run)(struct transport *t), char *message);

/** A whole suite over local worlds of 1 to max_size ranks; fails the cmocka test that calls it. */
void ranks_run_suite_local(const struct ranks_case *suite, int max_size);
/** main of an MPI test: a whole suite on MPI_COMM_WORLD with synchronous sends. */
int ranks_run_suite_mpi(int argc, char **argv, const struct ranks_case *suite);

#endif
