/** The grid of a run: replicas of one pipeline, and which rank is which place of which.
 *
 *      rank = replica * n_places + place         2 replicas of 3 places:   0 1 2 | 3 4 5
 *
 *  A pipeline is a contiguous run of ranks, so that a launcher that fills one node after another
 * (mpirun's default, by slot) keeps neighbours of a pipeline, who exchange messages for every
 * microbatch, on one node; ranks of the same place, who exchange gradients once a step, lie
 * n_places apart. Plain data. */
#ifndef ATTNRES_GRID_H
#define ATTNRES_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>

struct grid {
    int n_replicas; /* R */
    int n_places;   /* P: ranks of one pipeline */
};

/** Fit n_ranks into so many replicas of so many places. 0 of one: as many as there is room for; of
 * both: one replica. ERROR_LAUNCH with the launch line that fits if they do not. */
bool grid_init(struct grid *grid, int n_ranks, int64_t n_replicas, int64_t n_places,
               struct error *err);

int grid_size(const struct grid *grid);
int grid_rank(const struct grid *grid, int replica, int place);
int grid_replica(const struct grid *grid, int rank);
int grid_place(const struct grid *grid, int rank);

/** How many replicas have ranks on more than one host. hosts: something by rank that differs
 * between hosts, such as a hash of the name. */
int grid_count_split(const struct grid *grid, const uint64_t *hosts);

#endif
