#include <attnres/evaluate.h>

#include <math.h>
#include <string.h>

/** One forward pass of the microbatch that lies in the plan's batch buffers. Returns its loss on
 * the last stage. */
static double run_microbatch(struct engine *engine, bool wants_best)
{
    double loss = 0.0;
    const struct engine_batch batch = {.tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0),
                                       .targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0),
                                       .loss_scale = 0.0F,
                                       .wants_best = wants_best,
                                       .losses = &loss};
    engine_run(engine, &engine->plan->forward, &batch);
    return loss;
}

struct evaluate_loss evaluate_windows(struct engine *engine, const struct data *data,
                                      int64_t n_windows, bool tail)
{
    const struct plan_rank *own = &engine->plan->ranks[engine->rank];
    const int64_t T = engine->plan->config->model.seq_len,
                  B = engine->plan->config->batch.microbatch;
    int32_t *tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    struct {
        double sum;
        int64_t n;
    } total = {0};
    for (int64_t first = 0; first < n_windows; first += B) {
        for (int64_t b = 0; b < B && (own->has_first || own->has_last); b++) {
            if (first + b < n_windows) {
                total.n +=
                    data_read_in_order(data, first + b, tail, tokens + b * T, targets + b * T);
            } else {
                memset(tokens + b * T, 0, (size_t)T * sizeof *tokens);
                memset(targets + b * T, 0xff, (size_t)T * sizeof *targets); /* -1: not counted */
            }
        }
        total.sum += run_microbatch(engine, false);
    }
    engine_drain(engine);
    transport_broadcast(engine->transport, plan_last_rank(engine->plan), &total, sizeof total);
    return (struct evaluate_loss){.loss = total.n > 0 ? total.sum / (double)total.n : NAN,
                                  .n_targets = total.n};
}

/** Lay an item into a row: as much of its end as fits, targets on the answer's bytes only. */
static void place_item(int32_t *tokens, int32_t *targets, int64_t T, const struct data_item *item)
{
    const int64_t length = item->prompt_length + item->answer_length;
    const int64_t start = length - 1 > T ? length - 1 - T : 0;
    for (int64_t t = 0; t < T; t++) {
        const int64_t at = start + t;
        tokens[t] = at < length ? (unsigned char)item->text[at] : 0;
        const bool is_answer = at + 1 >= item->prompt_length && at + 1 < length;
        targets[t] = is_answer ? (unsigned char)item->text[at + 1] : -1;
    }
}

static bool is_right(const int32_t *best, const int32_t *targets, int64_t T)
{
    for (int64_t t = 0; t < T; t++) {
        if (targets[t] >= 0 && best[t] != targets[t]) {
            return false;
        }
    }
    return true;
}

struct evaluate_hops evaluate_task(struct engine *engine, enum task_kind task, uint64_t seed,
                                   int hops, int64_t n_items)
{
    const struct plan_rank *own = &engine->plan->ranks[engine->rank];
    const int64_t T = engine->plan->config->model.seq_len,
                  B = engine->plan->config->batch.microbatch;
    int32_t *tokens = memory_buffer(engine->memory, BUFFER_TOKENS, 0);
    int32_t *targets = memory_buffer(engine->memory, BUFFER_TARGETS, 0);
    const int32_t *best = memory_buffer(engine->memory, BUFFER_BEST, 0);
    struct evaluate_hops result = {.hops = hops};
    struct data_item item;
    for (int64_t first = 0; first < n_items; first += B) {
        const int64_t n_rows = n_items - first < B ? n_items - first : B;
        for (int64_t b = 0; b < B && (own->has_first || own->has_last); b++) {
            const int64_t index =
                first + (b < n_rows ? b : 0); /* rows beyond the last item repeat one, uncounted */
            data_make_item(&item, task, seed, (uint64_t)index, hops);
            place_item(tokens + b * T, targets + b * T, T, &item);
            result.chance += b < n_rows ? 1.0 / item.n_options : 0.0;
        }
        run_microbatch(engine, true);
        for (int64_t b = 0; b < n_rows && own->has_last; b++) {
            result.n_right += is_right(best + b * T, targets + b * T, T);
        }
        result.n_items += n_rows;
    }
    engine_drain(engine);
    transport_broadcast(engine->transport, plan_last_rank(engine->plan), &result, sizeof result);
    result.chance = result.n_items > 0 ? result.chance / (double)result.n_items : 0.0;
    return result;
}
