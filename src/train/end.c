/* The end of a run: where its time went, the weights' hash, how it ended. */
#include "train_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include <attnres/collective.h>
#include <attnres/heap.h>

/** Bytes of text looked at for the order-1 entropy. */
enum { ENTROPY_BYTES = 1 << 20 };

static struct summary_rank own_share(const struct train *t)
{
    const struct session *s = &t->session;
    const int64_t resident_bytes = session_resident_bytes();
    return (struct summary_rank){
        .loop_s = t->loop_s,
        .times = s->engine.times,
        .planned_bytes = (int64_t)s->memory.table.total_bytes,
        .data_bytes = train_data_bytes(t),
        .used_bytes = resident_bytes >= 0 ? resident_bytes - s->base_bytes : -1,
        .n_warnings = t->log->n_warnings,
    };
}

static void write_summary(struct train *t)
{
    char text[SUMMARY_TEXT_BYTES];
    struct json_writer w;
    struct error err = {0};
    json_writer_init(&w, text, sizeof text);
    summary_write_json(&w, NULL, &t->result->summary);
    assert(json_writer_ok(&w) && "a summary has its room");
    if (!rundir_write_file(&t->folder, "summary.json", text, w.length, &err)) {
        log_write(t->log, LOG_WARNING, "%s", err.message);
    }
}

static void tell_summary(struct train *t)
{
    const struct summary *summary = &t->result->summary;
    char text[SUMMARY_TEXT_BYTES];
    summary_print(summary, text, sizeof text);
    log_write(t->log, LOG_INFO, "%s", text);
    for (int i = 0; i < summary->n_notes; i++) {
        log_write(t->log, LOG_INFO, "note: %s", summary->notes[i]);
    }
    write_summary(t);
}

void train_summarize(struct train *t)
{
    const int64_t n_steps = t->state.step - t->first_step;
    if (n_steps == 0) {
        return;
    }
    const struct summary_rank own = own_share(t);
    const int n_ranks = transport_size(t->transport);
    struct summary_rank *ranks = heap_take((size_t)n_ranks, sizeof *ranks, "the summary");
    collective_gather(t->transport, collective_all(t->transport), 0, &own, sizeof own, ranks);
    if (t->is_root) {
        summary_make(&t->result->summary, &t->session.plan, n_steps, ranks, n_ranks);
        tell_summary(t);
    }
    free(ranks);
}

bool train_has_gained(const struct train *t)
{
    return t->saved_step > t->first_step;
}

/** What rank 0 says of a run that stopped early. It has gained something: else a save was tried. */
static void tell_early_stop(const struct train *t, struct error *err)
{
    static const char *const CAUSES[] = {[TRAIN_GOES_ON] = "",
                                         [TRAIN_STOP_SIGNAL] = "a signal",
                                         [TRAIN_STOP_FILE] = "the file STOP",
                                         [TRAIN_STOP_TIME] = "run.max_hours",
                                         [TRAIN_STOP_JOB_END] = "the job's end"};
    const int64_t step = t->state.step, n_steps = t->session.config.train.n_steps;
    if (t->saved_step == step) {
        error_set(err, ERROR_EARLY,
                  "stopped by %s after step %" PRId64 " of %" PRId64
                  ", saved; continue with --resume",
                  CAUSES[t->stop], step, n_steps);
    } else {
        error_set(err, ERROR_EARLY,
                  "stopped by %s after step %" PRId64 " of %" PRId64
                  ": the job ends too soon to save; --resume goes on from step %" PRId64
                  " (a smaller checkpoint.every would lose less)",
                  CAUSES[t->stop], step, n_steps, t->saved_step);
    }
}

bool train_conclude(struct train *t, struct error *err)
{
    struct session_difference difference;
    t->result->weights_hash = session_hash_weights(&t->session, &difference);
    if (difference.is_there) {
        return train_refuse_difference(t, &difference, err);
    }
    if (t->options->wants_entropy && t->is_root && t->counts_bytes) {
        t->result->order1_entropy = data_order1_entropy(t->train_data, ENTROPY_BYTES);
    }
    if (!t->save_failed && !t->result->stopped) {
        return true;
    }
    err->kind = t->save_failed ? ERROR_IO : ERROR_EARLY;
    if (t->is_root && t->save_failed) {
        error_set(err, ERROR_IO,
                  "the last checkpoint (step %" PRId64 ") could not be saved in %s; %s",
                  checkpoint_progress(t->saver).step, t->run_path,
                  t->saved_step >= 0 ? "--resume goes on from the one before"
                                     : "none was saved before it: begin again where there is room");
    } else if (t->is_root) {
        tell_early_stop(t, err);
    }
    return false;
}
