#include "fit_internal.h"

#include <assert.h>
#include <math.h>

static const double HALF_PI = 1.57079632679489661923;

/** Probability that |t| < tan(angle) sqrt(freedom): a finite sum of powers of cos^2. */
static double probability_within(double angle, int freedom)
{
    const double c = cos(angle);
    const bool is_odd = freedom % 2 == 1;
    double term = is_odd ? c : 1.0, sum = freedom == 1 ? 0.0 : term;
    for (int i = is_odd ? 3 : 2; i < freedom; i += 2) {
        term *= c * c * (i - 1) / i;
        sum += term;
    }
    return is_odd ? (angle + sin(angle) * sum) / HALF_PI : sin(angle) * sum;
}

double fit_student_quantile(double p, int freedom)
{
    assert(p >= 0.5 && p < 1.0 && freedom >= 1);
    double low = 0.0, high = HALF_PI;
    for (int i = 0; i < 60; i++) { /* until neighbours in f64 are left */
        const double middle = 0.5 * (low + high);
        *(probability_within(middle, freedom) < 2.0 * p - 1.0 ? &low : &high) = middle;
    }
    return tan(low) * sqrt(freedom);
}

double fit_interval_factor(int freedom)
{
    return fit_student_quantile(0.975, freedom);
}
