/** The launch check: what every rank sees of its host and of the run, judged before the first step.
 *
 *      launch_find...   each rank looks around           -> struct launch_facts
 *      gathered on rank 0
 *      launch_judge     pure, a function per row         -> struct launch_report
 *      launch_print, launch_tell
 *
 *  Three facts come before all others, since without them ranks cannot even agree on a
 * configuration: that they know of each other, are the same program and were told the same. */
#ifndef ATTNRES_LAUNCH_H
#define ATTNRES_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/log.h>
#include <attnres/plan.h>
#include <attnres/transport.h>

enum {
    LAUNCH_CPUS = 4096,
    LAUNCH_HOST_BYTES = 64,
    LAUNCH_FOUND_BYTES = 512,
    LAUNCH_FIX_BYTES = 2560,
    LAUNCH_ROWS = 16
};

/** What comes first. */
struct launch_start {
    uint64_t binary;    /* hash of the program's file */
    uint64_t arguments; /* hash of the words behind its name */
    int32_t n_tasks;    /* as the launcher's environment says; 0: no launcher */
    char launcher[16];  /* "srun", "mpirun"; "Slurm": an allocation without srun */
};

/** What a thread of OpenMP does while it waits. */
enum launch_waiting { LAUNCH_SPINS_A_WHILE, LAUNCH_SLEEPS, LAUNCH_SPINS };

/** What the run's folder looks like from a rank. */
enum launch_folder {
    LAUNCH_FOLDER_UNTRIED,
    LAUNCH_FOLDER_UNCHOSEN,
    LAUNCH_FOLDER_SEEN,
    LAUNCH_FOLDER_UNSEEN,
    LAUNCH_FOLDER_CLOSED /* rank 0 cannot write there */
};

/** What a control group leaves: of cores, and of memory in bytes. Negative: no limit. */
struct launch_cgroup {
    double cores;
    int64_t memory_bytes;
};

/** One rank's. Bytes are negative where there is no limit. */
struct launch_facts {
    char host[LAUNCH_HOST_BYTES];
    uint64_t processors[LAUNCH_CPUS / 64]; /* that the rank may use: a bit each */
    int32_t n_host_processors;
    int32_t n_threads;
    struct launch_cgroup cgroup;
    int32_t waiting;      /* enum launch_waiting */
    int32_t is_mpi;       /* not ranks inside one process */
    int32_t mpi_yields;   /* MPI's own waits give up the processor */
    char thread_bind[32]; /* OMP_PROC_BIND, GOMP_CPU_AFFINITY ...: NAME=VALUE; empty: none */
    char level[16], blas_core[32], onednn_core[32], blas_version[96];
    int32_t blas_threads; /* that a product takes from inside one of ours */
    int32_t blas_is_serial;
    uint64_t config, plan; /* hashes */
    int64_t planned_bytes; /* by the plan's table; to be taken still */
    int64_t limit_bytes;   /* memory.limit; 0: auto */
    int64_t free_bytes;    /* what the host has available */
    int64_t address_bytes; /* ulimit -v and -d: what is left of them */
    int64_t segment_bytes; /* shared memory that MPI may use for the rank beside others; 0: none */
    int64_t segment_free_bytes; /* where that lies */
    char segment_folder[64];
    int32_t folder; /* enum launch_folder */
    int32_t n_open_files;
    double clock_s; /* just after all ranks had met */
};

enum launch_verdict { LAUNCH_PASS, LAUNCH_WARN, LAUNCH_FAIL };

struct launch_finding {
    const char *name;
    enum launch_verdict verdict;
    bool fails_by_itself; /* train meets it again and says more: launch_tell only warns of it */
    char found[LAUNCH_FOUND_BYTES];
    char fix[LAUNCH_FIX_BYTES]; /* what to do; empty when it passes */
};

/** On rank 0. Zeroed at first. */
struct launch_report {
    struct launch_finding rows[LAUNCH_ROWS];
    int n_rows;
};

/** Append the rows that these facts of all ranks decide. Pure. */
void launch_judge_start(struct launch_report *report, const struct launch_start *starts, int n);
void launch_judge(struct launch_report *report, const struct launch_facts *facts, int n);
enum launch_verdict launch_verdict_of(const struct launch_report *report);

/** Bytes that each rank of the fullest host may plan, were they equal, and how many ranks that host
 * has; 0 where nothing is beyond what its host gives. Pure. */
struct plan_limit launch_memory_limit(const struct launch_facts *facts, int n);

/** The report as a table for people, or as a JSON object. Length like snprintf. */
size_t launch_print(const struct launch_report *report, char *text, size_t capacity);
size_t launch_print_json(const struct launch_report *report, char *text, size_t capacity);
/** Write warnings and a line of summary to the log (may be NULL), and failures to err:
 * ERROR_LAUNCH, false. */
bool launch_tell(const struct launch_report *report, struct log *log, struct error *err);

/** What this process sees of its host; all but what comes of plan, transport and folder. */
void launch_find(struct launch_facts *facts);
/** Processors that this rank may use, no more of them than its control group gives cores. */
int launch_count_processors(void);
/** The same of a control group, from the files below root ("" for this machine's). */
void launch_read_cgroup(struct launch_cgroup *cgroup, const char *root);
/** Whether a signal is ignored, as nohup has HUP: who starts a program so wants it to go on. */
bool launch_ignores(int signal_number);
/** The launcher's environment, by a function like getenv. */
void launch_read_launcher(struct launch_start *start, const char *(*get)(const char *name));

/** Whether a launcher has started no more than this process, of a command that no ranks share: they
 * would all do the same, and write the same files. An allocation of Slurm alone starts none.
 * ERROR_LAUNCH. */
bool launch_require_alone(const char *command, struct error *err);

/** Judge what comes first. arguments: of this rank, argc of them, the program's name first. *report
 * is filled on rank 0. False (ERROR_LAUNCH) if it fails. Collective over all ranks. */
bool launch_check_start(struct launch_report *report, int argc, char *const *arguments,
                        struct transport *t, struct error *err);
/** Gather facts and judge them; the report is appended to on rank 0. folder: rank 0's path of the
 * run's folder, which need not exist; on rank 0, NULL: not needed, "": none is chosen. Collective
 * over all ranks. */
void launch_check(struct launch_report *report, const struct plan *plan, struct launch_facts *own,
                  const char *folder, struct transport *t);

#endif
