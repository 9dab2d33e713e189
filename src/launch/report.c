/* The report for people, for scripts, for the log. */
#include "launch_internal.h"

#include <stdio.h>
#include <string.h>

#include <attnres/json.h>
#include <attnres/text.h>

static const char *verdict_name(enum launch_verdict verdict)
{
    static const char *const names[] = {"PASS", "WARN", "FAIL"};
    return names[verdict];
}

size_t launch_print(const struct launch_report *report, char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    for (int i = 0; i < report->n_rows; i++) {
        const struct launch_finding *f = &report->rows[i];
        text_add(&t, "%s  %-13s  %s\n", verdict_name(f->verdict), f->name, f->found);
        if (f->fix[0] != '\0') {
            text_add(&t, "%21s%s\n", "", f->fix);
        }
    }
    return t.length;
}

size_t launch_print_json(const struct launch_report *report, char *text, size_t capacity)
{
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_text(&w, "verdict", verdict_name(launch_verdict_of(report)));
    json_begin_array(&w, "checks");
    for (int i = 0; i < report->n_rows; i++) {
        const struct launch_finding *f = &report->rows[i];
        json_begin_object(&w, NULL);
        json_text(&w, "name", f->name);
        json_text(&w, "verdict", verdict_name(f->verdict));
        json_text(&w, "found", f->found);
        if (f->fix[0] != '\0') {
            json_text(&w, "fix", f->fix);
        }
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_ok(&w) ? w.length : 0;
}

bool launch_tell(const struct launch_report *report, struct log *log, struct error *err)
{
    bool ok = true;
    int n_passed = 0;
    for (int i = 0; i < report->n_rows; i++) {
        const struct launch_finding *f = &report->rows[i];
        n_passed += f->verdict == LAUNCH_PASS;
        const bool fails = f->verdict == LAUNCH_FAIL && !f->fails_by_itself;
        if (fails) {
            ok = error_add(err, ERROR_LAUNCH, "%s: %s%s%s", f->name, f->found,
                           f->fix[0] != '\0' ? "\n  " : "", f->fix);
        } else if (f->verdict != LAUNCH_PASS && log != NULL) {
            log_write(log, LOG_WARNING, "launch: %s: %s; %s", f->name, f->found, f->fix);
        }
    }
    if (ok && log != NULL) {
        log_write(log, LOG_INFO, "launch: %d of %d checks pass", n_passed, report->n_rows);
    }
    return ok;
}
