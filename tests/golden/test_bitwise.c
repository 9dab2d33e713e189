/* The full product of the bitwise table without recomputation, and a quarter of it with, in one
 * process over `local`. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <attnres/file.h>
#include <attnres/kernels.h>

#include "../support/bitwise.h"
#include "../support/folder.h"
#include "../support/sample.h"

/** Cases run at a time, each in a world of its own: those of one rank leave a core idle. */
enum { N_WORKERS = 2 };

struct suite {
    char folder[FILE_PATH_BYTES];
    struct bitwise_outcome references[64];
    bool has_reference[64];
    pthread_mutex_t mutex; /* over what follows */
    int next;              /* case to look at */
    int n_run, n_failed;
};

static int reference_index(const struct bitwise_case *c)
{
    const int model = c->value[AXIS_MODEL] * bitwise_axis_size(AXIS_HEAD) + c->value[AXIS_HEAD];
    return model * bitwise_axis_size(AXIS_REPRESENTATIVE) + c->value[AXIS_REPRESENTATIVE];
}

static void source_folder(char *out, const struct suite *suite, const struct bitwise_case *c)
{
    char name[64];
    snprintf(name, sizeof name, "source-%d-%d", reference_index(c), bitwise_ranks(c));
    file_join(out, suite->folder, name, NULL);
}

/** Whether the suite runs a legal case. Each combination of the other axes is run with one number
 * of threads; of those that recompute each is run with one setting and as one kind of run. These
 * alternate, each in its own pattern, so that every pair of values still occurs. */
static bool is_chosen(const struct bitwise_case *c)
{
    const int *v = c->value, recompute = v[AXIS_RECOMPUTE];
    if (!bitwise_is_legal(c)) {
        return false;
    }
    if (recompute == 0) { /* one thread where it is a source */
        return v[AXIS_THREADS] == (v[AXIS_SCHEDULE] + v[AXIS_CUT] + v[AXIS_RUN]) % 2;
    }
    const int model = v[AXIS_MODEL] + v[AXIS_HEAD] + v[AXIS_REPRESENTATIVE];
    return recompute == 1 + (model + v[AXIS_RANKS] + v[AXIS_SCHEDULE] + v[AXIS_CUT]) % 2 &&
           v[AXIS_THREADS] == (v[AXIS_RANKS] + v[AXIS_HEAD]) % 2 &&
           v[AXIS_RUN] == (v[AXIS_SCHEDULE] + v[AXIS_MODEL]) % 2;
}

/** Whether every value of every other axis that is legal here (bf16 is not everywhere) is run with
 * every setting of recomputation. */
static bool covers_recompute(void)
{
    enum { MAX_VALUES = 8 };
    bool seen[BITWISE_AXES][MAX_VALUES][MAX_VALUES] = {{{false}}};
    bool legal[BITWISE_AXES][MAX_VALUES] = {{false}};
    for (int i = 0; i < bitwise_case_count(); i++) {
        const struct bitwise_case c = bitwise_case_at(i);
        for (int axis = 0; axis < BITWISE_AXES; axis++) {
            legal[axis][c.value[axis]] |= bitwise_is_legal(&c);
            seen[axis][c.value[axis]][c.value[AXIS_RECOMPUTE]] |= is_chosen(&c);
        }
    }
    for (int axis = 0; axis < BITWISE_AXES; axis++) {
        for (int i = 0; axis != AXIS_RECOMPUTE && i < bitwise_axis_size(axis); i++) {
            for (int k = 0; k < bitwise_axis_size(AXIS_RECOMPUTE); k++) {
                if (legal[axis][i] && !seen[axis][i][k]) {
                    return false;
                }
            }
        }
    }
    return true;
}

/** Whether a straight case's folder serves resumed cases as their source. */
static bool is_source(const struct bitwise_case *c)
{
    return !bitwise_is_resumed(c) && c->value[AXIS_SCHEDULE] == 0 && c->value[AXIS_CUT] == 0 &&
           c->value[AXIS_THREADS] == 0 && c->value[AXIS_RECOMPUTE] == 0;
}

/** Whether an outcome is that of its reference; prints how it differs. */
static bool compare(const struct suite *suite, const struct bitwise_case *c,
                    const struct bitwise_outcome *outcome)
{
    const struct bitwise_outcome *reference = &suite->references[reference_index(c)];
    if (bitwise_equal(outcome, reference)) {
        return true;
    }
    char text[256];
    bitwise_describe(c, text, sizeof text);
    printf("DIFFERS %s: loss %.17g, reference %.17g; norm %.17g, reference %.17g; tensors %s\n",
           text, outcome->loss[BITWISE_STEPS], reference->loss[BITWISE_STEPS],
           outcome->norm[BITWISE_STEPS], reference->norm[BITWISE_STEPS],
           outcome->tensors == reference->tensors ? "equal" : "differ");
    return false;
}

/** Run a case in `folder`. The first of a reference index is the reference. */
static void run_case(struct suite *suite, const struct bitwise_case *c, const char *folder)
{
    char source[FILE_PATH_BYTES], message[1024], text[256];
    /* A resumed case goes on from a run with one rank more, the largest from one rank. */
    struct bitwise_case other = *c;
    other.value[AXIS_RANKS] = bitwise_ranks(c) % BITWISE_MAX_RANKS;
    source_folder(source, suite, &other);
    struct bitwise_outcome outcome;
    bool ok = bitwise_run_local(c, folder, bitwise_is_resumed(c) ? source : NULL, &outcome, message,
                                sizeof message);
    pthread_mutex_lock(&suite->mutex);
    if (!ok) {
        bitwise_describe(c, text, sizeof text);
        printf("FAILED  %s: %s\n", text, message);
    } else if (!suite->has_reference[reference_index(c)]) {
        suite->references[reference_index(c)] = outcome;
        suite->has_reference[reference_index(c)] = true;
    } else {
        ok = compare(suite, c, &outcome);
    }
    suite->n_run++;
    suite->n_failed += !ok;
    pthread_mutex_unlock(&suite->mutex);
}

/** Sources keep their folders. One after another: the straight one-rank runs come first among them,
 * and they are the references. */
static void run_sources(struct suite *suite)
{
    for (int i = 0; i < bitwise_case_count(); i++) {
        const struct bitwise_case c = bitwise_case_at(i);
        if (is_chosen(&c) && is_source(&c)) {
            char folder[FILE_PATH_BYTES];
            source_folder(folder, suite, &c);
            run_case(suite, &c, folder);
        }
    }
}

/** The next chosen case that is no source. Returns its index, the number of cases behind the last.
 */
static int take_case(struct suite *suite, struct bitwise_case *c)
{
    pthread_mutex_lock(&suite->mutex);
    int i = suite->next;
    for (; i < bitwise_case_count(); i++) {
        *c = bitwise_case_at(i);
        if (is_chosen(c) && !is_source(c) && sample_takes(i)) {
            break;
        }
    }
    suite->next = i + 1;
    pthread_mutex_unlock(&suite->mutex);
    return i;
}

static void *work(void *user)
{
    struct suite *suite = user;
    struct bitwise_case c;
    for (int i = take_case(suite, &c); i < bitwise_case_count(); i = take_case(suite, &c)) {
        char folder[FILE_PATH_BYTES], name[32];
        snprintf(name, sizeof name, "case-%d", i);
        file_join(folder, suite->folder, name, NULL);
        run_case(suite, &c, folder);
        file_remove_tree(folder, NULL);
    }
    return NULL;
}

static void run_others(struct suite *suite)
{
    pthread_t workers[N_WORKERS];
    for (int i = 0; i < N_WORKERS; i++) {
        const int failure = pthread_create(&workers[i], NULL, work, suite);
        assert(failure == 0);
        (void)failure;
    }
    for (int i = 0; i < N_WORKERS; i++) {
        pthread_join(workers[i], NULL);
    }
}

int main(void)
{
    struct suite *suite = calloc(1, sizeof *suite);
    assert(suite != NULL);
    pthread_mutex_init(&suite->mutex, NULL);
    if (!folder_make(suite->folder, sizeof suite->folder, "bitwise")) {
        return 1;
    }
    int product = 1;
    for (int axis = 0; axis < BITWISE_AXES; axis++) {
        product *= bitwise_axis_size((enum bitwise_axis)axis);
    }
    /* Of `standard` only one representative is legal; of products in bf16 also only one head. */
    const int per_model = product / bitwise_axis_size(AXIS_MODEL);
    const int one_representative = per_model / bitwise_axis_size(AXIS_REPRESENTATIVE);
    const bool has_bf16 =
        matmul_refusal(MATMUL_BF16, kernels_select(kernels_level_count() - 1)) == NULL;
    const int n_bf16 = has_bf16 ? one_representative / bitwise_axis_size(AXIS_HEAD) : 0;
    const int n_legal = product - 2 * per_model + one_representative + n_bf16;
    const int n_none = n_legal / bitwise_axis_size(AXIS_RECOMPUTE),
              n_chosen = n_none / 2 + n_none / 4;
    run_sources(suite);
    run_others(suite);
    printf("%d cases run of %d chosen, the table has %d legal ones of %d; %d differ\n",
           suite->n_run, n_chosen, n_legal, product, suite->n_failed);
    const bool ok = (suite->n_run == n_chosen || sample_every() > 1) && suite->n_failed == 0 &&
                    covers_recompute();
    file_remove_tree(suite->folder, NULL);
    pthread_mutex_destroy(&suite->mutex);
    free(suite);
    return ok ? 0 : 1;
}
