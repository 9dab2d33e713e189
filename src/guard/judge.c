/* Loss and gradient norm of a step: fine, not finite, or a spike. */
#include <attnres/guard.h>

#include <math.h>

/** Steps that the averages reach back, and those without which nothing is a spike. */
enum { WINDOW = 100, LEAST = 20 };

/** Of the mean: a smaller deviation is taken for this one, or a loss that hardly moves would have
 * spikes too small to matter. */
static const double LEAST_DEVIATION = 1e-3;

static double deviation(const struct guard_average *a)
{
    return fmax(sqrt(a->variance), LEAST_DEVIATION * fabs(a->mean));
}

static double z_of(const struct guard_average *a, double x)
{
    const double d = deviation(a);
    return d > 0.0 ? (x - a->mean) / d : 0.0;
}

/** The first values weigh the same, later ones a hundredth. */
static void take(struct guard_average *a, int64_t n_seen, double x)
{
    const double share = 1.0 / (double)(n_seen + 1 < WINDOW ? n_seen + 1 : WINDOW);
    const double difference = x - a->mean;
    a->mean += share * difference;
    a->variance = (1.0 - share) * (a->variance + share * difference * difference);
}

/** Returns the value's z if it is a spike, else 0. */
static double look(struct guard_average *a, int64_t n_seen, double spike_z, double x)
{
    const double z = n_seen >= LEAST ? z_of(a, x) : 0.0;
    const bool is_spike = z > spike_z;
    take(a, n_seen, is_spike ? a->mean + spike_z * deviation(a) : x);
    return is_spike ? z : 0.0;
}

static void look_for_spike(struct guard_state *state, double spike_z, double loss, double grad_norm,
                           struct guard_judgement *j)
{
    j->loss_z = look(&state->loss, state->n_seen, spike_z, loss);
    j->grad_norm_z = look(&state->grad_norm, state->n_seen, spike_z, grad_norm);
    j->is_spike = j->loss_z > 0.0 || j->grad_norm_z > 0.0;
    state->n_seen++;
}

struct guard_judgement guard_judge(struct guard_state *state, const struct guard_config *config,
                                   double loss, double grad_norm, bool counts)
{
    struct guard_judgement j = {.not_finite = (counts && !isfinite(loss)) || !isfinite(grad_norm)};
    if (!j.not_finite && counts && config->spike_z > 0.0) {
        look_for_spike(state, config->spike_z, loss, grad_norm, &j);
    }
    const bool guards_skip = j.not_finite || (j.is_spike && config->spike_skip);
    state->n_skips_in_a_row = guards_skip ? state->n_skips_in_a_row + 1 : 0;
    j.skips = guards_skip || !counts;
    j.stops = state->n_skips_in_a_row > config->max_skips;
    return j;
}

static void write_average(struct json_writer *w, const char *key, const struct guard_average *a)
{
    json_begin_array(w, key);
    json_number(w, NULL, a->mean);
    json_number(w, NULL, a->variance);
    json_end_array(w);
}

void guard_write_state(struct json_writer *w, const struct guard_state *state)
{
    json_int(w, "skips_in_a_row", state->n_skips_in_a_row);
    json_int(w, "seen", state->n_seen);
    write_average(w, "loss", &state->loss);
    write_average(w, "grad_norm", &state->grad_norm);
}

static bool read_count(int64_t *out, const struct json_value *object, const char *key)
{
    static const int64_t MOST = (int64_t)1 << 61;
    const struct json_value *value = json_get(object, key);
    return value == NULL || (json_as_int(value, out) && *out >= 0 && *out <= MOST);
}

static bool read_average(struct guard_average *a, const struct json_value *object, const char *key)
{
    const struct json_value *value = json_get(object, key);
    return value == NULL || (json_as_real(json_at(value, 0), &a->mean) &&
                             json_as_real(json_at(value, 1), &a->variance) && isfinite(a->mean) &&
                             isfinite(a->variance) && a->variance >= 0.0);
}

bool guard_read_state(struct guard_state *state, const struct json_value *object)
{
    *state = (struct guard_state){0};
    return json_get(object, "skips_in_a_row") != NULL &&
           read_count(&state->n_skips_in_a_row, object, "skips_in_a_row") &&
           read_count(&state->n_seen, object, "seen") &&
           read_average(&state->loss, object, "loss") &&
           read_average(&state->grad_norm, object, "grad_norm");
}
