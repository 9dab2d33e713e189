/* A run's trace: when it is recorded, and what becomes of it at the end. */
#include "train_internal.h"

#include <inttypes.h>
#include <unistd.h>

#include <attnres/collective.h>
#include <attnres/text.h>

enum { HOST_BYTES = 64 };

/** Whether a step that this process will do is traced: where a run goes on behind them, what there
 * is of them stays. */
static bool has_traced_steps(const struct train *t)
{
    const struct trace_config *trace = &t->session.config.trace;
    const int64_t end = trace->first + trace->n_steps;
    return trace->n_steps > 0 && t->state.step + 1 < end &&
           t->state.step < t->session.config.train.n_steps;
}

/** A fresh folder: files of an earlier process of the run would be of other steps. */
static bool make_folder(const char *folder, struct error *err)
{
    return file_remove_tree(folder, err) && file_make_folders(folder, err);
}

/** The rank's stages and where it runs: "rank 1 on node7, sublayers 4-7, 12-15". */
static void name_rank(const struct train *t, char name[TRACE_NAME_BYTES])
{
    char host[HOST_BYTES] = "";
    const struct plan *plan = &t->session.plan;
    const int rank = transport_rank(t->transport);
    gethostname(host, sizeof host - 1);
    struct text text = {name, TRACE_NAME_BYTES, 0};
    text_add(&text, "rank %d on %s, sublayers", rank, host);
    for (int chunk = 0; chunk < plan->n_chunks; chunk++) {
        const struct stage *stage = plan_stage(plan, grid_place(&plan->grid, rank), chunk);
        text_add(&text, "%s %" PRId64 "-%" PRId64, chunk > 0 ? "," : "", stage->first,
                 stage->end - 1);
    }
}

bool train_start_trace(struct train *t, struct error *err)
{
    t->is_traced = has_traced_steps(t);
    if (!t->is_traced) {
        return true;
    }
    char folder[FILE_PATH_BYTES], name[TRACE_NAME_BYTES];
    bool ok = file_join(folder, t->run_path, "trace", err);
    if (!collective_agree(t->transport, ok && (!t->is_root || make_folder(folder, err)), err)) {
        return false;
    }
    name_rank(t, name);
    const struct trace_options options = {
        .folder = folder,
        .name = name,
        .first_step = t->session.config.trace.first,
        .n_steps = t->session.config.trace.n_steps,
        .events = memory_buffer(&t->session.memory, BUFFER_TRACE, 0),
    };
    ok = trace_start(&t->trace, &options, t->transport, err);
    return collective_agree(t->transport, ok, err);
}

void train_trace_step(struct train *t)
{
    if (t->is_traced) {
        trace_begin_step(&t->trace, t->state.step + 1);
    }
}

static void tell(struct train *t, const char *folder, const struct trace_merged *merged)
{
    log_write(t->log, LOG_INFO,
              "trace: %" PRId64 " events and %" PRId64
              " messages in %s/trace.json (open it in ui.perfetto.dev), clocks within %.1f us",
              merged->n_events, merged->n_messages, folder, 1e6 * merged->error_s);
    if (merged->n_unmatched > 0 || merged->n_early > 0) {
        log_write(t->log, LOG_WARNING,
                  "trace: %" PRId64 " messages lack their other end, %" PRId64
                  " seem to arrive before they are sent",
                  merged->n_unmatched, merged->n_early);
    }
}

static bool merge(struct train *t, const char *folder, struct error *err)
{
    char json[FILE_PATH_BYTES], picture[FILE_PATH_BYTES];
    struct trace_set set;
    struct trace_merged merged;
    if (!file_join(json, folder, "trace.json", err) ||
        !file_join(picture, folder, "step.svg", err) ||
        !trace_load(&set, folder, transport_size(t->transport), err)) {
        return false;
    }
    bool ok = trace_write_json(&set, json, &merged, err);
    if (ok) {
        tell(t, folder, &merged);
        ok = trace_draw(&set, &t->session.plan.schedule, picture, err);
    }
    trace_unload(&set);
    return ok;
}

void train_finish_trace(struct train *t)
{
    if (!t->is_traced) {
        return;
    }
    struct error err = {0};
    char folder[FILE_PATH_BYTES];
    bool ok = trace_finish(&t->trace, &err);
    if (collective_agree(t->transport, ok, &err) && t->is_root) {
        ok = file_join(folder, t->run_path, "trace", &err) && merge(t, folder, &err);
    }
    if (!ok && err.message[0] != '\0') {
        log_write(t->log, LOG_WARNING, "trace: %s", err.message);
    }
}
