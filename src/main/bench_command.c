#include "command.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/bench.h>
#include <attnres/heap.h>
#include <attnres/session.h>

enum { TEXT_BYTES = 1 << 16 };

static bool measure(struct bench_result *result, const struct config *config, struct error *err)
{
    const struct kernels *kernels = session_choose_kernels(err);
    if (kernels == NULL) {
        return false;
    }
    const enum matmul_precision precision =
        config->compute.precision == PRECISION_BF16 ? MATMUL_BF16 : MATMUL_F32;
    const char *refusal = matmul_refusal(precision, kernels);
    if (refusal != NULL) {
        return error_set(err, ERROR_CONFIG, "compute.precision: %s", refusal);
    }
    const int64_t wanted = config->compute.n_threads;
    const int n_threads = wanted > 0 ? (int)wanted : 1;
    kernels_set_threads(n_threads);
    return bench_run(result, config, kernels, n_threads, err);
}

static bool run(const struct command_line *line, struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    struct bench_result *result = heap_take(1, sizeof *result, "the benchmark's results");
    char *text = heap_take(1, TEXT_BYTES, "the benchmark's results");
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    const bool ok = config_load(config, path, line->n_overrides, line->overrides, err) &&
                    measure(result, config, err);
    if (ok && command_has(line, "json")) {
        bench_print_json(result, text, TEXT_BYTES);
        puts(text);
    } else if (ok) {
        bench_print(result, text, TEXT_BYTES);
        fputs(text, stdout);
    }
    free(text);
    free(result);
    free(config);
    return ok;
}

const struct command bench_command = {
    .name = "bench",
    .usage = "[CONFIG] [key=value ...] [--json]",
    .summary = "time each kernel at a configuration's shapes, against what the processor can do",
    .details = "One microbatch of CONFIG, or of the defaults, on one thread or compute.threads of "
               "them. The floor is the\nlonger of a kernel's operations at the rate of an f32 "
               "product and its bytes at that of memory. Times are the\nfastest of many runs; on "
               "one thread the processor's, which other load does not stretch.",
    .flags = {{"json", FLAG_SWITCH, NULL,
               "one JSON object; seconds, operations and bytes of a run"}},
    .most = 1,
    .takes_overrides = true,
    .is_alone = true,
    .run = run,
};
