/* The nearest known key: the edit distance in which neighbours may also swap (optimal string
 * alignment), so that the commonest slips of a keyboard count as one. */
#include "config_internal.h"

#include <string.h>

enum { KEY_BYTES_MAX = 63 }; /* no known key is nearly as long */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][KEY_BYTES_MAX + 1] = {{0}};
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smaller(row[j], 1 + smaller(above[j], row[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = smaller(row[j], above_that[j - 2] + 1);
            }
        }
    }
    return rows[n % 3][m];
}

/* The right name in the wrong section is the next best thing to a match. */
static size_t distance_to_option(const char *key, size_t length, const struct option *option)
{
    const char *leaf = config_leaf(option->key);
    const size_t leaf_length = strlen(leaf);
    if (length >= leaf_length && memcmp(key + length - leaf_length, leaf, leaf_length) == 0 &&
        (length == leaf_length || key[length - leaf_length - 1] == '.')) {
        return 1;
    }
    return edit_distance(key, length, option->key, strlen(option->key));
}

const char *config_nearest_key(const char *key, size_t length)
{
    const size_t n = smaller(length, KEY_BYTES_MAX);
    const char *nearest = config_sections[0].name;
    size_t best = (size_t)-1;
    for (size_t i = 0; i < config_n_sections; i++) {
        const char *name = config_sections[i].name;
        const size_t distance = edit_distance(key, n, name, strlen(name));
        if (distance < best) {
            nearest = name;
            best = distance;
        }
    }
    for (size_t i = 0; i < config_n_options; i++) {
        const size_t distance = distance_to_option(key, n, &config_options[i]);
        if (distance < best) {
            nearest = config_options[i].key;
            best = distance;
        }
    }
    return nearest;
}
