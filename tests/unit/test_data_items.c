#include <attnres/data.h>
#include <attnres/file.h>
#include <attnres/zip.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../support/folder.h"

struct recorded {
    enum task_kind task;
    uint64_t seed;
    int count, hops;
    uint32_t crc;
};

/* Written by tests/golden/multihop_reference.py --checksums. */
static const struct recorded RECORDED[] = {
    {TASK_PTR, 1U, 300, 0, 0x8A7C4AC1},
    {TASK_PTR, 2U, 300, 0, 0x1E846D9C},
    {TASK_PTR, 1001U, 300, 0, 0x530023F4},
    {TASK_PTR, 1U, 300, 1, 0x9248002A},
    {TASK_PTR, 7U, 300, 3, 0x8BF45E08},
    {TASK_PTR, 9223372036854775813U, 300, 6, 0x1FDA40E1},
    {TASK_PTR, 1U, 300, 12, 0xCA587C91},
    {TASK_PHOP, 1U, 300, 0, 0x8D8F549F},
    {TASK_PHOP, 2U, 300, 0, 0x74BBC743},
    {TASK_PHOP, 1001U, 300, 0, 0xB8FC40A9},
    {TASK_PHOP, 1U, 300, 1, 0x83C245D5},
    {TASK_PHOP, 7U, 300, 3, 0x3DE36AD1},
    {TASK_PHOP, 9223372036854775813U, 300, 6, 0xE59788FB},
    {TASK_PHOP, 1U, 300, 12, 0xA701B784},
    {TASK_VARS, 1U, 300, 0, 0x636A5967},
    {TASK_VARS, 2U, 300, 0, 0xCBD4BD8B},
    {TASK_VARS, 1001U, 300, 0, 0xCB1EAF11},
    {TASK_VARS, 1U, 300, 1, 0x359BDB0D},
    {TASK_VARS, 7U, 300, 3, 0xF2DBC6CD},
    {TASK_VARS, 9223372036854775813U, 300, 6, 0x4AEC162B},
    {TASK_VARS, 1U, 300, 10, 0xF7A77464},
    {TASK_PERM, 1U, 300, 0, 0x0413F6BB},
    {TASK_PERM, 2U, 300, 0, 0xF5047734},
    {TASK_PERM, 1001U, 300, 0, 0x4453B1ED},
    {TASK_PERM, 1U, 300, 1, 0x6C8951A1},
    {TASK_PERM, 7U, 300, 3, 0x89A25C2D},
    {TASK_PERM, 9223372036854775813U, 300, 6, 0xD2C02B8D},
    {TASK_PERM, 1U, 300, 12, 0xEFE023A2},
};

static void expect_recorded(const struct recorded *recorded, size_t n)
{
    char folder[64];
    char path[96];
    assert_true(folder_make(folder, sizeof folder, "items"));
    snprintf(path, sizeof path, "%s/items", folder);
    struct error err = {0};
    for (size_t i = 0; i < n; i++) {
        assert_true(data_write_items(recorded[i].task, recorded[i].seed, recorded[i].count,
                                     recorded[i].hops, path, &err));
        struct file_bytes written = {0};
        assert_true(file_read(&written, path, 1 << 20, &err));
        assert_int_equal(zip_crc32(0, written.bytes, written.length), recorded[i].crc);
        file_bytes_finish(&written);
    }
    assert_true(file_remove_tree(folder, &err));
}

static void items_equal_the_reference_generator(void **state)
{
    (void)state;
    expect_recorded(RECORDED, sizeof RECORDED / sizeof RECORDED[0]);
}

/* Recorded before five and six hops were there: runs were trained on these. */
static void stories_are_those_that_recorded_runs_were_trained_on(void **state)
{
    (void)state;
    static const struct recorded STORIES[] = {
        {TASK_STORIES, 1U, 300, 0, 0xD23A7099},    {TASK_STORIES, 2U, 300, 0, 0x4C0A7C9C},
        {TASK_STORIES, 1001U, 300, 0, 0xC6AFF9A7}, {TASK_STORIES, 1U, 300, 1, 0xBEAC4D01},
        {TASK_STORIES, 7U, 300, 2, 0xFCAA4F02},    {TASK_STORIES, 1001U, 300, 3, 0x5F7F984C},
        {TASK_STORIES, 1005U, 300, 4, 0x248DF3E9},
    };
    expect_recorded(STORIES, sizeof STORIES / sizeof STORIES[0]);
}

static void hops_beyond_the_task_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(data_write_items(TASK_PTR, 1, 1, 13, "-", &err));
    assert_int_equal(err.kind, ERROR_USAGE);
}

static void every_task_asks_for_more_hops_than_training_shows(void **state)
{
    (void)state;
    for (int task = 0; task < TASK_KINDS; task++) {
        const int farthest = data_task_farthest_hops((enum task_kind)task);
        assert_true(farthest > data_task_max_hops((enum task_kind)task));
        for (uint64_t index = 0; index < 50; index++) {
            struct data_item item;
            data_make_item(&item, (enum task_kind)task, 1, index, farthest);
            assert_int_equal(item.hops, farthest);
        }
    }
}

/* Counted here by comparing every item with every other. */
static void the_best_constant_answer_is_the_commonest(void **state)
{
    (void)state;
    enum { N = 60, HOPS = 2 };
    for (int task = 0; task < TASK_KINDS; task++) {
        struct data_item items[N];
        int n_most = 0;
        for (int i = 0; i < N; i++) {
            data_make_item(&items[i], (enum task_kind)task, 1, (uint64_t)i, HOPS);
        }
        for (int i = 0; i < N; i++) {
            int n = 0;
            for (int k = 0; k < N; k++) {
                n += strcmp(items[i].text + items[i].prompt_length,
                            items[k].text + items[k].prompt_length) == 0;
            }
            n_most = n > n_most ? n : n_most;
        }
        const double found = data_best_constant((enum task_kind)task, 1, HOPS, N);
        assert_true(found * N > n_most - 0.5 && found * N < n_most + 0.5);
    }
}

/** "12 35 41|2=" by the last n swaps, done in their order. */
static char answer_perm(const char *prompt, int hops, int n)
{
    char held[] = "ABCDE";
    for (int i = hops - n; i < hops; i++) {
        char *const a = &held[prompt[3 * i] - '1'], *const b = &held[prompt[3 * i + 1] - '1'];
        const char kept = *a;
        *a = *b;
        *b = kept;
    }
    return held[prompt[3 * hops] - '1'];
}

/** "3:abac...=" by n hops from the last letter. */
static char answer_phop(const char *prompt, int hops, int n)
{
    (void)hops;
    const char *const letters = strchr(prompt, ':') + 1;
    const char *at = strchr(letters, '=') - 1;
    for (int i = 0; i < n; i++) {
        const char letter = *at;
        do {
            at--;
        } while (*at != letter);
        at++;
    }
    return *at;
}

/** What is assigned to a variable in "b=a+3;a=7;...?b=". */
static const char *find_assignment(const char *prompt, char name)
{
    const char *at = prompt;
    while (at[0] != name || at[1] != '=') {
        at = strchr(at, ';') + 1;
    }
    return at + 2;
}

static int value_of(const char *prompt, char name)
{
    const char *const value = find_assignment(prompt, name);
    if (value[0] <= '9') {
        return value[0] - '0';
    }
    const int operand = value[2] - '0';
    return (value_of(prompt, value[0]) + (value[1] == '-' ? 10 - operand : operand)) % 10;
}

/** The value of the variable that takes n assignments, on the way to the one asked for. */
static char answer_vars(const char *prompt, int hops, int n)
{
    char name = strchr(prompt, '?')[1];
    for (int i = n; i < hops && n > 0; i++) {
        name = find_assignment(prompt, name)[0];
    }
    return n > 0 ? (char)('0' + value_of(prompt, name)) : '?';
}

/** How many of n_items are right after some fewer hops, of these the best, and after all. */
static void count_early(enum task_kind task, int hops, int n_items, int *n_best, int *n_after_all)
{
    char (*const answer)(const char *, int, int) = task == TASK_PERM   ? answer_perm
                                                   : task == TASK_PHOP ? answer_phop
                                                                       : answer_vars;
    *n_best = 0;
    for (int j = 0; j <= hops; j++) {
        int n = 0;
        for (int i = 0; i < n_items; i++) {
            struct data_item item;
            data_make_item(&item, task, 1, (uint64_t)i, hops);
            n += answer(item.text, hops, j) == item.text[item.prompt_length];
        }
        *n_best = j < hops && n > *n_best ? n : *n_best;
        *n_after_all = n;
    }
}

/* Answered here from the prompts. */
static void the_shortcut_is_the_best_of_stopping_early(void **state)
{
    (void)state;
    enum { N = 100 };
    static const enum task_kind TASKS[] = {TASK_PERM, TASK_PHOP, TASK_VARS};
    for (int t = 0; t < 3; t++) {
        for (int hops = 1; hops <= data_task_farthest_hops(TASKS[t]); hops++) {
            int n_best, n_after_all;
            count_early(TASKS[t], hops, N, &n_best, &n_after_all);
            assert_int_equal(n_after_all, N);
            const double found = data_best_shortcut(TASKS[t], 1, hops, N);
            assert_true(found * N > n_best - 0.5 && found * N < n_best + 0.5);
        }
    }
}

/* Of 500 items of one swap 303 do not touch who is asked; nor does the first swap of two in 299. */
static void the_shortcut_of_perm_is_to_miss_a_swap(void **state)
{
    (void)state;
    assert_true(data_best_shortcut(TASK_PERM, 1, 1, 500) == 303.0 / 500);
    assert_true(data_best_shortcut(TASK_PERM, 1, 2, 500) == 299.0 / 500);
}

/* The names of a cycle and the kinds of a story's way differ from hop to hop. */
static void ptr_and_stories_have_no_shortcut(void **state)
{
    (void)state;
    static const enum task_kind TASKS[] = {TASK_PTR, TASK_STORIES};
    for (int t = 0; t < 2; t++) {
        for (int hops = 1; hops <= data_task_farthest_hops(TASKS[t]); hops++) {
            assert_true(data_best_shortcut(TASKS[t], 1, hops, 50) == 0.0);
        }
    }
}

static int count_different_letters(const char *text, int length)
{
    bool is_there[256] = {false};
    int n = 0;
    for (int i = 0; i < length; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z' && !is_there[(int)text[i]]) {
            is_there[(int)text[i]] = true;
            n++;
        }
    }
    return n;
}

/* Of ptr the letters of the prompt but the one asked from, of stories the words of the right type
 * in it; of the others every answer that some item has. */
static void guesses_are_the_answers_that_a_prompt_leaves_possible(void **state)
{
    (void)state;
    enum { N = 400 };
    for (int task = 0; task < TASK_KINDS; task++) {
        const int guesses = data_task_guesses((enum task_kind)task);
        bool is_answer[256] = {false};
        int n_answers = 0;
        for (uint64_t i = 0; i < N; i++) {
            struct data_item item;
            data_make_item(&item, (enum task_kind)task, 1, i, 0);
            const unsigned char first = (unsigned char)item.text[item.prompt_length];
            n_answers += !is_answer[first];
            is_answer[first] = true;
            if (task == TASK_PTR) {
                n_answers = count_different_letters(item.text, item.prompt_length) - 1;
                assert_int_equal(n_answers, guesses);
            } else if (task == TASK_STORIES) {
                n_answers = item.n_options;
            }
        }
        assert_int_equal(n_answers, guesses);
    }
}

/* What a run of seed 1 trains on are items of seed 1001, not those of test (1) or validation (2).
 */
static void training_items_are_not_those_that_are_asked(void **state)
{
    (void)state;
    static const char *const OVERRIDES[] = {"data.kind=synthetic", "data.task=ptr", "run.seed=1"};
    struct config config;
    struct data *data = NULL;
    struct data_position position = {0};
    struct error err = {0};
    enum { T = 128 };
    int32_t tokens[T], targets[T];
    assert_true(config_load(&config, NULL, 3, OVERRIDES, &err));
    assert_true(data_open(&data, &config.data, DATA_TRAIN, config.run.seed, T, 256, &err));
    data_read(data, &position, 1, tokens, targets);
    data_close(data);
    static const uint64_t SEEDS[] = {1, 2, 1001};
    for (int k = 0; k < 3; k++) {
        struct data_item item;
        data_make_item(&item, TASK_PTR, SEEDS[k], 0, 0);
        bool is_same = true;
        for (int i = 0; i < item.prompt_length; i++) {
            is_same = is_same && tokens[i] == (unsigned char)item.text[i];
        }
        assert_int_equal(is_same, SEEDS[k] == 1001);
    }
}

static int count_option(const struct data_item *item, const char *word, size_t length)
{
    int n = 0;
    for (int i = 0; i < item->n_options; i++) {
        n += strlen(item->options[i]) == length && memcmp(item->options[i], word, length) == 0;
    }
    return n;
}

static void every_item_offers_its_answer_once(void **state)
{
    (void)state;
    for (int task = 0; task < TASK_KINDS; task++) {
        for (uint64_t index = 0; index < 200; index++) {
            struct data_item item;
            data_make_item(&item, (enum task_kind)task, 1, index, 0);
            const char *answer = item.text + item.prompt_length;
            assert_int_equal(count_option(&item, answer, (size_t)item.answer_length), 1);
            assert_in_range(item.hops, 1, data_task_max_hops((enum task_kind)task));
            assert_int_equal(answer[item.answer_length], '\n');
        }
    }
}

/* Occurrences of a whole word in the prompt, from byte `from` on. */
static int count_word(const struct data_item *item, int from, const char *word)
{
    int n = 0;
    const size_t length = strlen(word);
    for (const char *at = item->text + from;
         (at = strstr(at, word)) != NULL && at < item->text + item->prompt_length; at += length) {
        const char before = at > item->text ? at[-1] : ' ';
        const char after = at[length];
        n += strchr(" .'", before) != NULL && strchr(" .',?\n", after) != NULL;
    }
    return n;
}

/* Each candidate stands in the facts equally often and nowhere else, so that copying any word of
 * the right type is right exactly once in n_options. */
static void stories_mention_candidates_equally_often(void **state)
{
    (void)state;
    for (uint64_t index = 0; index < 700; index++) {
        struct data_item item;
        data_make_item(&item, TASK_STORIES, 1, index, (int)(index % 7)); /* 0: drawn */
        assert_true(item.n_options >= 2);
        const int expected = count_word(&item, 0, item.options[0]);
        assert_in_range(expected, 1, 4);
        for (int i = 1; i < item.n_options; i++) {
            assert_int_equal(count_word(&item, 0, item.options[i]), expected);
        }
    }
}

/* Where the fact about a name leads, looked up in the text; hats lead nowhere. */
static void follow_fact(const char *text, char *name)
{
    static const char *const VERBS[] = {"fed", "saw", "bit", "ate"};
    for (size_t v = 0; v < sizeof VERBS / sizeof VERBS[0]; v++) {
        char fact[32];
        snprintf(fact, sizeof fact, "%s %s ", name, VERBS[v]);
        const char *found = strstr(text, fact);
        if (found != NULL) {
            assert_int_equal(sscanf(found + strlen(fact), "%15[a-zA-Z]", name), 1);
            return;
        }
    }
    fail_msg("no fact about %s", name);
}

/** The child whose name is last in the text. */
static void find_asked(const char *text, char *name)
{
    static const char *const CHILDREN[] = {"Ann", "Bob", "Dan"};
    const char *last = text;
    for (const char *at = text; *at != '\0'; at++) {
        for (int i = 0; i < 3; i++) {
            last = strncmp(at, CHILDREN[i], 3) == 0 ? at : last;
        }
    }
    snprintf(name, 4, "%.3s", last);
}

static void stories_are_answered_by_as_many_facts_as_hops(void **state)
{
    (void)state;
    for (uint64_t index = 0; index < 300; index++) {
        struct data_item item;
        const int hops = 1 + (int)(index % 6);
        data_make_item(&item, TASK_STORIES, 1, index, hops);
        char name[16];
        find_asked(item.text, name);
        for (int i = 0; i < hops; i++) {
            follow_fact(item.text, name);
        }
        assert_int_equal(strlen(name), item.answer_length);
        assert_memory_equal(name, item.text + item.prompt_length, strlen(name));
    }
}

static void stories_fit_a_short_window_and_draw_hops_evenly(void **state)
{
    (void)state;
    int n[5] = {0};
    for (uint64_t index = 0; index < 2000; index++) {
        struct data_item item;
        data_make_item(&item, TASK_STORIES, 7, index, 0);
        assert_true(item.prompt_length + item.answer_length < 320);
        n[item.hops]++;
    }
    for (int hops = 1; hops <= 4; hops++) {
        assert_in_range(n[hops], 400, 600);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_equal_the_reference_generator),
        cmocka_unit_test(stories_are_those_that_recorded_runs_were_trained_on),
        cmocka_unit_test(hops_beyond_the_task_are_refused),
        cmocka_unit_test(every_task_asks_for_more_hops_than_training_shows),
        cmocka_unit_test(the_best_constant_answer_is_the_commonest),
        cmocka_unit_test(the_shortcut_is_the_best_of_stopping_early),
        cmocka_unit_test(the_shortcut_of_perm_is_to_miss_a_swap),
        cmocka_unit_test(ptr_and_stories_have_no_shortcut),
        cmocka_unit_test(guesses_are_the_answers_that_a_prompt_leaves_possible),
        cmocka_unit_test(training_items_are_not_those_that_are_asked),
        cmocka_unit_test(every_item_offers_its_answer_once),
        cmocka_unit_test(stories_mention_candidates_equally_often),
        cmocka_unit_test(stories_are_answered_by_as_many_facts_as_hops),
        cmocka_unit_test(stories_fit_a_short_window_and_draw_hops_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
