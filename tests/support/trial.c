#include "trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "compare.h"

void trial_output(struct trial *trial, const void *bytes, size_t n_bytes)
{
    trial->hash = compare_hash(trial->hash, bytes, n_bytes);
}

void trial_expect(struct trial *trial, const char *name, const float *actual,
                  const double *expected, int64_t count, double limit)
{
    const double error = compare_relative_error(actual, expected, (size_t)count);
    if (!(error < limit)) {
        const int64_t *s = trial->size;
        fail_msg("%s, level %s, size %ld %ld %ld %ld %ld: error %g, allowed %g", name,
                 trial->kernels->level, (long)s[0], (long)s[1], (long)s[2], (long)s[3], (long)s[4],
                 error, limit);
    }
    trial_output(trial, actual, (size_t)count * sizeof *actual);
}

static uint64_t run_once(void (*run)(struct trial *), int level, const int64_t *size, int n_threads)
{
    struct trial trial = {
        .kernels = kernels_select(level), .size = size, .hash = COMPARE_HASH_START};
    kernels_set_threads(n_threads);
    run(&trial);
    tensors_finish(&trial.tensors);
    return trial.hash;
}

void trial_each(void (*run)(struct trial *), const int64_t (*sizes)[TRIAL_SIZES], size_t n_sizes)
{
    for (int level = 0; level < kernels_level_count(); level++) {
        for (size_t i = 0; i < n_sizes; i++) {
            const uint64_t one = run_once(run, level, sizes[i], 1);
            assert_true(run_once(run, level, sizes[i], 2) == one);
            assert_true(run_once(run, level, sizes[i], 3) == one);
        }
    }
}
