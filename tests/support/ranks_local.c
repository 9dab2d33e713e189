#include "ranks.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct job {
    struct transport *transport;
    void (*run)(struct transport *t);
};

static void *run_job(void *user)
{
    const struct job *job = user;
    job->run(job->transport);
    return NULL;
}

bool ranks_run_local(int size, void (*run)(struct transport *t), char *message)
{
    struct transport_world *world = transport_world_create(size);
    struct job *jobs = calloc((size_t)size, sizeof *jobs);
    pthread_t *threads = calloc((size_t)size, sizeof *threads);
    assert_true(world != NULL && jobs != NULL && threads != NULL);
    for (int rank = 0; rank < size; rank++) {
        jobs[rank] = (struct job){transport_world_rank(world, rank), run};
        assert_int_equal(pthread_create(&threads[rank], NULL, run_job, &jobs[rank]), 0);
    }
    for (int rank = 0; rank < size; rank++) {
        pthread_join(threads[rank], NULL);
    }
    const char *aborted = transport_world_aborted(world);
    const bool ok = aborted == NULL;
    snprintf(message, 1024, "%s", ok ? "" : aborted);
    transport_world_destroy(world);
    free(jobs);
    free(threads);
    return ok;
}

void ranks_run_suite_local(const struct ranks_case *suite, int max_size)
{
    for (const struct ranks_case *c = suite; c->name != NULL; c++) {
        for (int size = 1; size <= max_size; size++) {
            char message[1024];
            if (!ranks_run_local(size, c->run, message)) {
                fail_msg("%s on %d ranks: %s", c->name, size, message);
            }
        }
    }
}
