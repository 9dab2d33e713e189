/* The launch check on forged facts: each row, each verdict. */
#include <attnres/launch.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <attnres/file.h>
#include <attnres/json.h>

#include "../support/folder.h"
#include "../support/ranks.h"

enum { N = 4, MIB = 1048576 };

/** Four sound ranks on two hosts of four processors, one thread each. */
static void forge(struct launch_facts *facts)
{
    for (int i = 0; i < N; i++) {
        facts[i] = (struct launch_facts){.processors = {0xf},
                                         .n_host_processors = 4,
                                         .n_threads = 1,
                                         .cgroup = {.cores = -1.0, .memory_bytes = -1},
                                         .waiting = LAUNCH_SLEEPS,
                                         .is_mpi = 1,
                                         .mpi_yields = 1,
                                         .level = "x86-64-v3",
                                         .blas_core = "Haswell",
                                         .blas_version = "OpenBLAS 0.3.21",
                                         .blas_threads = 1,
                                         .config = 7,
                                         .plan = 8,
                                         .planned_bytes = 100 * MIB,
                                         .free_bytes = 1000 * MIB,
                                         .address_bytes = -1,
                                         .segment_bytes = 4 * MIB,
                                         .segment_free_bytes = 64 * MIB,
                                         .segment_folder = "/dev/shm",
                                         .folder = LAUNCH_FOLDER_SEEN,
                                         .n_open_files = 1024,
                                         .clock_s = 1000.0};
        snprintf(facts[i].host, sizeof facts[i].host, "node%d", i / 2);
    }
}

static struct launch_finding row_of(const struct launch_report *report, const char *name)
{
    for (int i = 0; i < report->n_rows; i++) {
        if (strcmp(report->rows[i].name, name) == 0) {
            return report->rows[i];
        }
    }
    fail_msg("no row %s", name);
    return (struct launch_finding){0};
}

/** That row alone is not passed, with this verdict, and its texts hold these. */
static void expect(const struct launch_facts *facts, const char *name, enum launch_verdict verdict,
                   const char *found, const char *fix)
{
    struct launch_report *report = calloc(1, sizeof *report);
    launch_judge(report, facts, N);
    const struct launch_finding f = row_of(report, name);
    if (f.verdict != verdict || strstr(f.found, found) == NULL || strstr(f.fix, fix) == NULL) {
        fail_msg("%s: verdict %d: %s; %s", name, (int)f.verdict, f.found, f.fix);
    }
    assert_true((f.fix[0] == '\0') == (verdict == LAUNCH_PASS || fix[0] == '\0'));
    for (int i = 0; i < report->n_rows; i++) {
        if (report->rows[i].verdict != LAUNCH_PASS && strcmp(report->rows[i].name, name) != 0) {
            fail_msg("%s: %s", report->rows[i].name, report->rows[i].found);
        }
    }
    assert_int_equal(launch_verdict_of(report), verdict);
    free(report);
}

static void sound_facts_pass_every_row(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    struct launch_report *report = calloc(1, sizeof *report);
    forge(facts);
    launch_judge(report, facts, N);
    assert_int_equal(report->n_rows, 12);
    for (int i = 0; i < report->n_rows; i++) {
        assert_int_equal(report->rows[i].verdict, LAUNCH_PASS);
        assert_string_equal(report->rows[i].fix, "");
        assert_true(report->rows[i].found[0] != '\0');
    }
    free(report);
}

static void judge_start(struct launch_finding *f, const struct launch_start *starts, int n,
                        const char *name)
{
    struct launch_report *report = calloc(1, sizeof *report);
    launch_judge_start(report, starts, n);
    *f = row_of(report, name);
    free(report);
}

static void ranks_that_do_not_know_of_each_other_fail(void **state)
{
    (void)state;
    static const struct {
        int n, n_tasks;
        const char *launcher;
        enum launch_verdict verdict;
        const char *fix;
    } rows[] = {
        {1, 0, "", LAUNCH_PASS, ""},
        {1, 1, "srun", LAUNCH_PASS, ""},
        {2, 2, "mpirun", LAUNCH_PASS, ""},
        {2, 8, "Slurm", LAUNCH_PASS, ""},
        {1, 4, "srun", LAUNCH_FAIL, "srun --mpi=pmix"},
        {1, 4, "srun", LAUNCH_FAIL, "libpmix-dev"},
        {1, 4, "mpiexec", LAUNCH_FAIL, "mpirun of the MPI"},
        {1, 4, "Slurm", LAUNCH_WARN, "mpirun"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct launch_start starts[2] = {{.n_tasks = rows[i].n_tasks},
                                         {.n_tasks = rows[i].n_tasks}};
        struct launch_finding f;
        snprintf(starts[0].launcher, sizeof starts[0].launcher, "%s", rows[i].launcher);
        judge_start(&f, starts, rows[i].n, "launcher");
        assert_int_equal(f.verdict, rows[i].verdict);
        assert_non_null(strstr(f.fix, rows[i].fix));
        assert_true((f.fix[0] == '\0') == (f.verdict == LAUNCH_PASS));
    }
}

static void another_program_on_some_rank_fails_and_is_named(void **state)
{
    (void)state;
    struct launch_start starts[12] = {{.binary = 5}};
    struct launch_finding f;
    for (int i = 1; i < 12; i++) {
        starts[i] = starts[0];
    }
    judge_start(&f, starts, 12, "binary");
    assert_int_equal(f.verdict, LAUNCH_PASS);
    starts[2].binary = 6;
    judge_start(&f, starts, 12, "binary");
    assert_true(f.verdict == LAUNCH_FAIL && strstr(f.found, "on rank 2") != NULL);
    starts[2].binary = 0;
    judge_start(&f, starts, 12, "binary");
    assert_true(f.verdict == LAUNCH_WARN && strstr(f.found, "rank 2 cannot read") != NULL);
    starts[0].binary = starts[2].binary = 6;
    judge_start(&f, starts, 12, "binary");
    assert_non_null(strstr(f.found, "on ranks 1, 3, 4, 5, 6, 7, 8, 9 ..."));
}

static void other_arguments_on_some_rank_fail_and_are_named(void **state)
{
    (void)state;
    const struct launch_start starts[3] = {[1] = {.arguments = 6}};
    struct launch_finding f;
    judge_start(&f, starts, 3, "arguments");
    assert_true(f.verdict == LAUNCH_FAIL && strstr(f.found, "on rank 1") != NULL);
}

static void check_arguments_on_rank(struct transport *t)
{
    char program[32], override[] = "optim.lr=1", *const arguments[] = {program, override};
    struct launch_report *report = calloc(1, sizeof *report);
    struct error err = {0};
    const int other = transport_rank(t) == 0 ? 1 : 2;
    snprintf(program, sizeof program, "/bin/of-rank-%d", transport_rank(t));
    CHECK(t, launch_check_start(report, 2, arguments, t, &err));
    report->n_rows = 0;
    CHECK(t, !launch_check_start(report, other, arguments, t, &err));
    free(report);
}

static void ranks_compare_what_each_was_told(void **state)
{
    (void)state;
    char message[1024];
    if (!ranks_run_local(2, check_arguments_on_rank, message)) {
        fail_msg("%s", message);
    }
}

static const char *fake_environment(const char *name)
{
    return strcmp(name, "SLURM_STEP_NUM_TASKS") == 0 ? "4"
           : strcmp(name, "SLURM_NTASKS") == 0       ? "8"
                                                     : NULL;
}

static const char *broken_environment(const char *name)
{
    return strcmp(name, "SLURM_STEP_NUM_TASKS") == 0 ? "4x" : NULL;
}

static void the_innermost_launcher_counts_and_nonsense_does_not(void **state)
{
    (void)state;
    struct launch_start start = {0};
    launch_read_launcher(&start, fake_environment);
    assert_int_equal(start.n_tasks, 4);
    assert_string_equal(start.launcher, "srun");
    launch_read_launcher(&start, broken_environment);
    assert_int_equal(start.n_tasks, 0);
    assert_string_equal(start.launcher, "");
}

static void another_configuration_or_plan_fails(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[1].config = facts[3].config = 9;
    expect(facts, "configuration", LAUNCH_FAIL, "on ranks 1, 3", "network");
    forge(facts);
    facts[2].plan = 9;
    expect(facts, "plan", LAUNCH_FAIL, "on rank 2", "pipeline.partition");
}

static void kernels_and_blas_that_differ_are_told(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    snprintf(facts[3].level, sizeof facts[3].level, "x86-64-v4");
    expect(facts, "kernels", LAUNCH_WARN, "rank 3 x86-64-v4", "one kind");
    forge(facts);
    snprintf(facts[2].blas_core, sizeof facts[2].blas_core, "SkylakeX");
    expect(facts, "kernels", LAUNCH_FAIL, "rank 2's for a SkylakeX",
           "OPENBLAS_CORETYPE=Haswell ..., or =SkylakeX");
    forge(facts);
    snprintf(facts[1].onednn_core, sizeof facts[1].onednn_core, "avx512_core");
    expect(facts, "kernels", LAUNCH_FAIL, "\"avx512_core\" on rank 1", "ONEDNN_MAX_CPU_ISA=");
    forge(facts);
    snprintf(facts[1].blas_version, sizeof facts[1].blas_version, "OpenBLAS 0.3.29");
    expect(facts, "BLAS", LAUNCH_WARN, "rank 1 \"OpenBLAS 0.3.29\"", "same OpenBLAS");
    forge(facts);
    facts[1].blas_threads = 8;
    expect(facts, "BLAS", LAUNCH_FAIL, "rank 1: OpenBLAS starts 8 threads",
           "OPENBLAS_NUM_THREADS=1");
    forge(facts);
    facts[0].blas_is_serial = facts[1].blas_is_serial = 1;
    expect(facts, "BLAS", LAUNCH_PASS, "one thread a call", "");
    facts[1].n_threads = 2;
    expect(facts, "BLAS", LAUNCH_WARN, "serial OpenBLAS from 2 threads", "libopenblas0-pthread");
}

static void threads_beyond_their_processors_warn(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[0].processors[0] = facts[1].processors[0] = 1; /* bound to one core */
    expect(facts, "processors", LAUNCH_WARN,
           "node0: 2 ranks with 2 threads in all share 1 processor", "--bind-to core");
    snprintf(facts[0].thread_bind, sizeof facts[0].thread_bind, "OMP_PROC_BIND=true");
    expect(facts, "processors", LAUNCH_WARN, "share 1 processor", "unset OMP_PROC_BIND");
    forge(facts);
    facts[0].processors[0] = 3; /* overlap of a part */
    facts[1].processors[0] = 6;
    facts[0].n_threads = facts[1].n_threads = 2;
    expect(facts, "processors", LAUNCH_WARN, "4 threads in all share 3 processors", "--bind-to");
    forge(facts);
    facts[2].processors[0] = 3;
    facts[2].n_threads = 3;
    expect(facts, "processors", LAUNCH_WARN, "node1: 1 rank with 3 threads in all shares 2",
           "PE=3");
    forge(facts);
    facts[0].n_threads = facts[1].n_threads = 3;
    expect(facts, "processors", LAUNCH_WARN, "6 threads in all share 4", "compute.threads=2");
    forge(facts);
    facts[0].processors[0] = 3; /* bound apart */
    facts[1].processors[0] = 12;
    facts[0].n_threads = facts[1].n_threads = 2;
    expect(facts, "processors", LAUNCH_PASS, "2 ranks, 4 threads, 4 processors", "");
}

static void ranks_of_one_thread_are_not_told_to_take_fewer(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    struct launch_report *report = calloc(1, sizeof *report);
    forge(facts);
    facts[0].processors[0] = facts[1].processors[0] = 1;
    facts[0].n_host_processors = facts[1].n_host_processors = 1;
    launch_judge(report, facts, N);
    const struct launch_finding f = row_of(report, "processors");
    assert_int_equal(f.verdict, LAUNCH_WARN);
    assert_string_equal(f.fix, "start at most 1 rank on this host");
    free(report);
}

static void threads_beyond_the_quota_warn(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[2].cgroup.cores = facts[3].cgroup.cores = 1.5;
    expect(facts, "CPU quota", LAUNCH_PASS, "1.5 cores", "");
    facts[2].n_threads = 2;
    expect(facts, "CPU quota", LAUNCH_WARN, "node1: 3 threads", "compute.threads=1");
}

static void spinning_warns_where_it_harms(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[1].waiting = LAUNCH_SPINS_A_WHILE;
    expect(facts, "waiting", LAUNCH_PASS, "sleep", "");
    facts[1].n_threads = 2;
    expect(facts, "waiting", LAUNCH_WARN, "rank 1's threads spin", "OMP_WAIT_POLICY=passive");
    facts[1].waiting = LAUNCH_SPINS;
    expect(facts, "waiting", LAUNCH_PASS, "sleep", "");
    forge(facts);
    for (int i = 0; i < N; i++) {
        snprintf(facts[i].host, sizeof facts[i].host, "one");
        facts[i].processors[0] = 7;
        facts[i].mpi_yields = 1;
    }
    struct launch_report *report = calloc(1, sizeof *report);
    launch_judge(report, facts, N);
    assert_int_equal(row_of(report, "waiting").verdict, LAUNCH_PASS);
    facts[0].mpi_yields = 0;
    report->n_rows = 0;
    launch_judge(report, facts, N);
    assert_int_equal(row_of(report, "waiting").verdict, LAUNCH_WARN);
    assert_non_null(strstr(row_of(report, "waiting").fix, "mpi_yield_when_idle"));
    facts[0].mpi_yields = 1;
    facts[0].n_threads = 2;
    facts[0].waiting = LAUNCH_SPINS;
    report->n_rows = 0;
    launch_judge(report, facts, N);
    assert_int_equal(row_of(report, "waiting").verdict, LAUNCH_WARN);
    free(report);
}

static void ranks_of_a_host_plan_no_more_than_it_gives(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    assert_int_equal(launch_memory_limit(facts, N).ranks_per_host, 0);
    facts[2].free_bytes = 210 * MIB;
    expect(facts, "memory", LAUNCH_WARN, "node1: 2 ranks plan 200.0 MiB; it gives 210.0",
           "memory.limit=");
    facts[3].cgroup.memory_bytes = 150 * MIB;
    expect(facts, "memory", LAUNCH_FAIL, "it gives 150.0 MiB (control group)", "");
    const struct plan_limit limit = launch_memory_limit(facts, N);
    assert_int_equal(limit.ranks_per_host, 2);
    assert_int_equal(limit.bytes, 75 * MIB);
    facts[0].free_bytes = 210 * MIB; /* a warning's advice is not for the failure behind it */
    expect(facts, "memory", LAUNCH_FAIL, "it gives 150.0 MiB (control group)", "");
    forge(facts);
    facts[1].address_bytes = 99 * MIB;
    expect(facts, "memory", LAUNCH_FAIL, "rank 1 plans 100.0 MiB, ulimit leaves it 99.0",
           "ulimit -v");
    forge(facts);
    facts[3].limit_bytes = 99 * MIB;
    expect(facts, "memory", LAUNCH_FAIL, "rank 3 plans 100.0 MiB, memory.limit is 99.0", "");
    forge(facts);
    for (int i = 0; i < N; i++) {
        facts[i].free_bytes = -1;
    }
    expect(facts, "memory", LAUNCH_PASS, "without limit", "");
}

static void segments_need_room_only_beside_other_ranks(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[2].segment_free_bytes = facts[3].segment_free_bytes = 7 * MIB;
    expect(facts, "shared memory", LAUNCH_WARN, "node1: /dev/shm has 7.0 MiB free", "--shm-size");
    snprintf(facts[3].host, sizeof facts[3].host, "node2");
    expect(facts, "shared memory", LAUNCH_PASS, "", "");
}

static void a_folder_that_is_not_shared_fails(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[2].folder = facts[3].folder = LAUNCH_FOLDER_UNSEEN;
    expect(facts, "run folder", LAUNCH_FAIL, "not seen by ranks 2, 3", "run.dir=PATH");
    forge(facts);
    facts[0].folder = LAUNCH_FOLDER_UNTRIED;
    expect(facts, "run folder", LAUNCH_PASS, "not needed", "");
    facts[0].folder = LAUNCH_FOLDER_UNCHOSEN;
    expect(facts, "run folder", LAUNCH_WARN, "none was looked at", "run.dir=PATH");
    facts[0].folder = LAUNCH_FOLDER_CLOSED;
    expect(facts, "run folder", LAUNCH_FAIL, "cannot write", "run.dir=PATH");
}

static void clocks_are_compared_between_hosts(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[1].clock_s = 1003.0; /* of one host: it only came late */
    expect(facts, "clocks", LAUNCH_PASS, "", "");
    facts[2].clock_s = facts[3].clock_s = 997.5;
    expect(facts, "clocks", LAUNCH_WARN, "node1 is 2.5 s behind", "on that host");
}

static void few_open_files_warn(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    forge(facts);
    facts[1].n_open_files = 67;
    expect(facts, "open files", LAUNCH_WARN, "rank 1 may open 67", "ulimit -n 68");
}

static void a_failure_is_an_error_and_a_warning_is_not(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    struct launch_report *report = calloc(1, sizeof *report);
    struct error err = {0};
    forge(facts);
    facts[1].n_open_files = 67;
    launch_judge(report, facts, N);
    assert_true(launch_tell(report, NULL, &err));
    facts[2].plan = 9;
    facts[2].folder = LAUNCH_FOLDER_UNSEEN;
    report->n_rows = 0;
    launch_judge(report, facts, N);
    assert_false(launch_tell(report, NULL, &err));
    assert_int_equal(err.kind, ERROR_LAUNCH);
    assert_non_null(strstr(err.message, "plan: not rank 0's ("));
    assert_non_null(strstr(err.message, "run folder: "));
    assert_null(strstr(err.message, "open files"));
    forge(facts); /* the run says with which folder, why, and ends with another code */
    facts[0].folder = LAUNCH_FOLDER_CLOSED;
    report->n_rows = 0;
    launch_judge(report, facts, N);
    assert_true(launch_tell(report, NULL, &err));
    free(report);
}

static void the_report_is_json(void **state)
{
    (void)state;
    struct launch_facts facts[N];
    struct launch_report *report = calloc(1, sizeof *report);
    static char text[1 << 16];
    struct json_document d;
    forge(facts);
    facts[2].plan = 9;
    launch_judge(report, facts, N);
    const size_t length = launch_print_json(report, text, sizeof text);
    assert_true(length > 0 && json_parse(&d, text, length, "report", NULL));
    assert_string_equal(json_as_text(json_get(d.root, "verdict")), "FAIL");
    assert_int_equal(json_count(json_get(d.root, "checks")), 12);
    const struct json_value *plan = json_at(json_get(d.root, "checks"), 1);
    assert_string_equal(json_as_text(json_get(plan, "name")), "plan");
    assert_non_null(json_as_text(json_get(plan, "fix")));
    json_document_finish(&d);
    free(report);
}

static char shared_folder[64];

static void check_on_rank(struct transport *t)
{
    const int rank = transport_rank(t);
    struct config *config = calloc(1, sizeof *config);
    struct launch_report *report = calloc(1, sizeof *report);
    struct plan plan;
    struct launch_facts own;
    struct error err = {0};
    const char *overrides[] = {"memory.limit=2e6"};
    char folder[FILE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/not/there", shared_folder);
    CHECK(t, config_load(config, NULL, 1, overrides, &err) &&
                 plan_init(&plan, config, transport_size(t), PLAN_TRAIN, &err));
    CHECK(t, launch_check_start(report, 0, NULL, t, &err));
    launch_find(&own);
    own.n_threads = 1;
    launch_check(report, &plan, &own, rank == 0 ? folder : NULL, t);
    CHECK(t, report->n_rows == (rank == 0 ? 15 : 0));
    if (rank == 0) {
        CHECK(t, row_of(report, "binary").verdict == LAUNCH_PASS);
        CHECK(t, row_of(report, "plan").verdict == LAUNCH_PASS);
        CHECK(t, strcmp(row_of(report, "run folder").found, "seen by every rank") == 0);
        CHECK(t, row_of(report, "memory").verdict == LAUNCH_FAIL);
        CHECK(t, strstr(row_of(report, "memory").fix, "what would fit:") != NULL);
    }
    plan_finish(&plan);
    free(report);
    free(config);
}

static void ranks_look_and_rank_0_judges(void **state)
{
    (void)state;
    char message[1024];
    assert_true(folder_make(shared_folder, sizeof shared_folder, "launch"));
    for (int size = 1; size <= 3; size++) {
        if (!ranks_run_local(size, check_on_rank, message)) {
            fail_msg("%s", message);
        }
    }
    assert_int_equal(rmdir(shared_folder), 0); /* nothing is left in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_facts_pass_every_row),
        cmocka_unit_test(ranks_that_do_not_know_of_each_other_fail),
        cmocka_unit_test(another_program_on_some_rank_fails_and_is_named),
        cmocka_unit_test(the_innermost_launcher_counts_and_nonsense_does_not),
        cmocka_unit_test(other_arguments_on_some_rank_fail_and_are_named),
        cmocka_unit_test(ranks_compare_what_each_was_told),
        cmocka_unit_test(another_configuration_or_plan_fails),
        cmocka_unit_test(kernels_and_blas_that_differ_are_told),
        cmocka_unit_test(threads_beyond_their_processors_warn),
        cmocka_unit_test(ranks_of_one_thread_are_not_told_to_take_fewer),
        cmocka_unit_test(threads_beyond_the_quota_warn),
        cmocka_unit_test(spinning_warns_where_it_harms),
        cmocka_unit_test(ranks_of_a_host_plan_no_more_than_it_gives),
        cmocka_unit_test(segments_need_room_only_beside_other_ranks),
        cmocka_unit_test(a_folder_that_is_not_shared_fails),
        cmocka_unit_test(clocks_are_compared_between_hosts),
        cmocka_unit_test(few_open_files_warn),
        cmocka_unit_test(a_failure_is_an_error_and_a_warning_is_not),
        cmocka_unit_test(the_report_is_json),
        cmocka_unit_test(ranks_look_and_rank_0_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
