#include "data_internal.h"

#include <assert.h>

/* Five people hold five things and swap k times: "12 35 41|2=" asks what person 2 holds. A hop
 * leads from a person after a swap to the one who held the same thing before it. */
enum { N_PEOPLE = 5, MAX_HOPS = 8, FARTHEST_HOPS = 12 };

struct swap {
    int a, b;
};

static struct swap swap_things(struct data_item *item, int *held, struct rng *r, bool first)
{
    const int a = (int)rng_below(r, N_PEOPLE);
    const int drawn = (int)rng_below(r, N_PEOPLE - 1);
    const int b = drawn >= a ? drawn + 1 : drawn;
    const int kept = held[a];
    held[a] = held[b];
    held[b] = kept;
    item_add(item, "%s%d%d", first ? "" : " ", a + 1, b + 1);
    return (struct swap){a, b};
}

/* Who takes the person that is reached for one who has swapped nothing yet answers with that
 * person's own thing. */
static void follow_back(struct data_item *item, const struct swap *swaps, int asked, int answer)
{
    int person = asked;
    for (int j = 0; j < item->hops; j++) {
        item_stop_early(item, j, person == answer);
        const struct swap s = swaps[item->hops - 1 - j];
        person = person == s.a ? s.b : person == s.b ? s.a : person;
    }
    assert(person == answer);
}

void task_make_perm(struct data_item *item, struct rng *r, int hops)
{
    item->hops = hops != 0 ? hops : 1 + (int)rng_below(r, MAX_HOPS);
    int held[N_PEOPLE] = {0, 1, 2, 3, 4};
    struct swap swaps[FARTHEST_HOPS];
    assert(item->hops <= FARTHEST_HOPS);
    for (int i = 0; i < item->hops; i++) {
        swaps[i] = swap_things(item, held, r, i == 0);
    }
    const int asked = (int)rng_below(r, N_PEOPLE);
    item_add(item, "|%d=", asked + 1);
    follow_back(item, swaps, asked, held[asked]);
    char others[N_PEOPLE];
    int n_others = 0;
    for (int thing = 0; thing < N_PEOPLE; thing++) {
        if (thing != held[asked]) {
            others[n_others++] = (char)('A' + thing);
        }
    }
    const char answer = (char)('A' + held[asked]);
    item_answer(item, (const char[2]){answer});
    item_draw_options(item, r, answer, others, n_others);
}
