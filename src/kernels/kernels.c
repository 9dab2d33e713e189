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

/** The processors of OpenMP's places, or, without places, those of the calling thread. */
static void find_allowed(cpu_set_t *set)
{
    enum { PLACE = CPU_SETSIZE };
    int ids[PLACE];
    const int n_places = omp_get_num_places();
    CPU_ZERO(set);
    for (int place = 0; place < n_places; place++) {
        const int n = omp_get_place_num_procs(place);
        if (n <= PLACE) {
            omp_get_place_proc_ids(place, ids);
        }
        for (int i = 0; i < n && n <= PLACE; i++) {
            CPU_SET(ids[i], set);
        }
    }
    if (n_places == 0 && sched_getaffinity(0, sizeof *set, set) != 0) {
        CPU_SET(0, set);
    }
}

int kernels_find_processors(int *ids, int capacity)
{
    cpu_set_t set;
    int n = 0;
    find_allowed(&set);
    for (int id = 0; id < CPU_SETSIZE && n < capacity; id++) {
        if (CPU_ISSET(id, &set)) {
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
