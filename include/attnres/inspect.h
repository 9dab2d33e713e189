/** What a trained model does along its depth: which sources its reads draw on, how large things are
 * and how their gradients are, and what each source is worth.
 *
 *  Nothing is computed anew: a training step's forward pass, backward pass and weight gradients run
 * as they always do, on one rank and without recomputation, and what they leave in the planned
 * buffers is read: from scores s_i and log-denominators the weights a_i = e^(s_i - (m + ln d)) of
 * kernels.h, from values and read results their magnitudes. What a source is worth is how much the
 * loss rises when it is hidden from every read (model.masked).
 *
 *  Sources go by their ids of depth.h: 0 the embedding, then completed blocks, then what sublayers
 * leave in the open block. */
#ifndef ATTNRES_INSPECT_H
#define ATTNRES_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/engine.h>
#include <attnres/error.h>
#include <attnres/model.h>

/** Windows of T tokens; of each the first n_tokens are looked at. */
struct inspect_input {
    const int32_t *tokens, *targets; /* (windows, T); targets behind those are -1 */
    int64_t n_windows, n_tokens;
    bool hides_all; /* also hide the sources of open blocks: a forward pass for each */
};

struct inspection {
    struct depth_plan depth;
    bool is_static;    /* read: static */
    int64_t n_sources; /* ids: N + 1 + L; of kind full L + 1 */
    int64_t n_tokens;  /* looked at: of one window where weights are kept, of all otherwise */
    double loss;       /* mean nats per target */
    double *map;       /* (L+1, sources): mean weight of a source in a read; NAN: not one of its */
    double *inputs;    /* (L+1): root mean square of what a read gives */
    double *outputs;   /* (L): of what a sublayer puts out, before it is added to anything */
    double *weight_gradients; /* (L): norm of the gradient of a sublayer's weights, those of its
                                 read left out: the same tensors for every kind */
    double *output_gradients; /* (L): norm of the loss's gradient with regard to its output */
    int64_t n_without;        /* N+1, or all sources */
    double *without; /* (n_without): the loss with a source hidden from every read; NAN: nobody
                        reads it beside another */
    float *weights;  /* (L+1, sources, tokens) of the only window, where wanted; NULL otherwise */
};

/** Look at a model through some windows. engine has one rank with PLAN_INSPECT, one sequence a
 * microbatch and a step, and no recomputation; model is its only one, masked meanwhile.
 * wants_weights: keep those of each token, of one window. False (ERROR_CREATE) without memory. End
 * with inspection_finish, also after a failure. */
bool inspect_model(struct inspection *inspection, struct engine *engine, struct model *model,
                   const struct inspect_input *input, bool wants_weights, struct error *err);
void inspection_finish(struct inspection *inspection);

/** Weight of a source in read l for one token, where weights were kept; any id > N: of all that the
 * read's own block has put out so far. NAN if the read cannot see it. */
double inspect_weight(const struct inspection *inspection, int64_t l, int64_t id, int64_t token);

enum { INSPECT_NAME_BYTES = 32 };
/** A source: b0, b3; an output that is one by itself: 4.attn, 4.mlp, layers counted from 0; a sum
 * up to it: to 4.mlp. A read: the sublayer behind it, or head. */
void inspect_name_source(char name[INSPECT_NAME_BYTES], const struct depth_plan *depth, int64_t id);
void inspect_name_read(char name[INSPECT_NAME_BYTES], const struct depth_plan *depth, int64_t l);

/** What was looked at, for printing. */
struct inspect_label {
    const char *checkpoint; /* path of the step folder */
    int64_t step;
    const char *kind;
    const int32_t *prompt; /* (n_tokens) where weights are kept; NULL otherwise */
};
/** For people. Length like snprintf, as the next ones. */
size_t inspect_print(const struct inspection *inspection, const struct inspect_label *label,
                     char *text, size_t capacity);
/** One JSON object, which report reads. Returns whether it fits. */
bool inspect_print_json(const struct inspection *inspection, const struct inspect_label *label,
                        char *text, size_t capacity);
/** Bytes that the JSON needs at most. */
size_t inspect_json_bytes(const struct inspection *inspection);
/** A picture (SVG): for each source, which reads take how much of it at which token. Requires
 * weights, and a kind whose reads have several sources. */
size_t inspect_draw(const struct inspection *inspection, const struct inspect_label *label,
                    char *text, size_t capacity);

/** How a weight between 0 and 1 is drawn, as 0xrrggbb, at even places of its root, so that where a
 * read has many sources the small ones can be told apart: from white to dark blue in even steps of
 * lightness, which reads without colours as well. */
enum { INSPECT_N_SHADES = 6 };
extern const unsigned INSPECT_SHADES[INSPECT_N_SHADES];

#endif
