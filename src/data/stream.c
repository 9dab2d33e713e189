#include "data_internal.h"

#include <assert.h>

/* Counter-based, so that an item's task depends on the seed and its index alone. */
static enum task_kind draw_task(const struct data *d, int64_t index)
{
    if (d->n_tasks == 1) {
        return d->tasks[0].task;
    }
    double total = 0;
    for (int64_t i = 0; i < d->n_tasks; i++) {
        total += d->tasks[i].weight;
    }
    const uint64_t drawn = rng_at(rng_key(d->stream_seed, "data.mixture"), (uint64_t)index);
    double rest = total * ((double)(drawn >> 11) / 9007199254740992.0);
    for (int64_t i = 0; i < d->n_tasks - 1; i++) {
        if (rest < d->tasks[i].weight) {
            return d->tasks[i].task;
        }
        rest -= d->tasks[i].weight;
    }
    return d->tasks[d->n_tasks - 1].task;
}

void stream_make_item(const struct data *d, int64_t index, struct data_item *item)
{
    data_make_item(item, draw_task(d, index), d->stream_seed, (uint64_t)index, 0);
}

static int item_length(const struct data_item *item)
{
    return item->prompt_length + item->answer_length + 1;
}

bool stream_position_is_valid(const struct data *d, const struct data_position *position)
{
    if (position->major < 0 || position->minor < 0) {
        return false;
    }
    struct data_item item;
    stream_make_item(d, position->major, &item);
    return position->minor < item_length(&item);
}

static bool counts(const struct data *d, const struct data_item *item, int64_t at)
{
    if (d->loss == LOSS_ALL) {
        return true;
    }
    return at >= item->prompt_length && at < item->prompt_length + item->answer_length;
}

void stream_read(const struct data *d, struct data_position *position, int32_t *tokens,
                 int32_t *targets)
{
    struct data_item item;
    stream_make_item(d, position->major, &item);
    int64_t at = position->minor;
    assert(at >= 0 && at < item_length(&item));
    tokens[0] = (unsigned char)item.text[at];
    for (int64_t t = 0; t < d->seq_len; t++) {
        if (++at == item_length(&item)) {
            stream_make_item(d, ++position->major, &item);
            at = 0;
        }
        const int32_t next = (unsigned char)item.text[at];
        targets[t] = counts(d, &item, at) ? next : -1;
        if (t + 1 < d->seq_len) {
            tokens[t + 1] = next;
        }
    }
    position->minor = at;
}

/** Bytes of an item in [from, end) that count as targets. */
static int64_t count_targets(const struct data *d, const struct data_item *item, int64_t from,
                             int64_t end)
{
    int64_t n = 0;
    for (int64_t at = from; at < end && at < item_length(item); at++) {
        n += counts(d, item, at);
    }
    return n;
}

static int64_t skip_window(const struct data *d, struct data_position *position)
{
    struct data_item item;
    stream_make_item(d, position->major, &item);
    int64_t at = position->minor + d->seq_len;
    int64_t n_targets = count_targets(d, &item, position->minor + 1, at + 1);
    while (at >= item_length(&item)) {
        at -= item_length(&item);
        stream_make_item(d, ++position->major, &item);
        n_targets += count_targets(d, &item, 0, at + 1);
    }
    position->minor = at;
    return n_targets;
}

int64_t stream_skip(const struct data *d, struct data_position *position, int64_t n)
{
    int64_t n_targets = 0;
    for (int64_t i = 0; i < n; i++) {
        n_targets += skip_window(d, position);
    }
    return n_targets;
}
