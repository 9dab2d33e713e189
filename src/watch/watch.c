/* The watching thread of a rank. Its only ways to the world are files of the run's folder, the log,
 * and transport_leave. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <attnres/clock.h>
#include <attnres/file.h>
#include <attnres/log.h>
#include <attnres/rundir.h>

#include "watch_internal.h"

enum { ANSWER_BYTES = 512, NAME_BYTES = 64 };

static const char ASKED[] = ".stall-asked", VERDICT[] = "stall.txt",
                  ANSWER_PREFIX[] = "stall-rank-";

static const double NEVER_S = 1e9;
/** Between two looks. */
static const double LEAST_PERIOD_S = 0.1, MOST_PERIOD_S = 1.0, PERIODS_PER_STALL = 20.0,
                    ROUNDS_APART_PERIODS = 3.0;
/** Longer between two looks, the process itself was stopped: its job was suspended, or its machine
 * slept. */
static const double GAP_PERIODS = 5.0;
/** How long an answer may take, before its rank counts as silent: a tenth of run.stall_s, within
 * these bounds. */
static const double LEAST_PAUSE_S = 2.0, MOST_PAUSE_S = 10.0;
/** How long to leave the verdict to a lower rank that has answered, and how long to wait, once it
 * stands, for the launcher to end this rank too. */
static const double DEFER_S = 15.0, LAUNCHER_S = 5.0;
/** So many times its limit a rank that cannot write its answer stands still before it ends the job.
 */
static const double ALONE_LIMITS = 2.0;

struct watch {
    struct watch_options options;
    struct transport *transport;
    int rank, n_ranks;
    double period_s, pause_s;
    struct watch_state *states; /* of all ranks, for the judge */
    struct log log;             /* its own: the other thread's is not to be shared */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stops; /* under the mutex */
    _Atomic int64_t saved_step;
    /* the thread's own */
    int n_dumped;
    bool has_answered, is_mute;
    double answered_s, next_ask_s, obeys_s;
    double looked_s, awake_s; /* the last look; since when no gap was between two of them */
    bool has_left;
    struct journal journal;
};

static bool is_of_a_stall(const char *name)
{
    return strcmp(name, ASKED) == 0 || strcmp(name, VERDICT) == 0 ||
           strncmp(name, ANSWER_PREFIX, strlen(ANSWER_PREFIX)) == 0;
}

/** What remove_left works on. */
struct left {
    const char *folder;
    struct error *err;
    bool ok;
};

static bool remove_left(void *user, const char *name)
{
    struct left *l = user;
    char path[FILE_PATH_BYTES];
    l->ok = !is_of_a_stall(name) ||
            (file_join(path, l->folder, name, l->err) && file_remove(path, l->err));
    return l->ok;
}

bool watch_clear(const char *folder, struct error *err)
{
    struct left left = {folder, err, true};
    return file_list(folder, remove_left, &left, err) && left.ok;
}

void watch_note_saved(struct watch *w, int64_t step)
{
    if (w != NULL) {
        atomic_store_explicit(&w->saved_step, step, memory_order_relaxed);
    }
}

static bool path_of(char *path, const struct watch *w, const char *name, struct error *err)
{
    return file_join(path, w->options.folder, name, err);
}

static bool path_of_rank(char *path, const struct watch *w, const char *prefix, int rank,
                         struct error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%04d.txt", prefix, rank);
    return path_of(path, w, name, err);
}

/** As of now, and so are the answers that are read after it. */
static bool stands(const struct watch *w, const char *name)
{
    char path[FILE_PATH_BYTES];
    file_refresh(w->options.folder);
    return path_of(path, w, name, NULL) && file_exists(path);
}

bool watch_has_verdict(const struct watch *w)
{
    return w != NULL && stands(w, VERDICT);
}

static void take_away(const struct watch *w, const char *name)
{
    char path[FILE_PATH_BYTES];
    if (path_of(path, w, name, NULL)) {
        file_remove(path, NULL);
    }
}

static bool put(const struct watch *w, const char *name, const char *text, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_writer file = {.fd = -1};
    if (!path_of(path, w, name, err) || !file_writer_create(&file, path, err)) {
        return false;
    }
    const bool ok = file_writer_write(&file, text, strlen(text), err);
    return file_writer_close(&file, ok ? err : NULL) && ok;
}

static double limit_s(const struct watch *w)
{
    const struct watch_options *o = &w->options;
    double limit = o->stall_s;
    switch (journal_phase(&w->journal)) {
    case JOURNAL_STARTING:
    case JOURNAL_ENDING:
        limit = o->start_s > limit || o->start_s == 0.0 ? o->start_s : limit;
        break;
    case JOURNAL_SAVING:
        limit = o->save_s > limit || o->save_s == 0.0 ? o->save_s : limit;
        break;
    default:
        break;
    }
    return limit > 0.0 ? limit : NEVER_S;
}

/** Nobody stands still while the job is suspended. */
static struct watch_state own_state(const struct watch *w, double now_s)
{
    struct watch_state state = watch_state_of(&w->journal, now_s, limit_s(w));
    state.idle_s = fmin(state.idle_s, now_s - w->awake_s);
    return state;
}

static bool dump(struct watch *w, const char *prefix, const struct watch_state *state, double now_s,
                 struct error *err)
{
    char path[FILE_PATH_BYTES];
    return path_of_rank(path, w, prefix, w->rank, err) &&
           watch_dump(path, &w->journal, state, w->rank, now_s, err);
}

/** SIGUSR2: write the events and go on. */
static void serve_request(struct watch *w, double now_s)
{
    const int n_asked = w->options.n_asked != NULL ? w->options.n_asked() : 0;
    if (n_asked == w->n_dumped) {
        return;
    }
    w->n_dumped = n_asked;
    struct error err = {0};
    const struct watch_state state = own_state(w, now_s);
    if (!dump(w, "events-rank-", &state, now_s, &err)) {
        log_write(&w->log, LOG_WARNING, "last events: %s", err.message);
    } else if (w->rank == 0) {
        log_write(&w->log, LOG_INFO, "the ranks' last events are in %s/events-rank-*.txt",
                  w->options.folder);
    }
}

static void leave(struct watch *w, const char *message)
{
    w->has_left = true;
    transport_leave(w->transport, ERROR_LAUNCH, message);
}

static void leave_alone(struct watch *w, const struct watch_state *state, const struct error *err)
{
    char said[256];
    watch_describe(said, sizeof said, state);
    log_write(&w->log, LOG_ERROR,
              "stalled: rank %d %s; the other ranks cannot be asked, so it ends alone: %s", w->rank,
              said, err->message);
    leave(w, said);
}

/** A rank that cannot write its answer would count as silent, and a full disk is no stall: it takes
 * the question back, and then ends the job only for having stood still itself, for long. */
static void stay_mute(struct watch *w, const struct watch_state *state, const struct error *err)
{
    take_away(w, ASKED);
    if (state->idle_s > ALONE_LIMITS * state->limit_s) {
        leave_alone(w, state, err);
    } else if (!w->is_mute) {
        log_write(&w->log, LOG_WARNING, "until this is mended no stall can be found: %s",
                  err->message);
    }
    w->is_mute = true;
}

static void read_answer(struct watch *w, int rank)
{
    char path[FILE_PATH_BYTES], text[ANSWER_BYTES] = "";
    struct file_reader file = {.fd = -1};
    if (w->states[rank].answered || !path_of_rank(path, w, ANSWER_PREFIX, rank, NULL) ||
        !file_reader_open(&file, path, NULL)) {
        return;
    }
    const int64_t most = ANSWER_BYTES - 1, length = file.length < most ? file.length : most;
    if (length > 0 && file_reader_read(&file, 0, text, (size_t)length, NULL)) {
        watch_parse(&w->states[rank], text, w->n_ranks);
    }
    file_reader_close(&file);
}

/** Whether a rank before this one is there to judge. */
static bool has_lower(struct watch *w)
{
    for (int rank = 0; rank < w->rank; rank++) {
        read_answer(w, rank);
        if (w->states[rank].answered) {
            return true;
        }
    }
    return false;
}

static bool have_all_answered(struct watch *w)
{
    bool all = true;
    for (int rank = 0; rank < w->n_ranks; rank++) {
        read_answer(w, rank);
        all = all && w->states[rank].answered;
    }
    return all;
}

static void write_status(const struct watch *w, const char *text)
{
    struct rundir folder = {.lock_fd = -1};
    struct journal_event last = {0};
    char reason[WATCH_TEXT_BYTES];
    snprintf(reason, sizeof reason, "%.*s", (int)strcspn(text, "\n"), text);
    snprintf(folder.path, sizeof folder.path, "%s", w->options.folder);
    journal_read(&w->journal, journal_count(&w->journal) - 1, &last);
    const int64_t saved = atomic_load_explicit(&w->saved_step, memory_order_relaxed);
    const int64_t done = last.step > 0 ? last.step - 1 : 0;
    rundir_write_status(&folder, RUN_FAILED, reason, saved >= 0, done > saved ? done : saved, NULL);
}

/** All answers are in, or will not come. */
static void judge(struct watch *w)
{
    char text[WATCH_TEXT_BYTES];
    const struct watch_verdict verdict = watch_judge(w->states, w->n_ranks);
    if (verdict.cause == WATCH_NO_STALL) {
        take_away(w, ASKED); /* then all take their answers back */
        return;
    }
    watch_explain(text, &verdict, w->states, w->n_ranks);
    /* A line of progress may stand on the terminal. */
    w->log.progress_shown = w->log.terminal && !w->log.quiet;
    log_write(&w->log, LOG_ERROR, "%s\n  the ranks' last events: %s/%s*.txt", text,
              w->options.folder, ANSWER_PREFIX);
    put(w, VERDICT, text, NULL);
    write_status(w, text);
    take_away(w, ASKED);
    leave(w, text);
}

/** The verdict is another rank's; if the launcher does not end this one it ends by itself. */
static void obey(struct watch *w, double now_s)
{
    if (w->obeys_s == 0.0) {
        w->obeys_s = now_s;
    } else if (now_s - w->obeys_s > LAUNCHER_S) {
        leave(w, "another rank found the job stalled");
    }
}

static void consider(struct watch *w, double now_s)
{
    const double waited_s = now_s - w->answered_s;
    if (w->rank > 0 && waited_s <= w->pause_s + w->period_s) {
        return; /* the ranks before this one come first */
    }
    if (w->rank > 0 && waited_s <= w->pause_s + DEFER_S && has_lower(w)) {
        return;
    }
    if (have_all_answered(w) || waited_s > w->pause_s) {
        judge(w);
    }
}

static void forget_answers(struct watch *w)
{
    for (int rank = 0; rank < w->n_ranks; rank++) {
        w->states[rank].answered = false;
    }
}

static void answer(struct watch *w, const struct watch_state *state, double now_s)
{
    struct error err = {0};
    if (!dump(w, ANSWER_PREFIX, state, now_s, &err)) {
        stay_mute(w, state, &err);
        return;
    }
    forget_answers(w);
    w->is_mute = false;
    w->has_answered = true;
    w->answered_s = now_s;
}

/** A round is over. The next one shall begin only when all ranks have seen that. */
static void take_answer_back(struct watch *w)
{
    char path[FILE_PATH_BYTES];
    const double soon_s = clock_monotonic_s() + ROUNDS_APART_PERIODS * w->period_s;
    w->has_answered = false;
    w->next_ask_s = w->next_ask_s > soon_s ? w->next_ask_s : soon_s;
    if (path_of_rank(path, w, ANSWER_PREFIX, w->rank, NULL)) {
        file_remove(path, NULL);
    }
}

/** Stood still for too long: have everybody answer. */
static void ask(struct watch *w, const struct watch_state *state, double now_s)
{
    struct error err = {0};
    w->next_ask_s = now_s + 0.5 * state->limit_s;
    if (put(w, ASKED, "", &err)) {
        answer(w, state, now_s);
    } else {
        stay_mute(w, state, &err);
    }
}

static void look(struct watch *w, double now_s)
{
    const struct watch_state state = own_state(w, now_s);
    const bool asks = state.idle_s > state.limit_s && now_s >= w->next_ask_s;
    const bool is_asked = stands(w, ASKED);
    if (!is_asked && !asks && !w->has_answered) {
        return;
    }
    if (stands(w, VERDICT)) {
        obey(w, now_s);
    } else if (is_asked && w->has_answered) {
        consider(w, now_s);
    } else if (is_asked) {
        answer(w, &state, now_s);
    } else if (w->has_answered) {
        take_answer_back(w);
    } else {
        ask(w, &state, now_s);
    }
}

/** Until the period is over or the watch stops; whether it goes on. */
static bool pause_until_next(struct watch *w)
{
    const double until_s = clock_monotonic_s() + w->period_s;
    const struct timespec until = {.tv_sec = (time_t)until_s,
                                   .tv_nsec = (long)((until_s - (double)(time_t)until_s) * 1e9)};
    pthread_mutex_lock(&w->mutex);
    int waited = 0;
    while (!w->stops && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
    }
    const bool goes_on = !w->stops;
    pthread_mutex_unlock(&w->mutex);
    return goes_on;
}

/** After a suspension all times begin anew, those of a round of answers too: other ranks may wake
 * later than this one. */
static void note_gap(struct watch *w, double now_s)
{
    if (now_s - w->looked_s > GAP_PERIODS * w->period_s) {
        w->awake_s = w->answered_s = now_s;
        w->obeys_s = 0.0;
    }
    w->looked_s = now_s;
}

static void *watch_thread(void *argument)
{
    struct watch *w = argument;
    while (!w->has_left && pause_until_next(w)) {
        const double now_s = clock_monotonic_s();
        note_gap(w, now_s);
        serve_request(w, now_s);
        if (w->options.stall_s > 0.0) {
            look(w, now_s);
        }
    }
    return NULL;
}

static double within(double x, double least, double most)
{
    return x < least ? least : (x > most ? most : x);
}

/** With all signals blocked in the new thread: they are for the others. */
static bool start_thread(struct watch *w, struct error *err)
{
    sigset_t all, before;
    pthread_condattr_t attributes;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&w->thread, NULL, watch_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        return error_set(err, ERROR_CREATE, "cannot start the watching thread: %s",
                         strerror(failed));
    }
    return true;
}

static bool open_log(struct watch *w, struct error *err)
{
    char path[FILE_PATH_BYTES];
    log_init(&w->log, w->rank);
    w->log.quiet = w->options.quiet;
    return path_of(path, w, "log.txt", err) && log_open_file(&w->log, path, err);
}

struct watch *watch_start(const struct watch_options *options, struct transport *transport,
                          struct error *err)
{
    const int n_ranks = transport_size(transport);
    struct watch *w = calloc(1, sizeof *w);
    struct watch_state *states = calloc((size_t)n_ranks, sizeof *states);
    if (w == NULL || states == NULL) {
        free(states);
        free(w);
        error_set(err, ERROR_CREATE, "no memory for the watch");
        return NULL;
    }
    w->options = *options;
    w->transport = transport;
    w->rank = transport_rank(transport);
    w->n_ranks = n_ranks;
    w->states = states;
    w->period_s = within(options->stall_s / PERIODS_PER_STALL, LEAST_PERIOD_S, MOST_PERIOD_S);
    w->looked_s = w->awake_s = clock_monotonic_s();
    w->pause_s = within(options->stall_s / 10.0, LEAST_PAUSE_S, MOST_PAUSE_S);
    w->n_dumped = options->n_asked != NULL ? options->n_asked() : 0;
    atomic_init(&w->saved_step, -1);
    journal_init(&w->journal);
    if (!open_log(w, err) || !start_thread(w, err)) {
        log_finish(&w->log);
        free(states);
        free(w);
        return NULL;
    }
    transport_set_journal(transport, &w->journal);
    return w;
}

void watch_stop(struct watch *w)
{
    if (w == NULL) {
        return;
    }
    transport_set_journal(w->transport, NULL);
    pthread_mutex_lock(&w->mutex);
    w->stops = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    if (w->has_answered && !stands(w, VERDICT)) {
        take_answer_back(w);
    }
    log_finish(&w->log);
    free(w->states);
    free(w);
}
