#include "command.h"

#include <stdio.h>
#include <stdlib.h>

#include <attnres/report.h>

static bool run(const struct command_line *line, struct error *err)
{
    const struct report_options options = {.out = command_text(line, "out", "report"),
                                           .baseline = command_text(line, "baseline", NULL),
                                           .wants_time = command_has(line, "time")};
    struct report_notes *notes = calloc(1, sizeof *notes);
    if (notes == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for notes");
    }
    const bool ok = report_write(&options, line->positionals, line->n_positionals, notes, err);
    fputs(notes->text, stderr);
    if (notes->has_page) {
        printf("%s/index.html\n", options.out);
    }
    free(notes);
    return ok;
}

const struct command report_command = {
    .name = "report",
    .usage = "RUN... [--out=DIR] [--baseline KIND] [--time]",
    .summary = "draw what runs say: figures, and one page with all of them",
    .details =
        "Writes index.html, which holds all, and each figure as SVG, PNG and the gnuplot script "
        "that draws it: loss\n"
        "against steps and compute, what the baseline needs for the same loss (as attnres fit has "
        "it), depth against\n"
        "width, accuracy per hop, what reads draw on, magnitudes and gradients along the depth. No "
        "checkpoint is\n"
        "opened; what it takes beside a run's own files is made before:\n\n"
        "  attnres inspect RUN --json >RUN/inspect.json                  also inspect-STEP.json, "
        "of "
        "other steps\n"
        "  attnres eval RUN --task=hops --json >RUN/hops.jsonl\n\n"
        "What is not there is left out and said.",
    .flags = {{"out", FLAG_TEXT, "DIR", "where to (default report)"},
              {"baseline", FLAG_TEXT, "KIND", "the kind to compare with (default standard)"},
              {"time", FLAG_SWITCH, NULL,
               "compare on the clock too: of runs on one machine with nothing else on it"}},
    .least = 1,
    .most = 1 << 20,
    .is_alone = true,
    .run = run,
};
