/* Files of a run that are not what they were when it is resumed: whatever is found in their place
 * is noticed or has no say. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/rng.h>

#include "trial.h"

enum { MOST_FILES = 64, CASES = 10000, STEPS = 8 };

/** The files of the run, and its data. */
static struct {
    char paths[MOST_FILES][FILE_PATH_BYTES];
    int n;
} files;

static bool note_file(void *user, const char *name)
{
    char path[FILE_PATH_BYTES];
    TRIAL_REQUIRE(file_join(path, user, name, NULL) && files.n < MOST_FILES);
    if (file_is_folder(path)) {
        TRIAL_REQUIRE(file_list(path, note_file, path, NULL));
    } else {
        snprintf(files.paths[files.n++], FILE_PATH_BYTES, "%s", path);
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static uint64_t draw(uint64_t *seed, uint64_t below)
{
    *seed = rng_at(*seed, below);
    return *seed % below;
}

static void put(const char *path, const void *bytes, size_t n)
{
    TRIAL_REQUIRE(file_replace(path, bytes, n, NULL));
}

/** What a fault does to a file; another file of the run is at hand. */
static void flip(const char *path, const char *other, uint64_t *seed)
{
    struct file_bytes f;
    (void)other;
    TRIAL_REQUIRE(file_read(&f, path, 1 << 24, NULL));
    if (f.length > 0) {
        f.bytes[draw(seed, f.length)] ^= (unsigned char)(1 << draw(seed, 8));
    }
    put(path, f.bytes, f.length);
    file_bytes_finish(&f);
}

static void cut(const char *path, const char *other, uint64_t *seed)
{
    struct file_bytes f;
    (void)other;
    TRIAL_REQUIRE(file_read(&f, path, 1 << 24, NULL));
    put(path, f.bytes, f.length > 0 ? draw(seed, f.length) : 0);
    file_bytes_finish(&f);
}

static void extend(const char *path, const char *other, uint64_t *seed)
{
    struct file_bytes f, more;
    TRIAL_REQUIRE(file_read(&f, path, 1 << 24, NULL) && file_read(&more, other, 1 << 24, NULL));
    const size_t n = 1 + (more.length > 1 ? draw(seed, more.length - 1) : 0);
    unsigned char *both = calloc(f.length + n, 1);
    TRIAL_REQUIRE(both != NULL);
    memcpy(both, f.bytes, f.length);
    memcpy(both + f.length, more.bytes, more.length > 0 ? n : 0);
    put(path, both, f.length + n);
    free(both);
    file_bytes_finish(&f);
    file_bytes_finish(&more);
}

static void swap(const char *path, const char *other, uint64_t *seed)
{
    (void)seed;
    TRIAL_REQUIRE(file_rename(path, "swapped", NULL));
    if (strcmp(path, other) != 0) {
        TRIAL_REQUIRE(file_rename(other, path, NULL));
    }
    TRIAL_REQUIRE(file_rename("swapped", other, NULL));
}

/** The file of the same name out of an earlier checkpoint, or of a run that was another. */
static void age(const char *path, const char *other, uint64_t *seed)
{
    char from[FILE_PATH_BYTES];
    (void)other, (void)seed;
    snprintf(from, sizeof from, "other/%.1000s", path + strcspn(path, "/") + 1);
    char *newest = strstr(from, "step-00000006");
    if (newest != NULL) {
        newest[strlen("step-0000000")] = '4';
    }
    if (file_length(from) >= 0) {
        trial_copy(from, path);
    }
}

static void make_folder(const char *path, const char *other, uint64_t *seed)
{
    (void)other, (void)seed;
    TRIAL_REQUIRE(file_remove(path, NULL) && file_make_folders(path, NULL));
}

static void make_fifo(const char *path, const char *other, uint64_t *seed)
{
    (void)other, (void)seed;
    TRIAL_REQUIRE(file_remove(path, NULL) && mkfifo(path, 0666) == 0);
}

static void make_device(const char *path, const char *other, uint64_t *seed)
{
    (void)other;
    TRIAL_REQUIRE(file_remove(path, NULL) &&
                  symlink(draw(seed, 2) == 0 ? "/dev/zero" : "/dev/full", path) == 0);
}

static void make_vast(const char *path, const char *other, uint64_t *seed)
{
    (void)other, (void)seed;
    TRIAL_REQUIRE(truncate(path, (off_t)1 << 40) == 0);
}

static void take_away(const char *path, const char *other, uint64_t *seed)
{
    (void)other, (void)seed;
    TRIAL_REQUIRE(file_remove(path, NULL));
}

static const struct {
    const char *word;
    void (*damage)(const char *path, const char *other, uint64_t *seed);
} DAMAGES[] = {
    {"bit", flip},        {"cut", cut},
    {"extended", extend}, {"swapped", swap},
    {"stale", age},       {"folder", make_folder},
    {"fifo", make_fifo},  {"device", make_device},
    {"1-TiB", make_vast}, {"absent", take_away},
};
enum { DAMAGE_KINDS = sizeof DAMAGES / sizeof DAMAGES[0] };

/** Whether the log says that the configuration is another than that of the checkpoint, beside the
 * number of steps, which always is. */
static bool warned_of_configuration(void)
{
    struct file_bytes log;
    if (!file_read(&log, "run/log.txt", 1 << 24, NULL)) {
        return false;
    }
    bool warned = false;
    for (const char *line = (const char *)log.bytes; line != NULL && !warned;) {
        const char *end = strchr(line, '\n'), *was = strstr(line, ", was ");
        const char *steps = strstr(line, "train.steps is ");
        const bool is_here = was != NULL && (end == NULL || was < end);
        warned = is_here && (steps == NULL || steps > was);
        line = end != NULL ? end + 1 : NULL;
    }
    file_bytes_finish(&log);
    return warned;
}

static bool is_refusal(int code)
{
    return code == ERROR_DATA || code == ERROR_NO_INPUT || code == ERROR_LAUNCH ||
           code == ERROR_CREATE || code == ERROR_IO || code == ERROR_CONFIG;
}

/** The step that a run goes on from at least: one checkpoint is passed over if its files are hit.
 */
static int64_t least_step(int kind, const char *path, const char *other)
{
    const bool two = DAMAGES[kind].damage == swap;
    const bool newest = strstr(path, "/step-00000006/") != NULL ||
                        (two && strstr(other, "/step-00000006/") != NULL),
               before = strstr(path, "/step-00000004/") != NULL ||
                        (two && strstr(other, "/step-00000004/") != NULL);
    return newest && before ? 0 : newest ? 4 : 6;
}

static void try_damage(struct tally *tally, const struct row *row, int kind, uint64_t seed)
{
    char what[FILE_PATH_BYTES + 128];
    const bool by_its_config = draw(&seed, 2) == 0;
    const char *path = files.paths[draw(&seed, (uint64_t)files.n)],
               *other = files.paths[draw(&seed, (uint64_t)files.n)];
    snprintf(what, sizeof what, "%s %s: %s", row->fault, row->moment, path);
    TRIAL_REQUIRE(file_remove_tree("run", NULL));
    trial_copy("base", "run");
    TRIAL_REQUIRE(!file_is_folder("data.bin") || file_remove_tree("data.bin", NULL));
    TRIAL_REQUIRE(file_remove("data.bin", NULL));
    trial_copy("good.bin", "data.bin");
    DAMAGES[kind].damage(path, other, &seed);
    const struct outcome *o = trial_run(&(struct trial){
        .resumes = true, .steps = STEPS, .config_path = by_its_config ? "run/config.yaml" : NULL});
    const bool is_good = o->code == 0 && o->hash == trial_expected_hash(STEPS);
    const int64_t least = least_step(kind, path, other);
    if (o->first_step >= 0 && o->first_step < least) {
        trial_fail("%s: goes on from %" PRId64 ", step %" PRId64 " was at hand", what,
                   o->first_step, least);
    }
    if (o->signal != 0 || (!is_good && !is_refusal(o->code) && !warned_of_configuration())) {
        trial_fail("%s: ends with signal %d, code %d, weights %016" PRIx64 " (good %016" PRIx64
                   "): %s",
                   what, o->signal, o->code, o->hash, trial_expected_hash(STEPS), o->message);
    }
    tally->n_cases++;
    tally->n_refused += o->code != 0;
    tally->n_steps_lost += o->first_step >= 0 ? TRIAL_STEPS - o->first_step : 0;
}

static void make_runs(void)
{
    trial_expected_hash(STEPS);
    trial_copy("data.bin", "good.bin");
    TRIAL_REQUIRE(trial_run(&(struct trial){.steps = 4})->code == 0);
    TRIAL_REQUIRE(file_rename("run", "other", NULL));
    trial_copy("other", "run");
    TRIAL_REQUIRE(trial_run(&(struct trial){.resumes = true})->code == 0);
    put("run/log.txt", "begun\n", 6); /* without warnings of its own */
    files.n = 0;
    char top[] = "run";
    TRIAL_REQUIRE(file_list(top, note_file, top, NULL));
    qsort(files.paths, (size_t)files.n, sizeof files.paths[0], by_name);
    snprintf(files.paths[files.n++], FILE_PATH_BYTES, "data.bin");
    TRIAL_REQUIRE(file_rename("run", "base", NULL));
}

static int64_t vanishes_at;

static void vanish(int64_t step)
{
    enum { MOST_TRIES = 1000 }; /* a save in the background adds files meanwhile */
    bool is_gone = step != vanishes_at;
    for (int i = 0; i < MOST_TRIES && !is_gone; i++) {
        is_gone = file_remove_tree("run", NULL);
    }
    TRIAL_REQUIRE(is_gone);
}

/** The run's folder is removed under a run, before each of its steps in turn. */
static bool vanished_row(struct tally *tally, const struct row *row)
{
    const struct trial trial = {.in_background = strcmp(row->moment, "mid-run-async") == 0,
                                .before_step = vanish};
    if (strcmp(row->fault, "vanished") != 0 ||
        (strcmp(row->moment, "mid-run") != 0 && !trial.in_background)) {
        return false;
    }
    const uint64_t expected = trial_expected_hash(TRIAL_STEPS);
    for (vanishes_at = 0; vanishes_at < TRIAL_STEPS; vanishes_at++) {
        TRIAL_REQUIRE(file_remove_tree("run", NULL));
        const struct outcome *o = trial_run(&trial);
        if (o->signal != 0 || (o->code == 0 && o->hash != expected) ||
            (o->code != 0 && !is_refusal(o->code))) {
            trial_fail("vanished before step %" PRId64 ": ends with signal %d, code %d: %s",
                       vanishes_at + 1, o->signal, o->code, o->message);
        }
        tally->n_cases++;
        tally->n_refused += o->code != 0;
        trial_expect_resumed(tally, &trial, o->step, TRIAL_STEPS, "vanished");
    }
    return true;
}

bool damage_row(struct tally *tally, const struct row *row)
{
    if (vanished_row(tally, row)) {
        return true;
    }
    int kind = 0;
    while (kind < DAMAGE_KINDS && strcmp(DAMAGES[kind].word, row->fault) != 0) {
        kind++;
    }
    if (kind == DAMAGE_KINDS || strcmp(row->moment, "at-rest") != 0) {
        return false;
    }
    make_runs();
    for (uint64_t seed = 0; seed < CASES; seed += (uint64_t)row->stride) {
        try_damage(tally, row, kind, rng_at(1, seed));
    }
    return true;
}
