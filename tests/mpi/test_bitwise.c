/* The bitwise table under MPI: on this number of ranks a set of cases in which every pair of values
 * occurs, each against a one-stage reference that rank 0 runs in its own process. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <attnres/file.h>

#include "../support/bitwise.h"
#include "../support/folder.h"
#include "../support/ranks.h"

enum { MAX_VALUES = 8, MAX_CASES = 64 };

struct cover {
    bool seen[BITWISE_AXES][MAX_VALUES][BITWISE_AXES][MAX_VALUES];
};

static int count_new_pairs(const struct cover *cover, const struct bitwise_case *c)
{
    int n = 0;
    for (int a = 0; a < BITWISE_AXES; a++) {
        for (int b = a + 1; b < BITWISE_AXES; b++) {
            n += !cover->seen[a][c->value[a]][b][c->value[b]];
        }
    }
    return n;
}

static void note_pairs(struct cover *cover, const struct bitwise_case *c)
{
    for (int a = 0; a < BITWISE_AXES; a++) {
        for (int b = a + 1; b < BITWISE_AXES; b++) {
            cover->seen[a][c->value[a]][b][c->value[b]] = true;
        }
    }
}

/** Greedily: the case with the most new pairs, the first of equals, until none has any. Returns how
 * many. */
static int choose_cases(struct bitwise_case *cases, int n_ranks)
{
    struct cover cover = {0};
    int n = 0;
    for (int best = 1; best > 0 && n < MAX_CASES;) {
        best = 0;
        for (int i = 0; i < bitwise_case_count(); i++) {
            const struct bitwise_case c = bitwise_case_at(i);
            const int n_new = bitwise_ranks(&c) == n_ranks && bitwise_is_legal(&c)
                                  ? count_new_pairs(&cover, &c)
                                  : 0;
            if (n_new > best) {
                best = n_new;
                cases[n] = c;
            }
        }
        if (best > 0) {
            note_pairs(&cover, &cases[n++]);
        }
    }
    return n;
}

/** Every pair of values of two axes occurs in some case, counted anew. */
static bool covers_all_pairs(const struct bitwise_case *cases, int n, int n_ranks)
{
    for (int i = 0; i < bitwise_case_count(); i++) {
        const struct bitwise_case c = bitwise_case_at(i);
        if (bitwise_ranks(&c) != n_ranks || !bitwise_is_legal(&c)) {
            continue;
        }
        for (int a = 0; a < BITWISE_AXES; a++) {
            for (int b = a + 1; b < BITWISE_AXES; b++) {
                bool found = false;
                for (int k = 0; k < n && !found; k++) {
                    found = cases[k].value[a] == c.value[a] && cases[k].value[b] == c.value[b];
                }
                if (!found) {
                    return false;
                }
            }
        }
    }
    return true;
}

static void run_case(struct transport *t, const char *folder, const struct bitwise_case *c)
{
    char reference_dir[FILE_PATH_BYTES] = "", source_dir[FILE_PATH_BYTES] = "",
         run_dir[FILE_PATH_BYTES] = "";
    char message[1024] = "", text[256];
    struct bitwise_outcome reference = {0}, outcome;
    const struct bitwise_case straight = bitwise_reference(c);
    struct bitwise_case source = straight;
    source.value[AXIS_RANKS] =
        bitwise_ranks(c) == 1 ? 1 : 0; /* resume comes from another number of stages */
    file_join(reference_dir, folder, "reference", NULL);
    file_join(source_dir, folder, "source", NULL);
    file_join(run_dir, folder, "run", NULL);
    bitwise_describe(c, text, sizeof text);
    if (transport_rank(t) == 0) {
        struct bitwise_outcome ignored;
        CHECK(t, bitwise_run_local(&straight, reference_dir, NULL, &reference, message,
                                   sizeof message));
        CHECK(t, bitwise_run_local(&source, source_dir, NULL, &ignored, message, sizeof message));
    }
    transport_barrier(t);
    const bool ok = bitwise_run(t, c, run_dir, bitwise_is_resumed(c) ? source_dir : NULL, &outcome,
                                message, sizeof message);
    if (!ok) {
        fprintf(stderr, "%s: %s\n", text, message);
    }
    CHECK(t, ok);
    if (transport_rank(t) == 0) {
        if (!bitwise_equal(&outcome, &reference)) {
            fprintf(stderr, "differs: %s\n", text);
        }
        CHECK(t, bitwise_equal(&outcome, &reference));
        file_remove_tree(reference_dir, NULL);
        file_remove_tree(source_dir, NULL);
        file_remove_tree(run_dir, NULL);
    }
    transport_barrier(t);
}

static void every_pair_of_settings_gives_the_bits_of_one_stage(struct transport *t)
{
    struct bitwise_case cases[MAX_CASES];
    char folder[FILE_PATH_BYTES] = "";
    const int n = choose_cases(cases, transport_size(t));
    CHECK(t, covers_all_pairs(cases, n, transport_size(t)));
    if (transport_rank(t) == 0) {
        CHECK(t, folder_make(folder, sizeof folder, "bitwise"));
    }
    transport_broadcast(t, 0, folder, sizeof folder);
    for (int i = 0; i < n; i++) {
        run_case(t, folder, &cases[i]);
    }
    if (transport_rank(t) == 0) {
        printf("%d cases cover every pair of values on %d ranks\n", n, transport_size(t));
        rmdir(folder);
    }
}

int main(int argc, char **argv)
{
    static const struct ranks_case SUITE[] = {
        {"every_pair_of_settings_gives_the_bits_of_one_stage",
         every_pair_of_settings_gives_the_bits_of_one_stage},
        {NULL, NULL},
    };
    return ranks_run_suite_mpi(argc, argv, SUITE);
}
