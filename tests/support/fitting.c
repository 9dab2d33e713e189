#include "fitting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

void fitting_parse(struct fit_points *points, const char *text)
{
    struct error err = {0};
    if (!fit_points_parse(points, "points", text, strlen(text), &err) ||
        !fit_points_arrange(points, &err)) {
        fail_msg("%s", err.message);
    }
}

struct fit_comparison fitting_compare(const struct fit_points *points, const char *kind, double at,
                                      int n_redraws, uint64_t seed)
{
    const struct fit_options options = {.at = at, .seed = seed, .n_redraws = n_redraws};
    struct fit_comparison comparison;
    struct error err = {0};
    if (!fit_compare(&comparison, points, fit_points_find_kind(points, "standard"),
                     fit_points_find_kind(points, kind), &options, &err)) {
        fail_msg("%s", err.message);
    }
    return comparison;
}

struct fit_comparison fitting_compare_on(const struct fit_points *points, enum fit_axis axis)
{
    const struct fit_options options = {.axis = axis, .seed = 1, .n_redraws = 100};
    struct fit_comparison c;
    struct error err = {0};
    assert_true(fit_compare(&c, points, fit_points_find_kind(points, "standard"),
                            fit_points_find_kind(points, "block"), &options, &err));
    return c;
}
