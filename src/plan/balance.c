/* Several chunks a rank: all partitions tried where they are few, otherwise cuts moved until the
 * slowest rank cannot get faster by one more move. */
#include "plan_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/heap.h>

/** Partitions that are few: a fraction of a second. */
enum { MOST_PARTITIONS = 300000 };

/** How far a move reaches: cuts between the two that it changes, and sublayers that it passes. */
enum { MOST_CUTS = 32, MOST_SUBLAYERS = 2 };

/** What makes a partition better, the weightiest first. */
struct score {
    int n_misfits;
    double slowest_rank, slowest_stage;
    int64_t n_inside;
    double squares; /* of the ranks' work */
};

struct balance {
    const struct plan *plan;
    const struct misfits *misfits;
    int64_t *ends;
    int *rank_of;      /* per stage */
    double *work_upto; /* L + 1: of all before a sublayer, embedding and head included */
    double *rank_work;
};

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static bool is_better(const struct score *a, const struct score *b)
{
    const int order[] = {a->n_misfits - b->n_misfits, compare(a->slowest_rank, b->slowest_rank),
                         compare(a->slowest_stage, b->slowest_stage),
                         compare((double)a->n_inside, (double)b->n_inside),
                         compare(a->squares, b->squares)};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (order[i] != 0) {
            return order[i] < 0;
        }
    }
    return false;
}

static bool is_misfit(const struct balance *b, int rank)
{
    int64_t first[CONFIG_MAX_CHUNKS], end[CONFIG_MAX_CHUNKS];
    assert(b->plan->n_chunks <= CONFIG_MAX_CHUNKS);
    for (int chunk = 0; chunk < b->plan->n_chunks; chunk++) {
        const int stage = schedule_stage(&b->plan->schedule.spec, rank, chunk);
        first[chunk] = stage > 0 ? b->ends[stage - 1] : 0;
        end[chunk] = b->ends[stage];
    }
    return misfits_contain(b->misfits, rank, first, end);
}

/** What partition_stage_work says, without adding up again. */
static double stage_work(const struct balance *b, int i)
{
    const double *cut = b->plan->costs.cut;
    const int64_t first = i > 0 ? b->ends[i - 1] : 0, end = b->ends[i];
    double work = b->work_upto[end] - (i > 0 ? b->work_upto[first] : 0.0);
    work += i > 0 && b->rank_of[i - 1] != b->rank_of[i] ? cut[first] : 0.0;
    return work +
           (i + 1 < b->plan->n_stages && b->rank_of[i + 1] != b->rank_of[i] ? cut[end] : 0.0);
}

static struct score rate(const struct balance *b)
{
    const struct plan *plan = b->plan;
    struct score score = {0};
    memset(b->rank_work, 0, (size_t)plan->n_ranks * sizeof *b->rank_work);
    for (int i = 0; i < plan->n_stages; i++) {
        const double work = stage_work(b, i);
        b->rank_work[b->rank_of[i]] += work;
        score.slowest_stage = work > score.slowest_stage ? work : score.slowest_stage;
        score.n_inside += !partition_is_border(plan, b->ends[i]);
    }
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        const double work = b->rank_work[rank];
        score.slowest_rank = work > score.slowest_rank ? work : score.slowest_rank;
        score.squares += work * work;
        score.n_misfits += b->misfits != NULL && is_misfit(b, rank);
    }
    return score;
}

/** What a move does: cuts [from, to) by n, and one more cut by m. */
struct move {
    int from, to;
    int64_t n;
    int other;
    int64_t m;
};

static void shift(const struct balance *b, const struct move *move, int sign)
{
    for (int i = move->from; i < move->to; i++) {
        b->ends[i] += sign * move->n;
    }
    b->ends[move->other] += sign * move->m;
}

/** Whether the stages at a cut keep a sublayer. */
static bool is_legal(const struct balance *b, int cut)
{
    return b->ends[cut] > (cut > 0 ? b->ends[cut - 1] : 0) && b->ends[cut + 1] > b->ends[cut];
}

static bool try_move(struct score *best, const struct balance *b, const struct move *move)
{
    shift(b, move, 1);
    if (is_legal(b, move->from) && is_legal(b, move->to - 1) && is_legal(b, move->other)) {
        const struct score score = rate(b);
        if (is_better(&score, best)) {
            *best = score;
            return true;
        }
    }
    shift(b, move, -1);
    return false;
}

/** Pass sublayers on from one stage to another through all between them; and move their first cut
 * and their last by themselves. */
static bool try_cuts(struct score *best, const struct balance *b, int first, int last)
{
    bool any = false;
    for (int64_t n = -MOST_SUBLAYERS; n <= MOST_SUBLAYERS; n++) {
        const struct move run = {.from = first, .to = last + 1, .n = n, .other = first};
        any = try_move(best, b, &run) || any;
        for (int64_t m = -MOST_SUBLAYERS; m <= MOST_SUBLAYERS; m++) {
            const struct move pair = {first, first + 1, n, last, m};
            any = try_move(best, b, &pair) || any;
        }
    }
    return any;
}

/** One try of every move; says whether any was worth keeping. */
static bool improve(struct score *best, const struct balance *b)
{
    bool any = false;
    const int n_cuts = b->plan->n_stages - 1;
    for (int first = 0; first < n_cuts; first++) {
        for (int last = first; last < n_cuts && last <= first + MOST_CUTS; last++) {
            any = try_cuts(best, b, first, last) || any;
        }
    }
    return any;
}

/** Ways to cut L sublayers into so many stages; MOST_PARTITIONS + 1 if more. */
static int64_t count_partitions(int64_t L, int64_t n_stages)
{
    const int64_t n = L - 1, k = 2 * (n_stages - 1) > n ? n - (n_stages - 1) : n_stages - 1;
    int64_t count = 1;
    for (int64_t i = 1; i <= k && count <= MOST_PARTITIONS; i++) {
        count = count * (n - k + i) / i;
    }
    return count <= MOST_PARTITIONS ? count : MOST_PARTITIONS + 1;
}

/** Move the last cut that can move on, and those behind it up to it; false if none can. */
static bool step(int64_t *ends, int n_stages)
{
    int i = n_stages - 2;
    while (i >= 0 && ends[i] + 1 == ends[i + 1]) {
        i--;
    }
    if (i < 0) {
        return false;
    }
    ends[i]++;
    for (int j = i + 1; j + 1 < n_stages; j++) {
        ends[j] = ends[j - 1] + 1;
    }
    return true;
}

static struct score try_all(const struct balance *b, int64_t *best_ends)
{
    const int n_stages = b->plan->n_stages;
    const size_t bytes = (size_t)n_stages * sizeof *best_ends;
    for (int i = 0; i + 1 < n_stages; i++) {
        b->ends[i] = i + 1;
    }
    struct score best = rate(b);
    memcpy(best_ends, b->ends, bytes);
    while (step(b->ends, n_stages)) {
        const struct score score = rate(b);
        if (is_better(&score, &best)) {
            best = score;
            memcpy(best_ends, b->ends, bytes);
        }
    }
    memcpy(b->ends, best_ends, bytes);
    return best;
}

static struct score descend(const struct balance *b)
{
    struct score best = rate(b);
    while (improve(&best, b)) {
    }
    return best;
}

static struct balance make_balance(const struct plan *plan)
{
    const int64_t L = plan->depth.n_sublayers;
    struct balance b = {.plan = plan};
    b.rank_of = heap_take((size_t)plan->n_stages, sizeof *b.rank_of, "the search for a partition");
    b.work_upto = heap_take((size_t)L + 1, sizeof *b.work_upto, "the search for a partition");
    b.rank_work =
        heap_take((size_t)plan->n_ranks, sizeof *b.rank_work, "the search for a partition");
    b.work_upto[0] = plan->costs.embedding;
    for (int64_t l = 0; l < L; l++) {
        b.work_upto[l + 1] = b.work_upto[l] + plan->costs.sublayer[l];
    }
    b.work_upto[L] += plan->costs.head;
    for (int i = 0; i < plan->n_stages; i++) {
        int chunk;
        schedule_place(&plan->schedule.spec, i, &b.rank_of[i], &chunk);
    }
    return b;
}

bool partition_balance(int64_t *ends, const struct plan *plan, const struct misfits *misfits)
{
    struct balance b = make_balance(plan);
    b.misfits = misfits;
    b.ends = ends;
    const bool is_few =
        count_partitions(plan->depth.n_sublayers, plan->n_stages) <= MOST_PARTITIONS;
    int64_t *best_ends =
        heap_take((size_t)plan->n_stages, sizeof *best_ends, "the search for a partition");
    const struct score best = is_few ? try_all(&b, best_ends) : descend(&b);
    free(best_ends);
    free(b.rank_of);
    free(b.work_upto);
    free(b.rank_work);
    return best.n_misfits == 0;
}
