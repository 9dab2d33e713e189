#include "data_internal.h"

/* Small worlds in plain English. Three children each feed a dog; each dog saw a cat, each cat bit a
 * mouse, each mouse ate something. The question asks what is k hops from a child:
 *
 *      Ann fed Rex. Bob fed Ace. Dan fed Jet. So Bob fed Ace. Ann's dog is Rex. So Dan fed Jet.
 *      Jet saw Fay. Rex saw Tom. Ace saw Leo. Which cat for Ann? |Tom
 *
 * Names and who leads to whom are drawn for each world, and nothing but the facts says them. Each
 * candidate answer stands in the prompt exactly once. The first hop of every child is asked and
 * answered beforehand (where it is the question itself, the colour each child wore instead); these
 * never name a candidate and come in an order of their own, so that copying any word of the right
 * kind is right once in N_CAST. First letters differ within a kind: a model of bytes decides with
 * one byte.
 *
 * Training shows one to four hops. Five and six need no other words: on the way to the food, mice
 * bite other mice, and of six hops, cats see other cats. */
enum { N_CAST = 3, N_POOL = 8, N_WORDINGS = 3 };

/* A kind's number is its distance from the child, but for the colour. */
enum kind { CHILD, DOG, CAT, MOUSE, FOOD, COLOUR, N_KINDS };

static const struct {
    const char *noun;
    const char *verb; /* says what leads to one of this kind */
    int n_names;
    const char *names[N_POOL];
} KINDS[N_KINDS] = {
    [CHILD] = {"child", "", 3, {"Ann", "Bob", "Dan"}},
    [DOG] = {"dog", "fed", 8, {"Gus", "Jet", "Moe", "Rex", "Ace", "Tug", "Sky", "Nip"}},
    [CAT] = {"cat", "saw", 8, {"Fay", "Kit", "Leo", "Tom", "Sox", "Viv", "Pru", "Nix"}},
    [MOUSE] = {"mouse", "bit", 8, {"Hob", "Pip", "Wee", "Zed", "Dot", "Jib", "Mim", "Nub"}},
    [FOOD] = {"food", "ate", 8, {"corn", "nuts", "oats", "rice", "peas", "figs", "ham", "kale"}},
    [COLOUR] = {"hat",
                "wore",
                8,
                {"red", "blue", "green", "pink", "white", "teal", "amber", "lilac"}},
};

/* Starting from child i, following the facts finds names[kind][i], and where they lead to a second
 * one of the kind, names[kind][N_CAST + i]. */
struct story {
    const char *names[N_KINDS][N_POOL];
};

static void draw_names(struct story *s, struct rng *r, enum kind kind)
{
    int order[N_POOL];
    for (int i = 0; i < KINDS[kind].n_names; i++) {
        order[i] = i;
    }
    if (kind != CHILD) {
        shuffle_ints(r, order, KINDS[kind].n_names);
    }
    for (int i = 0; i < KINDS[kind].n_names; i++) {
        s->names[kind][i] = KINDS[kind].names[order[i]];
    }
}

static bool is_of_child(enum kind kind)
{
    return kind == DOG || kind == COLOUR;
}

/* What leads to each of a kind: the children in their order, all others shuffled, so that no place
 * in the text tells which chain a name belongs to. */
static void add_facts(struct data_item *item, struct rng *r, const char *const *from,
                      enum kind kind, const char *const *to)
{
    int order[N_CAST] = {0, 1, 2};
    if (!is_of_child(kind)) {
        shuffle_ints(r, order, N_CAST);
    }
    for (int i = 0; i < N_CAST; i++) {
        item_add(item, "%s %s %s. ", from[order[i]], KINDS[kind].verb, to[order[i]]);
    }
}

/* Half of the one-hop questions repeat the wording of the fact. */
static void add_question(struct data_item *item, struct rng *r, const char *child, enum kind kind)
{
    const char *noun = KINDS[kind].noun;
    if (is_of_child(kind) && rng_below(r, 2) == 0) {
        item_add(item, "So %s %s ", child, KINDS[kind].verb);
        return;
    }
    switch (rng_below(r, N_WORDINGS)) {
    case 0:
        item_add(item, "%s's %s is ", child, noun);
        break;
    case 1:
        item_add(item, "The %s of %s is ", noun, child);
        break;
    default:
        item_add(item, "Which %s for %s? ", noun, child);
    }
}

/* Ask for each of the children, in any order, and answer. */
static void add_solved_questions(struct data_item *item, const struct story *s, struct rng *r,
                                 enum kind kind)
{
    int order[N_CAST] = {0, 1, 2};
    shuffle_ints(r, order, N_CAST);
    for (int i = 0; i < N_CAST; i++) {
        add_question(item, r, s->names[CHILD][order[i]], kind);
        item_add(item, "%s. ", s->names[kind][order[i]]);
    }
}

/* From the children, or from their dogs, to the kind that is asked for. Each hop beyond as many as
 * there are kinds is one within a kind, of the last ones before. */
static void add_way(struct data_item *item, const struct story *s, struct rng *r, enum kind asked)
{
    const int n_detours = item->hops - (int)asked;
    const enum kind first = asked == DOG ? DOG : CAT;
    const char *const *from = s->names[first - 1];
    for (enum kind kind = first; kind <= asked; kind++) {
        add_facts(item, r, from, kind, s->names[kind]);
        from = s->names[kind];
        if (kind != asked && kind + n_detours >= asked) {
            add_facts(item, r, from, kind, from + N_CAST);
            from += N_CAST;
        }
    }
}

void task_make_stories(struct data_item *item, struct rng *r, int hops)
{
    item->hops = hops != 0 ? hops : 1 + (int)rng_below(r, FOOD);
    const enum kind asked = item->hops < FOOD ? (enum kind)item->hops : FOOD;
    struct story s;
    for (int kind = 0; kind < N_KINDS; kind++) {
        draw_names(&s, r, (enum kind)kind);
    }
    const enum kind solved = asked == DOG ? COLOUR : DOG;
    add_facts(item, r, s.names[CHILD], solved, s.names[solved]);
    add_solved_questions(item, &s, r, solved);
    add_way(item, &s, r, asked);
    const uint64_t start = rng_below(r, N_CAST);
    add_question(item, r, s.names[CHILD][start], asked);
    item_answer(item, s.names[asked][start]);
    for (int i = 0; i < N_CAST; i++) {
        item_add_option(item, s.names[asked][i]);
    }
}
