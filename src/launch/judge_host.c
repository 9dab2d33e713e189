/* The rows about what the ranks of a host share: processors, memory. */
#include "launch_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORDS = LAUNCH_CPUS / 64 };

static const double MIB = 1048576.0;
/** Of what a host gives: what lies beyond leaves too little for buffers that no plan knows. */
static const double MEMORY_SHARE = 0.9;

struct processors {
    uint64_t words[WORDS];
};

static int count(const struct processors *set)
{
    int n = 0;
    for (int i = 0; i < LAUNCH_CPUS; i++) {
        n += (int)(set->words[i / 64] >> (i % 64) & 1);
    }
    return n;
}

static bool contains(const struct processors *set, const uint64_t *other)
{
    bool all = true;
    for (int i = 0; i < WORDS; i++) {
        all = all && (other[i] & ~set->words[i]) == 0;
    }
    return all;
}

static bool is_on_host(const struct launch_facts *facts, int rank, int other)
{
    return strcmp(facts[rank].host, facts[other].host) == 0;
}

static struct processors own_processors(const struct launch_facts *facts)
{
    struct processors set;
    memcpy(set.words, facts->processors, sizeof set.words);
    return set;
}

/** All that ranks of a rank's host may use. */
static struct processors host_processors(const struct launch_facts *facts, int n, int rank)
{
    struct processors set = {{0}};
    for (int i = 0; i < n; i++) {
        for (int w = 0; w < WORDS && is_on_host(facts, rank, i); w++) {
            set.words[w] |= facts[i].processors[w];
        }
    }
    return set;
}

/** What ranks have to run within a set. */
struct load {
    int n_ranks, n_threads, n_processors;
};

static struct load load_within(const struct launch_facts *facts, int n, int rank,
                               const struct processors *set)
{
    struct load load = {.n_processors = count(set)};
    for (int i = 0; i < n; i++) {
        if (is_on_host(facts, rank, i) && contains(set, facts[i].processors)) {
            load.n_ranks++;
            load.n_threads += facts[i].n_threads;
        }
    }
    return load;
}

static struct load load_of_host(const struct launch_facts *facts, int n, int rank)
{
    const struct processors all = host_processors(facts, n, rank);
    return load_within(facts, n, rank, &all);
}

static void advise_processors(struct launch_finding *f, const struct launch_facts *facts,
                              const struct load *load)
{
    const int most = load->n_processors / facts->n_threads;
    const int fewer = load->n_processors > load->n_ranks ? load->n_processors / load->n_ranks : 1;
    if (facts->thread_bind[0] != '\0' && load->n_ranks > 1) {
        finding_advise(f, "every rank binds its threads to the same processors: unset %.*s",
                       (int)strcspn(facts->thread_bind, "="), facts->thread_bind);
    } else if (load->n_processors < facts->n_host_processors) {
        finding_advise(f,
                       "mpirun --bind-to core --map-by slot:PE=%d ... (srun --cpus-per-task=%d "
                       "--cpu-bind=cores), one job a host; or mpirun --bind-to none",
                       facts->n_threads, facts->n_threads);
    } else if (most > 0) {
        char or_threads[48] = "";
        if (fewer < facts->n_threads) {
            snprintf(or_threads, sizeof or_threads, ", or set compute.threads=%d", fewer);
        }
        finding_advise(f, "start at most %d rank%s on this host%s", most, most == 1 ? "" : "s",
                       or_threads);
    } else {
        finding_advise(f, "set compute.threads=%d", load->n_processors);
    }
}

void judge_processors(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    for (int rank = 0; rank < n; rank++) {
        const struct processors own = own_processors(&facts[rank]);
        struct load load = load_within(facts, n, rank, &own);
        if (load.n_threads <= load.n_processors) {
            load = load_of_host(facts, n, rank);
        }
        if (load.n_threads > load.n_processors) {
            finding_set(f, LAUNCH_WARN,
                        "%s: %d rank%s with %d thread%s in all share%s %d processor%s (rank %d "
                        "among them)",
                        facts[rank].host, load.n_ranks, load.n_ranks == 1 ? "" : "s",
                        load.n_threads, load.n_threads == 1 ? "" : "s",
                        load.n_ranks == 1 ? "s" : "", load.n_processors,
                        load.n_processors == 1 ? "" : "s", rank);
            advise_processors(f, &facts[rank], &load);
            return;
        }
    }
    const struct load load = load_of_host(facts, n, 0);
    finding_set(f, LAUNCH_PASS, "%s: %d rank%s, %d thread%s, %d processor%s", facts[0].host,
                load.n_ranks, load.n_ranks == 1 ? "" : "s", load.n_threads,
                load.n_threads == 1 ? "" : "s", load.n_processors,
                load.n_processors == 1 ? "" : "s");
}

void judge_quota(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    double least = -1.0;
    for (int rank = 0; rank < n; rank++) {
        const double cores = facts[rank].cgroup.cores;
        const struct load load = load_of_host(facts, n, rank);
        if (cores >= 0.0 && (double)load.n_threads > ceil(cores)) {
            const int share = (int)(cores / load.n_ranks);
            finding_set(f, LAUNCH_WARN,
                        "%s: %d threads, and the control group gives them the time of %.1f cores",
                        facts[rank].host, load.n_threads, cores);
            finding_advise(f, "give the container or job %d cores, or set compute.threads=%d",
                           load.n_threads, share > 1 ? share : 1);
            return;
        }
        least = cores >= 0.0 && (least < 0.0 || cores < least) ? cores : least;
    }
    if (least < 0.0) {
        finding_set(f, LAUNCH_PASS, "none");
    } else {
        finding_set(f, LAUNCH_PASS, "%.1f cores", least);
    }
}

static bool is_crowded(const struct launch_facts *facts, int n, int rank)
{
    const struct load load = load_of_host(facts, n, rank);
    return load.n_threads > load.n_processors;
}

/** Who waits by spinning holds the processor that another needs to bring what it waits for. */
void judge_waiting(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    for (int rank = 0; rank < n; rank++) {
        const struct launch_facts *own = &facts[rank];
        const struct load load = load_of_host(facts, n, rank);
        if (own->is_mpi && !own->mpi_yields && load.n_ranks > load.n_processors) {
            finding_set(f, LAUNCH_WARN,
                        "%s: %d ranks on %d processor%s, and MPI spins while it waits", own->host,
                        load.n_ranks, load.n_processors, load.n_processors == 1 ? "" : "s");
            finding_advise(f, "mpirun --mca mpi_yield_when_idle 1 ...");
            return;
        }
        if (own->n_threads > 1 && (own->waiting == LAUNCH_SPINS_A_WHILE ||
                                   (own->waiting == LAUNCH_SPINS && is_crowded(facts, n, rank)))) {
            finding_set(f, LAUNCH_WARN,
                        "rank %d's threads spin while they wait: steps take many times longer as "
                        "soon as anything else wants their processors",
                        rank);
            finding_advise(f, "export OMP_WAIT_POLICY=passive (with mpirun: -x "
                              "OMP_WAIT_POLICY=passive), and leave GOMP_SPINCOUNT unset");
            return;
        }
    }
    const bool spins = facts[0].n_threads > 1 && facts[0].waiting == LAUNCH_SPINS;
    finding_set(f, LAUNCH_PASS, "%s",
                spins ? "threads spin, as OMP_WAIT_POLICY says" : "threads sleep");
}

/** What a host gives, for all its ranks together. */
struct memory_need {
    int64_t planned, given; /* given: negative where nothing limits it */
    const char *by;
};

static void lower(struct memory_need *need, int64_t bytes, const char *by)
{
    if (bytes >= 0 && (need->given < 0 || bytes < need->given)) {
        need->given = bytes;
        need->by = by;
    }
}

static struct memory_need need_of_host(const struct launch_facts *facts, int n, int rank)
{
    struct memory_need need = {.given = -1, .by = "no limit"};
    for (int i = 0; i < n; i++) {
        if (is_on_host(facts, rank, i)) {
            need.planned += facts[i].planned_bytes;
            lower(&need, facts[i].free_bytes, "MemAvailable");
            lower(&need, facts[i].cgroup.memory_bytes, "control group");
        }
    }
    return need;
}

/** Limits of one process: those of the user and of the configuration. */
static bool judge_own_memory(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    for (int i = 0; i < n; i++) {
        const double planned = (double)facts[i].planned_bytes / MIB;
        if (facts[i].limit_bytes > 0 && facts[i].planned_bytes > facts[i].limit_bytes) {
            finding_set(f, LAUNCH_FAIL, "rank %d plans %.1f MiB, memory.limit is %.1f MiB", i,
                        planned, (double)facts[i].limit_bytes / MIB);
            return false;
        }
        if (facts[i].address_bytes >= 0 && facts[i].planned_bytes > facts[i].address_bytes) {
            finding_set(f, LAUNCH_FAIL, "rank %d plans %.1f MiB, ulimit leaves it %.1f MiB", i,
                        planned, (double)facts[i].address_bytes / MIB);
            finding_advise(f, "ulimit -v unlimited; ulimit -d unlimited");
            return false;
        }
    }
    return true;
}

void judge_memory(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    if (!judge_own_memory(f, facts, n)) {
        return;
    }
    enum launch_verdict worst = LAUNCH_PASS;
    for (int rank = 0; rank < n; rank++) {
        if (launch_first_on_host(facts, rank) != rank) {
            continue;
        }
        const struct memory_need need = need_of_host(facts, n, rank);
        const double given = (double)need.given;
        const enum launch_verdict verdict =
            need.given >= 0 && need.planned > need.given
                ? LAUNCH_FAIL
                : (need.given >= 0 && (double)need.planned > MEMORY_SHARE * given ? LAUNCH_WARN
                                                                                  : LAUNCH_PASS);
        if (rank > 0 && verdict <= worst) {
            continue;
        }
        worst = verdict;
        char limit[64] = "without limit";
        if (need.given >= 0) {
            snprintf(limit, sizeof limit, "%.1f MiB (%s)", given / MIB, need.by);
        }
        const int n_ranks = launch_count_on_host(facts, n, rank);
        finding_set(f, verdict, "%s: %d rank%s plan%s %.1f MiB; it gives %s", facts[rank].host,
                    n_ranks, n_ranks == 1 ? "" : "s", n_ranks == 1 ? "s" : "",
                    (double)need.planned / MIB, limit);
        if (verdict == LAUNCH_WARN) {
            finding_advise(f,
                           "start fewer ranks on that host, or lower batch.microbatch; attnres "
                           "plan ... memory.limit=%.0f says what would fit",
                           MEMORY_SHARE * given / n_ranks);
        }
    }
}

struct plan_limit launch_memory_limit(const struct launch_facts *facts, int n)
{
    struct plan_limit limit = {0};
    for (int rank = 0; rank < n; rank++) {
        if (launch_first_on_host(facts, rank) == rank) {
            const struct memory_need need = need_of_host(facts, n, rank);
            const int n_ranks = launch_count_on_host(facts, n, rank);
            const int64_t share = need.given / n_ranks;
            if (need.given >= 0 && need.planned > need.given &&
                (limit.ranks_per_host == 0 || share < limit.bytes)) {
                limit = (struct plan_limit){.bytes = share, .ranks_per_host = n_ranks};
            }
        }
    }
    return limit;
}

/** Pages of the segment are taken when they are first used: then a full folder is a bus error. */
void judge_segments(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    for (int rank = 0; rank < n; rank++) {
        const int n_ranks = launch_count_on_host(facts, n, rank);
        const int64_t needed = n_ranks > 1 ? n_ranks * facts[rank].segment_bytes : 0;
        const int64_t there = facts[rank].segment_free_bytes;
        if (there >= 0 && needed > there) {
            finding_set(f, LAUNCH_WARN,
                        "%s: %s has %.1f MiB free; MPI may use %.1f MiB for %d ranks, and a full "
                        "one ends them by a bus error",
                        facts[rank].host, facts[rank].segment_folder, (double)there / MIB,
                        (double)needed / MIB, n_ranks);
            finding_advise(f,
                           "mount -o remount,size=1G %s (containers: --shm-size=1g), or mpirun "
                           "--mca btl_vader_backing_directory /tmp ...",
                           facts[rank].segment_folder);
            return;
        }
    }
    finding_set(f, LAUNCH_PASS, "%s",
                facts[0].segment_bytes > 0 && launch_count_on_host(facts, n, 0) > 1
                    ? "enough for MPI's segments"
                    : "not needed");
}
