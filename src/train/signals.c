/* Signals set a flag and nothing else; the loop looks at it between steps. A handler has no
 * argument to carry state, so this flag is the program's one mutable global. */
#include "train_internal.h"

#include <signal.h>

static volatile sig_atomic_t arrived;

static void note(int signal_number)
{
    (void)signal_number;
    arrived = 1;
}

void train_install_signals(void)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    /* A file at its size limit is a failed write, like a full disk, not the end of the process. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, NULL);
}

bool train_signal_arrived(void)
{
    return arrived != 0;
}
