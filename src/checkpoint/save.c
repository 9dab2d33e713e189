/* A save from its begin to its end: what each rank does by itself, on its thread or in place, and
 * what ranks do together. */
#include "checkpoint_internal.h"

#include <assert.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/collective.h>

/** What the rank does by itself: its files; on rank 0 later the manifest. */
static void perform(struct checkpoint_saver *s, enum saver_task task)
{
    struct error *err = &s->failure;
    const double start_s = clock_monotonic_s();
    bool ok = false;
    if (task == TASK_WRITE) {
        ok = checkpoint_write_files(s, err);
    } else {
        ok = checkpoint_publish(s, err);
        /* In a row of skips the state may be one from which no update can be made: it pushes out
         * none of those before. */
        const int64_t keep = s->state.guard.n_skips_in_a_row > 0 ? 0 : s->spec.keep;
        if (ok && checkpoint_prune(s->spec.run_path, s->before, s->state.step, keep, err)) {
            s->before = s->state.step;
        }
    }
    if (!ok) {
        snapshot_abandon(&s->snapshot);
    }
    pthread_mutex_lock(&s->snapshot.mutex);
    s->phase = !ok                  ? CHECKPOINT_FAILED
               : task == TASK_WRITE ? CHECKPOINT_WRITTEN
                                    : CHECKPOINT_STANDS;
    s->progress.work_s += clock_monotonic_s() - start_s;
    s->task = TASK_NONE;
    pthread_cond_broadcast(&s->snapshot.changed);
    pthread_mutex_unlock(&s->snapshot.mutex);
}

static void *write_in_background(void *user)
{
    struct checkpoint_saver *s = user;
    for (;;) {
        pthread_mutex_lock(&s->snapshot.mutex);
        while (s->task == TASK_NONE) {
            pthread_cond_wait(&s->snapshot.changed, &s->snapshot.mutex);
        }
        const enum saver_task task = s->task;
        pthread_mutex_unlock(&s->snapshot.mutex);
        if (task == TASK_END) {
            return NULL;
        }
        perform(s, task);
    }
}

static void give(struct checkpoint_saver *s, enum saver_task task)
{
    pthread_mutex_lock(&s->snapshot.mutex);
    s->task = task;
    pthread_cond_broadcast(&s->snapshot.changed);
    pthread_mutex_unlock(&s->snapshot.mutex);
}

static void start(struct checkpoint_saver *s, enum saver_task task)
{
    s->phase = task == TASK_WRITE ? CHECKPOINT_WRITING : CHECKPOINT_PUBLISHING;
    if (s->has_thread) {
        give(s, task);
    } else {
        perform(s, task);
    }
}

/** Until the rank has done what was started. */
static void await(struct checkpoint_saver *s)
{
    struct journal *journal = transport_journal(s->transport);
    pthread_mutex_lock(&s->snapshot.mutex);
    while (s->task != TASK_NONE) {
        journal_begin_alone(journal, JOURNAL_WRITE, -1); /* an event a piece, as it gets on */
        pthread_cond_wait(&s->snapshot.changed, &s->snapshot.mutex);
        journal_end(journal);
    }
    pthread_mutex_unlock(&s->snapshot.mutex);
}

/** With all signals blocked in the new thread: they are for the others. */
static bool start_thread(struct checkpoint_saver *s, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&s->thread, NULL, write_in_background, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->has_thread = failed == 0;
    return failed == 0 ||
           error_set(err, ERROR_CREATE, "cannot start the thread that saves: %s", strerror(failed));
}

struct checkpoint_saver *checkpoint_saver_create(const struct checkpoint_saver_spec *spec,
                                                 struct error *err)
{
    struct checkpoint_saver *s = calloc(1, sizeof *s);
    if (s == NULL) {
        error_set(err, ERROR_CREATE, "no memory at start-up");
        return NULL;
    }
    const struct memory *memory = spec->models[0].memory;
    s->spec = *spec;
    s->before = -1;
    s->models = spec->models;
    s->plan = spec->models[0].plan;
    s->memory = memory;
    s->transport = spec->transport;
    s->rank = transport_rank(spec->transport);
    s->text = memory_buffer(memory, BUFFER_TEXT, 0);
    s->text_bytes = memory_slot_bytes(memory, BUFFER_TEXT);
    s->record = memory_buffer(memory, BUFFER_RECORD, 0);
    s->crcs = (uint32_t *)(s->record + 1);
    s->snapshot.buffer = memory_buffer(memory, BUFFER_SNAPSHOT, 0);
    s->snapshot.capacity =
        s->snapshot.buffer != NULL ? (int64_t)memory_slot_bytes(memory, BUFFER_SNAPSHOT) : 0;
    pthread_mutex_init(&s->snapshot.mutex, NULL);
    pthread_cond_init(&s->snapshot.changed, NULL);
    if (spec->in_background && !start_thread(s, err)) {
        checkpoint_saver_destroy(s);
        return NULL;
    }
    return s;
}

void checkpoint_saver_destroy(struct checkpoint_saver *s)
{
    if (s == NULL) {
        return;
    }
    if (s->has_thread) {
        await(s);
        give(s, TASK_END);
        pthread_join(s->thread, NULL);
    }
    pthread_cond_destroy(&s->snapshot.changed);
    pthread_mutex_destroy(&s->snapshot.mutex);
    free(s);
}

enum checkpoint_phase checkpoint_phase(struct checkpoint_saver *s)
{
    pthread_mutex_lock(&s->snapshot.mutex);
    const enum checkpoint_phase phase = s->phase;
    pthread_mutex_unlock(&s->snapshot.mutex);
    return phase;
}

static bool name_places(struct checkpoint_saver *s, struct error *err)
{
    char name[FILE_NAME_BYTES];
    checkpoint_partial_name(name, s->state.step);
    return file_join(s->parent, s->spec.run_path, "checkpoints", err) &&
           file_join(s->partial, s->parent, name, err) &&
           checkpoint_step_path(s->final, s->spec.run_path, s->state.step, err);
}

static bool prepare_folder(const struct checkpoint_saver *s, struct error *err)
{
    return file_make_folders(s->parent, err) && file_remove_tree(s->partial, err) &&
           file_make_folders(s->partial, err);
}

void checkpoint_goes_on_from(struct checkpoint_saver *s, int64_t step)
{
    s->before = step;
}

void checkpoint_begin(struct checkpoint_saver *s, const struct checkpoint_state *state)
{
    assert(checkpoint_phase(s) == CHECKPOINT_IDLE && "one save at a time");
    s->state = *state;
    s->begin_s = clock_monotonic_s();
    s->is_collected = false;
    s->progress = (struct checkpoint_progress){0};
    s->failure = (struct error){0};
    s->journal = s->has_thread ? NULL : transport_journal(s->transport);
    memset(s->record, 0, memory_slot_bytes(s->memory, BUFFER_RECORD));
    snapshot_begin(&s->snapshot);
    const bool ok = name_places(s, &s->failure) && (s->rank != 0 || prepare_folder(s, &s->failure));
    if (transport_all_true(s->transport, ok)) {
        start(s, TASK_WRITE);
    } else {
        s->phase = CHECKPOINT_FAILED;
    }
}

void checkpoint_keep(struct checkpoint_saver *s, const struct model *model,
                     const struct param *param)
{
    if (checkpoint_phase(s) != CHECKPOINT_WRITING) {
        return;
    }
    const int64_t row = param - s->plan->params.rows, bytes = checkpoint_tensor_bytes(param);
    const double start_s = clock_monotonic_s();
    for (enum tensor_kind kind = 0; kind < TENSOR_KINDS; kind++) {
        const int64_t at =
            TENSOR_KINDS * s->plan->owners[row].base * (int64_t)sizeof(float) + kind * bytes;
        snapshot_keep(&s->snapshot, at, checkpoint_tensor(model, param, kind), (size_t)bytes,
                      transport_journal(s->transport));
    }
    s->record->held_s += clock_monotonic_s() - start_s;
}

/** Rank 0: which rank's training was held up the most, and how long the slowest one's files took.
 */
static void compare_holds(struct checkpoint_saver *s, const struct save_records *records)
{
    for (int rank = 0; rank < transport_size(s->transport); rank++) {
        const struct save_record *record = checkpoint_record(records, rank);
        s->progress.was_full = s->progress.was_full || record->was_full != 0;
        s->progress.work_s = fmax(s->progress.work_s, record->work_s);
        if (record->held_s > s->progress.held_s) {
            s->progress.held_s = record->held_s;
            s->progress.held_rank = rank;
        }
    }
}

void checkpoint_collect(struct checkpoint_saver *s)
{
    const struct save_records records = {.bytes = memory_buffer(s->memory, BUFFER_REPORTS, 0),
                                         .each = memory_slot_bytes(s->memory, BUFFER_RECORD)};
    s->record->was_full = s->snapshot.was_full;
    s->record->work_s = s->progress.work_s;
    collective_gather(s->transport, collective_all(s->transport), 0, s->record, records.each,
                      memory_buffer(s->memory, BUFFER_REPORTS, 0));
    s->is_collected = true;
    if (s->rank == 0) {
        compare_holds(s, &records);
        checkpoint_make_manifest(s, &records);
        start(s, TASK_PUBLISH);
    }
}

bool checkpoint_end(struct checkpoint_saver *s, struct error *err)
{
    await(s);
    bool ok = s->is_collected || transport_all_true(s->transport, s->phase == CHECKPOINT_WRITTEN);
    if (ok && !s->is_collected) {
        checkpoint_collect(s);
        await(s);
    }
    ok = transport_all_true(s->transport, ok && s->phase != CHECKPOINT_FAILED);
    if (!ok && s->rank == 0) {
        file_remove_tree(s->partial, NULL); /* give the room back; what failed is told already */
    }
    if (err != NULL) {
        *err = s->failure;
    }
    s->phase = CHECKPOINT_IDLE;
    return ok;
}

bool checkpoint_save(struct checkpoint_saver *s, const struct checkpoint_state *state,
                     struct error *err)
{
    checkpoint_begin(s, state);
    return checkpoint_end(s, err);
}

struct checkpoint_progress checkpoint_progress(const struct checkpoint_saver *s)
{
    struct checkpoint_progress progress = s->progress;
    progress.step = s->state.step;
    progress.age_s = clock_monotonic_s() - s->begin_s;
    return progress;
}
