/* Runs a target over its corpus without libFuzzer: every file as it is, cut short, and with single
 * bits flipped. What fails can be run again alone, with the bytes that the last line describes.
 *
 * usage: fuzz_TARGET FILE_OR_FOLDER... */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/file.h>
#include <attnres/rng.h>

enum {
    MAX_BYTES = 1 << 20,
    ALL_BYTES = 256, /* files up to this are cut at every offset and flipped in every bit */
    MOST_CUTS = 256, /* longer ones at so many places, spread evenly */
    MOST_FLIPS = 1024,
};

/* What is being run, for the handler of the signal that an assert or a sanitizer raises. */
static char current[FILE_PATH_BYTES + 64];
static int64_t n_inputs;

static void say_what_failed(int signal_number)
{
    const ssize_t written = write(STDERR_FILENO, current, strlen(current));
    (void)written;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* In memory of exactly this length, which no input may change. */
static void run(const unsigned char *bytes, size_t length)
{
    unsigned char *copy = malloc(length > 0 ? length : 1);
    assert(copy != NULL);
    memcpy(copy, bytes, length);
    LLVMFuzzerTestOneInput(copy, length);
    assert(memcmp(copy, bytes, length) == 0 && "the input is only read");
    free(copy);
    n_inputs++;
}

static void run_cut(const struct file_bytes *file, const char *path)
{
    const size_t n = file->length <= ALL_BYTES ? file->length : MOST_CUTS;
    for (size_t i = 0; i < n; i++) {
        const size_t length = file->length * i / n;
        snprintf(current, sizeof current, "%s: its first %zu bytes\n", path, length);
        run(file->bytes, length);
    }
}

static void run_flipped(struct file_bytes *file, const char *path)
{
    const uint64_t n_bits = 8 * (uint64_t)file->length;
    const uint64_t n = file->length <= ALL_BYTES ? n_bits : MOST_FLIPS;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t bit = n == n_bits ? i : rng_at(n_bits, i) % n_bits;
        snprintf(current, sizeof current, "%s: bit %d of byte %llu flipped\n", path, (int)(bit % 8),
                 (unsigned long long)(bit / 8));
        file->bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        run(file->bytes, file->length);
        file->bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

static bool replay_file(const char *path, struct error *err)
{
    struct file_bytes file = {0};
    if (!file_read(&file, path, MAX_BYTES, err)) {
        return false;
    }
    snprintf(current, sizeof current, "%s: as it is\n", path);
    run(file.bytes, file.length);
    run_cut(&file, path);
    run_flipped(&file, path);
    file_bytes_finish(&file);
    return true;
}

struct folder {
    const char *path;
    struct error *err;
    int n_files;
    bool ok;
};

static bool replay_entry(void *user, const char *name)
{
    struct folder *folder = user;
    char path[FILE_PATH_BYTES];
    folder->ok = file_join(path, folder->path, name, folder->err) && replay_file(path, folder->err);
    folder->n_files++;
    return folder->ok;
}

static bool replay(const char *path, struct error *err)
{
    if (!file_is_folder(path)) {
        return replay_file(path, err);
    }
    struct folder folder = {.path = path, .err = err, .ok = true};
    if (!file_list(path, replay_entry, &folder, err) || !folder.ok) {
        return false;
    }
    return folder.n_files > 0 || error_set(err, ERROR_NO_INPUT, "%s: an empty corpus", path);
}

int main(int argc, char **argv)
{
    signal(SIGABRT, say_what_failed);
    signal(SIGSEGV, say_what_failed);
    struct error err = {0};
    for (int i = 1; i < argc; i++) {
        if (!replay(argv[i], &err)) {
            fprintf(stderr, "%s\n", err.message);
            return (int)err.kind;
        }
    }
    printf("%lld inputs\n", (long long)n_inputs);
    return n_inputs > 0 ? 0 : (int)ERROR_USAGE;
}
