#include <attnres/journal.h>

#include <assert.h>
#include <string.h>

#include <attnres/clock.h>

/** Where an event's fields lie in a slot; two small ones share a word. */
enum { WORD_KIND_PEER, WORD_CHANNEL_CHUNK, WORD_STEP, WORD_MICROBATCH, WORD_BYTES, WORD_BEGIN };
enum { WORD_END = JOURNAL_WORDS - 1 };

static int64_t pair(int32_t high, int32_t low)
{
    return (int64_t)((uint64_t)(uint32_t)high << 32 | (uint32_t)low);
}

static int32_t high_of(int64_t word)
{
    return (int32_t)(uint32_t)((uint64_t)word >> 32);
}

static int32_t low_of(int64_t word)
{
    return (int32_t)(uint32_t)(uint64_t)word;
}

static int64_t now_ns(void)
{
    return (int64_t)(clock_monotonic_s() * 1e9);
}

static void store(_Atomic int64_t *word, int64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static int64_t load(const _Atomic int64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

void journal_init(struct journal *j)
{
    memset(j, 0, sizeof *j);
    j->microbatch = -1;
    atomic_init(&j->phase, JOURNAL_STARTING);
    atomic_init(&j->progress_ns, now_ns());
}

void journal_set_phase(struct journal *j, enum journal_phase phase)
{
    if (j != NULL) {
        atomic_store_explicit(&j->phase, (int)phase, memory_order_relaxed);
        store(&j->progress_ns, now_ns());
    }
}

void journal_set_step(struct journal *j, int64_t step)
{
    if (j != NULL) {
        j->step = step;
    }
}

void journal_set_microbatch(struct journal *j, int64_t microbatch)
{
    if (j != NULL) {
        j->microbatch = microbatch;
    }
}

/* The number is taken away before the words change and comes back behind them; the fences keep this
 * order for readers (Boehm, "Can seqlocks get along with programming language memory models?"). */
void journal_begin(struct journal *j, const struct journal_event *event)
{
    if (j == NULL) {
        return;
    }
    assert(!j->is_open && "events do not nest");
    struct journal_slot *slot = &j->slots[j->n_begun % JOURNAL_EVENTS];
    const int64_t begin_ns = now_ns();
    store(&slot->number, 0);
    atomic_thread_fence(memory_order_release);
    store(&slot->words[WORD_KIND_PEER], pair((int32_t)event->kind, event->peer));
    store(&slot->words[WORD_CHANNEL_CHUNK], pair(event->channel, event->chunk));
    store(&slot->words[WORD_STEP], j->step);
    store(&slot->words[WORD_MICROBATCH], j->microbatch);
    store(&slot->words[WORD_BYTES], event->bytes);
    store(&slot->words[WORD_BEGIN], begin_ns);
    store(&slot->words[WORD_END], 0);
    j->n_begun++;
    j->is_open = true;
    atomic_store_explicit(&slot->number, j->n_begun, memory_order_release);
    atomic_store_explicit(&j->n_events, j->n_begun, memory_order_release);
    store(&j->progress_ns, begin_ns);
}

void journal_begin_alone(struct journal *j, enum journal_kind kind, int64_t bytes)
{
    const struct journal_event event = {.kind = kind, .peer = -1, .bytes = bytes};
    journal_begin(j, &event);
}

bool journal_read(const struct journal *j, int64_t number, struct journal_event *event)
{
    if (number < 0) {
        return false;
    }
    const struct journal_slot *slot = &j->slots[number % JOURNAL_EVENTS];
    int64_t words[JOURNAL_WORDS];
    if (atomic_load_explicit(&slot->number, memory_order_acquire) != number + 1) {
        return false;
    }
    for (int i = 0; i < JOURNAL_WORDS; i++) {
        words[i] = load(&slot->words[i]);
    }
    atomic_thread_fence(memory_order_acquire);
    if (load(&slot->number) != number + 1) {
        return false;
    }
    *event = (struct journal_event){.kind = (enum journal_kind)high_of(words[WORD_KIND_PEER]),
                                    .peer = low_of(words[WORD_KIND_PEER]),
                                    .channel = high_of(words[WORD_CHANNEL_CHUNK]),
                                    .chunk = low_of(words[WORD_CHANNEL_CHUNK]),
                                    .step = words[WORD_STEP],
                                    .microbatch = words[WORD_MICROBATCH],
                                    .bytes = words[WORD_BYTES],
                                    .begin_s = 1e-9 * (double)words[WORD_BEGIN],
                                    .end_s = 1e-9 * (double)words[WORD_END]};
    return true;
}

/** Copy the event that has just ended. */
static void keep(struct journal_tape *tape, const struct journal *j)
{
    if (tape->count == tape->capacity) {
        tape->when_full(tape->user);
        assert(tape->count < tape->capacity);
    }
    tape->count += journal_read(j, j->n_begun - 1, &tape->events[tape->count]);
}

void journal_end(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    assert(j->is_open);
    const int64_t end_ns = now_ns();
    store(&j->slots[(j->n_begun - 1) % JOURNAL_EVENTS].words[WORD_END], end_ns);
    store(&j->progress_ns, end_ns);
    j->is_open = false;
    if (j->tape != NULL) {
        keep(j->tape, j);
    }
}

void journal_set_tape(struct journal *j, struct journal_tape *tape)
{
    if (j != NULL) {
        j->tape = tape;
    }
}

int64_t journal_count(const struct journal *j)
{
    return atomic_load_explicit(&j->n_events, memory_order_acquire);
}

enum journal_phase journal_phase(const struct journal *j)
{
    return (enum journal_phase)atomic_load_explicit(&j->phase, memory_order_relaxed);
}

double journal_idle_s(const struct journal *j, double now_s)
{
    const double idle_s = now_s - 1e-9 * (double)load(&j->progress_ns);
    return idle_s > 0.0 ? idle_s : 0.0;
}

const char *journal_kind_name(enum journal_kind kind)
{
    static const char *const names[JOURNAL_KINDS] = {
        [JOURNAL_READ_BATCH] = "read batch",
        [JOURNAL_FORWARD] = "forward",
        [JOURNAL_INPUT_GRADIENT] = "input gradient",
        [JOURNAL_WEIGHT_GRADIENT] = "weight gradient",
        [JOURNAL_PACK] = "pack",
        [JOURNAL_UNPACK] = "unpack",
        [JOURNAL_WAIT_TO_SEND] = "wait to send",
        [JOURNAL_WAIT_TO_RECEIVE] = "wait to receive",
        [JOURNAL_REDUCE] = "reduce",
        [JOURNAL_NORM] = "gradient norm",
        [JOURNAL_UPDATE] = "update",
        [JOURNAL_WRITE] = "write",
        [JOURNAL_FLUSH] = "flush",
        [JOURNAL_READ_BACK] = "read back",
    };
    assert(kind >= 0 && kind < JOURNAL_KINDS);
    return names[kind];
}

const char *journal_phase_name(enum journal_phase phase)
{
    static const char *const names[JOURNAL_PHASES] = {
        [JOURNAL_STARTING] = "starting",     [JOURNAL_TRAINING] = "training",
        [JOURNAL_EVALUATING] = "evaluating", [JOURNAL_SAVING] = "saving",
        [JOURNAL_ENDING] = "ending",
    };
    assert(phase >= 0 && phase < JOURNAL_PHASES);
    return names[phase];
}

bool journal_kind_waits(enum journal_kind kind)
{
    return kind == JOURNAL_WAIT_TO_SEND || kind == JOURNAL_WAIT_TO_RECEIVE;
}
