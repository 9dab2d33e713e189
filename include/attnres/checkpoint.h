/** Checkpoints: a run's whole state as of a step, in a folder that is complete or absent.
 *
 *      checkpoints/step-00000500/   model-00001.safetensors ...   one per rank: what it owns, whole
 *                                   optim-00001.safetensors ...   <name>.exp_avg, <name>.exp_avg_sq
 *                                   manifest.json                 everything else, and per tensor a
 * CRC-32
 *
 *  Written in checkpoints/.step-00000500.partial/: files flushed, manifest last, folder flushed,
 * renamed, parent flushed. The manifest's last line is the CRC-32 of everything before it. A load
 * takes sizes from the configuration, never from a file, and works onto any grid.
 * Saving allocates nothing. */
#ifndef ATTNRES_CHECKPOINT_H
#define ATTNRES_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/data.h>
#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/json.h>
#include <attnres/model.h>
#include <attnres/transport.h>

/** What a run is besides its tensors. */
struct checkpoint_state {
    int64_t step;      /* steps done */
    int64_t n_updates; /* updates among them: the rest were skipped */
    int64_t n_skips_in_a_row;
    struct data_position position; /* of the next window */
    int64_t data_tokens; /* size of the training data, -1: endless; must be the same on resume */
    int64_t tokens;      /* trained on so far */
    double time_s;       /* spent so far, over resumes */
};

/** models: the rank's stages, by chunk. Save everything under <run_path>/checkpoints. Collective
 * over all ranks; all return the same. On failure the older checkpoints stand as they were and err
 * says on each rank that failed what happened. */
bool checkpoint_save(const struct model *models, struct transport *transport, const char *run_path,
                     const struct checkpoint_state *state, const char *config_text,
                     struct error *err);

/** Read back what this rank has just saved at `step` and compare it with memory. Call it right
 * after checkpoint_save. Collective over all ranks; all return the same, err as there. */
bool checkpoint_read_back(const struct model *models, struct transport *transport,
                          const char *run_path, int64_t step, struct error *err);

/** One rank, once the checkpoint of `step` was read back: remove all but the newest `keep` up to
 * that step, those beyond it (the run went on from an earlier one, so they are of another
 * continuation or damaged) and what killed saves have left. */
bool checkpoint_prune(const char *run_path, int64_t step, int64_t keep, struct error *err);

/** A checkpoint opened for reading: its checked manifest. */
struct checkpoint {
    char path[FILE_PATH_BYTES]; /* of the step folder */
    struct checkpoint_state state;
    const char *config_text;         /* YAML; borrowed from the document, as the next two */
    const char *kernels, *blas_core; /* level and core type that its bits come from */
    struct json_document manifest;
};

/** Find a step folder: path itself, or the newest complete one of a run folder. ERROR_NO_INPUT if
 * there is none. */
bool checkpoint_find(char *out, const char *path, struct error *err);

/** Steps for which <run_path>/checkpoints has a folder, newest first; at most `capacity`. Returns
 * how many. */
int checkpoint_list(int64_t *steps, int capacity, const char *run_path);
bool checkpoint_step_path(char *out, const char *run_path, int64_t step, struct error *err);

/** Read and check the manifest. ERROR_DATA if it is damaged. End with checkpoint_close. */
bool checkpoint_open(struct checkpoint *c, const char *step_path, struct error *err);
/** The same from memory: the manifest's bytes. Pure. */
bool checkpoint_parse(struct checkpoint *c, const char *step_path, const char *bytes, size_t length,
                      struct error *err);
void checkpoint_close(struct checkpoint *c);

/** Load the weights of the rank's stages, with the optimiser's moments of what it owns if asked
 * (they must be in the plan), checking every tensor. ERROR_CONFIG if the model is not the one that
 * was saved. The caller agrees with the other ranks. */
bool checkpoint_load(const struct checkpoint *c, const struct model *models, bool with_moments,
                     struct error *err);

/** 64-bit hash of a tensor, and of the model from the hashes of all rows in table order. */
uint64_t checkpoint_hash_tensor(const float *values, int64_t count);
uint64_t checkpoint_hash_combine(uint64_t hash, uint64_t row_hash);

#endif
