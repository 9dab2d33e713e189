#include "safetensors.h"

#include <stddef.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24, LENGTH_BYTES = 8 };

bool safetensors_open(struct safetensors *s, const char *path, struct error *err)
{
    *s = (struct safetensors){0};
    if (!file_read(&s->file, path, MAX_BYTES, err)) {
        return false;
    }
    uint64_t length = UINT64_MAX;
    if (s->file.length >= LENGTH_BYTES) {
        memcpy(&length, s->file.bytes, LENGTH_BYTES);
    }
    const char *text = (const char *)s->file.bytes + LENGTH_BYTES;
    if (length > s->file.length - LENGTH_BYTES) {
        error_set(err, ERROR_DATA, "%s: no header", path);
    } else if (json_parse(&s->header, text, (size_t)length, path, err)) {
        s->data = s->file.bytes + LENGTH_BYTES + length;
        s->data_length = (int64_t)(s->file.length - LENGTH_BYTES - length);
        return true;
    }
    file_bytes_finish(&s->file);
    return false;
}

void safetensors_close(struct safetensors *s)
{
    json_document_finish(&s->header);
    file_bytes_finish(&s->file);
    *s = (struct safetensors){0};
}

const float *safetensors_find(const struct safetensors *s, const char *name, int64_t *count)
{
    const struct json_value *row = json_get(s->header.root, name);
    const struct json_value *offsets = json_get(row, "data_offsets");
    const char *type = json_as_text(json_get(row, "dtype"));
    int64_t begin = 0, end = 0;
    if (type == NULL || strcmp(type, "F32") != 0 || !json_as_int(json_at(offsets, 0), &begin) ||
        !json_as_int(json_at(offsets, 1), &end) || begin < 0 || end < begin ||
        end > s->data_length) {
        return NULL;
    }
    *count = (end - begin) / (int64_t)sizeof(float);
    return (const float *)(const void *)(s->data + begin);
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    return json_as_text(json_get(json_get(s->header.root, "__metadata__"), key));
}
