#include "data_internal.h"

#include <stdbool.h>

/* p-hop induction (Sanford, Hsu, Telgarsky 2024): a string of letters without repeats in a row; one
 * hop goes to the latest earlier place that holds the same letter and steps to its successor. The
 * answer is the letter k hops from the last place. */
enum { N_PLACES = 64, N_LETTERS = 8, MAX_HOPS = 8 };

static void draw_string(int *s, struct rng *r)
{
    s[0] = (int)rng_below(r, N_LETTERS);
    for (int i = 1; i < N_PLACES; i++) {
        const int drawn = (int)rng_below(r, N_LETTERS - 1);
        s[i] = drawn < s[i - 1] ? drawn : drawn + 1;
    }
}

/* The place k hops from the last one, -1 if a letter on the way has no earlier place. */
static int follow_hops(const int *s, int hops)
{
    int place = N_PLACES - 1;
    for (int i = 0; i < hops; i++) {
        int earlier = place - 1;
        while (earlier >= 0 && s[earlier] != s[place]) {
            earlier--;
        }
        if (earlier < 0) {
            return -1;
        }
        place = earlier + 1;
    }
    return place;
}

void task_make_phop(struct data_item *item, struct rng *r, int hops)
{
    int s[N_PLACES];
    int place = -1;
    while (place < 0) {
        draw_string(s, r);
        item->hops = hops != 0 ? hops : 1 + (int)rng_below(r, MAX_HOPS);
        place = follow_hops(s, item->hops);
    }
    item_add(item, "%d:", item->hops);
    for (int i = 0; i < N_PLACES; i++) {
        item_add(item, "%c", 'a' + s[i]);
    }
    item_add(item, "=");
    for (int j = 0; j < item->hops; j++) {
        item_stop_early(item, j, s[follow_hops(s, j)] == s[place]);
    }
    char others[N_LETTERS];
    int n_others = 0;
    for (int letter = 0; letter < N_LETTERS; letter++) {
        if (letter != s[place]) {
            others[n_others++] = (char)('a' + letter);
        }
    }
    const char answer = (char)('a' + s[place]);
    item_answer(item, (const char[2]){answer});
    item_draw_options(item, r, answer, others, n_others);
}
