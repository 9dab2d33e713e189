/* What launch finds: control groups, in files that stand for the machine's; environment, limits. */
#include <attnres/launch.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <cmocka.h>

#include <attnres/file.h>

#include "../support/folder.h"

/** A file below a root that stands for the machine's. */
static void put(const char *root, const char *path, const char *text)
{
    char full[FILE_PATH_BYTES], *slash = NULL;
    snprintf(full, sizeof full, "%s/%s", root, path);
    slash = strrchr(full, '/');
    *slash = '\0';
    assert_true(file_make_folders(full, NULL));
    *slash = '/';
    assert_true(file_replace(full, text, strlen(text), NULL));
}

/** In two parts: a tree is removed four deep at most. */
static void remove_root(const char *root)
{
    char groups[FILE_PATH_BYTES];
    snprintf(groups, sizeof groups, "%s/sys/fs/cgroup", root);
    assert_true(file_remove_tree(groups, NULL) && file_remove_tree(root, NULL));
}

static void the_tightest_group_above_counts(void **state)
{
    (void)state;
    char root[64];
    struct launch_cgroup cgroup;
    assert_true(folder_make(root, sizeof root, "launch"));
    launch_read_cgroup(&cgroup, root);
    assert_true(cgroup.cores < 0.0 && cgroup.memory_bytes < 0);
    put(root, "proc/self/cgroup", "0::/job/step\n");
    put(root, "sys/fs/cgroup/job/step/memory.max", "max\n");
    put(root, "sys/fs/cgroup/job/step/memory.current", "1000\n");
    put(root, "sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
    put(root, "sys/fs/cgroup/job/memory.max", "5000\n");
    put(root, "sys/fs/cgroup/job/memory.current", "2000\n");
    put(root, "sys/fs/cgroup/job/memory.stat", "anon 5\ninactive_file 500\n");
    put(root, "sys/fs/cgroup/job/cpu.max", "150000 100000\n");
    launch_read_cgroup(&cgroup, root);
    assert_true(cgroup.cores == 1.5);
    assert_int_equal(cgroup.memory_bytes, 5000 - 1500);
    remove_root(root);
}

static void put_quota(const char *root, const char *hierarchy, const char *quota)
{
    char name[128];
    snprintf(name, sizeof name, "sys/fs/cgroup/%s/cpu.cfs_quota_us", hierarchy);
    put(root, name, quota);
    snprintf(name, sizeof name, "sys/fs/cgroup/%s/cpu.cfs_period_us", hierarchy);
    put(root, name, "100000\n");
}

static void version_1_is_read_by_controller(void **state)
{
    (void)state;
    char root[64];
    struct launch_cgroup cgroup;
    assert_true(folder_make(root, sizeof root, "launch"));
    put(root, "proc/self/cgroup", "4:memory:/docker/x\n1:cpu,cpuacct:/\n0::/\n");
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
    put(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
    put(root, "sys/fs/cgroup/memory/memory.stat", "total_inactive_file 2000\n");
    put_quota(root, "cpu,cpuacct", "200000\n");
    launch_read_cgroup(&cgroup, root);
    assert_true(cgroup.cores == 2.0);
    assert_int_equal(cgroup.memory_bytes, 1000);
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put_quota(root, "cpu,cpuacct", "-1\n");
    launch_read_cgroup(&cgroup, root);
    assert_true(cgroup.cores < 0.0 && cgroup.memory_bytes < 0);
    put(root, "proc/self/cgroup", "4:cpuacct,cpu:/job_1\n");
    put_quota(root, "cpu/job_1", "300000\n");
    launch_read_cgroup(&cgroup, root);
    assert_true(cgroup.cores == 3.0);
    remove_root(root);
}

/* What the process itself is told, as its launcher and its shell may have left it. */
static void the_environment_and_limits_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *spins;
        enum launch_waiting waiting;
    } CASES[] = {
        {NULL, NULL, LAUNCH_SPINS_A_WHILE}, {"PASSIVE", NULL, LAUNCH_SLEEPS},
        {"active", NULL, LAUNCH_SPINS},     {NULL, "0", LAUNCH_SLEEPS},
        {"passive", "1000", LAUNCH_SPINS},
    };
    static const char *const BINDING[] = {"OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    static struct launch_facts facts;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        unsetenv("OMP_WAIT_POLICY");
        unsetenv("GOMP_SPINCOUNT");
        if (CASES[i].policy != NULL) {
            setenv("OMP_WAIT_POLICY", CASES[i].policy, 1);
        }
        if (CASES[i].spins != NULL) {
            setenv("GOMP_SPINCOUNT", CASES[i].spins, 1);
        }
        launch_find(&facts);
        assert_int_equal(facts.waiting, CASES[i].waiting);
    }
    for (int i = 0; i < 3; i++) {
        unsetenv(BINDING[i]);
    }
    setenv("OMP_PROC_BIND", "FALSE", 1);
    launch_find(&facts);
    assert_string_equal(facts.thread_bind, "");
    setenv("OMP_PROC_BIND", "close", 1);
    launch_find(&facts);
    assert_string_equal(facts.thread_bind, "OMP_PROC_BIND=close");
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    launch_find(&facts);
    assert_int_equal(facts.n_open_files, 100);
    struct sysinfo info;
    assert_int_equal(sysinfo(&info), 0);
    assert_true(facts.free_bytes > 0 &&
                facts.free_bytes < (int64_t)info.totalram * (int64_t)info.mem_unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tightest_group_above_counts),
        cmocka_unit_test(version_1_is_read_by_controller),
        cmocka_unit_test(the_environment_and_limits_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
