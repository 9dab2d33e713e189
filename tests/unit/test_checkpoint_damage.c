/* Checkpoints that are damaged or hostile. */
#include <attnres/checkpoint.h>

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/zip.h>

#include "../support/folder.h"
#include "../support/ranks.h"
#include "../support/sample.h"
#include "../support/small_rank.h"

enum { MANIFEST_BYTES = 1 << 16 };

static const char STEP[] = "run/checkpoints/step-00000007";
static const char MANIFEST[] = "run/checkpoints/step-00000007/manifest.json";

/* A checkpoint that two ranks saved and one reads, in a folder of its own. */
static struct {
    char folder[64];
    struct file_bytes manifest;
    struct transport_world *world;
    struct small_rank reader;
} job;

static void save(struct transport *t)
{
    struct small_rank r;
    small_rank_init(&r, t, PLAN_TRAIN, NULL);
    small_rank_fill(&r);
    CHECK(t, small_rank_save(&r, "run", 7, NULL));
    small_rank_finish(&r);
}

static int set_up(void **state)
{
    (void)state;
    char message[1024];
    memset(&job, 0, sizeof job);
    job.world = transport_world_create(1);
    if (job.world == NULL || !folder_enter(job.folder, sizeof job.folder, "damage") ||
        !ranks_run_local(2, save, message)) {
        return 1;
    }
    small_rank_init(&job.reader, transport_world_rank(job.world, 0), PLAN_TRAIN, NULL);
    return !file_read(&job.manifest, MANIFEST, MANIFEST_BYTES, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    small_rank_finish(&job.reader);
    file_bytes_finish(&job.manifest);
    transport_world_destroy(job.world);
    return !folder_leave(job.folder);
}

static void write_bytes(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* In place: some file systems flush a file that was cut and written again, and thousands of these
 * are made. */
static void set_byte(const char *path, size_t offset, int byte)
{
    const unsigned char value = (unsigned char)byte;
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, 1, (off_t)offset), 1);
    assert_int_equal(close(fd), 0);
}

/* Opens and loads; the kind of the failure. */
static enum error_kind try_load(struct error *err)
{
    struct checkpoint c;
    *err = (struct error){0};
    if (!checkpoint_open(&c, STEP, err)) {
        return err->kind;
    }
    const bool ok = checkpoint_load(&c, &job.reader.model, true, err);
    checkpoint_close(&c);
    return ok ? ERROR_NONE : err->kind;
}

static void expect(enum error_kind kind)
{
    struct error err;
    const enum error_kind found = try_load(&err);
    if (found != kind) {
        fail_msg("found %d (%s), expected %d", found, err.message, kind);
    }
}

static void every_flipped_bit_of_the_manifest_is_found(void **state)
{
    (void)state;
    const struct file_bytes *m = &job.manifest;
    for (size_t i = 0; i < m->length; i += (size_t)sample_every()) {
        const int mask = 1 << (i % 8);
        set_byte(MANIFEST, i, m->bytes[i] ^ mask);
        struct checkpoint c;
        struct error err = {0};
        if (checkpoint_open(&c, STEP, &err)) {
            fail_msg("byte %zu flipped by %d is taken", i, mask);
        }
        assert_int_equal(err.kind, ERROR_DATA);
        set_byte(MANIFEST, i, m->bytes[i]);
    }
    expect(ERROR_NONE);
}

static void every_truncation_of_the_manifest_is_found(void **state)
{
    (void)state;
    for (size_t length = job.manifest.length; length-- > 0;) {
        if (!sample_takes((int)length)) {
            continue;
        }
        struct checkpoint c;
        struct error err = {0};
        assert_int_equal(truncate(MANIFEST, (off_t)length), 0);
        assert_false(checkpoint_open(&c, STEP, &err));
        assert_int_equal(err.kind, ERROR_DATA);
    }
}

/* Every bit of one tensor file counts but those of its header, which is for other programs. */
static void every_flipped_byte_of_tensors_is_found(void **state)
{
    (void)state;
    static const char *const FILES[] = {"model-00001.safetensors", "model-00002.safetensors",
                                        "optim-00001.safetensors", "optim-00002.safetensors"};
    for (size_t f = 0; f < sizeof FILES / sizeof FILES[0]; f++) {
        char path[FILE_PATH_BYTES];
        struct file_bytes file;
        assert_true(file_join(path, STEP, FILES[f], NULL));
        assert_true(file_read(&file, path, 1 << 20, NULL));
        const size_t data = 8 + file.bytes[0] + 256 * (size_t)file.bytes[1];
        for (size_t i = data; i < file.length; i += 61 * (size_t)sample_every()) {
            set_byte(path, i, file.bytes[i] ^ 0x80);
            expect(ERROR_DATA);
            set_byte(path, i, file.bytes[i]);
        }
        write_bytes(path, file.bytes, file.length - 1);
        expect(ERROR_DATA);
        write_bytes(path, file.bytes, data);
        expect(ERROR_DATA);
        assert_true(file_remove(path, NULL));
        expect(ERROR_NO_INPUT);
        write_bytes(path, file.bytes, file.length);
        file_bytes_finish(&file);
    }
    expect(ERROR_NONE);
    assert_true(small_rank_is_filled(&job.reader, true));
}

/* Other programs read headers: verify looks at those, too. */
static void verify_finds_flipped_bits_of_every_file(void **state)
{
    (void)state;
    static const char *const FILES[] = {"manifest.json", "model-00001.safetensors",
                                        "model-00002.safetensors", "optim-00001.safetensors",
                                        "optim-00002.safetensors"};
    struct checkpoint_contents contents;
    assert_true(checkpoint_verify(&contents, STEP, NULL));
    assert_int_equal(contents.step, 7);
    assert_int_equal(contents.n_files, 4);
    for (size_t f = 0; f < sizeof FILES / sizeof FILES[0]; f++) {
        char path[FILE_PATH_BYTES];
        struct file_bytes file;
        assert_true(file_join(path, STEP, FILES[f], NULL));
        assert_true(file_read(&file, path, 1 << 20, NULL));
        const size_t step = 61 * (size_t)sample_every();
        for (size_t i = 0; i < file.length; i += step) {
            struct error err = {0};
            set_byte(path, i, file.bytes[i] ^ 1 << (i % 8));
            if (checkpoint_verify(&contents, STEP, &err)) {
                fail_msg("%s: bit %zu of byte %zu flipped is taken", FILES[f], i % 8, i);
            }
            assert_int_equal(err.kind, ERROR_DATA);
            set_byte(path, i, file.bytes[i]);
        }
        file_bytes_finish(&file);
    }
    assert_true(checkpoint_verify(&contents, STEP, NULL));
}

static void verify_lists_every_problem(void **state)
{
    (void)state;
    struct error err = {0};
    struct checkpoint_contents contents;
    assert_int_equal(truncate("run/checkpoints/step-00000007/model-00001.safetensors", 100), 0);
    assert_true(file_remove("run/checkpoints/step-00000007/optim-00002.safetensors", NULL));
    assert_false(checkpoint_verify(&contents, STEP, &err));
    assert_non_null(strstr(err.message, "model-00001.safetensors: has 100 bytes"));
    assert_non_null(strstr(err.message, "optim-00002.safetensors: is missing"));
    assert_false(checkpoint_measure(&contents, STEP, NULL));
}

static void swapped_files_are_found(void **state)
{
    (void)state;
    assert_int_equal(chdir(STEP), 0);
    assert_int_equal(rename("optim-00001.safetensors", "swap"), 0);
    assert_int_equal(rename("optim-00002.safetensors", "optim-00001.safetensors"), 0);
    assert_int_equal(rename("swap", "optim-00002.safetensors"), 0);
    assert_int_equal(chdir(job.folder), 0);
    expect(ERROR_DATA);
}

/* Replaces the first `from` behind `after` in the manifest and signs the result, as one with bad
 * intentions would. */
static void forge(const char *after, const char *from, const char *to)
{
    static char text[MANIFEST_BYTES + 4096];
    const char *original = (const char *)job.manifest.bytes;
    const char *start = strstr(original, after);
    const char *at = start != NULL ? strstr(start, from) : NULL;
    const char *last = strstr(original, "\n\"crc32\"");
    if (at == NULL || last == NULL || at > last) {
        fail_msg("the manifest has no %s behind %s", from, after);
        return;
    }
    const int length =
        snprintf(text, sizeof text - 64, "%.*s%s%.*s\n", (int)(at - original), original, to,
                 (int)(last - at - (ptrdiff_t)strlen(from)), at + strlen(from));
    const int tail = snprintf(text + length, 64, "\"crc32\":\"%08" PRIx32 "\"}\n",
                              zip_crc32(0, text, (size_t)length));
    write_bytes(MANIFEST, text, (size_t)(length + tail));
}

static void signed_nonsense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *after, *from, *to;
        enum error_kind kind;
    } FORGERIES[] = {
        {"", "\"format\": 1", "\"format\": 2", ERROR_CONFIG},
        {"", "\"format\": 1,", "", ERROR_DATA},
        {"", "\"step\": 7", "\"step\": -7", ERROR_DATA},
        {"", "\"step\": 7", "\"step\": 7.5", ERROR_DATA},
        {"", "\"step\": 7", "\"step\": 9223372036854775808", ERROR_DATA},
        {"", "\"step\": 7", "\"step\": \"7\"", ERROR_DATA},
        {"", "\"step\": 7,", "", ERROR_DATA},
        {"", "\"step\": 7", "\"step\": 7, \"step\": 7", ERROR_DATA},
        {"", "\"updates\": 6", "\"updates\": null", ERROR_DATA},
        {"", "\"skips_in_a_row\": 1", "\"skips_in_a_row\": -1", ERROR_DATA},
        {"", "\"seen\": 3", "\"seen\": -3", ERROR_DATA},
        {"", "\"grad_norm\": [", "\"grad_norm\": [1, -1], \"x\": [", ERROR_DATA},
        {"", "\"guard\": {", "\"guard\": 3, \"x\": {", ERROR_DATA},
        {"", "[21, 22, 25]", "[21]", ERROR_DATA},
        {"", "[21, 22, 25]", "[21, -22, 25]", ERROR_DATA},
        {"", "[21, 22, 25]", "[21, 22, -1]", ERROR_DATA},
        {"", "[21, 22, 25]", "[21, 22, \"25\"]", ERROR_DATA},
        {"", "[21, 22, 25]", "{}", ERROR_DATA},
        {"", "\"data_tokens\": 23", "\"data_tokens\": -2", ERROR_DATA},
        {"", "\"data_crc32\": 25", "\"data_crc32\": -1", ERROR_DATA},
        {"", "\"data_crc32\": 25", "\"data_crc32\": \"25\"", ERROR_DATA},
        {"", "\"data_crc32\": 25,", "", ERROR_NONE}, /* as older versions wrote it */
        {"", "\"data_sizes_crc32\": 26", "\"data_sizes_crc32\": -2", ERROR_DATA},
        {"", "\"data_sizes_crc32\": 26, \"val_crc32\": 27,", "", ERROR_NONE}, /* the same */
        {"", "\"val_crc32\": 27", "\"val_crc32\": 1e3", ERROR_DATA},
        {"", "\"tokens\": 24,", "", ERROR_DATA},
        {"", "\"time_s\": 0.1", "\"time_s\": 1e999", ERROR_DATA},
        {"", "\"config\": ", "\"config\": 1, \"x\": ", ERROR_DATA},
        {"", "\"config\": \"", "\"config\": \"}{", ERROR_CONFIG},
        {"", "\"files\": {", "\"files\": {}, \"x\": {", ERROR_DATA},
        {"", "\"tensors\": {", "\"tensors\": {}, \"x\": {", ERROR_DATA},
        {"\"files\"", "safetensors\": ", "safetensors\": -", ERROR_DATA},
        {"\"files\"", "safetensors\": ", "safetensors\": 1", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": -", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": 0, \"x\": ", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": 8, \"x\": ", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": 9223372036854775807, \"x\": ", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": 9223372036854775000, \"x\": ", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"offset\": 1e300, \"x\": ", ERROR_DATA},
        {"\"tensors\"", "\"offset\": ", "\"x\": ", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "model-00009.safetensors", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "optim-00001.safetensors", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "manifest.json", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "..", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "/etc/passwd", ERROR_DATA},
        {"\"tensors\"", "model-00001.safetensors", "../step-00000007/model-00001.safetensors",
         ERROR_DATA},
        {"\"tensors\"", "\"crc32\": \"", "\"crc32\": \"0", ERROR_DATA},
        {"\"tensors\"", "\"crc32\": \"", "\"crc32\": \"00000000\", \"x\": \"", ERROR_DATA},
        {"\"tensors\"", "\"crc32\": \"", "\"crc32\": 0, \"x\": \"", ERROR_DATA},
        {"\"tensors\"", "\"file\": ", "\"file\": [], \"x\": ", ERROR_DATA},
        {"", "{", "[", ERROR_DATA},
    };
    for (size_t i = 0; i < sizeof FORGERIES / sizeof FORGERIES[0]; i++) {
        struct error err;
        forge(FORGERIES[i].after, FORGERIES[i].from, FORGERIES[i].to);
        if (try_load(&err) != FORGERIES[i].kind) {
            fail_msg("%s behind %s for %s: found %d (%s)", FORGERIES[i].to, FORGERIES[i].after,
                     FORGERIES[i].from, err.kind, err.message);
        }
    }
    forge("", "{", "{");
    expect(ERROR_NONE);
}

static void a_file_name_too_long_is_refused(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    forge("\"tensors\"", "model-00001.safetensors", name);
    expect(ERROR_DATA);
}

static void a_file_outside_the_folder_is_not_looked_at(void **state)
{
    (void)state;
    struct checkpoint_contents contents;
    struct error err = {0};
    assert_true(checkpoint_measure(&contents, STEP, &err));
    forge("\"files\"", "model-00001.safetensors", "../../../etc/passwd");
    assert_false(checkpoint_measure(&contents, STEP, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_string_equal(err.message,
                        "run/checkpoints/step-00000007/manifest.json: a file's name or "
                        "size is not valid");
}

static void an_empty_or_absent_manifest_is_refused(void **state)
{
    (void)state;
    write_bytes(MANIFEST, "", 0);
    expect(ERROR_DATA);
    write_bytes(MANIFEST, "\n", 1);
    expect(ERROR_DATA);
    assert_true(file_remove(MANIFEST, NULL));
    expect(ERROR_NO_INPUT);
    assert_true(file_make_folders(MANIFEST, NULL));
    expect(ERROR_DATA);
    assert_int_equal(rmdir(MANIFEST), 0);
}

int main(void)
{
#define SAVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SAVED(every_flipped_bit_of_the_manifest_is_found),
        SAVED(every_truncation_of_the_manifest_is_found),
        SAVED(every_flipped_byte_of_tensors_is_found),
        SAVED(verify_finds_flipped_bits_of_every_file),
        SAVED(verify_lists_every_problem),
        SAVED(swapped_files_are_found),
        SAVED(signed_nonsense_is_refused),
        SAVED(a_file_name_too_long_is_refused),
        SAVED(a_file_outside_the_folder_is_not_looked_at),
        SAVED(an_empty_or_absent_manifest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
