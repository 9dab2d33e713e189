/* The check on all ranks: look, gather, judge. */
#include "launch_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <attnres/clock.h>
#include <attnres/collective.h>
#include <attnres/file.h>
#include <attnres/heap.h>
#include <attnres/zip.h>

static const double FOLDER_S = 5.0, FOLDER_PAUSE_S = 0.05;

/** CRC-32 and length of the program's file; 0 where it cannot be read. */
static uint64_t hash_binary(void)
{
    struct file_map map;
    if (!file_map_init(&map, "/proc/self/exe", NULL)) {
        return 0;
    }
    const uint64_t hash = (uint64_t)map.length << 32 | zip_crc32(0, map.bytes, map.length);
    file_map_finish(&map);
    return hash;
}

/** Of the words behind the program's name, which may differ in its folder. */
static uint64_t hash_arguments(int argc, char *const *arguments)
{
    uint32_t crc = 0;
    for (int i = 1; i < argc; i++) {
        crc = zip_crc32(crc, arguments[i], strlen(arguments[i]) + 1);
    }
    return crc;
}

static const char *environment(const char *name)
{
    return getenv(name);
}

bool launch_require_alone(const char *command, struct error *err)
{
    struct launch_start start;
    launch_read_launcher(&start, environment);
    return start.n_tasks <= 1 || strcmp(start.launcher, "Slurm") == 0 ||
           error_set(err, ERROR_LAUNCH,
                     "%s takes one process, and %s has started %d: start it without %s", command,
                     start.launcher, start.n_tasks, start.launcher);
}

bool launch_check_start(struct launch_report *report, int argc, char *const *arguments,
                        struct transport *t, struct error *err)
{
    const int n = transport_size(t);
    struct launch_start own = {.binary = hash_binary(),
                               .arguments = hash_arguments(argc, arguments)};
    launch_read_launcher(&own, environment);
    struct launch_start *starts = heap_take((size_t)n, sizeof *starts, "the ranks' launch facts");
    collective_gather(t, collective_all(t), 0, &own, sizeof own, starts);
    bool ok = true;
    if (transport_rank(t) == 0) {
        launch_judge_start(report, starts, n);
        ok = launch_tell(report, NULL, err);
    }
    free(starts);
    return collective_agree(t, ok, err);
}

/** The folder, or what is there above it: a folder, or a file in the way. */
static void nearest_there(char *out, const char *path)
{
    snprintf(out, FILE_PATH_BYTES, "%s", path);
    while (!file_exists(out)) {
        char *slash = strrchr(out, '/');
        if (slash == NULL || slash == out) {
            snprintf(out, FILE_PATH_BYTES, "%s", slash == NULL ? "." : "/");
            return;
        }
        *slash = '\0';
    }
}

/** A name that no other host can have asked for yet, and remember as absent, nor another run here:
 * ranks may be threads of one process. */
static bool write_mark(char *path, const char *folder)
{
    char name[64], parent[FILE_PATH_BYTES];
    nearest_there(parent, folder);
    snprintf(name, sizeof name, ".attnres-launch-%ld-%.0f", (long)gettid(), clock_wall_s() * 1e6);
    struct file_writer file = {.fd = -1};
    if (!file_join(path, parent, name, NULL) || !file_writer_create(&file, path, NULL)) {
        return false;
    }
    const bool is_written = file_writer_write(&file, name, strlen(name), NULL);
    if (file_writer_close(&file, NULL) && is_written) {
        return true;
    }
    file_remove(path, NULL);
    return false;
}

/** A network's file system may show a new file late. */
static bool sees_mark(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    for (double waited_s = 0.0; waited_s <= FOLDER_S; waited_s += FOLDER_PAUSE_S) {
        if (file_length(path) == (int64_t)strlen(name)) {
            return true;
        }
        clock_sleep_s(FOLDER_PAUSE_S);
    }
    return false;
}

/** Rank 0 writes a mark, every rank looks for it. The other ranks look from their own working
 * folder, as they will when they write there. */
static enum launch_folder try_folder(const char *folder, struct transport *t)
{
    char path[FILE_PATH_BYTES] = "";
    const bool is_root = transport_rank(t) == 0;
    enum launch_folder found = LAUNCH_FOLDER_UNTRIED;
    if (is_root && folder != NULL && folder[0] == '\0') {
        found = LAUNCH_FOLDER_UNCHOSEN;
    } else if (is_root && folder != NULL && !write_mark(path, folder)) {
        found = LAUNCH_FOLDER_CLOSED;
        path[0] = '\0';
    }
    transport_broadcast(t, 0, path, sizeof path);
    if (path[0] != '\0') {
        found = sees_mark(path) ? LAUNCH_FOLDER_SEEN : LAUNCH_FOLDER_UNSEEN;
    }
    transport_barrier(t);
    if (is_root && path[0] != '\0') {
        file_remove(path, NULL);
    }
    return found;
}

static void find_mpi(struct launch_facts *facts, const struct transport *t)
{
    const struct transport_habits habits = transport_habits(t);
    struct statvfs fs;
    facts->is_mpi = habits.is_mpi;
    facts->mpi_yields = habits.yields;
    facts->segment_bytes = habits.segment_bytes;
    snprintf(facts->segment_folder, sizeof facts->segment_folder, "%s", habits.segment_folder);
    if (habits.segment_bytes > 0 && statvfs(habits.segment_folder, &fs) == 0) {
        facts->segment_free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    }
}

static void find_plan(struct launch_facts *facts, const struct plan *plan, int rank)
{
    struct buffer_table table;
    plan_lay_out(&table, plan, rank);
    facts->planned_bytes = table.overflowed ? INT64_MAX / 4096 : (int64_t)table.total_bytes;
    facts->limit_bytes = plan->config->memory.limit_bytes;
    facts->config = zip_crc32(0, plan->config, sizeof *plan->config);
    facts->plan = plan_hash(plan);
}

/** What would fit where the plan does not: said under the row of the memory. */
static void advise_memory(struct launch_report *report, const struct plan *plan,
                          const struct launch_facts *facts, int n)
{
    struct launch_finding *f = report->rows;
    while (f < report->rows + report->n_rows && strcmp(f->name, "memory") != 0) {
        f++;
    }
    const struct plan_limit of_host = launch_memory_limit(facts, n);
    const struct plan_limit own = {.bytes = plan->config->memory.limit_bytes};
    const struct plan_limit *limit = of_host.ranks_per_host > 0 ? &of_host : &own;
    if (f->verdict == LAUNCH_FAIL && f->fix[0] == '\0') {
        plan_advise(plan, limit, f->fix, sizeof f->fix);
    }
}

void launch_check(struct launch_report *report, const struct plan *plan, struct launch_facts *own,
                  const char *folder, struct transport *t)
{
    const int n = transport_size(t), rank = transport_rank(t);
    struct launch_facts *facts =
        rank == 0 ? heap_take((size_t)n, sizeof *facts, "the ranks' launch facts") : NULL;
    find_mpi(own, t);
    find_plan(own, plan, rank);
    own->folder = (int32_t)try_folder(folder, t);
    transport_barrier(t);
    own->clock_s = clock_wall_s();
    collective_gather(t, collective_all(t), 0, own, sizeof *own, facts);
    if (rank == 0) {
        launch_judge(report, facts, n);
        advise_memory(report, plan, facts, n);
    }
    free(facts);
}
