/* The manifest, and the moment in which a checkpoint becomes one. */
#include "checkpoint_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <attnres/zip.h>

/** Room for the last line. */
enum { CHECKSUM_BYTES = 64 };

const struct save_record *checkpoint_record(const struct save_records *records, int rank)
{
    const void *record = records->bytes + (size_t)rank * records->each;
    return record;
}

static void list_tensors(struct json_writer *w, const struct plan *plan,
                         const struct save_records *records, const struct stage *stage)
{
    for (int64_t i = stage->first_param; i < stage->end_param; i++) {
        const int owner = grid_rank(&plan->grid, plan->owners[i].replica, stage->rank);
        const struct save_record *record = checkpoint_record(records, owner);
        const uint32_t *crcs = (const uint32_t *)(record + 1) + stage->param_base * TENSOR_KINDS;
        for (enum tensor_kind kind = 0; kind < TENSOR_KINDS; kind++) {
            const enum file_kind file = checkpoint_tensor_file(kind);
            char name[TENSOR_NAME_BYTES], file_name[FILE_NAME_BYTES], crc[16];
            checkpoint_tensor_name(name, &plan->params.rows[i], kind);
            checkpoint_file_name(file_name, file, owner);
            snprintf(crc, sizeof crc, "%08" PRIx32,
                     crcs[(i - stage->first_param) * TENSOR_KINDS + kind]);
            json_begin_object(w, name);
            json_text(w, "file", file_name);
            json_int(w, "offset",
                     record->header_bytes[file] + checkpoint_data_offset(plan, i, kind));
            json_text(w, "crc32", crc);
            json_end_object(w);
        }
    }
}

static void list_files(struct json_writer *w, const struct plan *plan,
                       const struct save_records *records)
{
    for (int rank = 0; rank < grid_size(&plan->grid); rank++) {
        for (enum file_kind file = 0; file < FILE_KINDS; file++) {
            char name[FILE_NAME_BYTES];
            checkpoint_file_name(name, file, rank);
            json_int(w, name, checkpoint_record(records, rank)->file_bytes[file]);
        }
    }
}

static void write_checksum(struct json_writer *w, const char *key, int64_t crc32)
{
    if (crc32 >= 0) {
        json_int(w, key, crc32);
    }
}

static void write_state(struct json_writer *w, const struct checkpoint_state *state,
                        const char *config_text)
{
    json_int(w, "format", CHECKPOINT_FORMAT);
    json_int(w, "step", state->step);
    json_int(w, "updates", state->n_updates);
    json_begin_object(w, "guard");
    guard_write_state(w, &state->guard);
    json_end_object(w);
    json_begin_array(w, "data_position");
    json_int(w, NULL, state->position.major);
    json_int(w, NULL, state->position.minor);
    json_int(w, NULL, state->position.window);
    json_end_array(w);
    json_int(w, "data_tokens", state->data.n_tokens);
    write_checksum(w, "data_crc32", state->data.crc32);
    write_checksum(w, "data_sizes_crc32", state->data.sizes_crc32);
    write_checksum(w, "val_crc32", state->data.val_crc32);
    json_int(w, "tokens", state->tokens);
    json_number(w, "time_s", state->time_s);
    json_text(w, "config", config_text);
}

/** Its last line is the CRC-32 of everything before. */
static size_t sign(char *text, size_t length)
{
    while (text[length] != '}') {
        length--;
    }
    text[length++] = ',';
    text[length++] = '\n';
    const uint32_t crc = zip_crc32(0, text, length);
    return length +
           (size_t)snprintf(text + length, CHECKSUM_BYTES, "\"crc32\":\"%08" PRIx32 "\"}\n", crc);
}

void checkpoint_make_manifest(struct checkpoint_saver *s, const struct save_records *records)
{
    char core[KERNELS_CORE_BYTES];
    struct json_writer w;
    json_writer_init(&w, s->text, s->text_bytes - CHECKSUM_BYTES);
    json_begin_object(&w, NULL);
    write_state(&w, &s->state, s->spec.config_text);
    kernels_name_core(core, s->models[0].kernels);
    json_text(&w, "kernels", s->models[0].kernels->level);
    json_text(&w, "blas_core", core);
    json_begin_object(&w, "files");
    list_files(&w, s->plan, records);
    json_end_object(&w);
    json_begin_object(&w, "tensors");
    for (int i = 0; i < s->plan->n_stages; i++) {
        list_tensors(&w, s->plan, records, &s->plan->stages[i]);
    }
    json_end_object(&w);
    json_end_object(&w);
    assert(json_writer_ok(&w) && "the plan gives the manifest enough room");
    s->manifest_bytes = sign(s->text, w.length);
}

static bool write_manifest(const struct checkpoint_saver *s, const char *path, struct error *err)
{
    struct file_writer writer = {.fd = -1};
    if (!file_writer_create(&writer, path, err)) {
        return false;
    }
    const bool ok = file_writer_write(&writer, s->text, s->manifest_bytes, err) &&
                    file_writer_flush(&writer, err);
    return file_writer_close(&writer, ok ? err : NULL) && ok;
}

static bool read_manifest_back(const struct checkpoint_saver *s, const char *path,
                               struct error *err)
{
    struct file_reader reader = {.fd = -1};
    if (!file_reader_open(&reader, path, err)) {
        return false;
    }
    file_reader_forget(&reader);
    const bool ok = checkpoint_check_part(s, &reader, 0, (int64_t)s->manifest_bytes,
                                          zip_crc32(0, s->text, s->manifest_bytes), err);
    file_reader_close(&reader);
    return ok;
}

/** A folder of the same step that an older run may have left gives way; its new name is one of
 * those that are removed when old checkpoints are. */
static bool give_name(const struct checkpoint_saver *s, struct error *err)
{
    char old[FILE_PATH_BYTES];
    if (file_is_absent(s->final)) {
        return file_rename(s->partial, s->final, err) && file_flush_folder(s->parent, err);
    }
    if (!file_join(old, s->parent, ".step-replaced.partial", err) || !file_remove_tree(old, err) ||
        !file_rename(s->final, old, err)) {
        return false;
    }
    if (!file_rename(s->partial, s->final, err)) {
        file_rename(old, s->final, NULL);
        return false;
    }
    return file_flush_folder(s->parent, err);
}

/** The rename makes it complete. */
bool checkpoint_publish(const struct checkpoint_saver *s, struct error *err)
{
    char path[FILE_PATH_BYTES];
    return file_join(path, s->partial, "manifest.json", err) && write_manifest(s, path, err) &&
           read_manifest_back(s, path, err) && file_flush_folder(s->partial, err) &&
           give_name(s, err);
}
