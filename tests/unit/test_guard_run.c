/* Guards in whole runs on local ranks: a number is spoilt at one place (support/spoil.h), and the
 * run must name that place. */
#include <attnres/train.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/checkpoint.h>

#include "../support/folder.h"
#include "../support/overrides.h"
#include "../support/ranks.h"
#include "../support/sample.h"
#include "../support/spoil.h"

enum { MOST_RANKS = 6, MOST_OVERRIDES = 40 };

/** The run. */
static struct {
    char folder[FILE_PATH_BYTES];
    int n_ranks;
    const char *overrides[MOST_OVERRIDES];
    int n_overrides;
    struct train_options options;
    struct train_result result[MOST_RANKS];
    struct error err[MOST_RANKS];
    enum error_kind kind[MOST_RANKS];
} job;

static int enter_folder(void **state)
{
    (void)state;
    memset(&job, 0, sizeof job);
    memset(&fault, 0, sizeof fault);
    return !folder_enter(job.folder, sizeof job.folder, "guard");
}

static int leave_folder(void **state)
{
    (void)state;
    return !folder_leave(job.folder);
}

static void train(struct transport *t)
{
    const int rank = transport_rank(t);
    struct config *config = calloc(1, sizeof *config);
    struct error *err = &job.err[rank];
    struct log log;
    CHECK(t, config != NULL);
    spoil_set_rank(rank);
    if (!config_load(config, NULL, job.n_overrides, job.overrides, err)) {
        printf("%s\n", err->message);
        CHECK(t, false);
    }
    log_init(&log, rank);
    log.quiet = true;
    job.options.build = (struct train_build){"test", "test", "test", "test"};
    const bool ok = train_run(&job.result[rank], config, &job.options, t, &log, err);
    job.kind[rank] = ok ? ERROR_NONE : err->kind;
    log_finish(&log);
    free(config);
}

/** Four layers, four microbatches of two windows. extra: overrides, ended by NULL. */
static void run(int n_ranks, const char *const *extra)
{
    static const char *const COMMON[] = {
        "model.layers=4",     "model.blocks=2",     "model.dim=8",          "model.heads=2",
        "model.kv_heads=1",   "model.ff=12",        "model.seq_len=16",     "batch.sequences=8",
        "batch.microbatch=2", "data.task=ptr",      "optim.warmup_steps=1", "compute.threads=1",
        "train.log_every=1",  "train.eval_every=0", "checkpoint.every=0",   "run.dir=run"};
    enum { N_COMMON = sizeof COMMON / sizeof COMMON[0] };
    char message[1024];
    job.n_ranks = n_ranks;
    memset(job.err, 0, sizeof job.err);
    atomic_store(&fault.n_calls, 0);
    job.n_overrides =
        overrides_join(job.overrides, COMMON, N_COMMON, extra, MOST_OVERRIDES - N_COMMON);
    assert_true(file_remove_tree("run", NULL) || job.options.resume);
    if (!ranks_run_local(n_ranks, train, message)) {
        fail_msg("%s", message);
    }
    for (int rank = 1; rank < n_ranks; rank++) {
        assert_int_equal(job.kind[rank], job.kind[0]);
        assert_string_equal(job.err[rank].message, "");
    }
}

static void assert_stopped(const char *what)
{
    if (job.kind[0] != ERROR_GUARD || strstr(job.err[0].message, what) == NULL) {
        fail_msg("\"%s\" is not in \"%s\" (exit code %d)", what, job.err[0].message,
                 (int)job.kind[0]);
    }
}

/** Ways to cut the same eight sublayers, each with a place. */
struct place {
    int n_ranks;
    const char *settings; /* apart from each other by blanks */
    enum site site;
    int stage, part, microbatch, replica;
    const char *name;
};
static const struct place PLACES[] = {
    {1, "", OUTPUT, 0, 2, 0, 0,
     "the output of model.layers.1.self_attn (microbatch 0, stage 0, rank 0)"},
    {1, "", OUTPUT, 0, 8, 2, 0, "the logits (microbatch 2, stage 0, rank 0)"},
    {1, "model.tied=true", MATRIX, 0, 4, 3, 0,
     "the gradient of model.layers.2.self_attn.o_proj.weight (microbatch 3, stage 0, rank 0)"},
    {2, "model.kind=standard", TAKEN, 1, 0, 1, 0,
     "what stage 1 takes in from stage 0 (microbatch 1, stage 1, rank 1)"},
    {2, "model.kind=block", OUTPUT, 1, 1, 3, 0, "(microbatch 3, stage 1, rank 1)"},
    {2, "model.kind=full", GIVEN, 1, 0, 0, 0,
     "the gradient of what stage 1 takes in (microbatch 0, stage 1, rank 1)"},
    {2, "memory.recompute=block pipeline.partition=[4,4]", OUTPUT, 0, 2, 2, 0,
     "the output of model.layers.1.self_attn (microbatch 2, stage 0, rank 0)"},
    {2, "memory.recompute=all pipeline.partition=[4,4]", OUTPUT, 1, 2, 1, 0,
     "the output of model.layers.3.self_attn (microbatch 1, stage 1, rank 1)"},
    {2, "pipeline.schedule=interleaved pipeline.chunks=2 pipeline.partition=[2,2,2,2]", GAIN, 2, 1,
     3, 0,
     "the gradient of model.layers.2.post_attention_layernorm.weight (microbatch 3, stage 2, rank "
     "0)"},
    {2, "pipeline.schedule=zb_v pipeline.chunks=2 pipeline.partition=[2,2,2,2]", MATRIX, 3, 0, 1, 0,
     "the gradient of model.layers.3.self_attn.o_proj.weight (microbatch 1, stage 3, rank 0)"},
    {3, "pipeline.schedule=zb_h1 pipeline.partition=[2,3,3] model.tied=true", EMBEDDING, 0, 0, 2, 0,
     "the gradient of model.embed_tokens.weight (microbatch 2, stage 0, rank 0)"},
    {4, "pipeline.replicas=2 pipeline.partition=[4,4]", OUTPUT, 1, 2, 1, 1,
     "the output of model.layers.3.self_attn (microbatch 3, stage 1, rank 3)"},
    {4, "pipeline.replicas=2 pipeline.partition=[4,4]", MATRIX, 0, 1, 0, 1,
     "the gradient of model.layers.0.mlp.down_proj.weight (microbatch 1, stage 0, rank 2)"},
    {2, "representative.value=int8 pipeline.deflate=on pipeline.partition=[4,4]", OUTPUT, 0, 2, 1,
     0, "the output of model.layers.1.self_attn (microbatch 1, stage 0, rank 0)"},
};
enum { N_PLACES = sizeof PLACES / sizeof PLACES[0] };

static void run_at(const struct place *p, const char *const *settings)
{
    const char *all[MOST_OVERRIDES] = {NULL};
    char own[256];
    int n = 0;
    fault.site = p->site;
    fault.stage = p->stage;
    fault.part = p->part;
    fault.microbatch = p->microbatch;
    fault.replica = p->replica;
    snprintf(own, sizeof own, "%s", p->settings);
    char *rest = own;
    while (rest[0] != '\0') {
        all[n++] = rest;
        char *blank = strchrnul(rest, ' ');
        rest = blank + (*blank != '\0');
        *blank = '\0';
    }
    for (int i = 0; settings[i] != NULL; i++) {
        all[n++] = settings[i];
    }
    run(p->n_ranks, all);
}

static void what_is_not_finite_is_named_where_it_came_from(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLACES; i++) {
        if (!sample_takes(i)) {
            continue;
        }
        run_at(&PLACES[i], (const char *[]){"train.steps=2", "guard.max_skips=0", NULL});
        assert_stopped(PLACES[i].name);
        assert_stopped("step 1: ");
        const int window =
            2 * (PLACES[i].microbatch * (PLACES[i].n_ranks == 4 ? 2 : 1) + PLACES[i].replica);
        char windows[64];
        snprintf(windows, sizeof windows, "windows %d (item ", window);
        assert_stopped(windows);
    }
}

static void numbers_that_are_not_finite_by_chance_are_told_as_such(void **state)
{
    (void)state;
    fault.call = 1;
    run_at(&PLACES[0], (const char *[]){"train.steps=2", "guard.max_skips=0", NULL});
    assert_stopped("computed again it is finite");
    assert_stopped("windows 0-7");
    fault.call = 1;
    run_at(&PLACES[0], (const char *[]){"train.steps=2", "guard.max_skips=1", NULL});
    assert_int_equal(job.kind[0], ERROR_NONE);
}

static void a_weight_that_is_not_finite_is_named(void **state)
{
    (void)state;
    const struct place place = {
        4, "pipeline.replicas=2 pipeline.partition=[4,4]", FIRST_WEIGHT, 1, 0, 0, 0, NULL};
    run_at(&place, (const char *[]){"train.steps=2", "guard.max_skips=0", NULL});
    assert_stopped("step 2: ");
    assert_stopped("it came from the weight model.layers.2.post_attention_layernorm.weight (stage "
                   "1, rank 1), windows 8-15");
}

static bool recomputes(const struct place *p)
{
    return strstr(p->settings, "recompute") != NULL;
}

/** Step 1 is computed once, step 2 twice: the bit flips in either. */
static void a_bit_that_flips_in_a_step_computed_twice_is_named(void **state)
{
    (void)state;
    static const uint32_t BITS[] = {1, 1U << 22, 1U << 30};
    for (int i = 0; i < N_PLACES; i++) {
        for (int call = 2; call <= 3 && !recomputes(&PLACES[i]); call++) {
            if (!sample_takes(2 * i + call)) {
                continue;
            }
            fault.call = call;
            fault.flip = BITS[(i + call) % 3];
            run_at(&PLACES[i], (const char *[]){"train.steps=3", "guard.check_every=2", NULL});
            assert_stopped(PLACES[i].name);
            assert_stopped("step 2 was computed twice, and ");
            assert_stopped(" on host ");
            if (PLACES[i].site == TAKEN) { /* its sender may have erred */
                assert_stopped("(or rank 0 on host ");
            }
        }
    }
}

/** Parts that are run again are so in every step, the last segment of the model in I alone. */
static void a_bit_that_flips_while_recomputing_is_named(void **state)
{
    (void)state;
    const char *const settings[] = {"train.steps=2", "guard.check_every=2", NULL};
    int n = 0, n_places = 0;
    for (int i = 0; i < N_PLACES; i++) {
        /* Under valgrind the first place, under sanitizers all. */
        if (!recomputes(&PLACES[i]) || !sample_takes(3 * n_places++)) {
            continue;
        }
        fault.call = 1000;
        run_at(&PLACES[i], settings);
        const int n_calls = atomic_load(&fault.n_calls), n_unchecked = n_calls / 3;
        assert_int_equal(job.kind[0], ERROR_NONE);
        for (int call = n_unchecked + 1; call <= n_calls; call++) {
            if (!sample_takes(n++)) {
                continue;
            }
            fault.call = call;
            fault.flip = 1;
            run_at(&PLACES[i], settings);
            assert_stopped(PLACES[i].name);
        }
    }
    assert_true(n >= 6 || sample_every() > 3);
}

/** Step 1 computes each row's norm and update once, step 2 twice: the bit flips in either, in the
 * first row of the rank and in the last. */
static void a_bit_that_flips_in_an_update_is_named(void **state)
{
    (void)state;
    static const struct {
        struct place place;
        const char *first, *last;
    } RANKS[] = {
        {{.n_ranks = 1, .settings = "checkpoint.every=1 checkpoint.async=true"},
         "model.embed_tokens.weight",
         "lm_head.weight"},
        {{.n_ranks = 2, .settings = "pipeline.partition=[4,4]", .stage = 1},
         "model.layers.2.self_attn_res.query",
         "lm_head.weight"},
        {{.n_ranks = 4, .settings = "pipeline.replicas=2 pipeline.partition=[4,4]", .stage = 3},
         "model.layers.2.self_attn_res.query",
         "model.norm.weight"},
    };
    const char *const settings[] = {"train.steps=2", "guard.check_every=2", NULL};
    for (int i = 0; i < 3 * 4; i++) {
        struct place place = RANKS[i / 4].place;
        char says[256];
        if (!sample_takes(3 * i)) {
            continue;
        }
        place.site = (enum site)(SQUARES + i % 4);
        fault.flip = 1U << (7 * (i % 4));
        fault.call = 1000;
        run_at(&place, settings);
        assert_int_equal(job.kind[0], ERROR_NONE);
        const int n_calls = atomic_load(&fault.n_calls), n_rows = n_calls / 3;
        const int calls[] = {n_rows + 1, n_rows + 2, n_calls - 1, n_calls};
        for (int k = 0; k < 4; k++) {
            if (!sample_takes(4 * i + k)) {
                continue;
            }
            fault.call = calls[k];
            run_at(&place, settings);
            snprintf(says, sizeof says,
                     "step 2 was computed twice, and the %s %s (stage %d, rank %d) differed: rank "
                     "%d on host ",
                     place.site == SQUARES ? "norm of the gradient of" : "update of",
                     k < 2 ? RANKS[i / 4].first : RANKS[i / 4].last, place.stage % 2, place.stage,
                     place.stage);
            assert_stopped(says);
            assert_false(file_is_folder("run/checkpoints/step-00000002"));
        }
    }
}

static void checking_changes_no_number(void **state)
{
    (void)state;
    if (!sample_takes(3)) {
        return; /* minutes under valgrind; the sanitizers run it whole */
    }
    static const char *const GRIDS[][4] = {
        {NULL},
        {"memory.recompute=all", NULL},
        {"pipeline.replicas=2", NULL},
        {"model.tied=true", "pipeline.schedule=zb_v", "pipeline.chunks=2", NULL},
        {"model.vocab=9000", NULL}, /* updates of several spans */
    };
    for (int i = 0; i < 5; i++) {
        const char *all[8] = {"train.steps=5", "guard.check_every=0"};
        if (!sample_takes(i)) {
            continue;
        }
        memcpy(all + 2, GRIDS[i], sizeof GRIDS[i]);
        run(2, all);
        assert_int_equal(job.kind[0], ERROR_NONE);
        const uint64_t hash = job.result[0].weights_hash;
        for (int every = 1; every <= 2; every++) {
            all[1] = every == 1 ? "guard.check_every=1" : "guard.check_every=2";
            run(2, all);
            assert_int_equal(job.kind[0], ERROR_NONE);
            assert_true(job.result[0].weights_hash == hash);
        }
    }
}

static void a_replica_with_other_weights_is_named(void **state)
{
    (void)state;
    if (!sample_takes(3)) {
        return; /* minutes under valgrind; the sanitizers run it whole */
    }
    const char *const settings[] = {"train.steps=5", "guard.check_every=2", NULL};
    char says[64];
    const struct place
        of_three = {6,      "pipeline.replicas=3 batch.sequences=12 pipeline.partition=[4,4]",
                    WEIGHT, 1,
                    0,      0,
                    2,      NULL},
        of_two = {4, "pipeline.replicas=2 pipeline.partition=[4,4]", WEIGHT, 0, 0, 0, 1, NULL};
    fault.call = 1;
    fault.flip = 1U << 30;
    run_at(&of_three, settings);
    assert_stopped("after step 1 rank 5 on host ");
    assert_stopped("(first model.layers.2.post_attention_layernorm.weight)");
    fault.flip = 1;
    run_at(&of_two, settings);
    assert_stopped("after step 1 the replicas of rank ");
    assert_stopped("(first model.layers.0.post_attention_layernorm.weight)");
    for (int step = 2; step <= 5; step += 3) { /* before either is saved */
        char folder[64];
        snprintf(folder, sizeof folder, "run/checkpoints/step-%08d", step);
        fault.call = step;
        run_at(&of_three, (const char *[]){"train.steps=5", "checkpoint.every=2", NULL});
        snprintf(says, sizeof says, "after step %d rank 5 on host ", step);
        assert_stopped(says);
        assert_false(file_is_folder(folder));
        assert_true(step == 2 || file_is_folder("run/checkpoints/step-00000004"));
    }
}

static void read_guard(struct guard_state *guard, int64_t step)
{
    char path[FILE_PATH_BYTES];
    struct checkpoint c;
    assert_true(checkpoint_step_path(path, "run", step, NULL) && checkpoint_open(&c, path, NULL));
    *guard = c.state.guard;
    checkpoint_close(&c);
}

/** Nearly every other step is a spike by this measure, so what is skipped depends on all of the
 * state. */
static void a_resumed_run_judges_as_one_never_interrupted(void **state)
{
    (void)state;
    if (!sample_takes(3)) {
        return; /* minutes under valgrind; the sanitizers run it whole */
    }
    const char *settings[] = {"train.steps=60",        "guard.spike_z=0.5",
                              "guard.spike_skip=true", "optim.schedule=constant",
                              "guard.max_skips=100",   NULL};
    struct guard_state whole, resumed;
    run(2, settings);
    assert_int_equal(job.kind[0], ERROR_NONE);
    const uint64_t hash = job.result[0].weights_hash;
    read_guard(&whole, 60);
    assert_int_equal(whole.n_seen, 60);
    settings[0] = "train.steps=37";
    run(1, settings);
    job.options.resume = true;
    settings[0] = "train.steps=60";
    run(3, settings);
    assert_int_equal(job.kind[0], ERROR_NONE);
    read_guard(&resumed, 60);
    assert_memory_equal(&resumed, &whole, sizeof whole);
    assert_true(job.result[0].weights_hash == hash);
    job.options.resume = false;
    settings[2] = "guard.spike_skip=false";
    run(2, settings);
    assert_true(job.result[0].weights_hash != hash); /* so some were skipped */
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_not_finite_is_named_where_it_came_from),
        IN_FOLDER(numbers_that_are_not_finite_by_chance_are_told_as_such),
        IN_FOLDER(a_weight_that_is_not_finite_is_named),
        IN_FOLDER(a_bit_that_flips_in_a_step_computed_twice_is_named),
        IN_FOLDER(a_bit_that_flips_while_recomputing_is_named),
        IN_FOLDER(a_bit_that_flips_in_an_update_is_named),
        IN_FOLDER(checking_changes_no_number),
        IN_FOLDER(a_replica_with_other_weights_is_named),
        IN_FOLDER(a_resumed_run_judges_as_one_never_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
