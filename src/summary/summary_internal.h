/** What makes up a summary. */
#ifndef ATTNRES_SUMMARY_INTERNAL_H
#define ATTNRES_SUMMARY_INTERNAL_H

#include <attnres/summary.h>

/** Share of P x makespan in which the simulated ranks have nothing to compute; NAN where such a
 * schedule is not possible. */
double summary_simulate(const struct schedule_spec *spec, const struct schedule_costs *costs);

/** Fill in the notes; all else is there. equal: what a stage takes on average. */
void summary_advise(struct summary *summary, const struct plan *plan,
                    const struct schedule_stage_costs *equal);

#endif
