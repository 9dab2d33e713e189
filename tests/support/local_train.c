#include "local_train.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <attnres/checkpoint.h>
#include <attnres/params.h>

#include "compare.h"
#include "safetensors.h"

struct job {
    struct transport *transport;
    const struct config *config;
    const char *resume_from;
    struct train_result result;
    bool ok;
};

static void *run_job(void *user)
{
    struct job *job = user;
    struct error err = {0};
    struct log log;
    log_init(&log, transport_rank(job->transport));
    log.quiet = true;
    const struct train_options options = {.resume_from = job->resume_from,
                                          .build = {"test", "test", "test", "test"}};
    job->ok = train_run(&job->result, job->config, &options, job->transport, &log, &err);
    if (err.message[0] != '\0') {
        printf("%s\n", err.message);
    }
    log_finish(&log);
    return NULL;
}

bool local_train(struct train_result *result, const struct config *config, int n_ranks,
                 const char *resume_from)
{
    struct transport_world *world = transport_world_create(n_ranks);
    struct job *jobs = calloc((size_t)n_ranks, sizeof *jobs);
    pthread_t threads[LOCAL_TRAIN_MAX_RANKS];
    assert(world != NULL && jobs != NULL && n_ranks <= LOCAL_TRAIN_MAX_RANKS);
    for (int rank = 0; rank < n_ranks; rank++) {
        jobs[rank] = (struct job){.transport = transport_world_rank(world, rank),
                                  .config = config,
                                  .resume_from = resume_from};
        const int failure = pthread_create(&threads[rank], NULL, run_job, &jobs[rank]);
        assert(failure == 0);
        (void)failure;
    }
    bool ok = true;
    for (int rank = 0; rank < n_ranks; rank++) {
        pthread_join(threads[rank], NULL);
        ok = ok && jobs[rank].ok;
    }
    if (transport_world_aborted(world) != NULL) {
        printf("aborted: %s\n", transport_world_aborted(world));
        ok = false;
    }
    *result = jobs[0].result;
    transport_world_destroy(world);
    free(jobs);
    return ok;
}

/** The optimizer files of a checkpoint. */
struct moments {
    struct safetensors files[LOCAL_TRAIN_MAX_RANKS];
    int n_files;
};

static void open_moments(struct moments *m, const char *run_dir, int64_t step)
{
    char folder[FILE_PATH_BYTES], name[64], path[FILE_PATH_BYTES];
    *m = (struct moments){0};
    checkpoint_step_path(folder, run_dir, step, NULL);
    for (int rank = 0; rank < LOCAL_TRAIN_MAX_RANKS; rank++) {
        struct error err = {0};
        snprintf(name, sizeof name, "optim-%05d.safetensors", rank + 1);
        file_join(path, folder, name, NULL);
        m->n_files += file_exists(path) && safetensors_open(&m->files[m->n_files], path, &err);
    }
}

static void close_moments(struct moments *m)
{
    for (int i = 0; i < m->n_files; i++) {
        safetensors_close(&m->files[i]);
    }
}

static const float *find_moment(const struct moments *m, const struct param *param)
{
    char tensor[PARAM_NAME_BYTES + 16];
    const float *found = NULL;
    snprintf(tensor, sizeof tensor, "%s.exp_avg", param->name);
    for (int i = 0; i < m->n_files && found == NULL; i++) {
        int64_t count = 0;
        found = safetensors_find(&m->files[i], tensor, &count);
        found = count == param->count ? found : NULL;
    }
    return found;
}

double local_train_compare_moments(const char *a_dir, const char *b_dir,
                                   const struct config *config, int64_t step)
{
    const struct depth_plan depth = depth_plan_make(&config->model);
    struct params params = {0};
    struct moments a, b;
    double worst = 0.0;
    params_init(&params, &config->model, &depth);
    open_moments(&a, a_dir, step);
    open_moments(&b, b_dir, step);
    for (int64_t i = 0; i < params.n_rows; i++) {
        const struct param *param = &params.rows[i];
        const float *x = find_moment(&a, param), *y = find_moment(&b, param);
        worst = x != NULL && y != NULL ? fmax(worst, compare_relative_error_f32(x, y, param->count))
                                       : INFINITY;
    }
    close_moments(&a);
    close_moments(&b);
    params_finish(&params);
    return worst;
}
