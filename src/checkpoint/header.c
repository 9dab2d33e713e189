/* The safetensors header of a rank's file, held to what the manifest says is in that file. Pure:
 * texts in, verdicts out. */
#include "checkpoint_internal.h"

#include <inttypes.h>
#include <string.h>

/** A header is text about tensors and stays below this. */
enum { MOST_HEADER_BYTES = 64 << 20 };

bool checkpoint_header_length(struct listed_file *f, const unsigned char *head, struct error *err)
{
    uint64_t length = 0;
    for (int k = HEADER_LENGTH_BYTES - 1; k >= 0; k--) {
        length = length << 8 | head[k];
    }
    if (length > MOST_HEADER_BYTES || (int64_t)length > f->bytes - HEADER_LENGTH_BYTES) {
        return error_set(err, ERROR_DATA, "%s: a header of %" PRIu64 " bytes", f->path, length);
    }
    f->header_bytes = HEADER_LENGTH_BYTES + (int64_t)length;
    return true;
}

static bool has_shape(const struct json_value *shape, const struct param *param)
{
    int64_t rows = 0, cols = 0;
    const bool is_vector = param->rows == 0;
    if (!json_as_int(json_at(shape, is_vector ? 0 : 1), &cols) ||
        (!is_vector && !json_as_int(json_at(shape, 0), &rows))) {
        return false;
    }
    return json_count(shape) == (is_vector ? 1 : 2) && cols == param->cols && rows == param->rows;
}

static bool is_described(const struct json_value *header, const struct listed_tensor *t,
                         int64_t header_bytes)
{
    const struct json_value *tensor = json_get(header, t->name),
                            *offsets = json_get(tensor, "data_offsets");
    const char *type = json_as_text(json_get(tensor, "dtype"));
    int64_t begin = 0, end = 0;
    return type != NULL && strcmp(type, "F32") == 0 &&
           has_shape(json_get(tensor, "shape"), t->param) && json_count(offsets) == 2 &&
           json_as_int(json_at(offsets, 0), &begin) && json_as_int(json_at(offsets, 1), &end) &&
           begin == t->at.offset - header_bytes && end == begin + checkpoint_tensor_bytes(t->param);
}

/** What the header says, which other programs go by, is what the manifest says, whose places have
 * been checked. */
static bool check_descriptions(const struct listed_file *f, const struct json_value *header,
                               struct error *err)
{
    for (int64_t k = 0; k < f->n; k++) {
        if (!is_described(header, &f->tensors[k], f->header_bytes)) {
            return error_set(err, ERROR_DATA, "%s: its header does not describe %s as it is",
                             f->path, f->tensors[k].name);
        }
    }
    return (int64_t)json_count(header) == f->n ||
           error_set(err, ERROR_DATA, "%s: its header describes %zu tensors, the manifest %" PRId64,
                     f->path, json_count(header), f->n);
}

/** Tensors follow each other without a gap, from the end of the header to the end of the file. */
static bool check_places(const struct listed_file *f, struct error *err)
{
    int64_t end = f->header_bytes;
    for (int64_t k = 0; k < f->n; k++) {
        const struct listed_tensor *t = &f->tensors[k];
        if (t->at.offset != end || checkpoint_tensor_bytes(t->param) > f->bytes - end) {
            return error_set(err, ERROR_DATA,
                             "%s: the manifest has %s at offset %" PRId64 "; at %" PRId64
                             " of %" PRId64 " bytes its place would be",
                             f->path, t->name, t->at.offset, end, f->bytes);
        }
        end += checkpoint_tensor_bytes(t->param);
    }
    return end == f->bytes ||
           error_set(err, ERROR_DATA, "%s: %" PRId64 " bytes of it belong to no tensor", f->path,
                     f->bytes - end);
}

bool checkpoint_check_header(const struct listed_file *f, const char *text, struct error *err)
{
    struct json_document header = {0};
    const size_t length = (size_t)(f->header_bytes - HEADER_LENGTH_BYTES);
    const bool ok = check_places(f, err) && json_parse(&header, text, length, f->path, err) &&
                    check_descriptions(f, header.root, err);
    json_document_finish(&header);
    return ok;
}
