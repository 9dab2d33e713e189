#include "run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/costs.h>
#include <attnres/file.h>
#include <attnres/heap.h>
#include <attnres/plan.h>
#include <attnres/predict.h>

enum {
    WIDTH = 100,
    TEXT_BYTES = 1 << 24,
    COSTS_BYTES = 4096,
    MOST_RANKS = CONFIG_MAX_STAGES * CONFIG_MAX_REPLICAS
};

/** Memory that calibration takes at most, a rank, unless memory.limit says otherwise. */
static const int64_t CALIBRATION_BYTES = (int64_t)1 << 30;

/** A flag that gives a rate, and its place in the costs. */
static const struct {
    const char *flag;
    size_t offset;
    bool is_work; /* for counted work */
} RATES[] = {
    {"flops", offsetof(struct costs, flops_per_s), true},
    {"memory-bandwidth", offsetof(struct costs, memory_bytes_per_s), true},
    {"link-bandwidth", offsetof(struct costs, link_bytes_per_s), false},
    {"link-latency", offsetof(struct costs, link_latency_s), false},
};

/** What pipeline.costs and the flags say. */
static bool find_costs(struct costs *costs, struct costs *measured, const struct command_line *line,
                       const struct config *config, struct error *err)
{
    *measured = (struct costs){0};
    if (strcmp(config->pipeline.costs, "none") != 0 &&
        !costs_read(measured, config->pipeline.costs, config, err)) {
        return false;
    }
    *costs = *measured;
    for (size_t i = 0; i < sizeof RATES / sizeof RATES[0]; i++) {
        double *rate = (double *)(void *)((unsigned char *)costs + RATES[i].offset);
        if (RATES[i].is_work && command_has(line, RATES[i].flag) && costs_has_parts(costs)) {
            return error_set(err, ERROR_USAGE,
                             "--%s: work is not counted, %s has it as measured; only the link's "
                             "rates can be given beside it",
                             RATES[i].flag, config->pipeline.costs);
        }
        *rate = command_real(line, RATES[i].flag, *rate);
    }
    costs_assume_packing(costs);
    return true;
}

static bool write_svg(const char *path, const struct plan *plan,
                      const struct prediction *prediction, char *text, struct error *err)
{
    const size_t length = predict_print_svg(plan, prediction, text, TEXT_BYTES);
    if (length >= TEXT_BYTES) {
        return error_set(err, ERROR_CREATE, "%s: the picture is too large", path);
    }
    return file_replace(path, text, length, err);
}

static bool print_json(const struct plan *plan, const struct prediction *prediction, char *text,
                       struct error *err)
{
    struct json_writer w;
    json_writer_init(&w, text, TEXT_BYTES);
    json_begin_object(&w, NULL);
    plan_write_json(&w, plan);
    predict_write_json(&w, plan, prediction);
    json_end_object(&w);
    if (!json_writer_ok(&w)) {
        return error_set(err, ERROR_INTERNAL, "the plan is too large to print");
    }
    puts(text);
    return true;
}

static bool print(const struct command_line *line, const struct plan *plan,
                  const struct costs *costs, const struct prediction *prediction, struct error *err)
{
    char *text = calloc(TEXT_BYTES, 1);
    if (text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory to print the plan");
    }
    bool ok = true;
    if (command_has(line, "json")) {
        ok = print_json(plan, prediction, text, err);
    } else {
        plan_print(plan, NULL, WIDTH, text, TEXT_BYTES);
        fputs(text, stdout);
        predict_print(plan, costs, prediction, WIDTH, text, TEXT_BYTES);
        fputs(text, stdout);
    }
    const char *svg = command_text(line, "svg", NULL);
    if (ok && svg != NULL) {
        ok = prediction != NULL
                 ? write_svg(svg, plan, prediction, text, err)
                 : error_set(err, ERROR_USAGE, "--svg: without %s there are no times to draw",
                             predict_find_missing(plan, costs));
    }
    free(text);
    return ok;
}

static bool show(const struct command_line *line, const struct plan *plan,
                 const struct costs *costs, struct error *err)
{
    struct prediction prediction = {0};
    const bool has_times = predict_find_missing(plan, costs) == NULL;
    const bool ok = (!has_times || predict_step(&prediction, plan, costs, err)) &&
                    print(line, plan, costs, has_times ? &prediction : NULL, err) &&
                    plan_check_memory(plan, err);
    prediction_finish(&prediction);
    return ok;
}

static bool plan(const struct command_line *line, struct config *config, struct error *err)
{
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    const char *svg = command_text(line, "svg", NULL);
    struct costs costs, measured;
    if (svg != NULL && !run_may_draw(svg, err)) {
        return false;
    }
    if (!config_load(config, path, line->n_overrides, line->overrides, err) ||
        !find_costs(&costs, &measured, line, config, err)) {
        return false;
    }
    const struct pipeline_config *pipeline = &config->pipeline;
    const int64_t fallback = (pipeline->n_stages > 0 ? pipeline->n_stages : 1) *
                             (pipeline->n_replicas > 0 ? pipeline->n_replicas : 1);
    const int64_t n_ranks = command_int(line, "ranks", fallback);
    if (n_ranks < 1 || n_ranks > MOST_RANKS) {
        return error_set(err, ERROR_USAGE, "--ranks must be 1 to %d", MOST_RANKS);
    }
    struct plan p;
    if (!plan_init_measured(&p, config, &measured, (int)n_ranks, PLAN_TRAIN, err)) {
        return false;
    }
    const bool ok = show(line, &p, &costs, err);
    plan_finish(&p);
    return ok;
}

static bool write_costs(const char *path, const struct costs *costs, int n_ranks, int n_threads,
                        struct error *err)
{
    char text[COSTS_BYTES];
    const size_t length = costs_print(costs, text, sizeof text);
    assert(length < sizeof text && "a file of costs is small");
    if (!file_replace(path, text, length, err)) {
        return false;
    }
    printf("%s: measured on %d rank%s of %d thread%s; use it with pipeline.costs=%s\n", path,
           n_ranks, n_ranks == 1 ? "" : "s", n_threads, n_threads == 1 ? "" : "s", path);
    return true;
}

static bool is_costs(const unsigned char *bytes, size_t length)
{
    struct costs costs;
    return costs_parse(&costs, "", (const char *)bytes, length, NULL);
}

static bool calibrate(const struct command_line *line, struct config *config,
                      struct transport *transport, struct log *log, struct error *err)
{
    const bool is_root = transport_rank(transport) == 0;
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    const char *out = command_text(line, "calibrate", NULL);
    static const struct file_form COSTS = {"a file of costs", is_costs};
    const bool loaded =
        !is_root || (config_load(config, path, line->n_overrides, line->overrides, err) &&
                     file_has_folder(out, err) && file_may_replace(out, &COSTS, err));
    struct session session = {0};
    struct costs costs;
    bool ok = session_share_config(config, transport, loaded, err) &&
              session_begin(&session, config, transport, log, err);
    const int64_t limit = config->memory.limit_bytes;
    ok = ok && predict_calibrate(&costs, config, transport, session.kernels,
                                 limit > 0 ? limit : CALIBRATION_BYTES, err);
    if (ok) {
        ok =
            !is_root || write_costs(out, &costs, transport_size(transport), session.n_threads, err);
        ok = collective_agree(transport, ok, err);
    }
    session_finish(&session);
    return ok;
}

/** It measures for any plan: what is said of one would be lost. */
static bool check_stands_alone(const struct command_line *line, struct error *err)
{
    const struct flag *flags = line->command->flags;
    for (int i = 0; i < COMMAND_MAX_FLAGS && flags[i].name != NULL; i++) {
        if (line->given[i] && strcmp(flags[i].name, "calibrate") != 0) {
            return error_set(err, ERROR_USAGE,
                             "--%s beside --calibrate: that only measures; plan with the file that "
                             "it writes, attnres plan ... pipeline.costs=%s --%s",
                             flags[i].name, command_text(line, "calibrate", ""), flags[i].name);
        }
    }
    return true;
}

static bool run_calibration(const struct command_line *line, struct config *config,
                            struct error *err)
{
    if (!check_stands_alone(line, err)) {
        return false;
    }
    struct log log;
    struct transport *transport = run_start_ranks(line, &log, err);
    if (transport == NULL) {
        return false;
    }
    const bool ok = calibrate(line, config, transport, &log, err);
    run_stop_ranks(transport, &log, err);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    const bool ok = command_has(line, "calibrate") ? run_calibration(line, config, err)
                                                   : plan(line, config, err);
    free(config);
    return ok;
}

const struct command plan_command = {
    .name = "plan",
    .usage = "[CONFIG] [key=value ...] [--ranks N] [--calibrate FILE]",
    .summary = "print what a run would do and take: partition, schedule, messages, memory, time",
    .details =
        "Needs no MPI and takes none of the memory that it prints. The time of a step is predicted "
        "from costs:\n\n"
        "  mpirun -n 2 attnres plan CONFIG --calibrate costs.json     measure them on this "
        "machine\n"
        "  attnres plan CONFIG --ranks 8 pipeline.costs=costs.json    predict with them, cut by "
        "them\n"
        "  attnres plan CONFIG --ranks 8 --flops=2e12 --memory-bandwidth=2e11 "
        "--link-bandwidth=12.5e9 --link-latency=2e-6\n\n"
        "A file of costs may also hold rates alone: flops_per_s, memory_bytes_per_s, "
        "link_bytes_per_s, ...\n"
        "Calibrate on as many ranks a node as the run will have: they share its memory bandwidth.",
    .flags = {{"ranks", FLAG_INT, "N",
               "plan for N ranks (default: pipeline.stages, or 1, times replicas)"},
              {"json", FLAG_SWITCH, NULL, "one JSON object"},
              {"calibrate", FLAG_TEXT, "FILE",
               "measure what the configuration's work and messages take, write FILE, and end"},
              {"svg", FLAG_TEXT, "FILE", "draw the predicted step"},
              {"flops", FLAG_REAL, "N", "FLOPs that a rank does in a second"},
              {"memory-bandwidth", FLAG_REAL, "N", "bytes a second of a rank's memory"},
              {"link-bandwidth", FLAG_REAL, "N", "bytes a second between ranks"},
              {"link-latency", FLAG_REAL, "N", "seconds of an empty message"}},
    .most = 1,
    .takes_overrides = true,
    .is_alone = true,
    .shared = "calibrate",
    .run = run,
};
