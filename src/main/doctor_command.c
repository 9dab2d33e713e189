#include "run.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/collective.h>
#include <attnres/heap.h>
#include <attnres/rundir.h>

static bool print(const struct launch_report *report, bool as_json, struct error *err)
{
    enum { TEXT_BYTES = 1 << 17 };
    char *text = heap_take(TEXT_BYTES, 1, "the printed check");
    if (as_json) {
        launch_print_json(report, text, TEXT_BYTES);
    } else {
        launch_print(report, text, TEXT_BYTES);
    }
    printf("%s%s", text, as_json ? "\n" : "");
    free(text);
    int n_failed = 0;
    for (int i = 0; i < report->n_rows; i++) {
        n_failed += report->rows[i].verdict == LAUNCH_FAIL;
    }
    return n_failed == 0 ||
           error_set(err, ERROR_LAUNCH, "%d of %d checks fail", n_failed, report->n_rows);
}

/** Without a plan there is no telling what the rest comes to. */
static bool check_run(const struct command_line *line, struct transport *transport, struct log *log,
                      struct launch_report *report, struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    struct session *session = heap_take(1, sizeof *session, "the session");
    const bool is_root = transport_rank(transport) == 0;
    const char *path = line->n_positionals > 0 ? line->positionals[0] : NULL;
    char folder[FILE_PATH_BYTES];
    const bool loaded =
        !is_root || config_load(config, path, line->n_overrides, line->overrides, err);
    bool ok = session_share_config(config, transport, loaded, err) &&
              session_plan(session, config, transport, log, PLAN_TRAIN, err);
    if (ok) {
        const bool chosen = is_root && rundir_choose(folder, config->run.dir, path, NULL);
        session_check_launch(session, chosen ? folder : "", report);
    }
    session_finish(session);
    free(session);
    free(config);
    return ok;
}

static bool run(const struct command_line *line, struct error *err)
{
    struct log log;
    struct launch_report *report = heap_take(1, sizeof *report, "the launch check");
    struct transport *transport = run_create_ranks(line, &log, err);
    bool ok = transport != NULL;
    if (ok) {
        const bool is_root = transport_rank(transport) == 0;
        struct error told = {0};
        ok = !launch_check_start(report, *line->argc, *line->argv, transport, &told) ||
             check_run(line, transport, &log, report, err);
        ok = ok && (!is_root || print(report, command_has(line, "json"), err));
        ok = collective_agree(transport, ok, err);
        run_stop_ranks(transport, &log, err);
    }
    free(report);
    return ok;
}

const struct command doctor_command = {
    .name = "doctor",
    .usage = "[CONFIG] [key=value ...]",
    .summary = "check a launch without training: hosts, processors, memory, libraries, folder",
    .details =
        "  mpirun -n 4 attnres doctor configs/quickstart.yaml\n\n"
        "Start it exactly as train would be started. Each check passes, warns (the run would "
        "be slow, or there was\n"
        "nothing to look at) or fails, with what to do about it; the exit code is 69 if one "
        "fails. train makes the same\n"
        "checks before its first step.",
    .flags = {{"json", FLAG_SWITCH, NULL, "one JSON object"}},
    .most = 1,
    .takes_overrides = true,
    .run = run,
};
