/* What the control groups of this process leave of cores and memory: version 2, version 1, or both
 * side by side. A limit of any group above it holds too. */
#include <attnres/launch.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <attnres/file.h>

#include "launch_internal.h"

/* Version 1 says "no limit" by a number near 2^63, rounded to pages. */
static const int64_t UNLIMITED_BYTES = (int64_t)1 << 60;

bool launch_read_line(const char *path, const char *prefix, char *line, int capacity)
{
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file != NULL && !found && fgets(line, capacity, file) != NULL) {
        found = strncmp(line, prefix, strlen(prefix)) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    line[found ? strcspn(line, "\n") : 0] = '\0';
    return found;
}

/** "PREFIX NUMBER" of a file; false where there is no such line, or no number ("max"). */
static bool read_number(const char *folder, const char *name, const char *prefix, int64_t *number)
{
    char path[FILE_PATH_BYTES], line[128];
    return file_join(path, folder, name, NULL) &&
           launch_read_line(path, prefix, line, sizeof line) &&
           sscanf(line + strlen(prefix), "%" SCNd64, number) == 1;
}

static void lower_memory(struct launch_cgroup *cgroup, int64_t limit, int64_t used, int64_t cached)
{
    if (limit >= UNLIMITED_BYTES) {
        return;
    }
    /* What was read from files is given back when it is needed. */
    const int64_t held = used > cached ? used - cached : 0, left = limit > held ? limit - held : 0;
    if (cgroup->memory_bytes < 0 || left < cgroup->memory_bytes) {
        cgroup->memory_bytes = left;
    }
}

static void lower_cores(struct launch_cgroup *cgroup, int64_t quota, int64_t period)
{
    const double cores = period > 0 ? (double)quota / (double)period : -1.0;
    if (quota > 0 && cores > 0.0 && (cgroup->cores < 0.0 || cores < cgroup->cores)) {
        cgroup->cores = cores;
    }
}

static void read_version_1(struct launch_cgroup *cgroup, const char *folder)
{
    int64_t limit = 0, used = 0, cached = 0, quota = 0, period = 0;
    if (read_number(folder, "memory.limit_in_bytes", "", &limit) &&
        read_number(folder, "memory.usage_in_bytes", "", &used)) {
        read_number(folder, "memory.stat", "total_inactive_file ", &cached);
        lower_memory(cgroup, limit, used, cached);
    }
    if (read_number(folder, "cpu.cfs_quota_us", "", &quota) &&
        read_number(folder, "cpu.cfs_period_us", "", &period)) {
        lower_cores(cgroup, quota, period);
    }
}

static void read_version_2(struct launch_cgroup *cgroup, const char *folder)
{
    char path[FILE_PATH_BYTES], line[128];
    int64_t limit = 0, used = 0, cached = 0, quota = 0, period = 0;
    if (read_number(folder, "memory.max", "", &limit) &&
        read_number(folder, "memory.current", "", &used)) {
        read_number(folder, "memory.stat", "inactive_file ", &cached);
        lower_memory(cgroup, limit, used, cached);
    }
    if (file_join(path, folder, "cpu.max", NULL) && launch_read_line(path, "", line, sizeof line) &&
        sscanf(line, "%" SCNd64 " %" SCNd64, &quota, &period) == 2) {
        lower_cores(cgroup, quota, period);
    }
}

/** A group and all above it. Inside a container the path may be one that only the host has: then
 * the top is what is seen of it. */
static void climb(struct launch_cgroup *cgroup, const char *top, const char *group,
                  void (*read)(struct launch_cgroup *, const char *))
{
    char path[2 * FILE_PATH_BYTES];
    snprintf(path, sizeof path, "%s%s", top, group);
    while (strlen(path) >= strlen(top)) {
        if (strlen(path) < FILE_PATH_BYTES) {
            read(cgroup, path);
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

/** One line of /proc/self/cgroup: NUMBER:CONTROLLERS:GROUP. */
static void read_hierarchy(struct launch_cgroup *cgroup, const char *root, char *line)
{
    char top[FILE_PATH_BYTES];
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL) {
        return;
    }
    *group++ = '\0';
    controllers++;
    if (controllers[0] == '\0') {
        snprintf(top, sizeof top, "%.512s/sys/fs/cgroup", root);
        climb(cgroup, top, group, read_version_2);
        snprintf(top, sizeof top, "%.512s/sys/fs/cgroup/unified", root);
        climb(cgroup, top, group, read_version_2);
        return;
    }
    /* The hierarchy's folder, or where that lists its controllers in another order, the links named
     * for each of them. */
    char *rest = NULL;
    if (strncmp(controllers, "cpu,", 4) == 0) {
        snprintf(top, sizeof top, "%.512s/sys/fs/cgroup/%.64s", root, controllers);
        climb(cgroup, top, group, read_version_1);
    }
    for (char *name = strtok_r(controllers, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        if (strcmp(name, "memory") == 0 || strcmp(name, "cpu") == 0) {
            snprintf(top, sizeof top, "%.512s/sys/fs/cgroup/%.64s", root, name);
            climb(cgroup, top, group, read_version_1);
        }
    }
}

void launch_read_cgroup(struct launch_cgroup *cgroup, const char *root)
{
    char path[FILE_PATH_BYTES], line[FILE_PATH_BYTES];
    *cgroup = (struct launch_cgroup){.cores = -1.0, .memory_bytes = -1};
    snprintf(path, sizeof path, "%.512s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        read_hierarchy(cgroup, root, line);
    }
    if (file != NULL) {
        fclose(file);
    }
}
