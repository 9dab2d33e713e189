/* Options that are lists or mappings: the partition and the mixture of tasks, item by item. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

bool config_takes_list(const struct option *option)
{
    return option->type == OPTION_PARTITION ||
           (option->type == OPTION_FIXED && option->value[0] == '[');
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
    }
}

void config_add_item(struct reading *reading, const struct option *option, struct scalar item)
{
    struct pipeline_config *pipeline = &reading->config.pipeline;
    int64_t n_sublayers = 0;
    if (option->type != OPTION_PARTITION || item.is_quoted || strlen(item.bytes) != item.length ||
        !config_scan_int(item.bytes, &n_sublayers) || (double)n_sublayers < option->min ||
        (double)n_sublayers > option->max) {
        char found[CONFIG_FOUND_BYTES];
        config_show_scalar(found, item);
        config_refuse(reading, option, found);
        return;
    }
    if (pipeline->n_partition < CONFIG_MAX_STAGES) {
        pipeline->partition_list[pipeline->n_partition] = (int32_t)n_sublayers;
    } else if (pipeline->n_partition == CONFIG_MAX_STAGES) {
        config_refuse(reading, option, "a longer list");
    }
    pipeline->n_partition++;
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
