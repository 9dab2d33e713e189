#include <attnres/inspect.h>

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** One sequence a step on one rank: everything lies in these slots. */
enum { SLOT = 0, GRADIENT_SLOT = 0 };

/** What the passes share. */
struct look {
    struct inspection *result;
    struct engine *engine;
    struct model *model;
    const struct inspect_input *input;
    int64_t T, C;
    int64_t n_targets;
};

static double *allocate(int64_t count)
{
    return calloc((size_t)(count > 0 ? count : 1), sizeof(double));
}

static bool make_room(struct inspection *r, bool wants_weights, struct error *err)
{
    const int64_t L = r->depth.n_sublayers, n_cells = (L + 1) * r->n_sources;
    r->map = allocate(n_cells);
    r->inputs = allocate(L + 1);
    r->outputs = allocate(L);
    r->weight_gradients = allocate(L);
    r->output_gradients = allocate(L);
    r->without = allocate(r->n_without);
    const size_t n_weights = wants_weights ? (size_t)(n_cells * r->n_tokens) : 0;
    r->weights = n_weights > 0 ? calloc(n_weights, sizeof *r->weights) : NULL;
    return (r->map != NULL && r->inputs != NULL && r->outputs != NULL &&
            r->weight_gradients != NULL && r->output_gradients != NULL && r->without != NULL &&
            (n_weights == 0 || r->weights != NULL)) ||
           error_set(err, ERROR_CREATE, "no memory to inspect a model");
}

void inspection_finish(struct inspection *r)
{
    free(r->map);
    free(r->inputs);
    free(r->outputs);
    free(r->weight_gradients);
    free(r->output_gradients);
    free(r->without);
    free(r->weights);
    *r = (struct inspection){0};
}

static double sum_squares(const float *x, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

/** Add a window's weights of read l. */
static void add_weights(const struct look *look, int64_t l)
{
    struct inspection *r = look->result;
    const struct depth_set set = depth_live(&r->depth, l);
    const int64_t n_deep = model_deep_sources(look->model, (int)l), n = look->input->n_tokens;
    for (int64_t i = 0; i < depth_set_count(&set); i++) {
        const int64_t cell = l * r->n_sources + depth_set_id(&set, i);
        const struct depth_read read =
            n_deep > 0 ? model_read(look->model, SLOT, (int)l) : (struct depth_read){0};
        for (int64_t t = 0; t < n; t++) {
            const double weight =
                n_deep > 0 ? exp((double)read.s[i * look->T + t] - (double)read.m[t]) : 1.0;
            r->map[cell] += weight;
            if (r->weights != NULL) {
                r->weights[cell * r->n_tokens + t] = (float)weight;
            }
        }
    }
}

/** Sum of squares of what sublayer l puts out. */
static double square_output(const struct look *look, int64_t l)
{
    const struct depth_output out = depth_output_of(&look->result->depth, l);
    const float *value = model_value(look->model, SLOT, out.value);
    const int64_t count = look->input->n_tokens * look->C;
    if (out.adds_to < 0) {
        return sum_squares(value, count);
    }
    const float *before = model_value(look->model, SLOT, out.adds_to);
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double y = (double)value[i] - (double)before[i];
        sum += y * y;
    }
    return sum;
}

/** Sum of squares of the result of read l, from its inverse root mean squares: backward has put its
 * gradient in its place. */
static double square_input(const struct look *look, int64_t l)
{
    const float *rstd = memory_buffer(look->model->memory, BUFFER_RSTD, SLOT);
    const double eps = look->engine->plan->config->model.norm_eps;
    double sum = 0.0;
    for (int64_t t = 0; t < look->input->n_tokens; t++) {
        const double r = (double)rstd[l * look->T + t];
        sum += (double)look->C * fmax(1.0 / (r * r) - eps, 0.0);
    }
    return sum;
}

/** A training step's passes over one window, and what they leave. */
static void add_window(const struct look *look, int64_t window)
{
    struct inspection *r = look->result;
    const struct inspect_input *input = look->input;
    const int64_t L = r->depth.n_sublayers, count = input->n_tokens * look->C;
    double loss = 0.0;
    const struct engine_batch batch = {.tokens = input->tokens + window * look->T,
                                       .targets = input->targets + window * look->T,
                                       .loss_scale = 1.0F / (float)look->n_targets,
                                       .losses = &loss};
    engine_run(look->engine, &look->engine->plan->schedule, &batch);
    r->loss += loss / (double)look->n_targets;
    for (int64_t l = 0; l <= L; l++) {
        add_weights(look, l);
        r->inputs[l] += square_input(look, l);
    }
    for (int64_t l = 0; l < L; l++) {
        r->outputs[l] += square_output(look, l);
        r->output_gradients[l] +=
            sum_squares(model_output_gradient(look->model, GRADIENT_SLOT, l), count);
    }
}

/** From sums over all windows to what they say. */
static void take_means(const struct look *look)
{
    struct inspection *r = look->result;
    const struct params *params = &look->engine->plan->params;
    const int64_t L = r->depth.n_sublayers;
    const double n = (double)(look->input->n_windows * look->input->n_tokens);
    for (int64_t l = 0; l <= L; l++) {
        double *row = r->map + l * r->n_sources;
        const struct depth_set set = depth_live(&r->depth, l);
        for (int64_t id = 0, i = 0; id < r->n_sources; id++) {
            const bool is_source = i < depth_set_count(&set) && depth_set_id(&set, i) == id;
            row[id] = is_source ? row[id] / n : NAN;
            i += is_source;
        }
        r->inputs[l] = sqrt(r->inputs[l] / n / (double)look->C);
    }
    for (int64_t l = 0; l < L; l++) {
        double sum = 0.0;
        for (int64_t i = params_first(params, l); i < params_first(params, l + 1); i++) {
            const struct param *row = &params->rows[i];
            if (row->role != PARAM_READ) {
                sum += sum_squares(model_gradient(look->model, row), row->count);
            }
        }
        r->weight_gradients[l] = sqrt(sum);
        r->outputs[l] = sqrt(r->outputs[l] / n / (double)look->C);
        r->output_gradients[l] = sqrt(r->output_gradients[l]);
    }
}

/** The loss when a source is hidden from every read. */
static double loss_without(const struct look *look, int64_t id)
{
    double sum = 0.0;
    look->model->masked = id;
    for (int64_t window = 0; window < look->input->n_windows; window++) {
        double loss = 0.0;
        const struct engine_batch batch = {.tokens = look->input->tokens + window * look->T,
                                           .targets = look->input->targets + window * look->T,
                                           .losses = &loss};
        engine_run(look->engine, &look->engine->plan->forward, &batch);
        sum += loss;
    }
    look->model->masked = -1;
    return sum / (double)look->n_targets;
}

/** Whether some read of several sources has it. */
static bool is_read(const struct depth_plan *depth, int64_t id)
{
    for (int64_t l = 0; l <= depth->n_sublayers; l++) {
        const struct depth_set set = depth_live(depth, l);
        const bool has_it =
            id < set.n_completed || (id >= set.first_open && id < set.first_open + set.n_open);
        if (has_it && depth_set_count(&set) > 1) {
            return true;
        }
    }
    return false;
}

/** Of kind full every output is a completed source, and none is another beside it. */
static int64_t count_sources(const struct depth_plan *depth)
{
    return depth->n_blocks + 1 + (depth->kind == MODEL_FULL ? 0 : depth->n_sublayers);
}

static int64_t count_targets(const struct inspect_input *input, int64_t T)
{
    int64_t n = 0;
    for (int64_t i = 0; i < input->n_windows * T; i++) {
        n += input->targets[i] >= 0;
    }
    return n;
}

bool inspect_model(struct inspection *r, struct engine *engine, struct model *model,
                   const struct inspect_input *input, bool wants_weights, struct error *err)
{
    const struct plan *plan = engine->plan;
    assert(plan->purpose == PLAN_INSPECT && plan->n_stages == 1 && plan->n_microbatches == 1 &&
           plan->config->batch.microbatch == 1 && !plan_recomputes(plan));
    assert(!wants_weights || input->n_windows == 1);
    *r = (struct inspection){.depth = plan->depth,
                             .is_static = plan->config->model.read == READ_STATIC,
                             .n_sources = count_sources(&plan->depth),
                             .n_tokens = input->n_windows * input->n_tokens};
    r->n_without = input->hides_all ? r->n_sources : plan->depth.n_blocks + 1;
    if (!make_room(r, wants_weights, err)) {
        return false;
    }
    const struct look look = {.result = r,
                              .engine = engine,
                              .model = model,
                              .input = input,
                              .T = plan->config->model.seq_len,
                              .C = plan->config->model.dim,
                              .n_targets = count_targets(input, plan->config->model.seq_len)};
    assert(look.n_targets > 0);
    for (int64_t window = 0; window < input->n_windows; window++) {
        add_window(&look, window);
    }
    take_means(&look);
    for (int64_t id = 0; id < r->n_without; id++) {
        r->without[id] = is_read(&plan->depth, id) ? loss_without(&look, id) : NAN;
    }
    engine_drain(engine);
    return true;
}

double inspect_weight(const struct inspection *r, int64_t l, int64_t id, int64_t token)
{
    const struct depth_set set = depth_live(&r->depth, l);
    const bool is_own = id > r->depth.n_blocks;
    const int64_t first = is_own ? set.first_open : id,
                  end = is_own ? first + set.n_open : id + (id < set.n_completed);
    double sum = first < end ? 0.0 : NAN;
    for (int64_t i = first; i < end; i++) {
        sum += (double)r->weights[(l * r->n_sources + i) * r->n_tokens + token];
    }
    return sum;
}

static void name_sublayer(char name[INSPECT_NAME_BYTES], const char *before, int64_t l)
{
    snprintf(name, INSPECT_NAME_BYTES, "%s%lld.%s", before, (long long)(l / 2),
             l % 2 == 0 ? "attn" : "mlp");
}

void inspect_name_read(char name[INSPECT_NAME_BYTES], const struct depth_plan *depth, int64_t l)
{
    if (l == depth->n_sublayers) {
        snprintf(name, INSPECT_NAME_BYTES, "head");
        return;
    }
    name_sublayer(name, "", l);
}

void inspect_name_source(char name[INSPECT_NAME_BYTES], const struct depth_plan *depth, int64_t id)
{
    const bool is_open = id > depth->n_blocks;
    if (id == 0 || (!is_open && depth->kind != MODEL_FULL)) {
        snprintf(name, INSPECT_NAME_BYTES, "b%lld", (long long)id);
        return;
    }
    const bool is_sum = depth->kind == MODEL_BLOCK || depth->kind == MODEL_STANDARD;
    name_sublayer(name, is_sum ? "to " : "", is_open ? id - depth->n_blocks - 1 : id - 1);
}
