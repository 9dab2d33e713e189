#include "command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/plan.h>

enum { WIDTH = 100, MOST_RANKS = CONFIG_MAX_STAGES * CONFIG_MAX_REPLICAS };

static bool print(const struct plan *plan, bool as_json, struct error *err)
{
    const size_t capacity = (size_t)1 << 24;
    char *text = calloc(capacity, 1);
    if (text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to print the plan");
    }
    const size_t length = as_json ? plan_print_json(plan, text, capacity)
                                  : plan_print(plan, NULL, WIDTH, text, capacity);
    fputs(text, stdout);
    fputs(as_json ? "\n" : "", stdout);
    free(text);
    return length > 0 || error_set(err, ERROR_INTERNAL, "the plan is too large to print");
}

static bool run(const struct command_line *line, struct error *err)
{
    struct config *config = calloc(1, sizeof *config);
    assert(config != NULL);
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    bool ok = config_load(config, path, line->n_overrides, line->overrides, err);
    struct plan plan;
    if (ok) {
        const struct pipeline_config *pipeline = &config->pipeline;
        const int64_t fallback =
            (pipeline->n_stages > 0 ? pipeline->n_stages : 1) * pipeline->n_replicas;
        const int64_t n_ranks = command_int(line, "ranks", fallback);
        if (n_ranks < 1 || n_ranks > MOST_RANKS) {
            ok = error_set(err, ERROR_USAGE, "--ranks must be 1 to %d", MOST_RANKS);
        }
        ok = ok && plan_init(&plan, config, (int)n_ranks, PLAN_TRAIN, err);
    }
    if (ok) {
        ok = print(&plan, command_has(line, "json"), err) && plan_check_memory(&plan, err);
        plan_finish(&plan);
    }
    free(config);
    return ok;
}

const struct command plan_command = {
    .name = "plan",
    .usage = "[CONFIG] [key=value ...] [--ranks N]",
    .summary = "print what a run would do: partition, schedule, tensors per cut, memory per rank",
    .details = "Needs no MPI and takes none of the memory that it prints.",
    .flags = {{"ranks", FLAG_INT, "N",
               "plan for N ranks (default: pipeline.stages, or 1, times replicas)"},
              {"json", FLAG_SWITCH, NULL, "one JSON object"}},
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
