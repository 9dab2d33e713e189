#include <attnres/checkpoint.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../support/folder.h"
#include "../support/ranks.h"
#include "../support/small_rank.h"

/* What the ranks' threads of a test share; written before they start. */
static struct {
    char folder[64];
    const char *overrides[4];
    enum plan_purpose purpose;
    int64_t step;
} job;

static int enter_folder(void **state)
{
    (void)state;
    memset(&job, 0, sizeof job);
    job.step = 7;
    return !folder_enter(job.folder, sizeof job.folder, "checkpoint");
}

static int leave_folder(void **state)
{
    (void)state;
    return !folder_leave(job.folder);
}

static void run(int n_ranks, void (*function)(struct transport *t))
{
    char message[1024];
    if (!ranks_run_local(n_ranks, function, message)) {
        fail_msg("%d ranks: %s", n_ranks, message);
    }
}

static void save(struct transport *t)
{
    struct small_rank r;
    small_rank_init(&r, t, PLAN_TRAIN, job.overrides);
    small_rank_fill(&r);
    CHECK(t, small_rank_save(&r, "run", job.step, NULL));
    small_rank_finish(&r);
}

static void load(struct transport *t)
{
    const bool with_moments = job.purpose == PLAN_TRAIN;
    char path[FILE_PATH_BYTES];
    struct small_rank r;
    struct checkpoint c;
    small_rank_init(&r, t, job.purpose, job.overrides);
    small_rank_spoil(&r);
    CHECK(t, checkpoint_find(path, "run", NULL) && checkpoint_open(&c, path, NULL));
    CHECK(t, checkpoint_load(&c, &r.model, with_moments, NULL));
    CHECK(t, small_rank_is_filled(&r, with_moments));
    checkpoint_close(&c);
    small_rank_finish(&r);
}

static void every_number_of_ranks_loads_what_any_has_saved(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        job.overrides[0] = i == 0 ? "model.tied=false" : "model.tied=true";
        for (int n_saving = 1; n_saving <= 4; n_saving++) {
            run(n_saving, save);
            for (int n_loading = 1; n_loading <= 4; n_loading++) {
                run(n_loading, load);
            }
        }
    }
}

static void weights_load_without_the_optimisers_file(void **state)
{
    (void)state;
    run(2, save);
    assert_true(file_remove("run/checkpoints/step-00000007/optim-00001.safetensors", NULL));
    assert_true(file_remove("run/checkpoints/step-00000007/optim-00002.safetensors", NULL));
    job.purpose = PLAN_FORWARD;
    run(3, load);
}

static void the_state_comes_back_as_it_was(void **state)
{
    (void)state;
    run(1, save);
    struct checkpoint c;
    const struct checkpoint_state expected = small_rank_state(7);
    assert_true(checkpoint_open(&c, "run/checkpoints/step-00000007", NULL));
    assert_int_equal(c.state.step, expected.step);
    assert_int_equal(c.state.n_updates, expected.n_updates);
    assert_memory_equal(&c.state.guard, &expected.guard, sizeof expected.guard);
    assert_int_equal(c.state.position.major, expected.position.major);
    assert_int_equal(c.state.position.minor, expected.position.minor);
    assert_int_equal(c.state.position.window, expected.position.window);
    assert_memory_equal(&c.state.data, &expected.data, sizeof expected.data);
    assert_int_equal(c.state.tokens, expected.tokens);
    assert_true(c.state.time_s == expected.time_s);
    assert_non_null(strstr(c.config_text, "\nmodel:"));
    checkpoint_close(&c);
}

static void a_save_replaces_the_same_step_and_leaves_no_partial(void **state)
{
    (void)state;
    assert_true(file_make_folders("run/checkpoints/step-00000007", NULL));
    assert_true(file_replace("run/checkpoints/step-00000007/old", "", 0, NULL));
    assert_true(file_make_folders("run/checkpoints/.step-00000007.partial", NULL));
    run(2, save);
    run(1, load);
    assert_false(file_exists("run/checkpoints/step-00000007/old"));
    assert_false(file_exists("run/checkpoints/.step-00000007.partial"));
}

static void fail_to_save(struct transport *t)
{
    struct small_rank r;
    struct error err = {0};
    small_rank_init(&r, t, PLAN_TRAIN, job.overrides);
    CHECK(t, !small_rank_save(&r, "run", 8, &err));
    CHECK(t, (err.message[0] != '\0') == (transport_rank(t) == 0));
    small_rank_finish(&r);
}

static void a_failed_save_fails_on_all_ranks_and_keeps_the_older(void **state)
{
    (void)state;
    run(2, save);
    assert_true(file_replace("run/checkpoints/.step-00000008.partial", "", 0, NULL));
    run(3, fail_to_save);
    run(2, load);
}

/* All ranks have written; rank 0 cannot move away what has the name. */
static void a_save_that_gets_no_name_fails_on_all_ranks_and_leaves_nothing(void **state)
{
    (void)state;
    assert_true(file_make_folders("run/checkpoints/step-00000008", NULL));
    assert_true(file_replace("run/checkpoints/.step-replaced.partial", "", 0, NULL));
    run(3, fail_to_save);
    assert_false(file_exists("run/checkpoints/.step-00000008.partial"));
    assert_true(file_is_folder("run/checkpoints/step-00000008"));
}

/* As an update would: every row is kept, and then changed. */
static void change_all(struct small_rank *r, struct checkpoint_saver *saver)
{
    const struct stage *stage = r->model.stage;
    for (int64_t row = stage->first_param; row < stage->end_param; row++) {
        const struct param *param = &r->plan.params.rows[row];
        checkpoint_keep(saver, &r->model, param);
        for (enum buffer_id id = BUFFER_WEIGHTS; id <= BUFFER_EXP_AVG_SQ; id++) {
            if (id == BUFFER_WEIGHTS || id >= BUFFER_EXP_AVG) {
                float *values = memory_tensor(&r->memory, &r->plan, stage, param, id);
                memset(values, 0xFF, (size_t)param->count * sizeof *values);
            }
        }
    }
}

static void save_in_background(struct transport *t)
{
    struct small_rank r;
    small_rank_init(&r, t, PLAN_TRAIN, job.overrides);
    struct checkpoint_saver *saver = small_rank_saver(&r, "background", true);
    for (int64_t step = job.step; step < job.step + 3; step++) {
        const struct checkpoint_state state = small_rank_state(step);
        small_rank_fill(&r);
        checkpoint_begin(saver, &state);
        CHECK(t, checkpoint_phase(saver) != CHECKPOINT_IDLE);
        change_all(&r, saver);
        change_all(&r, saver);
        CHECK(t, checkpoint_end(saver, NULL));
        CHECK(t, checkpoint_phase(saver) == CHECKPOINT_IDLE);
    }
    checkpoint_saver_destroy(saver);
    small_rank_finish(&r);
}

static void expect_same_files(const char *a, const char *b)
{
    static const char *const NAMES[] = {"manifest.json", "model-00001.safetensors",
                                        "model-00002.safetensors", "optim-00001.safetensors",
                                        "optim-00002.safetensors"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char path[FILE_PATH_BYTES];
        struct file_bytes x, y;
        assert_true(file_join(path, a, NAMES[i], NULL) && file_read(&x, path, 1 << 20, NULL));
        assert_true(file_join(path, b, NAMES[i], NULL) && file_read(&y, path, 1 << 20, NULL));
        assert_int_equal(x.length, y.length);
        assert_memory_equal(x.bytes, y.bytes, x.length);
        file_bytes_finish(&x);
        file_bytes_finish(&y);
    }
}

static void a_save_in_the_background_writes_the_same_bytes(void **state)
{
    (void)state;
    static const char *const ROOM[] = {"checkpoint.snapshot_bytes=auto",
                                       "checkpoint.snapshot_bytes=1",
                                       "checkpoint.snapshot_bytes=1000000"};
    for (size_t i = 0; i < sizeof ROOM / sizeof ROOM[0]; i++) {
        job.overrides[0] = "checkpoint.async=true";
        job.overrides[1] = ROOM[i];
        job.step = 7;
        run(2, save_in_background);
        for (job.step = 7; job.step < 10; job.step++) {
            char ours[FILE_PATH_BYTES], theirs[FILE_PATH_BYTES];
            run(2, save);
            assert_true(checkpoint_step_path(ours, "background", job.step, NULL));
            assert_true(checkpoint_step_path(theirs, "run", job.step, NULL));
            expect_same_files(ours, theirs);
        }
    }
}

static void another_model_is_a_configuration_error(void **state)
{
    (void)state;
    static const char *const OTHERS[][2] = {{"model.dim=16", "model.dim"},
                                            {"model.ff=16", "model.ff"},
                                            {"model.vocab=300", "model.vocab"},
                                            {"model.tied=true", "model.tied"},
                                            {"model.layers=3", "model.layers"}};
    run(1, save);
    struct transport_world *world = transport_world_create(1);
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        const char *const overrides[] = {OTHERS[i][0], "model.blocks=1", NULL};
        struct small_rank r;
        struct checkpoint c;
        struct error err = {0};
        small_rank_init(&r, transport_world_rank(world, 0), PLAN_TRAIN, overrides);
        assert_true(checkpoint_open(&c, "run/checkpoints/step-00000007", NULL));
        assert_false(checkpoint_load(&c, &r.model, true, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_non_null(strstr(err.message, OTHERS[i][1]));
        checkpoint_close(&c);
        small_rank_finish(&r);
    }
    transport_world_destroy(world);
}

static void only_whole_steps_are_listed_newest_first(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"step-00000002",
                                        "step-00000010",
                                        "step-00000003",
                                        "step-123456789",
                                        "step-",
                                        "step-0000001",
                                        "step-000000011",
                                        ".step-00000012.partial",
                                        "step-0000001x",
                                        "steps",
                                        "step-00000014.other",
                                        "step--0000015",
                                        "step-+0000016",
                                        "step-99999999999999999999"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char path[FILE_PATH_BYTES];
        assert_true(file_join(path, "run/checkpoints", NAMES[i], NULL));
        assert_true(file_make_folders(path, NULL));
    }
    int64_t steps[8];
    assert_int_equal(checkpoint_list(steps, 8, "run", NULL), 4);
    assert_int_equal(steps[0], 123456789);
    assert_int_equal(steps[1], 10);
    assert_int_equal(steps[2], 3);
    assert_int_equal(steps[3], 2);
    assert_int_equal(checkpoint_list(steps, 2, "run", NULL), 2);
    assert_int_equal(steps[0], 123456789);
    assert_int_equal(steps[1], 10);
    assert_int_equal(checkpoint_list(steps, 8, "elsewhere", NULL), 0);
}

/* Steps 1 to n of a run, with a manifest each but for one. */
static void make_steps(int64_t n, int64_t without)
{
    for (int64_t step = 1; step <= n; step++) {
        char path[FILE_PATH_BYTES];
        assert_true(checkpoint_step_path(path, "run", step, NULL));
        assert_true(file_make_folders(path, NULL));
        assert_true(file_join(path, path, "manifest.json", NULL));
        assert_true(step == without || file_replace(path, "", 0, NULL));
    }
}

/* What has no manifest is no checkpoint: it takes no other's place. */
static void pruning_keeps_the_newest_up_to_the_step(void **state)
{
    (void)state;
    make_steps(6, 4);
    assert_true(file_make_folders("run/checkpoints/.step-00000009.partial", NULL));
    assert_true(file_make_folders("run/checkpoints/notes", NULL));
    assert_true(checkpoint_prune("run", 4, 5, 2, NULL));
    int64_t steps[8];
    assert_int_equal(checkpoint_list(steps, 8, "run", NULL), 3);
    assert_int_equal(steps[0], 5);
    assert_int_equal(steps[1], 4);
    assert_int_equal(steps[2], 3);
    assert_false(file_exists("run/checkpoints/.step-00000009.partial"));
    assert_true(file_exists("run/checkpoints/notes"));
}

/* A run that went on from step 2 leaves 3, 4 and 6 of before, damaged or abandoned, behind it. */
static void pruning_removes_what_the_run_did_not_go_on_from(void **state)
{
    (void)state;
    make_steps(6, 0);
    assert_true(checkpoint_prune("run", 2, 5, 3, NULL));
    int64_t steps[8];
    assert_int_equal(checkpoint_list(steps, 8, "run", NULL), 3);
    assert_int_equal(steps[0], 5);
    assert_int_equal(steps[1], 2);
    assert_int_equal(steps[2], 1);
}

static void finding_takes_a_step_or_the_newest_of_a_run(void **state)
{
    (void)state;
    char path[FILE_PATH_BYTES];
    struct error err = {0};
    run(1, save);
    job.step = 9;
    run(1, save);
    assert_true(checkpoint_find(path, "run", NULL));
    assert_string_equal(path, "run/checkpoints/step-00000009");
    assert_true(checkpoint_find(path, "run/checkpoints/step-00000007", NULL));
    assert_string_equal(path, "run/checkpoints/step-00000007");
    assert_false(checkpoint_find(path, "elsewhere", &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
    assert_false(checkpoint_find(path, "run/checkpoints", &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_number_of_ranks_loads_what_any_has_saved),
        IN_FOLDER(weights_load_without_the_optimisers_file),
        IN_FOLDER(the_state_comes_back_as_it_was),
        IN_FOLDER(a_save_replaces_the_same_step_and_leaves_no_partial),
        IN_FOLDER(a_failed_save_fails_on_all_ranks_and_keeps_the_older),
        IN_FOLDER(a_save_that_gets_no_name_fails_on_all_ranks_and_leaves_nothing),
        IN_FOLDER(a_save_in_the_background_writes_the_same_bytes),
        IN_FOLDER(another_model_is_a_configuration_error),
        IN_FOLDER(only_whole_steps_are_listed_newest_first),
        IN_FOLDER(pruning_keeps_the_newest_up_to_the_step),
        IN_FOLDER(pruning_removes_what_the_run_did_not_go_on_from),
        IN_FOLDER(finding_takes_a_step_or_the_newest_of_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
