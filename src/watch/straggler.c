/* Ranks that compute for longer than the others, step after step. */
#include <assert.h>
#include <string.h>

#include "watch_internal.h"

enum { FIRST_STEPS = 20, STEPS_FACTOR = 10 };

static const double LEAST_RATIO = 1.3;
/** Of a step: what is less than this nobody needs to hear of, and noise makes it. */
static const double LEAST_EXCESS_S = 0.01;

/** Order x so far that x[k] is what would stand there were it sorted, with nothing larger before it
 * (Hoare's selection). */
static void select_place(double *x, int n, int k)
{
    int first = 0, last = n - 1;
    while (first < last) {
        const double pivot = x[k];
        int i = first, j = last;
        while (i <= j) {
            while (x[i] < pivot) {
                i++;
            }
            while (pivot < x[j]) {
                j--;
            }
            if (i <= j) {
                const double swapped = x[i];
                x[i++] = x[j];
                x[j--] = swapped;
            }
        }
        first = j < k ? i : first;
        last = k < i ? j : last;
    }
}

static double median_of(double *x, int n)
{
    select_place(x, n, n / 2);
    if (n % 2 == 1) {
        return x[n / 2];
    }
    double below = x[0];
    for (int i = 1; i < n / 2; i++) {
        below = x[i] > below ? x[i] : below;
    }
    return 0.5 * (below + x[n / 2]);
}

/** 20, 200, 2000 ... */
static bool is_time_to_say(int64_t n_steps)
{
    while (n_steps % STEPS_FACTOR == 0 && n_steps > FIRST_STEPS) {
        n_steps /= STEPS_FACTOR;
    }
    return n_steps == FIRST_STEPS;
}

bool watch_find_straggler(struct watch_straggler *straggler, const double *compute_s, int n,
                          double *scratch)
{
    assert(n >= 1);
    int slowest = 0;
    for (int rank = 1; rank < n; rank++) {
        slowest = compute_s[rank] > compute_s[slowest] ? rank : slowest;
    }
    memcpy(scratch, compute_s, (size_t)n * sizeof *scratch);
    const double median_s = median_of(scratch, n), slowest_s = compute_s[slowest];
    const bool lags = slowest_s > LEAST_RATIO * median_s && slowest_s - median_s >= LEAST_EXCESS_S;
    const bool goes_on = lags && slowest == straggler->rank;
    *straggler = (struct watch_straggler){
        .rank = slowest,
        .n_steps = !lags ? 0 : (goes_on ? straggler->n_steps + 1 : 1),
        .seconds = slowest_s,
        .ratio = median_s > 0.0 ? slowest_s / median_s : 1.0,
    };
    return is_time_to_say(straggler->n_steps);
}
