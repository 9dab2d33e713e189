/* Token embedding: x_t = table[token_t]; backward adds each dx_t to its row. */
#include "level.h"

#include <string.h>

enum { PARTS = 16 };

void KERNEL(embed_forward)(float *restrict x, const float *restrict table,
                           const int32_t *restrict tokens, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        memcpy(x + t * C, table + tokens[t] * C, (size_t)C * sizeof *x);
    }
}

static void add_row(float *restrict row, const float *restrict dx, int64_t C)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        row[c] += dx[c];
    }
}

/* Each row of the table belongs to one part, which takes the tokens in order: rows are never
 * shared between threads and the order of additions does not depend on their number. */
void KERNEL(embed_backward)(float *restrict dtable, const float *restrict dx,
                            const int32_t *restrict tokens, int64_t n, int64_t C)
{
#pragma omp parallel for schedule(static)
    for (int part = 0; part < PARTS; part++) {
        for (int64_t t = 0; t < n; t++) {
            if (tokens[t] % PARTS == part) {
                add_row(dtable + tokens[t] * C, dx + t * C, C);
            }
        }
    }
}
