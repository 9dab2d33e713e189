/** The one door to oneDNN: row-major matrix products that are planned once and run often. Behind it
 * stands onednn.c, or onednn_absent.c in a build without the library. Called only by matmul.c. */
#ifndef ATTNRES_KERNELS_ONEDNN_H
#define ATTNRES_KERNELS_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "product.h"

/* One planned product. Several threads may run it at once, each under a number of its own. */
struct onednn_product;

/* For n_workers threads. NULL if the library has no code for it. */
struct onednn_product *onednn_create(const struct product_plan *plan, int n_workers);
void onednn_destroy(struct onednn_product *product);

/* What one run needs beside its operands. */
size_t onednn_scratch_bytes(const struct onednn_product *product);

/* On the calling thread alone if it is one of an OpenMP team or may start none. The library keeps
 * the list of its arguments (264 bytes), and for some products packed operands, in memory that it
 * takes and gives back within the call. */
void onednn_run(const struct onednn_product *product, int worker, float *c, const void *a,
                const void *b, void *scratch);

/* Whether the build has it and the processor runs its 512-bit code; its code for bf16. */
bool onednn_has_f32(void);
bool onednn_has_bf16(void);

#endif
