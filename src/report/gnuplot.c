/* The one door to gnuplot: a process that runs a script in the report's folder. */
#include "report_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_FOUND = 127 };

/** In the child: without the user's own settings, which could change anything. */
static void become_gnuplot(const char *folder, const char *script, const char *log)
{
    const int in = open("/dev/null", O_RDONLY);
    if (folder != NULL && chdir(folder) != 0) {
        _Exit(NOT_FOUND);
    }
    const int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
    if (in < 0 || out < 0) {
        _Exit(NOT_FOUND);
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execlp("gnuplot", "gnuplot", "-d", script, (char *)NULL);
    _Exit(NOT_FOUND);
}

/** Its exit code; -1 if it did not end by itself. */
static int run(const char *folder, const char *script, const char *log)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        become_gnuplot(folder, script, log);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool report_find_gnuplot(void)
{
    return run(NULL, "--version", "/dev/null") == 0;
}

bool report_run_gnuplot(const char *out, const char *name, struct error *err)
{
    char script[REPORT_NAME_BYTES + 8], log[REPORT_NAME_BYTES + 8];
    snprintf(script, sizeof script, "%s.gp", name);
    snprintf(log, sizeof log, "%s.log", name);
    if (run(out, script, log) != 0) {
        return error_set(err, ERROR_IO, "gnuplot failed: %s/%s says why", out, log);
    }
    char path[FILE_PATH_BYTES];
    return file_join(path, out, log, err) && file_remove(path, err);
}
