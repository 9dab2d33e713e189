/* What is known not to fit memory.limit, learnt from whole plans laid out. */
#include "plan_internal.h"

#include <assert.h>
#include <stdlib.h>

#include <attnres/heap.h>

static struct misfit *append(struct misfits *misfits)
{
    if (misfits->n_rows == misfits->capacity) {
        misfits->capacity = misfits->capacity > 0 ? 2 * misfits->capacity : 64;
        misfits->rows = heap_resize(misfits->rows, (size_t)misfits->capacity, sizeof *misfits->rows,
                                    "what a partition breaks");
    }
    const size_t n_chunks = (size_t)misfits->plan->n_chunks;
    struct misfit *m = &misfits->rows[misfits->n_rows++];
    *m = (struct misfit){.first =
                             heap_take(2 * n_chunks, sizeof *m->first, "what a partition breaks")};
    m->end = m->first + n_chunks;
    return m;
}

static void note(struct misfits *misfits, const struct plan *trial, int rank)
{
    struct misfit *m = append(misfits);
    m->rank = rank;
    for (int chunk = 0; chunk < trial->n_chunks; chunk++) {
        m->first[chunk] = plan_stage(trial, rank, chunk)->first;
        m->end[chunk] = plan_stage(trial, rank, chunk)->end;
    }
}

static bool is_beyond_limit(const struct plan *trial, int rank)
{
    return plan_most_bytes(trial, rank, NULL) > (size_t)trial->config->memory.limit_bytes;
}

/** The same without what a rank keeps because others have more parameters: that says nothing of its
 * own stages. */
static bool is_beyond_alone(const struct plan *trial, int rank)
{
    struct plan alone = *trial;
    alone.max_rank_params = trial->ranks[rank].n_params;
    return is_beyond_limit(&alone, rank);
}

int misfits_note(struct misfits *misfits, const int64_t *ends)
{
    struct plan trial = *misfits->plan;
    const bool is_made = plan_make_stages(&trial, ends, NULL);
    assert(is_made && "a few bytes per stage at start-up");
    const int64_t n_before = misfits->n_rows;
    int n = 0;
    for (int rank = 0; rank < trial.n_ranks; rank++) {
        n += is_beyond_limit(&trial, rank);
        if (is_beyond_alone(&trial, rank)) {
            note(misfits, &trial, rank);
        }
    }
    for (int rank = 0; n > 0 && misfits->n_rows == n_before && rank < trial.n_ranks; rank++) {
        if (is_beyond_limit(&trial, rank)) {
            note(misfits, &trial, rank); /* a few bytes too many */
        }
    }
    plan_drop_stages(&trial);
    return n;
}

/** Whether the rank holds as many microbatches at once as another, and as much of each. */
static bool has_slots_of(const struct plan *plan, int rank, int other)
{
    const bool keeps_less = plan->schedule.alternates[rank] && !plan->schedule.alternates[other];
    return !keeps_less && plan->schedule.n_slots[rank] >= plan->schedule.n_slots[other] &&
           plan->forward.n_slots[rank] >= plan->forward.n_slots[other] &&
           plan->schedule.n_gradient_slots[rank] >= plan->schedule.n_gradient_slots[other];
}

/** All that a stage keeps grows with its sublayers, but for its messages: those shrink where a cut
 * moves from inside a block to its border. */
static bool contains(const struct misfits *misfits, const struct misfit *m, const int64_t *first,
                     const int64_t *end)
{
    const double *cut = misfits->plan->costs.cut;
    for (int chunk = 0; chunk < misfits->plan->n_chunks; chunk++) {
        if (first[chunk] > m->first[chunk] || end[chunk] < m->end[chunk] ||
            cut[first[chunk]] < cut[m->first[chunk]] || cut[end[chunk]] < cut[m->end[chunk]]) {
            return false;
        }
    }
    return true;
}

bool misfits_contain(const struct misfits *misfits, int rank, const int64_t *first,
                     const int64_t *end)
{
    for (int64_t i = 0; misfits != NULL && i < misfits->n_rows; i++) {
        const struct misfit *m = &misfits->rows[i];
        if (has_slots_of(misfits->plan, rank, m->rank) && contains(misfits, m, first, end)) {
            return true;
        }
    }
    return false;
}

void misfits_finish(struct misfits *misfits)
{
    for (int64_t i = 0; i < misfits->n_rows; i++) {
        free(misfits->rows[i].first);
    }
    free(misfits->rows);
    *misfits = (struct misfits){0};
}
