/* What a run does with what its guards find: computing a step again, telling, ending. */
#include "train_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <attnres/collective.h>
#include <attnres/text.h>

enum { HOST_BYTES = 256, WHERE_BYTES = 4096, PLACE_BYTES = FILE_PATH_BYTES + 64, MOST_NAMED = 8 };

bool train_is_check_due(const struct train *t)
{
    const int64_t every = t->session.config.guard.check_every;
    return every > 0 && (t->state.step + 1) % every == 0;
}

static void init_probe(struct guard_probe *probe, const struct train *t, enum guard_task task)
{
    guard_probe_init(probe, task, &t->session.plan, &t->session.memory,
                     transport_rank(t->transport));
}

/** Compute the gradients under the eyes of a probe, and have it look at their sums. */
static void compute(struct train *t, int64_t n_targets, struct guard_probe *probe)
{
    train_clear_gradients(t);
    train_compute_gradients(t, n_targets, probe);
    for (int chunk = 0; chunk < t->session.plan.n_chunks; chunk++) {
        guard_look_sums(probe, &t->session.models[chunk]);
    }
}

struct guard_finding train_compute_twice(struct train *t, int64_t n_targets)
{
    struct guard_probe probe;
    init_probe(&probe, t, GUARD_REMEMBER);
    compute(t, n_targets, &probe);
    probe.task = GUARD_COMPARE;
    compute(t, n_targets, &probe);
    return probe.first;
}

struct guard_finding train_share_finding(struct train *t, const struct guard_finding *own)
{
    struct guard_finding *all = memory_buffer(&t->session.memory, BUFFER_REPORTS, 0);
    struct guard_finding first = {0};
    collective_gather(t->transport, collective_all(t->transport), 0, own, sizeof *own, all);
    for (int rank = 0; t->is_root && rank < transport_size(t->transport); rank++) {
        guard_merge(&first, &all[rank]);
    }
    transport_broadcast(t->transport, 0, &first, sizeof first);
    return first;
}

struct guard_finding train_find_not_finite(struct train *t, int64_t n_targets)
{
    struct guard_probe probe;
    init_probe(&probe, t, GUARD_FIND_NOT_FINITE);
    for (int chunk = 0; chunk < t->session.plan.n_chunks; chunk++) {
        guard_look_weights(&probe, &t->session.models[chunk]);
    }
    compute(t, n_targets, &probe);
    return train_share_finding(t, &probe.first);
}

/** Windows of the step by their numbers. */
static void name_step(struct text *text, const struct train *t)
{
    char place[PLACE_BYTES];
    const int64_t first = data_name_window(t->train_data, &t->step_position, place, sizeof place);
    text_add(text, "windows %" PRId64 "-%" PRId64, first, t->state.position.window - 1);
}

/** Windows of one microbatch, and where they are from. */
static void name_microbatch(struct text *text, const struct train *t, int64_t microbatch)
{
    const int64_t n = t->session.config.batch.microbatch;
    struct data_position next = t->step_position;
    data_skip(t->train_data, &next, microbatch * n);
    text_add(text, n == 1 ? "window " : "windows ");
    for (int64_t i = 0; i < n && i < MOST_NAMED; i++) {
        char place[PLACE_BYTES];
        const int64_t number = data_name_window(t->train_data, &next, place, sizeof place);
        text_add(text, "%s%" PRId64 " (%s)", i > 0 ? ", " : "", number, place);
        data_skip(t->train_data, &next, 1);
    }
    if (n > MOST_NAMED) {
        text_add(text, " and %" PRId64 " more", n - MOST_NAMED);
    }
}

/** Root: where what is not finite came from. */
static void say_where(char text[WHERE_BYTES], const struct train *t,
                      const struct guard_finding *finding)
{
    struct text where = {text, WHERE_BYTES, 0};
    char tensor[WHERE_BYTES / 4];
    if (finding->what == GUARD_NOTHING) {
        text_add(&where, "computed again it is finite: a processor or memory has erred "
                         "(guard.check_every would name it); ");
        name_step(&where, t);
        return;
    }
    guard_explain(tensor, sizeof tensor, finding, &t->session.plan);
    text_add(&where, "it came from %s, ", tensor);
    if (finding->microbatch >= 0) {
        name_microbatch(&where, t, finding->microbatch);
    } else {
        name_step(&where, t);
    }
}

static void say_spike(char text[WHERE_BYTES], const struct train *t, const struct train_decision *d)
{
    struct text spike = {text, WHERE_BYTES, 0};
    const struct guard_judgement *j = &d->judgement;
    if (j->loss_z > 0.0) {
        text_add(&spike, "the loss is %.1f standard deviations above its mean, ", j->loss_z);
    }
    if (j->grad_norm_z > 0.0) {
        text_add(&spike, "the gradient norm is %.1f standard deviations above its mean, ",
                 j->grad_norm_z);
    }
    name_step(&spike, t);
}

/** The names of two ranks' hosts, on all ranks. Collective. */
static void share_hosts(struct train *t, const int ranks[2], char hosts[2][HOST_BYTES])
{
    for (int i = 0; i < 2; i++) {
        memset(hosts[i], 0, HOST_BYTES);
        if (transport_rank(t->transport) == ranks[i]) {
            gethostname(hosts[i], HOST_BYTES - 1);
        }
        transport_broadcast(t->transport, ranks[i], hosts[i], HOST_BYTES);
    }
}

/** All ranks fail, and the root says why. */
static bool end_run(const struct train *t, struct error *err, const char *message)
{
    err->kind = ERROR_GUARD;
    return t->is_root ? error_set(err, ERROR_GUARD, "%s", message) : false;
}

bool train_refuse_difference(struct train *t, const struct session_difference *difference,
                             struct error *err)
{
    const int ranks[2] = {difference->odd, difference->other};
    const char *row = t->session.plan.params.rows[difference->row].name;
    char hosts[2][HOST_BYTES], text[WHERE_BYTES];
    share_hosts(t, ranks, hosts);
    if (difference->is_outvoted) {
        snprintf(text, sizeof text,
                 "after step %" PRId64 " rank %d on host %s does not hold the weights that other "
                 "replicas hold (first %s): its memory or processor has erred; leave that host "
                 "out and --resume",
                 t->state.step, ranks[0], hosts[0], row);
    } else {
        snprintf(text, sizeof text,
                 "after step %" PRId64 " the replicas of rank %d on host %s and rank %d on host %s "
                 "hold different weights (first %s): the memory or processor of one has erred; "
                 "test both hosts, and --resume without the bad one",
                 t->state.step, ranks[0], hosts[0], ranks[1], hosts[1], row);
    }
    return end_run(t, err, text);
}

bool train_compare_replicas(struct train *t, struct error *err)
{
    struct session_difference difference = {0};
    if (t->session.plan.grid.n_replicas > 1) {
        session_hash_weights(&t->session, &difference);
    }
    return !difference.is_there || train_refuse_difference(t, &difference, err);
}

static bool refuse_change(struct train *t, const struct guard_finding *finding, struct error *err)
{
    /* Of what came in wrong, its sender may be the one that erred. */
    const bool came_in = finding->what == GUARD_TAKEN && finding->stage > 0;
    const struct grid *grid = &t->session.plan.grid;
    const int before = came_in ? grid_rank(grid, grid_replica(grid, finding->rank),
                                           t->session.plan.stages[finding->stage - 1].rank)
                               : finding->rank;
    const int ranks[2] = {finding->rank, before};
    char hosts[2][HOST_BYTES], tensor[WHERE_BYTES / 4], also[HOST_BYTES + 64] = "",
                                                                          text[WHERE_BYTES];
    share_hosts(t, ranks, hosts);
    guard_explain(tensor, sizeof tensor, finding, &t->session.plan);
    if (came_in) {
        snprintf(also, sizeof also, " (or rank %d on host %s, which sent it)", before, hosts[1]);
    }
    snprintf(text, sizeof text,
             "step %" PRId64 " was computed twice, and %s differed: rank %d on host %s%s has erred "
             "without a sign; leave that host out and --resume (guard.check_every)",
             t->state.step, tensor, ranks[0], hosts[0], also);
    return end_run(t, err, text);
}

bool train_heed_guards(struct train *t, const struct train_decision *d, struct error *err)
{
    char where[WHERE_BYTES] = "", text[2 * WHERE_BYTES];
    const struct guard_judgement *j = &d->judgement;
    if (d->has_changed) {
        return refuse_change(t, &d->finding, err);
    }
    if (t->is_root && j->not_finite) {
        say_where(where, t, &d->finding);
    } else if (t->is_root && j->is_spike) {
        say_spike(where, t, d);
    }
    if (t->is_root && where[0] != '\0') {
        log_write(t->log, LOG_WARNING, "step %" PRId64 ": loss %g, gradient norm %g: update %s; %s",
                  t->state.step, d->loss, d->grad_norm, j->skips ? "skipped" : "kept", where);
    }
    if (!j->stops) {
        return true;
    }
    const int64_t n = d->guard.n_skips_in_a_row;
    snprintf(
        text, sizeof text,
        "step %" PRId64 ": loss %g, gradient norm %g: %s; %" PRId64
        " update%s skipped in a row (guard.max_skips); %s, and data.skip leaves windows out; %s",
        t->state.step, d->loss, d->grad_norm, j->not_finite ? "not finite" : "a spike", n,
        n == 1 ? "" : "s",
        t->saved_step >= 0
            ? "--resume goes on from the last checkpoint, --resume=DIR from an older one"
            : "no checkpoint was saved before it: begin again, with a smaller optim.lr, say",
        where);
    return end_run(t, err, text);
}
