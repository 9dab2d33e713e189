/** Reads as training might leave them. */
#ifndef ATTNRES_TESTS_READS_H
#define ATTNRES_TESTS_READS_H

#include <attnres/model.h>
#include <attnres/plan.h>

/** Draw every query, or every logit of static reads, of a one-stage model: zero ones, as they are
 * at the start, would hide errors. */
void reads_draw(const struct plan *plan, const struct model *model);

#endif
