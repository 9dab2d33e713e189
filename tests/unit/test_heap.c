#include <attnres/heap.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/error.h>

static void memory_is_zeroed_and_keeps_its_bytes_when_it_grows(void **state)
{
    (void)state;
    int *numbers = heap_take(3, sizeof *numbers, "three numbers");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(numbers[i], 0);
        numbers[i] = i;
    }
    numbers = heap_resize(numbers, 3000, sizeof *numbers, "more numbers");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(numbers[i], i);
    }
    free(numbers);
}

static void no_bytes_have_an_address(void **state)
{
    (void)state;
    void *nothing = heap_take(0, 8, "nothing");
    assert_non_null(nothing);
    free(nothing);
}

/** Of the address sanitizer, which would end the process itself. It says so first. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/** The exit code of a process that asks for more than there is; said: what it says. */
static int ask_in_vain(char *said, size_t capacity, size_t count, bool grows)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        grows ? heap_resize(NULL, count, 16, "the moon") : heap_take(count, 16, "the moon");
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], said + length, capacity - 1 - length)) > 0;) {
        length += (size_t)n;
    }
    said[length] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refused_memory_ends_the_process_and_says_what_it_was_for(void **state)
{
    (void)state;
    const size_t counts[] = {SIZE_MAX / 32, SIZE_MAX / 16 + 1}; /* refused; does not even fit */
    for (int i = 0; i < 4; i++) {
        char said[4096], expected[256];
        snprintf(expected, sizeof expected,
                 "attnres: out of memory: no %zu x 16 bytes for the moon\n", counts[i % 2]);
        assert_int_equal(ask_in_vain(said, sizeof said, counts[i % 2], i >= 2), ERROR_CREATE);
        assert_non_null(strstr(said, expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_keeps_its_bytes_when_it_grows),
        cmocka_unit_test(no_bytes_have_an_address),
        cmocka_unit_test(refused_memory_ends_the_process_and_says_what_it_was_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
