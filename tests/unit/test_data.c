#include <attnres/data.h>
#include <attnres/file.h>

#include <fcntl.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../support/folder.h"

enum { T = 8, VOCAB = 256 };

static int make_folder(void **state)
{
    static char folder[64];
    *state = folder;
    return !folder_make(folder, sizeof folder, "data");
}

static int remove_folder(void **state)
{
    return !file_remove_tree(*state, NULL);
}

static const char *path_in(void **state, char *path, const char *name)
{
    assert_true(file_join(path, *state, name, NULL));
    return path;
}

static void write_bytes(void **state, const char *name, const void *bytes, size_t length)
{
    char path[FILE_PATH_BYTES];
    assert_true(file_replace(path_in(state, path, name), bytes, length, NULL));
}

/* Bytes 0, 1, 2 ... so that a token is its place. */
static void write_counting(void **state, const char *name, size_t length)
{
    unsigned char bytes[256];
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (unsigned char)i;
    }
    write_bytes(state, name, bytes, length);
}

static struct data *open_text(void **state, const char *train, const char *val,
                              enum data_split split, struct error *err)
{
    struct data_config config = {.kind = DATA_TEXT, .max_bytes = 1 << 20};
    path_in(state, config.train, train);
    if (val != NULL) {
        path_in(state, config.val, val);
    }
    struct data *d = NULL;
    return data_open(&d, &config, split, 1, T, VOCAB, err) ? d : NULL;
}

static void windows_stay_in_their_file_and_come_once_an_epoch(void **state)
{
    write_counting(state, "a.txt", 3 * T + 3);
    write_counting(state, "b.txt", T); /* one byte short of a window */
    write_counting(state, "c.txt", 2 * T + 1);
    write_counting(state, "note.md", 200);
    struct error err = {0};
    struct data *d = open_text(state, "", "a.txt", DATA_TRAIN, &err);
    assert_non_null(d);
    struct data_position position = {0};
    int seen[3 * T] = {0};
    for (int i = 0; i < 5; i++) {
        int32_t tokens[T];
        int32_t targets[T];
        data_read(d, &position, 1, tokens, targets);
        assert_int_equal(tokens[0] % T, 0);
        seen[tokens[0]]++;
        for (int t = 0; t < T; t++) {
            assert_int_equal(tokens[t], tokens[0] + t);
            assert_int_equal(targets[t], tokens[0] + t + 1);
        }
    }
    assert_int_equal(seen[0], 2);
    assert_int_equal(seen[T], 2);
    assert_int_equal(seen[2 * T], 1);
    assert_int_equal(position.major, 1);
    assert_int_equal(position.minor, 0);
    data_close(d);
}

static void in_order_with_tail_every_byte_but_the_first_is_predicted_once(void **state)
{
    write_counting(state, "a.txt", 3 * T + 3);
    write_counting(state, "b.txt", 1);
    write_counting(state, "c.txt", T);
    struct error err = {0};
    struct data *d = NULL;
    assert_true(data_open_path(&d, *state, T, VOCAB, &err));
    int64_t n_predictions = 0;
    int32_t tokens[T];
    int32_t targets[T];
    for (int64_t i = 0; i < data_in_order_count(d, true); i++) {
        const int64_t n = data_read_in_order(d, i, true, tokens, targets);
        for (int t = 0; t < T; t++) {
            assert_int_equal(targets[t], t < n ? tokens[t] + 1 : -1);
        }
        n_predictions += n;
    }
    assert_int_equal(n_predictions, 3 * T + 2 + T - 1);
    assert_int_equal(data_read_in_order(d, data_in_order_count(d, true), true, tokens, targets), 0);
    assert_int_equal(targets[0], -1);
    data_close(d);
}

static void text_without_val_keeps_the_last_twentieth_for_it(void **state)
{
    write_counting(state, "a.txt", 200);
    struct error err = {0};
    struct data *train = open_text(state, "*.txt", NULL, DATA_TRAIN, &err);
    struct data *val = open_text(state, "*.txt", NULL, DATA_VAL, &err);
    assert_int_equal(data_size_tokens(train), 190);
    assert_int_equal(data_size_tokens(val), 10);
    int32_t tokens[T];
    int32_t targets[T];
    assert_int_equal(data_read_in_order(val, 0, false, tokens, targets), T);
    assert_int_equal(tokens[0], 190);
    data_close(train);
    data_close(val);
}

static void text_too_short_or_absent_is_one_clear_error(void **state)
{
    struct error err = {0};
    assert_null(open_text(state, "nothing.txt", NULL, DATA_TRAIN, &err));
    assert_int_equal(err.kind, ERROR_NO_INPUT);
    write_counting(state, "a.txt", T);
    assert_null(open_text(state, "a.txt", NULL, DATA_TRAIN, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_non_null(strstr(err.message, "seq_len"));
}

/* "aaaa...", 1000 bytes, as gzip -9 writes it. */
static const unsigned char GZIPPED[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff,
                                        0x4b, 0x4c, 0x1c, 0x05, 0xa3, 0x60, 0x14, 0x0c, 0x77, 0x00,
                                        0x00, 0x03, 0xda, 0x38, 0x9a, 0xe8, 0x03, 0x00, 0x00};

static void gzipped_text_is_inflated_within_max_bytes(void **state)
{
    write_bytes(state, "a.txt.gz", GZIPPED, sizeof GZIPPED);
    struct error err = {0};
    struct data *d = open_text(state, "", "a.txt.gz", DATA_TRAIN, &err);
    assert_non_null(d);
    assert_int_equal(data_size_tokens(d), 1000);
    assert_true(data_memory_bytes(d) >= 1000);
    data_close(d);

    struct data_config config = {.kind = DATA_TEXT, .max_bytes = 999};
    path_in(state, config.train, "a.txt.gz");
    assert_false(data_open(&d, &config, DATA_TRAIN, 1, T, VOCAB, &err));
    assert_int_equal(err.kind, ERROR_DATA);
}

static void put_word(unsigned char *bytes, int index, uint32_t word)
{
    for (int i = 0; i < 4; i++) {
        bytes[4 * index + i] = (unsigned char)(word >> (8 * i));
    }
}

static bool shard_opens(void **state, const char *name, const unsigned char *bytes, size_t length,
                        int64_t vocab, int64_t n_tokens)
{
    struct error err = {0};
    char path[FILE_PATH_BYTES];
    write_bytes(state, name, bytes, length);
    struct data *d = NULL;
    if (!data_open_path(&d, path_in(state, path, name), T, vocab, &err)) {
        assert_int_equal(err.kind, ERROR_DATA);
        assert_non_null(strstr(err.message, name));
        return false;
    }
    assert_int_equal(data_size_tokens(d), n_tokens);
    data_close(d);
    return true;
}

static void text_takes_a_vocabulary_of_all_bytes(void **state)
{
    struct error err = {0};
    char path[FILE_PATH_BYTES];
    struct data *d = NULL;
    write_counting(state, "a.txt", 3 * T);
    assert_false(data_open_path(&d, path_in(state, path, "a.txt"), T, 255, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    data_close(d);
}

static uint32_t checksum_of(void **state, const char *name)
{
    char path[FILE_PATH_BYTES];
    struct data_checksum sum = {0};
    struct data *d = NULL;
    assert_true(data_open_path(&d, path_in(state, path, name), T, VOCAB, NULL));
    while (data_checksum_advance(&sum, d)) {
    }
    data_close(d);
    return sum.crc32;
}

/* It is taken of pieces of 64 MiB. */
static void the_last_byte_of_a_large_file_counts(void **state)
{
    const off_t length = ((off_t)1 << 26) + 1000;
    char path[FILE_PATH_BYTES];
    write_bytes(state, "large.txt", "", 0);
    assert_int_equal(truncate(path_in(state, path, "large.txt"), length), 0);
    const uint32_t before = checksum_of(state, "large.txt");
    const int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "a", 1, length - 1), 1);
    assert_int_equal(close(fd), 0);
    assert_true(checksum_of(state, "large.txt") != before);
}

static void shards_are_read_and_hostile_ones_refused(void **state)
{
    enum { N = 20 };
    const struct {
        uint32_t magic, version, count;
        size_t length;
        bool ok;
    } cases[] = {
        {20240520, 1, N, 1024 + 2 * N, true},
        {20240801, 7, N, 1024 + 4 * N, true},
        {20240520, 7, N, 1024 + 2 * N, false},
        {20240801, 1, N, 1024 + 4 * N, false},
        {20240520, 1, N + 1, 1024 + 2 * N, false},
        {20240520, 1, N, 1024 + 2 * N - 1, false},
        {20240520, 1, 0x7fffffff, 1024 + 2 * N, false},
        {20240801, 7, 0x40000000 + N, 1024 + 4 * N, false}, /* times 4 wraps in 32 bits */
        {20240520, 1, 0xffffffff, 1024 + 2 * N, false},
        {20240520, 1, 0x80000000, 1024, false},
        {20240520, 1, 0, 1023, false},
        {20240520, 1, 0, 4, false},
        {12345678, 1, N, 1024 + 2 * N + 1, false}, /* foreign and odd */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char bytes[1024 + 4 * N] = {0};
        put_word(bytes, 0, cases[i].magic);
        put_word(bytes, 1, cases[i].version);
        put_word(bytes, 2, cases[i].count);
        assert_int_equal(shard_opens(state, "s.bin", bytes, cases[i].length, VOCAB, N),
                         cases[i].ok);
    }
}

static void tokens_beyond_the_vocabulary_are_refused_at_open(void **state)
{
    unsigned char bare[2 * 20] = {0};
    bare[30] = 0xff;
    bare[31] = 0xff;
    assert_true(shard_opens(state, "bare.bin", bare, sizeof bare, 65536, 20));
    assert_false(shard_opens(state, "bare.bin", bare, sizeof bare, 65535, 20));
}

static void prepared_text_reads_back_as_the_same_tokens(void **state)
{
    write_counting(state, "a.txt", 100);
    write_bytes(state, "b.txt.gz", GZIPPED, sizeof GZIPPED);
    char out[FILE_PATH_BYTES];
    const char *inputs[] = {*state};
    struct error err = {0};
    assert_true(data_prepare(inputs, 1, path_in(state, out, "all.bin"), &err));
    struct data *d = NULL;
    assert_true(data_open_path(&d, out, T, VOCAB, &err));
    assert_int_equal(data_size_tokens(d), 1100);
    assert_false(data_is_bytes(d));
    int32_t tokens[T];
    int32_t targets[T];
    data_read_in_order(d, 12, false, tokens, targets);
    assert_int_equal(tokens[3], 99);
    assert_int_equal(tokens[4], 'a');
    data_close(d);

    char text[1024];
    assert_true(data_describe(out, true, text, sizeof text, &err));
    assert_non_null(strstr(text, "1100"));
    assert_true(data_describe(out, false, text, sizeof text, &err));
    assert_non_null(strstr(text, "u16"));
}

static struct data *open_stream(enum loss_kind loss, enum data_split split)
{
    const struct data_config config = {.kind = DATA_SYNTHETIC,
                                       .loss = loss,
                                       .n_tasks = 2,
                                       .tasks = {{TASK_PTR, 1}, {TASK_VARS, 3}}};
    struct data *d = NULL;
    assert_true(data_open(&d, &config, split, 5, T, VOCAB, NULL));
    return d;
}

static void a_stream_is_its_items_in_order_wherever_reading_starts(void **state)
{
    (void)state;
    enum { N = 100 };
    struct data *d = open_stream(LOSS_ALL, DATA_TRAIN);
    int32_t tokens[N * T];
    int32_t targets[N * T];
    struct data_position position = {0};
    data_read(d, &position, N, tokens, targets);
    int at = 0;
    int n_vars = 0;
    for (uint64_t index = 0; at < N * T; index++) {
        struct data_item item;
        data_make_item(&item, TASK_PTR, 1005, index, 0);
        if (item.text[0] != tokens[at] || item.text[1] != tokens[at + 1]) {
            data_make_item(&item, TASK_VARS, 1005, index, 0);
            n_vars++;
        }
        for (int i = 0; item.text[i] != '\0' && at < N * T; i++, at++) {
            assert_int_equal(tokens[at], item.text[i]);
            assert_true(at == 0 || targets[at - 1] == tokens[at]);
        }
    }
    assert_in_range(n_vars, 2, N);

    struct data_position later = {0};
    data_skip(d, &later, 40);
    int32_t some[3 * T];
    int32_t more[3 * T];
    data_read(d, &later, 3, some, more);
    assert_memory_equal(some, tokens + 40 * T, sizeof some);
    assert_memory_equal(more, targets + 40 * T, sizeof more);
    const int64_t order[] = {7, 8, 3, 50, 50};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(data_read_in_order(d, order[i], true, some, more), T);
        assert_memory_equal(some, tokens + order[i] * T, T * sizeof *some);
    }
    data_close(d);
}

/** Windows 3 to 5 and 7 left out: whoever reads gets those behind them in their place. */
static void check_skipping(const struct data *all, const struct data *some)
{
    enum { N = 12, N_LEFT = N - 4 };
    static const int LEFT[N_LEFT] = {0, 1, 2, 6, 8, 9, 10, 11};
    int32_t tokens[N * T], targets[N * T], read[N_LEFT * T], read_targets[N_LEFT * T];
    struct data_position whole = {0}, position = {0}, later = {0};
    data_read(all, &whole, N, tokens, targets);
    data_read(some, &position, N_LEFT, read, read_targets);
    for (int i = 0; i < N_LEFT; i++) {
        assert_memory_equal(read + i * T, tokens + LEFT[i] * T, T * sizeof *read);
        assert_memory_equal(read_targets + i * T, targets + LEFT[i] * T, T * sizeof *read);
    }
    assert_memory_equal(&position, &whole, sizeof position);
    assert_int_equal(position.window, N);
    data_skip(some, &later, N_LEFT);
    assert_memory_equal(&later, &whole, sizeof later);
}

static void windows_of_data_skip_are_stepped_over(void **state)
{
    struct data_config config = {.kind = DATA_SYNTHETIC, .n_tasks = 1, .tasks = {{TASK_PTR, 1}}};
    struct data *all = NULL, *some = NULL;
    char bytes[1000];
    for (int i = 0; i < 1000; i++) {
        bytes[i] = (char)('a' + i % 26);
    }
    write_bytes(state, "a.txt", bytes, sizeof bytes);
    write_bytes(state, "b.txt", bytes, 10 * T);
    for (int kind = 0; kind < 2; kind++) {
        config.n_skips = 0;
        assert_true(data_open(&all, &config, DATA_TRAIN, 5, T, VOCAB, NULL));
        config.n_skips = 2;
        config.skips[0] = (struct window_range){7, 7}; /* in no order, and overlapping */
        config.skips[1] = (struct window_range){3, 5};
        assert_true(data_open(&some, &config, DATA_TRAIN, 5, T, VOCAB, NULL));
        check_skipping(all, some);
        data_close(all);
        data_close(some);
        config.kind = DATA_TEXT;
        path_in(state, config.train, "");
    }
}

static void a_window_is_named_by_file_and_token(void **state)
{
    struct data_config config = {.kind = DATA_TEXT, .n_skips = 1, .skips = {{0, 1}}};
    struct data *d = NULL;
    char bytes[10 * T], text[FILE_PATH_BYTES + 64], expected[FILE_PATH_BYTES + 64];
    for (int i = 0; i < 10 * T; i++) {
        bytes[i] = (char)(i / T + 'a'); /* each window has its letter; the split has nine */
    }
    write_bytes(state, "a.txt", bytes, sizeof bytes);
    path_in(state, config.train, "a.txt");
    assert_true(data_open(&d, &config, DATA_TRAIN, 5, T, VOCAB, NULL));
    struct data_position position = {0};
    for (int i = 2; i < 9; i++) {
        int32_t tokens[T], targets[T];
        assert_int_equal(data_name_window(d, &position, text, sizeof text), i);
        data_read(d, &position, 1, tokens, targets);
        snprintf(expected, sizeof expected, "%s from token %d", config.train,
                 (tokens[0] - 'a') * T);
        assert_string_equal(text, expected);
    }
    data_close(d);
    assert_true(data_open(&d, &(struct data_config){.kind = DATA_SYNTHETIC}, DATA_TRAIN, 5, T,
                          VOCAB, NULL));
    assert_int_equal(data_name_window(d, &(struct data_position){3, 4, 9}, text, sizeof text), 9);
    assert_string_equal(text, "item 3 from byte 4");
    data_close(d);
}

static void answer_loss_counts_the_bytes_of_answers_alone(void **state)
{
    (void)state;
    enum { N = 200 };
    struct data *d = open_stream(LOSS_ANSWER, DATA_VAL);
    int32_t tokens[N * T];
    int32_t targets[N * T];
    struct data_position position = {0};
    data_read(d, &position, N, tokens, targets);
    for (int i = 0; i < N * T - 1; i++) {
        /* Answers of both tasks are one byte, from "=" at the end of the question to a newline. */
        const bool counted = i + 2 < N * T && tokens[i] == '=' && tokens[i + 2] == '\n';
        if (i + 2 < N * T) {
            assert_int_equal(targets[i], counted ? tokens[i + 1] : -1);
        }
    }
    data_close(d);
}

static void invalid_positions_are_recognised(void **state)
{
    (void)state;
    struct data *d = open_stream(LOSS_ALL, DATA_TRAIN);
    assert_true(data_position_is_valid(d, &(struct data_position){12, 3, 0}));
    assert_false(data_position_is_valid(d, &(struct data_position){12, DATA_ITEM_BYTES, 0}));
    assert_false(data_position_is_valid(d, &(struct data_position){-1, 0, 0}));
    assert_false(data_position_is_valid(d, &(struct data_position){0, -1, 0}));
    assert_false(data_position_is_valid(d, &(struct data_position){0, 0, -1}));
    data_close(d);
}

static void order1_entropy_is_that_of_the_pairs(void **state)
{
    /* After a: b or c, evenly. After b and c: always a. Half of the bytes cost log 2. */
    char text[400];
    for (int i = 0; i < 400; i++) {
        text[i] = i % 2 == 0 ? 'a' : (i % 4 == 1 ? 'b' : 'c');
    }
    write_bytes(state, "a.txt", text, sizeof text);
    struct error err = {0};
    struct data *d = open_text(state, "", "a.txt", DATA_TRAIN, &err);
    assert_true(fabs(data_order1_entropy(d, 401) - log(2) / 2) < 0.01);
    data_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows_stay_in_their_file_and_come_once_an_epoch,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(
            in_order_with_tail_every_byte_but_the_first_is_predicted_once, make_folder,
            remove_folder),
        cmocka_unit_test_setup_teardown(text_without_val_keeps_the_last_twentieth_for_it,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(text_too_short_or_absent_is_one_clear_error, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(gzipped_text_is_inflated_within_max_bytes, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(text_takes_a_vocabulary_of_all_bytes, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_last_byte_of_a_large_file_counts, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(shards_are_read_and_hostile_ones_refused, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(tokens_beyond_the_vocabulary_are_refused_at_open,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(prepared_text_reads_back_as_the_same_tokens, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_stream_is_its_items_in_order_wherever_reading_starts),
        cmocka_unit_test_setup_teardown(windows_of_data_skip_are_stepped_over, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_window_is_named_by_file_and_token, make_folder,
                                        remove_folder),
        cmocka_unit_test(answer_loss_counts_the_bytes_of_answers_alone),
        cmocka_unit_test(invalid_positions_are_recognised),
        cmocka_unit_test_setup_teardown(order1_entropy_is_that_of_the_pairs, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
