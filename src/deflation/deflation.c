#include <attnres/deflation.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <attnres/clock.h>
#include <attnres/collective.h>
#include <attnres/heap.h>
#include <attnres/rng.h>

enum {
    N_TIMED = 5, /* messages of each sort, behind one that wakes the link */
    MAX_LINES = 16,
};

/** Of the plain message's time; less is within what measuring scatters. */
static const double LEAST_SAVING = 0.05;

static const float SCALE = 3.0F / 127; /* int8: the largest of a token is about three deviations */

/** One direction across one cut, and whose business it is. */
struct link {
    struct engine *engine;
    int cut;
    enum wire_direction direction;
    int sender, receiver; /* ranks */
    int sending_stage;
    enum transport_channel channel;
    int tag_chunk;            /* the receiving stage's */
    struct wire_layout plain; /* plain.codec is NULL */
    unsigned char *message;   /* planned memory of this rank; NULL if it is neither */
};

/** One tensor stands for all of a message. */
struct sample {
    float *values, *scales;
    const float **in_tensors, **in_scales;
    float **out_tensors, **out_scales;
};

bool deflation_pays(double plain_s, double deflated_s)
{
    return deflated_s < (1.0 - LEAST_SAVING) * plain_s;
}

size_t deflation_print(const struct deflation *d, char *text, size_t capacity)
{
    const double mb = 1e-6 * (double)d->frame_bytes;
    const int n = snprintf(
        text, capacity,
        "deflate %s for %s between stages %d and %d: a message of %.3f MB takes %.2f ms, deflated "
        "to %.3f MB %.2f ms (link %.1f MB/s, deflating %.0f MB/s, inflating %.0f MB/s)",
        d->deflates ? "on" : "off", d->direction == WIRE_VALUES ? "values" : "gradients", d->cut,
        d->cut + 1, mb, 1e3 * d->plain_s, 1e-6 * (double)d->message_bytes, 1e3 * d->deflated_s,
        mb / d->plain_s, mb / d->pack_s, mb / d->unpack_s);
    return n > 0 ? (size_t)n : 0;
}

static struct link make_link(struct engine *engine, int replica, int cut,
                             enum wire_direction direction)
{
    const struct plan *plan = engine->plan;
    const bool carries_values = direction == WIRE_VALUES;
    const struct stage *before = &plan->stages[cut], *behind = &plan->stages[cut + 1];
    const struct stage *from = carries_values ? before : behind,
                       *to = carries_values ? behind : before;
    struct link link = {.engine = engine,
                        .cut = cut,
                        .direction = direction,
                        .sender = grid_rank(&plan->grid, replica, from->rank),
                        .receiver = grid_rank(&plan->grid, replica, to->rank),
                        .sending_stage = from->index,
                        .channel = carries_values ? CHANNEL_VALUES : CHANNEL_GRADIENTS,
                        .tag_chunk = to->chunk,
                        .plain = carries_values ? plan_values_layout(plan, cut)
                                                : plan_gradients_layout(plan, cut)};
    const int rank = transport_rank(engine->transport);
    if (rank == link.sender) {
        link.message = memory_buffer(engine->memory,
                                     carries_values ? BUFFER_VALUES_OUT : BUFFER_GRADIENTS_OUT, 0);
    } else if (rank == link.receiver) {
        link.message = memory_buffer(engine->memory,
                                     carries_values ? BUFFER_VALUES_IN : BUFFER_GRADIENTS_IN, 0);
    }
    return link;
}

static void sample_init(struct sample *s, const struct wire_layout *layout)
{
    const size_t n = (size_t)(layout->n_encoded + layout->n_plain);
    const int64_t count = layout->rows * layout->cols;
    *s = (struct sample){.values = heap_take((size_t)count, sizeof(float), "a message to deflate"),
                         .scales =
                             heap_take((size_t)layout->rows, sizeof(float), "a message to deflate"),
                         .in_tensors = heap_take(n, sizeof(float *), "a message to deflate"),
                         .in_scales = heap_take(n, sizeof(float *), "a message to deflate"),
                         .out_tensors = heap_take(n, sizeof(float *), "a message to deflate"),
                         .out_scales = heap_take(n, sizeof(float *), "a message to deflate")};
    for (int64_t i = 0; i < count; i++) {
        s->values[i] = (float)rng_normal_at(1, (uint64_t)i);
    }
    for (int64_t row = 0; row < layout->rows; row++) {
        s->scales[row] = SCALE;
    }
    for (size_t i = 0; i < n; i++) {
        s->in_tensors[i] = s->out_tensors[i] = s->values;
        s->in_scales[i] = s->out_scales[i] = s->scales;
    }
}

static void sample_finish(struct sample *s)
{
    free(s->values);
    free(s->scales);
    free(s->in_tensors);
    free(s->in_scales);
    free(s->out_tensors);
    free(s->out_scales);
    *s = (struct sample){0};
}

static struct wire_layout layout_of(const struct link *link, bool deflated)
{
    struct wire_layout layout = link->plain;
    layout.codec = deflated ? &link->engine->codec : NULL;
    return layout;
}

static struct wire_label label_of(const struct link *link)
{
    return (struct wire_label){.stage = link->sending_stage, .direction = link->direction};
}

/** Send one message and wait until its receiver has unpacked it. Returns how long that took. */
static double time_sent(const struct link *link, const struct sample *s, bool deflated,
                        struct deflation *found)
{
    struct transport *t = link->engine->transport;
    const struct wire_layout layout = layout_of(link, deflated);
    const struct wire_label label = label_of(link);
    struct transport_request request = {0};
    double unpack_s = 0.0;
    const double start_s = clock_monotonic_s();
    const size_t length = wire_pack(link->message, &label, &layout, s->in_tensors, s->in_scales);
    const double packed_s = clock_monotonic_s();
    transport_post_send_within(t, link->receiver, link->channel, link->tag_chunk, link->message,
                               length, wire_message_bytes(&layout), &request);
    transport_wait(t, &request);
    transport_receive(t, link->receiver, CHANNEL_COLLECTIVE, &unpack_s, sizeof unpack_s);
    const double total_s = clock_monotonic_s() - start_s;
    if (deflated) {
        found->pack_s = packed_s - start_s;
        found->unpack_s = unpack_s;
        found->message_bytes = (int64_t)length;
    }
    return total_s;
}

static void answer(const struct link *link, const struct sample *s, bool deflated)
{
    struct transport *t = link->engine->transport;
    const struct wire_layout layout = layout_of(link, deflated);
    const struct wire_label label = label_of(link);
    struct transport_request request = {0};
    struct error err = {0};
    transport_post_receive(t, link->sender, link->channel, link->tag_chunk, link->message,
                           wire_message_bytes(&layout), &request);
    transport_wait(t, &request);
    const double start_s = clock_monotonic_s();
    if (!wire_unpack(s->out_tensors, s->out_scales, link->message, request.length, &label, &layout,
                     &err)) {
        transport_abort(t, ERROR_LAUNCH, err.message);
    }
    const double unpack_s = clock_monotonic_s() - start_s;
    transport_send(t, link->sender, CHANNEL_COLLECTIVE, &unpack_s, sizeof unpack_s);
}

/** The least, since what disturbs a message only adds to its time. */
static double quickest(const double *seconds, int n)
{
    double least_s = seconds[0];
    for (int i = 1; i < n; i++) {
        least_s = seconds[i] < least_s ? seconds[i] : least_s;
    }
    return least_s;
}

/** The sender measures and decides; the receiver answers and is told. Both return the same. */
static struct deflation measure(const struct link *link)
{
    struct transport *t = link->engine->transport;
    struct deflation found = {.cut = link->cut,
                              .direction = link->direction,
                              .frame_bytes = (int64_t)wire_frame_bytes(&link->plain)};
    double seconds[2][N_TIMED + 1] = {{0}};
    struct sample sample;
    sample_init(&sample, &link->plain);
    const bool sends = transport_rank(t) == link->sender;
    for (int i = 0; i <= N_TIMED; i++) {
        for (int deflated = 0; deflated < 2; deflated++) {
            if (sends) {
                seconds[deflated][i] = time_sent(link, &sample, deflated, &found);
            } else {
                answer(link, &sample, deflated);
            }
        }
    }
    sample_finish(&sample);
    if (!sends) {
        transport_receive(t, link->sender, CHANNEL_COLLECTIVE, &found, sizeof found);
        return found;
    }
    found.plain_s = quickest(seconds[0] + 1, N_TIMED);
    found.deflated_s = quickest(seconds[1] + 1, N_TIMED);
    found.deflates = deflation_pays(found.plain_s, found.deflated_s);
    transport_send(t, link->receiver, CHANNEL_COLLECTIVE, &found, sizeof found);
    return found;
}

/** What rank 0 has said so far. */
struct summary {
    int n_links, n_deflated;
};

/** Rank 0 hears of a link, from itself or from its sender. */
static void report(const struct link *link, struct deflation *found, struct log *log,
                   struct summary *summary)
{
    struct transport *t = link->engine->transport;
    if (transport_rank(t) == link->sender && link->sender != 0) {
        transport_send(t, 0, CHANNEL_COLLECTIVE, found, sizeof *found);
    }
    if (transport_rank(t) != 0) {
        return;
    }
    if (link->sender != 0) {
        transport_receive(t, link->sender, CHANNEL_COLLECTIVE, found, sizeof *found);
    }
    char text[512];
    deflation_print(found, text, sizeof text);
    if (summary->n_links < MAX_LINES) {
        log_write(log, LOG_INFO, "%s", text);
    }
    summary->n_links++;
    summary->n_deflated += found->deflates;
}

static void summarize(const struct summary *s, struct log *log)
{
    if (s->n_links == 0) {
        log_write(log, LOG_INFO, "deflate auto: off, all neighbours share a host");
        return;
    }
    log_write(log, LOG_INFO, "deflate auto: on for %d of %d directions between hosts%s",
              s->n_deflated, s->n_links,
              s->n_links > MAX_LINES ? ", of which the first are listed" : "");
}

/** Links are numbered even cuts first, so that pairs of ranks beside each other measure at the same
 * time. All ranks go through them in this order, so none waits in a circle. */
static int link_count(const struct plan *plan)
{
    return 2 * (plan->n_stages - 1);
}

static struct link link_at(struct engine *engine, int replica, int i)
{
    const int n_cuts = engine->plan->n_stages - 1, n_even = (n_cuts + 1) / 2;
    const int k = i / 2;
    const int cut = k < n_even ? 2 * k : 2 * (k - n_even) + 1;
    return make_link(engine, replica, cut, i % 2 == 0 ? WIRE_VALUES : WIRE_GRADIENTS);
}

/** Measure the links of this rank's replica, all replicas at the same time. found: by link; zeroed
 * where this rank has no part. */
static void measure_all(struct engine *engine, const uint64_t *hosts, struct deflation *found)
{
    const int replica = grid_replica(&engine->plan->grid, transport_rank(engine->transport));
    for (int i = 0; i < link_count(engine->plan); i++) {
        const struct link link = link_at(engine, replica, i);
        if (hosts[link.sender] != hosts[link.receiver] && link.message != NULL) {
            found[i] = measure(&link);
            engine_set_deflation(engine, link.cut, link.direction, found[i].deflates);
        }
    }
}

static void report_all(struct engine *engine, const uint64_t *hosts, struct deflation *found,
                       struct log *log)
{
    struct summary summary = {0};
    for (int replica = 0; replica < engine->plan->grid.n_replicas; replica++) {
        for (int i = 0; i < link_count(engine->plan); i++) {
            const struct link link = link_at(engine, replica, i);
            if (hosts[link.sender] != hosts[link.receiver]) {
                report(&link, &found[i], log, &summary);
            }
        }
    }
    if (transport_rank(engine->transport) == 0) {
        summarize(&summary, log);
    }
}

void deflation_choose(struct engine *engine, const uint64_t *hosts, struct log *log)
{
    const int n = link_count(engine->plan);
    if (engine->plan->config->pipeline.deflate != DEFLATE_AUTO || n == 0) {
        return;
    }
    struct deflation *found = heap_take((size_t)n, sizeof *found, "what deflating saves");
    measure_all(engine, hosts, found);
    report_all(engine, hosts, found, log);
    free(found);
}
