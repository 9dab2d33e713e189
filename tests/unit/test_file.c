#include <attnres/file.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../support/folder.h"
#include "../support/full_disk.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    return !folder_make(folder, sizeof folder, "file");
}

static int remove_folder(void **state)
{
    (void)state;
    return !file_remove_tree(folder, NULL);
}

/* A path inside the test's folder; two may be in use at a time. */
static const char *in_folder(const char *name)
{
    static char paths[2][FILE_PATH_BYTES];
    static int turn;
    turn = 1 - turn;
    assert_true(file_join(paths[turn], folder, name, NULL));
    return paths[turn];
}

static void assert_contents(const char *name, const char *expected)
{
    struct file_bytes f = {0};
    assert_true(file_read(&f, in_folder(name), 1000, NULL));
    assert_string_equal((const char *)f.bytes, expected);
    assert_int_equal(f.length, strlen(expected));
    file_bytes_finish(&f);
}

static void replace_then_read_gives_the_bytes(void **state)
{
    (void)state;
    assert_true(file_replace(in_folder("a"), "one", 3, NULL));
    assert_contents("a", "one");
    assert_true(file_replace(in_folder("a"), "", 0, NULL));
    assert_contents("a", "");
    assert_int_equal(file_length(in_folder("a")), 0);
    assert_false(file_exists(in_folder(".a.partial")));
}

static void a_replacement_that_fails_names_the_file_that_was_given(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(file_make_folders(in_folder(".given.partial"), NULL)); /* in the way */
    assert_false(file_replace(in_folder("given"), "one", 3, &err));
    assert_int_equal(err.kind, ERROR_CREATE);
    assert_ptr_equal(strstr(err.message, in_folder("given: ")), err.message);
    assert_non_null(strstr(err.message, ".given.partial: cannot create: "));
    assert_true(file_remove_tree(in_folder(".given.partial"), NULL));
}

static void read_refuses_what_is_no_regular_file_without_blocking(void **state)
{
    (void)state;
    struct file_bytes f = {0};
    struct error err = {0};
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    const char *paths[] = {in_folder("fifo"), in_folder("socket"), folder, "/dev/null"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_false(file_read(&f, paths[i], 1000, &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_non_null(strstr(err.message, paths[i]));
    }
    close(listener);
    assert_false(file_writer_append(&(struct file_writer){0}, in_folder("fifo"), &err));
    assert_int_equal(err.kind, ERROR_CREATE);
}

static void read_refuses_absent_and_large_files(void **state)
{
    (void)state;
    struct file_bytes f = {0};
    struct error err = {0};
    assert_false(file_read(&f, in_folder("absent"), 1000, &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
    assert_non_null(strstr(err.message, "No such file"));
    assert_true(file_replace(in_folder("a"), "12345", 5, NULL));
    assert_true(file_read(&f, in_folder("a"), 5, &err));
    file_bytes_finish(&f);
    assert_false(file_read(&f, in_folder("a"), 4, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_null(f.bytes);
}

/* How a child with this standard input ends: 0 if it reads so many bytes, else with the error. */
static int read_in_child(int fd, size_t most, size_t expected)
{
    const pid_t child = fork();
    if (child == 0) {
        struct file_bytes f = {0};
        struct error err = {0};
        dup2(fd, STDIN_FILENO);
        const bool ok = file_read_input(&f, most, &err);
        _exit(ok ? f.length != expected || f.bytes[expected] != 0 : (int)err.kind);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void input_is_read_to_its_end_from_a_file_or_a_pipe(void **state)
{
    (void)state;
    static char bytes[200000];
    enum { N = sizeof bytes };
    assert_true(file_replace(in_folder("long"), bytes, N, NULL));
    for (size_t most = N - 1; most <= N + 1; most++) {
        const int fd = open(in_folder("long"), O_RDONLY);
        assert_int_equal(read_in_child(fd, most, N), most < N ? ERROR_DATA : 0);
        close(fd);
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one", 3), 3);
    close(ends[1]);
    assert_int_equal(read_in_child(ends[0], 3, 3), 0);
    close(ends[0]);
}

static void map_shows_the_contents_and_nothing_of_an_empty_file(void **state)
{
    (void)state;
    struct file_map map = {0};
    assert_true(file_replace(in_folder("a"), "mapped", 6, NULL));
    assert_true(file_map_init(&map, in_folder("a"), NULL));
    assert_int_equal(map.length, 6);
    assert_memory_equal(map.bytes, "mapped", 6);
    file_map_finish(&map);
    assert_null(map.bytes);
    assert_true(file_replace(in_folder("a"), "", 0, NULL));
    assert_true(file_map_init(&map, in_folder("a"), NULL));
    assert_int_equal(map.length, 0);
    file_map_finish(&map);
    file_map_finish(NULL);
}

/* In a process of its own: maps a file and reads its last page after the file was cut. */
static void read_a_lost_page(int standard_error)
{
    struct file_map map = {0};
    dup2(standard_error, STDERR_FILENO);
    file_end_on_lost_page();
    if (file_map_init(&map, in_folder("a"), NULL) && truncate(in_folder("a"), 5) == 0) {
        const volatile unsigned char *last = map.bytes + map.length - 1;
        _exit(*last);
    }
    _exit(0);
}

static void a_page_that_is_gone_ends_the_program_and_names_the_file(void **state)
{
    (void)state;
    static const char BYTES[3 << 16];
    char message[512] = "", expected[FILE_PATH_BYTES + 16];
    int channel[2], status = 0;
    assert_true(file_replace(in_folder("a"), BYTES, sizeof BYTES, NULL));
    assert_int_equal(pipe(channel), 0);
    const pid_t child = fork();
    if (child == 0) {
        read_a_lost_page(channel[1]);
    }
    close(channel[1]);
    assert_true(read(channel[0], message, sizeof message - 1) > 0);
    close(channel[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERROR_IO);
    snprintf(expected, sizeof expected, "attnres: %s: cannot be read", in_folder("a"));
    assert_non_null(strstr(message, expected));
}

static void a_sent_sigbus_ends_the_process_as_ever(void **state)
{
    (void)state;
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        file_end_on_lost_page();
        kill(getpid(), SIGBUS);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void assert_link_is_refused(const struct error *err)
{
    assert_int_equal(err->kind, ERROR_CREATE);
    assert_non_null(strstr(err->message, "/link: is a symbolic link: refused"));
    assert_contents("a", "kept");
}

static void nothing_is_written_or_locked_through_a_link(void **state)
{
    (void)state;
    struct error err[3] = {0};
    int fd = -1;
    char holder[FILE_OWNER_BYTES];
    assert_true(file_replace(in_folder("a"), "kept", 4, NULL));
    assert_int_equal(symlink("a", in_folder("link")), 0);
    assert_false(file_writer_create(&(struct file_writer){0}, in_folder("link"), &err[0]));
    assert_link_is_refused(&err[0]);
    assert_false(file_writer_append(&(struct file_writer){0}, in_folder("link"), &err[1]));
    assert_link_is_refused(&err[1]);
    assert_int_equal(file_lock(&fd, in_folder("link"), "node7 4711", holder, &err[2]),
                     FILE_LOCK_FAILED);
    assert_link_is_refused(&err[2]);
    assert_int_equal(file_lock(&fd, in_folder("a"), "node7 4711", holder, NULL), FILE_LOCKED);
    assert_false(file_is_locked(in_folder("link")));
    file_unlock(&fd);
}

/* Folders may be links: a run's folder on another disk. */
static void a_folder_that_is_a_link_is_gone_through(void **state)
{
    (void)state;
    assert_true(file_make_folders(in_folder("there"), NULL));
    assert_int_equal(symlink("there", in_folder("here")), 0);
    assert_true(file_replace(in_folder("here/a"), "one", 3, NULL));
    assert_contents("there/a", "one");
}

static void writer_counts_its_offset_and_append_goes_on(void **state)
{
    (void)state;
    struct file_writer w = {0};
    assert_true(file_writer_create(&w, in_folder("a"), NULL));
    assert_true(file_writer_write(&w, "one", 3, NULL));
    assert_int_equal(w.offset, 3);
    assert_true(file_writer_flush(&w, NULL));
    assert_true(file_writer_close(&w, NULL));
    assert_int_equal(w.fd, -1);
    assert_true(file_writer_close(&w, NULL));
    assert_true(file_writer_append(&w, in_folder("a"), NULL));
    assert_int_equal(w.offset, 3);
    assert_true(file_writer_write(&w, "two", 3, NULL));
    assert_true(file_writer_close(&w, NULL));
    assert_contents("a", "onetwo");
}

static void zeroed_files_close_without_touching_standard_input(void **state)
{
    (void)state;
    struct file_writer w = {0};
    struct file_reader r = {0};
    struct stat before, after;
    const int known = fstat(0, &before);
    assert_true(file_writer_close(&w, NULL));
    file_reader_close(&r);
    assert_int_equal(fstat(0, &after), known);
}

static void reader_reads_at_offsets_and_refuses_beyond_the_end(void **state)
{
    (void)state;
    struct file_reader r = {0};
    struct error err = {0};
    char bytes[8] = {0};
    assert_true(file_replace(in_folder("a"), "0123456789", 10, NULL));
    assert_true(file_reader_open(&r, in_folder("a"), NULL));
    assert_int_equal(r.length, 10);
    assert_true(file_reader_read(&r, 6, bytes, 4, NULL));
    assert_memory_equal(bytes, "6789", 4);
    assert_true(file_reader_read(&r, 10, bytes, 0, NULL));
    assert_false(file_reader_read(&r, 7, bytes, 4, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_false(file_reader_read(&r, INT64_MAX, bytes, 1, &err));
    assert_int_equal(truncate(r.path, 8), 0);
    assert_false(file_reader_read(&r, 6, bytes, 4, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    file_reader_close(&r);
    assert_false(file_reader_open(&r, in_folder("absent"), &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
}

static void a_failed_write_leaves_nothing_of_it(void **state)
{
    (void)state;
    struct error err = {0};
    struct file_writer w = {.fd = -1};
    char *large = calloc(1, 8192);
    assert_non_null(large);
    assert_true(file_replace(in_folder("a"), "old", 3, NULL));
    const struct rlimit old = full_disk_begin(4096);
    assert_true(file_writer_append(&w, in_folder("a"), NULL));
    const bool written = file_writer_write(&w, large, 8192, &err);
    full_disk_end(&old);
    free(large);
    assert_false(written);
    assert_int_equal(err.kind, ERROR_IO);
    assert_contents("a", "old");
    assert_true(file_writer_write(&w, "new", 3, NULL));
    assert_true(file_writer_close(&w, NULL));
    assert_contents("a", "oldnew");
}

static void a_failed_write_takes_back_nothing_that_others_have_appended(void **state)
{
    (void)state;
    struct file_writer first = {.fd = -1}, second = {.fd = -1};
    char *large = calloc(1, 8192);
    assert_non_null(large);
    assert_true(file_writer_append(&first, in_folder("a"), NULL));
    assert_true(file_writer_append(&second, in_folder("a"), NULL));
    assert_true(file_writer_write(&first, "one ", 4, NULL));
    static const rlim_t LIMITS[] = {4096, 4}; /* half a write goes through, and nothing */
    for (int i = 0; i < 2; i++) {
        const struct rlimit old = full_disk_begin(LIMITS[i]);
        assert_false(file_writer_write(&second, large, 8192, NULL));
        full_disk_end(&old);
        assert_contents("a", "one ");
    }
    assert_true(file_writer_write(&second, "two ", 4, NULL));
    const struct rlimit old = full_disk_begin(4096);
    assert_false(file_writer_write(&first, large, 8192, NULL));
    full_disk_end(&old);
    free(large);
    assert_contents("a", "one two ");
    assert_true(file_writer_close(&first, NULL) && file_writer_close(&second, NULL));
}

static void failed_replace_keeps_the_old_contents_and_leaves_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    char *large = calloc(1, 8192);
    assert_non_null(large);
    assert_true(file_replace(in_folder("a"), "old", 3, NULL));
    const struct rlimit old = full_disk_begin(4096);
    const bool replaced = file_replace(in_folder("a"), large, 8192, &err);
    full_disk_end(&old);
    free(large);
    assert_false(replaced);
    assert_int_equal(err.kind, ERROR_IO);
    assert_non_null(strstr(err.message, "File too large"));
    assert_contents("a", "old");
    assert_false(file_exists(in_folder(".a.partial")));
}

static void replace_in_an_absent_folder_cannot_create(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(file_replace(in_folder("absent/a"), "x", 1, &err));
    assert_int_equal(err.kind, ERROR_CREATE);
}

static void a_folder_is_asked_for_before_there_is_a_file(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(file_has_folder("a", &err) && file_has_folder("/a", &err));
    assert_true(file_has_folder(in_folder("a"), &err));
    assert_false(file_exists(in_folder("a")));
    assert_false(file_has_folder(in_folder("absent/a"), &err));
    assert_int_equal(err.kind, ERROR_CREATE);
    assert_non_null(strstr(err.message, "absent/a: there is no folder "));
    assert_true(file_replace(in_folder("a"), "x", 1, NULL));
    assert_false(file_has_folder(in_folder("a/b"), &err));
}

static void folders_are_made_with_parents_and_removed_as_a_tree(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(file_make_folders(in_folder("x/y//z/"), NULL));
    assert_true(file_make_folders(in_folder("x/y/z"), NULL));
    assert_true(file_is_folder(in_folder("x/y/z")));
    assert_true(file_replace(in_folder("x/y/z/a"), "x", 1, NULL));
    assert_true(file_replace(in_folder("kept"), "kept", 4, NULL));
    assert_int_equal(symlink("../../kept", in_folder("x/y/link")), 0);
    assert_int_equal(symlink("..", in_folder("x/up")), 0);
    assert_false(file_remove_tree(in_folder("x/up"), NULL));
    assert_true(file_remove_tree(in_folder("x"), NULL));
    assert_false(file_exists(in_folder("x")));
    assert_contents("kept", "kept");
    assert_true(file_remove_tree(in_folder("x"), NULL));
    assert_false(file_make_folders(in_folder("kept/inside"), &err));
    assert_int_equal(err.kind, ERROR_CREATE);
}

static void remove_tree_goes_four_folders_deep(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(file_make_folders(in_folder("t/1/2/3/4"), NULL));
    assert_false(file_remove_tree(in_folder("t"), &err));
    assert_int_equal(rmdir(in_folder("t/1/2/3/4")), 0);
    assert_true(file_remove_tree(in_folder("t"), NULL));
}

struct seen {
    int count, limit;
};

static bool count_entry(void *user, const char *name)
{
    struct seen *s = user;
    assert_int_equal(name[0], 'e');
    s->count++;
    return s->count < s->limit;
}

static void list_visits_each_entry_until_told_to_stop(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(file_make_folders(in_folder("l/e1"), NULL));
    assert_true(file_replace(in_folder("l/e2"), "", 0, NULL));
    assert_true(file_replace(in_folder("l/e3"), "", 0, NULL));
    struct seen all = {.limit = 100}, two = {.limit = 2};
    assert_true(file_list(in_folder("l"), count_entry, &all, NULL));
    assert_int_equal(all.count, 3);
    assert_true(file_list(in_folder("l"), count_entry, &two, NULL));
    assert_int_equal(two.count, 2);
    assert_false(file_list(in_folder("absent"), count_entry, &all, &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
}

/* Where looking fails, for root too: it is not known to be there, nor to be absent. */
static void what_cannot_be_looked_at_is_not_absent(void **state)
{
    (void)state;
    assert_int_equal(symlink("circle", in_folder("circle")), 0);
    assert_false(file_exists(in_folder("circle")));
    assert_false(file_is_absent(in_folder("circle")));
    assert_true(file_replace(in_folder("file"), "x", 1, NULL));
    assert_true(file_exists(in_folder("file")) && !file_is_absent(in_folder("file")));
    assert_true(file_is_absent(in_folder("nowhere")) && file_is_absent(in_folder("file/x")));
    static const struct file_form form = {"what is ours", NULL};
    assert_false(file_may_replace(in_folder("circle"), &form, NULL));
}

static void join_uses_one_slash_and_refuses_what_does_not_fit(void **state)
{
    (void)state;
    char out[FILE_PATH_BYTES];
    char longest[FILE_PATH_BYTES];
    struct error err = {0};
    assert_true(file_join(out, "a/b//", "c", NULL));
    assert_string_equal(out, "a/b/c");
    assert_true(file_join(out, out, "d", NULL));
    assert_string_equal(out, "a/b/c/d");
    assert_true(file_join(out, "/", "c", NULL));
    assert_string_equal(out, "/c");
    assert_true(file_join(out, "", "c", NULL));
    assert_string_equal(out, "c");
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_true(file_join(out, "", longest, NULL));
    assert_false(file_join(out, "a", longest, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_true(file_remove(in_folder("absent"), &err));
}

static enum file_lock take_lock(int *fd, const char *owner, char holder[FILE_OWNER_BYTES])
{
    return file_lock(fd, in_folder("lock"), owner, holder, NULL);
}

static void lock_refuses_a_second_opening_and_names_the_owner(void **state)
{
    (void)state;
    int first = -1, second = -1;
    char holder[FILE_OWNER_BYTES];
    struct error err = {0};
    assert_int_equal(take_lock(&first, "node7 4711", holder), FILE_LOCKED);
    assert_string_equal(holder, "");
    assert_int_equal(file_lock(&second, in_folder("lock"), "node8 1", holder, &err),
                     FILE_LOCK_HELD);
    assert_int_equal(second, -1);
    assert_int_equal(err.kind, ERROR_CREATE);
    assert_non_null(strstr(err.message, "locked by node7 4711"));
    assert_string_equal(holder, "node7 4711");
    file_unlock(&first);
    assert_int_equal(first, -1);
    assert_int_equal(take_lock(&second, "node8 1", holder), FILE_LOCKED);
    file_unlock(&second);
    file_unlock(&second);
    assert_int_equal(file_lock(&first, in_folder("absent/lock"), "node7 4711", holder, &err),
                     FILE_LOCK_FAILED);
}

/* A full disk: it may be what the lock's holder is about to make room on. */
static void lock_is_taken_where_no_name_can_be_written(void **state)
{
    (void)state;
    int fd = -1;
    char holder[FILE_OWNER_BYTES];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit nothing = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &nothing), 0);
    assert_int_equal(take_lock(&fd, "node7 4711", holder), FILE_LOCKED);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    int second = -1;
    assert_int_equal(take_lock(&second, "node8 1", holder), FILE_LOCK_HELD);
    assert_string_equal(holder, "");
    file_unlock(&fd);
}

static void hold_lock_forever(int told)
{
    int fd = -1;
    char holder[FILE_OWNER_BYTES];
    const bool ok = take_lock(&fd, "the child", holder) == FILE_LOCKED;
    if (write(told, ok ? "y" : "n", 1) == 1) {
        pause();
    }
    _exit(1);
}

static void lock_dies_with_a_killed_owner(void **state)
{
    (void)state;
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    const pid_t child = fork();
    if (child == 0) {
        hold_lock_forever(channel[1]);
    }
    char answer = 0;
    assert_int_equal(read(channel[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    int fd = -1;
    char holder[FILE_OWNER_BYTES];
    assert_int_equal(take_lock(&fd, "the parent", holder), FILE_LOCK_HELD);
    assert_string_equal(holder, "the child");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(take_lock(&fd, "the parent", holder), FILE_LOCKED);
    file_unlock(&fd);
    close(channel[0]);
    close(channel[1]);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(replace_then_read_gives_the_bytes),
        IN_FOLDER(a_replacement_that_fails_names_the_file_that_was_given),
        IN_FOLDER(read_refuses_what_is_no_regular_file_without_blocking),
        IN_FOLDER(read_refuses_absent_and_large_files),
        IN_FOLDER(input_is_read_to_its_end_from_a_file_or_a_pipe),
        IN_FOLDER(map_shows_the_contents_and_nothing_of_an_empty_file),
        IN_FOLDER(a_page_that_is_gone_ends_the_program_and_names_the_file),
        IN_FOLDER(a_sent_sigbus_ends_the_process_as_ever),
        IN_FOLDER(nothing_is_written_or_locked_through_a_link),
        IN_FOLDER(a_folder_that_is_a_link_is_gone_through),
        IN_FOLDER(writer_counts_its_offset_and_append_goes_on),
        IN_FOLDER(zeroed_files_close_without_touching_standard_input),
        IN_FOLDER(reader_reads_at_offsets_and_refuses_beyond_the_end),
        IN_FOLDER(a_failed_write_leaves_nothing_of_it),
        IN_FOLDER(a_failed_write_takes_back_nothing_that_others_have_appended),
        IN_FOLDER(failed_replace_keeps_the_old_contents_and_leaves_nothing),
        IN_FOLDER(replace_in_an_absent_folder_cannot_create),
        IN_FOLDER(a_folder_is_asked_for_before_there_is_a_file),
        IN_FOLDER(folders_are_made_with_parents_and_removed_as_a_tree),
        IN_FOLDER(remove_tree_goes_four_folders_deep),
        IN_FOLDER(list_visits_each_entry_until_told_to_stop),
        IN_FOLDER(what_cannot_be_looked_at_is_not_absent),
        IN_FOLDER(join_uses_one_slash_and_refuses_what_does_not_fit),
        IN_FOLDER(lock_refuses_a_second_opening_and_names_the_owner),
        IN_FOLDER(lock_is_taken_where_no_name_can_be_written),
        IN_FOLDER(lock_dies_with_a_killed_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
