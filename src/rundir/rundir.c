#include <attnres/rundir.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/clock.h>
#include <attnres/json.h>

enum { REASON_BYTES = 1024, STATUS_BYTES = 8 * REASON_BYTES };

/** Between two tries to lock. */
static const double TRY_AGAIN_S = 0.25;

/* The config file's name without folder and without .yaml or .yml. */
static bool base_name(char *out, const char *config_path, struct error *err)
{
    const char *slash = strrchr(config_path, '/');
    const char *name = slash == NULL ? config_path : slash + 1;
    size_t length = strlen(name);
    const char *dot = strrchr(name, '.');
    if (dot != NULL && dot != name && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0)) {
        length = (size_t)(dot - name);
    }
    if (length == 0 || length >= FILE_PATH_BYTES) {
        return error_set(err, ERROR_CONFIG, "%.60s: gives no name to the run's folder; set run.dir",
                         config_path);
    }
    memcpy(out, name, length);
    out[length] = '\0';
    return true;
}

bool rundir_holds_run(const char *path)
{
    char inside[FILE_PATH_BYTES];
    return (file_join(inside, path, "checkpoints", NULL) && file_is_folder(inside)) ||
           (file_join(inside, path, "metrics.jsonl", NULL) && file_exists(inside));
}

/* Whether a configuration is the one that a run has left in its folder, and the folder. */
static bool is_of_run(char *folder, const char *config_path)
{
    const char *slash = strrchr(config_path, '/'), *name = slash == NULL ? config_path : slash + 1;
    if (strcmp(name, "config.yaml") != 0 || strlen(config_path) >= FILE_PATH_BYTES) {
        return false;
    }
    file_parent(folder, config_path);
    return rundir_holds_run(folder);
}

bool rundir_choose(char *out, const char *dir, const char *config_path, struct error *err)
{
    if (strcmp(dir, "auto") != 0) {
        return file_join(out, "", dir, err);
    }
    char name[FILE_PATH_BYTES];
    char folder[FILE_PATH_BYTES];
    if (config_path == NULL) {
        return error_set(err, ERROR_CONFIG,
                         "run.dir is auto, which takes the configuration file's name, but no file "
                         "is given: set run.dir=FOLDER");
    }
    if (is_of_run(out, config_path)) {
        return true;
    }
    if (!base_name(name, config_path, err) || !file_join(folder, "runs", name, err)) {
        return false;
    }
    memcpy(out, folder, strlen(folder) + 1);
    return true;
}

/** Host and pid. */
static void name_owner(char owner[FILE_OWNER_BYTES])
{
    char host[FILE_OWNER_BYTES - 32] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        memcpy(host, "unknown", sizeof "unknown");
    }
    snprintf(owner, FILE_OWNER_BYTES, "%s %ld", host, (long)getpid());
}

/** Whether a lock's holder is a process of this host. Else it may be one that died with its host,
 * whose lock a file server keeps for a while. */
static bool is_seen(const char *holder, const char *owner)
{
    const size_t n = (size_t)(strrchr(owner, ' ') - owner) + 1;
    if (strncmp(holder, owner, n) != 0) {
        return false;
    }
    char *end = NULL;
    const long pid = strtol(holder + n, &end, 10);
    return pid > 0 && *end == '\0' && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/** Whether to try again, after a pause, for a lock that somebody unseen holds. */
static bool goes_on_waiting(const struct rundir_taking *taking, double waited_s,
                            struct error *failure)
{
    if (taking == NULL || waited_s >= taking->wait_s) {
        return error_add(failure, ERROR_CREATE,
                         "if no such process is left there, remove that file and start again");
    }
    if (taking->is_stopped()) {
        failure->kind = ERROR_EARLY;
        return error_add(failure, ERROR_EARLY, "stopped while waiting for it");
    }
    if (waited_s == 0.0) {
        log_write(taking->log, LOG_WARNING,
                  "%s, which may have died with its host: waiting for it, %.0f s at most",
                  failure->message, taking->wait_s);
    }
    clock_sleep_s(TRY_AGAIN_S);
    return true;
}

static void warn_of_no_lock(const struct rundir *r, struct log *log, const struct error *failure)
{
    log_write(log, LOG_WARNING,
              "%s: nothing keeps a second run out of %s, and two at a time destroy each other's "
              "files: see to it that there is one",
              failure->message, r->path);
}

static bool lock_folder(struct rundir *r, const struct rundir_taking *taking, struct error *err)
{
    char path[FILE_PATH_BYTES], owner[FILE_OWNER_BYTES], holder[FILE_OWNER_BYTES];
    struct error failure = {0};
    if (!file_join(path, r->path, ".lock", err)) {
        return false;
    }
    name_owner(owner);
    enum file_lock outcome = file_lock(&r->lock_fd, path, owner, holder, &failure);
    for (double waited_s = 0.0; outcome == FILE_LOCK_HELD && !is_seen(holder, owner) &&
                                goes_on_waiting(taking, waited_s, &failure);
         waited_s += TRY_AGAIN_S) {
        failure = (struct error){0};
        outcome = file_lock(&r->lock_fd, path, owner, holder, &failure);
    }
    if (outcome == FILE_LOCK_HELD && is_seen(holder, owner)) {
        error_add(&failure, ERROR_CREATE,
                  "a run is at work there: wait for it, stop it (touch %s/STOP), or choose another "
                  "folder with run.dir=...",
                  r->path);
    }
    if (outcome == FILE_LOCKLESS && taking != NULL) {
        warn_of_no_lock(r, taking->log, &failure);
    }
    return outcome == FILE_LOCKED || outcome == FILE_LOCKLESS ||
           error_set(err, failure.kind, "%s", failure.message);
}

bool rundir_open(struct rundir *r, const char *path, const struct rundir_taking *taking,
                 struct error *err)
{
    struct rundir opened = {.lock_fd = -1};
    if (!file_make_folders(path, err) || !file_join(opened.path, "", path, err) ||
        !lock_folder(&opened, taking, err)) {
        return false;
    }
    *r = opened;
    return true;
}

/* A zeroed folder has descriptor 0 but no path: it was never opened. */
void rundir_close(struct rundir *r)
{
    if (r == NULL) {
        return;
    }
    if (r->path[0] != '\0') {
        file_unlock(&r->lock_fd);
    }
    *r = (struct rundir){.lock_fd = -1};
}

bool rundir_is_held(const char *path)
{
    char lock_path[FILE_PATH_BYTES];
    return file_join(lock_path, path, ".lock", NULL) && file_is_locked(lock_path);
}

bool rundir_write_file(const struct rundir *r, const char *name, const void *bytes, size_t length,
                       struct error *err)
{
    assert(strchr(name, '/') == NULL);
    char path[FILE_PATH_BYTES];
    return file_join(path, r->path, name, err) && file_replace(path, bytes, length, err);
}

static const char *const STATE_NAMES[] = {
    [RUN_STARTING] = "starting", [RUN_TRAINING] = "training", [RUN_STOPPED] = "stopped",
    [RUN_DONE] = "done",         [RUN_FAILED] = "failed",
};
enum { N_STATES = sizeof STATE_NAMES / sizeof STATE_NAMES[0] };

bool rundir_write_status(const struct rundir *r, enum run_state state, const char *reason,
                         bool resumable, int64_t step, struct error *err)
{
    char now[21];
    char short_reason[REASON_BYTES];
    char text[STATUS_BYTES];
    struct json_writer w;
    clock_format_utc(clock_wall_s(), now);
    snprintf(short_reason, sizeof short_reason, "%s", reason != NULL ? reason : "");
    json_writer_init(&w, text, sizeof text - 1); /* the newline needs the last byte */
    json_begin_object(&w, NULL);
    json_text(&w, "state", STATE_NAMES[state]);
    json_text(&w, "reason", short_reason);
    json_bool(&w, "resumable", resumable);
    json_int(&w, "step", step);
    json_text(&w, "time", now);
    if (r->save_rate > 0.0) {
        json_number(&w, "save_bytes_per_s", r->save_rate);
    }
    json_end_object(&w);
    assert(json_writer_ok(&w)); /* a byte of the reason becomes at most six characters */
    text[w.length] = '\n';
    return rundir_write_file(r, "STATUS", text, w.length + 1, err);
}

static bool find_state(enum run_state *state, const char *name)
{
    for (int i = 0; name != NULL && i < N_STATES; i++) {
        if (strcmp(STATE_NAMES[i], name) == 0) {
            *state = (enum run_state)i;
            return true;
        }
    }
    return false;
}

static bool take_status(struct rundir_status *out, const struct json_value *root)
{
    const char *reason = json_as_text(json_get(root, "reason"));
    if (!find_state(&out->state, json_as_text(json_get(root, "state"))) || reason == NULL ||
        !json_as_bool(json_get(root, "resumable"), &out->resumable) ||
        !json_as_int(json_get(root, "step"), &out->step)) {
        return false;
    }
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    const bool has_rate = json_as_real(json_get(root, "save_bytes_per_s"), &out->save_rate);
    out->save_rate = has_rate && out->save_rate > 0.0 ? out->save_rate : 0.0;
    return true;
}

bool rundir_read_status(struct rundir_status *out, const char *path, struct error *err)
{
    char file_path[FILE_PATH_BYTES];
    struct file_bytes file = {0};
    struct json_document d;
    if (!file_join(file_path, path, "STATUS", err) ||
        !file_read(&file, file_path, STATUS_BYTES, err)) {
        return false;
    }
    const bool is_json = json_parse(&d, (const char *)file.bytes, file.length, file_path, err);
    file_bytes_finish(&file);
    if (!is_json) {
        return false;
    }
    const bool ok = take_status(out, d.root);
    json_document_finish(&d);
    return ok || error_set(err, ERROR_DATA,
                           "%s: expected state, reason, resumable and step as train writes them",
                           file_path);
}

static bool stop_path(char *out, const struct rundir *r, struct error *err)
{
    return file_join(out, r->path, "STOP", err);
}

bool rundir_stop_is_asked(const struct rundir *r)
{
    char path[FILE_PATH_BYTES];
    return stop_path(path, r, NULL) && file_exists(path);
}

bool rundir_remove_stop(const struct rundir *r, struct error *err)
{
    char path[FILE_PATH_BYTES];
    return stop_path(path, r, err) && file_remove(path, err);
}
