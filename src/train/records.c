/* What a run says of itself in its folder when it begins: config.yaml, plan.json, run.json. */
#include "train_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/collective.h>
#include <attnres/heap.h>

/** Room for a text about the run's stages and ranks. */
static size_t text_bytes(const struct train *t)
{
    enum { FIXED = 1 << 16, PER_STAGE = 1 << 10, PER_RANK = 1 << 8 };
    const struct plan *plan = &t->session.plan;
    return FIXED + (size_t)plan->n_stages * PER_STAGE + (size_t)grid_size(&plan->grid) * PER_RANK;
}

enum { HOST_BYTES = 64 };

static void write_run_json(const struct train *t, const char *hosts, char *text, size_t capacity)
{
    const struct train_build *build = &t->options->build;
    struct json_writer w;
    json_writer_init(&w, text, capacity);
    json_begin_object(&w, NULL);
    json_text(&w, "version", build->version);
    json_text(&w, "revision", build->revision);
    json_text(&w, "compiler", build->compiler);
    json_text(&w, "flags", build->flags);
    json_text(&w, "transport", transport_name(t->transport));
    json_text(&w, "blas", kernels_blas_version());
    json_text(&w, "blas_core", kernels_blas_core());
    json_text(&w, "onednn", kernels_onednn_version());
    json_text(&w, "kernels", t->session.kernels->level);
    json_int(&w, "threads", t->session.n_threads);
    json_int(&w, "first_step", t->first_step);
    json_begin_array(&w, "hosts");
    for (int i = 0; i < grid_size(&t->session.plan.grid); i++) {
        json_text(&w, NULL, hosts + (size_t)i * HOST_BYTES);
    }
    json_end_array(&w);
    json_end_object(&w);
    assert(json_writer_ok(&w) && "text_bytes is enough");
}

static bool write_texts(struct train *t, const char *hosts, struct error *err)
{
    char *text = calloc(text_bytes(t), 1);
    if (text == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for plan.json and run.json");
    }
    const size_t plan_length = plan_print_json(&t->session.plan, text, text_bytes(t));
    assert(plan_length > 0 && "text_bytes is enough");
    bool ok =
        rundir_write_file(&t->folder, "config.yaml", t->config_text, strlen(t->config_text), err) &&
        rundir_write_file(&t->folder, "plan.json", text, plan_length, err);
    write_run_json(t, hosts, text, text_bytes(t));
    ok = ok && rundir_write_file(&t->folder, "run.json", text, strlen(text), err);
    free(text);
    return ok;
}

bool train_open_records(struct train *t, struct error *err)
{
    char host[HOST_BYTES] = "", metrics_path[FILE_PATH_BYTES], parent[FILE_PATH_BYTES];
    gethostname(host, sizeof host - 1);
    char *hosts =
        heap_take((size_t)grid_size(&t->session.plan.grid), HOST_BYTES, "the names of hosts");
    collective_gather(t->transport, collective_all(t->transport), 0, host, HOST_BYTES, hosts);
    bool ok = true;
    if (t->is_root) {
        /* These make the folder hold a run; a start that failed before leaves it free. */
        ok = write_texts(t, hosts, err) && file_join(parent, t->run_path, "checkpoints", err) &&
             file_make_folders(parent, err) &&
             file_join(metrics_path, t->run_path, "metrics.jsonl", err) &&
             metrics_open(&t->metrics, metrics_path, t->resumed ? t->state.step : -1, err);
        t->metrics_open = ok;
        ok = ok && train_write_status(t, RUN_TRAINING, "", err);
    }
    free(hosts);
    return collective_agree(t->transport, ok, err);
}
