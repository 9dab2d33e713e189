#include "data_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The streams' multipliers and the hash of the name are those of
 * tests/golden/multihop_reference.py: one stream per item, so that any item is made without the
 * ones before it. */
static const uint64_t SEED_FACTOR = 0xD1342543DE82EF95u;
static const uint64_t INDEX_FACTOR = 0x2545F4914F6CDD1Du;

static const struct task TASKS[TASK_KINDS] = {
    [TASK_STORIES] = {"stories", " ", 4, 6, 3, task_make_stories},
    [TASK_PTR] = {"ptr", "", 8, 12, 15, task_make_ptr},
    [TASK_PHOP] = {"phop", "", 8, 12, 8, task_make_phop},
    [TASK_VARS] = {"vars", "", 6, 10, 10, task_make_vars},
    [TASK_PERM] = {"perm", "", 8, 12, 5, task_make_perm},
};

const struct task *task_find(enum task_kind kind)
{
    assert(kind >= 0 && kind < TASK_KINDS);
    return &TASKS[kind];
}

int data_task_max_hops(enum task_kind task)
{
    return task_find(task)->max_hops;
}

int data_task_farthest_hops(enum task_kind task)
{
    return task_find(task)->farthest_hops;
}

int data_task_guesses(enum task_kind task)
{
    return task_find(task)->guesses;
}

static struct rng item_stream(const char *name, uint64_t seed, uint64_t index)
{
    uint64_t hash = 0;
    for (const char *c = name; *c != '\0'; c++) {
        hash = hash * 31 + (unsigned char)*c;
    }
    struct rng r = rng_stream(hash ^ seed * SEED_FACTOR ^ index * INDEX_FACTOR);
    rng_next(&r);
    return r;
}

void data_make_item(struct data_item *item, enum task_kind task, uint64_t seed, uint64_t index,
                    int hops)
{
    const struct task *t = task_find(task);
    assert(hops >= 0 && hops <= t->farthest_hops);
    struct rng r = item_stream(t->name, seed, index);
    item->text[0] = '\0';
    item->prompt_length = 0;
    item->answer_length = 0;
    item->right_early = 0;
    item->n_options = 0;
    t->make(item, &r, hops);
    const int length = item->prompt_length + item->answer_length;
    assert(item->answer_length > 0 && length + 1 < DATA_ITEM_BYTES);
    item->text[length] = '\n';
    item->text[length + 1] = '\0';
}

/** Different answers of items of one task and number of hops, and how often each is right. */
struct answers {
    char texts[DATA_MAX_OPTIONS][DATA_OPTION_BYTES];
    int64_t counts[DATA_MAX_OPTIONS];
    int n;
};

static void count_answer(struct answers *a, const struct data_item *item)
{
    const char *text = item->text + item->prompt_length;
    const size_t length = (size_t)item->answer_length;
    int i = 0;
    while (i < a->n && (strlen(a->texts[i]) != length || memcmp(a->texts[i], text, length) != 0)) {
        i++;
    }
    if (i == a->n) {
        assert(a->n < DATA_MAX_OPTIONS && length < DATA_OPTION_BYTES);
        memcpy(a->texts[a->n++], text, length);
    }
    a->counts[i]++;
}

double data_best_constant(enum task_kind task, uint64_t seed, int hops, int64_t n_items)
{
    struct answers answers = {0};
    struct data_item item;
    int64_t n_most = 0;
    for (int64_t i = 0; i < n_items; i++) {
        data_make_item(&item, task, seed, (uint64_t)i, hops);
        count_answer(&answers, &item);
    }
    for (int i = 0; i < answers.n; i++) {
        n_most = answers.counts[i] > n_most ? answers.counts[i] : n_most;
    }
    return n_items > 0 ? (double)n_most / (double)n_items : 0.0;
}

double data_best_shortcut(enum task_kind task, uint64_t seed, int hops, int64_t n_items)
{
    int64_t n_most = 0;
    for (int j = 0; j < hops; j++) {
        int64_t n_right = 0;
        for (int64_t i = 0; i < n_items; i++) {
            struct data_item item;
            data_make_item(&item, task, seed, (uint64_t)i, hops);
            n_right += item.right_early >> j & 1U;
        }
        n_most = n_right > n_most ? n_right : n_most;
    }
    return n_items > 0 ? (double)n_most / (double)n_items : 0.0;
}

void item_add(struct data_item *item, const char *format, ...)
{
    const size_t room = sizeof item->text - (size_t)item->prompt_length;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(item->text + item->prompt_length, room, format, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < room);
    item->prompt_length += length;
}

void item_answer(struct data_item *item, const char *answer)
{
    const size_t length = strlen(answer);
    assert((size_t)item->prompt_length + length + 2 <= sizeof item->text);
    memcpy(item->text + item->prompt_length, answer, length);
    item->answer_length = (int)length;
}

void item_stop_early(struct data_item *item, int n_hops, bool is_right)
{
    assert(n_hops >= 0 && n_hops < item->hops && item->hops <= 32);
    item->right_early |= (uint32_t)is_right << n_hops;
}

void item_add_option(struct data_item *item, const char *option)
{
    const size_t length = strlen(option);
    assert(item->n_options < DATA_MAX_OPTIONS && length < DATA_OPTION_BYTES);
    memcpy(item->options[item->n_options++], option, length + 1);
}

void item_draw_options(struct data_item *item, struct rng *r, char answer, char *others,
                       int n_others)
{
    assert(n_others >= 3);
    shuffle_letters(r, others, n_others);
    char options[4] = {answer, others[0], others[1], others[2]};
    shuffle_letters(r, options, 4);
    for (int i = 0; i < 4; i++) {
        item_add_option(item, (const char[2]){options[i]});
    }
}

void shuffle_letters(struct rng *r, char *letters, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const uint64_t j = rng_below(r, (uint64_t)i + 1);
        const char kept = letters[i];
        letters[i] = letters[j];
        letters[j] = kept;
    }
}

void shuffle_ints(struct rng *r, int *values, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const uint64_t j = rng_below(r, (uint64_t)i + 1);
        const int kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}
