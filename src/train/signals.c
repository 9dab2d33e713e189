/* A thread of its own takes the signals; all threads that compute have them blocked, for oneDNN's
 * kernels use the stack pointer as one more register, and the frame of a handler would overwrite
 * what it points to. What arrives is counted and nothing else: the loop looks between steps, and
 * the watch now and then. The counts outlive every caller and are the program's mutable globals.
 */
#include "train_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include <attnres/launch.h>

enum { ASKS_TO_STOP, ASKS_FOR_EVENTS, ASKS };

static atomic_int arrived[ASKS];

static void note(int signal_number)
{
    atomic_fetch_add(&arrived[signal_number == SIGUSR2 ? ASKS_FOR_EVENTS : ASKS_TO_STOP], 1);
}

/** Those that are held back until somebody listens. */
static void fill_held(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGTERM);
}

void train_hold_signals(void)
{
    sigset_t set;
    fill_held(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void fill_taken(sigset_t *set)
{
    fill_held(set);
    sigaddset(set, SIGINT);
    if (!launch_ignores(SIGHUP)) {
        sigaddset(set, SIGHUP);
    }
}

/** Who presses Ctrl-C again does not want to wait, for a step or for data that is read. */
static void end_at_the_next(int signal_number)
{
    sigset_t set;
    signal(signal_number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *take_signals(void *user)
{
    (void)user;
    sigset_t set;
    fill_taken(&set);
    for (;;) {
        int signal_number = 0;
        sigwait(&set, &signal_number);
        note(signal_number);
        if (signal_number == SIGINT) {
            end_at_the_next(SIGINT);
            sigdelset(&set, SIGINT);
        }
    }
    return NULL;
}

/** OpenBLAS has started a thread before main, which nobody has told to block anything: a signal
 * that is given to it is counted there. */
static void handle(int signal_number, int flags)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | flags};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

bool train_install_signals(struct error *err)
{
    sigset_t set;
    fill_taken(&set);
    if (sigismember(&set, SIGHUP) == 1) {
        handle(SIGHUP, 0);
    }
    handle(SIGUSR1, 0);
    handle(SIGUSR2, 0);
    handle(SIGTERM, 0);
    handle(SIGINT, (int)SA_RESETHAND);
    /* A file at its size limit is a failed write, like a full disk, and a reader that has gone away
     * no reason to lose what was computed: neither is the end of the process. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    const int failed = pthread_create(&thread, NULL, take_signals, NULL);
    if (failed != 0) {
        return error_set(err, ERROR_CREATE, "cannot start the thread that listens to signals: %s",
                         strerror(failed));
    }
    pthread_detach(thread);
    return true;
}

bool train_signal_arrived(void)
{
    return atomic_load(&arrived[ASKS_TO_STOP]) != 0;
}

int train_count_requests(void)
{
    return atomic_load(&arrived[ASKS_FOR_EVENTS]);
}
