/** What the files of the launch module share. */
#ifndef ATTNRES_LAUNCH_INTERNAL_H
#define ATTNRES_LAUNCH_INTERNAL_H

#include <attnres/launch.h>

/** The first line of a file that begins with prefix, whole; false and "" if there is none. */
bool launch_read_line(const char *path, const char *prefix, char *line, int capacity);

/** Set a row's verdict with what was found; then what to do about it. */
void finding_set(struct launch_finding *f, enum launch_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void finding_advise(struct launch_finding *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The lowest rank on this rank's host, and how many there are on it. */
int launch_first_on_host(const struct launch_facts *facts, int rank);
int launch_count_on_host(const struct launch_facts *facts, int n, int rank);

/** Rows about each host: see judge.c for the table. */
void judge_processors(struct launch_finding *f, const struct launch_facts *facts, int n);
void judge_quota(struct launch_finding *f, const struct launch_facts *facts, int n);
void judge_waiting(struct launch_finding *f, const struct launch_facts *facts, int n);
void judge_memory(struct launch_finding *f, const struct launch_facts *facts, int n);
void judge_segments(struct launch_finding *f, const struct launch_facts *facts, int n);

#endif
