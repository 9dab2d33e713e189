#include "data_internal.h"

/* Small worlds in plain English: each child leads to one dog, each dog to one cat, and so on to a
 * mouse and its food. A question starts at one of them and asks for what is k hops on:
 *
 *      Ann fed Rex. Bob fed Gus. So Bob fed Gus. Gus saw Fay. Rex saw Tom. Ann's cat is |Tom
 *
 * The world is one random bijection per hop over a fixed cast, and nothing but the facts says
 * which; every candidate answer stands in the facts equally often. Some questions are answered
 * beforehand, but never one that names a candidate, so that copying any word of the right kind is
 * right once in N_CAST, and leaving out words already given as answers gains nothing. First letters
 * differ over the whole cast: a model of bytes decides with one byte. */
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

/* What each of a kind leads to, and the verb that says so. */
struct relation {
    const char *verb;
    int target[N_CAST];
};

struct story {
    struct relation relations[N_RELATIONS];
    int first, hops; /* the graded question starts at kind `first` */
};

static void draw_story(struct story *s, struct rng *r, int hops)
{
    s->hops = hops != 0 ? hops : 1 + (int)rng_below(r, N_RELATIONS);
    s->first = (int)rng_below(r, (uint64_t)(N_KINDS - s->hops));
    for (int i = 0; i < N_RELATIONS; i++) {
        struct relation *relation = &s->relations[i];
        relation->verb = VERBS[i][rng_below(r, N_VERBS)];
        for (int k = 0; k < N_CAST; k++) {
            relation->target[k] = k;
        }
        shuffle_ints(r, relation->target, N_CAST);
    }
}

static const char *target_name(const struct story *s, int kind, int start, int hops)
{
    for (int i = 0; i < hops; i++) {
        start = s->relations[kind + i].target[start];
    }
    return KINDS[kind + hops].names[start];
}

/* Half of the one-hop questions repeat the wording of the fact; the rest name the kind asked for.
 */
static void add_question(struct data_item *item, const struct story *s, struct rng *r, int kind,
                         int start, int hops)
{
    const char *name = KINDS[kind].names[start];
    const char *noun = KINDS[kind + hops].noun;
    if (hops == 1 && rng_below(r, 2) == 0) {
        item_add(item, "So %s %s ", name, s->relations[kind].verb);
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

static void add_facts(struct data_item *item, const struct story *s, int kind)
{
    for (int start = 0; start < N_CAST; start++) {
        item_add(item, "%s %s %s. ", KINDS[kind].names[start], s->relations[kind].verb,
                 target_name(s, kind, start, 1));
    }
}

static void add_solved_question(struct data_item *item, const struct story *s, struct rng *r,
                                int kind)
{
    const int start = (int)rng_below(r, N_CAST);
    add_question(item, s, r, kind, start, 1);
    item_add(item, "%s. ", target_name(s, kind, start, 1));
}

/* A one-hop question stands behind another relation, one that does not touch the kind asked for. */
static void add_aside(struct data_item *item, const struct story *s, struct rng *r)
{
    const int asked = s->first + 1;
    int apart[N_RELATIONS];
    int n = 0;
    for (int i = 0; i < N_RELATIONS; i++) {
        if (i != asked && i + 1 != asked) {
            apart[n++] = i;
        }
    }
    const int kind = apart[rng_below(r, (uint64_t)n)];
    add_facts(item, s, kind);
    add_solved_question(item, s, r, kind);
}

void task_make_stories(struct data_item *item, struct rng *r, int hops)
{
    struct story s;
    draw_story(&s, r, hops);
    item->hops = s.hops;
    if (s.hops == 1) {
        add_aside(item, &s, r);
    }
    /* The longest chain has no room for solved questions in a window of 256 bytes. */
    const int n_solved = s.hops < N_RELATIONS ? s.hops - 1 : 0;
    for (int i = 0; i < s.hops; i++) {
        add_facts(item, &s, s.first + i);
        if (i < n_solved) {
            add_solved_question(item, &s, r, s.first + i);
        }
    }
    const int start = (int)rng_below(r, N_CAST);
    add_question(item, &s, r, s.first, start, s.hops);
    item_answer(item, target_name(&s, s.first, start, s.hops));
    for (int i = 0; i < N_CAST; i++) {
        item_add_option(item, KINDS[s.first + s.hops].names[i]);
    }
}
