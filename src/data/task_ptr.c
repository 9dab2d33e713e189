#include "data_internal.h"

#include <assert.h>
#include <string.h>

/* Pointer chasing on one cycle of n letters: "AQ CF ...|3A=X". Guessing a letter of the prompt is
 * right once in n - 1. */
enum { N_NODES = 16, N_LETTERS = 26, MAX_HOPS = 8 };

struct cycle {
    char names[N_LETTERS]; /* the first N_NODES are in use */
    int next[N_NODES];
    int orbit[N_NODES]; /* nodes by hops from the start */
};

/* Sattolo's shuffle yields a single cycle, so that 1 ... n-1 hops all end at different nodes. */
static void draw_cycle(struct cycle *c, struct rng *r)
{
    memcpy(c->names, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", N_LETTERS);
    shuffle_letters(r, c->names, N_LETTERS);
    for (int i = 0; i < N_NODES; i++) {
        c->next[i] = i;
    }
    for (int i = N_NODES - 1; i > 0; i--) {
        const uint64_t j = rng_below(r, (uint64_t)i);
        const int kept = c->next[i];
        c->next[i] = c->next[j];
        c->next[j] = kept;
    }
}

static void follow_cycle(struct cycle *c, int start)
{
    c->orbit[0] = start;
    for (int i = 1; i < N_NODES; i++) {
        c->orbit[i] = c->next[c->orbit[i - 1]];
    }
}

/* Distractors: the nodes one hop short and one too far, then others of the cycle. */
static void add_options(struct data_item *item, const struct cycle *c, struct rng *r, int hops)
{
    char options[5] = {c->names[c->orbit[hops]]};
    int n = 1;
    if (hops > 1) {
        options[n++] = c->names[c->orbit[hops - 1]];
    }
    options[n++] = c->names[c->orbit[hops + 1]];
    while (n < 4) {
        const char drawn = c->names[c->orbit[1 + rng_below(r, N_NODES - 1)]];
        if (memchr(options, drawn, (size_t)n) == NULL) {
            options[n++] = drawn;
        }
    }
    shuffle_letters(r, options, n);
    for (int i = 0; i < n; i++) {
        item_add_option(item, (const char[2]){options[i]});
    }
}

void task_make_ptr(struct data_item *item, struct rng *r, int hops)
{
    struct cycle c;
    draw_cycle(&c, r);
    int order[N_NODES];
    for (int i = 0; i < N_NODES; i++) {
        order[i] = i;
    }
    shuffle_ints(r, order, N_NODES);
    const int start = (int)rng_below(r, N_NODES);
    item->hops = hops != 0 ? hops : 1 + (int)rng_below(r, MAX_HOPS);
    assert(item->hops + 1 < N_NODES);
    follow_cycle(&c, start);
    for (int i = 0; i < N_NODES; i++) {
        item_add(item, "%s%c%c", i > 0 ? " " : "", c.names[order[i]], c.names[c.next[order[i]]]);
    }
    item_add(item, "|%d%c=", item->hops, c.names[start]);
    item_answer(item, (const char[2]){c.names[c.orbit[item->hops]]});
    add_options(item, &c, r, item->hops);
}
