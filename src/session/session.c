#include <attnres/session.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <attnres/checkpoint.h>
#include <attnres/collective.h>
#include <attnres/costs.h>
#include <attnres/heap.h>
#include <attnres/rng.h>
#include <attnres/text.h>

bool session_share_config(struct config *config, struct transport *transport, bool ok,
                          struct error *err)
{
    const bool is_root = transport_rank(transport) == 0;
    if (!collective_agree(transport, is_root ? ok : true, err)) {
        return false;
    }
    transport_broadcast(transport, 0, config, sizeof *config);
    return true;
}

/** What a rank says of its place: ranks that share processors share them evenly. */
struct place {
    uint64_t host, processors; /* hashes of host name and processors */
    int32_t n_processors;
    int32_t level; /* highest kernel level */
};

static uint64_t hash_bytes(const void *bytes, size_t length)
{
    const unsigned char *b = bytes;
    uint64_t hash = length;
    for (size_t i = 0; i < length; i++) {
        hash = rng_at(hash, b[i]);
    }
    return hash;
}

/** The highest kernel level to use, as the environment has it; NULL: no limit. */
static const char *wanted_level(void)
{
    const char *wanted = getenv("ATTNRES_KERNELS");
    return wanted != NULL && wanted[0] != '\0' ? wanted : NULL;
}

/** -1: this processor has none of the name. */
static int find_level(const char *name)
{
    int level = kernels_level_count() - 1;
    while (level >= 0 && (name == NULL || strcmp(kernels_select(level)->level, name) != 0)) {
        level--;
    }
    return level;
}

/** A level beyond the processor's is no limit; a name that is none would be taken for one. */
static bool check_wanted_level(struct error *err)
{
    char bytes[128] = "";
    struct text names = {bytes, sizeof bytes, 0};
    const char *wanted = wanted_level(), *name = NULL;
    for (int i = 0; wanted != NULL && (name = kernels_built_level(i)) != NULL; i++) {
        if (strcmp(wanted, name) == 0) {
            return true;
        }
        text_add(&names, "%s%s", i > 0 ? ", " : "", name);
    }
    return wanted == NULL ||
           error_set(err, ERROR_USAGE,
                     "ATTNRES_KERNELS=%s: no such instruction set; choose one of %s, or unset it "
                     "for the highest that all ranks have",
                     wanted, bytes);
}

/** The one that is wanted, or the processor's highest. */
static int own_level(void)
{
    const int wanted = find_level(wanted_level());
    return wanted >= 0 ? wanted : kernels_level_count() - 1;
}

const struct kernels *session_choose_kernels(struct error *err)
{
    if (!check_wanted_level(err)) {
        return NULL;
    }
    return kernels_select(own_level());
}

static struct place find_place(void)
{
    char host[256] = "";
    int ids[LAUNCH_CPUS];
    gethostname(host, sizeof host - 1);
    const int n = kernels_find_processors(ids, LAUNCH_CPUS);
    return (struct place){.host = hash_bytes(host, strlen(host)),
                          .processors = hash_bytes(ids, (size_t)n * sizeof *ids),
                          .n_processors = launch_count_processors(),
                          .level = own_level()};
}

/** This rank's share of its processors, or fewer if OMP_NUM_THREADS (a number, or a list of them)
 * says so. */
static int choose_threads(int share)
{
    const char *text = getenv("OMP_NUM_THREADS");
    const long most = text != NULL ? strtol(text, NULL, 10) : 0;
    const int n = most > 0 && most < share ? (int)most : share;
    return n > 1 ? n : 1;
}

/** The lowest kernel level of all ranks, and this rank's share of its processors. */
static void choose_kernels(struct session *s)
{
    struct transport *t = s->transport;
    const int n = transport_size(t);
    const struct place own = find_place();
    struct place *places = heap_take((size_t)n, sizeof *places, "where the ranks are");
    collective_gather(t, collective_all(t), 0, &own, sizeof own, places);
    transport_broadcast(t, 0, places, (size_t)n * sizeof *places);
    int level = own.level, n_sharing = 0;
    for (int i = 0; i < n; i++) {
        level = places[i].level < level ? places[i].level : level;
        n_sharing += places[i].host == own.host && places[i].processors == own.processors;
    }
    s->hosts = heap_take((size_t)n, sizeof *s->hosts, "the ranks' hosts");
    for (int i = 0; i < n; i++) {
        s->hosts[i] = places[i].host;
    }
    free(places);
    const int64_t wanted = s->config.compute.n_threads;
    s->n_threads = wanted > 0 ? (int)wanted : choose_threads(own.n_processors / n_sharing);
    s->kernels = kernels_select(level);
    kernels_set_threads(s->n_threads);
}

int64_t session_resident_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) {
        return -1;
    }
    char line[256];
    int64_t total = 0, kib = 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "RssAnon: %" SCNd64, &kib) == 1 ||
            sscanf(line, "RssShmem: %" SCNd64, &kib) == 1) {
            total += kib * 1024;
        }
    }
    fclose(status);
    return total;
}

/** Let the libraries take what they take on first use, so that it is not mistaken for planned
 * memory later: OpenBLAS by the lowest level, what this job's level uses by its own. */
static void warm_up_libraries(const struct kernels *kernels)
{
    enum { N = 64 };
    const struct matmul_shape shape = {N, N, N, N};
    const struct kernels *levels[] = {kernels_select(0), kernels};
    float *x = calloc((size_t)N * N * 3, sizeof *x);
    void *scratch = calloc(1, matmul_scratch_bytes(&shape));
    for (int i = 0; i < 2 && x != NULL && scratch != NULL; i++) {
        struct matmul *matmul = matmul_create(&shape, MATMUL_F32, levels[i]);
        matmul_forward(matmul, x + 2 * N * N, x, x + N * N, scratch);
        matmul_destroy(matmul);
    }
    free(scratch);
    free(x);
}

static bool check_precision(const struct session *s, struct error *err)
{
    if (s->config.compute.precision != PRECISION_BF16) {
        return true;
    }
    const char *refusal = matmul_refusal(MATMUL_BF16, s->kernels);
    return refusal == NULL || error_set(err, ERROR_CONFIG, "compute.precision: bf16: %s", refusal);
}

/** A refused allocation inside OpenBLAS would hang the job. */
static bool check_room(const struct session *s, struct error *err)
{
    struct rlimit limit;
    if (kernels_blas_fits(s->n_threads)) {
        return true;
    }
    const bool is_limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return error_set(err, ERROR_CREATE,
                     "%s leaves no room for OpenBLAS, which takes %d MiB of address space for each "
                     "of %d threads: raise it, or set compute.threads",
                     is_limited ? "the limit of this process's memory (ulimit -v)"
                                : "what the system promises (vm.overcommit_memory)",
                     KERNELS_BLAS_MIB, s->n_threads);
}

/** Measured costs as rank 0 reads them, the same for all. Zeroed where there are none. */
static bool share_costs(struct costs *costs, const struct session *s, struct error *err)
{
    const char *path = s->config.pipeline.costs;
    *costs = (struct costs){0};
    if (strcmp(path, "none") == 0) {
        return true;
    }
    const bool ok = transport_rank(s->transport) != 0 || costs_read(costs, path, &s->config, err);
    if (!collective_agree(s->transport, ok, err)) {
        return false;
    }
    transport_broadcast(s->transport, 0, costs, sizeof *costs);
    return true;
}

bool session_begin(struct session *s, const struct config *config, struct transport *transport,
                   struct log *log, struct error *err)
{
    *s = (struct session){.config = *config, .transport = transport, .log = log};
    choose_kernels(s);
    return collective_agree(
        transport, check_wanted_level(err) && check_precision(s, err) && check_room(s, err), err);
}

bool session_plan(struct session *s, const struct config *config, struct transport *transport,
                  struct log *log, enum plan_purpose purpose, struct error *err)
{
    if (!session_begin(s, config, transport, log, err)) {
        return false;
    }
    struct costs costs;
    if (!share_costs(&costs, s, err)) {
        return false;
    }
    const bool ok =
        plan_init_measured(&s->plan, &s->config, &costs, transport_size(transport), purpose, err);
    if (!collective_agree(transport, ok, err)) {
        return false;
    }
    warm_up_libraries(s->kernels);
    s->base_bytes = session_resident_bytes();
    return true;
}

bool session_check_memory(const struct session *s, struct error *err)
{
    return collective_agree(s->transport, plan_check_memory(&s->plan, err), err);
}

void session_check_launch(const struct session *s, const char *folder, struct launch_report *report)
{
    struct launch_facts own;
    launch_find(&own);
    own.n_threads = s->n_threads;
    if (!matmul_uses_onednn(s->kernels)) {
        own.onednn_core[0] = '\0'; /* what is not used need not be alike */
    }
    launch_check(report, &s->plan, &own, folder, s->transport);
}

bool session_require_launch(const struct session *s, const char *folder, bool quietly,
                            struct error *err)
{
    const bool is_root = transport_rank(s->transport) == 0;
    struct launch_report *report = heap_take(1, sizeof *report, "the launch check");
    session_check_launch(s, folder, report);
    const bool ok = !is_root || launch_tell(report, quietly ? NULL : s->log, err);
    free(report);
    return collective_agree(s->transport, ok, err);
}

bool session_start(struct session *s, struct error *err)
{
    const int rank = transport_rank(s->transport);
    const bool ok = memory_init(&s->memory, &s->plan, rank, err);
    if (!collective_agree(s->transport, ok, err)) {
        return false;
    }
    const int place = grid_place(&s->plan.grid, rank);
    s->own = &s->plan.ranks[place];
    s->models = heap_take((size_t)s->plan.n_chunks, sizeof *s->models, "the model");
    for (int chunk = 0; chunk < s->plan.n_chunks; chunk++) {
        model_init(&s->models[chunk], &s->plan, plan_stage(&s->plan, place, chunk)->index,
                   &s->memory, s->kernels);
    }
    engine_init(&s->engine, &s->plan, s->models, &s->memory, s->transport);
    const struct run_config *run = &s->config.run;
    const bool never = run->stall_s == 0.0 || run->stall_start_s == 0.0;
    transport_set_deadline(s->transport, never ? 0.0 : fmax(run->stall_s, run->stall_start_s));
    return true;
}

void session_expect_messages(struct session *s)
{
    transport_set_deadline(s->transport, s->config.run.stall_s);
}

void session_finish(struct session *s)
{
    engine_finish(&s->engine);
    for (int chunk = 0; s->models != NULL && chunk < s->plan.n_chunks; chunk++) {
        model_finish(&s->models[chunk]);
    }
    free(s->hosts);
    s->hosts = NULL;
    free(s->models);
    s->models = NULL;
    memory_finish(&s->memory);
    plan_finish(&s->plan);
}

/** Root: the hash of a replica's row from its rank's report. */
static uint64_t row_hash(const struct session *s, int replica, const struct stage *stage,
                         int64_t row)
{
    const unsigned char *records = memory_buffer(&s->memory, BUFFER_REPORTS, 0);
    const int rank = grid_rank(&s->plan.grid, replica, stage->rank);
    const void *record = records + (size_t)rank * memory_slot_bytes(&s->memory, BUFFER_REPORT);
    const uint64_t *of_rank = record;
    return of_rank[stage->param_base + row - stage->first_param];
}

/** How many replicas hold of a row what this one holds. */
static int count_equal(const struct session *s, int replica, const struct stage *stage, int64_t row)
{
    int n = 0;
    for (int other = 0; other < s->plan.grid.n_replicas; other++) {
        n += row_hash(s, other, stage, row) == row_hash(s, replica, stage, row);
    }
    return n;
}

/** Root: whom the fewest agree with, against whom the most do. */
static struct session_difference vote(const struct session *s, const struct stage *stage,
                                      int64_t row)
{
    int odd = 0, other = 0;
    for (int replica = 1; replica < s->plan.grid.n_replicas; replica++) {
        const int n = count_equal(s, replica, stage, row);
        odd = n < count_equal(s, odd, stage, row) ? replica : odd;
        other = n > count_equal(s, other, stage, row) ? replica : other;
    }
    const bool is_outvoted = odd != other;
    for (int replica = 0; !is_outvoted && other == odd; replica++) {
        other = row_hash(s, replica, stage, row) != row_hash(s, odd, stage, row) ? replica : other;
    }
    return (struct session_difference){.is_there = 1,
                                       .row = (int32_t)row,
                                       .odd = grid_rank(&s->plan.grid, odd, stage->rank),
                                       .other = grid_rank(&s->plan.grid, other, stage->rank),
                                       .is_outvoted = is_outvoted};
}

/** Root: the hash of replica 0's weights, and whether the others hold the same. */
static uint64_t combine_hashes(const struct session *s, struct session_difference *difference)
{
    uint64_t hash = 0;
    for (int i = 0; i < s->plan.n_stages; i++) {
        const struct stage *stage = &s->plan.stages[i];
        for (int64_t row = stage->first_param; row < stage->end_param; row++) {
            hash = checkpoint_hash_combine(hash, row_hash(s, 0, stage, row));
            if (!difference->is_there && count_equal(s, 0, stage, row) < s->plan.grid.n_replicas) {
                *difference = vote(s, stage, row);
            }
        }
    }
    return hash;
}

uint64_t session_hash_weights(struct session *s, struct session_difference *difference)
{
    const struct param *rows = s->plan.params.rows;
    uint64_t *hashes = memory_buffer(&s->memory, BUFFER_REPORT, 0);
    for (int chunk = 0; chunk < s->plan.n_chunks; chunk++) {
        const struct stage *stage = s->models[chunk].stage;
        for (int64_t i = stage->first_param; i < stage->end_param; i++) {
            hashes[stage->param_base + i - stage->first_param] =
                rng_hash_floats(model_weight(&s->models[chunk], &rows[i]), rows[i].count);
        }
    }
    collective_gather(s->transport, collective_all(s->transport), 0, hashes,
                      memory_slot_bytes(&s->memory, BUFFER_REPORT),
                      memory_buffer(&s->memory, BUFFER_REPORTS, 0));
    uint64_t hash = 0;
    *difference = (struct session_difference){0};
    if (transport_rank(s->transport) == 0) {
        hash = combine_hashes(s, difference);
    }
    transport_broadcast(s->transport, 0, &hash, sizeof hash);
    transport_broadcast(s->transport, 0, difference, sizeof *difference);
    return hash;
}
