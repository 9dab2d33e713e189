/** The parameter table: every trained tensor of the model, once, as data.
 *
 *  From it come memory layout, initial values, the update, the norm's order and the checkpoint.
 * Rows stand in the order of depth, so that a stage owns a contiguous run of them. Offsets count
 * floats from the first row; every row starts on 64 bytes, except that k, v and up follow q and
 * gate without a gap: (q k v) and (gate up) are one matrix for a matrix product. */
#ifndef ATTNRES_PARAMS_H
#define ATTNRES_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/config.h>
#include <attnres/depth.h>
#include <attnres/error.h>

enum param_role {
    PARAM_EMBEDDING,
    PARAM_READ, /* query, or logits of `read: static` */
    PARAM_GAIN,
    PARAM_Q,
    PARAM_K,
    PARAM_V,
    PARAM_O,
    PARAM_GATE,
    PARAM_UP,
    PARAM_DOWN,
    PARAM_HEAD,
};

enum { PARAM_NAME_BYTES = 80 };

struct param {
    char name[PARAM_NAME_BYTES];
    enum param_role role;
    int64_t sublayer;   /* -1: the embedding; L: what stands behind the last sublayer */
    int64_t rows, cols; /* (out, in); a vector has rows 0 and cols elements */
    double init_std;    /* 0: constant init_value */
    float init_value;
    bool decays;    /* weight decay applies */
    int64_t offset; /* floats */
    int64_t count;  /* elements */
};

struct params {
    struct param *rows;
    int64_t n_rows;
    int64_t *first_row; /* per sublayer -1 ... L, shifted by one; n_sublayers + 3 entries */
    int64_t n_sublayers;
    int64_t n_parameters; /* elements in all */
};

/** Build the table. Heap memory of a few hundred bytes a row; end with params_finish. */
void params_init(struct params *params, const struct model_config *model,
                 const struct depth_plan *depth);
void params_finish(struct params *params);

/** Rows of sublayer l (-1 ... L) are [params_first(l), params_first(l + 1)). */
int64_t params_first(const struct params *params, int64_t sublayer);

/** The row of this role at this sublayer; NULL if the model has none. */
const struct param *params_find(const struct params *params, int64_t sublayer,
                                enum param_role role);
const struct param *params_find_name(const struct params *params, const char *name);

/** Initial values of a row: a function of (seed, name, element). out: count floats. */
void params_draw(const struct param *param, int64_t seed, float *out);

/** FLOPs of one training step's matrix products and reads per token. */
double params_flops_per_token(const struct params *params, const struct model_config *model,
                              const struct depth_plan *depth);

#endif
