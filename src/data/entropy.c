#include "data_internal.h"

#include <assert.h>
#include <math.h>

/* Counts of each byte after each byte: 256 KiB, on the stack, since nothing allocates after
 * data_open. */
struct pair_counts {
    uint32_t after[256][256];
};

static void count_pairs_of_files(struct pair_counts *counts, const struct data *d, int64_t n)
{
    for (int64_t i = 0; i < d->n_files && n > 0; i++) {
        const struct data_file *f = &d->files[i];
        const int64_t n_taken = f->n_tokens < n ? f->n_tokens : n;
        for (int64_t at = 1; at < n_taken; at++) {
            counts->after[f->tokens[at - 1]][f->tokens[at]]++;
        }
        n -= n_taken;
    }
}

static void count_pairs_of_stream(struct pair_counts *counts, const struct data *d, int64_t n)
{
    struct data_item item;
    unsigned char before = '\n';
    for (int64_t index = 0; n > 0; index++) {
        stream_make_item(d, index, &item);
        const int length = item.prompt_length + item.answer_length + 1;
        for (int at = 0; at < length && n > 0; at++, n--) {
            const unsigned char byte = (unsigned char)item.text[at];
            counts->after[before][byte]++;
            before = byte;
        }
    }
}

/* H = - sum_ab n(a,b) log(n(a,b) / n(a)) / n */
static double entropy(const struct pair_counts *counts)
{
    double sum = 0;
    double n = 0;
    for (int a = 0; a < 256; a++) {
        double n_a = 0;
        for (int b = 0; b < 256; b++) {
            n_a += counts->after[a][b];
        }
        for (int b = 0; b < 256; b++) {
            const double n_ab = counts->after[a][b];
            sum -= n_ab > 0 ? n_ab * log(n_ab / n_a) : 0;
        }
        n += n_a;
    }
    return n > 0 ? sum / n : 0;
}

double data_order1_entropy(const struct data *d, int64_t n)
{
    assert(data_is_bytes(d) && n <= UINT32_MAX);
    struct pair_counts counts = {0};
    if (d->synthetic) {
        count_pairs_of_stream(&counts, d, n);
    } else {
        count_pairs_of_files(&counts, d, n);
    }
    return entropy(&counts);
}
