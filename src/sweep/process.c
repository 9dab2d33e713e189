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

static const int ASKING[] = {SIGINT, SIGTERM, SIGUSR1};
enum { N_ASKING = sizeof ASKING / sizeof ASKING[0] };

void sweep_handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_ASKING; i++) {
        sigaction(ASKING[i], &action, NULL);
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

/** As even a share as there is, of one processor at least. */
static void choose_processors(cpu_set_t *set, const struct sweep_share *share)
{
    const int first = share->n_processors * share->job / share->n_jobs,
              end = share->n_processors * (share->job + 1) / share->n_jobs;
    CPU_ZERO(set);
    CPU_SET(share->processors[first], set);
    for (int i = first + 1; i < end; i++) {
        CPU_SET(share->processors[i], set);
    }
}

/** In the child, between fork and exec; returns if that cannot be done. A process group of its own
 * keeps Ctrl-C from it: mpirun would kill its ranks on that. If the sweep dies it is asked to save
 * and stop. */
static void become(const char *const *command, int output, const cpu_set_t *processors,
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
        sched_setaffinity(0, sizeof *processors, processors) == 0) {
        execvp(command[0], (char *const *)command);
    }
    dprintf(STDERR_FILENO, "attnres: %s: %s\n", command[0], strerror(errno));
}

bool sweep_start_process(pid_t *pid, const char *const *command, const char *dir,
                         const struct sweep_share *share, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_writer output = {.fd = -1};
    cpu_set_t processors;
    sigset_t signals; /* held back, so that none is lost on a child that still has our handler */
    if (!file_make_folders(dir, err) || !file_join(path, dir, "output.txt", err) ||
        !file_writer_append(&output, path, err)) {
        return false;
    }
    choose_processors(&processors, share);
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
