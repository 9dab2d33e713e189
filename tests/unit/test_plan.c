#include <attnres/plan.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A plan of the defaults with these overrides; ends the test when it is refused and `refusal` is
 * NULL. */
static void make_plan(struct plan *plan, struct config *config, int n_ranks,
                      const char *const *overrides, int n, struct error *refusal)
{
    struct error err = {0};
    if (!config_load(config, NULL, n, overrides, &err)) {
        fail_msg("%s", err.message);
    }
    if (!plan_init(plan, config, n_ranks, PLAN_TRAIN, refusal != NULL ? refusal : &err) &&
        refusal == NULL) {
        fail_msg("%s", err.message);
    }
}

static void stages_cover_sublayers_and_parameters_once(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    for (int n_ranks = 1; n_ranks <= 16; n_ranks++) {
        struct plan plan;
        make_plan(&plan, config, n_ranks, NULL, 0, NULL);
        int64_t sublayer = 0, row = 0;
        for (int i = 0; i < plan.n_stages; i++) {
            assert_int_equal(plan.stages[i].first, sublayer);
            assert_int_equal(plan.stages[i].first_param, row);
            assert_true(plan.stages[i].end > sublayer);
            assert_int_equal(plan.stages[i].n_attention + plan.stages[i].n_mlp,
                             plan.stages[i].end - sublayer);
            sublayer = plan.stages[i].end;
            row = plan.stages[i].end_param;
        }
        assert_int_equal(sublayer, 16);
        assert_int_equal(row, plan.params.n_rows);
        plan_finish(&plan);
    }
    free(config);
}

static uint64_t hash_of(int n_ranks, const char *override)
{
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    make_plan(&plan, config, n_ranks, &override, override != NULL, NULL);
    const uint64_t hash = plan_hash(&plan);
    plan_finish(&plan);
    free(config);
    return hash;
}

/* By it ranks know that they have planned alike. */
static void plans_that_differ_have_other_hashes(void **state)
{
    (void)state;
    static const char *const OTHERS[] = {"pipeline.partition=[6,10]", "pipeline.schedule=gpipe",
                                         "memory.recompute=all", "pipeline.replicas=2"};
    const uint64_t hash = hash_of(2, NULL);
    assert_true(hash != 0 && hash == hash_of(2, NULL) && hash != hash_of(1, NULL));
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        assert_true(hash_of(2, OTHERS[i]) != hash);
    }
}

static void an_illegal_schedule_is_refused_by_the_name_that_was_configured(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    const char *const overrides[] = {"pipeline.schedule=zb_v"};
    struct plan plan;
    struct error err = {0};
    make_plan(&plan, config, 2, overrides, 1, &err);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.message, "schedule zb_v gives each rank 2"));
    free(config);
}

static void blocks_partition_gives_whole_blocks_where_they_suffice(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    const char *const overrides[] = {"model.layers=8", "model.blocks=8",
                                     "pipeline.partition=blocks"};
    for (int n_ranks = 1; n_ranks <= 8; n_ranks++) {
        struct plan plan;
        make_plan(&plan, config, n_ranks, overrides, 3, NULL);
        for (int i = 0; i < plan.n_stages; i++) {
            assert_true(depth_is_border(&plan.depth, plan.stages[i].end));
        }
        plan_finish(&plan);
    }
    free(config);
}

static void ranks_that_do_not_fit_are_refused_with_the_launch_line(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    const char *const stages[] = {"pipeline.stages=4"};
    const char *const list[] = {"pipeline.partition=[8,4,4]"};
    struct error err = {0};
    make_plan(&plan, config, 2, stages, 1, &err);
    assert_int_equal(err.kind, ERROR_LAUNCH);
    assert_non_null(strstr(err.message, "mpirun -n 4"));
    err = (struct error){0};
    make_plan(&plan, config, 2, list, 1, &err);
    assert_int_equal(err.kind, ERROR_LAUNCH);
    assert_non_null(strstr(err.message, "mpirun -n 3"));
    err = (struct error){0};
    make_plan(&plan, config, 17, NULL, 0, &err);
    assert_int_equal(err.kind, ERROR_LAUNCH);
    free(config);
}

/* What one stage sends is what the next receives, and both hold it. */
static void cuts_agree_on_both_sides(void **state)
{
    (void)state;
    const char *const kinds[] = {"model.kind=standard", "model.kind=full", "model.kind=block",
                                 "model.kind=block_full"};
    struct config *config = calloc(1, sizeof *config);
    for (int k = 0; k < 4; k++) {
        for (int n_ranks = 2; n_ranks <= 16; n_ranks++) {
            struct plan plan;
            make_plan(&plan, config, n_ranks, &kinds[k], 1, NULL);
            for (int i = 0; i + 1 < n_ranks; i++) {
                const struct depth_set *out = &plan.stages[i].outgoing,
                                       *in = &plan.stages[i + 1].incoming;
                assert_memory_equal(out, in, sizeof *out);
                for (int64_t j = 0; j < depth_set_count(out); j++) {
                    assert_true(stage_value_index(&plan.stages[i], depth_set_id(out, j)) >= 0);
                    assert_true(stage_value_index(&plan.stages[i + 1], depth_set_id(in, j)) >= 0);
                }
            }
            plan_finish(&plan);
        }
    }
    free(config);
}

static void memory_is_what_the_table_says(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    make_plan(&plan, config, 2, NULL, 0, NULL);
    struct memory memory;
    struct error err = {0};
    assert_true(memory_init(&memory, &plan, 1, &err));
    assert_int_equal(memory.arena.used, memory.table.total_bytes);
    assert_null(memory_buffer(&memory, BUFFER_REPORTS, 0)); /* rank 0 only */
    const float *gradients = memory_buffer(&memory, BUFFER_GRADIENTS, 0);
    assert_non_null(gradients);
    assert_true(memory_slot_bytes(&memory, BUFFER_GRADIENTS) >=
                (size_t)plan.stages[1].weight_count * 4);
    memory_finish(&memory);
    plan_finish(&plan);
    free(config);
}

/** Bytes that the ranks plan for together, under each setting of memory.recompute. */
static void count_bytes(size_t bytes[3], const char *const *overrides, int n, int n_ranks)
{
    static const char *const SETTINGS[] = {"memory.recompute=none", "memory.recompute=block",
                                           "memory.recompute=all"};
    const char *all[16];
    struct config *config = calloc(1, sizeof *config);
    memcpy(all, overrides, (size_t)n * sizeof *all);
    for (int i = 0; i < 3; i++) {
        struct plan plan;
        all[n] = SETTINGS[i];
        make_plan(&plan, config, n_ranks, all, n + 1, NULL);
        bytes[i] = 0;
        for (int rank = 0; rank < n_ranks; rank++) {
            struct buffer_table table;
            plan_lay_out(&table, &plan, rank);
            bytes[i] += table.total_bytes;
        }
        plan_finish(&plan);
    }
    free(config);
}

/* All chunks of one rank alone hand each other everything: there `all` has nothing to drop. */
static void recomputing_more_never_takes_more_memory(void **state)
{
    (void)state;
    static const char *const KINDS[] = {"model.kind=standard", "model.kind=full",
                                        "model.kind=block", "model.kind=block_full"};
    static const char *const ORDERS[][2] = {{"gpipe", "1"},       {"1f1b", "1"},
                                            {"zb_h1", "1"},       {"interleaved", "2"},
                                            {"interleaved", "4"}, {"zb_v", "2"}};
    for (int i = 0; i < 4 * 6 * 3 * 2; i++) {
        const int order = i / 4 % 6, n_ranks = 1 << i / 24 % 3;
        char schedule[64], chunks[64];
        snprintf(schedule, sizeof schedule, "pipeline.schedule=%s", ORDERS[order][0]);
        snprintf(chunks, sizeof chunks, "pipeline.chunks=%s", ORDERS[order][1]);
        const char *const overrides[] = {KINDS[i % 4],
                                         schedule,
                                         chunks,
                                         "model.layers=16",
                                         "model.blocks=8",
                                         "pipeline.partition=blocks",
                                         i / 72 == 0 ? "pipeline.cache=off" : "pipeline.cache=on"};
        size_t bytes[3];
        count_bytes(bytes, overrides, 7, n_ranks);
        assert_true(bytes[0] > bytes[1]);
        assert_true(n_ranks == 1 || bytes[1] >= bytes[2]);
    }
}

/* Two blocks a stage and several microbatches at a time: both steps save something. `full` keeps
 * every output as a source, and is the one that gains most from the second. */
static void recomputing_a_stage_of_several_blocks_saves_at_each_step(void **state)
{
    (void)state;
    static const char *const KINDS[] = {"model.kind=standard", "model.kind=full",
                                        "model.kind=block", "model.kind=block_full"};
    for (int k = 0; k < 4; k++) {
        const char *const overrides[] = {KINDS[k], "model.layers=16", "model.blocks=8",
                                         "pipeline.partition=blocks"};
        size_t bytes[3];
        count_bytes(bytes, overrides, 4, 4);
        assert_true(bytes[0] > bytes[1] && bytes[1] > bytes[2]);
    }
}

/* Of four blocks on two stages `block` runs three again; `all` runs the first stage again, and of
 * each stage the upper block a second time. Counted: 8 FLOPs while memory gives a byte. */
static void what_is_recomputed_counts_as_work(void **state)
{
    (void)state;
    static const char *const SETTINGS[] = {"memory.recompute=none", "memory.recompute=block",
                                           "memory.recompute=all"};
    static const double FIRST[] = {0.0, 1.0, 1.5}, LAST[] = {0.0, 0.0, 0.5};
    static const struct costs COUNTED = {.flops_per_s = 1.0, .memory_bytes_per_s = 1.0 / 8.0};
    struct config *config = calloc(1, sizeof *config);
    double first = 0.0, last = 0.0;
    for (int i = 0; i < 3; i++) {
        const char *const overrides[] = {"model.layers=8", "model.blocks=4", SETTINGS[i]};
        struct plan plan;
        make_plan(&plan, config, 2, overrides, 3, NULL);
        first = i == 0 ? plan.costs.sublayer[0] : first;
        last = i == 0 ? plan.costs.sublayer[15] : last;
        const double forward_first = plan_part_costs(&plan, &COUNTED, 0).passes.forward;
        const double forward_last = plan_part_costs(&plan, &COUNTED, 15).passes.forward;
        assert_true(forward_first > 0.2 * first && forward_first < 0.4 * first);
        assert_true(fabs(plan.costs.sublayer[0] - first - FIRST[i] * forward_first) <= 1.0);
        assert_true(fabs(plan.costs.sublayer[15] - last - LAST[i] * forward_last) <= 1.0);
        plan_finish(&plan);
    }
    free(config);
}

/** Whether a set's values are kept by a slot of the stage. */
static bool keeps(const struct stage *stage, const struct depth_set *set)
{
    for (int64_t i = 0; i < depth_set_count(set); i++) {
        if (stage->value_rows[stage_value_index(stage, depth_set_id(set, i))] < 0) {
            return false;
        }
    }
    return true;
}

/* Rows of a value's buffer: a slot's are taken once each, and those of the working set by values
 * that are never in work together. */
static void a_slot_keeps_what_came_in_and_block_also_the_borders(void **state)
{
    (void)state;
    static const char *const SETTINGS[] = {"memory.recompute=none", "memory.recompute=block",
                                           "memory.recompute=all"};
    struct config *config = calloc(1, sizeof *config);
    for (int i = 0; i < 3; i++) {
        const char *const overrides[] = {"model.layers=8", "model.blocks=4", SETTINGS[i],
                                         "pipeline.partition=[7,9]"};
        struct plan plan;
        make_plan(&plan, config, 2, overrides, 4, NULL);
        const struct stage *second = &plan.stages[1];
        /* Sublayers 7 ... 15 and the head; blocks of 4: 7, 8 ... 11, 12 ... head. Came in: b_0, b_1
         * and the open outputs of 4, 5, 6. */
        const int64_t n_in = 5;
        static const int64_t FIRST[3][10] = {
            {0}, {0, 1, 1, 1, 1, 5, 5, 5, 5, 5}, {0, 1, 1, 1, 1, 5, 5, 5, 5, 5}};
        assert_memory_equal(second->segment_first, FIRST[i], sizeof FIRST[i]);
        assert_true(keeps(second, &second->incoming));
        const struct depth_set border = depth_live(&plan.depth, 12);
        assert_int_equal(keeps(second, &border), i < 2);
        const int64_t n_kept[] = {second->n_values, n_in + 2, n_in};
        assert_int_equal(second->n_kept, n_kept[i]);
        /* The last block has four outputs and b_4. */
        const int64_t n_working[] = {0, 5, 2 + 5};
        assert_int_equal(second->n_working, n_working[i]);
        plan_finish(&plan);
    }
    free(config);
}

/* Records are gathered one behind another, each as long as a slot of BUFFER_REPORT. */
/* L = 16, blocks of 4: `standard` has one and the one before; `block` and `block_full` those that
 * the head reads and, behind the last of these, the open ones of a block. */
static void gradients_take_rows_that_others_need_no_longer(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    static const struct {
        const char *kind;
        int64_t n_rows;
    } cases[] = {{"model.kind=standard", 2},
                 {"model.kind=block", 5 + 1},
                 {"model.kind=block_full", 5 + 3},
                 {"model.kind=full", 17}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const overrides[] = {cases[i].kind, "model.layers=8", "model.blocks=4",
                                         "pipeline.schedule=1f1b"};
        for (int n_ranks = 1; n_ranks <= 2; n_ranks++) {
            struct plan plan;
            make_plan(&plan, config, n_ranks, overrides, 4, NULL);
            const struct stage *last = &plan.stages[n_ranks - 1];
            const bool reuses = n_ranks == 1, is_standard = i == 0;
            assert_true(last->n_dvalues == cases[i].n_rows || !reuses);
            assert_true(last->n_dvalues == last->n_values || reuses || !is_standard);
            plan_finish(&plan);
        }
    }
    free(config);
}

static void reports_of_all_ranks_fit_rank_0(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    const char *const tied[] = {"model.tied=true", "model.tied=false"};
    for (int n_ranks = 1; n_ranks <= 16; n_ranks++) {
        for (int i = 0; i < 2; i++) {
            struct plan plan;
            struct buffer_table table;
            make_plan(&plan, config, n_ranks, &tied[i], 1, NULL);
            plan_lay_out(&table, &plan, 0);
            assert_true(table.rows[BUFFER_REPORTS].slot_bytes >=
                        (size_t)n_ranks * table.rows[BUFFER_REPORT].slot_bytes);
            plan_finish(&plan);
        }
    }
    free(config);
}

static void sizes_beyond_the_address_space_are_refused(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    const char *const overrides[] = {
        "model.dim=65536",     "model.ff=65536",     "model.layers=4096",   "model.blocks=4096",
        "batch.microbatch=64", "batch.sequences=64", "model.seq_len=65536", "model.kind=full"};
    make_plan(&plan, config, 1, overrides, 8, NULL);
    struct memory memory;
    struct error err = {0};
    assert_false(memory_init(&memory, &plan, 0, &err));
    assert_true(err.kind == ERROR_CONFIG || err.kind == ERROR_CREATE);
    memory_finish(&memory);
    plan_finish(&plan);
    free(config);
}

/* 3 x forward; a hand count for a model of one layer. */
static void flops_follow_the_stated_formula(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    const char *const overrides[] = {"model.layers=1",   "model.blocks=1",   "model.dim=8",
                                     "model.heads=2",    "model.kv_heads=1", "model.ff=12",
                                     "model.seq_len=16", "model.vocab=256"};
    make_plan(&plan, config, 1, overrides, 8, NULL);
    const double weights = 8 * 8 + 2 * 4 * 8 + 8 * 8 + 3 * 8 * 12 + 256 * 8;
    const double pairs = 2 + 2; /* read 1: b_0 and the first output; read 2: b_0 and b_1 */
    assert_true(plan_flops_per_token(&plan) ==
                3.0 * (2.0 * weights + 2.0 * 16 * 8 + 4.0 * 8 * pairs));
    plan_finish(&plan);
    free(config);
}

/** The lines of the memory table are as long as its first and fit; returns how many there are. */
static int check_memory_table(const char *text, int width)
{
    const char *line = strstr(text, "\nmemory, MiB\n");
    assert_non_null(line);
    line += strlen("\nmemory, MiB\n");
    const size_t columns = strcspn(line, "\n");
    assert_true(columns <= (size_t)width);
    int n_lines = 0;
    for (; strncmp(line, "the most", 8) != 0 && strncmp(line, "memory.", 7) != 0; n_lines++) {
        assert_int_equal(strcspn(line, "\n"), columns);
        line += columns + 1;
    }
    return n_lines;
}

static void the_memory_table_is_aligned_for_any_number_of_ranks(void **state)
{
    (void)state;
    enum { WIDTH = 100, CAPACITY = 1 << 18, MOST = 64 };
    struct config *config = calloc(1, sizeof *config);
    char *text = calloc(CAPACITY, 1);
    const char *const overrides[] = {"model.layers=32", "model.dim=4096", "model.heads=32",
                                     "model.kv_heads=32"};
    struct plan_measured measured[MOST] = {{.library_bytes = 3 << 20, .data_bytes = 1 << 30}};
    for (int n_ranks = 1; n_ranks <= MOST; n_ranks = n_ranks < 10 ? n_ranks + 1 : 2 * n_ranks) {
        struct plan plan;
        make_plan(&plan, config, n_ranks, overrides, 4, NULL);
        const size_t length = plan_print(&plan, NULL, WIDTH, text, CAPACITY);
        assert_int_equal(check_memory_table(text, WIDTH), 1 + GROUP_COUNT + 1);
        assert_null(strstr(text, "measured"));
        assert_int_equal(plan_print(&plan, NULL, WIDTH, NULL, 0), length);
        plan_print(&plan, measured, WIDTH, text, CAPACITY);
        assert_int_equal(check_memory_table(text, WIDTH), 1 + GROUP_COUNT + 4);
        assert_non_null(strstr(text, "\nlibraries (measured)      3.0"));
        assert_non_null(strstr(text, "\ndata (measured)        1024.0"));
        plan_finish(&plan);
    }
    free(text);
    free(config);
}

/* The largest first to whoever has the least: nobody has more than the mean and one largest row. */
static void every_row_has_one_owner_and_all_own_about_as_much(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    static const char *const GRIDS[][3] = {
        {"pipeline.replicas=1", "pipeline.stages=2", NULL},
        {"pipeline.replicas=2", "pipeline.stages=2", NULL},
        {"pipeline.replicas=8", "pipeline.stages=1", NULL},
        {"pipeline.replicas=4", "pipeline.stages=2", "pipeline.chunks=2"},
    };
    static const int RANKS[] = {2, 4, 8, 8};
    for (size_t g = 0; g < sizeof GRIDS / sizeof GRIDS[0]; g++) {
        const char *overrides[] = {GRIDS[g][0], GRIDS[g][1], "pipeline.schedule=interleaved",
                                   GRIDS[g][2]};
        struct plan plan;
        make_plan(&plan, config, RANKS[g], overrides, GRIDS[g][2] != NULL ? 4 : 2, NULL);
        int64_t owned[8] = {0}, total[8] = {0}, largest = 0, bytes = 0;
        for (int i = 0; i < plan.n_stages; i++) {
            const struct stage *stage = &plan.stages[i];
            for (int64_t row = stage->first_param; row < stage->end_param; row++) {
                const struct param *param = &plan.params.rows[row];
                const int owner = grid_rank(&plan.grid, plan.owners[row].replica, stage->rank);
                assert_true(plan_owns(&plan, plan.owners[row].replica, param));
                owned[owner] += param->count;
                total[stage->rank] += param->count;
                largest = param->count > largest ? param->count : largest;
            }
        }
        for (int rank = 0; rank < grid_size(&plan.grid); rank++) {
            const int64_t mean = total[grid_place(&plan.grid, rank)] / plan.grid.n_replicas;
            assert_int_equal(plan.owned_counts[rank], owned[rank]);
            assert_true(owned[rank] <= mean + largest);
            struct buffer_table table;
            plan_lay_out(&table, &plan, rank);
            assert_int_equal(table.rows[BUFFER_EXP_AVG].shape[0], owned[rank]);
            bytes += table.rows[BUFFER_EXP_AVG].shape[0];
        }
        assert_int_equal(bytes, plan.params.n_parameters); /* ZeRO-1: once over all replicas */
        plan_finish(&plan);
    }
    free(config);
}

static void replicas_share_the_microbatches_of_a_step(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    const char *const overrides[] = {"pipeline.replicas=2", "batch.sequences=16",
                                     "batch.microbatch=2"};
    struct plan plan;
    make_plan(&plan, config, 6, overrides, 3, NULL);
    assert_int_equal(plan.n_ranks, 3);
    assert_int_equal(plan.n_microbatches, 4);
    for (int rank = 0; rank < 6; rank++) {
        struct buffer_table table;
        plan_lay_out(&table, &plan, rank);
        assert_int_equal(table.rows[BUFFER_TOKENS].shape[0], 8);
    }
    plan_finish(&plan);
    free(config);
}

/* A sequence is 4 GiB of each value, and two values cross the cut. */
static void messages_that_cannot_be_sent_are_refused_with_what_can(void **state)
{
    (void)state;
    enum { N = 10 };
    static const struct {
        const char *extra, *found; /* NULL: legal */
    } ROWS[] = {
        {"batch.microbatch=4",
         "batch.microbatch is 4: a message between two stages would take 34359738432 bytes, and at "
         "most 34359737344 can be sent: nearest legal value 3"},
        {"batch.microbatch=3", NULL},
        {"model.seq_len=65536", "model.seq_len is 65536: a message between two stages"},
        {"model.tied=true", "set model.tied=false"},
    };
    const char *overrides[N] = {"model.dim=65536",    "model.seq_len=16384", "model.ff=16",
                                "batch.sequences=12", "batch.microbatch=1",  "model.blocks=2",
                                "model.vocab=131072", "model.tied=false",    "model.layers=2"};
    struct config *config = calloc(1, sizeof *config);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct plan plan;
        struct error err = {0};
        overrides[N - 1] = ROWS[i].extra;
        make_plan(&plan, config, 2, overrides, N, ROWS[i].found != NULL ? &err : NULL);
        if (ROWS[i].found == NULL) {
            plan_finish(&plan);
        } else if (err.kind != ERROR_CONFIG || strstr(err.message, ROWS[i].found) == NULL) {
            fail_msg("%s: %s", ROWS[i].extra, err.message);
        }
    }
    free(config);
}

static void auto_makes_no_more_replicas_than_could_be_asked_for(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    const char *const overrides[] = {"pipeline.replicas=auto", "pipeline.stages=2",
                                     "batch.sequences=1025", "batch.microbatch=1"};
    struct plan plan;
    struct error err = {0};
    make_plan(&plan, config, 2 * (CONFIG_MAX_REPLICAS + 1), overrides, 4, &err);
    assert_int_equal(err.kind, ERROR_LAUNCH);
    assert_non_null(strstr(err.message, "at most mpirun -n 2048"));
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_memory_table_is_aligned_for_any_number_of_ranks),
        cmocka_unit_test(stages_cover_sublayers_and_parameters_once),
        cmocka_unit_test(plans_that_differ_have_other_hashes),
        cmocka_unit_test(an_illegal_schedule_is_refused_by_the_name_that_was_configured),
        cmocka_unit_test(blocks_partition_gives_whole_blocks_where_they_suffice),
        cmocka_unit_test(ranks_that_do_not_fit_are_refused_with_the_launch_line),
        cmocka_unit_test(cuts_agree_on_both_sides),
        cmocka_unit_test(memory_is_what_the_table_says),
        cmocka_unit_test(recomputing_more_never_takes_more_memory),
        cmocka_unit_test(recomputing_a_stage_of_several_blocks_saves_at_each_step),
        cmocka_unit_test(what_is_recomputed_counts_as_work),
        cmocka_unit_test(a_slot_keeps_what_came_in_and_block_also_the_borders),
        cmocka_unit_test(gradients_take_rows_that_others_need_no_longer),
        cmocka_unit_test(reports_of_all_ranks_fit_rank_0),
        cmocka_unit_test(sizes_beyond_the_address_space_are_refused),
        cmocka_unit_test(flops_follow_the_stated_formula),
        cmocka_unit_test(every_row_has_one_owner_and_all_own_about_as_much),
        cmocka_unit_test(replicas_share_the_microbatches_of_a_step),
        cmocka_unit_test(messages_that_cannot_be_sent_are_refused_with_what_can),
        cmocka_unit_test(auto_makes_no_more_replicas_than_could_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
