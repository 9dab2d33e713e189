/* The transport suite on MPI, once with whole messages and once with messages in small parts. */
#include <stdlib.h>

#include "../../src/transport/transport_internal.h"
#include "../support/ranks.h"

static void messages_travel_in_parts(struct transport *t)
{
    transport_mpi_set_part_bytes(t, 128 * 1024);
    for (const struct ranks_case *c = transport_suite; c->name != NULL; c++) {
        c->run(t);
    }
}

static void the_name_tells_the_library(struct transport *t)
{
    CHECK(t, transport_name(t)[0] == 'm' && transport_name(t)[5] != 0);
    CHECK(t, transport_size(t) == 1 || transport_mpi_is_launched());
}

int main(int argc, char **argv)
{
    enum { MAX_CASES = 32 };
    struct ranks_case suite[MAX_CASES] = {{NULL, NULL}};
    int n = 0;
    for (const struct ranks_case *c = transport_suite; c->name != NULL && n < MAX_CASES - 3; c++) {
        suite[n++] = *c;
    }
    suite[n++] = (struct ranks_case){"the_name_tells_the_library", the_name_tells_the_library};
    suite[n++] = (struct ranks_case){"messages_travel_in_parts", messages_travel_in_parts};
    return ranks_run_suite_mpi(argc, argv, suite);
}
