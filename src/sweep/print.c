/* The table of runs. */
#include "sweep_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/text.h>

static void add_number(struct text *t, const char *format, double number)
{
    if (isfinite(number)) {
        text_add(t, format, number);
    } else {
        text_add(t, "  %10s", "-");
    }
}

bool sweep_describe_progress(char text[SWEEP_PROGRESS_BYTES], const struct sweep_entry *entries,
                             bool with_held, int n, double took_s, double took_flops)
{
    double all = 0.0, done = 0.0, to_do = 0.0;
    int n_done = 0;
    for (int i = 0; i < n; i++) {
        const double whole = sweep_flops_all(&entries[i]), so_far = sweep_flops_done(&entries[i]);
        all += whole;
        done += so_far;
        to_do += with_held && entries[i].is_held ? whole - so_far : sweep_flops_left(&entries[i]);
        n_done += entries[i].state == SWEEP_DONE;
    }
    const int length =
        snprintf(text, SWEEP_PROGRESS_BYTES, "%d of %d runs done, %.0f %% of the work", n_done, n,
                 100.0 * done / all);
    const bool tells_left = took_flops > 0.0 && to_do > 0.0;
    if (tells_left) {
        char left[CLOCK_DURATION_BYTES];
        clock_format_duration(took_s * to_do / took_flops, left);
        snprintf(text + length, SWEEP_PROGRESS_BYTES - (size_t)length, ", about %s left", left);
    }
    return tells_left;
}

/** What is left by what runs have taken so far, whoever started them, as if one came after another.
 */
static void add_progress(struct text *t, const struct sweep_entry *entries, int n)
{
    char progress[SWEEP_PROGRESS_BYTES];
    double took_s = 0.0, took_flops = 0.0;
    for (int i = 0; i < n; i++) {
        if (isfinite(entries[i].time_s)) { /* but for evaluations */
            took_s += entries[i].time_s;
            took_flops += entries[i].flops * (double)entries[i].step / (double)entries[i].n_steps;
        }
    }
    const bool tells_left = sweep_describe_progress(progress, entries, true, n, took_s, took_flops);
    text_add(t, "%s%s\n", progress, tells_left ? ", one run after another" : "");
}

size_t sweep_print(const struct sweep *sweep, const struct sweep_entry *entries,
                   const struct sweep_options *options, char *text, size_t capacity)
{
    struct text t = {text, capacity, 0};
    size_t width = strlen("run");
    for (int i = 0; i < sweep->n_runs; i++) {
        const size_t length = strlen(sweep->names[i]);
        width = length > width ? length : width;
    }
    text_add(&t, "   #  %-*s  %-8s %19s  %10s  %10s  %10s\n", (int)width, "run", "state", "step",
             "loss", "val loss", "training s");
    for (int i = 0; i < sweep->n_runs; i++) {
        const struct sweep_entry *entry = &entries[i];
        if (options->only != 0 && options->only != i + 1) {
            continue;
        }
        text_add(&t, "%4d  %-*s  %-8s %9lld/%-9lld", i + 1, (int)width, sweep->names[i],
                 sweep_state_name(entry), (long long)entry->step, (long long)entry->n_steps);
        add_number(&t, "  %10.4f", entry->loss);
        add_number(&t, "  %10.4f", entry->val_loss);
        add_number(&t, "  %10.0f", entry->time_s);
        text_add(&t, "\n");
    }
    if (options->only == 0) {
        add_progress(&t, entries, sweep->n_runs);
    }
    return t.length;
}

static void write_run(struct json_writer *w, const struct sweep *sweep,
                      const struct sweep_entry *entry, int index,
                      const struct sweep_options *options)
{
    struct sweep_run run;
    if (!sweep_make_run(&run, sweep, index, options, NULL)) {
        return;
    }
    const char *command[SWEEP_COMMAND_WORDS];
    sweep_make_command(command, sweep, &run, options);
    json_begin_object(w, NULL);
    json_int(w, "index", index + 1);
    json_text(w, "name", run.name);
    json_text(w, "dir", run.dir);
    json_text(w, "state", sweep_state_name(entry));
    json_int(w, "step", entry->step);
    json_int(w, "steps", entry->n_steps);
    json_number(w, "flops", entry->flops);
    json_number_or_null(w, "loss", entry->loss);
    json_number_or_null(w, "val_loss", entry->val_loss);
    json_number_or_null(w, "time_s", entry->time_s);
    if (entry->exit_code != 0) {
        json_int(w, "exit_code", entry->exit_code);
    }
    json_begin_array(w, "command");
    for (int i = 0; command[i] != NULL; i++) {
        json_text(w, NULL, command[i]);
    }
    json_end_array(w);
    json_end_object(w);
}

void sweep_write_json(struct json_writer *w, const struct sweep *sweep,
                      const struct sweep_entry *entries, const struct sweep_options *options)
{
    json_begin_array(w, "runs");
    for (int i = 0; i < sweep->n_runs; i++) {
        if (options->only == 0 || options->only == i + 1) {
            write_run(w, sweep, &entries[i], i, options);
        }
    }
    json_end_array(w);
}
