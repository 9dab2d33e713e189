#include "data_internal.h"

#include <assert.h>

/* Small worlds in plain English: each child leads to one dog, each dog to one cat, and so on to a
 * mouse and its food. A question starts at one of them and asks for what is k hops on:
 *
 *      Ann fed Rex. Bob fed Gus. Rex saw Tom. Gus saw Fay. So Bob fed Gus. Ann's cat is |Tom
 *
 * The world is one random bijection per hop over a fixed cast, and nothing but the facts says
 * which; every candidate answer stands in the facts equally often. Some questions are answered
 * beforehand, but never one that names a candidate, so that copying any word of the right kind is
 * right once in N_CAST and leaving out words already given as answers gains nothing. First letters
 * differ over the whole cast, so that a model of bytes decides with one byte. */
enum { N_KINDS = 5, N_RELATIONS = N_KINDS - 1, N_CAST = 4, N_VERBS = 3 };

static const struct {
    const char *noun;
    const char *names[N_CAST];
} KINDS[N_KINDS] = {
    {"child", {"Ann", "Bob", "Dan", "Eve"}},    {"dog", {"Gus", "Jet", "Moe", "Rex"}},
    {"cat", {"Fay", "Kit", "Leo", "Tom"}},      {"mouse", {"Hob", "Pip", "Wee", "Zed"}},
    {"food", {"corn", "nuts", "oats", "sago"}},
};

/* Of equal length, so that one fact looks like the next. */
static const char *const VERBS[N_RELATIONS][N_VERBS] = {
    {"fed", "led", "met"},
    {"saw", "bit", "met"},
    {"saw", "bit", "got"},
    {"ate", "had", "got"},
};

/* What item `start` of a relation's kind leads to, and the verb that says so. */
struct relation {
    int verb;
    int target[N_CAST];
};

struct story {
    struct relation relations[N_RELATIONS];
    int first, hops;  /* the graded question starts at kind `first` */
    int side;         /* the relation whose questions are answered beforehand */
    bool side_is_out; /* it is no part of the graded chain */
};

static void draw_relation(struct relation *relation, struct rng *r)
{
    relation->verb = (int)rng_below(r, N_VERBS);
    for (int i = 0; i < N_CAST; i++) {
        relation->target[i] = i;
    }
    shuffle_ints(r, relation->target, N_CAST);
}

/* The relation answered beforehand must not touch the kind asked for: a link before the last one of
 * the chain, or, where there is none, a relation apart from it. */
static void draw_side(struct story *s, struct rng *r)
{
    s->side_is_out = s->hops == 1;
    if (!s->side_is_out) {
        s->side = s->first + (int)rng_below(r, (uint64_t)s->hops - 1);
        return;
    }
    const int asked = s->first + 1;
    int apart[N_RELATIONS];
    int n = 0;
    for (int i = 0; i < N_RELATIONS; i++) {
        if (i != asked && i + 1 != asked) {
            apart[n++] = i;
        }
    }
    s->side = apart[rng_below(r, (uint64_t)n)];
}

static void draw_story(struct story *s, struct rng *r, int hops)
{
    s->hops = hops != 0 ? hops : 1 + (int)rng_below(r, N_RELATIONS);
    s->first = (int)rng_below(r, (uint64_t)(N_KINDS - s->hops));
    draw_side(s, r);
    for (int i = 0; i < N_RELATIONS; i++) {
        draw_relation(&s->relations[i], r);
    }
}

static const char *target_name(const struct story *s, int kind, int start, int hops)
{
    for (int i = 0; i < hops; i++) {
        start = s->relations[kind + i].target[start];
    }
    return KINDS[kind + hops].names[start];
}

static void add_facts(struct data_item *item, const struct story *s, struct rng *r)
{
    int facts[N_RELATIONS * N_CAST];
    int n = 0;
    for (int i = 0; i < N_RELATIONS; i++) {
        const bool in_chain = i >= s->first && i < s->first + s->hops;
        for (int start = 0; start < N_CAST && (in_chain || i == s->side); start++) {
            facts[n++] = i * N_CAST + start;
        }
    }
    shuffle_ints(r, facts, n);
    for (int i = 0; i < n; i++) {
        const int kind = facts[i] / N_CAST;
        const int start = facts[i] % N_CAST;
        item_add(item, "%s %s %s. ", KINDS[kind].names[start], VERBS[kind][s->relations[kind].verb],
                 target_name(s, kind, start, 1));
    }
}

/* Half of the one-hop questions repeat the wording of the fact; the rest name the kind asked for.
 */
static void add_question(struct data_item *item, const struct story *s, struct rng *r, int kind,
                         int start, int hops)
{
    const char *name = KINDS[kind].names[start];
    const char *noun = KINDS[kind + hops].noun;
    if (hops == 1 && rng_below(r, 2) == 0) {
        item_add(item, "So %s %s ", name, VERBS[kind][s->relations[kind].verb]);
        return;
    }
    switch (rng_below(r, 3)) {
    case 0:
        item_add(item, "%s's %s is ", name, noun);
        break;
    case 1:
        item_add(item, "The %s of %s is ", noun, name);
        break;
    default:
        item_add(item, "Which %s for %s? ", noun, name);
    }
}

static void add_solved_questions(struct data_item *item, const struct story *s, struct rng *r)
{
    int order[N_CAST] = {0, 1, 2, 3};
    shuffle_ints(r, order, N_CAST);
    const int n = s->hops < N_RELATIONS ? N_CAST : N_CAST / 2;
    for (int i = 0; i < n; i++) {
        add_question(item, s, r, s->side, order[i], 1);
        item_add(item, "%s. ", target_name(s, s->side, order[i], 1));
    }
}

void task_make_stories(struct data_item *item, struct rng *r, int hops)
{
    struct story s;
    draw_story(&s, r, hops);
    item->hops = s.hops;
    add_facts(item, &s, r);
    add_solved_questions(item, &s, r);
    const int start = (int)rng_below(r, N_CAST);
    add_question(item, &s, r, s.first, start, s.hops);
    item_answer(item, target_name(&s, s.first, start, s.hops));
    for (int i = 0; i < N_CAST; i++) {
        item_add_option(item, KINDS[s.first + s.hops].names[i]);
    }
}
