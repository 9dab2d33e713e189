#include "checkpoint_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <attnres/collective.h>
#include <attnres/zip.h>

/** One save in progress on one rank. */
struct save {
    const struct model *models; /* the rank's, by chunk */
    const struct plan *plan;
    const struct memory *memory;
    struct transport *transport;
    const struct params *params;
    int rank;
    char *text; /* BUFFER_TEXT */
    size_t text_bytes;
    struct save_record *record; /* BUFFER_REPORT */
    uint32_t *crcs;             /* behind the record */
};

static struct save begin_save(const struct model *models, struct transport *transport)
{
    const struct memory *memory = models[0].memory;
    struct save s = {.models = models,
                     .plan = models[0].plan,
                     .memory = memory,
                     .transport = transport,
                     .params = &models[0].plan->params,
                     .rank = transport_rank(transport),
                     .text = memory_buffer(memory, BUFFER_TEXT, 0),
                     .text_bytes = memory_slot_bytes(memory, BUFFER_TEXT),
                     .record = memory_buffer(memory, BUFFER_REPORT, 0)};
    s.crcs = (uint32_t *)(s.record + 1);
    return s;
}

/** A tensor among those that the rank owns, stage by stage and row by row: what files and records
 * are ordered by. */
struct tensor {
    const struct model *model;
    const struct param *param;
    int64_t row;
    enum tensor_kind kind;
};

/** The i-th tensor of the rank that a file of this kind holds; false behind the last. */
static bool next_tensor(const struct save *s, enum file_kind file, struct tensor *t)
{
    do {
        if (t->model == NULL) {
            *t = (struct tensor){.model = s->models, .row = s->models[0].stage->first_param};
        } else if (++t->kind == TENSOR_KINDS) {
            t->kind = 0;
            t->row++;
        }
        if (t->row == t->model->stage->end_param) {
            if (t->model->stage->chunk + 1 == s->plan->n_chunks) {
                return false;
            }
            t->model++;
            t->row = t->model->stage->first_param;
        }
        t->param = &s->params->rows[t->row];
    } while (checkpoint_tensor_file(t->kind) != file ||
             !plan_owns(s->plan, s->memory->replica, t->param));
    return true;
}

static int64_t tensor_offset(const struct save *s, const struct tensor *t)
{
    return checkpoint_data_offset(s->plan, t->row, t->kind);
}

static uint32_t *tensor_crc(const struct save *s, const struct tensor *t)
{
    const struct stage *stage = t->model->stage;
    const int64_t row = stage->param_base + t->row - stage->first_param;
    return &s->crcs[row * TENSOR_KINDS + t->kind];
}

static void write_shape(struct json_writer *w, const struct param *param)
{
    json_begin_array(w, "shape");
    if (param->rows > 0) {
        json_int(w, NULL, param->rows);
    }
    json_int(w, NULL, param->cols);
    json_end_array(w);
}

/** The safetensors header of one file into s->text, padded so that the data starts on 64 bytes.
 * Returns its bytes, the length field included. */
static int64_t write_header(struct save *s, enum file_kind file)
{
    struct json_writer w;
    json_writer_init(&w, s->text + 8, s->text_bytes - 8 - 64);
    json_begin_object(&w, NULL);
    for (struct tensor t = {0}; next_tensor(s, file, &t);) {
        char name[TENSOR_NAME_BYTES];
        checkpoint_tensor_name(name, t.param, t.kind);
        json_begin_object(&w, name);
        json_text(&w, "dtype", "F32");
        write_shape(&w, t.param);
        json_begin_array(&w, "data_offsets");
        json_int(&w, NULL, tensor_offset(s, &t));
        json_int(&w, NULL, tensor_offset(s, &t) + t.param->count * 4);
        json_end_array(&w);
        json_end_object(&w);
    }
    json_end_object(&w);
    assert(json_writer_ok(&w) && "the plan gives headers enough room");
    size_t length = w.length;
    while ((8 + length) % 64 != 0) {
        s->text[8 + length++] = ' ';
    }
    for (int i = 0; i < 8; i++) {
        s->text[i] = (char)(unsigned char)((uint64_t)length >> (8 * i));
    }
    return (int64_t)(8 + length);
}

/** Write one of the rank's files whole and note its tensors' CRCs. */
static bool write_file(struct save *s, const char *folder, enum file_kind file, struct error *err)
{
    struct journal *journal = transport_journal(s->transport);
    char name[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
    checkpoint_file_name(name, file, s->rank);
    struct file_writer writer = {.fd = -1};
    if (!file_join(path, folder, name, err) || !file_writer_create(&writer, path, err)) {
        return false;
    }
    s->record->header_bytes[file] = write_header(s, file);
    bool ok = file_writer_write(&writer, s->text, (size_t)s->record->header_bytes[file], err);
    for (struct tensor t = {0}; ok && next_tensor(s, file, &t);) {
        const float *values = checkpoint_tensor(t.model, t.param, t.kind);
        const size_t bytes = (size_t)t.param->count * sizeof(float);
        journal_begin_alone(journal, JOURNAL_WRITE, (int64_t)bytes);
        *tensor_crc(s, &t) = zip_crc32(0, values, bytes);
        ok = file_writer_write(&writer, values, bytes, err);
        journal_end(journal);
    }
    s->record->file_bytes[file] = writer.offset;
    journal_begin_alone(journal, JOURNAL_FLUSH, writer.offset);
    ok = ok && file_writer_flush(&writer, err);
    ok = file_writer_close(&writer, ok ? err : NULL) && ok;
    journal_end(journal);
    return ok;
}

static const struct save_record *record_of(const struct save *s, int rank)
{
    const unsigned char *records = memory_buffer(s->memory, BUFFER_REPORTS, 0);
    const void *record = records + (size_t)rank * memory_slot_bytes(s->memory, BUFFER_REPORT);
    return record;
}

static void write_tensors(struct json_writer *w, const struct save *s, const struct stage *stage)
{
    for (int64_t i = stage->first_param; i < stage->end_param; i++) {
        const int owner = grid_rank(&s->plan->grid, s->plan->owners[i].replica, stage->rank);
        const struct save_record *record = record_of(s, owner);
        const uint32_t *crcs = (const uint32_t *)(record + 1) + stage->param_base * TENSOR_KINDS;
        for (enum tensor_kind kind = 0; kind < TENSOR_KINDS; kind++) {
            const enum file_kind file = checkpoint_tensor_file(kind);
            char name[TENSOR_NAME_BYTES], file_name[FILE_NAME_BYTES], crc[16];
            checkpoint_tensor_name(name, &s->params->rows[i], kind);
            checkpoint_file_name(file_name, file, owner);
            snprintf(crc, sizeof crc, "%08" PRIx32,
                     crcs[(i - stage->first_param) * TENSOR_KINDS + kind]);
            json_begin_object(w, name);
            json_text(w, "file", file_name);
            json_int(w, "offset",
                     record->header_bytes[file] + checkpoint_data_offset(s->plan, i, kind));
            json_text(w, "crc32", crc);
            json_end_object(w);
        }
    }
}

static void write_state(struct json_writer *w, const struct checkpoint_state *state,
                        const char *config_text)
{
    json_int(w, "format", CHECKPOINT_FORMAT);
    json_int(w, "step", state->step);
    json_int(w, "updates", state->n_updates);
    json_begin_object(w, "guard");
    json_int(w, "skips_in_a_row", state->n_skips_in_a_row);
    json_end_object(w);
    json_begin_array(w, "data_position");
    json_int(w, NULL, state->position.major);
    json_int(w, NULL, state->position.minor);
    json_end_array(w);
    json_int(w, "data_tokens", state->data_tokens);
    json_int(w, "tokens", state->tokens);
    json_number(w, "time_s", state->time_s);
    json_text(w, "config", config_text);
}

/** Rank 0: the manifest from all ranks' records, and its file. */
static bool write_manifest(struct save *s, const char *folder, const struct checkpoint_state *state,
                           const char *config_text, struct error *err)
{
    struct json_writer w;
    json_writer_init(&w, s->text, s->text_bytes - 64);
    json_begin_object(&w, NULL);
    write_state(&w, state, config_text);
    char core[KERNELS_CORE_BYTES];
    kernels_name_core(core, s->models[0].kernels);
    json_text(&w, "kernels", s->models[0].kernels->level);
    json_text(&w, "blas_core", core);
    json_begin_object(&w, "files");
    for (int rank = 0; rank < grid_size(&s->plan->grid); rank++) {
        for (enum file_kind file = 0; file < FILE_KINDS; file++) {
            char name[FILE_NAME_BYTES];
            checkpoint_file_name(name, file, rank);
            json_int(&w, name, record_of(s, rank)->file_bytes[file]);
        }
    }
    json_end_object(&w);
    json_begin_object(&w, "tensors");
    for (int i = 0; i < s->plan->n_stages; i++) {
        write_tensors(&w, s, &s->plan->stages[i]);
    }
    json_end_object(&w);
    json_end_object(&w);
    assert(json_writer_ok(&w) && "the plan gives the manifest enough room");
    size_t length = w.length;
    while (s->text[length] != '}') {
        length--;
    }
    s->text[length++] = ',';
    s->text[length++] = '\n';
    const uint32_t crc = zip_crc32(0, s->text, length);
    length += (size_t)snprintf(s->text + length, 64, "\"crc32\":\"%08" PRIx32 "\"}\n", crc);

    char path[FILE_PATH_BYTES];
    struct file_writer writer = {.fd = -1};
    if (!file_join(path, folder, "manifest.json", err) || !file_writer_create(&writer, path, err)) {
        return false;
    }
    const bool ok =
        file_writer_write(&writer, s->text, length, err) && file_writer_flush(&writer, err);
    return file_writer_close(&writer, ok ? err : NULL) && ok;
}

static bool prepare_folder(const char *parent, const char *partial, struct error *err)
{
    return file_make_folders(parent, err) && file_remove_tree(partial, err) &&
           file_make_folders(partial, err);
}

/** Make what was written visible, replacing a folder of the same step that an older run may have
 * left. */
static bool publish(const char *parent, const char *partial, const char *final, struct error *err)
{
    return file_flush_folder(partial, err) &&
           (!file_exists(final) || file_remove_tree(final, err)) &&
           file_rename(partial, final, err) && file_flush_folder(parent, err);
}

/** Where a save works. */
struct places {
    char parent[FILE_PATH_BYTES], partial[FILE_PATH_BYTES], final[FILE_PATH_BYTES];
};

static bool name_places(struct places *p, const char *run_path, int64_t step, struct error *err)
{
    char name[FILE_NAME_BYTES];
    checkpoint_partial_name(name, step);
    return file_join(p->parent, run_path, "checkpoints", err) &&
           file_join(p->partial, p->parent, name, err) &&
           checkpoint_step_path(p->final, run_path, step, err);
}

/** Every rank's files, then the manifest, then the name. Collective. */
static bool write_all(struct save *s, const struct places *p, const struct checkpoint_state *state,
                      const char *config_text, struct error *err)
{
    const size_t record_bytes = memory_slot_bytes(s->memory, BUFFER_REPORT);
    memset(s->record, 0, record_bytes);
    bool ok =
        write_file(s, p->partial, FILE_MODEL, err) && write_file(s, p->partial, FILE_OPTIM, err);
    if (!transport_all_true(s->transport, ok)) {
        return false;
    }
    collective_gather(s->transport, collective_all(s->transport), 0, s->record, record_bytes,
                      memory_buffer(s->memory, BUFFER_REPORTS, 0));
    if (s->rank == 0) {
        journal_begin_alone(transport_journal(s->transport), JOURNAL_FLUSH, -1);
        ok = write_manifest(s, p->partial, state, config_text, err) &&
             publish(p->parent, p->partial, p->final, err);
        journal_end(transport_journal(s->transport));
    }
    return transport_all_true(s->transport, ok);
}

bool checkpoint_save(const struct model *models, struct transport *transport, const char *run_path,
                     const struct checkpoint_state *state, const char *config_text,
                     struct error *err)
{
    struct save s = begin_save(models, transport);
    const bool is_root = s.rank == 0;
    struct places p;
    const bool ok = name_places(&p, run_path, state->step, err) &&
                    (!is_root || prepare_folder(p.parent, p.partial, err));
    if (!transport_all_true(transport, ok)) {
        return false;
    }
    const bool saved = write_all(&s, &p, state, config_text, err);
    if (!saved && is_root) {
        file_remove_tree(p.partial, NULL); /* give the room back; what failed is told already */
    }
    return saved;
}

/** Compare a part of a file that was written with the CRC-32 of what was meant. */
static bool check_part(const struct save *s, struct file_reader *reader, int64_t at, int64_t bytes,
                       uint32_t expected, struct error *err)
{
    unsigned char *buffer = memory_buffer(s->memory, BUFFER_FILE, 0);
    const int64_t capacity = (int64_t)memory_slot_bytes(s->memory, BUFFER_FILE);
    uint32_t crc = 0;
    for (int64_t done = 0; done < bytes;) {
        const int64_t part = bytes - done < capacity ? bytes - done : capacity;
        if (!file_reader_read(reader, at + done, buffer, (size_t)part, err)) {
            return false;
        }
        crc = zip_crc32(crc, buffer, (size_t)part);
        done += part;
    }
    return crc == expected ||
           error_set(err, ERROR_IO, "%s: reads back other than it was written", reader->path);
}

/** Read one of the rank's files back and compare every tensor with memory's CRC. */
static bool read_file_back(const struct save *s, const char *folder, enum file_kind file,
                           struct error *err)
{
    char name[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
    checkpoint_file_name(name, file, s->rank);
    struct file_reader reader = {.fd = -1};
    if (!file_join(path, folder, name, err) || !file_reader_open(&reader, path, err)) {
        return false;
    }
    bool ok = true;
    for (struct tensor t = {0}; ok && next_tensor(s, file, &t);) {
        const int64_t at = s->record->header_bytes[file] + tensor_offset(s, &t);
        journal_begin_alone(transport_journal(s->transport), JOURNAL_READ_BACK, t.param->count * 4);
        ok = check_part(s, &reader, at, t.param->count * 4, *tensor_crc(s, &t), err);
        journal_end(transport_journal(s->transport));
    }
    file_reader_close(&reader);
    return ok;
}

/** The manifest still stands in s->text. */
static bool read_manifest_back(const struct save *s, const char *folder, struct error *err)
{
    char path[FILE_PATH_BYTES];
    struct file_reader reader = {.fd = -1};
    if (!file_join(path, folder, "manifest.json", err) || !file_reader_open(&reader, path, err)) {
        return false;
    }
    const size_t length = strlen(s->text);
    const bool ok = check_part(s, &reader, 0, (int64_t)length, zip_crc32(0, s->text, length), err);
    file_reader_close(&reader);
    return ok;
}

bool checkpoint_read_back(const struct model *models, struct transport *transport,
                          const char *run_path, int64_t step, struct error *err)
{
    const struct save s = begin_save(models, transport);
    char folder[FILE_PATH_BYTES];
    const bool ok = checkpoint_step_path(folder, run_path, step, err) &&
                    (s.rank != 0 || read_manifest_back(&s, folder, err)) &&
                    read_file_back(&s, folder, FILE_MODEL, err) &&
                    read_file_back(&s, folder, FILE_OPTIM, err);
    return transport_all_true(transport, ok);
}
