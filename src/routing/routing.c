#include <attnres/routing.h>

#include <assert.h>
#include <stdlib.h>

static struct depth_set completed_between(int64_t first, int64_t end)
{
    return (struct depth_set){.first_completed = first,
                              .n_completed = end > first ? end - first : 0};
}

/* The stage at a place; the depth plan's values live at its front are split into those that the
 * rank holds already and those that must come. held is how many completed values the rank holds:
 * always b_0 ... in a row, since every cut carries or presumes all of them. */
static void fill_stage(struct routing_stage *stage, const struct depth_plan *depth, int64_t held,
                       bool cache)
{
    const struct depth_set front = depth_live(depth, stage->first);
    const struct depth_set back = depth_live(depth, stage->end);
    const int64_t n_cached = held < front.n_completed ? held : front.n_completed;
    stage->cached = completed_between(0, n_cached);
    if (stage->first > 0) {
        stage->received = front;
        stage->received.first_completed = n_cached;
        stage->received.n_completed = front.n_completed - n_cached;
    }
    stage->brought = completed_between(held, cache ? back.n_completed : 0);
}

static void place_stages(struct routing *routing, const struct depth_plan *depth,
                         const int64_t *ends, const struct schedule_spec *schedule, int64_t *held)
{
    for (int i = 0; i < routing->n_stages; i++) {
        struct routing_stage *stage = &routing->stages[i];
        *stage = (struct routing_stage){.first = i == 0 ? 0 : ends[i - 1], .end = ends[i]};
        assert(stage->first < stage->end && "every stage has a sublayer");
        schedule_place(schedule, i, &stage->rank, &stage->chunk);
        stage->is_local = i > 0 && routing->stages[i - 1].rank == stage->rank;
        fill_stage(stage, depth, held[stage->rank], routing->cache);
        held[stage->rank] += stage->brought.n_completed;
    }
    assert(ends[routing->n_stages - 1] == depth->n_sublayers);
}

static void list_bringers(struct routing *routing)
{
    const int64_t n = routing->n_ranks * routing->n_completed;
    for (int64_t i = 0; i < n; i++) {
        routing->bringers[i] = -1;
    }
    for (int i = 0; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        for (int64_t k = 0; k < stage->brought.n_completed; k++) {
            const int64_t id = depth_set_id(&stage->brought, k);
            routing->bringers[stage->rank * routing->n_completed + id] = i;
        }
    }
}

/* A stage that finds a value finds all that the rank holds, so that all values which one stage
 * brought collect the same number. */
static void count_deposits(struct routing *routing)
{
    for (int i = 0; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        int before = -1;
        for (int64_t id = 0; id < stage->cached.n_completed; id++) {
            const int bringer = routing_bringer(routing, stage->rank, id);
            routing->stages[bringer].n_deposits += bringer != before;
            before = bringer;
        }
    }
}

bool routing_init(struct routing *routing, const struct depth_plan *depth, const int64_t *ends,
                  const struct schedule_spec *schedule, bool cache, struct error *err)
{
    const int n_stages = schedule->n_ranks * schedule->n_chunks;
    struct routing built = {.cache = cache,
                            .n_stages = n_stages,
                            .n_ranks = schedule->n_ranks,
                            .n_completed = depth->n_blocks + 1};
    built.stages = calloc((size_t)n_stages, sizeof *built.stages);
    built.bringers =
        calloc((size_t)built.n_ranks * (size_t)built.n_completed, sizeof *built.bringers);
    int64_t *held = calloc((size_t)built.n_ranks, sizeof *held);
    const bool ok = built.stages != NULL && built.bringers != NULL && held != NULL;
    if (ok) {
        place_stages(&built, depth, ends, schedule, held);
        list_bringers(&built);
        count_deposits(&built);
        *routing = built;
    } else {
        routing_finish(&built);
        error_set(err, ERROR_CREATE, "no memory to route %d stages", n_stages);
    }
    free(held);
    return ok;
}

void routing_finish(struct routing *routing)
{
    if (routing == NULL) {
        return;
    }
    free(routing->stages);
    free(routing->bringers);
    *routing = (struct routing){0};
}

struct depth_set routing_sent(const struct routing *routing, int stage)
{
    return stage + 1 < routing->n_stages ? routing->stages[stage + 1].received
                                         : (struct depth_set){0};
}

int routing_bringer(const struct routing *routing, int rank, int64_t id)
{
    assert(id >= 0 && id < routing->n_completed);
    return routing->bringers[rank * routing->n_completed + id];
}

int routing_first_stage(const struct routing *routing, int rank)
{
    int stage = 0;
    while (routing->stages[stage].rank != rank) {
        stage++;
    }
    return stage;
}

int routing_last_stage(const struct routing *routing, int rank)
{
    int stage = routing->n_stages - 1;
    while (routing->stages[stage].rank != rank) {
        stage--;
    }
    return stage;
}

int64_t routing_deposit_count(const struct routing *routing, int rank)
{
    return depth_set_count(&routing->stages[routing_last_stage(routing, rank)].cached);
}

int routing_deposit_slots(const struct routing *routing, const struct schedule *schedule, int rank)
{
    const int first = routing_first_stage(routing, rank), last = routing_last_stage(routing, rank);
    int n_live = 0, most = 0;
    if (routing_deposit_count(routing, rank) == 0) {
        return 0;
    }
    for (int64_t i = schedule->first_action[rank]; i < schedule->first_action[rank + 1]; i++) {
        const struct action *action = &schedule->actions[i];
        if (action->op == ACTION_INPUT_GRADIENT) {
            n_live += action->chunk == routing->stages[last].chunk;
            most = n_live > most ? n_live : most;
            n_live -= action->chunk == routing->stages[first].chunk;
        }
    }
    return most;
}

int64_t routing_count_sent(const struct routing *routing)
{
    int64_t n_sent = 0;
    for (int i = 1; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        n_sent += stage->is_local ? 0 : depth_set_count(&stage->received);
    }
    return n_sent;
}
