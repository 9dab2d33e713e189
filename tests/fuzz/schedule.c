/* The text of a schedule. The first four bytes are the spec; the rest is the text. What is accepted
 * prints as text that gives the same schedule, though not one that runs: that is for the simulation
 * to say, and what gets past it has all that it needs. */
#include "fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/schedule.h>

enum { MOST_RANKS = 5, MOST_CHUNKS = 3, MOST_MICROBATCHES = 8, TEXT_BYTES = 8192 };
enum { SPEC_BYTES = 4, MEMORY_BYTES = 1 << 20 };

static struct schedule_spec read_spec(const unsigned char *bytes)
{
    return (struct schedule_spec){
        .kind = (enum schedule_kind)(bytes[0] % (SCHEDULE_FORWARD_V + 1)),
        .n_ranks = bytes[1] % (MOST_RANKS + 1),
        .n_chunks = bytes[2] % (MOST_CHUNKS + 1),
        .group = bytes[2] / (MOST_CHUNKS + 1) % MOST_MICROBATCHES,
        .n_microbatches = bytes[3] % (MOST_MICROBATCHES + 1),
    };
}

static void expect_same(const struct schedule *a, const struct schedule *b)
{
    const int P = a->spec.n_ranks;
    assert(a->channel_depth == b->channel_depth);
    for (int rank = 0; rank <= P; rank++) {
        assert(a->first_action[rank] == b->first_action[rank]);
    }
    for (int64_t i = 0; i < a->first_action[P]; i++) {
        const struct action *x = &a->actions[i], *y = &b->actions[i];
        assert(x->op == y->op && x->microbatch == y->microbatch && x->chunk == y->chunk);
        assert(x->slot == y->slot && x->gradient_slot == y->gradient_slot);
    }
}

static void expect_in_range(const struct schedule *s)
{
    assert(s->channel_depth >= 1);
    for (int rank = 0; rank < s->spec.n_ranks; rank++) {
        for (int64_t i = s->first_action[rank]; i < s->first_action[rank + 1]; i++) {
            const struct action *a = &s->actions[i];
            assert(a->microbatch >= 0 && a->microbatch < s->spec.n_microbatches);
            assert(a->chunk >= 0 && a->chunk < s->spec.n_chunks);
            assert(a->slot >= -1 && a->slot < s->n_slots[rank]);
            assert(a->gradient_slot >= -1 && a->gradient_slot < s->n_gradient_slots[rank]);
        }
    }
}

static void expect_same_again(const struct schedule *schedule)
{
    char text[TEXT_BYTES], again[TEXT_BYTES];
    struct schedule read = {0};
    const size_t length = schedule_print(schedule, text, sizeof text);
    assert(length < sizeof text);
    assert(schedule_parse(&read, &schedule->spec, text, length, NULL));
    expect_same(schedule, &read);
    assert(schedule_print(&read, again, sizeof again) == length && strcmp(text, again) == 0);
    schedule_finish(&read);
}

/* An order that runs has each forward before what needs it, so that no action is without slot. */
static void expect_legal(const struct schedule *schedule,
                         const struct schedule_simulation *simulation)
{
    for (int rank = 0; rank < schedule->spec.n_ranks; rank++) {
        assert(simulation->busy[rank] > 0 && simulation->busy[rank] <= simulation->makespan);
    }
    for (int64_t i = 0; i < schedule->first_action[schedule->spec.n_ranks]; i++) {
        const struct action *a = &schedule->actions[i];
        const bool has_gradient = a->op >= ACTION_RECEIVE_GRADIENTS;
        assert(a->slot >= 0 && (a->gradient_slot >= 0 || !has_gradient));
    }
}

static void simulate(const struct schedule *schedule)
{
    const struct schedule_costs costs = {.forward = 1, .input_gradient = 1, .weight_gradient = 1};
    struct schedule_simulation simulation = {0};
    struct error err = {0};
    if (schedule_simulate(&simulation, schedule, &costs, &err)) {
        expect_legal(schedule, &simulation);
        schedule_simulation_finish(&simulation);
    } else {
        fuzz_expect_refusal(&err, ERROR_INTERNAL);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    if (length < SPEC_BYTES) {
        return 0;
    }
    const struct schedule_spec spec = read_spec(bytes);
    struct schedule schedule = {0};
    struct error err = {0};
    fuzz_begin_counting();
    const bool ok = schedule_parse(&schedule, &spec, (const char *)bytes + SPEC_BYTES,
                                   length - SPEC_BYTES, &err);
    fuzz_expect_at_most(MEMORY_BYTES);
    if (!ok) {
        fuzz_expect_refusal(&err, err.kind == ERROR_CONFIG ? ERROR_CONFIG : ERROR_DATA);
        return 0;
    }
    expect_in_range(&schedule);
    expect_same_again(&schedule);
    simulate(&schedule);
    schedule_finish(&schedule);
    return 0;
}
