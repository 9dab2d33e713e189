#include <attnres/grid.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void ranks_and_places_of_replicas_invert_each_other(void **state)
{
    (void)state;
    for (int n_replicas = 1; n_replicas <= 5; n_replicas++) {
        for (int n_places = 1; n_places <= 5; n_places++) {
            struct grid grid;
            assert_true(grid_init(&grid, n_replicas * n_places, n_replicas, 0, NULL));
            assert_int_equal(grid.n_places, n_places);
            assert_true(grid_init(&grid, n_replicas * n_places, 0, n_places, NULL));
            assert_int_equal(grid.n_replicas, n_replicas);
            assert_true(grid_init(&grid, n_replicas * n_places, 0, 0, NULL));
            assert_int_equal(grid.n_replicas, 1);
            assert_true(grid_init(&grid, n_replicas * n_places, n_replicas, n_places, NULL));
            assert_int_equal(grid_size(&grid), n_replicas * n_places);
            for (int rank = 0; rank < grid_size(&grid); rank++) {
                const int replica = grid_replica(&grid, rank), place = grid_place(&grid, rank);
                assert_int_equal(grid_rank(&grid, replica, place), rank);
            }
        }
    }
}

static void a_pipeline_is_a_contiguous_run_of_ranks(void **state)
{
    (void)state;
    struct grid grid;
    assert_true(grid_init(&grid, 12, 3, 4, NULL));
    for (int rank = 0; rank < 12; rank++) {
        assert_int_equal(grid_replica(&grid, rank), rank / 4);
        assert_int_equal(grid_place(&grid, rank), rank % 4);
    }
}

static void ranks_that_do_not_fit_get_the_launch_line_that_does(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, n_replicas, n_places;
        const char *says;
    } CASES[] = {
        {3, 1, 2, "there are 3 ranks: start it with mpirun -n 2, or set pipeline.stages=auto"},
        {5, 2, 2, "pipeline.replicas 2, but there are 5 ranks: start it with mpirun -n 4"},
        {2, 2, 2, "pipeline.replicas 2, but there are 2 ranks: start it with mpirun -n 4"},
        {5, 2, 0,
         "5 ranks cannot be shared evenly by pipeline.replicas 2: start it with mpirun "
         "-n 4 or -n 6"},
        {5, 0, 2,
         "5 ranks cannot be cut into pipelines of pipeline.stages 2: start it with mpirun -n 4 or "
         "-n 6"},
        {1, 0, 2,
         "1 rank cannot be cut into pipelines of pipeline.stages 2: start it with mpirun -n 2"},
        {1, 3, 0, "pipeline.replicas is 3, but there is 1 rank: start it with mpirun -n 3"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct grid grid;
        struct error err = {0};
        assert_false(
            grid_init(&grid, CASES[i].n_ranks, CASES[i].n_replicas, CASES[i].n_places, &err));
        assert_int_equal(err.kind, ERROR_LAUNCH);
        if (strstr(err.message, CASES[i].says) == NULL) {
            fail_msg("case %d: %s", (int)i, err.message);
        }
    }
}

static void replicas_over_several_hosts_are_counted(void **state)
{
    (void)state;
    const struct grid grid = {.n_replicas = 3, .n_places = 2};
    const uint64_t whole[] = {7, 7, 7, 7, 9, 9}, one[] = {7, 7, 7, 9, 9, 9},
                   all[] = {7, 9, 7, 9, 7, 9};
    assert_int_equal(grid_count_split(&grid, whole), 0);
    assert_int_equal(grid_count_split(&grid, one), 1);
    assert_int_equal(grid_count_split(&grid, all), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_and_places_of_replicas_invert_each_other),
        cmocka_unit_test(a_pipeline_is_a_contiguous_run_of_ranks),
        cmocka_unit_test(ranks_that_do_not_fit_get_the_launch_line_that_does),
        cmocka_unit_test(replicas_over_several_hosts_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
