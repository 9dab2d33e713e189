#include <attnres/kernels.h>

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <sched.h>

#include "cpu.h"
#include "product.h"
#include "tiles.h"

int kernels_level_count(void)
{
    return cpu_level_count();
}

const struct kernels *kernels_select(int level)
{
    assert(level >= 0 && level < cpu_level_count());
    return cpu_level(level);
}

const char *kernels_built_level(int i)
{
    return i < cpu_built_count() ? cpu_level(i)->level : NULL;
}

void kernels_set_threads(int n_threads)
{
    assert(n_threads > 0);
    product_set_single_threaded();
    omp_set_num_threads(n_threads);
}

/** One cpu_set_t ends at 1024, and the kernel refuses a set that its own do not fit. */
enum { MOST_PROCESSORS = 1 << 15 };
struct processors {
    cpu_set_t parts[MOST_PROCESSORS / CPU_SETSIZE];
};

/** The processors of OpenMP's places, or, without places, those of the calling thread. */
static void find_allowed(struct processors *found)
{
    enum { PLACE = CPU_SETSIZE };
    int ids[PLACE];
    const int n_places = omp_get_num_places();
    cpu_set_t *set = found->parts;
    CPU_ZERO_S(sizeof *found, set);
    for (int place = 0; place < n_places; place++) {
        const int n = omp_get_place_num_procs(place);
        if (n <= PLACE) {
            omp_get_place_proc_ids(place, ids);
        }
        for (int i = 0; i < n && n <= PLACE; i++) {
            CPU_SET_S((size_t)ids[i], sizeof *found, set);
        }
    }
    if (n_places == 0 && sched_getaffinity(0, sizeof *found, set) != 0) {
        CPU_SET_S(0, sizeof *found, set);
    }
}

int kernels_find_processors(int *ids, int capacity)
{
    struct processors allowed;
    int n = 0;
    find_allowed(&allowed);
    for (int id = 0; id < MOST_PROCESSORS && n < capacity; id++) {
        if (CPU_ISSET_S((size_t)id, sizeof allowed, allowed.parts)) {
            ids[n++] = id;
        }
    }
    return n;
}

size_t kernels_partials_count(int64_t n, int64_t C)
{
    return (size_t)(kernels_tile_count(n, TILE) * C);
}

size_t kernels_attention_scratch_count(const struct attention_shape *shape)
{
    const int64_t n_tasks = shape->n_sequences * shape->n_heads;
    const int64_t n_slots = kernels_min(n_tasks, MAX_ATTENTION_SLOTS);
    return (size_t)(n_slots * kernels_attention_slot(shape));
}

size_t kernels_chunk_count(int64_t count)
{
    return (size_t)kernels_tile_count(count, CHUNK);
}

void kernels_rope_table(float *cos_sin, int64_t T, int64_t D)
{
    assert(D > 0 && D % 2 == 0);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t i = 0; i < D / 2; i++) {
            const double angle = (double)t * pow(10000.0, -2.0 * (double)i / (double)D);
            cos_sin[t * D + i] = (float)cos(angle);
            cos_sin[t * D + D / 2 + i] = (float)sin(angle);
        }
    }
}
