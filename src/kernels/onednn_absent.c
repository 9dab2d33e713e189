/* A build without oneDNN: nothing can be planned. */
#include "onednn.h"

#include <assert.h>

#include <attnres/kernels.h>

struct onednn_product *onednn_create(const struct product_plan *plan, int n_workers)
{
    (void)plan;
    (void)n_workers;
    return NULL;
}

void onednn_destroy(struct onednn_product *product)
{
    assert(product == NULL);
    (void)product;
}

size_t onednn_scratch_bytes(const struct onednn_product *product)
{
    (void)product;
    return 0;
}

void onednn_run(const struct onednn_product *product, int worker, float *c, const void *a,
                const void *b, void *scratch)
{
    assert(!"nothing was planned");
    (void)product;
    (void)worker;
    (void)c;
    (void)a;
    (void)b;
    (void)scratch;
}

bool onednn_has_f32(void)
{
    return false;
}

bool onednn_has_bf16(void)
{
    return false;
}

const char *kernels_onednn_version(void)
{
    return "";
}

const char *kernels_onednn_core(void)
{
    return "";
}
