#include "ranks.h"

#include <stdio.h>

int ranks_run_suite_mpi(int argc, char **argv, const struct ranks_case *suite)
{
    struct error err = {0};
    struct transport *t = transport_mpi_create(&argc, &argv, true, &err);
    if (t == NULL) {
        fprintf(stderr, "%s\n", err.message);
        return err.kind;
    }
    transport_set_deadline(t, 20);
    for (const struct ranks_case *c = suite; c->name != NULL; c++) {
        c->run(t);
        transport_barrier(t);
        if (transport_rank(t) == 0) {
            printf("ok on %d ranks: %s\n", transport_size(t), c->name);
        }
    }
    transport_mpi_destroy(t);
    return 0;
}
