/* The rows of the check, each a pure function of what all ranks saw. */
#include "launch_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <attnres/text.h>

enum {
    NAMED_RANKS = 8,
    SPARE_FILES = 64 /* descriptors beside one per rank: data, checkpoints, MPI's own */
};

static const double MOST_SKEW_S = 1.0;

void finding_set(struct launch_finding *f, enum launch_verdict verdict, const char *format, ...)
{
    va_list arguments;
    f->verdict = verdict;
    f->fix[0] = '\0'; /* that of an earlier rank's */
    va_start(arguments, format);
    vsnprintf(f->found, sizeof f->found, format, arguments);
    va_end(arguments);
}

void finding_advise(struct launch_finding *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->fix, sizeof f->fix, format, arguments);
    va_end(arguments);
}

int launch_first_on_host(const struct launch_facts *facts, int rank)
{
    int first = 0;
    while (strcmp(facts[first].host, facts[rank].host) != 0) {
        first++;
    }
    return first;
}

int launch_count_on_host(const struct launch_facts *facts, int n, int rank)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        count += strcmp(facts[i].host, facts[rank].host) == 0;
    }
    return count;
}

/** Ranks that a row concerns: counted, and the first of them named. */
struct named {
    struct text text;
    char bytes[160];
    int n;
};

static void name_rank(struct named *named, int rank)
{
    named->text.bytes = named->bytes;
    named->text.capacity = sizeof named->bytes;
    if (named->n < NAMED_RANKS) {
        text_add(&named->text, "%s%d", named->n > 0 ? ", " : "", rank);
    } else if (named->n == NAMED_RANKS) {
        text_add(&named->text, " ...");
    }
    named->n++;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static void judge_launcher(struct launch_finding *f, const struct launch_start *starts, int n)
{
    const struct launch_start *s = &starts[0];
    const bool is_srun = strcmp(s->launcher, "srun") == 0;
    if (s->n_tasks == 0) {
        finding_set(f, LAUNCH_PASS, "%d rank%s, no launcher", n, plural(n));
    } else if (n > 1 || s->n_tasks == 1) {
        finding_set(f, LAUNCH_PASS, "%d rank%s, started by %s", n, plural(n), s->launcher);
    } else if (strcmp(s->launcher, "Slurm") == 0) {
        finding_set(f, LAUNCH_WARN, "one rank, in an allocation of %d tasks", s->n_tasks);
        finding_advise(f, "start it with srun --mpi=pmix attnres ..., or mpirun attnres ...");
    } else {
        finding_set(f, LAUNCH_FAIL,
                    "%s started %d tasks, and this is one rank of one: the tasks know nothing of "
                    "each other",
                    s->launcher, s->n_tasks);
        finding_advise(f, is_srun
                              ? "srun --mpi=pmix attnres ... (srun --mpi=list must list pmix; on "
                                "Debian its plugin loads libpmix.so: apt-get install libpmix-dev "
                                "on every node), or mpirun attnres ... inside the allocation"
                              : "start it with the mpirun of the MPI that it was built with (ldd "
                                "$(command -v attnres) | grep libmpi)");
    }
}

static void judge_arguments(struct launch_finding *f, const struct launch_start *starts, int n)
{
    struct named others = {.n = 0};
    for (int i = 1; i < n; i++) {
        if (starts[i].arguments != starts[0].arguments) {
            name_rank(&others, i);
        }
    }
    if (others.n == 0) {
        finding_set(f, LAUNCH_PASS, "the same on every rank");
        return;
    }
    finding_set(f, LAUNCH_FAIL, "not those of rank 0 on rank%s %s", plural(others.n), others.bytes);
    finding_advise(f, "start every rank with the same command line: mpirun -n %d attnres ...", n);
}

static void judge_binary(struct launch_finding *f, const struct launch_start *starts, int n)
{
    struct named others = {.n = 0}, unread = {.n = 0};
    for (int i = 0; i < n; i++) {
        if (starts[i].binary == 0) {
            name_rank(&unread, i);
        } else if (starts[0].binary != 0 && starts[i].binary != starts[0].binary) {
            name_rank(&others, i);
        }
    }
    if (others.n == 0 && unread.n > 0) {
        finding_set(f, LAUNCH_WARN, "rank%s %s cannot read the program's file to compare it",
                    plural(unread.n), unread.bytes);
        finding_advise(f, "mount /proc, and see that limits (ulimit -a) leave it room");
        return;
    }
    if (others.n == 0) {
        finding_set(f, LAUNCH_PASS, "%016" PRIx64 " on every rank", starts[0].binary);
        return;
    }
    finding_set(f, LAUNCH_FAIL, "not rank 0's program (%016" PRIx64 ") on rank%s %s",
                starts[0].binary, plural(others.n), others.bytes);
    finding_advise(f, "install the same build on every host, or start it from a shared folder");
}

void launch_judge_start(struct launch_report *report, const struct launch_start *starts, int n)
{
    static const struct {
        const char *name;
        void (*judge)(struct launch_finding *, const struct launch_start *, int);
    } ROWS[] = {
        {"launcher", judge_launcher}, {"binary", judge_binary}, {"arguments", judge_arguments}};
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct launch_finding *f = &report->rows[report->n_rows++];
        f->name = ROWS[i].name;
        ROWS[i].judge(f, starts, n);
    }
}

/** Hashes of what all ranks must have alike. */
static void judge_hashes(struct launch_finding *f, const struct launch_facts *facts, int n,
                         uint64_t (*get)(const struct launch_facts *), const char *fix)
{
    struct named others = {.n = 0};
    for (int i = 1; i < n; i++) {
        if (get(&facts[i]) != get(&facts[0])) {
            name_rank(&others, i);
        }
    }
    if (others.n == 0) {
        finding_set(f, LAUNCH_PASS, "%08" PRIx64 " on every rank", get(&facts[0]));
        return;
    }
    finding_set(f, LAUNCH_FAIL, "not rank 0's (%08" PRIx64 ") on rank%s %s", get(&facts[0]),
                plural(others.n), others.bytes);
    finding_advise(f, "%s", fix);
}

static uint64_t config_of(const struct launch_facts *facts)
{
    return facts->config;
}

static uint64_t plan_of(const struct launch_facts *facts)
{
    return facts->plan;
}

static void judge_config(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    judge_hashes(f, facts, n, config_of,
                 "rank 0's was damaged on its way: test the network between these hosts");
}

static void judge_plan(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    judge_hashes(f, facts, n, plan_of,
                 "the hosts compute differently: set pipeline.partition to the list that attnres "
                 "plan prints");
}

/** OpenBLAS and oneDNN choose their code by processor, on each rank by itself: then bits would
 * depend on which stage lies where. */
static void judge_kernels(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    int other_level = 0;
    for (int i = 1; i < n; i++) {
        if (strcmp(facts[i].blas_core, facts[0].blas_core) != 0) {
            finding_set(f, LAUNCH_FAIL,
                        "OpenBLAS takes rank 0's processor for a %s and rank %d's for a %s, whose "
                        "results differ in the last bits",
                        facts[0].blas_core, i, facts[i].blas_core);
            finding_advise(f,
                           "pin the older of the two: mpirun -x OPENBLAS_CORETYPE=%s ..., or =%s",
                           facts[0].blas_core, facts[i].blas_core);
            return;
        }
        if (strcmp(facts[i].onednn_core, facts[0].onednn_core) != 0) {
            finding_set(f, LAUNCH_FAIL,
                        "oneDNN finds \"%s\" on rank 0 and \"%s\" on rank %d, whose results differ "
                        "in the last bits",
                        facts[0].onednn_core, facts[i].onednn_core, i);
            finding_advise(f, "use one build everywhere and pin what all can run: mpirun -x "
                              "ONEDNN_MAX_CPU_ISA=AVX512_CORE ... (with compute.precision=bf16 "
                              "AVX512_CORE_BF16)");
            return;
        }
        other_level = strcmp(facts[i].level, facts[0].level) != 0 ? i : other_level;
    }
    if (other_level == 0) {
        finding_set(f, LAUNCH_PASS, "%s, OpenBLAS for %s", facts[0].level, facts[0].blas_core);
        return;
    }
    finding_set(f, LAUNCH_WARN, "rank 0 can run %s, rank %d %s: all run the lowest", facts[0].level,
                other_level, facts[other_level].level);
    finding_advise(f, "for full speed take hosts of one kind");
}

static void judge_blas(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    for (int i = 0; i < n; i++) {
        if (facts[i].blas_threads != 1) {
            finding_set(f, LAUNCH_FAIL,
                        "rank %d: OpenBLAS starts %d threads of its own inside each of ours", i,
                        facts[i].blas_threads);
            finding_advise(f, "mpirun -x OPENBLAS_NUM_THREADS=1 ..., or install a plain OpenBLAS "
                              "(Debian: libopenblas0-pthread)");
            return;
        }
        if (strcmp(facts[i].blas_version, facts[0].blas_version) != 0) {
            finding_set(f, LAUNCH_WARN,
                        "rank 0 has \"%s\", rank %d \"%s\": the last bits may depend on which "
                        "stage lies where",
                        facts[0].blas_version, i, facts[i].blas_version);
            finding_advise(f, "install the same OpenBLAS on every host");
            return;
        }
        if (facts[i].blas_is_serial && facts[i].n_threads > 1) {
            finding_set(f, LAUNCH_WARN,
                        "rank %d calls a serial OpenBLAS from %d threads, which only some builds "
                        "of it allow",
                        i, facts[i].n_threads);
            finding_advise(f, "apt-get install libopenblas0-pthread, or set compute.threads=1");
            return;
        }
    }
    finding_set(f, LAUNCH_PASS, "%s, one thread a call", facts[0].blas_version);
}

static void judge_folder(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    struct named blind = {.n = 0};
    for (int i = 1; i < n; i++) {
        if (facts[i].folder == LAUNCH_FOLDER_UNSEEN) {
            name_rank(&blind, i);
        }
    }
    f->fails_by_itself = facts[0].folder == LAUNCH_FOLDER_CLOSED;
    if (f->fails_by_itself) {
        finding_set(f, LAUNCH_FAIL, "rank 0 cannot write there");
        finding_advise(f, "choose another folder: run.dir=PATH");
    } else if (blind.n > 0) {
        finding_set(f, LAUNCH_FAIL, "what rank 0 writes there is not seen by rank%s %s",
                    plural(blind.n), blind.bytes);
        finding_advise(f, "run.dir=PATH on a file system that all hosts mount");
    } else if (facts[0].folder == LAUNCH_FOLDER_UNCHOSEN) {
        finding_set(f, LAUNCH_WARN, "none is chosen, so none was looked at");
        finding_advise(f, "name a configuration file or run.dir=PATH: train refuses to start "
                          "without");
    } else if (facts[0].folder == LAUNCH_FOLDER_SEEN) {
        finding_set(f, LAUNCH_PASS, "seen by every rank");
    } else {
        finding_set(f, LAUNCH_PASS, "not needed");
    }
}

/** Ranks of one host read one clock, but not at once: the earliest reading is the nearest. */
static double clock_of_host(const struct launch_facts *facts, int n, int rank)
{
    double earliest_s = facts[rank].clock_s;
    for (int i = 0; i < n; i++) {
        if (strcmp(facts[i].host, facts[rank].host) == 0) {
            earliest_s = fmin(earliest_s, facts[i].clock_s);
        }
    }
    return earliest_s;
}

static void judge_clocks(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    const double here_s = clock_of_host(facts, n, 0);
    double worst_s = 0.0;
    int worst = 0;
    for (int i = 1; i < n; i++) {
        if (launch_first_on_host(facts, i) == i) {
            const double skew_s = clock_of_host(facts, n, i) - here_s;
            worst = fabs(skew_s) > fabs(worst_s) ? i : worst;
            worst_s = worst == i ? skew_s : worst_s;
        }
    }
    if (fabs(worst_s) <= MOST_SKEW_S) {
        finding_set(f, LAUNCH_PASS, "within a second");
        return;
    }
    finding_set(f, LAUNCH_WARN, "that of %s is %.1f s %s rank 0's: times of logs do not compare",
                facts[worst].host, fabs(worst_s), worst_s > 0.0 ? "ahead of" : "behind");
    finding_advise(f, "on that host: chronyc makestep, or systemctl restart systemd-timesyncd");
}

static void judge_open_files(struct launch_finding *f, const struct launch_facts *facts, int n)
{
    int fewest = 0;
    for (int i = 1; i < n; i++) {
        fewest = facts[i].n_open_files < facts[fewest].n_open_files ? i : fewest;
    }
    if (facts[fewest].n_open_files >= n + SPARE_FILES) {
        finding_set(f, LAUNCH_PASS, "%d allowed", facts[fewest].n_open_files);
        return;
    }
    finding_set(f, LAUNCH_WARN, "rank %d may open %d; %d ranks may take %d", fewest,
                facts[fewest].n_open_files, n, n + SPARE_FILES);
    finding_advise(f, "ulimit -n %d", n + SPARE_FILES);
}

void launch_judge(struct launch_report *report, const struct launch_facts *facts, int n)
{
    static const struct {
        const char *name;
        void (*judge)(struct launch_finding *, const struct launch_facts *, int);
    } ROWS[] = {
        {"configuration", judge_config},   {"plan", judge_plan},
        {"kernels", judge_kernels},        {"BLAS", judge_blas},
        {"processors", judge_processors},  {"CPU quota", judge_quota},
        {"waiting", judge_waiting},        {"memory", judge_memory},
        {"shared memory", judge_segments}, {"run folder", judge_folder},
        {"clocks", judge_clocks},          {"open files", judge_open_files},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct launch_finding *f = &report->rows[report->n_rows++];
        f->name = ROWS[i].name;
        ROWS[i].judge(f, facts, n);
    }
}

enum launch_verdict launch_verdict_of(const struct launch_report *report)
{
    enum launch_verdict worst = LAUNCH_PASS;
    for (int i = 0; i < report->n_rows; i++) {
        worst = report->rows[i].verdict > worst ? report->rows[i].verdict : worst;
    }
    return worst;
}
