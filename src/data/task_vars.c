#include "data_internal.h"

#include <stdio.h>
#include <string.h>

/* Assignments to ten variables, in random order, arithmetic modulo ten: "b=a+3;a=7;...?b=". The
 * first k form a chain; finding the value asked for takes k bindings. */
enum { N_VARIABLES = 10, N_LETTERS = 26, MODULUS = 10, MAX_HOPS = 6 };

struct assignment {
    char line[24];
    int value, depth;
};

static void draw_assignment(struct assignment *a, int i, int hops, const char *names, struct rng *r)
{
    if (i == 0 || (i > hops && rng_below(r, 3) == 0)) {
        a[i].value = (int)rng_below(r, MODULUS);
        a[i].depth = 1;
        snprintf(a[i].line, sizeof a[i].line, "%c=%d", names[i], a[i].value);
        return;
    }
    const int j = i < hops ? i - 1 : (int)rng_below(r, (uint64_t)i);
    const int minus = (int)rng_below(r, 2);
    const int operand = 1 + (int)rng_below(r, MODULUS - 1);
    a[i].value = (a[j].value + (minus ? MODULUS - operand : operand)) % MODULUS;
    a[i].depth = a[j].depth + 1;
    snprintf(a[i].line, sizeof a[i].line, "%c=%c%c%d", names[i], names[j], minus ? '-' : '+',
             operand);
}

void task_make_vars(struct data_item *item, struct rng *r, int hops)
{
    char names[N_LETTERS];
    memcpy(names, "abcdefghijklmnopqrstuvwxyz", N_LETTERS);
    shuffle_letters(r, names, N_LETTERS);
    const int drawn = hops != 0 ? hops : 1 + (int)rng_below(r, MAX_HOPS);
    struct assignment a[N_VARIABLES];
    int order[N_VARIABLES];
    for (int i = 0; i < N_VARIABLES; i++) {
        draw_assignment(a, i, drawn, names, r);
        order[i] = i;
    }
    shuffle_ints(r, order, N_VARIABLES);
    for (int i = 0; i < N_VARIABLES; i++) {
        item_add(item, "%s%s", i > 0 ? ";" : "", a[order[i]].line);
    }
    item_add(item, "?%c=", names[drawn - 1]);
    const char answer = (char)('0' + a[drawn - 1].value);
    char others[MODULUS];
    int n_others = 0;
    for (char digit = '0'; digit < '0' + MODULUS; digit++) {
        if (digit != answer) {
            others[n_others++] = digit;
        }
    }
    item->hops = a[drawn - 1].depth;
    for (int j = 1; j < item->hops; j++) {
        item_stop_early(item, j, a[j - 1].value == a[drawn - 1].value);
    }
    item_answer(item, (const char[2]){answer});
    item_draw_options(item, r, answer, others, n_others);
}
