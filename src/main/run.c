#include "run.h"

#include <stdlib.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/heap.h>

struct transport *run_create_ranks(const struct command_line *line, struct log *log,
                                   struct error *err)
{
    const char *synchronous = getenv("ATTNRES_SYNC_SEND");
    struct transport *transport = transport_mpi_create(
        line->argc, line->argv, synchronous != NULL && strcmp(synchronous, "1") == 0, err);
    log_init(log, transport != NULL ? transport_rank(transport) : 0);
    return transport;
}

void run_stop_ranks(struct transport *transport, struct log *log, struct error *err)
{
    log_finish(log);
    command_tell(err);
    transport_mpi_destroy(transport);
}

struct transport *run_start_ranks(const struct command_line *line, struct log *log,
                                  struct error *err)
{
    struct launch_report *report = heap_take(1, sizeof *report, "the launch check");
    struct transport *transport = run_create_ranks(line, log, err);
    if (transport != NULL &&
        !launch_check_start(report, *line->argc, *line->argv, transport, err)) {
        run_stop_ranks(transport, log, err);
        transport = NULL;
    }
    free(report);
    return transport;
}

/** Rank 0: the checkpoint's configuration, freed of how its run was cut, with overrides. */
static bool read_config(struct config *config, const struct checkpoint *c,
                        const struct command_line *line, const char *const *extra,
                        struct error *err)
{
    enum { MOST = 256 };
    static const char *const FREED[] = {
        "pipeline.stages=auto",    "pipeline.replicas=1", "pipeline.chunks=1",
        "pipeline.schedule=1f1b",  "pipeline.group=auto", "pipeline.cache=off",
        "pipeline.partition=auto", "pipeline.costs=none", "memory.limit=auto"};
    enum { N_FREED = sizeof FREED / sizeof FREED[0] };
    const char *overrides[MOST];
    int n = 0, n_extra = 0;
    while (extra[n_extra] != NULL) {
        n_extra++;
    }
    const int room = MOST - N_FREED - n_extra;
    if (line->n_overrides > room) {
        return error_set(err, ERROR_USAGE, "more than %d overrides", room);
    }
    for (int i = 0; i < N_FREED; i++) {
        overrides[n++] = FREED[i];
    }
    for (int i = 0; i < line->n_overrides; i++) {
        overrides[n++] = line->overrides[i];
    }
    for (int i = 0; extra[i] != NULL; i++) {
        overrides[n++] = extra[i];
    }
    return config_parse(config, c->path, c->config_text, strlen(c->config_text), n, overrides, err);
}

static bool open_session(struct session *session, const struct checkpoint *c,
                         const struct command_line *line, const char *const *extra,
                         enum plan_purpose purpose, struct transport *transport, struct log *log,
                         struct error *err)
{
    struct config *config = heap_take(1, sizeof *config, "the configuration");
    const bool is_root = transport_rank(transport) == 0;
    const bool ok =
        session_share_config(config, transport,
                             !is_root || read_config(config, c, line, extra, err), err) &&
        session_plan(session, config, transport, log, purpose, err) &&
        session_check_memory(session, err) && session_require_launch(session, NULL, true, err) &&
        session_start(session, err);
    free(config);
    return ok && collective_agree(transport, checkpoint_load(c, session->models, false, err), err);
}

bool run_with_checkpoint(const struct command_line *line, const char *const *extra,
                         enum plan_purpose purpose, run_function *work, struct transport *transport,
                         struct log *log, struct error *err)
{
    struct checkpoint c = {0};
    struct session session = {0};
    char path[FILE_PATH_BYTES];
    const bool ok = checkpoint_find_together(path, line->positionals[0], transport, err) &&
                    checkpoint_open_together(&c, path, transport, err) &&
                    open_session(&session, &c, line, extra, purpose, transport, log, err) &&
                    work(line, &session, &c, err);
    session_finish(&session);
    checkpoint_close(&c);
    return ok;
}

bool run_on_checkpoint(const struct command_line *line, const char *const *extra,
                       enum plan_purpose purpose, run_function *work, struct error *err)
{
    struct log log;
    struct transport *transport = run_start_ranks(line, &log, err);
    if (transport == NULL) {
        return false;
    }
    const bool ok = run_with_checkpoint(line, extra, purpose, work, transport, &log, err);
    run_stop_ranks(transport, &log, err);
    return ok;
}

static bool is_picture(const unsigned char *bytes, size_t length)
{
    static const char OPENING[] = "<svg xmlns=";
    return length >= sizeof OPENING - 1 && memcmp(bytes, OPENING, sizeof OPENING - 1) == 0;
}

bool run_may_draw(const char *path, struct error *err)
{
    static const struct file_form PICTURE = {"a picture of attnres", is_picture};
    return file_has_folder(path, err) && file_may_replace(path, &PICTURE, err);
}

bool run_takes_bytes(const struct config *config)
{
    return config->data.kind != DATA_TOKENS || config->model.vocab <= 256;
}

bool run_open_data(struct data **data, const struct session *s, const char *path, struct error *err)
{
    const struct plan_rank *own = s->own;
    const struct model_config *model = &s->config.model;
    if (!own->has_first && !own->has_last) {
        return true;
    }
    if (path != NULL) {
        return data_open_path(data, path, model->seq_len, model->vocab, err) &&
               (!data_is_bytes(*data) || run_takes_bytes(&s->config) ||
                error_set(err, ERROR_DATA,
                          "%s: is text, taken as bytes, but the model was trained on tokens; give "
                          "a token shard",
                          path));
    }
    if (!data_open(data, &s->config.data, DATA_VAL, s->config.run.seed, model->seq_len,
                   model->vocab, err)) {
        return false;
    }
    if (data_in_order_count(*data, true) == 0) {
        return error_set(err, ERROR_NO_INPUT,
                         "there is no validation data: give data.val=PATH or --file=PATH");
    }
    return true;
}
