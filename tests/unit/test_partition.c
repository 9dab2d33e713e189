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

#include "../support/overrides.h"

/* 4 layers, 8 sublayers: few enough to try every partition. */
static const char *const SMALL[] = {"model.layers=4", "model.dim=32", "model.ff=88",
                                    "model.seq_len=32"};
enum { N_SMALL = 4, L = 8, MOST_OVERRIDES = 16 };

/* What a partition is judged by, the weightiest first. */
struct merit {
    double slowest_rank, slowest_stage;
    int n_inside;
    double squares;
};

struct trial {
    struct config *config;
    const char *overrides[MOST_OVERRIDES];
    int n_overrides, n_ranks;
};

static struct trial trial_of(const char *const *extra, int n_extra, int n_ranks)
{
    struct trial t = {.config = calloc(1, sizeof *t.config), .n_ranks = n_ranks};
    assert_non_null(t.config);
    t.n_overrides = overrides_join(t.overrides, SMALL, N_SMALL, extra, n_extra);
    return t;
}

static bool make(struct plan *plan, const struct trial *t, const char *last, struct error *err)
{
    const char *overrides[MOST_OVERRIDES + 1];
    int n = t->n_overrides;
    memcpy(overrides, t->overrides, sizeof t->overrides);
    if (last != NULL) {
        overrides[n++] = last;
    }
    if (!config_load(t->config, NULL, n, overrides, err)) {
        fail_msg("%s", err->message);
    }
    return plan_init(plan, t->config, t->n_ranks, PLAN_TRAIN, err);
}

static void make_or_fail(struct plan *plan, const struct trial *t, const char *last)
{
    struct error err = {0};
    if (!make(plan, t, last, &err)) {
        fail_msg("%s", err.message);
    }
}

static struct merit judge(const struct plan *plan)
{
    struct merit m = {0};
    const int64_t N = plan->config->model.n_blocks, S = (L + N - 1) / N;
    for (int i = 0; i < plan->n_stages; i++) {
        m.slowest_stage = fmax(m.slowest_stage, plan_stage_work(plan, i));
        m.n_inside += plan->stages[i].end != L && plan->stages[i].end % S != 0;
    }
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        const double work = plan_rank_work(plan, rank);
        m.slowest_rank = fmax(m.slowest_rank, work);
        m.squares += work * work;
    }
    return m;
}

static bool is_better(const struct merit *a, const struct merit *b)
{
    const double of_a[] = {a->slowest_rank, a->slowest_stage, a->n_inside, a->squares};
    const double of_b[] = {b->slowest_rank, b->slowest_stage, b->n_inside, b->squares};
    for (int i = 0; i < 4; i++) {
        if (of_a[i] != of_b[i]) {
            return of_a[i] < of_b[i];
        }
    }
    return false;
}

static size_t most_bytes(const struct plan *plan)
{
    size_t most = 0;
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        struct buffer_table table;
        plan_lay_out(&table, plan, rank);
        most = table.total_bytes > most ? table.total_bytes : most;
    }
    return most;
}

/* The next list of n positive numbers with the sum L, in lexicographic order; false behind the
 * last. */
static bool next_list(int *list, int n)
{
    int i = n - 2;
    int tail = list[n - 1];
    while (i >= 0 && tail == 1) {
        tail = list[i--];
    }
    if (i < 0) {
        return false;
    }
    int rest = -1;
    for (int j = i + 1; j < n; j++) {
        rest += list[j];
    }
    list[i]++;
    for (int j = i + 1; j < n; j++) {
        list[j] = j + 1 < n ? 1 : rest - (n - 2 - i);
    }
    return true;
}

/* The best of all partitions that need no more than `limit` bytes on a rank; the number that do. */
static int try_all(struct merit *best, const struct trial *t, int n_stages, size_t limit,
                   size_t *least_bytes)
{
    int list[L], n_fitting = 0;
    for (int i = 0; i < n_stages; i++) {
        list[i] = i + 1 < n_stages ? 1 : L - n_stages + 1;
    }
    *least_bytes = SIZE_MAX;
    do {
        char text[64] = "pipeline.partition=[";
        for (int i = 0; i < n_stages; i++) {
            snprintf(text + strlen(text), sizeof text - strlen(text), "%d%s", list[i],
                     i + 1 < n_stages ? "," : "]");
        }
        struct plan plan;
        make_or_fail(&plan, t, text);
        const struct merit m = judge(&plan);
        const size_t bytes = most_bytes(&plan);
        *least_bytes = bytes < *least_bytes ? bytes : *least_bytes;
        if (bytes <= limit && (n_fitting++ == 0 || is_better(&m, best))) {
            *best = m;
        }
        plan_finish(&plan);
    } while (next_list(list, n_stages));
    return n_fitting;
}

static void check_best(const struct trial *t, int n_chunks)
{
    struct merit best, found;
    struct plan plan;
    size_t least;
    try_all(&best, t, t->n_ranks * n_chunks, SIZE_MAX, &least);
    make_or_fail(&plan, t, NULL);
    found = judge(&plan);
    if (is_better(&best, &found)) {
        fail_msg("%s, %d ranks: slowest rank %.17g, stage %.17g, %d inside; possible %.17g, "
                 "%.17g, %d",
                 t->overrides[N_SMALL], t->n_ranks, found.slowest_rank, found.slowest_stage,
                 found.n_inside, best.slowest_rank, best.slowest_stage, best.n_inside);
    }
    plan_finish(&plan);
}

static const char *const KINDS[][3] = {
    {"model.kind=block_full", "model.blocks=2", "model.vocab=256"},
    {"model.kind=block_full", "model.blocks=4", "model.vocab=2048"},
    {"model.kind=block_full", "model.blocks=1", "representative.value=int8"},
    {"model.kind=block", "model.blocks=3", "model.tied=true"},
    {"model.kind=block", "model.blocks=2", "representative.gradient=bf16"},
    {"model.kind=full", "model.blocks=2", "model.ff=8"},
    {"model.kind=standard", "model.blocks=4", "model.ff=512"},
};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static void auto_equals_the_best_of_all_partitions(void **state)
{
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        for (int n_ranks = 1; n_ranks <= L; n_ranks++) {
            struct trial t = trial_of(KINDS[k], 3, n_ranks);
            check_best(&t, 1);
            free(t.config);
        }
    }
}

static void chunks_of_a_rank_are_balanced_together(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *chunks;
        int n_ranks, n_chunks;
    } GRIDS[] = {
        {"interleaved", "2", 2, 2}, {"interleaved", "3", 2, 3}, {"interleaved", "2", 3, 2},
        {"interleaved", "2", 4, 2}, {"zb_v", "2", 1, 2},        {"zb_v", "2", 2, 2},
        {"zb_v", "2", 3, 2},
    };
    for (size_t g = 0; g < sizeof GRIDS / sizeof GRIDS[0]; g++) {
        for (int k = 0; k < N_KINDS; k++) {
            char schedule[64], chunks[64];
            snprintf(schedule, sizeof schedule, "pipeline.schedule=%s", GRIDS[g].schedule);
            snprintf(chunks, sizeof chunks, "pipeline.chunks=%s", GRIDS[g].chunks);
            const char *const extra[] = {KINDS[k][0], KINDS[k][1], KINDS[k][2],
                                         schedule,    chunks,      "batch.sequences=24"};
            struct trial t = trial_of(extra, 6, GRIDS[g].n_ranks);
            check_best(&t, GRIDS[g].n_chunks);
            free(t.config);
        }
    }
}

/* Too many partitions to try: cuts are moved one by one instead. */
static void many_chunks_are_nearly_even(void **state)
{
    (void)state;
    const char *const extra[] = {"model.layers=32", "model.blocks=16", "pipeline.chunks=2",
                                 "pipeline.schedule=interleaved", "model.dim=64"};
    struct trial t = trial_of(extra, 5, 4);
    struct plan plan;
    make_or_fail(&plan, &t, NULL);
    double slowest = 0.0, total = 0.0;
    for (int rank = 0; rank < 4; rank++) {
        slowest = fmax(slowest, plan_rank_work(&plan, rank));
        total += plan_rank_work(&plan, rank);
    }
    assert_true(slowest < 1.03 * total / 4.0); /* a sublayer is 6 % of a rank's work */
    plan_finish(&plan);
    free(t.config);
}

/* A rank's memory depends on the other ranks: its file headers have room for as many tensors as the
 * rank with the most, 1 KiB each. The search does not look into that, so it need not find what
 * comes this close to the limit. */
enum { DEPENDENCE_BYTES = 32 * 1024 };

/* From a limit that few partitions keep on. */
static void auto_is_the_best_that_keeps_the_limit(void **state)
{
    (void)state;
    int n_moved = 0;
    for (int k = 0; k < N_KINDS; k++) {
        for (int n_ranks = 2; n_ranks <= 4; n_ranks++) {
            struct trial t = trial_of(KINDS[k], 3, n_ranks);
            struct merit best, found, unlimited;
            size_t least, unused;
            struct plan plan;
            try_all(&unlimited, &t, n_ranks, SIZE_MAX, &least);
            for (int i = 0; i < 4; i++) {
                char limit[64];
                const size_t bytes = least + least / 16 * (size_t)i;
                snprintf(limit, sizeof limit, "memory.limit=%zu", bytes + DEPENDENCE_BYTES);
                assert_true(try_all(&best, &t, n_ranks, bytes, &unused) > 0);
                make_or_fail(&plan, &t, limit);
                found = judge(&plan);
                assert_true(plan_check_memory(&plan, NULL));
                assert_true(found.slowest_rank <= best.slowest_rank);
                assert_true(found.slowest_rank < best.slowest_rank ||
                            found.n_inside <= best.n_inside);
                n_moved += is_better(&unlimited, &found);
                plan_finish(&plan);
            }
            free(t.config);
        }
    }
    assert_true(n_moved > 0); /* the limit did decide in some of them */
}

static void chunks_keep_the_limit_too(void **state)
{
    (void)state;
    const char *const extra[] = {"model.blocks=2", "model.vocab=2048", "pipeline.chunks=2",
                                 "pipeline.schedule=interleaved"};
    struct trial t = trial_of(extra, 4, 2);
    struct merit best;
    struct plan plan;
    size_t least;
    char limit[64];
    try_all(&best, &t, 4, SIZE_MAX, &least);
    snprintf(limit, sizeof limit, "memory.limit=%zu", least + least / 50);
    make_or_fail(&plan, &t, limit);
    assert_true(plan_check_memory(&plan, NULL));
    plan_finish(&plan);
    free(t.config);
}

/* Take "  mpirun -n 3 key=value (1.0 MiB)" from the advice. */
static void read_advice(const char *line, struct trial *t, char *words, size_t capacity)
{
    const size_t length = strcspn(line, "\n(");
    assert_true(length < capacity);
    memcpy(words, line, length);
    words[length] = '\0';
    char *at = words;
    if (strncmp(at, "  mpirun -n ", 12) == 0) {
        t->n_ranks = (int)strtol(at + 12, &at, 10);
    }
    while (*at != '\0') {
        char *end = at + strcspn(at, " ");
        const bool is_last = *end == '\0';
        *end = '\0';
        if (end > at) {
            t->overrides[t->n_overrides++] = at;
        }
        at = is_last ? end : end + 1;
    }
}

static int check_advice(const struct trial *base, const char *message)
{
    int n = 0;
    const char *line = strstr(message, "what would fit:");
    assert_non_null(line);
    for (line = strchr(line, '\n'); line != NULL; line = strchr(line + 1, '\n'), n++) {
        struct trial t = *base;
        struct plan plan;
        char words[256];
        read_advice(line + 1, &t, words, sizeof words);
        make_or_fail(&plan, &t, NULL);
        assert_true(plan_check_memory(&plan, NULL));
        plan_finish(&plan);
    }
    return n;
}

static void a_plan_beyond_the_limit_is_refused_with_settings_that_fit(void **state)
{
    (void)state;
    static const struct {
        const char *settings[5];
        int n_ranks, least_advice;
    } CASES[] = {
        /* less a microbatch; more ranks; the limit */
        {{"batch.microbatch=8", "batch.sequences=32", "pipeline.stages=2",
          "pipeline.partition=[2,6]", "memory.limit=9.4e6"},
         2,
         3},
        /* another partition; another schedule */
        {{"pipeline.schedule=gpipe", "batch.microbatch=1", "batch.sequences=32",
          "pipeline.partition=blocks", "memory.limit=7e6"},
         2,
         2},
        /* nothing but the limit fits */
        {{"batch.microbatch=1", "model.vocab=65536", "pipeline.partition=auto", "model.tied=false",
          "memory.limit=2e6"},
         1,
         1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct trial t = trial_of(CASES[i].settings, 5, CASES[i].n_ranks);
        struct plan plan;
        struct error err = {0};
        make_or_fail(&plan, &t, NULL);
        assert_false(plan_check_memory(&plan, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_non_null(strstr(err.message, "memory.limit is"));
        plan_finish(&plan);
        const int n = check_advice(&t, err.message);
        if (n < CASES[i].least_advice) {
            fail_msg("%d settings: %s", n, err.message);
        }
        free(t.config);
    }
}

static void the_quick_start_is_cut_at_its_block_border(void **state)
{
    (void)state;
    struct config *config = calloc(1, sizeof *config);
    struct plan plan;
    struct error err = {0};
    assert_true(config_load(config, SOURCE_ROOT "/configs/quickstart.yaml", 0, NULL, &err));
    assert_true(plan_init(&plan, config, 2, PLAN_TRAIN, &err));
    assert_int_equal(plan.stages[1].first, plan.depth.block_size);
    plan_finish(&plan);
    free(config);
}

static void a_large_head_leaves_its_stage_fewer_sublayers(void **state)
{
    (void)state;
    const char *const extra[] = {"model.vocab=4096"};
    struct trial t = trial_of(extra, 1, 2);
    struct plan plan;
    make_or_fail(&plan, &t, NULL);
    assert_true(plan.stages[1].end - plan.stages[1].first <
                plan.stages[0].end - plan.stages[0].first);
    plan_finish(&plan);
    free(t.config);
}

/* The head's stage is the slowest however the others are cut: then at borders, and evenly. */
static void ties_go_to_the_block_border(void **state)
{
    (void)state;
    const char *const extra[] = {"model.vocab=16384", "model.blocks=4"};
    struct trial t = trial_of(extra, 2, 4);
    struct plan plan;
    make_or_fail(&plan, &t, NULL);
    assert_int_equal(plan.stages[0].end, 2);
    assert_int_equal(plan.stages[1].end, 4);
    assert_int_equal(plan.stages[2].end, 7);
    plan_finish(&plan);
    free(t.config);
}

/* What a refusal says to do is legal: no launch line where there is none. */
static void stages_that_no_launch_has_are_refused_by_their_key(void **state)
{
    (void)state;
    static const char *const INTERLEAVED[] = {"pipeline.schedule=interleaved", "batch.sequences=12",
                                              "batch.microbatch=1"};
    enum { N_INTERLEAVED = 3, N = 2 };
    static const struct {
        const char *overrides[N];
        int n_ranks;
        enum error_kind kind;
        const char *message, *remedy; /* legal on legal_ranks */
        int legal_ranks;
    } ROWS[] = {
        {{"pipeline.chunks=3", "pipeline.partition=[2,6]"},
         2,
         ERROR_CONFIG,
         "pipeline.partition lists 2 stages, which is no multiple of pipeline.chunks 3: no number "
         "of ranks has so many",
         "pipeline.partition=[2,4,2]",
         1},
        {{"pipeline.chunks=2", "pipeline.partition=[2,1,1,1,1,1,1]"},
         2,
         ERROR_CONFIG,
         "pipeline.partition lists 7 stages, which is no multiple of pipeline.chunks 2: no number "
         "of ranks has so many",
         "pipeline.partition=[2,1,1,1,1,2]",
         3},
        {{"pipeline.chunks=2", "pipeline.partition=[2,1,1,1,1,2]"},
         2,
         ERROR_LAUNCH,
         "pipeline.partition lists 6 stages, but there are 4: start it with mpirun -n 3",
         NULL,
         3},
        {{"pipeline.chunks=9"},
         1,
         ERROR_CONFIG,
         "pipeline.chunks is 9, but the model has only 8 sublayers (2 x model.layers): nearest "
         "legal value 8, with mpirun -n 1",
         "pipeline.chunks=8",
         1},
        {{"pipeline.chunks=9"},
         3,
         ERROR_CONFIG,
         "pipeline.chunks is 9, but the model has only 8 sublayers (2 x model.layers): nearest "
         "legal value 2, with mpirun -n 3",
         "pipeline.chunks=2",
         3},
        {{"pipeline.chunks=9", "pipeline.replicas=2"},
         10,
         ERROR_CONFIG,
         "pipeline.chunks is 9, but the model has only 8 sublayers (2 x model.layers): nearest "
         "legal value 8, with mpirun -n 2",
         "pipeline.chunks=8",
         2},
        {{"pipeline.chunks=3"},
         3,
         ERROR_LAUNCH,
         "9 stages, but the model has only 8 sublayers (2 x model.layers): start at most 2 ranks, "
         "or take a smaller pipeline.chunks",
         NULL,
         2},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const char *extra[MOST_OVERRIDES];
        const int n = overrides_join(extra, INTERLEAVED, N_INTERLEAVED, ROWS[i].overrides, N);
        struct trial t = trial_of(extra, n, ROWS[i].n_ranks);
        struct plan plan;
        struct error err = {0};
        assert_false(make(&plan, &t, NULL, &err));
        assert_int_equal(err.kind, ROWS[i].kind);
        assert_string_equal(err.message, ROWS[i].message);
        t.n_ranks = ROWS[i].legal_ranks;
        make_or_fail(&plan, &t, ROWS[i].remedy);
        plan_finish(&plan);
        free(t.config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_equals_the_best_of_all_partitions),
        cmocka_unit_test(chunks_of_a_rank_are_balanced_together),
        cmocka_unit_test(many_chunks_are_nearly_even),
        cmocka_unit_test(auto_is_the_best_that_keeps_the_limit),
        cmocka_unit_test(chunks_keep_the_limit_too),
        cmocka_unit_test(a_plan_beyond_the_limit_is_refused_with_settings_that_fit),
        cmocka_unit_test(the_quick_start_is_cut_at_its_block_border),
        cmocka_unit_test(a_large_head_leaves_its_stage_fewer_sublayers),
        cmocka_unit_test(ties_go_to_the_block_border),
        cmocka_unit_test(stages_that_no_launch_has_are_refused_by_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
