#include "trial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <attnres/file.h>

#include "../../src/train/train_internal.h"
#include "../support/folder.h"
#include "../support/ranks.h"

/** A child that takes longer hangs; one whose world was aborted ends so. */
enum { LIMIT_S = 30, RANKS = 2, ABORTED = 99 };

static const char *const OVERRIDES[] = {
    "run.dir=run",        "model.layers=2",      "model.dim=8",         "model.heads=2",
    "model.kv_heads=1",   "model.ff=12",         "model.seq_len=8",     "batch.sequences=2",
    "batch.microbatch=1", "checkpoint.every=2",  "checkpoint.keep=2",   "train.log_every=1",
    "train.eval_every=4", "compute.threads=1",   "train.eval_tokens=8", "optim.warmup_steps=2",
    "data.kind=tokens",   "data.train=data.bin", "data.val=data.bin",   "optim.schedule=constant",
};
enum { N_OVERRIDES = sizeof OVERRIDES / sizeof OVERRIDES[0] };

/** What the ranks' threads of a child share. */
static const struct trial *now;
static struct outcome *out;

struct train_decision __real_train_step(struct train *t);
struct train_decision __wrap_train_step(struct train *t);

struct train_decision __wrap_train_step(struct train *t)
{
    if (t->is_root && out->first_step < 0) {
        out->first_step = t->state.step;
    }
    if (t->is_root && now->before_step != NULL) {
        now->before_step(t->state.step);
    }
    memory_stop_failing();
    const struct train_decision decision = __real_train_step(t);
    if (t->is_root) {
        out->step = t->state.step;
        out->n_warnings = t->log->n_warnings;
    }
    return decision;
}

void trial_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    exit(1);
}

static bool load_config(struct config *config, struct error *err)
{
    const char *overrides[N_OVERRIDES + 3];
    char steps[64];
    int n = 0;
    for (int i = 0; i < N_OVERRIDES && now->config_path == NULL; i++) {
        overrides[n++] = OVERRIDES[i];
    }
    const int64_t n_steps = now->steps > 0 ? now->steps : TRIAL_STEPS;
    snprintf(steps, sizeof steps, "train.steps=%" PRId64, n_steps);
    overrides[n++] = steps;
    overrides[n++] = now->in_background ? "checkpoint.async=true" : "checkpoint.async=false";
    if (now->override != NULL) {
        overrides[n++] = now->override;
    }
    return config_load(config, now->config_path, n, overrides, err);
}

static void train(struct transport *t)
{
    const bool is_root = transport_rank(t) == 0;
    const struct train_options options = {.resume = now->resumes,
                                          .build = {"test", "test", "test", "test"}};
    struct config config;
    struct train_result result;
    struct error err = {0};
    struct log log;
    log_init(&log, transport_rank(t));
    log.quiet = true;
    bool ok = load_config(&config, &err);
    transport_barrier(t); /* both have read it, which in a job rank 0 does for all */
    memory_start_failing();
    ok = ok && train_run(&result, &config, &options, t, &log, &err);
    if (is_root) {
        out->code = ok ? 0 : (int)err.kind;
        out->hash = ok ? result.weights_hash : 0;
    }
    if (err.message[0] != '\0') {
        snprintf(out->message, sizeof out->message, "%.500s", err.message);
    }
    log_finish(&log);
}

/** The child: never returns. */
static void run_child(void)
{
    char message[1024];
    alarm(LIMIT_S);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    if (now->record > 0) {
        inject_record(now->record);
    }
    inject_arm(&now->fault, now->scope != NULL ? now->scope : "run", &out->n_calls);
    memory_arm(now->fail_allocation, &out->n_allocations);
    const bool ok = ranks_run_local(RANKS, train, message);
    if (!ok) {
        snprintf(out->message, sizeof out->message, "%.500s", message);
    }
    out->bytes_read = inject_bytes_read(".safetensors");
    out->files_opened = inject_files_opened(".safetensors");
    _exit(ok ? out->code : ABORTED);
}

const struct outcome *trial_run(const struct trial *trial)
{
    if (out == NULL) {
        void *memory =
            mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        TRIAL_REQUIRE(memory != MAP_FAILED);
        out = memory;
    }
    *out = (struct outcome){.first_step = -1, .step = -1};
    now = trial;
    fflush(stdout);
    const int said = memfd_create("stderr", 0);
    TRIAL_REQUIRE(said >= 0);
    const pid_t child = fork();
    TRIAL_REQUIRE(child >= 0);
    if (child == 0) {
        dup2(said, STDERR_FILENO);
        run_child();
    }
    int status = 0;
    TRIAL_REQUIRE(waitpid(child, &status, 0) == child);
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (out->message[0] == '\0') {
        const ssize_t length = pread(said, out->message, sizeof out->message - 1, 0);
        out->message[length > 0 ? length : 0] = '\0';
    }
    close(said);
    return out;
}

static char folder[FILE_PATH_BYTES];

static void make_data(void)
{
    char text[200]; /* 24 windows, of which a run takes 16 */
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(' ' + (i * i / 7 + i) % 90);
    }
    const char *const texts[] = {"data.txt"};
    TRIAL_REQUIRE(file_replace("data.txt", text, sizeof text, NULL));
    TRIAL_REQUIRE(data_prepare(texts, 1, "data.bin", NULL));
    TRIAL_REQUIRE(file_make_folders("shards", NULL));
    trial_copy("data.bin", "shards/data.bin");
}

void trial_enter_folder(void)
{
    TRIAL_REQUIRE(folder_enter(folder, sizeof folder, "fault"));
    make_data();
}

void trial_leave_folder(void)
{
    TRIAL_REQUIRE(folder_leave(folder));
}

struct copying {
    const char *from, *to;
};

static bool copy_entry(void *user, const char *name)
{
    const struct copying *copying = user;
    char from[FILE_PATH_BYTES], to[FILE_PATH_BYTES];
    TRIAL_REQUIRE(file_join(from, copying->from, name, NULL) &&
                  file_join(to, copying->to, name, NULL));
    trial_copy(from, to);
    return true;
}

void trial_copy(const char *from, const char *to)
{
    struct file_bytes bytes;
    struct file_writer writer;
    if (file_is_folder(from)) {
        struct copying copying = {from, to};
        TRIAL_REQUIRE(file_make_folders(to, NULL) && file_list(from, copy_entry, &copying, NULL));
        return;
    }
    TRIAL_REQUIRE(file_read(&bytes, from, 1 << 24, NULL) && file_writer_create(&writer, to, NULL) &&
                  file_writer_write(&writer, bytes.bytes, bytes.length, NULL) &&
                  file_writer_close(&writer, NULL));
    file_bytes_finish(&bytes);
}

uint64_t trial_expected_hash(int64_t steps)
{
    static uint64_t hashes[64];
    TRIAL_REQUIRE(steps > 0 && steps < 64);
    if (hashes[steps] == 0) {
        const struct outcome *o = trial_run(&(struct trial){.steps = steps});
        if (o->code != 0) {
            trial_fail("the undisturbed run ends with signal %d, code %d: %s", o->signal, o->code,
                       o->message);
        }
        hashes[steps] = o->hash;
        TRIAL_REQUIRE(file_remove_tree("run", NULL));
    }
    return hashes[steps];
}

void trial_expect_resumed(struct tally *tally, const struct trial *before, int64_t step_reached,
                          int64_t most, const char *what)
{
    const struct trial again = {
        .resumes = true, .in_background = before->in_background, .steps = before->steps};
    const int64_t n_steps = again.steps > 0 ? again.steps : TRIAL_STEPS;
    const uint64_t expected = trial_expected_hash(n_steps);
    const struct outcome *o = trial_run(&again);
    if (o->code != 0 || o->hash != expected) {
        trial_fail("%s: resumed, it ends with signal %d, code %d, weights %016" PRIx64
                   ", undisturbed %016" PRIx64 ": %s",
                   what, o->signal, o->code, o->hash, expected, o->message);
    }
    const int64_t from = o->first_step >= 0 ? o->first_step : n_steps;
    const int64_t n_lost = step_reached > from ? step_reached - from : 0;
    if (n_lost > most) {
        trial_fail("%s: %" PRId64 " steps are lost, at most %" PRId64 " may be", what, n_lost,
                   most);
    }
    tally->n_steps_lost += n_lost;
}
