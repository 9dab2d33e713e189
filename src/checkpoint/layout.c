#include "checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <attnres/rng.h>

static const char PARTIAL_HEAD[] = ".step-", PARTIAL_TAIL[] = ".partial";

void checkpoint_partial_name(char *out, int64_t step)
{
    snprintf(out, FILE_NAME_BYTES, "%s%08" PRId64 "%s", PARTIAL_HEAD, step, PARTIAL_TAIL);
}

bool checkpoint_is_partial_name(const char *name)
{
    const size_t length = strlen(name), head = sizeof PARTIAL_HEAD - 1,
                 tail = sizeof PARTIAL_TAIL - 1;
    return length > head + tail && strncmp(name, PARTIAL_HEAD, head) == 0 &&
           strcmp(name + length - tail, PARTIAL_TAIL) == 0;
}

void checkpoint_file_name(char *out, enum file_kind kind, int rank)
{
    snprintf(out, FILE_NAME_BYTES, "%s-%05d.safetensors", kind == FILE_MODEL ? "model" : "optim",
             rank + 1);
}

void checkpoint_tensor_name(char *out, const struct param *param, enum tensor_kind kind)
{
    static const char *const TAILS[TENSOR_KINDS] = {"", ".exp_avg", ".exp_avg_sq"};
    snprintf(out, TENSOR_NAME_BYTES, "%s%s", param->name, TAILS[kind]);
}

int64_t checkpoint_tensor_bytes(const struct param *param)
{
    return param->count * (int64_t)sizeof(float);
}

enum file_kind checkpoint_tensor_file(enum tensor_kind kind)
{
    return kind == TENSOR_WEIGHT ? FILE_MODEL : FILE_OPTIM;
}

float *checkpoint_tensor(const struct model *model, const struct param *param,
                         enum tensor_kind kind)
{
    static const enum buffer_id BUFFERS[TENSOR_KINDS] = {BUFFER_WEIGHTS, BUFFER_EXP_AVG,
                                                         BUFFER_EXP_AVG_SQ};
    return memory_tensor(model->memory, model->plan, model->stage, param, BUFFERS[kind]);
}

int64_t checkpoint_data_offset(const struct plan *plan, int64_t row, enum tensor_kind kind)
{
    const int64_t per_row = kind == TENSOR_WEIGHT ? 1 : 2;
    const int64_t inside = kind == TENSOR_EXP_AVG_SQ ? plan->params.rows[row].count : 0;
    return (per_row * plan->owners[row].base + inside) * (int64_t)sizeof(float);
}

uint64_t checkpoint_hash_combine(uint64_t hash, uint64_t row_hash)
{
    return rng_at(hash, row_hash);
}
