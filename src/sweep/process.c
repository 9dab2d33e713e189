/* A run as a process of its own. */
#include "sweep_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <attnres/launch.h>

static const int ASKING[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
enum { N_ASKING = sizeof ASKING / sizeof ASKING[0] };

void sweep_handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_ASKING; i++) {
        if (ASKING[i] != SIGHUP || !launch_ignores(SIGHUP)) {
            sigaction(ASKING[i], &action, NULL);
        }
    }
}

static void hold_signals(sigset_t *before)
{
    sigset_t asking;
    sigemptyset(&asking);
    for (int i = 0; i < N_ASKING; i++) {
        sigaddset(&asking, ASKING[i]);
    }
    sigprocmask(SIG_BLOCK, &asking, before);
}

/** The processors of a job, as large a set as their ids take. */
struct processors {
    cpu_set_t *set; /* heap; NULL: no memory */
    size_t bytes;
};

/** As even a share as there is, of one processor at least. */
static struct processors choose_processors(const struct sweep_share *share)
{
    const int n_ids = share->processors[share->n_processors - 1] + 1; /* ascending */
    const struct processors chosen = {CPU_ALLOC((size_t)n_ids), CPU_ALLOC_SIZE((size_t)n_ids)};
    const int first = share->n_processors * share->job / share->n_jobs,
              end = share->n_processors * (share->job + 1) / share->n_jobs;
    if (chosen.set != NULL) {
        CPU_ZERO_S(chosen.bytes, chosen.set);
        CPU_SET_S((size_t)share->processors[first], chosen.bytes, chosen.set);
        for (int i = first + 1; i < end; i++) {
            CPU_SET_S((size_t)share->processors[i], chosen.bytes, chosen.set);
        }
    }
    return chosen;
}

/** In the child, between fork and exec; returns if that cannot be done. A process group of its own
 * keeps Ctrl-C from it: mpirun would kill its ranks on that. If the sweep dies it is asked to save
 * and stop. */
static void become(const char *const *command, int output, const struct processors *processors,
                   pid_t parent, const sigset_t *signals)
{
    sweep_handle_signals(SIG_DFL);
    sigprocmask(SIG_SETMASK, signals, NULL);
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent) { /* the sweep died before it could be waited for */
        return;
    }
    if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(output, STDERR_FILENO) >= 0 &&
        sched_setaffinity(0, processors->bytes, processors->set) == 0) {
        execvp(command[0], (char *const *)command);
    }
    dprintf(STDERR_FILENO, "attnres: %s: %s\n", command[0], strerror(errno));
}

bool sweep_start_process(pid_t *pid, const char *const *command, const char *dir,
                         const struct sweep_share *share, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_writer output = {.fd = -1};
    const struct processors processors = choose_processors(share);
    sigset_t signals; /* held back, so that none is lost on a child that still has our handler */
    if (processors.set == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for a process");
    }
    if (!file_make_folders(dir, err) || !file_join(path, dir, "output.txt", err) ||
        !file_writer_append(&output, path, err)) {
        CPU_FREE(processors.set);
        return false;
    }
    hold_signals(&signals);
    const pid_t parent = getpid();
    *pid = fork();
    if (*pid == 0) {
        become(command, output.fd, &processors, parent, &signals);
        _exit(ERROR_LAUNCH);
    }
    const int cause = errno;
    sigprocmask(SIG_SETMASK, &signals, NULL);
    file_writer_close(&output, NULL);
    CPU_FREE(processors.set);
    return *pid > 0 ||
           error_set(err, ERROR_CREATE, "%s: no process for it: %s", dir, strerror(cause));
}

bool sweep_become(const struct sweep *sweep, const struct sweep_options *options, struct error *err)
{
    struct sweep_run run;
    const char *command[SWEEP_COMMAND_WORDS];
    if (!sweep_make_run(&run, sweep, options->only - 1, options, err)) {
        return false;
    }
    sweep_make_command(command, sweep, &run, options);
    execvp(command[0], (char *const *)command);
    return error_set(err, ERROR_LAUNCH, "%s: %s", command[0], strerror(errno));
}
