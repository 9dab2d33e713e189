#include "run.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/clock.h>
#include <attnres/heap.h>
#include <attnres/train.h>

#include "build.h"

static void print_result(const struct train_result *r, bool as_json)
{
    char text[4096 + SUMMARY_TEXT_BYTES];
    if (!as_json) {
        printf("steps         %" PRId64 " (%" PRId64 " tokens, %.1f s but for evaluations)\n",
               r->step, r->n_tokens, r->time_s);
        if (isfinite(r->loss)) {
            printf("loss          %.6f nats per token in the last step\n", r->loss);
        }
        if (isfinite(r->val_loss)) {
            printf("val loss      %.6f nats per token\n", r->val_loss);
        }
        if (isfinite(r->order1_entropy)) {
            printf("order-1       %.6f nats per byte: what a table of byte pairs would reach\n",
                   r->order1_entropy);
        }
        printf("weights hash  %016" PRIx64 "\nrun folder    %s\n", r->weights_hash, r->run_path);
        return;
    }
    char hash[32];
    struct json_writer w;
    snprintf(hash, sizeof hash, "%016" PRIx64, r->weights_hash);
    json_writer_init(&w, text, sizeof text);
    json_begin_object(&w, NULL);
    json_int(&w, "step", r->step);
    json_int(&w, "tokens", r->n_tokens);
    json_number(&w, "time_s", r->time_s);
    json_number(&w, "loss", r->loss);
    json_number(&w, "grad_norm", r->grad_norm);
    json_number(&w, "val_loss", r->val_loss);
    json_number(&w, "order1_entropy", r->order1_entropy);
    json_text(&w, "weights_hash", hash);
    if (r->summary.n_steps > 0) {
        summary_write_json(&w, "summary", &r->summary);
    }
    json_text(&w, "run", r->run_path);
    json_end_object(&w);
    assert(json_writer_ok(&w) && "a result fits");
    printf("%s\n", text);
}

/** When Slurm ends the job, by clock_monotonic_s: the host's clock may be set meanwhile. 0 outside
 * of one. Slurm sets the variable, in seconds since 1970, from 23.02 on; slurm/job.sh does so on
 * older ones. */
static double read_job_end_s(struct log *log)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    char *end = NULL;
    const double seconds = text != NULL ? strtod(text, &end) : 0.0;
    if (text == NULL || end == text || *end != '\0' || !isfinite(seconds) || seconds <= 0.0) {
        return 0.0;
    }
    const double left_s = seconds - clock_wall_s();
    if (left_s <= 0.0) {
        log_write(log, LOG_WARNING,
                  "SLURM_JOB_END_TIME=%s is past already, so it is not heeded: only a signal will "
                  "stop this run before its job is ended",
                  text);
        return 0.0;
    }
    return clock_monotonic_s() + left_s;
}

static bool train(const struct command_line *line, struct transport *transport, struct log *log,
                  struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    const bool is_root = transport_rank(transport) == 0;
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    const bool loaded =
        !is_root || config_load(config, path, line->n_overrides, line->overrides, err);
    const struct train_options options = {
        .config_path = path,
        .resume = command_has(line, "resume"),
        .resume_from = command_text(line, "resume", NULL),
        .dry_run = command_has(line, "dry-run"),
        .stops_on_signals = true,
        .wants_entropy = true,
        .job_end_s = is_root ? read_job_end_s(log) : 0.0,
        .build = {BUILD_VERSION, BUILD_REVISION, BUILD_COMPILER, BUILD_FLAGS},
    };
    struct train_result result = {0};
    const bool ok = session_share_config(config, transport, loaded, err) &&
                    train_run(&result, config, &options, transport, log, err);
    if (is_root && !options.dry_run && (ok || (result.stopped && err->kind == ERROR_EARLY))) {
        print_result(&result, command_has(line, "json"));
    }
    free(config);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    static const char *const OF_DRY_RUN[] = {"dry-run", "resume", NULL};
    if (command_has(line, "dry-run") &&
        !command_heeds(line, "train --dry-run (attnres plan --json prints a plan)", OF_DRY_RUN,
                       err)) {
        return false;
    }
    struct log log;
    train_hold_signals(); /* starting the ranks takes seconds */
    struct transport *transport = run_start_ranks(line, &log, err);
    if (transport == NULL) {
        return false;
    }
    const bool ok = train(line, transport, &log, err);
    run_stop_ranks(transport, &log, err);
    return ok;
}

const struct command train_command = {
    .name = "train",
    .usage = "[CONFIG] [key=value ...] [--resume[=DIR]] [--dry-run]",
    .summary = "train a model, one pipeline stage per MPI rank",
    .details =
        "  mpirun -n 2 attnres train configs/quickstart.yaml\n"
        "  mpirun -n 4 attnres train configs/text.yaml data.train=books/ model.blocks=4\n\n"
        "The run's folder is run.dir (default runs/<CONFIG's name>, of RUN/config.yaml RUN). To "
        "stop and save: touch STOP in it, or\n"
        "send USR1 to mpirun; the exit code is then 75, and --resume goes on, on any number "
        "of ranks. USR2 has every\n"
        "rank write its last events into that folder; so does a stall (run.stall_s). A run "
        "ends with a table of where\n"
        "its time went (summary.json); trace.steps records some steps event by event (trace/ "
        "in the run's folder).",
    .flags = {{"resume", FLAG_OPTIONAL, "DIR",
               "go on from the newest good checkpoint of the run's folder, or of DIR"},
              {"dry-run", FLAG_SWITCH, NULL,
               "print partition, schedule and memory, tell what a start would refuse, and end"},
              {"json", FLAG_SWITCH, NULL, "print the result as one JSON object"}},
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
