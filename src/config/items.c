/* Options that are lists or mappings: the partition, the mixture of tasks and ranges of windows,
 * item by item. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

bool config_takes_list(const struct option *option)
{
    return option->type == OPTION_PARTITION || option->type == OPTION_RANGES;
}

bool config_takes_mapping(const struct option *option)
{
    return option->type == OPTION_TASKS;
}

void config_begin_items(struct reading *reading, const struct option *option)
{
    if (option->type == OPTION_PARTITION) {
        reading->config.pipeline.partition = PARTITION_LIST;
        reading->config.pipeline.n_partition = 0;
    } else if (option->type == OPTION_TASKS) {
        reading->config.data.n_tasks = 0;
    } else if (option->type == OPTION_RANGES) {
        reading->config.data.n_skips = 0;
    }
}

static bool scan_within(const struct option *option, const char *text, int64_t *out)
{
    return config_scan_int(text, out) && (double)*out >= option->min && (double)*out <= option->max;
}

/* "12" or "12-15". */
static bool scan_range(const struct option *option, const char *text, struct window_range *range)
{
    enum { MOST_DIGITS = 32 };
    const size_t length = strcspn(text, "-");
    char first[MOST_DIGITS] = "";
    if (length >= MOST_DIGITS) {
        return false;
    }
    memcpy(first, text, length);
    const char *last = text[length] == '-' ? text + length + 1 : first;
    return scan_within(option, first, &range->first) && scan_within(option, last, &range->last) &&
           range->first <= range->last;
}

static void add_range(struct reading *reading, const struct option *option,
                      const struct window_range *range)
{
    struct data_config *data = &reading->config.data;
    if (data->n_skips == CONFIG_MAX_SKIPS) {
        config_refuse(reading, option, "a longer list");
        return;
    }
    data->skips[data->n_skips++] = *range;
}

static void add_stage(struct reading *reading, const struct option *option, int64_t n_sublayers)
{
    struct pipeline_config *pipeline = &reading->config.pipeline;
    if (pipeline->n_partition < CONFIG_MAX_STAGES) {
        pipeline->partition_list[pipeline->n_partition] = (int32_t)n_sublayers;
    } else if (pipeline->n_partition == CONFIG_MAX_STAGES) {
        config_refuse(reading, option, "a longer list");
    }
    pipeline->n_partition++;
}

void config_add_item(struct reading *reading, const struct option *option, struct scalar item)
{
    const bool is_plain = !item.is_quoted && strlen(item.bytes) == item.length;
    int64_t n_sublayers = 0;
    struct window_range range;
    if (is_plain && option->type == OPTION_PARTITION &&
        scan_within(option, item.bytes, &n_sublayers)) {
        add_stage(reading, option, n_sublayers);
    } else if (is_plain && option->type == OPTION_RANGES &&
               scan_range(option, item.bytes, &range)) {
        add_range(reading, option, &range);
    } else {
        char found[CONFIG_FOUND_BYTES];
        config_show_scalar(found, item);
        config_refuse(reading, option, found);
    }
}

static bool has_task(const struct data_config *data, int task)
{
    for (int64_t i = 0; i < data->n_tasks; i++) {
        if ((int)data->tasks[i].task == task) {
            return true;
        }
    }
    return false;
}

void config_add_pair(struct reading *reading, const struct option *option, struct scalar word,
                     struct scalar weight)
{
    struct data_config *data = &reading->config.data;
    char found_word[CONFIG_FOUND_BYTES], found_weight[CONFIG_FOUND_BYTES];
    config_show_scalar(found_word, word);
    config_show_scalar(found_weight, weight);
    const struct choice *task = config_find_choice(config_task_words, word.bytes);
    if (task != NULL && has_task(data, task->value)) {
        config_problem(reading, "%s: duplicate task %s", option->key, found_word);
        reading->is_bad[option - config_options] = true;
        return;
    }
    double value = 0;
    if (task == NULL || strlen(word.bytes) != word.length || weight.is_quoted ||
        strlen(weight.bytes) != weight.length || !config_scan_real(weight.bytes, &value) ||
        value <= 0 || value > option->max) {
        char found[2 * CONFIG_FOUND_BYTES + 8];
        snprintf(found, sizeof found, "%s: %s", found_word, found_weight);
        config_refuse(reading, option, found);
        return;
    }
    data->tasks[data->n_tasks].task = (enum task_kind)task->value;
    data->tasks[data->n_tasks].weight = value;
    data->n_tasks++;
}
_Static_assert((int)TASK_KINDS <= (int)CONFIG_MAX_TASKS, "a mixture of all tasks has room");

void config_end_items(struct reading *reading, const struct option *option)
{
    if (option->type == OPTION_PARTITION && reading->config.pipeline.n_partition == 0) {
        config_refuse(reading, option, "an empty list");
    }
}
