/** Checkpoints: a run's whole state as of a step, in a folder that is complete or absent.
 *
 *      checkpoints/step-00000500/   model-00001.safetensors ...   one per rank: what it owns, whole
 *                                   optim-00001.safetensors ...   <name>.exp_avg, <name>.exp_avg_sq
 *                                   manifest.json                 everything else, and per tensor a
 *                                   CRC-32
 *
 *  Written in checkpoints/.step-00000500.partial/: files flushed and read back, manifest last,
 * folder flushed, renamed, parent flushed. The manifest's last line is the CRC-32 of everything
 * before it. A load takes sizes from the configuration, never from a file, and works onto any grid.
 * Saving allocates nothing. */
#ifndef ATTNRES_CHECKPOINT_H
#define ATTNRES_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/data.h>
#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/guard.h>
#include <attnres/json.h>
#include <attnres/model.h>
#include <attnres/transport.h>

/** Which data a run is trained and validated on; -1: endless, there is none, or not recorded. */
struct checkpoint_data {
    int64_t n_tokens; /* of the training data; must be the same on resume, as the next two */
    int64_t crc32, sizes_crc32; /* see data_checksum */
    int64_t val_crc32;
};

/** What a run is besides its tensors. */
struct checkpoint_state {
    int64_t step;      /* steps done */
    int64_t n_updates; /* updates among them: the rest were skipped */
    struct guard_state guard;
    struct data_position position; /* of the next window; window -1: not known */
    struct checkpoint_data data;
    int64_t tokens; /* trained on so far */
    double time_s;  /* spent so far, over resumes, but for evaluations */
};

/** A rank's part in saving, one checkpoint after another:
 *
 *      checkpoint_begin      the folder is made; what is saved is the state as it is now
 *                            every rank writes its files and reads them back
 *      checkpoint_collect    all have: rank 0 gets their records, writes the manifest, renames
 *      checkpoint_end        it stands, or has failed, on all ranks
 *
 *  In the background a thread of each rank does what stands to the right, without a message, and
 * training goes on: checkpoint_keep copies what an update is about to change and is not written
 * yet. Otherwise begin and collect return when all is done. */
struct checkpoint_saver;

struct checkpoint_saver_spec {
    const struct model *models; /* the rank's stages, by chunk; borrowed, as all of these */
    struct transport *transport;
    const char *run_path;    /* saves under <run_path>/checkpoints */
    const char *config_text; /* YAML */
    int64_t keep;            /* checkpoints that stay, see checkpoint_prune; 0: all */
    bool in_background;
};

/** NULL on failure. Destroy waits for what is being written; the folder in the making stays. */
struct checkpoint_saver *checkpoint_saver_create(const struct checkpoint_saver_spec *spec,
                                                 struct error *err);
void checkpoint_saver_destroy(struct checkpoint_saver *s);

/** How far this rank is. */
enum checkpoint_phase {
    CHECKPOINT_IDLE,       /* no save has begun, or it was ended */
    CHECKPOINT_WRITING,    /* its files */
    CHECKPOINT_WRITTEN,    /* and read back */
    CHECKPOINT_PUBLISHING, /* rank 0: manifest and name */
    CHECKPOINT_STANDS,     /* rank 0: also old ones are gone */
    CHECKPOINT_FAILED
};
enum checkpoint_phase checkpoint_phase(struct checkpoint_saver *s);

/** Before the first save: the run goes on from the checkpoint of this step in its folder (-1, as in
 * the beginning: from none). */
void checkpoint_goes_on_from(struct checkpoint_saver *s, int64_t step);
/** Collective over all ranks, from idle. A failure shows in the phase. */
void checkpoint_begin(struct checkpoint_saver *s, const struct checkpoint_state *state);
/** Before this row's weight and moments change; rows that the rank owns, in the table's order. */
void checkpoint_keep(struct checkpoint_saver *s, const struct model *model,
                     const struct param *param);
/** Collective over all ranks, when all have written. */
void checkpoint_collect(struct checkpoint_saver *s);
/** Wait for whatever is left of the save. Collective over all ranks; all return the same. On
 * failure the older checkpoints stand as they were and err says on each rank that failed what
 * happened. After success a message in err is about old checkpoints that could not be removed. */
bool checkpoint_end(struct checkpoint_saver *s, struct error *err);
/** Begin and end. */
bool checkpoint_save(struct checkpoint_saver *s, const struct checkpoint_state *state,
                     struct error *err);

/** What is known of the last save, under way or ended. */
struct checkpoint_progress {
    int64_t step;
    double age_s;  /* since it began */
    double work_s; /* spent on it: this rank's files; rank 0, once it stands: those of the slowest
                      rank, and the name */
    double held_s; /* rank 0, once it has collected: how long the updates of the rank that was held
                      up the most have copied and waited for this save */
    int held_rank;
    bool was_full; /* some rank had no room to copy to */
};
struct checkpoint_progress checkpoint_progress(const struct checkpoint_saver *s);

/** One rank, once the checkpoint of `step` stands, of which the run's previous one is of the step
 * `before` (-1: none): remove those between the two and beyond (the run went on from an earlier
 * one, so they are of another continuation or damaged), of the others all but the newest `keep` (0:
 * none), and what killed saves have left. */
bool checkpoint_prune(const char *run_path, int64_t before, int64_t step, int64_t keep,
                      struct error *err);
/** One rank, of a run that starts afresh because none of its checkpoints can be used: they keep
 * their files as step-*.damaged, for what is damaged here and now may be whole elsewhere. */
bool checkpoint_set_aside(const char *run_path, struct error *err);
/** One rank, while nobody saves there: remove what killed saves have left, which may be the room
 * that the next one needs. */
bool checkpoint_remove_partial(const char *run_path, struct error *err);

/** A checkpoint opened for reading: its checked manifest. */
struct checkpoint {
    char path[FILE_PATH_BYTES]; /* of the step folder */
    struct checkpoint_state state;
    const char *config_text;         /* YAML; borrowed from the document, as the next two */
    const char *kernels, *blas_core; /* level and core type that its bits come from */
    uint32_t crc32;                  /* of the manifest */
    struct json_document manifest;
};

/** Find a step folder: path itself, or the newest complete one of a run folder. ERROR_NO_INPUT if
 * there is none. */
bool checkpoint_find(char *out, const char *path, struct error *err);

enum { CHECKPOINT_MOST = 4096 }; /* of a run that are looked at */
/** Steps for which <run_path>/checkpoints has a folder, newest first; at most `capacity`. Returns
 * how many, 0 where there is no such folder, -1 if it cannot be read. */
int checkpoint_list(int64_t *steps, int capacity, const char *run_path, struct error *err);
/** The same where there must be one: -1 with ERROR_NO_INPUT if there is none. */
int checkpoint_list_some(int64_t *steps, int capacity, const char *run_path, struct error *err);
bool checkpoint_step_path(char *out, const char *run_path, int64_t step, struct error *err);

/** Read and check the manifest. ERROR_DATA if it is damaged. End with checkpoint_close. */
bool checkpoint_open(struct checkpoint *c, const char *step_path, struct error *err);
/** The same from memory: the manifest's bytes. Pure. */
bool checkpoint_parse(struct checkpoint *c, const char *step_path, const char *bytes, size_t length,
                      struct error *err);
void checkpoint_close(struct checkpoint *c);
/** The same on every rank: the path that rank 0 finds, FILE_PATH_BYTES. Collective over all ranks,
 * as the next one; all return the same. */
bool checkpoint_find_together(char *out, const char *path, struct transport *t, struct error *err);
/** ERROR_CONFIG if a rank reads another checkpoint there than rank 0. */
bool checkpoint_open_together(struct checkpoint *c, const char *step_path, struct transport *t,
                              struct error *err);

/** Load the weights of the rank's stages, with the optimiser's moments of what it owns if asked
 * (they must be in the plan), checking every tensor. ERROR_CONFIG if the model is not the one that
 * was saved. The caller agrees with the other ranks. */
bool checkpoint_load(const struct checkpoint *c, const struct model *models, bool with_moments,
                     struct error *err);

/** What a checkpoint holds, by its manifest. */
struct checkpoint_contents {
    int64_t step, n_tensors, n_files, n_bytes;
};
/** Read its manifest and look whether its files are there with their sizes. */
bool checkpoint_measure(struct checkpoint_contents *contents, const char *step_path,
                        struct error *err);
/** Read all of it: the manifest against its checksum, its configuration, the tensors of that
 * configuration's model, the headers of the files, and every tensor's checksum. err takes every
 * problem, one a line. */
bool checkpoint_verify(struct checkpoint_contents *contents, const char *step_path,
                       struct error *err);

/** Hash of the model from the hashes of all rows (rng_hash_floats) in table order. */
uint64_t checkpoint_hash_combine(uint64_t hash, uint64_t row_hash);

#endif
