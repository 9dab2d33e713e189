/** The one door to time. Faults are injected here. */
#ifndef ATTNRES_CLOCK_H
#define ATTNRES_CLOCK_H

/** Seconds since an arbitrary start that never runs backwards. */
double clock_monotonic_s(void);

/** Processor seconds that all threads of this process have used. */
double clock_processor_s(void);

/** Seconds since 1970, UTC. */
double clock_wall_s(void);

/** Give up the processor for about so long (a poll's pause). */
void clock_sleep_s(double seconds);

/** Write a duration as 1:02:03 or, below an hour, 2:03; one below 0 or not a number as 0:00. */
enum { CLOCK_DURATION_BYTES = 48 };
void clock_format_duration(double seconds, char text[CLOCK_DURATION_BYTES]);

/** Write wall time as 2026-01-31T12:00:00Z into text (21 bytes at least). */
void clock_format_utc(double wall_s, char *text);

#endif
