#include "../../src/sweep/sweep_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/depth.h>
#include <attnres/params.h>
#include <attnres/rundir.h>
#include <attnres/text.h>

#include "../support/folder.h"

static char folder[64];
static struct sweep sweep;
static const struct sweep_options plain = {.n_jobs = 1, .self = "attnres"};

static int make_folder(void **state)
{
    (void)state;
    return !folder_enter(folder, sizeof folder, "sweep");
}

static int remove_folder(void **state)
{
    (void)state;
    return !folder_leave(folder);
}

static void parse(const char *text)
{
    struct error err = {0};
    if (!sweep_parse(&sweep, "s.yaml", text, strlen(text), &err)) {
        fail_msg("%s", err.message);
    }
}

/* The words of a run, one blank between two. */
static const char *words_of(int index, const struct sweep_options *options)
{
    static char words[4096];
    struct sweep_run run;
    struct error err = {0};
    if (!sweep_make_run(&run, &sweep, index, options, &err)) {
        fail_msg("%s", err.message);
    }
    words[0] = '\0';
    for (int i = 0; i < run.n_overrides; i++) {
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", i > 0 ? " " : "",
                 run.overrides[i]);
    }
    return words;
}

static const char TWO_PRODUCTS[] = "dir: out\n"
                                   "base: b.yaml\n"
                                   "launch: '  mpirun -n  2 '\n"
                                   "set: [train.steps=4, \"data.train=my books\"]\n"
                                   "runs:\n"
                                   "  - size:\n"
                                   "      small: [model.dim=16, model.ff=16]\n"
                                   "      large: [model.dim=32, model.ff=32]\n"
                                   "    seed: {s1: run.seed=1, s2: run.seed=2}\n"
                                   "    kind: {full: model.kind=full, block: model.kind=block}\n"
                                   "  - only: {this: []}\n";

static void the_last_axis_turns_fastest(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"small-s1-full",  "small-s1-block", "small-s2-full",
                                        "small-s2-block", "large-s1-full",  "large-s1-block",
                                        "large-s2-full",  "large-s2-block", "this"};
    parse(TWO_PRODUCTS);
    assert_int_equal(sweep.n_runs, 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(sweep.names[i], NAMES[i]);
    }
}

static void a_run_has_the_words_of_the_file_its_values_the_line_and_its_folder(void **state)
{
    (void)state;
    const char *const more[] = {"train.steps=8"};
    const struct sweep_options options = {.n_overrides = 1, .overrides = more, .n_jobs = 1};
    parse(TWO_PRODUCTS);
    assert_string_equal(words_of(6, &options),
                        "train.steps=4 data.train=my books model.dim=32 model.ff=32 run.seed=2 "
                        "model.kind=full train.steps=8 run.dir=out/large-s2-full");
    assert_string_equal(words_of(8, &plain), "train.steps=4 data.train=my books run.dir=out/this");
    assert_int_equal(sweep.n_launch, 3);
    assert_string_equal(sweep.launch[0], "mpirun");
    assert_string_equal(sweep.launch[2], "2");
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } CASES[] = {
        {"", "s.yaml:1:1: expected a mapping with the key runs"},
        {"[]", "s.yaml:1:1: expected a mapping with the key runs"},
        {"dir: x\n", "s.yaml:2:1: no runs: the list runs is absent or empty"},
        {"runs: []\n", "s.yaml:2:1: no runs: the list runs is absent or empty"},
        {"runs: {}\n", "s.yaml:1:7: expected a list of products, each with its axes"},
        {"runs: [a]\n", "s.yaml:1:8: expected axes, each a mapping of values"},
        {"runs: [{}]\n", "s.yaml:1:9: expected an axis"},
        {"runs: [{a: {}}]\n", "s.yaml:1:13: a: an axis needs a value"},
        {"runs: [{a: x}]\n", "s.yaml:1:12: expected the values of an axis, NAME: [key=value, ...]"},
        {"runs: [{a: {b: }}]\n", "s.yaml:1:16: : expected key=value"},
        {"runs: [{a: {b: word}}]\n", "s.yaml:1:16: word: expected key=value"},
        {"runs: [{a: {b: [x=1, [y=2]]}}]\n",
         "s.yaml:1:22: expected key=value or a list of such words"},
        {"runs: [{a: {b: {x: 1}}}]\n", "s.yaml:1:16: expected key=value or a list of such words"},
        {"runs: [{a: {b: run.dir=x}}]\n",
         "s.yaml:1:16: run.dir: a sweep names its runs' folders itself, below dir"},
        {"runs: [{a: {../b: x=1}}]\n",
         "s.yaml:1:13: ../b: not a name: 1 to 40 letters, digits, '.', '_', '+' and '-', the first "
         "no '.' or '-'"},
        {"runs: [{a: {b: x=1, b: x=2}}]\n", "s.yaml:1:21: b: stands there twice"},
        {"runs: [{a: {b: x=1}, a: {c: x=2}}]\n", "s.yaml:1:22: a: stands there twice"},
        {"runs: [{a: {b: x=1}}]\nruns: []\n", "s.yaml:2:1: runs: stands there twice"},
        {"run: []\n", "s.yaml:1:1: run: unknown key; a sweep has dir, base, launch, set and runs"},
        {"launch: ' '\n", "s.yaml:1:9: expected a command, such as mpirun -n 2"},
        {"launch: [a]\n", "s.yaml:1:9: expected a command, such as mpirun -n 2"},
        {"dir: ''\n", "s.yaml:1:6: expected a path of 1 to 1023 bytes"},
        {"dir: \"a\\0b\"\n", "s.yaml:1:6: expected a path of 1 to 1023 bytes"},
        {"set: &a [x=1]\n", "s.yaml:1:6: anchors are not allowed (found &a)"},
        {"runs: [{a: {b-c: x=1}, d: {e: y=1}}, {a: {b: x=1}, d: {c-e: y=1}}]\n",
         "s.yaml: runs 1 and 2 are both called b-c-e"},
        {"a: [b\n", "s.yaml:1:1: a: unknown key; a sweep has dir, base, launch, set and runs"},
        {"set: [b=1\n",
         "s.yaml:2:1: not YAML: while parsing a flow sequence, did not find expected ',' or ']'"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct error err = {0};
        assert_false(sweep_parse(&sweep, "s.yaml", CASES[i].text, strlen(CASES[i].text), &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_string_equal(err.message, CASES[i].message);
    }
}

static void a_thousand_and_twenty_four_runs_and_no_more(void **state)
{
    (void)state;
    char text[32768];
    for (int n = 32; n <= 33; n++) {
        struct text t = {text, sizeof text, 0};
        struct error err = {0};
        text_add(&t, "runs:\n  - ");
        for (int axis = 0; axis < 2; axis++) {
            text_add(&t, "%s%c: {", axis == 0 ? "" : "    ", 'a' + axis);
            for (int i = 0; i < n - axis * (n - 32); i++) {
                text_add(&t, "%c%d: x=%d, ", 'a' + axis, i, i);
            }
            text_add(&t, "}\n");
        }
        assert_true(t.length < sizeof text);
        assert_int_equal(sweep_parse(&sweep, "s.yaml", text, t.length, &err), n == 32);
        assert_true(n == 32 ? sweep.n_runs == 1024
                            : strstr(err.message, "more than 1024 runs") != NULL);
    }
}

static void names_too_long_for_a_folder_are_refused(void **state)
{
    (void)state;
    static const char A[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 40 */
    char text[1024];
    struct error err = {0};
    const int length =
        snprintf(text, sizeof text,
                 "runs: [{a: {%s: x=1}, b: {%s: x=1}, c: {%s: x=1}, d: {%s: x=1}}]", A, A, A, A);
    assert_false(sweep_parse(&sweep, "s.yaml", text, (size_t)length, &err));
    assert_non_null(strstr(err.message, "a run's name would be longer than 127 characters"));
    snprintf(text, sizeof text, "runs: [{a: {%sb: x=1}}]", A);
    assert_false(sweep_parse(&sweep, "s.yaml", text, strlen(text), &err));
}

static void base_stands_beside_the_file_and_dir_is_named_after_it(void **state)
{
    (void)state;
    static const char TEXT[] = "base: b.yaml\nruns: [{a: {b: []}}]\n";
    assert_true(file_make_folders("some/where", NULL));
    assert_true(file_replace("some/where/s.yaml", TEXT, strlen(TEXT), NULL));
    assert_true(file_replace("s.yaml", TEXT, strlen(TEXT), NULL));
    assert_true(sweep_load(&sweep, "some/where/s.yaml", NULL));
    assert_string_equal(sweep.base, "some/where/b.yaml");
    assert_string_equal(sweep.dir, "runs/s");
    assert_true(sweep_load(&sweep, "s.yaml", NULL));
    assert_string_equal(sweep.base, "b.yaml");
}

static void a_run_of_too_many_words_is_refused(void **state)
{
    (void)state;
    static const char *more[SWEEP_RUN_WORDS];
    struct sweep_run run;
    struct error err = {0};
    for (int i = 0; i < SWEEP_RUN_WORDS; i++) {
        more[i] = "train.steps=1";
    }
    struct sweep_options options = {
        .overrides = more, .n_overrides = SWEEP_RUN_WORDS - 1, .n_jobs = 1};
    parse("runs: [{a: {b: []}}]");
    assert_true(sweep_make_run(&run, &sweep, 0, &options, &err));
    assert_int_equal(run.n_overrides, SWEEP_RUN_WORDS);
    options.n_overrides++;
    assert_false(sweep_make_run(&run, &sweep, 0, &options, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
}

static void a_file_of_too_many_words_is_refused(void **state)
{
    (void)state;
    enum { WORD = 4 };
    static char text[(SWEEP_MAX_WORDS + 1) * WORD + 64];
    struct error err = {0};
    for (int n = SWEEP_MAX_WORDS; n <= SWEEP_MAX_WORDS + 1; n++) {
        struct text t = {text, sizeof text, 0};
        text_add(&t, "set: [");
        for (int i = 0; i < n; i++) {
            text_add(&t, "a=1,");
        }
        text_add(&t, "]\nruns: [{a: {b: []}}]\n");
        assert_true(t.length < sizeof text);
        const bool is_read = sweep_parse(&sweep, "words.yaml", text, t.length, &err);
        assert_int_equal(is_read, n == SWEEP_MAX_WORDS);
    }
    assert_non_null(strstr(err.message, "too many words"));
}

/* A run's folder as train leaves it. */
static void leave_run(const char *dir, const char *const *words, int n_words,
                      enum run_state run_state, int64_t step)
{
    static struct config config;
    static char text[1 << 16];
    struct rundir r = {0};
    const size_t n = (config_load(&config, NULL, n_words, words, NULL),
                      config_dump(&config, false, text, sizeof text));
    assert_true(rundir_open(&r, dir, NULL, NULL));
    assert_true(rundir_write_file(&r, "config.yaml", text, n, NULL));
    assert_true(rundir_write_status(&r, run_state, "", true, step, NULL));
    rundir_close(&r);
}

static struct sweep_entry look(int index)
{
    struct sweep_entry entry;
    struct error err = {0};
    if (!sweep_look(&entry, &sweep, index, &plain, &err)) {
        fail_msg("%s", err.message);
    }
    return entry;
}

static void a_folder_tells_what_is_done(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"train.steps=8", "optim.lr=1e-3"};
    static const char METRICS[] =
        "{\"step\": 8, \"loss\": 1.5, \"time_s\": 3, \"val_loss\": 1.25}\n";
    parse("dir: out\nset: [train.steps=8, optim.lr=1e-3]\nruns: [{a: {b: []}}]\n");
    assert_int_equal(look(0).state, SWEEP_NEW);
    leave_run("out/b", WORDS, 2, RUN_STARTING, 0);
    assert_int_equal(look(0).state, SWEEP_NEW);
    leave_run("out/b", WORDS, 2, RUN_TRAINING, 2);
    assert_int_equal(look(0).state, SWEEP_BEGUN);
    assert_int_equal(look(0).step, 2);
    leave_run("out/b", WORDS, 2, RUN_FAILED, 2);
    const struct sweep_entry failed = look(0);
    assert_string_equal(sweep_state_name(&failed), "failed");
    leave_run("out/b", WORDS, 2, RUN_DONE, 8);
    assert_true(isnan(look(0).val_loss));
    assert_true(file_replace("out/b/metrics.jsonl", METRICS, strlen(METRICS), NULL));
    const struct sweep_entry entry = look(0);
    assert_int_equal(entry.state, SWEEP_DONE);
    assert_true(entry.val_loss == 1.25 && entry.loss == 1.5 && entry.time_s == 3.0);
    parse("dir: out\nset: [train.steps=8, optim.lr=1e-3, checkpoint.every=1, train.log_every=2]\n"
          "runs: [{a: {b: []}}]\n");
    assert_int_equal(look(0).state, SWEEP_DONE); /* what changes no number may differ */
}

/* A crash leaves a STATUS ahead of the checkpoint; a run that has failed is not gone on with. */
static void work_counts_from_where_a_run_goes_on(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"train.steps=8"};
    parse("dir: crashed\nset: [train.steps=8]\nruns: [{a: {b: []}}]\n");
    leave_run("crashed/b", WORDS, 1, RUN_TRAINING, 6);
    struct sweep_entry entry = look(0);
    assert_true(sweep_flops_here(&entry) == 0.0);
    assert_true(sweep_flops_left(&entry) == entry.flops * 0.25 + entry.eval_flops);
    leave_run("crashed/b", WORDS, 1, RUN_TRAINING, 2);
    sweep_refresh(&entry, "crashed/b");
    assert_true(sweep_flops_here(&entry) == 0.0);
    leave_run("crashed/b", WORDS, 1, RUN_TRAINING, 4);
    sweep_refresh(&entry, "crashed/b");
    assert_true(sweep_flops_here(&entry) == entry.flops * 0.25);
    assert_true(sweep_flops_left(&entry) == entry.flops * 0.5 + entry.eval_flops);
    entry.exit_code = ERROR_GUARD;
    assert_true(sweep_flops_left(&entry) == 0.0);
}

/* 2 of 8 equal runs in a minute; a run that has failed is not waited for. */
static void what_is_left_is_told_by_what_was_done(void **state)
{
    (void)state;
    char text[SWEEP_PROGRESS_BYTES];
    struct sweep_entry entries[8];
    for (int i = 0; i < 8; i++) {
        entries[i] = (struct sweep_entry){.n_steps = 4, .flops = 1e9};
    }
    sweep_describe_progress(text, entries, false, 8, 0.0, 0.0);
    assert_string_equal(text, "0 of 8 runs done, 0 % of the work");
    entries[0].state = entries[1].state = SWEEP_DONE;
    entries[0].step = entries[1].step = 4;
    sweep_describe_progress(text, entries, false, 8, 60.0, 2e9);
    assert_string_equal(text, "2 of 8 runs done, 25 % of the work, about 3:00 left");
    entries[2].step = 2;
    entries[3].exit_code = ERROR_GUARD;
    sweep_describe_progress(text, entries, false, 8, 3600.0, 2.5e9);
    assert_string_equal(text, "2 of 8 runs done, 31 % of the work, about 1:48:00 left");
    entries[4].is_held = true;
    sweep_describe_progress(text, entries, false, 8, 3600.0, 2.5e9);
    assert_string_equal(text, "2 of 8 runs done, 31 % of the work, about 1:24:00 left");
    sweep_describe_progress(text, entries, true, 8, 3600.0, 2.5e9);
    assert_string_equal(text, "2 of 8 runs done, 31 % of the work, about 1:48:00 left");
}

/* Steps take 100 each, an evaluation 50: after steps 4, 8 and the last, 10. */
static void evaluations_are_work(void **state)
{
    (void)state;
    static const struct {
        int64_t step;
        double done;
    } CASES[] = {{0, 0.0}, {3, 300.0}, {4, 450.0}, {9, 1000.0}, {10, 1100.0}};
    struct sweep_entry entry = {
        .n_steps = 10, .flops = 1000.0, .eval_flops = 50.0, .eval_every = 4};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        entry.step = CASES[i].step;
        assert_true(sweep_flops_done(&entry) == CASES[i].done);
        assert_true(sweep_flops_left(&entry) == 1150.0 - CASES[i].done);
    }
    entry.step_before = 10; /* this sitting began in its last evaluation */
    assert_true(sweep_flops_here(&entry) == 0.0);
    entry.state = SWEEP_DONE;
    assert_true(sweep_flops_here(&entry) == 0.0);
    assert_true(sweep_flops_left(&entry) == 0.0);
    entry.eval_every = 5; /* the last is due in any case */
    assert_true(sweep_flops_all(&entry) == 1100.0);
    entry.eval_every = 0;
    assert_true(sweep_flops_all(&entry) == 1000.0);
}

static void runs_save_every_ten_minutes_unless_base_says_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *base, *first;
    } CASES[] = {{"run: {seed: 3}\n", "checkpoint.minutes=10"},
                 {"checkpoint: {minutes: 30}\n", "train.steps=8"}};
    static const char FILE_TEXT[] =
        "dir: out\nbase: base.yaml\nset: [train.steps=8]\nruns: [{a: {b: []}}]\n";
    assert_true(file_replace("clock.yaml", FILE_TEXT, strlen(FILE_TEXT), NULL));
    for (int i = 0; i < 2; i++) {
        struct sweep_run run;
        struct error err = {0};
        assert_true(file_replace("base.yaml", CASES[i].base, strlen(CASES[i].base), NULL));
        assert_true(sweep_load(&sweep, "clock.yaml", &err));
        assert_true(sweep_make_run(&run, &sweep, 0, &plain, &err));
        assert_string_equal(run.overrides[0], CASES[i].first);
    }
}

static void the_folder_of_another_run_is_refused(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"optim.lr=1e-3"};
    struct sweep_entry entries[2];
    struct error err = {0};
    parse("dir: out\nruns: [{a: {b: [], c: model.dim=0}}]\n");
    leave_run("out/b", WORDS, 1, RUN_DONE, 1000);
    assert_false(sweep_look_at_all(entries, &sweep, &plain, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_string_equal(
        err.message,
        "run b: out/b holds another run, with optim.lr 0.001, not 0.003: move it away, "
        "or give the sweep another dir\n"
        "run c: override model.dim=0: model.dim: found 0, expected an integer from 2 to 65536");
}

static double flops_of(const char *word)
{
    const struct sweep_options options = {.n_overrides = 1, .overrides = &word, .n_jobs = 1};
    struct sweep_entry entry;
    assert_true(sweep_look(&entry, &sweep, 0, &options, NULL));
    return entry.flops;
}

static void work_grows_with_steps_and_reads(void **state)
{
    (void)state;
    parse("runs: [{a: {b: [train.steps=10, model.kind=standard]}}]\n");
    assert_true(flops_of("train.steps=20") == 2.0 * flops_of("train.steps=10"));
    assert_true(flops_of("model.kind=full") > flops_of("model.kind=standard"));
}

static void draw(const struct model_config *model, const char *name, float *out)
{
    const struct depth_plan depth = depth_plan_make(model);
    struct params params;
    params_init(&params, model, &depth);
    params_draw(params_find_name(&params, name), 7, out);
    params_finish(&params);
}

/* What pairs runs: a row of every role is drawn the same, whatever the kind. */
static void kinds_of_a_seed_share_their_initial_weights(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"model.embed_tokens.weight",
                                        "model.layers.1.self_attn.o_proj.weight",
                                        "model.layers.0.mlp.gate_proj.weight", "lm_head.weight"};
    static struct config config;
    static float standard[256 * 16], other[256 * 16];
    const char *const words[] = {"model.dim=16", "model.ff=16", "model.layers=2"};
    assert_true(config_load(&config, NULL, 3, words, NULL));
    for (enum model_kind kind = MODEL_STANDARD; kind <= MODEL_BLOCK_FULL; kind++) {
        for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
            memset(standard, 0, sizeof standard);
            memset(other, 0, sizeof other);
            config.model.kind = MODEL_STANDARD;
            draw(&config.model, NAMES[i], standard);
            config.model.kind = kind;
            draw(&config.model, NAMES[i], other);
            assert_true(standard[0] != 0.0F);
            assert_memory_equal(standard, other, sizeof standard);
        }
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_axis_turns_fastest),
        cmocka_unit_test(a_run_has_the_words_of_the_file_its_values_the_line_and_its_folder),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(a_thousand_and_twenty_four_runs_and_no_more),
        cmocka_unit_test(names_too_long_for_a_folder_are_refused),
        IN_FOLDER(base_stands_beside_the_file_and_dir_is_named_after_it),
        cmocka_unit_test(a_run_of_too_many_words_is_refused),
        cmocka_unit_test(a_file_of_too_many_words_is_refused),
        IN_FOLDER(a_folder_tells_what_is_done),
        IN_FOLDER(work_counts_from_where_a_run_goes_on),
        cmocka_unit_test(what_is_left_is_told_by_what_was_done),
        cmocka_unit_test(evaluations_are_work),
        IN_FOLDER(runs_save_every_ten_minutes_unless_base_says_otherwise),
        IN_FOLDER(the_folder_of_another_run_is_refused),
        IN_FOLDER(work_grows_with_steps_and_reads),
        cmocka_unit_test(kinds_of_a_seed_share_their_initial_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
