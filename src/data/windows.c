#include "data_internal.h"

#include <assert.h>

/* A file of n tokens holds n - 1 predictions: (n - 1) / T whole windows and a shorter one of the
 * rest. */
void windows_count(struct data *d)
{
    d->n_windows = 0;
    d->n_in_order = 0;
    d->n_tokens = 0;
    for (int64_t i = 0; i < d->n_files; i++) {
        struct data_file *f = &d->files[i];
        const int64_t n_predictions = f->n_tokens > 0 ? f->n_tokens - 1 : 0;
        f->first_window = d->n_windows;
        f->first_in_order = d->n_in_order;
        d->n_windows += n_predictions / d->seq_len;
        d->n_in_order += n_predictions / d->seq_len + (n_predictions % d->seq_len > 0);
        d->n_tokens += f->n_tokens;
    }
}

uint32_t file_token(const struct data_file *f, int64_t index)
{
    assert(index >= 0 && index < f->n_tokens);
    const unsigned char *b = f->tokens + index * f->token_bytes;
    if (f->token_bytes == 1) {
        return b[0];
    }
    if (f->token_bytes == 2) {
        return (uint32_t)b[0] | (uint32_t)b[1] << 8;
    }
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint32_t file_largest_token(const struct data_file *f)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < f->n_tokens; i++) {
        const uint32_t token = file_token(f, i);
        largest = token > largest ? token : largest;
    }
    return largest;
}

static int64_t first_of(const struct data_file *f, bool tail)
{
    return tail ? f->first_in_order : f->first_window;
}

/* The last file whose first window is not beyond the index; files without windows are passed over,
 * since the one behind them starts at the same index. */
static const struct data_file *find_file(const struct data *d, int64_t window, bool tail)
{
    int64_t low = 0;
    int64_t high = d->n_files - 1;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (first_of(&d->files[middle], tail) <= window) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return &d->files[low];
}

/* The return value is the number of predictions; rows beyond it are token 0 and target -1. */
static int64_t copy_window(const struct data *d, int64_t window, bool tail, int32_t *tokens,
                           int32_t *targets)
{
    const struct data_file *f = find_file(d, window, tail);
    const int64_t start = (window - first_of(f, tail)) * d->seq_len;
    const int64_t left = f->n_tokens - 1 - start;
    const int64_t n = left < d->seq_len ? left : d->seq_len;
    assert(n > 0);
    for (int64_t t = 0; t < n; t++) {
        tokens[t] = (int32_t)file_token(f, start + t);
        targets[t] = (int32_t)file_token(f, start + t + 1);
    }
    for (int64_t t = n; t < d->seq_len; t++) {
        tokens[t] = 0;
        targets[t] = -1;
    }
    return n;
}

/** The next window, in file order. */
static int64_t next_window(const struct data *d, const struct data_position *position)
{
    assert(position->major >= 0 && position->minor >= 0 && position->minor < d->n_windows);
    const uint64_t key = rng_at(d->order_key, (uint64_t)position->major);
    return (int64_t)rng_permute(key, (uint64_t)position->minor, (uint64_t)d->n_windows);
}

void windows_read(const struct data *d, struct data_position *position, int32_t *tokens,
                  int32_t *targets)
{
    copy_window(d, next_window(d, position), false, tokens, targets);
    windows_skip(d, position, 1);
}

int64_t windows_skip(const struct data *d, struct data_position *position, int64_t n)
{
    assert(d->n_windows > 0);
    position->minor += n;
    position->major += position->minor / d->n_windows;
    position->minor %= d->n_windows;
    return n * d->seq_len;
}

const struct data_file *windows_locate(const struct data *d, const struct data_position *position,
                                       int64_t *first_token)
{
    const int64_t window = next_window(d, position);
    const struct data_file *f = find_file(d, window, false);
    *first_token = (window - f->first_window) * d->seq_len;
    return f;
}

int64_t windows_read_in_order(const struct data *d, int64_t index, bool tail, int32_t *tokens,
                              int32_t *targets)
{
    assert(index >= 0);
    if (index < (tail ? d->n_in_order : d->n_windows)) {
        return copy_window(d, index, tail, tokens, targets);
    }
    for (int64_t t = 0; t < d->seq_len; t++) {
        tokens[t] = 0;
        targets[t] = -1;
    }
    return 0;
}
