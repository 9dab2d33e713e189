#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <attnres/file.h>

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

bool folder_leave(const char *path)
{
    return chdir("/") == 0 && file_remove_tree(path, NULL);
}
