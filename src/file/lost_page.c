/* SIGBUS: a mapped page that cannot be had. The handler finds the file in /proc/self/maps, so that
 * nobody keeps a table of mappings, and calls nothing that may not be called there. */
#include <attnres/file.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 8192 };

/** The next line, cut to what fits; false at the end. */
static bool read_line(char line[LINE_BYTES], int fd)
{
    size_t length = 0;
    char c = '\0';
    while (read(fd, &c, 1) == 1 && c != '\n') {
        if (length < LINE_BYTES - 1) {
            line[length++] = c;
        }
    }
    line[length] = '\0';
    return c == '\n';
}

static uintptr_t take_hex(const char **at)
{
    static const char DIGITS[] = "0123456789abcdef";
    uintptr_t value = 0;
    const char *digit = NULL;
    while (**at != '\0' && (digit = strchr(DIGITS, **at)) != NULL) {
        value = value << 4 | (uintptr_t)(digit - DIGITS);
        (*at)++;
    }
    return value;
}

/** "begin-end rights offset device inode path": the path, if a file is mapped at the address. */
static const char *find_path(const char *line, uintptr_t address)
{
    const uintptr_t begin = take_hex(&line);
    line++;
    const uintptr_t end = take_hex(&line);
    return begin <= address && address < end ? strchr(line, '/') : NULL;
}

/** In one piece, for other ranks may speak at the same time. */
static void say(const char *path)
{
    char message[LINE_BYTES + 256];
    char *end = stpcpy(message, "attnres: ");
    end = stpcpy(end, path);
    end = stpcpy(end, ": cannot be read: it was cut short while it was in use, or its file system "
                      "fails or is full; put that right and start again (a run: with --resume)\n");
    const ssize_t written = write(STDERR_FILENO, message, (size_t)(end - message));
    (void)written; /* nobody is left to tell */
}

/** What somebody has sent, or is of no file, ends the process as it would have without us. */
static void explain(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    char line[LINE_BYTES];
    const int fd = info->si_code > 0 ? open("/proc/self/maps", O_RDONLY | O_CLOEXEC) : -1;
    while (fd >= 0 && read_line(line, fd)) {
        const char *path = find_path(line, (uintptr_t)info->si_addr);
        if (path != NULL) {
            say(path);
            _exit(ERROR_IO);
        }
    }
    raise(signal_number);
}

void file_end_on_lost_page(void)
{
    struct sigaction action = {.sa_sigaction = explain, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
