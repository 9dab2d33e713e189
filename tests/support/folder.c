#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *parent(void)
{
    const char *chosen = getenv("TMPDIR");
    if (chosen != NULL) {
        return chosen;
    }
    return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

bool folder_make(char *path, size_t capacity, const char *name)
{
    const int length = snprintf(path, capacity, "%s/attnres-%s-XXXXXX", parent(), name);
    if (length < 0 || (size_t)length >= capacity || mkdtemp(path) == NULL) {
        perror(path);
        return false;
    }
    return true;
}

bool folder_enter(char *path, size_t capacity, const char *name)
{
    return folder_make(path, capacity, name) && chdir(path) == 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

/* However deep: what a damaged run has set aside is deeper than file_remove_tree goes. */
bool folder_leave(const char *path)
{
    enum { MOST_OPEN = 8 };
    return chdir("/") == 0 && nftw(path, remove_entry, MOST_OPEN, FTW_DEPTH | FTW_PHYS) == 0;
}
