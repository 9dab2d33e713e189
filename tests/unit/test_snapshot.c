/* The order in which a writer and an update pass each other, in every order that one thread can
 * play and in many that two do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/clock.h>
#include <attnres/rng.h>

#include "../../src/checkpoint/checkpoint_internal.h"
#include "../support/sample.h"

enum { TENSORS = 37, MOST_TENSOR = 300, BYTES = TENSORS * MOST_TENSOR };

/* Tensors of odd sizes, and what the writer has got of them. */
static struct {
    struct snapshot snapshot;
    unsigned char values[BYTES], saved[BYTES], buffer[BYTES];
    size_t sizes[TENSORS];
    uint64_t seed;
    size_t most_at_once; /* of what the writer asks for */
} s;

static unsigned char value_at(size_t i)
{
    return (unsigned char)rng_at(s.seed, i);
}

static void set_up(uint64_t seed, int64_t capacity)
{
    s.seed = seed;
    for (size_t i = 0; i < TENSORS; i++) {
        s.sizes[i] = 1 + rng_at(seed, BYTES + i) % MOST_TENSOR;
    }
    for (size_t i = 0; i < BYTES; i++) {
        s.values[i] = value_at(i);
        s.saved[i] = (unsigned char)~value_at(i);
    }
    s.most_at_once = 1 + rng_at(seed, 2 * BYTES) % MOST_TENSOR;
    s.snapshot.buffer = s.buffer;
    s.snapshot.capacity = capacity;
    snapshot_begin(&s.snapshot);
}

static int set_up_mutex(void **state)
{
    (void)state;
    return pthread_mutex_init(&s.snapshot.mutex, NULL) ||
           pthread_cond_init(&s.snapshot.changed, NULL);
}

static int tear_down_mutex(void **state)
{
    (void)state;
    return pthread_mutex_destroy(&s.snapshot.mutex) || pthread_cond_destroy(&s.snapshot.changed);
}

static void *write_all(void *unused)
{
    (void)unused;
    size_t at = 0;
    for (size_t i = 0; i < TENSORS; i++) {
        for (size_t done = 0; done < s.sizes[i];) {
            const void *bytes = NULL;
            const size_t left = s.sizes[i] - done;
            const size_t n = snapshot_claim(&s.snapshot, s.values + at + done,
                                            left < s.most_at_once ? left : s.most_at_once, &bytes);
            memcpy(s.saved + at + done, bytes, n);
            snapshot_release(&s.snapshot);
            done += n;
        }
        at += s.sizes[i];
    }
    return NULL;
}

static size_t change_all(void)
{
    size_t at = 0;
    for (size_t i = 0; i < TENSORS; i++) {
        snapshot_keep(&s.snapshot, (int64_t)at, s.values + at, s.sizes[i], NULL);
        memset(s.values + at, 0, s.sizes[i]);
        at += s.sizes[i];
    }
    return at;
}

static void expect_saved(size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (s.saved[i] != value_at(i)) {
            fail_msg("byte %zu of %zu is not as it was", i, length);
        }
    }
}

static void a_writer_and_two_updates_pass_each_other(void **state)
{
    (void)state;
    static const int64_t CAPACITIES[] = {0, 1, 7, 100, 1000, BYTES};
    for (uint64_t seed = 0; seed < 300 / (uint64_t)sample_every(); seed++) {
        pthread_t writer;
        set_up(seed, CAPACITIES[seed % 6]);
        assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
        const size_t length = change_all();
        change_all();
        assert_int_equal(pthread_join(writer, NULL), 0);
        expect_saved(length);
    }
}

static void *change_first(void *unused)
{
    (void)unused;
    snapshot_keep(&s.snapshot, 0, s.values, 10, NULL);
    memset(s.values, 0, 10);
    return NULL;
}

/* Also where there is room for a copy: the writer has its address. */
static void an_update_waits_for_what_is_being_read(void **state)
{
    (void)state;
    pthread_t update;
    const void *bytes = NULL;
    set_up(5, BYTES);
    assert_int_equal(snapshot_claim(&s.snapshot, s.values, 5, &bytes), 5);
    assert_ptr_equal(bytes, s.values);
    assert_int_equal(pthread_create(&update, NULL, change_first, NULL), 0);
    clock_sleep_s(0.05);
    memcpy(s.saved, bytes, 5);
    snapshot_release(&s.snapshot);
    assert_int_equal(pthread_join(update, NULL), 0);
    expect_saved(5);
}

static void all_is_copied_where_there_is_room(void **state)
{
    (void)state;
    set_up(1, BYTES);
    const size_t length = change_all();
    write_all(NULL);
    expect_saved(length);
    assert_false(s.snapshot.was_full);
    assert_int_equal(s.snapshot.written, length);
}

static void a_copy_goes_on_where_the_writer_has_made_room(void **state)
{
    (void)state;
    const void *bytes = NULL;
    set_up(2, 10);
    snapshot_keep(&s.snapshot, 0, s.values, 10, NULL);
    memset(s.values, 0, 10);
    for (int64_t at = 10; at < 100; at += 5) {
        const size_t n = snapshot_claim(&s.snapshot, s.values + at - 10, 5, &bytes);
        assert_int_equal(n, 5);
        memcpy(s.saved + at - 10, bytes, n);
        snapshot_release(&s.snapshot);
        snapshot_keep(&s.snapshot, at, s.values + at, 5, NULL);
        memset(s.values + at, 0, 5);
    }
    expect_saved(90);
    assert_false(s.snapshot.was_full);
}

static void what_is_written_is_not_copied(void **state)
{
    (void)state;
    set_up(3, BYTES);
    write_all(NULL);
    change_all();
    assert_int_equal(s.snapshot.kept, 0);
}

static void nobody_waits_for_a_writer_that_gave_up(void **state)
{
    (void)state;
    set_up(4, 1);
    snapshot_abandon(&s.snapshot);
    change_all();
    change_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_and_two_updates_pass_each_other),
        cmocka_unit_test(an_update_waits_for_what_is_being_read),
        cmocka_unit_test(all_is_copied_where_there_is_room),
        cmocka_unit_test(a_copy_goes_on_where_the_writer_has_made_room),
        cmocka_unit_test(what_is_written_is_not_copied),
        cmocka_unit_test(nobody_waits_for_a_writer_that_gave_up),
    };
    return cmocka_run_group_tests(tests, set_up_mutex, tear_down_mutex);
}
