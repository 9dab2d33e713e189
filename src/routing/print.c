#include <attnres/routing.h>

#include <attnres/text.h>

/* b0..b3 and 2 open */
static void add_set(struct text *out, const struct depth_set *set)
{
    const long long first = (long long)set->first_completed;
    if (set->n_completed == 1) {
        text_add(out, "b%lld", first);
    } else if (set->n_completed > 1) {
        text_add(out, "b%lld..b%lld", first, first + (long long)set->n_completed - 1);
    }
    if (set->n_open > 0) {
        text_add(out, "%s%lld open", set->n_completed > 0 ? " and " : "", (long long)set->n_open);
    }
    if (depth_set_count(set) == 0) {
        text_add(out, "nothing");
    }
}

size_t routing_print(const struct routing *routing, char *text, size_t capacity)
{
    struct text out = {.bytes = text, .capacity = capacity};
    for (int i = 0; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        text_add(&out, "stage %-3d rank %-3d sublayers %lld-%lld: ", i, stage->rank,
                 (long long)stage->first, (long long)stage->end - 1);
        text_add(&out, stage->is_local ? "takes over " : "receives ");
        add_set(&out, &stage->received);
        if (routing->cache) {
            text_add(&out, ", finds ");
            add_set(&out, &stage->cached);
            text_add(&out, ", brings ");
            add_set(&out, &stage->brought);
            text_add(&out, ", %d deposit%s each", stage->n_deposits,
                     stage->n_deposits == 1 ? "" : "s");
        }
        text_add(&out, "\n");
    }
    const long long n_sent = (long long)routing_count_sent(routing);
    text_add(&out, "%lld tensors a microbatch and direction\n", n_sent);
    return out.length;
}
