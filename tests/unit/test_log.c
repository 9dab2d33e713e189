#include <attnres/log.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../support/folder.h"
#include "../support/full_disk.h"

static char folder[64];
static char log_path[128], error_path[128];

static int make_folder(void **state)
{
    (void)state;
    const bool ok = folder_make(folder, sizeof folder, "log");
    snprintf(log_path, sizeof log_path, "%s/log.txt", folder);
    snprintf(error_path, sizeof error_path, "%s/standard_error", folder);
    return !ok;
}

static int remove_folder(void **state)
{
    (void)state;
    return !file_remove_tree(folder, NULL);
}

/* Standard error leads into a file from begin to end; end returns the old one. */
static int capture_begin(void)
{
    const int saved = dup(STDERR_FILENO);
    const int fd = open(error_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(saved >= 0 && fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
    return saved;
}

static void capture_end(int saved)
{
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
}

static void assert_file(const char *path, const char *expected)
{
    struct file_bytes f = {0};
    assert_true(file_read(&f, path, 100000, NULL));
    assert_string_equal((const char *)f.bytes, expected);
    file_bytes_finish(&f);
}

static void lines_go_to_standard_error_plain_and_to_the_file_with_their_time(void **state)
{
    (void)state;
    struct log log;
    const int saved = capture_begin();
    log_init(&log, 0);
    assert_false(log.terminal);
    log_write(&log, LOG_INFO, "step %d", 7); /* kept until there is a file */
    assert_true(log_open_file(&log, log_path, NULL));
    log_write(&log, LOG_WARNING, "slow");
    log_write(&log, LOG_ERROR, "broken");
    log_progress(&log, "no terminal, no progress");
    assert_int_equal(log.n_warnings, 1);
    log_finish(&log);
    capture_end(saved);
    assert_file(error_path, "step 7\nwarning: slow\nerror: broken\n");
    struct file_bytes f = {0};
    assert_true(file_read(&f, log_path, 1000, NULL));
    const char *text = (const char *)f.bytes;
    assert_int_equal(f.length, 3 * 21 + strlen("step 7\nwarning: slow\nerror: broken\n"));
    assert_memory_equal(text + 19, "Z step 7\n", 9);
    assert_memory_equal(text, "20", 2);
    file_bytes_finish(&f);
}

static void other_ranks_tell_only_warnings_and_errors_with_their_rank(void **state)
{
    (void)state;
    struct log log;
    const int saved = capture_begin();
    log_init(&log, 3);
    log_write(&log, LOG_INFO, "not told");
    log_write(&log, LOG_WARNING, "told");
    log.terminal = true;
    log_progress(&log, "not told");
    log_write(&log, LOG_ERROR, "told");
    log_finish(&log);
    capture_end(saved);
    assert_file(error_path, "rank 3: warning: told\n\r\033[Krank 3: error: told\n");
}

static void progress_replaces_itself_and_gives_way_to_lines(void **state)
{
    (void)state;
    struct log log;
    const int saved = capture_begin();
    log_init(&log, 0);
    log.terminal = true;
    log_progress(&log, "step %d", 1);
    log_progress(&log, "step %d", 2);
    log_write(&log, LOG_INFO, "a line");
    log_write(&log, LOG_INFO, "another");
    log_progress(&log, "step\n%d", 3);
    log_finish(&log);
    log_finish(&log);
    capture_end(saved);
    assert_file(error_path, "\r\033[K\033[?7lstep 1\033[?7h"
                            "\r\033[K\033[?7lstep 2\033[?7h"
                            "\r\033[Ka line\nanother\n"
                            "\r\033[K\033[?7lstep?3\033[?7h\n");
}

static void control_characters_are_masked(void **state)
{
    (void)state;
    struct log log;
    const int saved = capture_begin();
    log_init(&log, 0);
    log_write(&log, LOG_INFO, "%s", "a\033[2Jb\x7F\tc\nd \xC3\xA4");
    log_finish(&log);
    capture_end(saved);
    assert_file(error_path, "a?[2Jb?\tc\nd \xC3\xA4\n");
}

static void long_messages_are_cut_and_still_one_line(void **state)
{
    (void)state;
    struct log log;
    char *message = malloc(20001);
    assert_non_null(message);
    memset(message, 'm', 20000);
    message[20000] = '\0';
    const int saved = capture_begin();
    log_init(&log, 0);
    log.terminal = true;
    log_write(&log, LOG_INFO, "%s", message);
    log_progress(&log, "%s", message);
    log_finish(&log);
    capture_end(saved);
    free(message);
    struct file_bytes f = {0};
    assert_true(file_read(&f, error_path, 100000, NULL));
    const char *newline = strchr((const char *)f.bytes, '\n');
    assert_non_null(newline);
    assert_memory_equal(newline - 3, "...", 3);
    assert_in_range(newline - (const char *)f.bytes, 8192, 8300);
    assert_string_equal((const char *)f.bytes + f.length - 6, "\033[?7h\n");
    file_bytes_finish(&f);
}

static void quiet_writes_only_the_file(void **state)
{
    (void)state;
    struct log log;
    const int saved = capture_begin();
    log_init(&log, 0);
    log.quiet = log.terminal = true;
    assert_true(log_open_file(&log, log_path, NULL));
    log_write(&log, LOG_INFO, "kept");
    log_progress(&log, "gone");
    log_finish(&log);
    capture_end(saved);
    assert_file(error_path, "");
    assert_int_equal(file_length(log_path), 21 + 5);
}

static void a_full_disk_leaves_lines_out_with_one_warning(void **state)
{
    (void)state;
    struct log log;
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    const int saved = dup(STDERR_FILENO);
    assert_int_equal(dup2(channel[1], STDERR_FILENO), STDERR_FILENO);
    log_init(&log, 0);
    assert_true(log_open_file(&log, log_path, NULL));
    const struct rlimit old = full_disk_begin(70);
    log_write(&log, LOG_INFO, "%s", "fits into the file");
    log_write(&log, LOG_INFO, "%s", "does not fit into the file: it is too long");
    log_write(&log, LOG_INFO, "%s", "goes on");
    full_disk_end(&old);
    assert_int_equal(log.n_warnings, 1);
    log_finish(&log);
    capture_end(saved);
    char text[1000] = {0};
    assert_true(read(channel[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "lines are missing there\ngoes on\n"));
    assert_int_equal(file_length(log_path), 21 + 19 + 21 + 8); /* whole lines: the last one fits */
    close(channel[0]);
    close(channel[1]);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_go_to_standard_error_plain_and_to_the_file_with_their_time),
        IN_FOLDER(other_ranks_tell_only_warnings_and_errors_with_their_rank),
        IN_FOLDER(progress_replaces_itself_and_gives_way_to_lines),
        IN_FOLDER(control_characters_are_masked),
        IN_FOLDER(long_messages_are_cut_and_still_one_line),
        IN_FOLDER(quiet_writes_only_the_file),
        IN_FOLDER(a_full_disk_leaves_lines_out_with_one_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
