/* Who waits for whom, as pure functions of what the ranks say. */
#include <inttypes.h>
#include <stdio.h>

#include <attnres/text.h>

#include "watch_internal.h"

int watch_peer(const struct watch_state *state)
{
    return state->is_busy && journal_kind_waits(state->event.kind) ? state->event.peer : -1;
}

static bool is_late(const struct watch_state *state)
{
    return state->answered && state->idle_s > state->limit_s;
}

/** Every rank of the circle that `rank` is part of must be late: a circle of ranks that only just
 * began to wait comes of answers that are not of the same moment. */
static struct watch_verdict judge_circle(const struct watch_state *states, int rank)
{
    struct watch_verdict v = {.cause = WATCH_CIRCLE, .culprit = -1};
    int member = rank;
    do {
        if (!is_late(&states[member])) {
            return (struct watch_verdict){.culprit = -1};
        }
        if (v.n_chain < WATCH_CHAIN) {
            v.chain[v.n_chain] = member;
        }
        v.n_chain++;
        member = watch_peer(&states[member]);
    } while (member != rank);
    return v;
}

static struct watch_verdict judge_from(const struct watch_state *states, int n_ranks, int first)
{
    struct watch_verdict v = {.culprit = -1};
    int rank = first;
    for (int i = 0; i < n_ranks; i++) {
        const int peer = states[rank].answered ? watch_peer(&states[rank]) : -1;
        if (peer < 0) {
            const bool stuck = states[rank].answered;
            if (stuck && !is_late(&states[rank])) {
                return (struct watch_verdict){.culprit = -1};
            }
            v.cause = stuck ? WATCH_STUCK : WATCH_SILENT;
            v.culprit = rank;
            return v;
        }
        if (v.n_chain < WATCH_CHAIN) {
            v.chain[v.n_chain] = rank;
        }
        v.n_chain++;
        rank = peer;
    }
    return judge_circle(states, rank); /* more links than ranks */
}

struct watch_verdict watch_judge(const struct watch_state *states, int n_ranks)
{
    struct watch_verdict longest = {.culprit = -1};
    double idle_s = -1.0;
    for (int rank = 0; rank < n_ranks; rank++) {
        if (!is_late(&states[rank]) || states[rank].idle_s <= idle_s) {
            continue;
        }
        const struct watch_verdict v = judge_from(states, n_ranks, rank);
        if (v.cause != WATCH_NO_STALL) {
            longest = v;
            idle_s = states[rank].idle_s;
        }
    }
    return longest;
}

static void describe_wait(char *text, size_t capacity, const struct watch_state *state)
{
    const struct journal_event *e = &state->event;
    char microbatch[48] = "";
    if (e->microbatch >= 0) {
        snprintf(microbatch, sizeof microbatch, " of microbatch %" PRId64, e->microbatch);
    }
    snprintf(text, capacity,
             "has waited %.1f s for rank %d to %s %s%s, step %" PRId64 " (%s, chunk %d, %" PRId64
             " bytes)",
             state->idle_s, e->peer, e->kind == JOURNAL_WAIT_TO_SEND ? "take" : "send",
             transport_channel_name((enum transport_channel)e->channel), microbatch, e->step,
             journal_phase_name(state->phase), e->chunk, e->bytes);
}

void watch_describe(char *text, size_t capacity, const struct watch_state *state)
{
    const struct journal_event *e = &state->event;
    if (watch_peer(state) >= 0) {
        describe_wait(text, capacity, state);
        return;
    }
    char microbatch[48] = "";
    if (e->microbatch >= 0) {
        snprintf(microbatch, sizeof microbatch, " of microbatch %" PRId64, e->microbatch);
    }
    snprintf(text, capacity, "has been %s \"%s\"%s, step %" PRId64 " (%s), for %.1f s",
             state->is_busy ? "in" : "past", journal_kind_name(e->kind), microbatch, e->step,
             journal_phase_name(state->phase), state->idle_s);
}

/** Whole hosts fall silent together. */
static void list_silent(struct text *t, const struct watch_state *states, int n_ranks)
{
    int n_silent = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        n_silent += !states[rank].answered;
    }
    if (n_silent < 2) {
        return;
    }
    text_add(t, "\n  silent ranks:");
    for (int rank = 0, n = 0; rank < n_ranks && n < 4 * WATCH_CHAIN; rank++) {
        if (!states[rank].answered) {
            text_add(t, " %d", rank);
            n++;
        }
    }
    text_add(t, n_silent > 4 * WATCH_CHAIN ? " ... (%d of %d)" : " (%d of %d)", n_silent, n_ranks);
}

void watch_explain(char text[WATCH_TEXT_BYTES], const struct watch_verdict *verdict,
                   const struct watch_state *states, int n_ranks)
{
    struct text t = {.bytes = text, .capacity = WATCH_TEXT_BYTES};
    char said[256] = "";
    if (verdict->cause == WATCH_NO_STALL) {
        text_add(&t, "no stall: whoever waits, waits for a rank that gets on");
        return;
    }
    if (verdict->cause == WATCH_CIRCLE) {
        text_add(&t,
                 "stalled: %d ranks wait for each other in a circle: what one has sent another has "
                 "not got, so their network is cut or has lost it",
                 verdict->n_chain);
    } else if (verdict->cause == WATCH_SILENT) {
        text_add(&t,
                 "stalled: rank %d does not answer: it is stopped or dead, or its host is cut "
                 "off (run.json names it)",
                 verdict->culprit);
    } else {
        watch_describe(said, sizeof said, &states[verdict->culprit]);
        text_add(&t, "stalled: rank %d waits for nobody and %s", verdict->culprit, said);
    }
    const int n = verdict->n_chain < WATCH_CHAIN ? verdict->n_chain : WATCH_CHAIN;
    for (int i = 0; i < n; i++) {
        watch_describe(said, sizeof said, &states[verdict->chain[i]]);
        text_add(&t, "\n  rank %d %s", verdict->chain[i], said);
    }
    if (verdict->n_chain > n) {
        text_add(&t, "\n  ... and %d more on the way", verdict->n_chain - n);
    }
    list_silent(&t, states, n_ranks);
}
