/* What a process sees of its host and of its environment. */
#include "launch_internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <attnres/kernels.h>

static int64_t read_kib(const char *path, const char *prefix)
{
    char line[128];
    int64_t kib = 0;
    const bool found = launch_read_line(path, prefix, line, sizeof line) &&
                       sscanf(line + strlen(prefix), "%" SCNd64, &kib) == 1;
    return found ? kib * 1024 : -1;
}

static int64_t left_of_limit(int resource, int64_t used)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return -1;
    }
    return (int64_t)limit.rlim_cur > used ? (int64_t)limit.rlim_cur - used : 0;
}

static void find_memory(struct launch_facts *facts)
{
    const int64_t of_size = left_of_limit(RLIMIT_AS, read_kib("/proc/self/status", "VmSize:"));
    const int64_t of_data = left_of_limit(RLIMIT_DATA, read_kib("/proc/self/status", "VmData:"));
    facts->free_bytes = read_kib("/proc/meminfo", "MemAvailable:");
    facts->address_bytes = of_size < 0 || (of_data >= 0 && of_data < of_size) ? of_data : of_size;
    launch_read_cgroup(&facts->cgroup, "");
}

/** A policy that is set holds; without one a number of spins may be. */
static enum launch_waiting read_waiting(void)
{
    const char *policy = getenv("OMP_WAIT_POLICY"), *spins = getenv("GOMP_SPINCOUNT");
    if (spins != NULL && strcmp(spins, "0") != 0) {
        return LAUNCH_SPINS;
    }
    if (spins == NULL && policy == NULL) {
        return LAUNCH_SPINS_A_WHILE;
    }
    return policy != NULL && strcasecmp(policy, "active") == 0 ? LAUNCH_SPINS : LAUNCH_SLEEPS;
}

static void find_threads(struct launch_facts *facts)
{
    static const char *const BINDING[] = {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    for (int i = 0; i < 3 && facts->thread_bind[0] == '\0'; i++) {
        const char *value = getenv(BINDING[i]);
        if (value != NULL && strcasecmp(value, "false") != 0) {
            snprintf(facts->thread_bind, sizeof facts->thread_bind, "%s=%s", BINDING[i], value);
        }
    }
    facts->waiting = (int32_t)read_waiting();
    facts->n_host_processors = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    int ids[LAUNCH_CPUS];
    const int n = kernels_find_processors(ids, LAUNCH_CPUS);
    for (int i = 0; i < n; i++) {
        if (ids[i] < LAUNCH_CPUS) {
            facts->processors[ids[i] / 64] |= (uint64_t)1 << (ids[i] % 64);
        }
    }
}

static void find_limits(struct launch_facts *facts)
{
    struct rlimit files;
    facts->n_open_files = INT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < INT32_MAX) {
        facts->n_open_files = (int32_t)files.rlim_cur;
    }
}

bool launch_ignores(int signal_number)
{
    struct sigaction action;
    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int launch_count_processors(void)
{
    int ids[LAUNCH_CPUS];
    struct launch_cgroup cgroup;
    const int n = kernels_find_processors(ids, LAUNCH_CPUS);
    launch_read_cgroup(&cgroup, "");
    const int cores = cgroup.cores < 1.0 && cgroup.cores >= 0.0 ? 1 : (int)cgroup.cores;
    return cgroup.cores >= 0.0 && cores < n ? cores : n;
}

void launch_find(struct launch_facts *facts)
{
    *facts = (struct launch_facts){.segment_free_bytes = -1};
    gethostname(facts->host, sizeof facts->host - 1);
    find_threads(facts);
    find_memory(facts);
    find_limits(facts);
    snprintf(facts->blas_core, sizeof facts->blas_core, "%s", kernels_blas_core());
    snprintf(facts->onednn_core, sizeof facts->onednn_core, "%s", kernels_onednn_core());
    snprintf(facts->blas_version, sizeof facts->blas_version, "%s", kernels_blas_version());
    facts->blas_threads = kernels_blas_threads();
    facts->blas_is_serial = kernels_blas_is_serial();
    snprintf(facts->level, sizeof facts->level, "%s",
             kernels_select(kernels_level_count() - 1)->level);
}

static bool read_count(const char *text, int32_t *count)
{
    char *end = NULL;
    const long number = text != NULL ? strtol(text, &end, 10) : 0;
    const bool ok = text != NULL && end != text && *end == '\0' && number > 0 && number < INT32_MAX;
    *count = ok ? (int32_t)number : *count;
    return ok;
}

/** Innermost first: mpirun inside an allocation, srun there, the allocation alone. */
void launch_read_launcher(struct launch_start *start, const char *(*get)(const char *name))
{
    static const struct {
        const char *variable, *launcher;
    } ROWS[] = {{"OMPI_COMM_WORLD_SIZE", "mpirun"},
                {"PMI_SIZE", "mpiexec"},
                {"SLURM_STEP_NUM_TASKS", "srun"},
                {"SLURM_NTASKS", "Slurm"}};
    start->n_tasks = 0;
    start->launcher[0] = '\0';
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (read_count(get(ROWS[i].variable), &start->n_tasks)) {
            snprintf(start->launcher, sizeof start->launcher, "%s", ROWS[i].launcher);
            return;
        }
    }
}
