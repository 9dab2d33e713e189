/* One row of a matrix over `local`: a small run of two ranks in one process, a process for each
 * case.
 *
 * usage: fault_local FAULT MOMENT EXPECTED [STRIDE] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/clock.h>

#include "trial.h"

static bool (*const ROWS[])(struct tally *tally, const struct row *row) = {
    calls_row, crash_row, damage_row, reads_row, memory_row, stop_row,
};
enum { N_ROWS = sizeof ROWS / sizeof ROWS[0] };

int main(int argc, char **argv)
{
    if (argc < 4) {
        printf("usage: %s FAULT MOMENT EXPECTED [STRIDE]\n", argv[0]);
        return 64;
    }
    const struct row row = {
        .fault = argv[1],
        .moment = argv[2],
        .expected = argv[3],
        .stride = argc > 4 ? strtoll(argv[4], NULL, 10) : 1,
    };
    struct tally tally = {0};
    const double start_s = clock_monotonic_s();
    trial_enter_folder();
    bool is_known = false;
    for (int i = 0; i < N_ROWS && !is_known; i++) {
        is_known = ROWS[i](&tally, &row);
    }
    if (!is_known) {
        printf("%s %s: no such fault or moment\n", row.fault, row.moment);
        return 64;
    }
    trial_leave_folder();
    printf("cases %" PRId64 " refused %" PRId64 " lost %" PRId64 " seconds %.1f\n", tally.n_cases,
           tally.n_refused, tally.n_steps_lost, clock_monotonic_s() - start_s);
    return 0;
}
