#include <attnres/grid.h>

#include <assert.h>
#include <stdio.h>

static bool refuse_part_of_a_pipeline(int n_ranks, int64_t n_places, struct error *err)
{
    const long long below = n_ranks / n_places * n_places, above = below + n_places;
    char or_below[32] = "";
    if (below > 0) {
        snprintf(or_below, sizeof or_below, "-n %lld or ", below);
    }
    return error_set(err, ERROR_LAUNCH,
                     "%d rank%s cannot be cut into pipelines of pipeline.stages %lld: start it "
                     "with mpirun %s-n %lld",
                     n_ranks, n_ranks == 1 ? "" : "s", (long long)n_places, or_below, above);
}

/** "start it with mpirun -n 4", or with the next smaller number as well. */
static bool refuse_remainder(int n_ranks, int64_t n_replicas, struct error *err)
{
    const long long above = ((long long)n_ranks / n_replicas + 1) * n_replicas;
    const long long below = above - n_replicas;
    if (below == 0) {
        return error_set(err, ERROR_LAUNCH,
                         "pipeline.replicas is %lld, but there %s %d rank%s: start it with mpirun "
                         "-n %lld",
                         (long long)n_replicas, n_ranks == 1 ? "is" : "are", n_ranks,
                         n_ranks == 1 ? "" : "s", above);
    }
    return error_set(err, ERROR_LAUNCH,
                     "%d ranks cannot be shared evenly by pipeline.replicas %lld: start it with "
                     "mpirun -n %lld or -n %lld",
                     n_ranks, (long long)n_replicas, below, above);
}

static bool refuse_stages(int n_ranks, int64_t n_replicas, int64_t n_places, struct error *err)
{
    const char *verb = n_ranks == 1 ? "is" : "are", *plural = n_ranks == 1 ? "" : "s";
    if (n_replicas == 1) {
        return error_set(
            err, ERROR_LAUNCH,
            "pipeline.stages is %lld, but there %s %d rank%s: start it with mpirun -n %lld, or set "
            "pipeline.stages=auto",
            (long long)n_places, verb, n_ranks, plural, (long long)n_places);
    }
    return error_set(err, ERROR_LAUNCH,
                     "pipeline.stages is %lld and pipeline.replicas %lld, but there %s %d rank%s: "
                     "start it with mpirun -n %lld",
                     (long long)n_places, (long long)n_replicas, verb, n_ranks, plural,
                     (long long)(n_places * n_replicas));
}

bool grid_init(struct grid *grid, int n_ranks, int64_t n_replicas, int64_t n_places,
               struct error *err)
{
    assert(n_ranks >= 1 && n_replicas >= 0 && n_places >= 0);
    if (n_replicas == 0 && n_places > 0 && n_ranks % n_places != 0) {
        return refuse_part_of_a_pipeline(n_ranks, n_places, err);
    }
    if (n_replicas == 0) {
        n_replicas = n_places > 0 ? n_ranks / n_places : 1;
    }
    if (n_places > 0 && n_places * n_replicas != n_ranks) {
        return refuse_stages(n_ranks, n_replicas, n_places, err);
    }
    if (n_ranks % n_replicas != 0) {
        return refuse_remainder(n_ranks, n_replicas, err);
    }
    *grid = (struct grid){.n_replicas = (int)n_replicas, .n_places = n_ranks / (int)n_replicas};
    return true;
}

int grid_size(const struct grid *grid)
{
    return grid->n_replicas * grid->n_places;
}

int grid_rank(const struct grid *grid, int replica, int place)
{
    assert(replica >= 0 && replica < grid->n_replicas && place >= 0 && place < grid->n_places);
    return replica * grid->n_places + place;
}

int grid_replica(const struct grid *grid, int rank)
{
    assert(rank >= 0 && rank < grid_size(grid));
    return rank / grid->n_places;
}

int grid_place(const struct grid *grid, int rank)
{
    assert(rank >= 0 && rank < grid_size(grid));
    return rank % grid->n_places;
}

int grid_count_split(const struct grid *grid, const uint64_t *hosts)
{
    int n = 0;
    for (int replica = 0; replica < grid->n_replicas; replica++) {
        bool is_split = false;
        for (int place = 1; place < grid->n_places; place++) {
            is_split = is_split ||
                       hosts[grid_rank(grid, replica, place)] != hosts[grid_rank(grid, replica, 0)];
        }
        n += is_split;
    }
    return n;
}
