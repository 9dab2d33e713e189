/* An inspection for people, and as JSON. */
#include <math.h>
#include <string.h>

#include <attnres/inspect.h>
#include <attnres/json.h>
#include <attnres/text.h>

/** Sources of a read that the table names, the heaviest first. */
enum { MOST_NAMED = 6 };

static void print_read(struct text *t, const struct inspection *r, int64_t l)
{
    char name[INSPECT_NAME_BYTES];
    const double *row = r->map + l * r->n_sources;
    inspect_name_read(name, &r->depth, l);
    text_add(t, "%-10s", name);
    double last = INFINITY;
    int64_t last_id = -1, n_left = 0;
    for (int64_t id = 0; id < r->n_sources; id++) {
        n_left += !isnan(row[id]);
    }
    for (int n = 0; n < MOST_NAMED && n_left > 0; n++, n_left--) {
        int64_t best = -1; /* the heaviest of those behind the last in this order */
        for (int64_t id = 0; id < r->n_sources; id++) {
            const bool is_behind = row[id] < last || (row[id] == last && id > last_id);
            if (is_behind && (best < 0 || row[id] > row[best])) {
                best = id;
            }
        }
        inspect_name_source(name, &r->depth, best);
        text_add(t, "  %s %.3f", name, row[best]);
        last = row[best];
        last_id = best;
    }
    text_add(t, n_left > 0 ? "  and %lld more\n" : "\n", (long long)n_left);
}

static void print_reads(struct text *t, const struct inspection *r)
{
    if (r->depth.kind == MODEL_STANDARD) {
        text_add(t, "\nEvery read has one source: the running sum.\n");
        return;
    }
    text_add(t, "\nread        mean weight of its sources\n");
    for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
        print_read(t, r, l);
    }
}

static void print_layers(struct text *t, const struct inspection *r)
{
    text_add(t, "\n            root mean square              norm of the gradient\n"
                "sublayer    what it reads  what it puts out  of its weights  of its output\n");
    for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
        char name[INSPECT_NAME_BYTES];
        inspect_name_read(name, &r->depth, l);
        text_add(t, "%-10s  %13.4g", name, r->inputs[l]);
        if (l < r->depth.n_sublayers) {
            text_add(t, "  %16.4g  %14.3e  %13.3e", r->outputs[l], r->weight_gradients[l],
                     r->output_gradients[l]);
        }
        text_add(t, "\n");
    }
}

static void print_without(struct text *t, const struct inspection *r)
{
    if (r->depth.kind == MODEL_STANDARD) {
        return;
    }
    text_add(t, "\nwithout        loss   more by\n");
    for (int64_t id = 0; id < r->n_without; id++) {
        char name[INSPECT_NAME_BYTES];
        inspect_name_source(name, &r->depth, id);
        if (!isnan(r->without[id])) {
            text_add(t, "%-10s  %8.4f  %+8.4f\n", name, r->without[id], r->without[id] - r->loss);
        }
    }
}

/** A byte as C has it, so that none is taken for another: 'a', ' ', '9', and \t, \x05 for what
 * cannot be printed. */
static void print_token(struct text *t, int32_t token)
{
    static const char ESCAPED[] = "\t\n\r", LETTERS[] = "tnr";
    const char *escaped = token > 0 && token < ' ' ? strchr(ESCAPED, token) : NULL;
    if (token >= ' ' && token <= '~') {
        text_add(t, "'%c'  ", (char)token);
    } else if (escaped != NULL) {
        text_add(t, "\\%c   ", LETTERS[escaped - ESCAPED]);
    } else {
        text_add(t, "\\x%02x ", (unsigned)token);
    }
}

/** Mean over the reads that can see a source, of one token. */
static double mean_over_reads(const struct inspection *r, int64_t id, int64_t token)
{
    double sum = 0.0;
    int64_t n_reads = 0;
    for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
        const double weight = inspect_weight(r, l, id, token);
        if (!isnan(weight)) {
            sum += weight;
            n_reads++;
        }
    }
    return n_reads > 0 ? sum / (double)n_reads : NAN;
}

static void print_tokens(struct text *t, const struct inspection *r, const int32_t *prompt)
{
    if (r->depth.kind == MODEL_STANDARD) {
        return;
    }
    const bool has_open = r->depth.kind != MODEL_FULL;
    text_add(t, "\nWhat the reads that can see a source take of it, on average, for each token\n\n"
                "token");
    for (int64_t id = 0; id <= r->depth.n_blocks; id++) {
        char name[INSPECT_NAME_BYTES];
        inspect_name_source(name, &r->depth, id);
        text_add(t, "%8s", name);
    }
    text_add(t, "%s\n", has_open ? "  own block" : "");
    for (int64_t token = 0; token < r->n_tokens; token++) {
        print_token(t, prompt[token]);
        for (int64_t id = 0; id <= r->depth.n_blocks; id++) {
            text_add(t, "%8.3f", mean_over_reads(r, id, token));
        }
        if (has_open) {
            text_add(t, "  %9.3f", mean_over_reads(r, r->depth.n_blocks + 1, token));
        }
        text_add(t, "\n");
    }
}

static bool has_choice(const struct inspection *r, int64_t l)
{
    const struct depth_set set = depth_live(&r->depth, l);
    return depth_set_count(&set) > 1;
}

/** The source that a read takes most of, at one token; what its own block has put out is one. */
static void print_heaviest_of(struct text *t, const struct inspection *r, int64_t l, int64_t token)
{
    const int64_t own = r->depth.n_blocks + 1;
    int64_t best = 0; /* every read has the embedding */
    for (int64_t id = 1; id <= own; id++) {
        best = inspect_weight(r, l, id, token) > inspect_weight(r, l, best, token) ? id : best;
    }
    char name[INSPECT_NAME_BYTES] = "own";
    if (best < own) {
        inspect_name_source(name, &r->depth, best);
    }
    text_add(t, " %7s %.2f", name, inspect_weight(r, l, best, token));
}

static void print_heaviest(struct text *t, const struct inspection *r, const int32_t *prompt)
{
    if (r->depth.kind == MODEL_STANDARD) {
        return;
    }
    text_add(t, "\nThe heaviest source of each read, for each token%s\n\ntoken",
             r->depth.kind == MODEL_FULL ? "" : "; own: its block so far");
    for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
        char name[INSPECT_NAME_BYTES];
        if (has_choice(r, l)) {
            inspect_name_read(name, &r->depth, l);
            text_add(t, " %12s", name);
        }
    }
    text_add(t, "\n");
    for (int64_t token = 0; token < r->n_tokens; token++) {
        print_token(t, prompt[token]);
        for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
            if (has_choice(r, l)) {
                print_heaviest_of(t, r, l, token);
            }
        }
        text_add(t, "\n");
    }
}

size_t inspect_print(const struct inspection *r, const struct inspect_label *label, char *text,
                     size_t capacity)
{
    struct text t = {.bytes = text, .capacity = capacity};
    const int64_t L = r->depth.n_sublayers;
    text_add(&t, "step %lld: %s%s, %lld layers", (long long)label->step, label->kind,
             r->is_static ? " (static reads)" : "", (long long)(L / 2));
    if (r->depth.n_blocks > 0 && r->depth.kind != MODEL_FULL) {
        text_add(&t, " in %lld blocks of %lld sublayers", (long long)r->depth.n_blocks,
                 (long long)r->depth.block_size);
    }
    text_add(&t, "\n%lld tokens, loss %.4f nats per token\n", (long long)r->n_tokens, r->loss);
    print_reads(&t, r);
    print_layers(&t, r);
    print_without(&t, r);
    if (label->prompt != NULL) {
        print_tokens(&t, r, label->prompt);
        print_heaviest(&t, r, label->prompt);
    }
    return t.length;
}

static void write_numbers(struct json_writer *w, const char *key, const double *values, int64_t n)
{
    json_begin_array(w, key);
    for (int64_t i = 0; i < n; i++) {
        json_number(w, NULL, values[i]);
    }
    json_end_array(w);
}

static void write_names(struct json_writer *w, const struct inspection *r)
{
    char name[INSPECT_NAME_BYTES];
    json_begin_array(w, "reads");
    for (int64_t l = 0; l <= r->depth.n_sublayers; l++) {
        inspect_name_read(name, &r->depth, l);
        json_text(w, NULL, name);
    }
    json_end_array(w);
    json_begin_array(w, "sources");
    for (int64_t id = 0; id < r->n_sources; id++) {
        inspect_name_source(name, &r->depth, id);
        json_text(w, NULL, name);
    }
    json_end_array(w);
}

/** weights[read][source][token]; an empty array where the read does not have the source. */
static void write_weights(struct json_writer *w, const struct inspection *r)
{
    json_begin_array(w, "weights");
    for (int64_t cell = 0; cell < (r->depth.n_sublayers + 1) * r->n_sources; cell++) {
        if (cell % r->n_sources == 0) {
            json_begin_array(w, NULL);
        }
        json_begin_array(w, NULL);
        for (int64_t t = 0; t < r->n_tokens && !isnan(r->map[cell]); t++) {
            json_number(w, NULL, (double)r->weights[cell * r->n_tokens + t]);
        }
        json_end_array(w);
        if (cell % r->n_sources == r->n_sources - 1) {
            json_end_array(w);
        }
    }
    json_end_array(w);
}

bool inspect_print_json(const struct inspection *r, const struct inspect_label *label, char *text,
                        size_t capacity)
{
    const int64_t L = r->depth.n_sublayers;
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_text(&w, "checkpoint", label->checkpoint);
    json_int(&w, "step", label->step);
    json_text(&w, "kind", label->kind);
    json_text(&w, "read", r->is_static ? "static" : "query");
    json_int(&w, "layers", L / 2);
    json_int(&w, "blocks", r->depth.n_blocks);
    json_int(&w, "tokens", r->n_tokens);
    json_number_or_null(&w, "loss", r->loss);
    write_names(&w, r);
    json_begin_array(&w, "map");
    for (int64_t l = 0; l <= L; l++) {
        write_numbers(&w, NULL, r->map + l * r->n_sources, r->n_sources);
    }
    json_end_array(&w);
    write_numbers(&w, "inputs", r->inputs, L + 1);
    write_numbers(&w, "outputs", r->outputs, L);
    write_numbers(&w, "weight_gradients", r->weight_gradients, L);
    write_numbers(&w, "output_gradients", r->output_gradients, L);
    write_numbers(&w, "without", r->without, r->n_without);
    if (label->prompt != NULL) {
        json_begin_array(&w, "prompt");
        for (int64_t t = 0; t < r->n_tokens; t++) {
            json_int(&w, NULL, label->prompt[t]);
        }
        json_end_array(&w);
        write_weights(&w, r);
    }
    json_end_object(&w);
    return json_writer_ok(&w);
}

size_t inspect_json_bytes(const struct inspection *r)
{
    enum { FIXED = 1 << 14, PER_NUMBER = 28 };
    const size_t n_cells = (size_t)((r->depth.n_sublayers + 1) * r->n_sources);
    const size_t n_tokens = r->weights != NULL ? (size_t)r->n_tokens : 0;
    return FIXED + PER_NUMBER * (n_cells * (n_tokens + 2) + n_tokens +
                                 16 * (size_t)(r->depth.n_sublayers + 1));
}
