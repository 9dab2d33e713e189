/* The engines of all ranks, stepped by one thread: schedules end, bits are those of one stage, and
 * what cannot go on or has been spoilt is named. */
#include <attnres/engine.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/rng.h>

#include "../support/pipeline.h"
#include "../support/sample.h"

/** Eight sublayers in two blocks; whatever has a fixed size is small. */
static const char *const COMMON[] = {
    "model.layers=4",  "model.blocks=2",     "model.dim=8",
    "model.heads=2",   "model.kv_heads=1",   "model.ff=12",
    "model.seq_len=5", "batch.sequences=12", "batch.microbatch=1",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 6 };

static const char *const KINDS[][2] = {
    {"model.kind=standard", NULL},
    {"model.kind=full", NULL},
    {"model.kind=block", "model.tied=true"},
    {"model.kind=block_full", NULL},
    {"model.kind=block_full", "model.read=static"},
};
/** Orders, and a partition with cuts inside blocks for each number of ranks. */
static const struct {
    const char *order, *chunks, *inside[PIPELINE_MAX_RANKS];
} SCHEDULES[] = {
    {"gpipe", "1", {"[8]", "[3,5]", "[1,4,3]", "[1,2,2,3]"}},
    {"1f1b", "1", {"[8]", "[3,5]", "[1,4,3]", "[1,2,2,3]"}},
    {"zb_h1", "1", {"[8]", "[3,5]", "[1,4,3]", "[1,2,2,3]"}},
    {"interleaved", "2", {"[3,5]", "[1,2,2,3]", "[1,2,1,1,2,1]", "[1,1,1,1,1,1,1,1]"}},
    {"zb_v", "2", {"[3,5]", "[1,2,2,3]", "[1,2,1,1,2,1]", "[1,1,1,1,1,1,1,1]"}},
};
enum { GPIPE, ONE_F_ONE_B, N_SCHEDULES = sizeof SCHEDULES / sizeof SCHEDULES[0] };
static const char *const RECOMPUTES[] = {"none", "block", "all"};
enum { N_RECOMPUTES = 3 };
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static struct pipeline *make_with(int n_ranks, int kind, int schedule, const char *partition,
                                  const char *recompute)
{
    const char *overrides[N_COMMON + N_OWN];
    char order[64], chunks[64], cut[64], again[64];
    int n = 0;
    for (int i = 0; i < N_COMMON; i++) {
        overrides[n++] = COMMON[i];
    }
    snprintf(order, sizeof order, "pipeline.schedule=%s", SCHEDULES[schedule].order);
    snprintf(chunks, sizeof chunks, "pipeline.chunks=%s", SCHEDULES[schedule].chunks);
    snprintf(cut, sizeof cut, "pipeline.partition=%s", partition);
    snprintf(again, sizeof again, "memory.recompute=%s", recompute);
    overrides[n++] = again;
    overrides[n++] = order;
    overrides[n++] = chunks;
    overrides[n++] = cut;
    for (int i = 0; i < 2 && KINDS[kind][i] != NULL; i++) {
        overrides[n++] = KINDS[kind][i];
    }
    struct error err = {0};
    struct pipeline *p = pipeline_create(n_ranks, overrides, n, &err);
    if (p == NULL) {
        fail_msg("%s", err.message);
    }
    return p;
}

static struct pipeline *make(int n_ranks, int kind, int schedule, const char *partition)
{
    return make_with(n_ranks, kind, schedule, partition, "none");
}

/** Losses of microbatches, gradients of all tensors and of the tied head have the reference's bits.
 */
static void compare(const struct pipeline *p, const struct pipeline *reference, const char *what)
{
    if (memcmp(p->losses, reference->losses, (size_t)p->plan.n_microbatches * sizeof *p->losses) !=
        0) {
        fail_msg("%s: loss %.17g, on one stage %.17g", what, pipeline_loss(p),
                 pipeline_loss(reference));
    }
    for (int64_t i = 0; i < p->plan.params.n_rows; i++) {
        const struct param *a = &p->plan.params.rows[i], *b = &reference->plan.params.rows[i];
        const float *x = model_gradient(pipeline_owner(p, a), a),
                    *y = model_gradient(pipeline_owner(reference, b), b);
        if (memcmp(x, y, (size_t)a->count * sizeof *x) != 0) {
            fail_msg("%s: the gradient of %s differs from that of one stage", what, a->name);
        }
    }
    const size_t head_bytes = (size_t)(p->config.model.vocab * p->config.model.dim) * sizeof(float);
    assert_memory_equal(model_head_gradient(pipeline_last(p)),
                        model_head_gradient(pipeline_last(reference)), head_bytes);
}

/** Two steps in a row: counters of messages run on. */
static void train_twice(struct pipeline *p, const char *what)
{
    for (int step = 0; step < 2; step++) {
        if (!pipeline_train(p)) {
            fail_msg("%s: %s", what, p->stuck);
        }
    }
}

/** One schedule with both cuts, on 1 rank up to the most, recomputing in turn in each way. */
static void run_schedule(int kind, int schedule, const struct pipeline *reference, int *n_cases)
{
    for (int i = 0; i < 2 * PIPELINE_MAX_RANKS; i++) {
        if (!sample_takes((*n_cases)++)) {
            continue;
        }
        const int n_ranks = i / 2 + 1;
        const char *partition = i % 2 == 0 ? "blocks" : SCHEDULES[schedule].inside[n_ranks - 1];
        const char *recompute = RECOMPUTES[(i + kind + schedule) % N_RECOMPUTES];
        char what[160];
        snprintf(what, sizeof what, "%s %s on %d ranks, %s, %s, recompute %s", KINDS[kind][0],
                 KINDS[kind][1] != NULL ? KINDS[kind][1] : "", n_ranks, SCHEDULES[schedule].order,
                 partition, recompute);
        struct pipeline *p = make_with(n_ranks, kind, schedule, partition, recompute);
        train_twice(p, what);
        compare(p, reference, what);
        pipeline_destroy(p);
    }
}

static void every_schedule_and_cut_ends_with_the_bits_of_one_stage(void **state)
{
    (void)state;
    int n_cases = 0;
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct pipeline *reference = make(1, kind, GPIPE, "blocks");
        train_twice(reference, KINDS[kind][0]);
        /* Nothing has been learnt: a little above the logarithm of the vocabulary. */
        assert_true(pipeline_loss(reference) > 5.5 && pipeline_loss(reference) < 5.7);
        for (int schedule = 0; schedule < N_SCHEDULES; schedule++) {
            run_schedule(kind, schedule, reference, &n_cases);
        }
        pipeline_destroy(reference);
    }
}

/** NaN wherever an action may have left something that no slot holds: at the head of each buffer,
 * since those of products and attention are much larger than this model needs, and slow under
 * valgrind. */
static void spoil_working_set(const struct memory *memory)
{
    enum { MOST_BYTES = 1 << 16 };
    for (int id = 0; id < BUFFER_COUNT; id++) {
        const bool is_constant = id == BUFFER_ROPE;
        if (memory->table.rows[id].group == GROUP_SCRATCH && !is_constant &&
            memory_buffer(memory, id, 0) != NULL) {
            const size_t bytes = memory_slot_bytes(memory, id);
            memset(memory_buffer(memory, id, 0), 0xff, bytes < MOST_BYTES ? bytes : MOST_BYTES);
        }
    }
}

/** Train, with the working sets spoilt between actions; a send belongs to the forward before it. */
static void train_spoiling(struct pipeline *p)
{
    pipeline_zero_gradients(p);
    pipeline_begin(p, &p->plan.schedule, pipeline_scale(p));
    for (bool worked = true; worked;) {
        worked = false;
        for (int rank = 0; rank < p->plan.n_ranks; rank++) {
            struct engine *engine = &p->ranks[rank].engine;
            const struct action *next = &engine->schedule->actions[engine->counter];
            if (engine->counter < engine->end && next->op != ACTION_SEND_VALUES) {
                spoil_working_set(engine->memory);
            }
            worked = engine_advance(engine) == ENGINE_WORKED || worked;
        }
    }
    assert_true(pipeline_is_done(p));
}

static void recomputation_takes_nothing_from_an_earlier_action(void **state)
{
    (void)state;
    int n_cases = 0;
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct pipeline *reference = NULL;
        for (int i = 0; i < 2 * N_SCHEDULES * (N_RECOMPUTES - 1); i++) {
            if (!sample_takes(n_cases++)) {
                continue;
            }
            if (reference == NULL) {
                reference = make(1, kind, GPIPE, "blocks");
                assert_true(pipeline_train(reference));
            }
            const int schedule = i / 2 % N_SCHEDULES, n_ranks = i % 2 + 1;
            struct pipeline *p =
                make_with(n_ranks, kind, schedule, SCHEDULES[schedule].inside[n_ranks - 1],
                          RECOMPUTES[1 + i / (2 * N_SCHEDULES)]);
            train_spoiling(p);
            compare(p, reference, "spoilt");
            pipeline_destroy(p);
        }
        pipeline_destroy(reference);
    }
}

static void a_rank_that_begins_alone_waits_for_its_values(void **state)
{
    (void)state;
    struct pipeline *p = make(2, 3, ONE_F_ONE_B, "blocks");
    pipeline_begin(p, &p->plan.schedule, 1.0F);
    struct engine *last = &p->ranks[1].engine;
    assert_int_equal(engine_advance(last), ENGINE_WAITING);
    assert_int_equal(engine_advance(last), ENGINE_WAITING);
    assert_ptr_equal(last->pending, &last->chunks[0].values_in.requests[0]);
    while (pipeline_advance(p)) {
    }
    assert_true(pipeline_is_done(p));
    assert_int_equal(engine_advance(last), ENGINE_DONE);
    pipeline_destroy(p);
}

/* 40 chunks in groups of 64: 63 messages of each link are under way, 5000 receives on a rank. */
static void many_chunks_in_wide_groups_have_requests_enough(void **state)
{
    (void)state;
    static const char *const WIDE[] = {
        "model.layers=40",    "model.blocks=2",     "model.dim=2",
        "model.heads=1",      "model.kv_heads=1",   "model.ff=1",
        "model.seq_len=4",    "batch.sequences=64", "batch.microbatch=1",
        "pipeline.chunks=40", "pipeline.group=64",  "pipeline.schedule=interleaved",
    };
    if (!sample_takes(3)) { /* not under valgrind */
        return;
    }
    struct error err = {0};
    struct pipeline *p = pipeline_create(2, WIDE, sizeof WIDE / sizeof WIDE[0], &err);
    if (p == NULL) {
        fail_msg("%s", err.message);
    }
    assert_true(pipeline_train(p));
    pipeline_destroy(p);
}

/** The first rank asks for gradients before it has sent any values. */
static void a_deadlock_says_which_rank_waits_at_which_action(void **state)
{
    (void)state;
    struct pipeline *p = make(2, 3, ONE_F_ONE_B, "blocks");
    struct action *actions = p->plan.schedule.actions;
    int64_t i = 0;
    while (actions[i].op != ACTION_RECEIVE_GRADIENTS) {
        i++;
    }
    const struct action early = actions[i];
    memmove(&actions[1], &actions[0], (size_t)i * sizeof *actions);
    actions[0] = early;
    assert_false(pipeline_train(p));
    assert_string_equal(p->stuck, "rank 0 waits at: receive gradients, microbatch 0; "
                                  "rank 1 waits at: receive values, microbatch 0");
    pipeline_destroy(p);
}

/** A byte of the first message of a direction, as it lies with its receiver. */
struct damage {
    struct pipeline *p;
    enum buffer_id buffer;
    int receiver;
    size_t byte;
};

/** Until the message is there; then spoil it and go on. Ends inside an engine: abort ends the
 * thread. */
static void *receive_damaged(void *user)
{
    const struct damage *d = user;
    const struct engine_chunk *chunk = &d->p->ranks[1 - d->receiver].engine.chunks[0];
    const struct engine_link *sender =
        d->buffer == BUFFER_VALUES_IN ? &chunk->values_out : &chunk->gradients_out;
    pipeline_begin(d->p, &d->p->plan.schedule, 1.0F);
    while (sender->n_posted == 0) {
        /* Only as far as this: the receiver has not looked at it yet. */
        const int first = 1 - d->receiver;
        if (engine_advance(&d->p->ranks[first].engine) == ENGINE_WAITING) {
            engine_advance(&d->p->ranks[d->receiver].engine);
        }
    }
    unsigned char *frame = memory_buffer(&d->p->ranks[d->receiver].memory, d->buffer, 0);
    frame[d->byte] ^= 0x10;
    while (pipeline_advance(d->p)) {
    }
    return NULL;
}

static void a_flipped_byte_aborts_naming_both_ranks(void **state)
{
    (void)state;
    enum { HEADER = 17, UNUSED = 60, PAYLOAD = 64 + 5 };
    static const size_t BYTES[] = {HEADER, UNUSED, PAYLOAD};
    for (int i = 0; i < 2 * 3; i++) {
        struct damage d = {.p = make(2, 3, ONE_F_ONE_B, "blocks"),
                           .buffer = i % 2 == 0 ? BUFFER_VALUES_IN : BUFFER_GRADIENTS_IN,
                           .receiver = i % 2 == 0 ? 1 : 0,
                           .byte = BYTES[i / 2]};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, receive_damaged, &d), 0);
        pthread_join(thread, NULL);
        const char *message = transport_world_aborted(d.p->world);
        assert_non_null(message);
        assert_non_null(strstr(message, i % 2 == 0 ? "damaged message from rank 0 to rank 1"
                                                   : "damaged message from rank 1 to rank 0"));
        assert_false(pipeline_is_done(d.p));
        pipeline_destroy(d.p);
    }
}

/** Advance the only rank up to I of the last microbatch, and take its place: part by part, the rows
 * that are said to be whole then are the same at the end. Returns how many there were. */
static int count_whole_rows(struct pipeline *p)
{
    enum { MOST = 64 };
    struct engine *engine = &p->ranks[0].engine;
    const struct model *model = &p->ranks[0].models[0];
    const struct param *rows[MOST];
    uint64_t hashes[MOST];
    int n = 0;
    pipeline_zero_gradients(p);
    pipeline_begin(p, &p->plan.schedule, pipeline_scale(p));
    const struct action *action = &p->plan.schedule.actions[engine->counter];
    while (action->op != ACTION_INPUT_GRADIENT || action->microbatch + 1 < p->plan.n_microbatches) {
        engine_advance(engine);
        action = &p->plan.schedule.actions[engine->counter];
    }
    const struct model_work work = {.slot = action->slot,
                                    .gradient_slot = action->gradient_slot,
                                    .microbatch = action->microbatch,
                                    .loss_scale = pipeline_scale(p)};
    model_input_gradient_begin(model, &work);
    for (int part = model_part_count(model) - 1; part >= 0; part--) {
        model_input_gradient_part(model, &work, part);
        const struct param *row = plan_finished(&p->plan, model->stage, part, action->op, 0);
        for (int i = 1; row != NULL; i++, n++) {
            assert_true(n < MOST);
            rows[n] = row;
            hashes[n] = rng_hash_floats(model_gradient(model, row), row->count);
            row = plan_finished(&p->plan, model->stage, part, action->op, i);
        }
    }
    for (int i = 0; i < n; i++) {
        if (hashes[i] != rng_hash_floats(model_gradient(model, rows[i]), rows[i]->count)) {
            fail_msg("%s was not whole", rows[i]->name);
        }
    }
    return n;
}

static void gradients_are_whole_when_replicas_may_add_them(void **state)
{
    (void)state;
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct pipeline *p = make(1, kind, GPIPE, "[8]");
        /* A gain in front of each sublayer and the head, and but for standard a query or logits. */
        assert_int_equal(count_whole_rows(p), kind == 0 ? 9 : 18);
        pipeline_destroy(p);
    }
}

/** Each row of the table in the list of one rank, once. */
static void count_finished_rows(const struct plan *plan)
{
    const size_t n = (size_t)plan->params.n_rows;
    int64_t *rows = calloc(n, sizeof *rows);
    bool *seen = calloc(n, sizeof *seen);
    assert_true(rows != NULL && seen != NULL);
    size_t n_seen = 0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        plan_list_finished(plan, rank, rows);
        for (int64_t i = 0; i < plan->ranks[rank].n_params; i++, n_seen++) {
            assert_false(seen[rows[i]]);
            seen[rows[i]] = true;
        }
    }
    assert_int_equal(n_seen, n);
    free(seen);
    free(rows);
}

/** Replicas exchange rows in this order. */
static void every_row_is_finished_once(void **state)
{
    (void)state;
    int n_cases = 0;
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (int schedule = 0; schedule < N_SCHEDULES; schedule++) {
            for (int n_ranks = 1; n_ranks <= PIPELINE_MAX_RANKS; n_ranks++) {
                if (!sample_takes(n_cases++)) {
                    continue;
                }
                struct pipeline *p =
                    make(n_ranks, kind, schedule, SCHEDULES[schedule].inside[n_ranks - 1]);
                count_finished_rows(&p->plan);
                pipeline_destroy(p);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_and_cut_ends_with_the_bits_of_one_stage),
        cmocka_unit_test(recomputation_takes_nothing_from_an_earlier_action),
        cmocka_unit_test(a_rank_that_begins_alone_waits_for_its_values),
        cmocka_unit_test(many_chunks_in_wide_groups_have_requests_enough),
        cmocka_unit_test(a_deadlock_says_which_rank_waits_at_which_action),
        cmocka_unit_test(a_flipped_byte_aborts_naming_both_ranks),
        cmocka_unit_test(gradients_are_whole_when_replicas_may_add_them),
        cmocka_unit_test(every_row_is_finished_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
