/* The data of a run: opened on the ranks that read it, and told from other data. */
#include "train_internal.h"

#include <inttypes.h>

#include <attnres/collective.h>

static bool open_data(struct train *t, struct error *err)
{
    const struct config *config = &t->session.config;
    const struct plan *plan = &t->session.plan;
    const struct plan_rank *own =
        &plan->ranks[grid_place(&plan->grid, transport_rank(t->transport))];
    if (!own->has_first && !own->has_last) {
        return true;
    }
    if (!data_open(&t->train_data, &config->data, DATA_TRAIN, config->run.seed,
                   config->model.seq_len, config->model.vocab, err)) {
        return false;
    }
    if (config->train.eval_every == 0) {
        return true;
    }
    if (!data_open(&t->val_data, &config->data, DATA_VAL, config->run.seed, config->model.seq_len,
                   config->model.vocab, err)) {
        return false;
    }
    return config->data.val[0] == '\0' || data_in_order_count(t->val_data, false) != 0 ||
           error_set(err, ERROR_DATA,
                     "%s: no file in it holds one window of model.seq_len + 1 = %" PRId64 " tokens",
                     config->data.val, config->model.seq_len + 1);
}

/** Both ends must see the same files: one reads the inputs of a window, the other its targets. */
static bool check_same_data(const struct train *t, const struct checkpoint_data *own,
                            struct error *err)
{
    const struct checkpoint_data *root = &t->state.data;
    if (t->train_data == NULL) {
        return true;
    }
    const int64_t n_val = t->val_data != NULL ? data_in_order_count(t->val_data, false) : 0;
    if (own->n_tokens != root->n_tokens || (n_val >= 0 && n_val < t->n_val_windows)) {
        return error_set(err, ERROR_DATA,
                         "the data here has %" PRId64 " training tokens and %" PRId64
                         " validation windows; rank 0 sees %" PRId64 " and at least %" PRId64
                         ": data.train and data.val must name the same files on all hosts",
                         own->n_tokens, n_val, root->n_tokens, t->n_val_windows);
    }
    if (own->crc32 != root->crc32 || own->sizes_crc32 != root->sizes_crc32) {
        return error_set(err, ERROR_DATA,
                         "the training data here has as many tokens as rank 0 sees, but others: "
                         "data.train must name the same files on all hosts");
    }
    return own->val_crc32 == root->val_crc32 ||
           error_set(err, ERROR_DATA,
                     "the validation data here is not that of rank 0: data.val must name the same "
                     "files on all hosts");
}

/** Reads all of a split (NULL: this rank has none of it), both ends at the same time, unless a rank
 * is asked to stop. Collective. */
static bool take_checksum(struct train *t, const struct data *data, struct data_checksum *sum,
                          struct error *err)
{
    bool reads = data != NULL;
    *sum = (struct data_checksum){0};
    while (!transport_all_true(t->transport, !reads)) {
        if (!transport_all_true(t->transport, !train_signal_arrived())) {
            return collective_agree(t->transport, !t->is_root || train_stop_at_start(t, err), err);
        }
        reads = reads && data_checksum_advance(sum, data);
    }
    return true;
}

/** What this rank sees of the data. Collective. */
static bool identify_data(struct train *t, struct checkpoint_data *own, struct error *err)
{
    struct data_checksum train, val;
    if (!take_checksum(t, t->train_data, &train, err) ||
        !take_checksum(t, t->val_data, &val, err)) {
        return false;
    }
    *own = (struct checkpoint_data){-1, -1, -1, -1};
    if (t->train_data != NULL && data_size_tokens(t->train_data) >= 0) {
        own->n_tokens = data_size_tokens(t->train_data);
        own->crc32 = train.crc32;
        own->sizes_crc32 = train.sizes_crc32;
    }
    if (t->val_data != NULL && data_size_tokens(t->val_data) > 0) {
        own->val_crc32 = val.crc32;
    }
    return true;
}

/** Files shorter than a window hold nothing to train on, and a folder may be full of them. */
static void tell_of_short_files(const struct train *t)
{
    struct data_short_files brief;
    data_count_short(&brief, t->train_data);
    if (brief.n_files > 0) {
        log_write(t->log, LOG_WARNING,
                  "%" PRId64 " of %" PRId64 " files, with %" PRId64 " of %" PRId64
                  " tokens, hold no window of model.seq_len + 1 = %" PRId64
                  " tokens: nothing of them is trained on",
                  brief.n_files, brief.n_all_files, brief.n_tokens, data_size_tokens(t->train_data),
                  t->session.config.model.seq_len + 1);
    }
}

bool train_share_data(struct train *t, struct error *err)
{
    struct checkpoint_data own;
    if (!collective_agree(t->transport, open_data(t, err), err) || !identify_data(t, &own, err)) {
        return false;
    }
    if (t->is_root) {
        const int64_t T = t->session.config.model.seq_len;
        const int64_t wanted = (t->session.config.train.eval_tokens + T - 1) / T;
        const int64_t there = t->val_data != NULL ? data_in_order_count(t->val_data, false) : 0;
        t->n_val_windows = there >= 0 && there < wanted ? there : wanted;
        t->counts_bytes = data_is_bytes(t->train_data);
        t->state.data = own;
        if (t->n_val_windows == 0 && t->session.config.train.eval_every > 0) {
            log_write(t->log, LOG_WARNING,
                      "nothing is evaluated: there is no window of validation data (data.val)");
        }
        tell_of_short_files(t);
        log_write(t->log, LOG_INFO, "data: %.1f MiB of memory for the training split",
                  (double)data_memory_bytes(t->train_data) / 1048576.0);
    }
    transport_broadcast(t->transport, 0, &t->n_val_windows, sizeof t->n_val_windows);
    transport_broadcast(t->transport, 0, &t->state.data, sizeof t->state.data);
    return collective_agree(t->transport, check_same_data(t, &own, err), err);
}
