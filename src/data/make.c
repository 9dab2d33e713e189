#include "data_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static size_t print_item(const struct data_item *item, const char *separator, char *text,
                         size_t capacity)
{
    int length = snprintf(text, capacity, "%.*s\t%.*s\t", item->prompt_length, item->text,
                          item->answer_length, item->text + item->prompt_length);
    for (int i = 0; i < item->n_options; i++) {
        length += snprintf(text + length, capacity - (size_t)length, "%s%s", i > 0 ? separator : "",
                           item->options[i]);
    }
    length += snprintf(text + length, capacity - (size_t)length, "\t%d\n", item->hops);
    assert((size_t)length < capacity);
    return (size_t)length;
}

/** Whether the first line is of the form that print_item gives it. */
static bool are_items(const unsigned char *bytes, size_t length)
{
    const unsigned char *newline = memchr(bytes, '\n', length);
    int n_tabs = 0;
    for (const unsigned char *c = bytes; newline != NULL && c < newline; c++) {
        n_tabs += *c == '\t';
    }
    return n_tabs == 3 && newline[-1] >= '0' && newline[-1] <= '9';
}
static const struct file_form ITEMS = {"a file of items", are_items};

bool data_write_items(enum task_kind task, uint64_t seed, int64_t count, int64_t hops,
                      const char *path, struct error *err)
{
    const struct task *t = task_find(task);
    if (hops < 0 || hops > t->farthest_hops) {
        return error_set(err, ERROR_USAGE, "%s takes 1 to %d hops (0: drawn), not %lld", t->name,
                         t->farthest_hops, (long long)hops);
    }
    struct output o;
    if (!output_open(&o, path, &ITEMS, err)) {
        return false;
    }
    bool ok = true;
    for (int64_t i = 0; ok && i < count; i++) {
        struct data_item item;
        data_make_item(&item, task, seed, (uint64_t)i, (int)hops);
        char line[DATA_ITEM_BYTES + DATA_MAX_OPTIONS * (DATA_OPTION_BYTES + 1) + 16];
        const size_t length = print_item(&item, t->option_separator, line, sizeof line);
        ok = file_writer_write(&o.writer, line, length, err);
    }
    return output_close(&o, ok, err);
}
