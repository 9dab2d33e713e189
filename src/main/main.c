#include "command.h"

#include <stdlib.h>
#include <unistd.h>

#include <attnres/file.h>

/** OpenBLAS begins as many threads as there are processors, which take 128 MiB of address space
 * each and, where a limit refuses them, ask for ever: the program would not end. Ours are OpenMP's.
 * False if somebody has chosen, perhaps we. */
static bool choose_blas_threads(void)
{
    return getenv("OPENBLAS_NUM_THREADS") == NULL && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0;
}

/** Threads that wait for each other shall sleep, not spin: a spinning one keeps the processor from
 * whoever it waits for as soon as anything else runs there. */
static bool choose_waiting(void)
{
    static const char *const CHOICES[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
    for (int i = 0; i < 3; i++) {
        if (getenv(CHOICES[i]) != NULL) {
            return false;
        }
    }
    return setenv("OMP_WAIT_POLICY", "passive", 1) == 0 && setenv("KMP_BLOCKTIME", "0", 1) == 0;
}

/** These libraries read their environment when they are loaded, before any of our code runs, so the
 * program starts itself anew, once. */
static void choose_environment(char **argv)
{
    char path[FILE_PATH_BYTES] = "";
    const bool chose_threads = choose_blas_threads(), chose_waiting = choose_waiting();
    if ((chose_threads || chose_waiting) && readlink("/proc/self/exe", path, sizeof path - 1) > 0) {
        execv(path, argv);
    }
    if (chose_threads) { /* it goes on as it is, for the launch check to see */
        unsetenv("OPENBLAS_NUM_THREADS");
    }
    if (chose_waiting) {
        unsetenv("OMP_WAIT_POLICY");
        unsetenv("KMP_BLOCKTIME");
    }
}

int main(int argc, char **argv)
{
    static const struct command *const COMMANDS[] = {
        &train_command,      &eval_command, &generate_command, &inspect_command,
        &checkpoint_command, &plan_command, &doctor_command,   &data_command,
        &config_command,     &fit_command,  &sweep_command,    &report_command,
        &bench_command,      NULL,
    };
    choose_environment(argv);
    return command_main(COMMANDS, argc, argv);
}
