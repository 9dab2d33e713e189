/* What a user could change, and by how much it would help. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include <attnres/text.h>

#include "summary_internal.h"

/** From where on something is worth a note. */
static const double IMBALANCE = 1.1, BUBBLE = 0.1, BUBBLE_GAIN = 0.02, UNEXPLAINED_BUBBLE = 0.1,
                    PACK_SHARE = 0.1, EVALUATE_SHARE = 0.2, SAVE_SHARE = 0.1;

static const double PERCENT = 100.0;

__attribute__((format(printf, 2, 3))) static void note(struct summary *s, const char *format, ...)
{
    if (s->n_notes == SUMMARY_NOTES) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->notes[s->n_notes], SUMMARY_NOTE_BYTES, format, arguments);
    va_end(arguments);
    s->n_notes++;
}

static void advise_on_imbalance(struct summary *s, const struct plan *plan)
{
    if (s->imbalance < IMBALANCE) {
        return;
    }
    const bool is_auto = plan->config->pipeline.partition == PARTITION_AUTO;
    note(s, "rank %d computes %.2f times the mean: %s", s->slowest, s->imbalance,
         is_auto ? "if its processor is not slower or shared, give it fewer sublayers with a list "
                   "as pipeline.partition (attnres plan prints the present one)"
                 : "try pipeline.partition=auto or another list");
}

/** A setting and what it would do to the bubble. */
struct choice {
    const char *setting;
    struct schedule_spec spec;
    double scale; /* of the durations */
    bool applies;
};

static double bubble_of(const struct choice *c, const struct schedule_stage_costs *equal)
{
    const struct schedule_costs costs = {.forward = c->scale * equal->forward,
                                         .input_gradient = c->scale * equal->input_gradient,
                                         .weight_gradient = c->scale * equal->weight_gradient};
    return c->applies ? summary_simulate(&c->spec, &costs) : NAN;
}

static void advise_on_bubble(struct summary *s, const struct plan *plan,
                             const struct schedule_stage_costs *equal)
{
    const struct schedule_spec spec = plan->schedule.spec;
    const struct batch_config *batch = &plan->config->batch;
    const bool is_plain = spec.kind == SCHEDULE_GPIPE || spec.kind == SCHEDULE_1F1B;
    struct choice choices[] = {
        {"batch.microbatch=1 (in a new run)", spec, 1.0 / (double)batch->microbatch,
         batch->microbatch > 1},
        {"pipeline.schedule=zb_h1", spec, 1.0, is_plain},
        {"pipeline.schedule=zb_v pipeline.chunks=2", spec, 0.5,
         is_plain && plan->depth.n_sublayers >= 2 * (int64_t)spec.n_ranks &&
             plan->config->pipeline.partition != PARTITION_LIST},
    };
    choices[0].spec.n_microbatches = (int)(spec.n_microbatches * batch->microbatch);
    choices[1].spec.kind = SCHEDULE_ZB_H1;
    choices[2].spec.kind = SCHEDULE_ZB_V;
    choices[2].spec.n_chunks = 2;
    char bytes[SUMMARY_NOTE_BYTES] = "";
    struct text text = {bytes, sizeof bytes, 0};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const double bubble = bubble_of(&choices[i], equal);
        if (s->equal_bubble - bubble >= BUBBLE_GAIN) {
            text_add(&text, "%s %s %.0f %%", text.length > 0 ? "," : "", choices[i].setting,
                     PERCENT * bubble);
        }
    }
    if (s->equal_bubble >= BUBBLE && text.length > 0) {
        note(s, "a pipeline of equal stages would wait %.0f %% of the time; by simulation%s",
             PERCENT * s->equal_bubble, bytes);
    }
}

void summary_advise(struct summary *s, const struct plan *plan,
                    const struct schedule_stage_costs *equal)
{
    if (s->n_ranks > 1) {
        advise_on_imbalance(s, plan);
        advise_on_bubble(s, plan, equal);
        if (s->bubble - s->simulated_bubble >= UNEXPLAINED_BUBBLE) {
            note(s,
                 "ranks wait %.0f %% of the time, %.0f %% by simulation: the rest goes to messages "
                 "or to other work on the processors (more ranks times threads than cores?)",
                 PERCENT * s->bubble, PERCENT * s->simulated_bubble);
        }
    }
    if (s->sections[SUMMARY_PACK].share >= PACK_SHARE &&
        plan->config->representative.value == PRECISION_F32 &&
        plan->config->model.kind != MODEL_STANDARD) {
        note(s,
             "messages take %.0f %% of the time to pack and check: representative.value=bf16 and "
             "representative.gradient=bf16 (in a new run) halve what finished blocks take of them",
             PERCENT * s->sections[SUMMARY_PACK].share);
    }
    if (s->sections[SUMMARY_EVALUATE].share >= EVALUATE_SHARE) {
        note(s, "evaluation takes %.0f %% of the time: see train.eval_every, train.eval_tokens",
             PERCENT * s->sections[SUMMARY_EVALUATE].share);
    }
    if (s->sections[SUMMARY_SAVE].share >= SAVE_SHARE) {
        note(s, "saving takes %.0f %% of the time: see checkpoint.every",
             PERCENT * s->sections[SUMMARY_SAVE].share);
    }
}
