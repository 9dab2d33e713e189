#include <attnres/rundir.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/json.h>

#include "../support/folder.h"

static char folder[64];

/** What flock says here; 0: what the system says. */
static int lock_error;

/** Stands in for the C library's. */
int flock(int fd, int operation)
{
    errno = lock_error;
    return lock_error != 0 ? -1 : (int)syscall(SYS_flock, fd, operation);
}

/* Tests run inside a folder of their own, since the default runs/ is a relative path. */
static int enter_folder(void **state)
{
    (void)state;
    return !folder_enter(folder, sizeof folder, "rundir");
}

static int leave_folder(void **state)
{
    (void)state;
    return !folder_leave(folder);
}

static void auto_takes_the_config_files_name(void **state)
{
    (void)state;
    char out[FILE_PATH_BYTES];
    struct error err = {0};
    assert_true(rundir_choose(out, "auto", "configs/small.yaml", NULL));
    assert_string_equal(out, "runs/small");
    assert_true(rundir_choose(out, "auto", "v1.2.yml", NULL));
    assert_string_equal(out, "runs/v1.2");
    assert_true(rundir_choose(out, "auto", "plain", NULL));
    assert_string_equal(out, "runs/plain");
    assert_true(rundir_choose(out, "else/where", "configs/small.yaml", NULL));
    assert_string_equal(out, "else/where");
    assert_false(rundir_choose(out, "auto", "configs/", &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    err.kind = ERROR_NONE;
    assert_false(rundir_choose(out, "auto", NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_true(rundir_choose(out, "given", NULL, NULL));
}

/* What a run has left in its folder leads back to it, from wherever. */
static void a_runs_own_configuration_names_its_folder(void **state)
{
    (void)state;
    char out[FILE_PATH_BYTES];
    assert_true(rundir_choose(out, "auto", "runs/text/config.yaml", NULL));
    assert_string_equal(out, "runs/config");
    assert_true(file_make_folders("runs/text/checkpoints", NULL));
    assert_true(rundir_choose(out, "auto", "runs/text/config.yaml", NULL));
    assert_string_equal(out, "runs/text");
    assert_true(rundir_choose(out, "auto", "runs/text/other.yaml", NULL));
    assert_string_equal(out, "runs/other");
    assert_true(rundir_choose(out, "given", "runs/text/config.yaml", NULL));
    assert_string_equal(out, "given");
    assert_true(file_make_folders("checkpoints", NULL));
    assert_true(rundir_choose(out, "auto", "config.yaml", NULL));
    assert_string_equal(out, ".");
}

static void a_run_is_known_by_metrics_or_checkpoints(void **state)
{
    (void)state;
    assert_false(rundir_holds_run("a"));
    assert_true(file_make_folders("a", NULL));
    assert_true(file_replace("a/log.txt", "", 0, NULL));
    assert_false(rundir_holds_run("a"));
    assert_true(file_replace("a/metrics.jsonl", "", 0, NULL));
    assert_true(rundir_holds_run("a"));
    assert_true(file_make_folders("b/checkpoints", NULL));
    assert_true(rundir_holds_run("b"));
}

static void a_second_opening_is_refused_with_host_and_pid(void **state)
{
    (void)state;
    struct rundir first = {0}, second = {0};
    struct error err = {0};
    char host[256] = "", holder[300];
    gethostname(host, sizeof host - 1);
    snprintf(holder, sizeof holder, "%s %ld", host, (long)getpid());
    assert_false(rundir_is_held("runs/a"));
    assert_true(rundir_open(&first, "runs/a", NULL, NULL));
    assert_true(rundir_is_held("runs/a"));
    assert_true(rundir_is_held("runs/a") && "asking takes nothing");
    assert_false(rundir_open(&second, "runs/a", NULL, &err));
    assert_int_equal(err.kind, ERROR_CREATE);
    assert_non_null(strstr(err.message, holder));
    rundir_close(&first);
    assert_false(rundir_is_held("runs/a"));
    assert_true(rundir_open(&second, "runs/a", NULL, NULL));
    rundir_close(&second);
    rundir_close(&second);
    rundir_close(NULL);
    rundir_close(&(struct rundir){0});
}

/** A holder whose process cannot be seen from here, and what happens while somebody waits for it.
 */
static struct {
    int lock_fd, n_looks, ends_at, stops_at;
} holder;

static void hold(const char *path, int ends_at, int stops_at)
{
    char lock[FILE_PATH_BYTES], before[FILE_OWNER_BYTES];
    holder.n_looks = 0;
    holder.ends_at = ends_at;
    holder.stops_at = stops_at;
    assert_true(file_make_folders(path, NULL) && file_join(lock, path, ".lock", NULL));
    assert_int_equal(file_lock(&holder.lock_fd, lock, "node7 4711", before, NULL), FILE_LOCKED);
}

static bool look_whether_stopped(void)
{
    holder.n_looks++;
    if (holder.n_looks == holder.ends_at) {
        file_unlock(&holder.lock_fd);
    }
    return holder.n_looks == holder.stops_at;
}

static void a_holder_that_may_have_died_with_its_host_is_waited_for(void **state)
{
    (void)state;
    struct log log;
    log_init(&log, 0);
    log.quiet = true;
    struct rundir_taking taking = {.log = &log, .wait_s = 60.0, .is_stopped = look_whether_stopped};
    struct rundir r = {0}, second = {0};
    struct error err = {0};
    hold("run", 3, 0);
    assert_true(rundir_open(&r, "run", &taking, &err));
    assert_int_equal(holder.n_looks, 3);
    assert_int_equal(log.n_warnings, 1);
    assert_int_equal(err.kind, ERROR_NONE);
    /* This process itself is seen to run. */
    assert_false(rundir_open(&second, "run", &taking, &err));
    assert_int_equal(holder.n_looks, 3);
    assert_null(strstr(err.message, "remove that file"));
    rundir_close(&r);
    hold("run", 0, 2);
    assert_false(rundir_open(&r, "run", &taking, &err));
    assert_int_equal(err.kind, ERROR_EARLY);
    static const double WAITS_S[] = {0.3, 0.0};
    for (int i = 0; i < 2; i++) {
        holder.n_looks = 0;
        holder.stops_at = 0;
        taking.wait_s = WAITS_S[i];
        err = (struct error){0};
        assert_false(rundir_open(&r, "run", &taking, &err));
        assert_int_equal(holder.n_looks, i == 0 ? 2 : 0);
        assert_int_equal(err.kind, ERROR_CREATE);
        assert_non_null(strstr(err.message, "run/.lock: locked by node7 4711\nif no such process"));
    }
    assert_int_equal(log.n_warnings, 3);
    file_unlock(&holder.lock_fd);
    log_finish(&log);
}

static void without_locks_a_warning_takes_their_place(void **state)
{
    (void)state;
    static const int LOCKLESS[] = {ENOSYS, ENOTSUP, ENOLCK};
    struct log log;
    log_init(&log, 0);
    log.quiet = true;
    const struct rundir_taking taking = {.log = &log};
    struct rundir r = {0};
    struct error err = {0};
    for (int i = 0; i < 3; i++) {
        lock_error = LOCKLESS[i];
        const bool ok = rundir_open(&r, "run", &taking, &err);
        lock_error = 0;
        assert_true(ok && err.kind == ERROR_NONE);
        assert_int_equal(log.n_warnings, i + 1);
        assert_true(rundir_write_status(&r, RUN_STARTING, NULL, false, 0, NULL));
        rundir_close(&r);
    }
    lock_error = EIO;
    assert_false(rundir_open(&r, "run", &taking, &err));
    lock_error = 0;
    assert_int_equal(err.kind, ERROR_CREATE);
    log_finish(&log);
}

static void an_impossible_folder_cannot_be_created(void **state)
{
    (void)state;
    struct rundir r = {0};
    struct error err = {0};
    assert_true(file_replace("plain", "", 0, NULL));
    assert_false(rundir_open(&r, "plain/run", NULL, &err));
    assert_int_equal(err.kind, ERROR_CREATE);
}

static void check_status(enum run_state state, const char *state_name, const char *reason,
                         bool resumable, int64_t step)
{
    struct rundir_status read = {0};
    assert_true(rundir_read_status(&read, "run", NULL));
    assert_int_equal(read.state, state);
    assert_string_equal(read.reason, reason);
    assert_true(read.resumable == resumable && read.step == step && read.save_rate == 0.0);
    struct file_bytes f = {0};
    struct json_document d;
    bool flag = !resumable;
    int64_t number = -1;
    assert_true(file_read(&f, "run/STATUS", 10000, NULL));
    assert_ptr_equal(strchr((char *)f.bytes, '\n'), f.bytes + f.length - 1);
    assert_true(json_parse(&d, (char *)f.bytes, f.length, "STATUS", NULL));
    assert_int_equal(json_count(d.root), 5);
    assert_string_equal(json_as_text(json_get(d.root, "state")), state_name);
    assert_string_equal(json_as_text(json_get(d.root, "reason")), reason);
    assert_true(json_as_bool(json_get(d.root, "resumable"), &flag) && flag == resumable);
    assert_true(json_as_int(json_get(d.root, "step"), &number) && number == step);
    assert_int_equal(strlen(json_as_text(json_get(d.root, "time"))), 20);
    json_document_finish(&d);
    file_bytes_finish(&f);
}

static void status_is_replaced_whole(void **state)
{
    (void)state;
    struct rundir r = {0};
    assert_true(rundir_open(&r, "run", NULL, NULL));
    assert_true(rundir_write_status(&r, RUN_STARTING, NULL, false, 0, NULL));
    check_status(RUN_STARTING, "starting", "", false, 0);
    assert_true(rundir_write_status(&r, RUN_TRAINING, "", true, 10, NULL));
    check_status(RUN_TRAINING, "training", "", true, 10);
    assert_true(rundir_write_status(&r, RUN_STOPPED, "STOP \"asked\"\n", true, 12, NULL));
    check_status(RUN_STOPPED, "stopped", "STOP \"asked\"\n", true, 12);
    assert_true(rundir_write_status(&r, RUN_DONE, "", false, 100, NULL));
    check_status(RUN_DONE, "done", "", false, 100);
    char reason[2000], cut[1024];
    memset(reason, 1, sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    snprintf(cut, sizeof cut, "%.1023s", reason);
    assert_true(rundir_write_status(&r, RUN_FAILED, reason, true, 100, NULL));
    check_status(RUN_FAILED, "failed", cut, true, 100);
    struct rundir_status read = {0};
    r.save_rate = 2.5e8;
    assert_true(rundir_write_status(&r, RUN_STOPPED, "", true, 100, NULL));
    assert_true(rundir_read_status(&read, "run", NULL) && read.save_rate == 2.5e8);
    rundir_close(&r);
}

static void a_status_that_is_none_is_refused(void **state)
{
    (void)state;
    const char *const forged[] = {
        "", "{}", "{\"state\": \"done\", \"reason\": \"\", \"resumable\": 1, \"step\": 2}",
        "{\"state\": \"odd\", \"reason\": \"\", \"resumable\": true, \"step\": 2}"};
    struct rundir_status read;
    struct error err = {0};
    assert_true(file_make_folders("forged", NULL));
    assert_false(rundir_read_status(&read, "forged", &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        err = (struct error){0};
        assert_true(file_replace("forged/STATUS", forged[i], strlen(forged[i]), NULL));
        assert_false(rundir_read_status(&read, "forged", &err));
        assert_int_equal(err.kind, ERROR_DATA);
    }
}

static void stop_is_seen_and_removed(void **state)
{
    (void)state;
    struct rundir r = {0};
    assert_true(rundir_open(&r, "run", NULL, NULL));
    assert_false(rundir_stop_is_asked(&r));
    assert_true(rundir_remove_stop(&r, NULL));
    assert_true(rundir_write_file(&r, "STOP", "", 0, NULL));
    assert_true(rundir_stop_is_asked(&r));
    assert_true(rundir_remove_stop(&r, NULL));
    assert_false(rundir_stop_is_asked(&r));
    rundir_close(&r);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(auto_takes_the_config_files_name),
        IN_FOLDER(a_runs_own_configuration_names_its_folder),
        IN_FOLDER(a_run_is_known_by_metrics_or_checkpoints),
        IN_FOLDER(a_second_opening_is_refused_with_host_and_pid),
        IN_FOLDER(a_holder_that_may_have_died_with_its_host_is_waited_for),
        IN_FOLDER(without_locks_a_warning_takes_their_place),
        IN_FOLDER(an_impossible_folder_cannot_be_created),
        IN_FOLDER(status_is_replaced_whole),
        IN_FOLDER(stop_is_seen_and_removed),
        IN_FOLDER(a_status_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
