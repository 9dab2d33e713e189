/** What writing and reading share: names, and how a rank saves. */
#ifndef ATTNRES_CHECKPOINT_INTERNAL_H
#define ATTNRES_CHECKPOINT_INTERNAL_H

#include <pthread.h>

#include <attnres/checkpoint.h>

/** The kinds of tensor per parameter row, and of file per rank. */
enum tensor_kind { TENSOR_WEIGHT, TENSOR_EXP_AVG, TENSOR_EXP_AVG_SQ, TENSOR_KINDS };
enum file_kind { FILE_MODEL, FILE_OPTIM, FILE_KINDS };

enum { CHECKPOINT_FORMAT = 1, TENSOR_NAME_BYTES = PARAM_NAME_BYTES + 16, FILE_NAME_BYTES = 64 };
/** Of a safetensors file: it begins with the length of its header, which follows. */
enum { HEADER_LENGTH_BYTES = 8 };

/** The name of a folder in the making, and whether a name is one. */
void checkpoint_partial_name(char *out, int64_t step);
bool checkpoint_is_partial_name(const char *name);

void checkpoint_file_name(char *out, enum file_kind kind, int rank);
void checkpoint_tensor_name(char *out, const struct param *param, enum tensor_kind kind);
int64_t checkpoint_tensor_bytes(const struct param *param);
enum file_kind checkpoint_tensor_file(enum tensor_kind kind);
/** The stage's memory of a tensor. */
float *checkpoint_tensor(const struct model *model, const struct param *param,
                         enum tensor_kind kind);
/** Offset of a tensor in its file, header excluded: tensors stand in table order, kinds of a file
 * inside a row. */
int64_t checkpoint_data_offset(const struct plan *plan, int64_t row, enum tensor_kind kind);

/** Whether a name from a manifest stays within the step's folder. */
bool checkpoint_is_plain_name(const char *name);

/** Where the manifest says a tensor is: a file of the step's folder, by its plain name. */
struct tensor_location {
    char file[FILE_NAME_BYTES];
    int64_t offset, file_bytes;
    uint32_t crc;
};
/** ERROR_DATA if there is no valid entry of that name. */
bool checkpoint_locate(struct tensor_location *l, const struct checkpoint *c, const char *name,
                       struct error *err);

/** A tensor of the model, and where the manifest says it is. */
struct listed_tensor {
    char name[TENSOR_NAME_BYTES];
    const struct param *param;
    struct tensor_location at;
};

/** A file of the manifest. */
struct listed_file {
    const char *name, *path;             /* the latter stands in messages */
    int64_t bytes;                       /* as long as it is, and the manifest says */
    const struct listed_tensor *tensors; /* n, by offset */
    int64_t n, header_bytes;             /* of which HEADER_LENGTH_BYTES are the length */
};
/** Take header_bytes from the first HEADER_LENGTH_BYTES of the file. ERROR_DATA if it cannot be. */
bool checkpoint_header_length(struct listed_file *f, const unsigned char *head, struct error *err);
/** The header describes the tensors as the manifest has them, no others, and they fill the file.
 * text has header_bytes - HEADER_LENGTH_BYTES. ERROR_DATA otherwise. */
bool checkpoint_check_header(const struct listed_file *f, const char *text, struct error *err);

/** Whether the configuration's model has the tensors that c holds. ERROR_CONFIG naming each key
 * that differs, with both values. */
bool checkpoint_fits(const struct checkpoint *c, const struct config *config, struct error *err);

/** What of a rank's state the writer has still to read, and where.
 *
 *  All tensors that the rank owns, in the order of the table and the kinds of a row one behind
 *  another, make one sequence of bytes. The writer takes it from front to back, and so does the
 *  update that is about to change it:
 *
 *      0 ... written ... claimed ............. kept ................ end
 *            being read   copied: in the buffer  to be read in place
 *
 *  Byte x of a copy lies at x % capacity of the buffer. */
struct snapshot {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* with every piece that is written, and every task begun or done */
    unsigned char *buffer;
    int64_t capacity;
    int64_t written, claimed, kept;
    bool in_place; /* what is claimed is read where the update will write */
    bool was_full; /* since the begin: a copy had to wait for room */
};

/** Begin anew: all is to be read in place. */
void snapshot_begin(struct snapshot *s);
/** The writer: the next bytes to write, at most `length`, of a tensor whose next ones are at
 * `values`. They stay as they are until snapshot_release. Returns how many. */
size_t snapshot_claim(struct snapshot *s, const void *values, size_t length, const void **bytes);
void snapshot_release(struct snapshot *s);
/** The writer has given up: it reads nothing any more. */
void snapshot_abandon(struct snapshot *s);
/** Before bytes [at, at + length) change, which lie at `values`: copy what of them is not written
 * yet, or wait until it is. Every wait is an event of the journal. */
void snapshot_keep(struct snapshot *s, int64_t at, const void *values, size_t length,
                   struct journal *journal);

/** Head of a rank's record of a save; behind it come TENSOR_KINDS CRCs per row of its stages. */
struct save_record {
    int64_t header_bytes[FILE_KINDS]; /* the safetensors header with its length field */
    int64_t file_bytes[FILE_KINDS];
    double held_s; /* how long updates have copied and waited */
    double work_s; /* how long its files took */
    int64_t was_full;
};
_Static_assert(sizeof(struct save_record) <= PLAN_REPORT_HEAD_BYTES, "the plan has room for it");

enum saver_task { TASK_NONE, TASK_WRITE, TASK_PUBLISH, TASK_END };

struct checkpoint_saver {
    struct checkpoint_saver_spec spec;
    const struct model *models; /* the rank's, by chunk */
    const struct plan *plan;
    const struct memory *memory;
    struct transport *transport;
    int rank;
    char *text; /* BUFFER_TEXT: a header, then the manifest */
    size_t text_bytes, manifest_bytes;
    struct save_record *record; /* BUFFER_RECORD */
    uint32_t *crcs;             /* behind it */
    struct snapshot snapshot;
    struct journal *journal; /* of who writes: NULL on a thread of its own */
    int64_t before;          /* step of the run's newest checkpoint that stands, -1: none */
    /* The save in hand: */
    struct checkpoint_state state;
    char parent[FILE_PATH_BYTES], partial[FILE_PATH_BYTES], final[FILE_PATH_BYTES];
    double begin_s;
    bool is_collected;
    struct checkpoint_progress progress; /* rank 0: what records say */
    /* The task passes the rest to the thread and back; it and, until it has ended, the phase are
     * under the snapshot's mutex. */
    enum saver_task task;
    enum checkpoint_phase phase;
    struct error failure; /* what went wrong here; with CHECKPOINT_STANDS: with old checkpoints */
    bool has_thread;
    pthread_t thread;
};

/** A tensor among those that the rank owns, stage by stage and row by row: what files and records
 * are ordered by. Zeroed: before the first. */
struct tensor {
    const struct model *model;
    const struct param *param;
    int64_t row;
    enum tensor_kind kind;
};
bool checkpoint_next_tensor(const struct checkpoint_saver *s, struct tensor *t);
uint32_t *checkpoint_tensor_crc(const struct checkpoint_saver *s, const struct tensor *t);

/** Write the rank's files into the folder in the making, read them back, and fill in its record. */
bool checkpoint_write_files(struct checkpoint_saver *s, struct error *err);
/** The CRC-32 of a part of a file, read by way of a buffer of `capacity` bytes. */
bool checkpoint_crc(uint32_t *crc, struct file_reader *reader, int64_t at, int64_t bytes,
                    void *buffer, int64_t capacity, struct error *err);
/** Compare a part of a file with the CRC-32 of what was meant to be written. */
bool checkpoint_check_part(const struct checkpoint_saver *s, struct file_reader *reader, int64_t at,
                           int64_t bytes, uint32_t expected, struct error *err);

/** The records of all ranks, gathered. */
struct save_records {
    const unsigned char *bytes;
    size_t each;
};
const struct save_record *checkpoint_record(const struct save_records *records, int rank);
/** Rank 0: the manifest as text. */
void checkpoint_make_manifest(struct checkpoint_saver *s, const struct save_records *records);
/** Rank 0: write the manifest, read it back, and give the folder its name. */
bool checkpoint_publish(const struct checkpoint_saver *s, struct error *err);

#endif
