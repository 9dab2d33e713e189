/* Signals are counted and nothing else; the loop looks at the counts between steps, and the watch
 * now and then. A handler has no argument to carry state, and its stack outlives every caller, so
 * these two are the program's mutable globals. */
#include "train_internal.h"

#include <signal.h>

enum { ASKS_TO_STOP, ASKS_FOR_EVENTS, ASKS };

static volatile sig_atomic_t arrived[ASKS];

/** Handlers run on a stack of their own: oneDNN's kernels use the stack pointer as one more
 * register, and a handler's frame there would overwrite what it points to. AVX-512 registers alone
 * take 3 KiB of a frame. */
static unsigned char signal_stack[1 << 16];

static void note(int signal_number)
{
    const int asks = signal_number == SIGUSR2 ? ASKS_FOR_EVENTS : ASKS_TO_STOP;
    arrived[asks] = arrived[asks] % 100 + 1; /* never 0 again, and never too large */
}

/** Whether signals that ask for something wait; a second INT must end the program at any time. */
static void set_mask(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR2);
    sigprocmask(how, &set, NULL);
}

void train_hold_signals(void)
{
    set_mask(SIG_BLOCK);
}

static void set_signal_stack(void)
{
    sigaltstack(&(stack_t){.ss_sp = signal_stack, .ss_size = sizeof signal_stack}, NULL);
}

void train_install_signals(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | SA_ONSTACK};
    set_signal_stack();
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    /* Who presses Ctrl-C again does not want to wait, for a step or for data that is read. */
    action.sa_flags |= SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    /* A file at its size limit is a failed write, like a full disk, not the end of the process. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, NULL);
    set_mask(SIG_UNBLOCK);
}

bool train_signal_arrived(void)
{
    return arrived[ASKS_TO_STOP] != 0;
}

int train_count_requests(void)
{
    return arrived[ASKS_FOR_EVENTS];
}
