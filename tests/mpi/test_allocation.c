/* Who allocates between the first and the last step: our own objects never, libraries never more.
 *
 * The linker hands our objects' calls to __wrap_malloc and its kin (--wrap; the list is in
 * tests/meson.build), while libraries call malloc and its kin as defined here, in front of the C
 * library's own. What is on the list and not defined here is not called by us: else this program
 * would not link. The loop over steps and the step are wrapped too, to know when they run. */
#include <errno.h>
#include <malloc.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <attnres/file.h>

#include "../../src/train/train_internal.h"
#include "../support/folder.h"
#include "../support/overrides.h"
#include "../support/ranks.h"

/* A leak of the smallest block that malloc gives, 24 bytes, once a step, shows in each third of the
 * counted steps. Open MPI's lists of free requests grow by a piece now and then, when ranks fall
 * behind each other: by 1,048 bytes with two ranks and by up to 16,672 with four on two busy cores;
 * that shows in one third or two. */
enum { FIRST_COUNTED = 10, LAST_COUNTED = 199, PARTS = 3 };
enum { PART_STEPS = (LAST_COUNTED - FIRST_COUNTED) / PARTS, LEAK_BYTES = 24 * PART_STEPS };
_Static_assert(PART_STEPS *PARTS == LAST_COUNTED - FIRST_COUNTED, "equal parts");

static struct {
    atomic_bool in_loop, counts;
    atomic_llong ours_outside, ours_inside; /* calls from our objects */
    atomic_llong n_calls, n_bytes;          /* from libraries, while `counts` */
    atomic_llong outstanding_bytes;         /* of all, now */
    long long held_bytes[PARTS + 1];        /* outstanding at the ends of the parts */
} seen;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static void *note(void *memory)
{
    const long long bytes = memory != NULL ? (long long)malloc_usable_size(memory) : 0;
    seen.outstanding_bytes += bytes;
    if (seen.counts) {
        seen.n_calls++;
        seen.n_bytes += bytes;
    }
    return memory;
}

static void forget(void *memory)
{
    seen.outstanding_bytes -= memory != NULL ? (long long)malloc_usable_size(memory) : 0;
}

void *malloc(size_t size)
{
    return note(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return note(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    forget(old);
    return note(__libc_realloc(old, size));
}

void *memalign(size_t alignment, size_t size)
{
    return note(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);
    *out = memory != NULL ? memory : *out;
    return memory != NULL ? 0 : ENOMEM;
}

void free(void *memory)
{
    forget(memory);
    __libc_free(memory);
}

static void note_ours(void)
{
    if (seen.in_loop) {
        seen.ours_inside++;
    } else {
        seen.ours_outside++;
    }
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length);
bool __real_train_loop(struct train *t, struct error *err);
bool __wrap_train_loop(struct train *t, struct error *err);
struct train_decision __real_train_step(struct train *t);
struct train_decision __wrap_train_step(struct train *t);

void *__wrap_malloc(size_t size)
{
    note_ours();
    return note(__libc_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    note_ours();
    return note(__libc_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    note_ours();
    forget(old);
    return note(__libc_realloc(old, size));
}

void __wrap_free(void *memory)
{
    note_ours();
    forget(memory);
    __libc_free(memory);
}

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    note_ours();
    return __real_mmap(at, length, protection, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t length)
{
    note_ours();
    return __real_munmap(at, length);
}

bool __wrap_train_loop(struct train *t, struct error *err)
{
    seen.in_loop = true;
    const bool ok = __real_train_loop(t, err);
    seen.in_loop = false;
    return ok;
}

struct train_decision __wrap_train_step(struct train *t)
{
    const struct train_decision decision = __real_train_step(t);
    const int64_t n = t->state.step - FIRST_COUNTED;
    if (n >= 0 && n % PART_STEPS == 0 && n / PART_STEPS <= PARTS) {
        seen.held_bytes[n / PART_STEPS] = (long long)seen.outstanding_bytes;
        seen.counts = n / PART_STEPS < PARTS;
    }
    return decision;
}

/** What the libraries have taken and kept in the part in which that was the least. */
static long long least_growth(void)
{
    long long least = LLONG_MAX;
    for (int i = 0; i < PARTS; i++) {
        const long long growth = seen.held_bytes[i + 1] - seen.held_bytes[i];
        least = growth < least ? growth : least;
    }
    return least;
}

/** Everything that a loop does, often: lines, evaluations, checkpoints saved and pruned. */
static const char *const COMMON[] = {
    "model.layers=4",        "model.blocks=2",      "model.dim=16",
    "model.heads=2",         "model.kv_heads=1",    "model.ff=24",
    "model.seq_len=40",      "batch.sequences=8",   "batch.microbatch=2",
    "train.steps=210",       "train.log_every=1",   "train.eval_every=15",
    "train.eval_tokens=160", "checkpoint.every=25", "checkpoint.keep=2",
    "run.stall_s=60",        "compute.threads=1",   "checkpoint.initial=true",
};
enum { N_COMMON = sizeof COMMON / sizeof COMMON[0], N_OWN = 8 };

static void write_text(struct transport *t, const char *folder)
{
    static const char LINE[] = "a line of text that says little, and not much more than the last\n";
    char path[FILE_PATH_BYTES];
    struct file_writer writer = {.fd = -1};
    CHECK(t, file_join(path, folder, "text.txt", NULL) && file_writer_create(&writer, path, NULL));
    for (int i = 0; i < 400; i++) {
        CHECK(t, file_writer_write(&writer, LINE, sizeof LINE - 1, NULL));
    }
    CHECK(t, file_writer_close(&writer, NULL));
}

static bool train(struct transport *t, const char *folder, const char *const *own)
{
    const char *overrides[N_COMMON + N_OWN + 2];
    char run_dir[FILE_PATH_BYTES + 16], text[FILE_PATH_BYTES + 32];
    int n = overrides_join(overrides, COMMON, N_COMMON, own, N_OWN);
    snprintf(run_dir, sizeof run_dir, "run.dir=%s/run", folder);
    snprintf(text, sizeof text, "data.train=%s/text.txt", folder);
    overrides[n++] = run_dir;
    if (strcmp(own[0], "data.kind=text") == 0) {
        overrides[n++] = text;
    }
    struct config *config = calloc(1, sizeof *config);
    struct error err = {0};
    CHECK(t, config != NULL);
    if (!config_load(config, NULL, n, overrides, &err)) {
        fprintf(stderr, "%s\n", err.message);
        CHECK(t, false);
    }
    struct log log;
    log_init(&log, transport_rank(t));
    log.quiet = log.terminal = true;
    const struct train_options options = {.build = {"test", "test", "test", "test"}};
    struct train_result result;
    const bool ok = train_run(&result, config, &options, t, &log, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.message);
    }
    log_finish(&log);
    free(config);
    return ok;
}

static void count(struct transport *t, const char *const *own)
{
    char folder[FILE_PATH_BYTES] = "";
    const bool is_root = transport_rank(t) == 0;
    if (is_root) {
        CHECK(t, folder_make(folder, sizeof folder, "allocation"));
        write_text(t, folder);
    }
    transport_broadcast(t, 0, folder, sizeof folder);
    seen.ours_outside = seen.ours_inside = seen.n_calls = seen.n_bytes = 0;
    CHECK(t, train(t, folder, own));
    printf("rank %d of %d, %s, %s: our objects called allocators %lld times outside the loop, %lld "
           "times inside; in steps %d to %d libraries called them %lld times for %lld bytes, and "
           "held %lld bytes, then %lld; they grew by %lld in the third in which they grew the "
           "least\n",
           transport_rank(t), transport_size(t), own[0], own[1], (long long)seen.ours_outside,
           (long long)seen.ours_inside, FIRST_COUNTED, LAST_COUNTED, (long long)seen.n_calls,
           (long long)seen.n_bytes, seen.held_bytes[0], seen.held_bytes[PARTS], least_growth());
    fflush(stdout);
    CHECK(t, seen.ours_outside > 0 && "the counter counts");
    CHECK(t, seen.ours_inside == 0);
    CHECK(t, least_growth() < LEAK_BYTES);
    transport_barrier(t);
    if (is_root) {
        CHECK(t, file_remove_tree(folder, NULL));
    }
}

static void stories_untied(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"data.task=stories", "model.tied=false"};
    count(t, OWN);
}

static void tasks_tied_in_chunks_with_all_that_they_can_do(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"data.tasks={ptr: 1, vars: 1}",
                                           "model.tied=true",
                                           "pipeline.schedule=interleaved",
                                           "pipeline.chunks=2",
                                           "pipeline.cache=on",
                                           "memory.recompute=all",
                                           "guard.check_every=7",
                                           "compute.threads=2"};
    count(t, OWN);
}

/* A tape of 4,096 events is full several times. */
static void traced(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"data.task=stories", "model.tied=false", "trace.first=2",
                                           "trace.steps=205"};
    count(t, OWN);
}

static void
text_of_full_attention_over_depth_deflated_and_saved_in_the_background(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"data.kind=text", "model.kind=full",
                                           "pipeline.deflate=on", "checkpoint.async=true"};
    count(t, OWN);
}

/* Tied: the head's gradient joins the embedding's before the replicas' are added. */
static void replicas_of_a_tied_model(struct transport *t)
{
    static const char *const OWN[N_OWN] = {"pipeline.replicas=2", "model.tied=true",
                                           "batch.microbatch=1", "checkpoint.async=true"};
    count(t, OWN);
}

int main(int argc, char **argv)
{
    /* One pipeline says all on two ranks; four are for replicas of one. */
    static const struct ranks_case PIPELINE[] = {
        {"stories_untied", stories_untied},
        {"traced", traced},
        {"tasks_tied_in_chunks_with_all_that_they_can_do",
         tasks_tied_in_chunks_with_all_that_they_can_do},
        {"text_of_full_attention_over_depth_deflated_and_saved_in_the_background",
         text_of_full_attention_over_depth_deflated_and_saved_in_the_background},
        {NULL, NULL},
    };
    static const struct ranks_case REPLICAS[] = {
        {"replicas_of_a_tied_model", replicas_of_a_tied_model},
        {NULL, NULL},
    };
    const bool replicas = argc > 1 && strcmp(argv[1], "replicas") == 0;
    return ranks_run_suite_mpi(argc, argv, replicas ? REPLICAS : PIPELINE);
}
