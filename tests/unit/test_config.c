#include <attnres/config.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TEXT_BYTES = 1 << 17 };

static bool parse(struct config *config, const char *yaml, struct error *err)
{
    *err = (struct error){0};
    return config_parse(config, "f.yaml", yaml, strlen(yaml), 0, NULL, err);
}

static bool override(struct config *config, const char *const text, struct error *err)
{
    *err = (struct error){0};
    return config_parse(config, "f.yaml", "", 0, 1, &text, err);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in\n%s", part, text);
    }
}

static void an_empty_file_is_all_defaults(void **state)
{
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "---\n...\n", "model:\n", "{}"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct config c;
        struct error err;
        assert_true(parse(&c, files[i], &err));
        assert_string_equal(c.run.dir, "auto");
        assert_int_equal(c.model.kind, MODEL_BLOCK_FULL);
        assert_int_equal(c.model.n_layers, 8);
        assert_int_equal(c.pipeline.n_stages, 0);
        assert_int_equal(c.pipeline.partition, PARTITION_AUTO);
        assert_int_equal(c.pipeline.schedule, SCHEDULE_1F1B);
        assert_true(c.optim.lr == 3e-3 && c.model.norm_eps == 1e-8);
        assert_int_equal(c.data.max_bytes, 4000000000);
        assert_string_equal(c.data.train, "");
        assert_int_equal(c.memory.limit_bytes, 0);
        assert_int_equal(c.guard.max_skips, 10);
    }
}

static void a_file_sets_what_it_names(void **state)
{
    (void)state;
    struct config c;
    struct error err;
    assert_true(parse(&c,
                      "model: {kind: \"block\", layers: 4, blocks: 4, tied: yes, norm_eps: 1E-10}\n"
                      "pipeline:\n  stages: 2\n  partition: [3, 5]\n  schedule: gpipe\n"
                      "data:\n  tasks: {ptr: 1, vars: .5}\n  max_bytes: 1.5e3\n"
                      "run: {dir: 'runs/my run'}\n",
                      &err));
    assert_int_equal(c.model.kind, MODEL_BLOCK);
    assert_true(c.model.tied && c.model.norm_eps == 1e-10);
    assert_int_equal(c.pipeline.partition, PARTITION_LIST);
    assert_int_equal(c.pipeline.n_partition, 2);
    assert_int_equal(c.pipeline.partition_list[1], 5);
    assert_int_equal(c.data.n_tasks, 2);
    assert_int_equal(c.data.tasks[1].task, TASK_VARS);
    assert_true(c.data.tasks[1].weight == 0.5);
    assert_int_equal(c.data.max_bytes, 1500);
    assert_string_equal(c.run.dir, "runs/my run");
}

/* Each bad file with a part of the message it must bring. */
static const struct {
    const char *yaml, *message;
} bad_files[] = {
    {"model:\n  dmi: 64\n", "f.yaml:2:3: model.dmi: unknown key (nearest: model.dim)"},
    {"modle:\n  dim: 64\n", "f.yaml:1:1: modle: unknown section (nearest: model)"},
    {"train: {lr: 1}\n", "train.lr: unknown key (nearest: optim.lr)"},
    {"dim: 64\n", "dim: unknown section (nearest: model.dim)"},
    {"model.dim: 64\n", "model.dim: a file gives it as dim under its section"},
    {"model: {\"\\0\": 1}\n", "f.yaml:1:9: model.?: unknown key"},
    {"model: {dim: 64, dim: 64}\n", "f.yaml:1:18: model.dim: duplicate key (first at line 1)"},
    {"model: {}\nmodel: {}\n", "f.yaml:2:1: model: duplicate section"},
    {"model: 64\n", "model: is a section, expected its keys below it"},
    {"model: [dim]\n", "model: is a section"},
    {"- model\n", "expected sections"},
    {"model\n", "expected sections"},
    {"model:\n  dim: {a: 1}\n", "model.dim: found a mapping, expected an integer from 2 to 65536"},
    {"model: {dim: [64]}\n", "model.dim: found a list"},
    {"model: {dim: }\n", "model.dim: found nothing"},
    {"model: {[a]: 1}\n", "found a list, expected a key"},
    {"model: {dim: \"64\"}\n", "model.dim: found \"64\", expected an integer"},
    {"model: {tied: \"true\"}\n", "model.tied: found \"true\", expected true or false"},
    {"model: {tied: 1}\n", "expected true or false"},
    {"model: {dim: 0x40}\n", "found 0x40"},
    {"model: {dim: 064}\n", "found 064"},
    {"model: {dim: 6_4}\n", "found 6_4"},
    {"model: {dim: 64.5}\n", "found 64.5"},
    {"model: {dim: 645e-1}\n", "found 645e-1"},
    {"model: {dim: 1e999}\n", "found 1e999"},
    {"model: {dim: 99999999999999999999}\n", "found 99999999999999999999"},
    {"model: {dim: -64}\n", "expected an integer from 2 to 65536"},
    {"model: {dim: 64 k}\n", "found 64 k"},
    {"optim: {lr: nan}\n", "optim.lr: found nan, expected a number from 0 to 1000"},
    {"optim: {lr: .inf}\n", "found .inf"},
    {"optim: {lr: 1e999}\n", "found 1e999"},
    {"optim: {lr: 1e-999}\n", "found 1e-999"},
    {"optim: {lr: 1e}\n", "found 1e"},
    {"optim: {lr: .}\n", "found ."},
    {"optim: {lr: 0x1p3}\n", "found 0x1p3"},
    {"optim: {beta2: 1}\n", "optim.beta2: found 1"},
    {"optim: {min_lr_ratio: 1.5}\n",
     "optim.min_lr_ratio: found 1.5, expected a number from 0 to 1"},
    {"model: {kind: blok}\n", "found blok, expected one of standard, full, block, block_full"},
    {"pipeline: {chunks: 65}\n", "pipeline.chunks: found 65"},
    {"pipeline: {deflate: maybe}\n",
     "pipeline.deflate: found maybe, expected one of off, on, auto"},
    {"pipeline: {schedule: zb_h2}\n", "expected one of gpipe, 1f1b"},
    {"model: {kind: standard}\nrepresentative: {value: bf16}\n",
     "model.kind standard has no representatives"},
    {"representative: {gradient: int8}\n", "found int8, expected one of f32, bf16"},
    {"checkpoint: {snapshot_bytes: 0}\n", "found 0, expected auto or an integer from 1"},
    {"data: {skip: [7-3]}\n", "data.skip: found 7-3, expected a list of at most 256 ranges"},
    {"data: {skip: [-3]}\n", "data.skip: found -3, expected a list"},
    {"data: {skip: [3-]}\n", "data.skip: found 3-, expected a list"},
    {"data: {skip: [3-4-5]}\n", "data.skip: found 3-4-5, expected a list"},
    {"data: {skip: ['3']}\n", "data.skip: found \"3\", expected a list"},
    {"data: {skip: 3}\n", "data.skip: found 3, expected a list"},
    {"run: {dir: }\n", "run.dir: found nothing"},
    {"run: {dir: \"a\\0b\"}\n", "run.dir: found \"a?b\""},
    {"run: {dir: \"a\\Lb\"}\n", "run.dir: found"},
    {"data: {tasks: {ptr: 1, ptr: 2}}\n", "data.tasks: duplicate task ptr"},
    {"data: {tasks: {ptr: 0}}\n", "data.tasks: found ptr: 0"},
    {"data: {tasks: {prt: 1}}\n", "data.tasks: found prt: 1"},
    {"data: {tasks: [ptr]}\n", "data.tasks: found a list"},
    {"data: {tasks: ptr}\n", "data.tasks: found ptr"},
    {"data: {tasks: {ptr: {}}}\n", "data.tasks: found a mapping"},
    {"pipeline: {partition: [8, 0]}\n", "pipeline.partition: found 0"},
    {"pipeline: {partition: [8, [8]]}\n", "pipeline.partition: found a list"},
    {"pipeline: {partition: []}\n", "pipeline.partition: found an empty list"},
    {"pipeline: {partition: some}\n", "pipeline.partition: found some"},
    {"model: &m {dim: 64}\n", "anchors are not allowed (found &m)"},
    {"model: {dim: &d 64}\n", "anchors are not allowed (found &d)"},
    {"data: {train: *.txt}\n", "f.yaml:1:"},
    {"data: {train: *all}\n", "aliases are not allowed (found *all; quote it if it is text)"},
    {"model: !!map {dim: 64}\n", "tags are not allowed"},
    {"model: {dim: !!int 64}\n", "tags are not allowed"},
    {"model: {}\n---\nmodel: {}\n", "f.yaml:2:1: a second document is not allowed"},
    {"model: {dim: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}\n", "nested deeper than 16 levels"},
    {"model: {dim: 64\n", "f.yaml:2:1: not YAML: "},
    {"model:\n\tdim: 64\n", "f.yaml:2:1: not YAML: "},
    {"model:\n  dim: 6\x01\n", "f.yaml:2:9: byte 0x01"},
    {"# \xc3\xa9 \xff\n", "f.yaml:1:5: byte 0xff"},
    {"# \xed\xa0\x80\n", "byte 0xed"},
    {"# \xc0\xaf\n", "byte 0xc0"},
    {"\xff\xfe\n", "f.yaml:1:1: byte 0xff"},
    /* Rules between keys. */
    {"model: {dim: 130}\n", "f.yaml:1:14: model.heads: 4 does not divide model.dim 130 (nearest "
                            "legal: 1 and 5)"},
    {"model: {dim: 60}\n", "model.heads: 4 heads of model.dim 60 have 15 dimensions each, an odd "
                           "number that RoPE cannot pair (nearest legal: 3 and 5)"},
    {"model: {heads: 8, kv_heads: 3}\n", "model.kv_heads: 3 does not divide model.heads 8 (nearest "
                                         "legal: 2 and 4)"},
    {"model: {blocks: 9}\n", "model.blocks: 9 blocks cannot be cut from the 16 sublayers of "
                             "model.layers 8 (nearest legal: 8 and 16)"},
    {"model: {kind: standard, read: static}\n", "model.kind standard has no reads"},
    {"pipeline: {replicas: 3}\n",
     "pipeline.replicas: 3 cannot share the 8 microbatches of a step evenly "
     "(batch.sequences 16 / batch.microbatch 2; nearest legal: 2 and 4)"},
    {"batch: {microbatch: 3}\n", "batch.microbatch: 3 does not divide batch.sequences 16 (nearest "
                                 "legal: 2 and 4)"},
    {"batch: {microbatch: 65536, sequences: 65536}\nmodel: {seq_len: 1024}\n",
     "batch.microbatch: 65536 sequences of model.seq_len 1024"},
    {"batch: {sequences: 1048576}\nmodel: {seq_len: 4096}\n",
     "batch.sequences: 1048576 sequences of model.seq_len 4096"},
    {"pipeline: {stages: 17}\n", "pipeline.stages: 17 stages for the 16 sublayers"},
    {"pipeline: {stages: 3, partition: [8, 8]}\n",
     "a list of 2, but pipeline.stages x pipeline.chunks is 3"},
    {"pipeline: {partition: [8, 9]}\n", "pipeline.partition: a sum of 17, but model.layers 8 are "
                                        "16 sublayers"},
    {"data: {kind: text}\n", "f.yaml:1:14: data.train: found none, but data.kind text needs it"},
    {"data: {train: a.txt}\n", "data.train: found a path, but data.kind is synthetic"},
    {"model: {vocab: 100}\n", "model.vocab: found 100, but data.kind synthetic is bytes"},
    {"data: {kind: tokens, train: a.bin, tasks: {ptr: 1}}\n", "data.tasks: found a mixture"},
    {"data: {kind: text, train: a.txt, loss: answer}\n", "data.kind text has no answers"},
    {"model: {seq_len: 100}\ndata: {skip: [5-10, 0-9999994]}\n",
     "(legal at model.seq_len 100: up to 10000000 in all)"},
};

static void a_bad_file_is_refused_where_it_is_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        struct config c;
        struct error err;
        if (parse(&c, bad_files[i].yaml, &err)) {
            fail_msg("accepted: %s", bad_files[i].yaml);
        }
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_contains(err.message, bad_files[i].message);
    }
}

static void numbers_may_be_spelt_in_every_plain_way(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } reals[] = {{"1e-3", 1e-3}, {"1E-3", 1e-3},  {".5", 0.5},    {"3", 3},        {"3.", 3},
                 {"+0.5", 0.5},  {"1e+2", 100},   {"0", 0},       {"-0", 0},       {"0e0", 0},
                 {"0.1", 0.1},   {"12.5e1", 125}, {"1000", 1000}, {"1e-20", 1e-20}};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        char text[64];
        struct config c;
        struct error err;
        snprintf(text, sizeof text, "optim.lr=%s", reals[i].text);
        assert_true(override(&c, text, &err));
        assert_true(c.optim.lr == reals[i].value);
    }
    static const struct {
        const char *text;
        int64_t value;
    } integers[] = {{"64", 64},
                    {"6.4e1", 64},
                    {"640e-1", 64},
                    {"+64", 64},
                    {"64.0", 64},
                    {"4e9", 4000000000},
                    {"1e15", 1000000000000000}};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        char text[64];
        struct config c;
        struct error err;
        snprintf(text, sizeof text, "data.max_bytes=%s", integers[i].text);
        assert_true(override(&c, text, &err));
        assert_int_equal(c.data.max_bytes, integers[i].value);
    }
}

static void all_problems_are_reported_together(void **state)
{
    (void)state;
    const char *yaml = "model:\n  dmi: 64\n  dim: x\n  heads: 3\nbatch: {microbatch: 5}\n"
                       "run: 3\noptim: {lr: *a}\nnonsense:\n  a: {b: [c]}\n";
    const char *overrides[] = {"optim.beta=1", "train.steps=0"};
    struct config c;
    struct error err = {0};
    assert_false(config_parse(&c, "f.yaml", yaml, strlen(yaml), 2, overrides, &err));
    assert_string_equal(
        err.message,
        "f.yaml:2:3: model.dmi: unknown key (nearest: model.dim)\n"
        "f.yaml:3:8: model.dim: found x, expected an integer from 2 to 65536\n"
        "f.yaml:6:6: run: is a section, expected its keys below it\n"
        "f.yaml:7:13: aliases are not allowed (found *a; quote it if it is text)\n"
        "f.yaml:8:1: nonsense: unknown section (nearest: model)\n"
        "override optim.beta=1: optim.beta: unknown key (nearest: optim.beta1)\n"
        "override train.steps=0: train.steps: found 0, expected an integer from 1 to 1000000000\n"
        "f.yaml:4:10: model.kv_heads: 4 does not divide model.heads 3 (nearest legal: 3)\n"
        "f.yaml:5:21: batch.microbatch: 5 does not divide batch.sequences 16 (nearest legal: 4 and "
        "8)");
}

static void overrides_come_after_the_file(void **state)
{
    (void)state;
    const char *yaml = "model: {dim: 64}\npipeline: {partition: [8, 8]}\n";
    const char *overrides[] = {"model.dim=32",         "model.dim=256",
                               "model.layers=4",       "pipeline.partition=[3,5]",
                               "data.kind=text",       "data.train=*.txt # [not yaml]",
                               "pipeline.stages=auto", "data.val=",
                               "data.tasks={}",        "data.skip=[]",
                               "memory.limit=1e9",     "pipeline.cache=off"};
    struct config c;
    struct error err = {0};
    const bool is_read = config_parse(&c, "f.yaml", yaml, strlen(yaml),
                                      sizeof overrides / sizeof overrides[0], overrides, &err);
    assert_string_equal(err.message, "");
    assert_true(is_read);
    assert_int_equal(c.model.dim, 256);
    assert_int_equal(c.pipeline.n_partition, 2);
    assert_int_equal(c.pipeline.partition_list[0], 3);
    assert_string_equal(c.data.train, "*.txt # [not yaml]");
    assert_int_equal(c.memory.limit_bytes, 1000000000);
}

static void windows_to_skip_are_ranges_or_single_ones(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    char text[CONFIG_EXPLAIN_BYTES];
    assert_true(override(&c, "data.skip=[1600-1615, 3, 1e3-2e3]", &err));
    assert_int_equal(c.data.n_skips, 3);
    assert_int_equal(c.data.skips[0].first, 1600);
    assert_int_equal(c.data.skips[0].last, 1615);
    assert_int_equal(c.data.skips[1].first, 3);
    assert_int_equal(c.data.skips[1].last, 3);
    assert_int_equal(c.data.skips[2].last, 2000);
    config_dump(&c, false, text, sizeof text);
    assert_contains(text, "  skip: [1600-1615, 3, 1000-2000]\n");
    assert_true(parse(&c, "model: {seq_len: 100}\ndata: {skip: [0-9999999]}\n", &err));
    assert_true(parse(&c, "data: {kind: tokens, train: a.bin, skip: [0-999999999999]}\n", &err));
}

static void a_bad_override_names_itself(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"model.dmi=3", "override model.dmi=3: model.dmi: unknown key (nearest: model.dim)"},
        {"model.d\x1b[2Jim=3", "override model.d?[2Jim=3: model.d?[2Jim: unknown key"},
        {"model.dim", "override model.dim: expected key=value"},
        {"model={dim: 64}", "model is a section: give its keys one by one, model.KEY=VALUE"},
        {"=3", "unknown key"},
        {"model.dim=", "override model.dim=: model.dim: found nothing"},
        {"model.dim=a: b", "found a mapping"},
        {"model.dim=[1", "override model.dim=[1: not YAML"},
        {"model.dim=\"64\"", "found \"64\""},
        {"model.dim=64 65", "found 64 65"},
        {"pipeline.partition=[3,5", "not YAML"},
        {"pipeline.partition=[3,5]",
         "override pipeline.partition=[3,5]: pipeline.partition: a sum "},
        {"data.tasks={ptr: -1}", "found ptr: -1"},
        {"run.dir=a\nb", "run.dir: found \"a?b\""},
        {"run.dir=a\xff", "run.dir: found"},
        {"model.heads=64\xff", "byte 0xff"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config c;
        struct error err;
        assert_false(override(&c, bad[i].text, &err));
        assert_contains(err.message, bad[i].message);
    }
}

static void hostile_sizes_end_in_one_clear_error(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    const size_t length = CONFIG_MAX_FILE_BYTES + 1;
    char *bytes = malloc(length);
    assert_non_null(bytes);
    memset(bytes, '#', length);
    assert_false(config_parse(&c, "f.yaml", bytes, length, 0, NULL, &err));
    assert_contains(err.message, "more than the 1048576");
    static const char *const fillings[] = {"[",      "{",   "a:\n", "- ", "? ",
                                           "a: b\n", "[],", "\"",   "\0"};
    for (size_t i = 0; i < sizeof fillings / sizeof fillings[0]; i++) {
        const size_t n = fillings[i][0] == '\0' ? 1 : strlen(fillings[i]);
        for (size_t at = 0; at < CONFIG_MAX_FILE_BYTES; at++) {
            bytes[at] = fillings[i][at % n];
        }
        err = (struct error){0};
        assert_false(config_parse(&c, "f.yaml", bytes, CONFIG_MAX_FILE_BYTES, 0, NULL, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
    }
    free(bytes);
}

static void any_prefix_of_a_file_is_read_or_refused(void **state)
{
    (void)state;
    const char *yaml = "model: {kind: \"block\", layers: 4}\npipeline:\n  partition: [3, 5]\n"
                       "data:\n  tasks: {ptr: 1, vars: .5}\nrun: {dir: 'runs/\xc3\xa9'}\n";
    for (size_t length = 0; length < strlen(yaml); length++) {
        struct config c;
        struct error err = {0};
        char *copy = malloc(length + 1); /* of its exact size, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, yaml, length);
        const bool is_read = config_parse(&c, "f.yaml", copy, length, 0, NULL, &err);
        assert_true(is_read == (err.kind == ERROR_NONE));
        free(copy);
    }
}

static char *dump(const struct config *c, bool with_help)
{
    char *text = malloc(TEXT_BYTES);
    assert_non_null(text);
    const size_t length = config_dump(c, with_help, text, TEXT_BYTES);
    assert_true(length < TEXT_BYTES);
    assert_int_equal(length, strlen(text));
    assert_int_equal(length, config_dump(c, with_help, NULL, 0));
    return text;
}

static void dump_then_load_then_dump_is_equal(void **state)
{
    (void)state;
    static const char *const files[] = {
        "",
        ("model: {layers: 4, norm_eps: 1.2345678901234567e-8, tied: on, kind: full, read: static}\n"
         "pipeline: {partition: [3, 5], stages: 2, schedule: gpipe}\n"
         "data: {tasks: {ptr: 0.1, perm: 1e6, vars: 3.3333333333333335}, loss: answer}\n"
         "run: {dir: \"-a b: \\\"#\\\\ \xc3\xa9\xe2\x82\xac\", seed: 1e15}\n"
         "optim: {lr: 0.1e-30, clip: 123456789.125, eps: 1e-30, schedule: wsd}\n"
         "memory: {limit: 1048577}\ncompute: {threads: 3}\n"),
        ("data: {kind: text, train: '*.txt', val: \"null\"}\npipeline: {partition: blocks}\n"
         "train: {init: '...'}\n"),
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        for (int with_help = 0; with_help < 2; with_help++) {
            struct config a, b;
            struct error err;
            assert_true(parse(&a, files[i], &err));
            char *first = dump(&a, with_help);
            const bool is_read = parse(&b, first, &err);
            assert_string_equal(err.message, "");
            assert_true(is_read);
            char *second = dump(&b, with_help);
            assert_string_equal(first, second);
            free(first);
            free(second);
        }
    }
}

static void count_rule(void *user, const char *key, const char *value_a, const char *value_b,
                       enum config_resume_rule rule)
{
    (void)key;
    assert_string_not_equal(value_a, value_b);
    ((int *)user)[rule]++;
}

static void compare_tells_what_resume_makes_of_a_change(void **state)
{
    (void)state;
    struct config a, b;
    struct error err;
    assert_true(parse(&a, "", &err));
    assert_true(parse(&b,
                      "run: {dir: x}\nmodel: {dim: 64, heads: 2, kv_heads: 2}\n"
                      "pipeline: {stages: 2, partition: [8, 8]}\n"
                      "optim: {lr: 1e-3}\ntrain: {steps: 2000, init: x, eval_every: 7}\n",
                      &err));
    int n_rules[3] = {0};
    config_compare(&a, &a, count_rule, n_rules);
    assert_int_equal(n_rules[0] + n_rules[1] + n_rules[2], 0);
    config_compare(&a, &b, count_rule, n_rules);
    assert_int_equal(n_rules[CONFIG_RESUME_FREE], 4);
    assert_int_equal(n_rules[CONFIG_RESUME_WARN], 3);
    assert_int_equal(n_rules[CONFIG_RESUME_REFUSE], 3);
}

static void assert_fits_80_columns(const char *text)
{
    for (const char *line = text; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        if (length > 80) {
            fail_msg("%zu columns: %.*s", length, (int)length, line);
        }
        line += length + (line[length] == '\n');
    }
}

static void help_fits_80_columns_and_its_buffer(void **state)
{
    (void)state;
    struct error err = {0};
    char text[CONFIG_EXPLAIN_BYTES] = "";
    assert_true(config_list(text, sizeof text) < sizeof text);
    assert_contains(text, "model.norm_eps");
    assert_fits_80_columns(text);
    static const char *const keys[] = {"model", "optim",        "data",       "pipeline",
                                       "train", "model.blocks", "data.tasks", "checkpoint"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(config_explain(keys[i], text, sizeof text, &err));
        assert_true(strlen(text) + 1 < sizeof text);
        assert_fits_80_columns(text);
    }
    assert_true(config_explain("optim.lr", text, sizeof text, &err));
    assert_string_equal(text, "optim.lr\n    Peak learning rate, reached after the warm-up.\n"
                              "    Values:    a number from 0 to 1000\n    Default:   3e-3\n"
                              "    On resume: may change, with a warning.\n");
    assert_false(config_explain("optim.rl", text, sizeof text, &err));
    assert_int_equal(err.kind, ERROR_USAGE);
    assert_contains(err.message, "nearest: optim.lr");
}

static void legal_block_counts_are_found(void **state)
{
    (void)state;
    for (int64_t sublayers = 1; sublayers <= 60; sublayers++) {
        bool is_legal[70] = {false};
        for (int64_t per_block = 1; per_block <= sublayers; per_block++) {
            is_legal[(sublayers + per_block - 1) / per_block] = true;
        }
        for (int64_t blocks = 1; blocks < 70; blocks++) {
            int64_t below = -1, above = -1, lower = blocks - 1, upper = blocks + 1;
            while (lower > 0 && !is_legal[lower]) {
                lower--;
            }
            while (upper < 70 && !is_legal[upper]) {
                upper++;
            }
            assert_true(config_blocks_are_legal(sublayers, blocks, &below, &above) ==
                        is_legal[blocks]);
            assert_int_equal(below, lower);
            assert_int_equal(above, upper < 70 ? upper : 0);
        }
    }
}

static void words_of_enums_are_those_of_the_file(void **state)
{
    (void)state;
    assert_string_equal(config_model_kind_name(MODEL_BLOCK_FULL), "block_full");
    assert_string_equal(config_schedule_name(SCHEDULE_1F1B), "1f1b");
    assert_string_equal(config_schedule_name(SCHEDULE_FORWARD), "forward");
    assert_string_equal(config_task_name(TASK_PHOP), "phop");
}

static void shipped_configurations_are_good(void **state)
{
    (void)state;
    const char *data = "data.train=corpus.txt";
    struct config c;
    struct error err = {0};
    assert_true(config_load(&c, SOURCE_ROOT "/configs/quickstart.yaml", 0, NULL, &err));
    assert_true(config_load(&c, SOURCE_ROOT "/configs/text.yaml", 1, &data, &err));
    assert_false(config_load(&c, SOURCE_ROOT "/configs/absent.yaml", 0, NULL, &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
}

static void reference_is_what_dump_writes(void **state)
{
    (void)state;
    static const char path[] = SOURCE_ROOT "/configs/reference.yaml";
    struct config c;
    struct error err = {0};
    assert_true(config_load(&c, NULL, 0, NULL, &err));
    char *expected = dump(&c, true);
    char *found = calloc(1, TEXT_BYTES);
    assert_non_null(found);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        const size_t length = fread(found, 1, TEXT_BYTES - 1, file);
        found[length] = '\0';
        fclose(file);
    }
    if (strcmp(found, expected) != 0) {
        fail_msg("%s is stale: write it with `test_config --write`", path);
    }
    free(found);
    free(expected);
}

static int write_reference(void)
{
    struct config c;
    struct error err = {0};
    FILE *file = fopen(SOURCE_ROOT "/configs/reference.yaml", "w");
    if (file == NULL || !config_load(&c, NULL, 0, NULL, &err)) {
        return 1;
    }
    char *text = dump(&c, true);
    const bool is_written = fputs(text, file) >= 0;
    free(text);
    return fclose(file) == 0 && is_written ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_reference();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_all_defaults),
        cmocka_unit_test(a_file_sets_what_it_names),
        cmocka_unit_test(a_bad_file_is_refused_where_it_is_bad),
        cmocka_unit_test(numbers_may_be_spelt_in_every_plain_way),
        cmocka_unit_test(all_problems_are_reported_together),
        cmocka_unit_test(overrides_come_after_the_file),
        cmocka_unit_test(windows_to_skip_are_ranges_or_single_ones),
        cmocka_unit_test(a_bad_override_names_itself),
        cmocka_unit_test(hostile_sizes_end_in_one_clear_error),
        cmocka_unit_test(any_prefix_of_a_file_is_read_or_refused),
        cmocka_unit_test(dump_then_load_then_dump_is_equal),
        cmocka_unit_test(compare_tells_what_resume_makes_of_a_change),
        cmocka_unit_test(help_fits_80_columns_and_its_buffer),
        cmocka_unit_test(legal_block_counts_are_found),
        cmocka_unit_test(words_of_enums_are_those_of_the_file),
        cmocka_unit_test(shipped_configurations_are_good),
        cmocka_unit_test(reference_is_what_dump_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
