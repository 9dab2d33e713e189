/* The file of a sweep. Whatever is accepted has runs of plain, different names, each with its
 * words. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/sweep.h>

enum { MEMORY_BYTES = 1 << 18, MEMORY_PER_BYTE = 64 };

static void expect_plain(const char *name)
{
    assert(name[0] != '\0' && name[0] != '.' && name[0] != '-' && strlen(name) < SWEEP_NAME_BYTES);
    assert(strchr(name, '/') == NULL);
}

static void expect_run(const struct sweep *sweep, int index)
{
    const struct sweep_options options = {.n_jobs = 1, .self = "attnres"};
    struct sweep_run run;
    struct error err = {0};
    if (!sweep_make_run(&run, sweep, index, &options, &err)) {
        fuzz_expect_refusal(&err, ERROR_CONFIG);
        return;
    }
    expect_plain(run.name);
    assert(run.n_overrides >= 1 && run.n_overrides <= SWEEP_RUN_WORDS);
    for (int i = 0; i < run.n_overrides; i++) {
        assert(strchr(run.overrides[i], '=') != NULL);
    }
    assert(strncmp(run.overrides[run.n_overrides - 1], "run.dir=", 8) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    static struct sweep sweep;
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = sweep_parse(&sweep, "sweep.yaml", (const char *)bytes, length, &err);
    fuzz_expect_at_most(MEMORY_BYTES + MEMORY_PER_BYTE * length);
    if (!ok) {
        fuzz_expect_refusal(&err, ERROR_CONFIG);
        return 0;
    }
    assert(sweep.n_runs >= 1 && sweep.n_runs <= SWEEP_MAX_RUNS);
    for (int i = 0; i < sweep.n_runs; i += 1 + sweep.n_runs / 16) {
        expect_run(&sweep, i);
    }
    return 0;
}
