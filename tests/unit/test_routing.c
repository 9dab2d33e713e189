#include <attnres/routing.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MAX_L = 24, MAX_VALUES = 2 * MAX_L + 2, MAX_STAGES = 24 };

static struct depth_plan depth_of(enum model_kind kind, int64_t L, int64_t n_blocks)
{
    const struct model_config model = {.kind = kind, .n_layers = L / 2, .n_blocks = n_blocks};
    return depth_plan_make(&model);
}

static struct schedule_spec spec_of(int P, int n_chunks, bool is_v)
{
    const enum schedule_kind kind = n_chunks == 1 ? SCHEDULE_1F1B
                                    : is_v        ? SCHEDULE_ZB_V
                                                  : SCHEDULE_INTERLEAVED;
    return (struct schedule_spec){
        .kind = kind, .n_ranks = P, .n_chunks = n_chunks, .n_microbatches = 4 * P};
}

static struct routing route(const struct depth_plan *depth, const int64_t *ends,
                            const struct schedule_spec *spec, bool cache)
{
    struct routing routing;
    struct error err = {0};
    assert_true(routing_init(&routing, depth, ends, spec, cache, &err));
    return routing;
}

/* Stages of equal length. */
static void cut_evenly(int64_t *ends, int n_stages, int64_t L)
{
    for (int i = 0; i < n_stages; i++) {
        ends[i] = (i + 1) * L / n_stages;
    }
}

static void totals_equal_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        int P, n_chunks;
        bool is_v;
        int cached, all;
    } rows[] = {
        {4, 1, false, 9, 9},    {4, 2, false, 21, 35}, {8, 2, false, 91, 135},
        {4, 4, false, 45, 135}, {4, 2, true, 21, 30},  {8, 2, true, 91, 126},
    };
    const enum model_kind kinds[] = {MODEL_BLOCK, MODEL_BLOCK_FULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int k = 0; k < 2; k++) {
            const int n_stages = rows[i].P * rows[i].n_chunks;
            const struct schedule_spec spec = spec_of(rows[i].P, rows[i].n_chunks, rows[i].is_v);
            const struct depth_plan depth = depth_of(kinds[k], 4 * n_stages, n_stages);
            int64_t ends[16];
            cut_evenly(ends, n_stages, 4 * n_stages);
            struct routing with = route(&depth, ends, &spec, true),
                           without = route(&depth, ends, &spec, false);
            assert_int_equal(routing_count_sent(&with), rows[i].cached);
            assert_int_equal(routing_count_sent(&without), rows[i].all);
            routing_finish(&with);
            routing_finish(&without);
        }
    }
}

/* Who takes part in a value's gradient, a bit each: read l is bit l, the sum at sublayer l bit
 * L + 1 + l. */
struct replay {
    const struct depth_plan *depth;
    const struct routing *routing;
    uint64_t expected[MAX_VALUES];             /* all bits that a value's gradient must gather */
    bool holds[MAX_STAGES][MAX_VALUES];        /* in a stage's activation slot */
    uint64_t gradient[MAX_STAGES][MAX_VALUES]; /* in a stage's gradient slot */
    uint64_t deposit[MAX_STAGES][MAX_VALUES];  /* per rank */
    int n_deposits[MAX_STAGES][MAX_VALUES];    /* per rank */
    int n_returned[MAX_VALUES];                /* gradients that ended at their producer */
};

static void contribute(uint64_t *gradient, uint64_t bits)
{
    assert_true((*gradient & bits) == 0); /* nothing arrives twice */
    *gradient |= bits;
}

/* Each value that the output of sublayer l is added into a sum with. */
static int list_members(const struct depth_plan *depth, int64_t l, int64_t *members)
{
    const struct depth_output out = depth_output_of(depth, l);
    int n = 0;
    if (out.adds_to >= 0) {
        members[n++] = out.adds_to;
    }
    if (out.completes >= 0) {
        const int64_t block = depth_block_of(depth, l);
        for (int64_t m = depth_block_first(depth, block); m <= l; m++) {
            members[n++] = depth_open_id(depth, m);
        }
    }
    return n;
}

static void expect_gradients(struct replay *replay)
{
    const int64_t L = replay->depth->n_sublayers;
    int64_t members[MAX_L];
    for (int64_t l = 0; l <= L; l++) {
        const struct depth_set sources = depth_live(replay->depth, l);
        for (int64_t i = 0; i < depth_set_count(&sources); i++) {
            replay->expected[depth_set_id(&sources, i)] |= (uint64_t)1 << l;
        }
        const int n = l < L ? list_members(replay->depth, l, members) : 0;
        for (int i = 0; i < n; i++) {
            replay->expected[members[i]] |= (uint64_t)1 << (L + 1 + l);
        }
    }
}

/* Values that come into a stage, and that it can read. */
static void enter(struct replay *replay, int index)
{
    const struct routing_stage *stage = &replay->routing->stages[index];
    bool *holds = replay->holds[index];
    if (index == 0) {
        holds[0] = true;
    }
    for (int64_t i = 0; i < depth_set_count(&stage->received); i++) {
        const int64_t id = depth_set_id(&stage->received, i);
        assert_true(replay->holds[index - 1][id]);
        assert_false(holds[id]);
        holds[id] = true;
    }
    for (int64_t i = 0; i < depth_set_count(&stage->cached); i++) {
        const int64_t id = depth_set_id(&stage->cached, i);
        const int bringer = routing_bringer(replay->routing, stage->rank, id);
        assert_true(bringer >= 0 && bringer < index);
        assert_int_equal(replay->routing->stages[bringer].rank, stage->rank);
        assert_true(replay->holds[bringer][id]);
        assert_false(holds[id]);
        holds[id] = true;
    }
}

static void go_forward(struct replay *replay, int index)
{
    const struct routing_stage *stage = &replay->routing->stages[index];
    const int64_t L = replay->depth->n_sublayers;
    bool *holds = replay->holds[index];
    int64_t members[MAX_L];
    enter(replay, index);
    for (int64_t l = stage->first; l < stage->end + (stage->end == L); l++) {
        const struct depth_set sources = depth_live(replay->depth, l);
        for (int64_t i = 0; i < depth_set_count(&sources); i++) {
            assert_true(holds[depth_set_id(&sources, i)]);
        }
        if (l == L) {
            break;
        }
        const struct depth_output out = depth_output_of(replay->depth, l);
        holds[out.value] = true;
        const int n = list_members(replay->depth, l, members);
        for (int i = 0; i < n; i++) {
            assert_true(holds[members[i]]);
        }
        if (out.completes >= 0) {
            holds[out.completes] = true;
        }
    }
    for (int64_t i = 0; i < stage->brought.n_completed; i++) {
        assert_true(holds[depth_set_id(&stage->brought, i)]);
    }
}

/* A value's gradient reaches the place that made it. */
static void end_gradient(struct replay *replay, int index, int64_t id)
{
    assert_true(replay->gradient[index][id] == replay->expected[id]);
    replay->gradient[index][id] = 0;
    replay->n_returned[id]++;
}

static void collect_deposits(struct replay *replay, int index)
{
    const struct routing_stage *stage = &replay->routing->stages[index];
    for (int64_t i = 0; i < stage->brought.n_completed; i++) {
        const int64_t id = depth_set_id(&stage->brought, i);
        assert_int_equal(replay->n_deposits[stage->rank][id], stage->n_deposits);
        contribute(&replay->gradient[index][id], replay->deposit[stage->rank][id]);
        replay->deposit[stage->rank][id] = 0;
        replay->n_deposits[stage->rank][id] = 0;
    }
}

static void undo_sublayer(struct replay *replay, int index, int64_t l)
{
    const int64_t L = replay->depth->n_sublayers;
    int64_t members[MAX_L];
    if (l < L) {
        const struct depth_output out = depth_output_of(replay->depth, l);
        if (out.completes >= 0) {
            end_gradient(replay, index, out.completes);
        } else {
            end_gradient(replay, index, out.value);
        }
        const int n = list_members(replay->depth, l, members);
        for (int i = 0; i < n; i++) {
            contribute(&replay->gradient[index][members[i]], (uint64_t)1 << (L + 1 + l));
        }
        if (out.completes >= 0) {
            end_gradient(replay, index, out.value);
        }
    }
    const struct depth_set sources = depth_live(replay->depth, l);
    for (int64_t i = 0; i < depth_set_count(&sources); i++) {
        contribute(&replay->gradient[index][depth_set_id(&sources, i)], (uint64_t)1 << l);
    }
}

/* The sums leave the stage: to the stage before, to the rank's deposits, or as b_0's. */
static void leave(struct replay *replay, int index)
{
    const struct routing_stage *stage = &replay->routing->stages[index];
    uint64_t *gradient = replay->gradient[index];
    for (int64_t i = 0; i < depth_set_count(&stage->received); i++) {
        const int64_t id = depth_set_id(&stage->received, i);
        contribute(&replay->gradient[index - 1][id], gradient[id]);
        gradient[id] = 0;
    }
    for (int64_t i = 0; i < depth_set_count(&stage->cached); i++) {
        const int64_t id = depth_set_id(&stage->cached, i);
        assert_true(id < routing_deposit_count(replay->routing, stage->rank));
        contribute(&replay->deposit[stage->rank][id], gradient[id]);
        replay->n_deposits[stage->rank][id]++;
        gradient[id] = 0;
    }
    if (index == 0) {
        end_gradient(replay, 0, 0);
    }
    for (int64_t id = 0; id < MAX_VALUES; id++) {
        assert_true(gradient[id] == 0);
    }
}

/* Carries one microbatch through all stages and back: every value read is there, and every
 * contribution to a gradient arrives where the value was made, once, with nothing left over. */
static void check_routing(const struct depth_plan *depth, const struct routing *routing)
{
    struct replay *replay = calloc(1, sizeof *replay);
    replay->depth = depth;
    replay->routing = routing;
    expect_gradients(replay);
    for (int i = 0; i < routing->n_stages; i++) {
        go_forward(replay, i);
    }
    for (int i = routing->n_stages - 1; i >= 0; i--) {
        const struct routing_stage *stage = &routing->stages[i];
        const int64_t L = depth->n_sublayers;
        collect_deposits(replay, i);
        for (int64_t l = stage->end - (stage->end < L); l >= stage->first; l--) {
            undo_sublayer(replay, i, l);
        }
        leave(replay, i);
    }
    for (int64_t id = 0; id < MAX_VALUES; id++) {
        assert_int_equal(replay->n_returned[id], replay->expected[id] != 0);
        for (int rank = 0; rank < routing->n_ranks; rank++) {
            assert_true(replay->deposit[rank][id] == 0 && replay->n_deposits[rank][id] == 0);
        }
    }
    free(replay);
}

/* With one stage of each rank at most, and without the cache, hops are the depth plan's cuts. */
static void check_cuts(const struct depth_plan *depth, const struct routing *routing)
{
    for (int i = 1; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        const struct depth_set live = depth_live(depth, stage->first);
        assert_memory_equal(&stage->received, &live, sizeof live);
        assert_int_equal(depth_set_count(&stage->cached), 0);
        assert_int_equal(routing->stages[i].n_deposits, 0);
    }
}

static void check_partition(const struct depth_plan *depth, const int64_t *ends, int P,
                            int n_chunks)
{
    for (int is_v = 0; is_v <= (n_chunks == 2); is_v++) {
        const struct schedule_spec spec = spec_of(P, n_chunks, is_v);
        for (int cache = 0; cache < 2; cache++) {
            struct routing routing = route(depth, ends, &spec, cache);
            check_routing(depth, &routing);
            if (cache == 0 || n_chunks == 1) {
                check_cuts(depth, &routing);
            }
            routing_finish(&routing);
        }
    }
}

/* Stages of uneven length: one sublayer each, the rest strewn over them by a small generator. */
static void cut_unevenly(int64_t *ends, int n_stages, int64_t L, uint32_t seed)
{
    int64_t lengths[MAX_STAGES];
    for (int i = 0; i < n_stages; i++) {
        lengths[i] = 1;
    }
    for (int64_t rest = L - n_stages; rest > 0; rest--) {
        seed = seed * 1664525u + 1013904223u;
        lengths[(seed >> 16) % (uint32_t)n_stages]++;
    }
    for (int i = 0; i < n_stages; i++) {
        ends[i] = (i > 0 ? ends[i - 1] : 0) + lengths[i];
    }
}

static void every_value_arrives_and_every_gradient_returns_once(void **state)
{
    (void)state;
    const int64_t n_blocks[] = {1, 2, 3, 4, 6, 8, 12, 24};
    int64_t ends[MAX_STAGES];
    for (enum model_kind kind = MODEL_STANDARD; kind <= MODEL_BLOCK_FULL; kind++) {
        for (size_t b = 0; b < sizeof n_blocks / sizeof n_blocks[0]; b++) {
            const struct depth_plan depth = depth_of(kind, MAX_L, n_blocks[b]);
            for (int P = 1; P <= 8; P++) {
                for (int n_chunks = 1; n_chunks <= 4 && P * n_chunks <= MAX_L; n_chunks++) {
                    cut_evenly(ends, P * n_chunks, MAX_L);
                    check_partition(&depth, ends, P, n_chunks);
                    cut_unevenly(ends, P * n_chunks, MAX_L, (uint32_t)(100 * P + n_chunks));
                    check_partition(&depth, ends, P, n_chunks);
                }
            }
        }
    }
}

static void cache_never_sends_a_completed_value_twice_to_a_rank(void **state)
{
    (void)state;
    for (enum model_kind kind = MODEL_STANDARD; kind <= MODEL_BLOCK_FULL; kind++) {
        const struct depth_plan depth = depth_of(kind, MAX_L, 6);
        for (int is_v = 0; is_v < 2; is_v++) {
            const struct schedule_spec spec = spec_of(4, 2, is_v);
            int64_t ends[8];
            cut_unevenly(ends, 8, MAX_L, 7);
            struct routing routing = route(&depth, ends, &spec, true);
            int n_received[4][MAX_VALUES] = {{0}};
            for (int i = 1; i < 8; i++) {
                const struct routing_stage *stage = &routing.stages[i];
                for (int64_t k = 0; k < stage->received.n_completed; k++) {
                    const int64_t id = depth_set_id(&stage->received, k);
                    assert_int_equal(n_received[stage->rank][id]++, 0);
                    assert_false(stage->is_local);
                }
            }
            routing_finish(&routing);
        }
    }
}

/* Slot k % n must be free when microbatch k first deposits. */
static void deposit_slots_do_not_collide(void **state)
{
    (void)state;
    for (int P = 1; P <= 8; P++) {
        for (int n_chunks = 2; n_chunks <= 4; n_chunks++) {
            for (int is_v = 0; is_v <= (n_chunks == 2); is_v++) {
                const struct schedule_spec spec = spec_of(P, n_chunks, is_v);
                const struct depth_plan depth = depth_of(MODEL_FULL, 2 * P * n_chunks, 1);
                int64_t ends[32];
                cut_evenly(ends, P * n_chunks, depth.n_sublayers);
                struct routing routing = route(&depth, ends, &spec, true);
                struct schedule schedule;
                assert_true(schedule_init(&schedule, &spec, NULL));
                for (int rank = 0; rank < P; rank++) {
                    const int n = routing_deposit_slots(&routing, &schedule, rank);
                    bool used[64] = {false};
                    assert_in_range(n, 1, spec.n_microbatches);
                    for (int64_t i = schedule.first_action[rank];
                         i < schedule.first_action[rank + 1]; i++) {
                        const struct action *action = &schedule.actions[i];
                        if (action->op == ACTION_INPUT_GRADIENT) {
                            const int slot = action->microbatch % n;
                            assert_true(used[slot] == (action->chunk < n_chunks - 1));
                            used[slot] = action->chunk > 0;
                        }
                    }
                }
                schedule_finish(&schedule);
                routing_finish(&routing);
            }
        }
    }
}

static void ranks_know_their_first_and_last_stage(void **state)
{
    (void)state;
    const struct depth_plan depth = depth_of(MODEL_BLOCK, 16, 8);
    int64_t ends[8];
    cut_evenly(ends, 8, 16);
    for (int is_v = 0; is_v < 2; is_v++) {
        const struct schedule_spec spec = spec_of(4, 2, is_v);
        struct routing routing = route(&depth, ends, &spec, true);
        for (int rank = 0; rank < 4; rank++) {
            assert_int_equal(routing_first_stage(&routing, rank), rank);
            assert_int_equal(routing_last_stage(&routing, rank), is_v ? 7 - rank : 4 + rank);
        }
        routing_finish(&routing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_equal_the_published_ones),
        cmocka_unit_test(every_value_arrives_and_every_gradient_returns_once),
        cmocka_unit_test(cache_never_sends_a_completed_value_twice_to_a_rank),
        cmocka_unit_test(deposit_slots_do_not_collide),
        cmocka_unit_test(ranks_know_their_first_and_last_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
