/* What a resume may change: every key stands in one of three lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../src/config/config_internal.h"

/* All others are what the run is, and refused. */
static const char *const FREE[] = {"run.dir",
                                   "run.stall_s",
                                   "run.stall_start_s",
                                   "run.stall_save_s",
                                   "run.max_hours",
                                   "pipeline.stages",
                                   "pipeline.chunks",
                                   "pipeline.replicas",
                                   "pipeline.schedule",
                                   "pipeline.group",
                                   "pipeline.partition",
                                   "pipeline.cache",
                                   "pipeline.deflate",
                                   "pipeline.costs",
                                   "data.train",
                                   "data.val",
                                   "train.eval_every",
                                   "train.eval_tokens",
                                   "train.log_every",
                                   "checkpoint.every",
                                   "checkpoint.minutes",
                                   "checkpoint.keep",
                                   "checkpoint.initial",
                                   "checkpoint.async",
                                   "checkpoint.snapshot_bytes",
                                   "memory.recompute",
                                   "memory.limit",
                                   "guard.max_skips",
                                   "guard.spike_z",
                                   "guard.spike_skip",
                                   "guard.check_every",
                                   "compute.threads",
                                   "trace.first",
                                   "trace.steps"};
static const char *const WARNED[] = {"optim.lr",
                                     "optim.schedule",
                                     "optim.warmup_steps",
                                     "optim.min_lr_ratio",
                                     "optim.cooldown_ratio",
                                     "data.skip",
                                     "train.steps",
                                     "train.init"};

static bool is_in(const char *const *keys, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void every_key_has_the_rule_that_is_promised(void **state)
{
    (void)state;
    size_t n_listed = 0;
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option *option = &config_options[i];
        const bool is_free = is_in(FREE, sizeof FREE / sizeof FREE[0], option->key);
        const bool is_warned = is_in(WARNED, sizeof WARNED / sizeof WARNED[0], option->key);
        const enum config_resume_rule rule = is_free     ? CONFIG_RESUME_FREE
                                             : is_warned ? CONFIG_RESUME_WARN
                                                         : CONFIG_RESUME_REFUSE;
        if (option->resume != rule) {
            fail_msg("%s: rule %d, not %d", option->key, (int)option->resume, (int)rule);
        }
        n_listed += is_free || is_warned;
    }
    assert_int_equal(n_listed, sizeof FREE / sizeof FREE[0] + sizeof WARNED / sizeof WARNED[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_the_rule_that_is_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
