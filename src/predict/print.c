/* The prediction for people and for scripts. */
#include "predict_internal.h"

#include <stdlib.h>

#include <attnres/heap.h>
#include <attnres/text.h>

static const double MB = 1e6, MS = 1e3;

static const struct {
    const char *name;
    enum precision value, gradient;
} ENCODINGS[] = {
    {"f32, f32", PRECISION_F32, PRECISION_F32},   {"f32, bf16", PRECISION_F32, PRECISION_BF16},
    {"bf16, f32", PRECISION_BF16, PRECISION_F32}, {"bf16, bf16", PRECISION_BF16, PRECISION_BF16},
    {"int8, f32", PRECISION_INT8, PRECISION_F32}, {"int8, bf16", PRECISION_INT8, PRECISION_BF16},
};

/** Encodings that the model can have: `standard` has no representatives to round. */
static int count_encodings(const struct plan *plan)
{
    const int n = sizeof ENCODINGS / sizeof ENCODINGS[0];
    return plan->config->model.kind == MODEL_STANDARD ? 1 : n;
}

/** The same stages' routing with the message cache or without. */
static bool route(struct routing *routing, const struct plan *plan, bool cache)
{
    int64_t ends[CONFIG_MAX_STAGES];
    for (int i = 0; i < plan->n_stages; i++) {
        ends[i] = plan->stages[i].end;
    }
    return routing_init(routing, &plan->depth, ends, &plan->schedule.spec, cache, NULL);
}

static bool is_chosen(const struct plan *plan, int encoding)
{
    const struct representative_config *r = &plan->config->representative;
    return ENCODINGS[encoding].value == r->value && ENCODINGS[encoding].gradient == r->gradient;
}

static void put_traffic(struct text *t, const struct plan *plan, const struct routing *plain,
                        const struct routing *cached)
{
    text_add(t, "\nmessages   MB a step and pipeline (sent by the busiest rank)\n"
                "           values, gradients        without cache         with cache\n");
    for (int i = 0; i < count_encodings(plan); i++) {
        const struct predicted_traffic a =
            predict_traffic(plan, plain, ENCODINGS[i].value, ENCODINGS[i].gradient);
        const struct predicted_traffic b =
            predict_traffic(plan, cached, ENCODINGS[i].value, ENCODINGS[i].gradient);
        text_add(t, "           %-18s %11.2f %9s%.2f) %8.2f %9s%.2f)%s\n", ENCODINGS[i].name,
                 a.all / MB, "(", a.busiest / MB, b.all / MB, "(", b.busiest / MB,
                 is_chosen(plan, i) ? "  chosen" : "");
    }
}

static void put_cache(struct text *t, const struct plan *plan)
{
    if (plan->config->pipeline.cache) {
        text_add(t, "           with cache, as chosen: %s\n",
                 plan->routing.cache
                     ? "numbers repeat bit for bit on this grid and partition, but depend on them"
                     : "with one chunk a rank there is nothing to keep, so it changes nothing");
    }
}

/** Each link's bytes in the encodings of the plan. */
static void put_links(struct text *t, const struct plan *plan, const struct routing *plain,
                      const struct routing *cached)
{
    enum { SHOWN = 6 }; /* at either end of a long pipeline */
    const struct representative_config *r = &plan->config->representative;
    struct predicted_link *links =
        heap_take(4 * (size_t)plan->n_stages, sizeof *links, "the predicted messages");
    struct predicted_link *with_cache = links + 2 * (size_t)plan->n_stages;
    const int n = predict_links(links, plan, plain, r->value, r->gradient);
    predict_links(with_cache, plan, cached, r->value, r->gradient);
    text_add(t, "links      MB a step, as chosen         without cache         with cache\n");
    for (int i = 0; i < n; i++) {
        if (i == SHOWN && n > 2 * SHOWN + 1) {
            text_add(t, "           ...\n");
            i = n - SHOWN;
        }
        text_add(t, "           rank %4d to rank %-6d %9.2f %18.2f\n", links[i].from, links[i].to,
                 links[i].bytes / MB, with_cache[i].bytes / MB);
    }
    free(links);
}

static void put_step(struct text *t, const struct prediction *p, const struct costs *costs)
{
    const struct {
        const char *name;
        double seconds;
        const char *what;
    } parts[] = {
        {"compute", p->compute_s, "forward, input and weight gradient, mean of the ranks"},
        {"bubble", p->bubble_s, "ranks waiting for each other, messages free"},
        {"messages", p->messages_s, "what packing, sending and waiting for them add"},
        {"reduction", p->reduce_s, "gradients and weights over the replicas"},
        {"update", p->update_s, "of the rank with the most parameters"},
        {"report", p->report_s, "all ranks to rank 0 and back"},
    };
    text_add(t, "\npredicted  %.6g ms a step, %.4g tokens/s (%s)\n", MS * p->step_s,
             p->tokens_per_s, costs_has_parts(costs) ? "work as measured" : "work by given rates");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        text_add(t, "%-10s %10.3f ms %5.1f %%  %s\n", parts[i].name, MS * parts[i].seconds,
                 100.0 * parts[i].seconds / p->step_s, parts[i].what);
    }
}

size_t predict_print(const struct plan *plan, const struct costs *costs,
                     const struct prediction *prediction, int width, char *text, size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    struct routing plain = {0}, cached = {0};
    if (plan->n_ranks > 1 && route(&plain, plan, false) && route(&cached, plan, true)) {
        put_traffic(&t, plan, &plain, &cached);
        put_cache(&t, plan);
        put_links(&t, plan, &plain, &cached);
    }
    routing_finish(&plain);
    routing_finish(&cached);
    if (prediction == NULL) {
        text_add(&t,
                 "\npredicted  no time, for %s is not known: give pipeline.costs=FILE, which\n"
                 "           attnres plan CONFIG --calibrate=FILE measures, or rates (attnres plan "
                 "--help)\n",
                 predict_find_missing(plan, costs));
        return t.length;
    }
    put_step(&t, prediction, costs);
    text_add(&t,
             "\nF forward, I input gradient, W weight gradient, m messages, . waiting; %.6g ms "
             "from left to right\n",
             MS * prediction->simulation.makespan);
    const size_t at = t.length < t.capacity ? t.length : t.capacity;
    t.length += predict_print_picture(plan, prediction, width,
                                      t.bytes != NULL ? t.bytes + at : NULL, t.capacity - at);
    return t.length;
}

static void write_links(struct json_writer *w, const struct plan *plan,
                        const struct routing *routing, int encoding)
{
    struct predicted_link *links =
        heap_take(2 * (size_t)plan->n_stages, sizeof *links, "the predicted messages");
    const int n = predict_links(links, plan, routing, ENCODINGS[encoding].value,
                                ENCODINGS[encoding].gradient);
    json_begin_array(w, "links");
    for (int i = 0; i < n; i++) {
        json_begin_object(w, NULL);
        json_int(w, "from", links[i].from);
        json_int(w, "to", links[i].to);
        json_number(w, "bytes", links[i].bytes);
        json_end_object(w);
    }
    json_end_array(w);
    free(links);
}

static void write_traffic(struct json_writer *w, const struct plan *plan)
{
    json_begin_array(w, "traffic");
    for (int cache = 0; cache < 2; cache++) {
        struct routing routing;
        if (!route(&routing, plan, cache != 0)) {
            continue;
        }
        for (int i = 0; i < count_encodings(plan); i++) {
            const struct predicted_traffic traffic =
                predict_traffic(plan, &routing, ENCODINGS[i].value, ENCODINGS[i].gradient);
            json_begin_object(w, NULL);
            json_text(w, "encoding", ENCODINGS[i].name);
            json_bool(w, "cache", cache != 0);
            json_number(w, "bytes_all", traffic.all);
            json_number(w, "bytes_busiest_rank", traffic.busiest);
            write_links(w, plan, &routing, i);
            json_end_object(w);
        }
        routing_finish(&routing);
    }
    json_end_array(w);
}

void predict_write_json(struct json_writer *w, const struct plan *plan,
                        const struct prediction *prediction)
{
    write_traffic(w, plan);
    if (prediction == NULL) {
        return;
    }
    json_begin_object(w, "predicted");
    json_number(w, "step_s", prediction->step_s);
    json_number(w, "compute_s", prediction->compute_s);
    json_number(w, "bubble_s", prediction->bubble_s);
    json_number(w, "messages_s", prediction->messages_s);
    json_number(w, "reduce_s", prediction->reduce_s);
    json_number(w, "update_s", prediction->update_s);
    json_number(w, "report_s", prediction->report_s);
    json_number(w, "efficiency", prediction->efficiency);
    json_number(w, "tokens_per_s", prediction->tokens_per_s);
    json_end_object(w);
}
