/* The full product of the bitwise table, in one process over `local`. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <attnres/file.h>

#include "../support/bitwise.h"

struct suite {
    char folder[FILE_PATH_BYTES];
    struct bitwise_outcome references[64];
    bool has_reference[64];
    int n_run, n_failed;
};

static int reference_index(const struct bitwise_case *c)
{
    const int model = c->value[AXIS_MODEL] * bitwise_axis_size(AXIS_HEAD) + c->value[AXIS_HEAD];
    return model * bitwise_axis_size(AXIS_REPRESENTATIVE) + c->value[AXIS_REPRESENTATIVE];
}

static void run_folder(char *out, const struct suite *suite, const char *what,
                       const struct bitwise_case *c)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%d-%d", what, reference_index(c), bitwise_ranks(c));
    file_join(out, suite->folder, name, NULL);
}

/** Whether a straight case's folder serves resumed cases as their source. */
static bool is_source(const struct bitwise_case *c)
{
    return !bitwise_is_resumed(c) && c->value[AXIS_SCHEDULE] == 0 && c->value[AXIS_CUT] == 0 &&
           c->value[AXIS_THREADS] == 0;
}

static void run_case(struct suite *suite, const struct bitwise_case *c)
{
    char folder[FILE_PATH_BYTES], source[FILE_PATH_BYTES], message[1024], text[256];
    run_folder(folder, suite, is_source(c) ? "source" : "case", c);
    /* A resumed case goes on from a run with one rank more, the largest from one rank. */
    struct bitwise_case other = *c;
    other.value[AXIS_RANKS] = bitwise_ranks(c) % BITWISE_MAX_RANKS;
    run_folder(source, suite, "source", &other);
    struct bitwise_outcome outcome;
    bool ok = bitwise_run_local(c, folder, bitwise_is_resumed(c) ? source : NULL, &outcome, message,
                                sizeof message);
    bitwise_describe(c, text, sizeof text);
    struct bitwise_outcome *reference = &suite->references[reference_index(c)];
    if (!ok) {
        printf("FAILED  %s: %s\n", text, message);
    } else if (!suite->has_reference[reference_index(c)]) {
        *reference = outcome;
        suite->has_reference[reference_index(c)] = true;
    } else if (!bitwise_equal(&outcome, reference)) {
        printf("DIFFERS %s: loss %.17g, reference %.17g; norm %.17g, reference %.17g; tensors %s\n",
               text, outcome.loss[BITWISE_STEPS], reference->loss[BITWISE_STEPS],
               outcome.norm[BITWISE_STEPS], reference->norm[BITWISE_STEPS],
               outcome.tensors == reference->tensors ? "equal" : "differ");
        ok = false;
    }
    suite->n_run++;
    suite->n_failed += !ok;
    if (!is_source(c)) {
        file_remove_tree(folder, NULL);
    }
}

static void run_all(struct suite *suite, bool sources)
{
    for (int i = 0; i < bitwise_case_count(); i++) {
        const struct bitwise_case c = bitwise_case_at(i);
        if (bitwise_is_legal(&c) && is_source(&c) == sources) {
            run_case(suite, &c);
        }
    }
}

int main(void)
{
    struct suite *suite = calloc(1, sizeof *suite);
    assert(suite != NULL);
    snprintf(suite->folder, sizeof suite->folder, "%s/attnres-bitwise-XXXXXX",
             bitwise_parent_folder());
    if (mkdtemp(suite->folder) == NULL) {
        perror(suite->folder);
        return 1;
    }
    int product = 1;
    for (int axis = 0; axis < BITWISE_AXES; axis++) {
        product *= bitwise_axis_size((enum bitwise_axis)axis);
    }
    /* Of `standard`, one kind of all, only one representative is legal. */
    const int per_kind = product / bitwise_axis_size(AXIS_MODEL);
    const int n_legal = product - per_kind + per_kind / bitwise_axis_size(AXIS_REPRESENTATIVE);
    run_all(suite, true); /* straight one-rank runs come first among these: the references */
    run_all(suite, false);
    printf("%d cases run, the table has %d legal ones of %d; %d differ\n", suite->n_run, n_legal,
           product, suite->n_failed);
    const bool ok = suite->n_run == n_legal && suite->n_failed == 0;
    struct error err = {0};
    for (int i = 0; i < BITWISE_MAX_RANKS * 64; i++) {
        char name[64], path[FILE_PATH_BYTES];
        snprintf(name, sizeof name, "source-%d-%d", i / BITWISE_MAX_RANKS,
                 i % BITWISE_MAX_RANKS + 1);
        file_join(path, suite->folder, name, NULL);
        file_remove_tree(path, &err);
    }
    rmdir(suite->folder);
    free(suite);
    return ok ? 0 : 1;
}
