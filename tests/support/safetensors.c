#include "safetensors.h"

#include <stddef.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24, LENGTH_BYTES = 8 };

bool safetensors_parse(struct safetensors *s, const unsigned char *bytes, size_t length,
                       const char *name, struct error *err)
{
    *s = (struct safetensors){0};
    uint64_t header_length = 0;
    if (length >= LENGTH_BYTES) {
        memcpy(&header_length, bytes, LENGTH_BYTES);
    }
    if (length < LENGTH_BYTES || header_length > length - LENGTH_BYTES) {
        return error_set(err, ERROR_DATA, "%s: no header", name);
    }
    const unsigned char *header = bytes + LENGTH_BYTES;
    if (!json_parse(&s->header, (const char *)header, (size_t)header_length, name, err)) {
        return false;
    }
    s->data = header + header_length;
    s->data_length = (int64_t)(length - LENGTH_BYTES - header_length);
    return true;
}

bool safetensors_open(struct safetensors *s, const char *path, struct error *err)
{
    struct file_bytes file = {0};
    if (!file_read(&file, path, MAX_BYTES, err)) {
        return false;
    }
    if (!safetensors_parse(s, file.bytes, file.length, path, err)) {
        file_bytes_finish(&file);
        return false;
    }
    s->file = file;
    return true;
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
        end > s->data_length || (uintptr_t)(s->data + begin) % sizeof(float) != 0) {
        return NULL;
    }
    *count = (end - begin) / (int64_t)sizeof(float);
    return (const float *)(const void *)(s->data + begin);
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    return json_as_text(json_get(json_get(s->header.root, "__metadata__"), key));
}
