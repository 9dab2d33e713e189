/** What writing and reading share: names, and the record that a rank hands to rank 0 for the
 * manifest. */
#ifndef ATTNRES_CHECKPOINT_INTERNAL_H
#define ATTNRES_CHECKPOINT_INTERNAL_H

#include <attnres/checkpoint.h>

/** The kinds of tensor per parameter row, and of file per rank. */
enum tensor_kind { TENSOR_WEIGHT, TENSOR_EXP_AVG, TENSOR_EXP_AVG_SQ, TENSOR_KINDS };
enum file_kind { FILE_MODEL, FILE_OPTIM, FILE_KINDS };

enum { CHECKPOINT_FORMAT = 1, TENSOR_NAME_BYTES = PARAM_NAME_BYTES + 16, FILE_NAME_BYTES = 64 };

/** Head of a rank's record; behind it come TENSOR_KINDS CRCs per row of the stage. */
struct save_record {
    int64_t header_bytes[FILE_KINDS]; /* the safetensors header with its length field */
    int64_t file_bytes[FILE_KINDS];
};

/** The name of a folder in the making, and whether a name is one. */
void checkpoint_partial_name(char *out, int64_t step);
bool checkpoint_is_partial_name(const char *name);

void checkpoint_file_name(char *out, enum file_kind kind, int rank);
void checkpoint_tensor_name(char *out, const struct param *param, enum tensor_kind kind);
enum file_kind checkpoint_tensor_file(enum tensor_kind kind);
/** The stage's memory of a tensor. */
float *checkpoint_tensor(const struct model *model, const struct param *param,
                         enum tensor_kind kind);
/** Offset of a tensor in its file, header excluded: tensors stand in table order, kinds of a file
 * inside a row. */
int64_t checkpoint_data_offset(const struct plan *plan, int64_t row, enum tensor_kind kind);

/** Where the manifest says a tensor is: a file of the step's folder, by its plain name. */
struct tensor_location {
    char file[FILE_NAME_BYTES];
    int64_t offset, file_bytes;
    uint32_t crc;
};
/** ERROR_DATA if there is no valid entry of that name. */
bool checkpoint_locate(struct tensor_location *l, const struct checkpoint *c, const char *name,
                       struct error *err);

/** Whether the configuration's model has the tensors that c holds. ERROR_CONFIG naming each key
 * that differs, with both values. */
bool checkpoint_fits(const struct checkpoint *c, const struct config *config, struct error *err);

#endif
