#include "onednn.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include <oneapi/dnnl/dnnl.h>

#include <attnres/heap.h>
#include <attnres/kernels.h>

/* The handles of one thread: the addresses in them change with every run. */
struct worker {
    dnnl_stream_t stream;
    dnnl_memory_t a, b, c, scratch;
};

struct onednn_product {
    dnnl_engine_t engine;
    dnnl_primitive_t primitive;
    size_t scratch_bytes;
    int n_workers;
    struct worker workers[]; /* n_workers */
};

static dnnl_memory_desc_t describe(int64_t rows, int64_t columns, int64_t stride, bool transposed,
                                   dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns};
    const dnnl_dims_t strides = {transposed ? 1 : stride, transposed ? stride : 1};
    dnnl_memory_desc_t desc;
    const dnnl_status_t status = dnnl_memory_desc_init_by_strides(&desc, 2, dims, type, strides);
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

/* a, b, c of a product. */
struct descriptions {
    dnnl_memory_desc_t a, b, c;
};

static struct descriptions describe_all(const struct product_plan *plan)
{
    const dnnl_data_type_t type = plan->is_bf16 ? dnnl_bf16 : dnnl_f32;
    return (struct descriptions){
        .a = describe(plan->size.m, plan->size.k, plan->a_stride, plan->a_transposed, type),
        .b = describe(plan->size.k, plan->size.n, plan->b_stride, plan->b_transposed, type),
        .c = describe(plan->size.m, plan->size.n, plan->c_stride, false, dnnl_f32)};
}

static dnnl_primitive_attr_t make_attributes(bool accumulate)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t post = NULL;
    bool ok = dnnl_primitive_attr_create(&attributes) == dnnl_success &&
              dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) ==
                  dnnl_success &&
              dnnl_post_ops_create(&post) == dnnl_success;
    if (accumulate) {
        ok = ok && dnnl_post_ops_append_sum(post, 1.0F) == dnnl_success;
    }
    ok = ok && dnnl_primitive_attr_set_post_ops(attributes, post) == dnnl_success;
    assert(ok && "a few bytes at start-up");
    (void)ok;
    dnnl_post_ops_destroy(post);
    return attributes;
}

static bool make_worker(struct worker *w, dnnl_engine_t engine, const struct descriptions *d,
                        const dnnl_memory_desc_t *scratch)
{
    return dnnl_stream_create(&w->stream, engine, dnnl_stream_default_flags) == dnnl_success &&
           dnnl_memory_create(&w->a, &d->a, engine, DNNL_MEMORY_NONE) == dnnl_success &&
           dnnl_memory_create(&w->b, &d->b, engine, DNNL_MEMORY_NONE) == dnnl_success &&
           dnnl_memory_create(&w->c, &d->c, engine, DNNL_MEMORY_NONE) == dnnl_success &&
           dnnl_memory_create(&w->scratch, scratch, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static bool make_primitive(struct onednn_product *p, const struct product_plan *plan)
{
    const struct descriptions d = describe_all(plan);
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t chosen = NULL;
    dnnl_primitive_attr_t attributes = make_attributes(plan->size.accumulate);
    bool ok =
        dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_matmul_desc_init(&desc, &d.a, &d.b, NULL, &d.c) == dnnl_success &&
        dnnl_primitive_desc_create(&chosen, &desc, attributes, p->engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&p->primitive, chosen) == dnnl_success;
    if (ok) {
        const dnnl_memory_desc_t *scratch =
            dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0);
        p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
        for (int i = 0; i < p->n_workers; i++) {
            ok = ok && make_worker(&p->workers[i], p->engine, &d, scratch);
        }
    }
    dnnl_primitive_desc_destroy(chosen);
    dnnl_primitive_attr_destroy(attributes);
    return ok;
}

struct onednn_product *onednn_create(const struct product_plan *plan, int n_workers)
{
    struct onednn_product *p =
        heap_take(1, sizeof *p + (size_t)n_workers * sizeof p->workers[0], "a matrix product");
    p->n_workers = n_workers;
    /* The library would cut a product over the threads that it sees now. */
    const int n_threads = omp_get_max_threads();
    omp_set_num_threads(1);
    const bool ok = make_primitive(p, plan);
    omp_set_num_threads(n_threads);
    if (!ok) {
        onednn_destroy(p);
        return NULL;
    }
    return p;
}

void onednn_destroy(struct onednn_product *p)
{
    for (int i = 0; p != NULL && i < p->n_workers; i++) {
        const struct worker *w = &p->workers[i];
        dnnl_memory_destroy(w->a);
        dnnl_memory_destroy(w->b);
        dnnl_memory_destroy(w->c);
        dnnl_memory_destroy(w->scratch);
        dnnl_stream_destroy(w->stream);
    }
    if (p != NULL) {
        dnnl_primitive_destroy(p->primitive);
        dnnl_engine_destroy(p->engine);
    }
    free(p);
}

size_t onednn_scratch_bytes(const struct onednn_product *product)
{
    return product->scratch_bytes;
}

/* The library's handles take a plain pointer for what it only reads, too. */
static bool set_address(dnnl_memory_t memory, const void *address)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = address};
    return dnnl_memory_set_data_handle(memory, pointer.out) == dnnl_success;
}

void onednn_run(const struct onednn_product *product, int worker, float *c, const void *a,
                const void *b, void *scratch)
{
    assert(worker < product->n_workers);
    const struct worker *w = &product->workers[worker];
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, w->a},
                                         {DNNL_ARG_WEIGHTS, w->b},
                                         {DNNL_ARG_DST, w->c},
                                         {DNNL_ARG_SCRATCHPAD, w->scratch}};
    const bool ok =
        set_address(w->a, a) && set_address(w->b, b) && set_address(w->c, c) &&
        set_address(w->scratch, scratch) &&
        dnnl_primitive_execute(product->primitive, w->stream, 4, arguments) == dnnl_success;
    assert(ok && "what was planned runs");
    (void)ok;
}

static bool has_isa(dnnl_cpu_isa_t wanted)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)wanted) == (unsigned)wanted;
}

bool onednn_has_f32(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core);
}

bool onednn_has_bf16(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *kernels_onednn_version(void)
{
    return VERSION_TEXT(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
}

const char *kernels_onednn_core(void)
{
    if (has_isa(dnnl_cpu_isa_avx512_core_amx)) {
        return "avx512_core_amx";
    }
    if (onednn_has_bf16()) {
        return "avx512_core_bf16";
    }
    return onednn_has_f32() ? "avx512_core" : "avx2 or less";
}
