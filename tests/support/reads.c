#include "reads.h"

#include <attnres/rng.h>

void reads_draw(const struct plan *plan, const struct model *model)
{
    const double STD = 0.5;
    for (int64_t i = 0; i < plan->params.n_rows; i++) {
        const struct param *param = &plan->params.rows[i];
        float *weight = model_weight(model, param);
        for (int64_t k = 0; param->role == PARAM_READ && k < param->count; k++) {
            weight[k] = (float)(STD * rng_normal_at(rng_key(2, param->name), (uint64_t)k));
        }
    }
}
