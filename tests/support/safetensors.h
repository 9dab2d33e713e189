/** Reading safetensors files in tests: goldens, and the files of a checkpoint. */
#ifndef ATTNRES_TESTS_SAFETENSORS_H
#define ATTNRES_TESTS_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include <attnres/error.h>
#include <attnres/file.h>
#include <attnres/json.h>

struct safetensors {
    struct file_bytes file; /* empty unless opened by path */
    struct json_document header;
    const unsigned char *data;
    int64_t data_length;
};

bool safetensors_open(struct safetensors *s, const char *path, struct error *err);
/** The same from memory, which is borrowed. Pure. */
bool safetensors_parse(struct safetensors *s, const unsigned char *bytes, size_t length,
                       const char *name, struct error *err);
void safetensors_close(struct safetensors *s);

/** An F32 tensor and its number of elements; NULL if the file has none of this name, or not where
 * floats may stand (writers align them). Borrowed. */
const float *safetensors_find(const struct safetensors *s, const char *name, int64_t *count);
/** A text of the metadata; NULL if absent. Borrowed. */
const char *safetensors_metadata(const struct safetensors *s, const char *key);

#endif
