#include <attnres/routing.h>

#include <stdarg.h>
#include <stdio.h>

/* Text of bounded size that goes on counting when it is full. */
struct text {
    char *bytes;
    size_t capacity, length;
};

static void add(struct text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *out, const char *format, ...)
{
    const bool has_room = out->length < out->capacity;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(has_room ? out->bytes + out->length : NULL,
                                 has_room ? out->capacity - out->length : 0, format, arguments);
    va_end(arguments);
    out->length += length > 0 ? (size_t)length : 0;
}

/* b0..b3 and 2 open */
static void add_set(struct text *out, const struct depth_set *set)
{
    const long long first = (long long)set->first_completed;
    if (set->n_completed == 1) {
        add(out, "b%lld", first);
    } else if (set->n_completed > 1) {
        add(out, "b%lld..b%lld", first, first + (long long)set->n_completed - 1);
    }
    if (set->n_open > 0) {
        add(out, "%s%lld open", set->n_completed > 0 ? " and " : "", (long long)set->n_open);
    }
    if (depth_set_count(set) == 0) {
        add(out, "nothing");
    }
}

size_t routing_print(const struct routing *routing, char *text, size_t capacity)
{
    struct text out = {.bytes = text, .capacity = capacity};
    for (int i = 0; i < routing->n_stages; i++) {
        const struct routing_stage *stage = &routing->stages[i];
        add(&out, "stage %-3d rank %-3d sublayers %lld-%lld: ", i, stage->rank,
            (long long)stage->first, (long long)stage->end - 1);
        add(&out, stage->is_local ? "takes over " : "receives ");
        add_set(&out, &stage->received);
        if (routing->cache) {
            add(&out, ", finds ");
            add_set(&out, &stage->cached);
            add(&out, ", brings ");
            add_set(&out, &stage->brought);
            add(&out, ", %d deposit%s each", stage->n_deposits, stage->n_deposits == 1 ? "" : "s");
        }
        add(&out, "\n");
    }
    const long long n_sent = (long long)routing_count_sent(routing);
    add(&out, "%lld tensors a microbatch and direction\n", n_sent);
    return out.length;
}
