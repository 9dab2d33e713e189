#include "bitwise.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/checkpoint.h>
#include <attnres/file.h>
#include <attnres/json.h>
#include <attnres/kernels.h>
#include <attnres/rng.h>
#include <attnres/train.h>

enum { MAX_VALUES = 6, MAX_OVERRIDES = 4 };

struct value {
    const char *name;
    const char *overrides[MAX_OVERRIDES];
};

/** The table. Stages and cuts together choose a partition, and resuming an option of train; they
 * have no override. */
static const struct {
    int n_values;
    struct value values[MAX_VALUES];
} AXES[BITWISE_AXES] = {
    [AXIS_MODEL] = {6,
                    {{"standard", {"model.kind=standard"}},
                     {"full", {"model.kind=full"}},
                     {"block", {"model.kind=block"}},
                     {"block_full", {"model.kind=block_full"}},
                     {"block_full static", {"model.kind=block_full", "model.read=static"}},
                     {"block_full, products in bf16",
                      {"model.kind=block_full", "compute.precision=bf16"}}}},
    [AXIS_HEAD] = {2, {{"untied", {"model.tied=false"}}, {"tied", {"model.tied=true"}}}},
    [AXIS_REPRESENTATIVE] = {3,
                             {{"f32", {0}},
                              {"bf16",
                               {"representative.value=bf16", "representative.gradient=bf16"}},
                              {"int8", {"representative.value=int8"}}}},
    [AXIS_RANKS] = {BITWISE_MAX_RANKS,
                    {{"1 rank", {0}}, {"2 ranks", {0}}, {"3 ranks", {0}}, {"4 ranks", {0}}}},
    [AXIS_SCHEDULE] =
        {6,
         {{"1f1b", {"pipeline.schedule=1f1b"}},
          {"gpipe", {"pipeline.schedule=gpipe"}},
          {"interleaved 2",
           {"pipeline.schedule=interleaved", "pipeline.chunks=2", "pipeline.group=4"}},
          {"interleaved 4",
           {"pipeline.schedule=interleaved", "pipeline.chunks=4", "pipeline.group=4"}},
          {"zb_h1", {"pipeline.schedule=zb_h1"}},
          {"zb_v", {"pipeline.schedule=zb_v", "pipeline.chunks=2"}}}},
    [AXIS_CUT] = {2, {{"cut on borders", {0}}, {"cut inside blocks", {0}}}},
    [AXIS_RECOMPUTE] = {3,
                        {{"recompute none", {"memory.recompute=none"}},
                         {"recompute block", {"memory.recompute=block"}},
                         {"recompute all", {"memory.recompute=all"}}}},
    [AXIS_THREADS] = {2,
                      {{"1 thread", {"compute.threads=1"}}, {"2 threads", {"compute.threads=2"}}}},
    [AXIS_RUN] = {2, {{"straight", {0}}, {"resumed, deflated", {"pipeline.deflate=on"}}}},
};

/** The models that run with representatives in f32 alone. */
enum { MODEL_STANDARD_KIND = 0, MODEL_BF16 = 5 };

/** Chunks of each value of the schedule axis. */
static const int CHUNKS[] = {1, 1, 2, 4, 1, 2};

/** Sixteen sublayers in blocks of four, and 40 tokens a microbatch: a whole tile and a shorter one.
 * Where whole blocks do not suffice, `blocks` itself cuts inside. */
static const char *const COMMON[] = {
    "model.layers=8",     "model.blocks=4",       "model.dim=16",       "model.heads=2",
    "model.kv_heads=1",   "model.ff=24",          "model.seq_len=20",   "batch.sequences=8",
    "batch.microbatch=2", "data.task=vars",       "train.steps=3",      "train.log_every=1",
    "train.eval_every=3", "train.eval_tokens=80", "checkpoint.every=2", "checkpoint.keep=9",
    "optim.lr=1e-2",      "optim.warmup_steps=0", "run.stall_s=60",
};

int bitwise_axis_size(enum bitwise_axis axis)
{
    return AXES[axis].n_values;
}

const char *bitwise_value_name(enum bitwise_axis axis, int value)
{
    return AXES[axis].values[value].name;
}

int bitwise_case_count(void)
{
    int n = 1;
    for (int axis = 0; axis < BITWISE_AXES; axis++) {
        n *= AXES[axis].n_values;
    }
    return n;
}

struct bitwise_case bitwise_case_at(int index)
{
    struct bitwise_case c = {{0}};
    for (int axis = BITWISE_AXES - 1; axis >= 0; axis--) {
        c.value[axis] = index % AXES[axis].n_values;
        index /= AXES[axis].n_values;
    }
    return c;
}

int bitwise_ranks(const struct bitwise_case *c)
{
    return c->value[AXIS_RANKS] + 1;
}

bool bitwise_is_resumed(const struct bitwise_case *c)
{
    return c->value[AXIS_RUN] == 1;
}

bool bitwise_is_legal(const struct bitwise_case *c)
{
    const int model = c->value[AXIS_MODEL];
    const struct kernels *kernels = kernels_select(kernels_level_count() - 1);
    if (model == MODEL_BF16 &&
        (c->value[AXIS_HEAD] != 1 || matmul_refusal(MATMUL_BF16, kernels) != NULL)) {
        return false;
    }
    return (model != MODEL_STANDARD_KIND && model != MODEL_BF16) ||
           c->value[AXIS_REPRESENTATIVE] == 0;
}

struct bitwise_case bitwise_reference(const struct bitwise_case *c)
{
    struct bitwise_case reference = {{0}};
    reference.value[AXIS_MODEL] = c->value[AXIS_MODEL];
    reference.value[AXIS_HEAD] = c->value[AXIS_HEAD];
    reference.value[AXIS_REPRESENTATIVE] = c->value[AXIS_REPRESENTATIVE];
    return reference;
}

void bitwise_describe(const struct bitwise_case *c, char *text, int capacity)
{
    int length = 0;
    for (int axis = 0; axis < BITWISE_AXES && length < capacity; axis++) {
        length += snprintf(text + length, (size_t)(capacity - length), "%s%s", axis > 0 ? ", " : "",
                           AXES[axis].values[c->value[axis]].name);
    }
}

bool bitwise_equal(const struct bitwise_outcome *a, const struct bitwise_outcome *b)
{
    bool equal =
        a->tensors == b->tensors && a->n_tensors == b->n_tensors && a->val_loss == b->val_loss;
    int n_compared = 0;
    for (int s = 1; s <= BITWISE_STEPS; s++) {
        if (a->norm[s] > 0.0 && b->norm[s] > 0.0) {
            equal = equal && a->loss[s] == b->loss[s] && a->norm[s] == b->norm[s];
            n_compared++;
        }
    }
    return equal && n_compared >= BITWISE_STEPS - BITWISE_SAVED_STEP && a->n_tensors > 0;
}

/** An uneven partition whose cuts lie inside blocks as far as sublayers suffice: the first stage
 * one sublayer short, the last with what is left. */
static void write_inside_partition(char *text, size_t capacity, int n_stages)
{
    enum { SUBLAYERS = 16 };
    const int base = SUBLAYERS / n_stages, shift = base > 1 && n_stages > 1;
    size_t length = (size_t)snprintf(text, capacity, "pipeline.partition=[");
    for (int i = 0, left = SUBLAYERS; i < n_stages; i++) {
        const int own = i + 1 == n_stages ? left : base - (i == 0 ? shift : 0);
        length += (size_t)snprintf(text + length, capacity - length, i > 0 ? ",%d" : "%d", own);
        left -= own;
    }
    snprintf(text + length, capacity - length, "]");
}

static bool load_config(struct config *config, const struct bitwise_case *c, const char *run_dir,
                        struct error *err)
{
    enum { N_COMMON = sizeof COMMON / sizeof COMMON[0] };
    const char *overrides[N_COMMON + BITWISE_AXES * MAX_OVERRIDES + 2];
    char dir[FILE_PATH_BYTES + 16], partition[128] = "pipeline.partition=blocks";
    int n = 0;
    for (int i = 0; i < N_COMMON; i++) {
        overrides[n++] = COMMON[i];
    }
    for (int axis = 0; axis < BITWISE_AXES; axis++) {
        const struct value *value = &AXES[axis].values[c->value[axis]];
        for (int i = 0; i < MAX_OVERRIDES && value->overrides[i] != NULL; i++) {
            overrides[n++] = value->overrides[i];
        }
    }
    if (c->value[AXIS_CUT] == 1) {
        write_inside_partition(partition, sizeof partition,
                               bitwise_ranks(c) * CHUNKS[c->value[AXIS_SCHEDULE]]);
    }
    snprintf(dir, sizeof dir, "run.dir=%s", run_dir);
    overrides[n++] = dir;
    overrides[n++] = partition;
    return config_load(config, NULL, n, overrides, err);
}

static bool read_line(struct bitwise_outcome *outcome, const char *line, size_t length,
                      struct error *err)
{
    struct json_document d;
    if (!json_parse(&d, line, length, "metrics.jsonl", err)) {
        return false;
    }
    int64_t step = 0;
    if (json_as_int(json_get(d.root, "step"), &step) && step >= 1 && step <= BITWISE_STEPS) {
        json_as_real(json_get(d.root, "loss"), &outcome->loss[step]);
        json_as_real(json_get(d.root, "grad_norm"), &outcome->norm[step]);
        json_as_real(json_get(d.root, "val_loss"), &outcome->val_loss);
        outcome->n_steps++;
    }
    json_document_finish(&d);
    return true;
}

static bool read_metrics(struct bitwise_outcome *outcome, const char *run_dir, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_bytes file;
    if (!file_join(path, run_dir, "metrics.jsonl", err) || !file_read(&file, path, 1 << 20, err)) {
        return false;
    }
    bool ok = true;
    const char *text = (const char *)file.bytes;
    for (size_t at = 0; ok && at < file.length;) {
        const char *newline = strchr(text + at, '\n');
        const size_t end = newline != NULL ? (size_t)(newline - text) : file.length;
        ok = read_line(outcome, text + at, end - at, err);
        at = end + 1;
    }
    file_bytes_finish(&file);
    return ok;
}

/** The manifest lists tensors in table order whatever the stages, with a CRC-32 each. */
static bool read_tensors(struct bitwise_outcome *outcome, const char *run_dir, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct checkpoint c;
    if (!checkpoint_step_path(path, run_dir, BITWISE_STEPS, err) ||
        !checkpoint_open(&c, path, err)) {
        return false;
    }
    const struct json_value *tensors = json_get(c.manifest.root, "tensors");
    const struct json_value *entry = NULL;
    for (const char *name = json_next(tensors, NULL, &entry); name != NULL;
         name = json_next(tensors, name, &entry)) {
        const char *crc = json_as_text(json_get(entry, "crc32"));
        outcome->tensors = rng_at(outcome->tensors, rng_key(strtoull(crc, NULL, 16), name));
        outcome->n_tensors++;
    }
    checkpoint_close(&c);
    return true;
}

bool bitwise_run(struct transport *t, const struct bitwise_case *c, const char *run_dir,
                 const char *resume_from, struct bitwise_outcome *outcome, char *message,
                 int message_bytes)
{
    struct error err = {0};
    struct log log;
    log_init(&log, transport_rank(t));
    log.quiet = true;
    *outcome = (struct bitwise_outcome){0};
    char resume_step[FILE_PATH_BYTES] = "";
    struct config *config = calloc(1, sizeof *config);
    assert(config != NULL && (resume_from != NULL) == bitwise_is_resumed(c));
    bool ok = load_config(config, c, run_dir, &err);
    if (ok && resume_from != NULL) {
        ok = checkpoint_step_path(resume_step, resume_from, BITWISE_SAVED_STEP, &err);
    }
    const struct train_options options = {.resume_from = resume_from != NULL ? resume_step : NULL,
                                          .build = {"test", "test", "test", "test"}};
    struct train_result result;
    ok = ok && train_run(&result, config, &options, t, &log, &err);
    if (ok && transport_rank(t) == 0) {
        ok = read_metrics(outcome, run_dir, &err) && read_tensors(outcome, run_dir, &err);
    }
    snprintf(message, (size_t)message_bytes, "%s", err.message);
    log_finish(&log);
    free(config);
    return ok;
}

struct job {
    struct transport *transport;
    const struct bitwise_case *c;
    const char *run_dir, *resume_from;
    struct bitwise_outcome outcome;
    char message[1024];
    bool ok;
};

static void *run_job(void *user)
{
    struct job *job = user;
    job->ok = bitwise_run(job->transport, job->c, job->run_dir, job->resume_from, &job->outcome,
                          job->message, sizeof job->message);
    return NULL;
}

bool bitwise_run_local(const struct bitwise_case *c, const char *run_dir, const char *resume_from,
                       struct bitwise_outcome *outcome, char *message, int message_bytes)
{
    const int size = bitwise_ranks(c);
    struct transport_world *world = transport_world_create(size);
    struct job *jobs = calloc((size_t)size, sizeof *jobs);
    pthread_t threads[BITWISE_MAX_RANKS];
    assert(world != NULL && jobs != NULL);
    for (int rank = 0; rank < size; rank++) {
        jobs[rank] = (struct job){.transport = transport_world_rank(world, rank),
                                  .c = c,
                                  .run_dir = run_dir,
                                  .resume_from = resume_from};
        const int failure = pthread_create(&threads[rank], NULL, run_job, &jobs[rank]);
        assert(failure == 0);
        (void)failure;
    }
    bool ok = true;
    message[0] = '\0';
    for (int rank = 0; rank < size; rank++) {
        pthread_join(threads[rank], NULL);
        ok = ok && jobs[rank].ok;
        if (jobs[rank].message[0] != '\0') {
            snprintf(message, (size_t)message_bytes, "rank %d: %s", rank, jobs[rank].message);
        }
    }
    if (transport_world_aborted(world) != NULL) {
        snprintf(message, (size_t)message_bytes, "aborted: %s", transport_world_aborted(world));
        ok = false;
    }
    *outcome = jobs[0].outcome;
    transport_world_destroy(world);
    free(jobs);
    return ok;
}
