/* One rank aborts while the others wait for it: the job ends with its exit code. With the argument
 * `stall` it stays silent instead, and the deadline of the others ends the job with 69. */
#include <string.h>

#include <attnres/clock.h>

#include "../support/ranks.h"

int main(int argc, char **argv)
{
    struct error err = {0};
    struct transport *t = transport_mpi_create(&argc, &argv, true, &err);
    if (t == NULL) {
        return err.kind;
    }
    const bool stall = argc > 1 && strcmp(argv[1], "stall") == 0;
    const bool last = transport_rank(t) == transport_size(t) - 1;
    transport_set_deadline(t, stall ? 0.2 : 20);
    if (last && !stall) {
        transport_abort(t, ERROR_DATA, "the frame is damaged");
    }
    if (last) {
        clock_sleep_s(5);
    }
    transport_barrier(t);
    transport_mpi_destroy(t);
    return 0;
}
