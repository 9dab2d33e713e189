#include <attnres/clock.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { UTC_BYTES = 21 };

static double read_clock_s(clockid_t id)
{
    struct timespec now;
    const int failed = clock_gettime(id, &now);
    assert(failed == 0);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double clock_monotonic_s(void)
{
    return read_clock_s(CLOCK_MONOTONIC);
}

double clock_processor_s(void)
{
    return read_clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

double clock_wall_s(void)
{
    return read_clock_s(CLOCK_REALTIME);
}

/* A signal ends the pause early: whoever polls then sees at once what the signal asked for. */
void clock_sleep_s(double seconds)
{
    if (!(seconds > 0.0)) {
        return;
    }
    const double whole = floor(fmin(seconds, 1e9));
    const struct timespec pause = {
        .tv_sec = (time_t)whole,
        .tv_nsec = (long)(1e9 * (fmin(seconds, 1e9) - whole)),
    };
    (void)nanosleep(&pause, NULL);
}

/* gmtime_r may read the time zone's file and allocate at its first call, so the calendar is worked
 * out here: years start in March, so that the leap day comes last (Hinnant, chrono-compatible
 * low-level date algorithms, days since 0000-03-01). */
void clock_format_utc(double wall_s, char *text)
{
    const double last_s = 253402300799.0; /* 9999-12-31T23:59:59Z */
    const int64_t s = (int64_t)(wall_s > 0.0 ? fmin(wall_s, last_s) : 0.0);
    const int64_t day = s / 86400 + 719468;
    const int64_t era = day / 146097, day_of_era = day % 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * day_of_year + 2) / 153;
    const unsigned date = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1);
    const unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    const unsigned year = (unsigned)(era * 400 + year_of_era + (month <= 2));
    const unsigned second = (unsigned)(s % 86400);
    snprintf(text, UTC_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ", year % 10000, month % 100,
             date % 100, second / 3600 % 100, second / 60 % 60, second % 60);
}

void clock_format_duration(double seconds, char text[CLOCK_DURATION_BYTES])
{
    static const double LONGEST_S = 1e9;
    const double shown_s = seconds > 0.0 ? fmin(seconds, LONGEST_S) : 0.0;
    const int64_t s = (int64_t)(shown_s + 0.5);
    const int minutes = (int)(s / 60 % 60), rest = (int)(s % 60);
    if (s >= 3600) {
        snprintf(text, CLOCK_DURATION_BYTES, "%" PRId64 ":%02d:%02d", s / 3600, minutes, rest);
    } else {
        snprintf(text, CLOCK_DURATION_BYTES, "%d:%02d", minutes, rest);
    }
}
