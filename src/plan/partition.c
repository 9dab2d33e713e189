/* Where the cuts go: the configuration's word, or the search for the fastest slowest stage. */
#include "plan_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>

/** Rounds of search, layout and search again under memory.limit, before it counts as impossible. */
enum { MOST_ROUNDS = 64 };

int64_t partition_block_size(const struct plan *plan)
{
    const int64_t L = plan->depth.n_sublayers, n_blocks = plan->config->model.n_blocks;
    return (L + n_blocks - 1) / n_blocks;
}

bool partition_is_border(const struct plan *plan, int64_t l)
{
    return l == plan->depth.n_sublayers || l % partition_block_size(plan) == 0;
}

static void cut_at_blocks(int64_t *ends, const struct plan *plan)
{
    const int64_t L = plan->depth.n_sublayers, S = partition_block_size(plan);
    const int64_t N = (L + S - 1) / S, n_stages = plan->n_stages;
    for (int64_t i = 0; i < n_stages; i++) {
        const int64_t end = n_stages <= N ? (i + 1) * N / n_stages * S : (i + 1) * L / n_stages;
        ends[i] = end < L ? end : L;
    }
}

static bool cut_as_listed(int64_t *ends, const struct plan *plan, struct error *err)
{
    const struct pipeline_config *pipeline = &plan->config->pipeline;
    if (pipeline->n_partition % pipeline->n_chunks != 0) {
        return error_set(err, ERROR_CONFIG,
                         "pipeline.partition lists %lld stages, which is no multiple of "
                         "pipeline.chunks %lld: no number of ranks has so many",
                         (long long)pipeline->n_partition, (long long)pipeline->n_chunks);
    }
    if (pipeline->n_partition != plan->n_stages) {
        return error_set(
            err, ERROR_LAUNCH,
            "pipeline.partition lists %lld stages, but there are %d: start it "
            "with mpirun -n %lld",
            (long long)pipeline->n_partition, plan->n_stages,
            (long long)(pipeline->n_partition / pipeline->n_chunks * plan->grid.n_replicas));
    }
    int64_t end = 0;
    for (int i = 0; i < plan->n_stages; i++) {
        ends[i] = end += pipeline->partition_list[i];
    }
    assert(end == plan->depth.n_sublayers && "config checks the sum");
    return true;
}

/** The best way to cut the first sublayers into so many stages: with the fewest cuts inside blocks,
 * then the least sum of the squares of its stages' work. */
struct way {
    int64_t n_inside, first; /* where its last stage starts */
    double squares;          /* INFINITY: there is none */
};

struct search {
    const struct plan *plan;
    const struct misfits *misfits;
    int64_t L, P;
    double *slowest, *slowest_before; /* per end, of k + 1 and of k stages */
    struct way *ways, *ways_before;
    int32_t *firsts; /* (P, L + 1): of the ways */
};

/** Ends that stage k may have, such that each stage has a sublayer: [*low, *high]. */
static void find_ends(const struct search *s, int64_t k, int64_t *low, int64_t *high)
{
    *high = s->L - (s->P - 1 - k);
    *low = k == s->P - 1 ? s->L : k + 1;
}

static bool fits(const struct search *s, int64_t k, int64_t first, int64_t end)
{
    return !misfits_contain(s->misfits, (int)k, &first, &end);
}

/** Work of a stage without its cuts, as its first sublayer moves down to `first`. */
static void extend(double *work, const struct search *s, int64_t first)
{
    const struct plan_costs *costs = &s->plan->costs;
    *work += costs->sublayer[first] + (first == 0 ? costs->embedding : 0.0);
}

static double with_cuts(const struct search *s, double work, int64_t first, int64_t end)
{
    return work + s->plan->costs.cut[first] + s->plan->costs.cut[end];
}

/** The slowest stage of the best partition whose stage k ends at `end`. A stage grows as it starts
 * earlier: once it alone is slower than the best, no earlier start is better. */
static double find_slowest(const struct search *s, int64_t k, int64_t end)
{
    double best = INFINITY, work = end == s->L ? s->plan->costs.head : 0.0;
    for (int64_t first = end - 1; first >= k; first--) {
        extend(&work, s, first);
        if (work >= best) {
            break;
        }
        const double own = with_cuts(s, work, first, end), before = s->slowest_before[first];
        const double value = own > before ? own : before;
        if (value < best && fits(s, k, first, end)) {
            best = value;
        }
    }
    return best;
}

/** No stage leaves no sublayer; nothing else is there before the first stage. */
static double find_bound(struct search *s)
{
    for (int64_t end = 0; end <= s->L; end++) {
        s->slowest[end] = end == 0 ? 0.0 : INFINITY;
    }
    for (int64_t k = 0; k < s->P; k++) {
        double *const swap = s->slowest_before;
        s->slowest_before = s->slowest;
        s->slowest = swap;
        int64_t low, high;
        find_ends(s, k, &low, &high);
        for (int64_t end = 0; end <= s->L; end++) {
            s->slowest[end] = end >= low && end <= high ? find_slowest(s, k, end) : INFINITY;
        }
    }
    return s->slowest[s->L];
}

static bool is_better(const struct way *a, const struct way *b)
{
    if (isinf(a->squares) || isinf(b->squares)) {
        return a->squares < b->squares;
    }
    return a->n_inside < b->n_inside || (a->n_inside == b->n_inside && a->squares < b->squares);
}

/** Of the partitions with no stage slower than the bound, the best whose stage k ends at `end`. */
static struct way find_way(const struct search *s, int64_t k, int64_t end, double bound)
{
    struct way best = {.squares = INFINITY};
    double work = end == s->L ? s->plan->costs.head : 0.0;
    for (int64_t first = end - 1; first >= k; first--) {
        extend(&work, s, first);
        if (work > bound) {
            break;
        }
        const struct way *before = &s->ways_before[first];
        const double own = with_cuts(s, work, first, end);
        if (own > bound || isinf(before->squares) || !fits(s, k, first, end)) {
            continue;
        }
        const struct way way = {.n_inside = before->n_inside + !partition_is_border(s->plan, end),
                                .first = first,
                                .squares = before->squares + own * own};
        best = is_better(&way, &best) ? way : best;
    }
    return best;
}

static void find_ways(struct search *s, double bound)
{
    const struct way none = {.squares = INFINITY}, start = {.squares = 0.0};
    for (int64_t end = 0; end <= s->L; end++) {
        s->ways[end] = end == 0 ? start : none;
    }
    for (int64_t k = 0; k < s->P; k++) {
        struct way *const swap = s->ways_before;
        s->ways_before = s->ways;
        s->ways = swap;
        int64_t low, high;
        find_ends(s, k, &low, &high);
        for (int64_t end = 0; end <= s->L; end++) {
            s->ways[end] = end >= low && end <= high ? find_way(s, k, end, bound) : none;
            s->firsts[k * (s->L + 1) + end] = (int32_t)s->ways[end].first;
        }
    }
}

static void trace_back(int64_t *ends, const struct search *s)
{
    int64_t end = s->L;
    for (int64_t k = s->P - 1; k >= 0; k--) {
        ends[k] = end;
        end = s->firsts[k * (s->L + 1) + end];
    }
    assert(end == 0);
}

bool partition_search(int64_t *ends, const struct plan *plan, const struct misfits *misfits)
{
    struct search s = {
        .plan = plan, .misfits = misfits, .L = plan->depth.n_sublayers, .P = plan->n_stages};
    const size_t n_ends = (size_t)s.L + 1;
    s.slowest = heap_take(n_ends, sizeof *s.slowest, "the search for a partition");
    s.slowest_before = heap_take(n_ends, sizeof *s.slowest_before, "the search for a partition");
    const double bound = find_bound(&s);
    if (!isinf(bound)) {
        s.ways = heap_take(n_ends, sizeof *s.ways, "the search for a partition");
        s.ways_before = heap_take(n_ends, sizeof *s.ways_before, "the search for a partition");
        s.firsts = heap_take((size_t)s.P * n_ends, sizeof *s.firsts, "the search for a partition");
        find_ways(&s, bound);
        trace_back(ends, &s);
    }
    free(s.slowest);
    free(s.slowest_before);
    free(s.ways);
    free(s.ways_before);
    free(s.firsts);
    return !isinf(bound);
}

/** With several chunks a rank the search only says where its cuts may start from. */
static bool search_once(int64_t *ends, const struct plan *plan, const struct misfits *misfits)
{
    if (plan->n_chunks == 1) {
        return partition_search(ends, plan, misfits);
    }
    return partition_search(ends, plan, NULL) && partition_balance(ends, plan, misfits);
}

/** A partition that ranks have room for is looked for only if the best one is none; without any
 * the best one stands, and plan_check_memory refuses it. */
static void cut_automatically(int64_t *ends, const struct plan *plan)
{
    struct misfits misfits = {.plan = plan};
    const bool exists = search_once(ends, plan, NULL);
    assert(exists && "there are no more stages than sublayers");
    if (plan->config->memory.limit_bytes > 0 && misfits_note(&misfits, ends) > 0) {
        const size_t bytes = (size_t)plan->n_stages * sizeof *ends;
        int64_t *trial = heap_take(1, bytes, "a partition");
        for (int i = 0; i < MOST_ROUNDS && search_once(trial, plan, &misfits); i++) {
            if (misfits_note(&misfits, trial) == 0) {
                memcpy(ends, trial, bytes);
                break;
            }
        }
        free(trial);
        misfits_finish(&misfits);
    }
}

/** Not even one rank has so many. */
static bool refuse_chunks(const struct plan *plan, struct error *err)
{
    const int64_t L = plan->depth.n_sublayers;
    const int n_ranks = 2 * (int64_t)plan->n_ranks <= L ? plan->n_ranks : 1;
    return error_set(err, ERROR_CONFIG,
                     "pipeline.chunks is %d, but the model has only %lld sublayers "
                     "(2 x model.layers): nearest legal value %lld, with mpirun -n %d",
                     plan->n_chunks, (long long)L, (long long)(L / n_ranks),
                     n_ranks * plan->grid.n_replicas);
}

bool plan_check_stages(const struct plan *plan, struct error *err)
{
    const long long L = (long long)plan->depth.n_sublayers;
    if (plan->n_chunks > L) {
        return refuse_chunks(plan, err);
    }
    return plan->n_stages <= L ||
           error_set(err, ERROR_LAUNCH,
                     "%d stages, but the model has only %lld sublayers (2 x model.layers): "
                     "start at most %lld ranks%s",
                     plan->n_stages, L, L / plan->n_chunks * plan->grid.n_replicas,
                     plan->n_chunks > 1 ? ", or take a smaller pipeline.chunks" : "");
}

bool plan_partition(int64_t *ends, const struct plan *plan, struct error *err)
{
    switch (plan->config->pipeline.partition) {
    case PARTITION_LIST:
        return cut_as_listed(ends, plan, err);
    case PARTITION_BLOCKS:
        cut_at_blocks(ends, plan);
        return true;
    case PARTITION_AUTO:
        cut_automatically(ends, plan);
        return true;
    }
    return true;
}
