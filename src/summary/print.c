/* The table for people and for scripts. */
#include <inttypes.h>

#include <attnres/text.h>

#include "summary_internal.h"

static const double PERCENT = 100.0, MIB = 1048576.0, MS_PER_S = 1e3;

/** As people read a section's name, and as a key. */
static const struct {
    const char *words, *key;
} NAMES[SUMMARY_SECTIONS] = {
    [SUMMARY_FORWARD] = {"forward", "forward"},
    [SUMMARY_INPUT_GRADIENT] = {"input gradient", "input_gradient"},
    [SUMMARY_WEIGHT_GRADIENT] = {"weight gradient", "weight_gradient"},
    [SUMMARY_RECOMPUTE] = {"recompute", "recompute"},
    [SUMMARY_WAIT] = {"wait", "wait"},
    [SUMMARY_PACK] = {"pack, unpack", "pack"},
    [SUMMARY_REDUCE] = {"reduce", "reduce"},
    [SUMMARY_OPTIMIZER] = {"optimizer", "optimizer"},
    [SUMMARY_READ] = {"read batches", "read"},
    [SUMMARY_EVALUATE] = {"evaluate", "evaluate"},
    [SUMMARY_SAVE] = {"save", "save"},
    [SUMMARY_OTHER] = {"other", "other"},
};

static void print_sections(struct text *t, const struct summary *s)
{
    text_add(t,
             "%" PRId64
             " step%s on %d rank%s in %.3f s: %.3f ms a step beside evaluating and saving\n",
             s->n_steps, s->n_steps == 1 ? "" : "s", s->n_ranks, s->n_ranks == 1 ? "" : "s",
             s->loop_s, MS_PER_S * s->step_s);
    text_add(t, "  %-16s %10s %10s %10s %9s  %s\n", "seconds", "min", "mean", "max", "share",
             "longest on");
    for (int i = 0; i < SUMMARY_SECTIONS; i++) {
        const struct summary_row *row = &s->sections[i];
        text_add(t, "  %-16s %10.3f %10.3f %10.3f %7.1f %%  rank %d\n", NAMES[i].words, row->min_s,
                 row->mean_s, row->max_s, PERCENT * row->share, row->slowest);
    }
}

size_t summary_print(const struct summary *s, char *text, size_t capacity)
{
    struct text t = {text, capacity, 0};
    print_sections(&t, s);
    if (s->n_ranks > 1) {
        text_add(
            &t,
            "  bubble: %.1f %% measured; simulated %.1f %% with these times, %.1f %% with equal "
            "stages\n",
            PERCENT * s->bubble, PERCENT * s->simulated_bubble, PERCENT * s->equal_bubble);
        text_add(&t, "  imbalance: rank %d computes %.2f times the mean, %.3f ms a step longer\n",
                 s->slowest, s->imbalance, MS_PER_S * s->imbalance_s);
        text_add(&t, "  messages: %.3f MiB a step, sent as %.3f MiB\n", (double)s->bytes_raw / MIB,
                 (double)s->bytes_sent / MIB);
    }
    if (s->used_bytes >= 0) {
        text_add(&t, "  memory: rank %d used %.1f MiB; planned %.1f MiB and %.1f MiB of data\n",
                 s->fullest, (double)s->used_bytes / MIB, (double)s->planned_bytes / MIB,
                 (double)s->data_bytes / MIB);
    }
    text_add(&t, "  warnings: %" PRId64, s->n_warnings);
    return t.length;
}

static void write_sections(struct json_writer *w, const struct summary *s)
{
    json_begin_object(w, "sections");
    for (int i = 0; i < SUMMARY_SECTIONS; i++) {
        const struct summary_row *row = &s->sections[i];
        json_begin_object(w, NAMES[i].key);
        json_number(w, "min_s", row->min_s);
        json_number(w, "mean_s", row->mean_s);
        json_number(w, "max_s", row->max_s);
        json_number(w, "share", row->share);
        json_int(w, "longest_on", row->slowest);
        json_end_object(w);
    }
    json_end_object(w);
}

static void write_memory(struct json_writer *w, const struct summary *s)
{
    if (s->used_bytes < 0) {
        return;
    }
    json_begin_object(w, "memory");
    json_int(w, "rank", s->fullest);
    json_int(w, "used_bytes", s->used_bytes);
    json_int(w, "planned_bytes", s->planned_bytes);
    json_int(w, "data_bytes", s->data_bytes);
    json_end_object(w);
}

void summary_write_json(struct json_writer *w, const char *key, const struct summary *s)
{
    json_begin_object(w, key);
    json_int(w, "ranks", s->n_ranks);
    json_int(w, "steps", s->n_steps);
    json_number(w, "loop_s", s->loop_s);
    json_number(w, "step_s", s->step_s);
    write_sections(w, s);
    json_number(w, "bubble", s->bubble);
    json_number(w, "simulated_bubble", s->simulated_bubble);
    json_number(w, "equal_bubble", s->equal_bubble);
    json_number(w, "imbalance", s->imbalance);
    json_int(w, "slowest_rank", s->slowest);
    json_number(w, "imbalance_s", s->imbalance_s);
    json_int(w, "bytes_raw", s->bytes_raw);
    json_int(w, "bytes_sent", s->bytes_sent);
    write_memory(w, s);
    json_int(w, "warnings", s->n_warnings);
    json_begin_array(w, "notes");
    for (int i = 0; i < s->n_notes; i++) {
        json_text(w, NULL, s->notes[i]);
    }
    json_end_array(w);
    json_end_object(w);
}
