/* The two files of a rank: safetensors, the tensors that it owns in the order of the table. */
#include "checkpoint_internal.h"

#include <assert.h>
#include <inttypes.h>

#include <attnres/zip.h>

enum { DATA_ALIGNMENT = 64 };

bool checkpoint_next_tensor(const struct checkpoint_saver *s, struct tensor *t)
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
        t->param = &s->plan->params.rows[t->row];
    } while (!plan_owns(s->plan, s->memory->replica, t->param));
    return true;
}

/** The same among those of one file. */
static bool next_of_file(const struct checkpoint_saver *s, enum file_kind file, struct tensor *t)
{
    bool found = checkpoint_next_tensor(s, t);
    while (found && checkpoint_tensor_file(t->kind) != file) {
        found = checkpoint_next_tensor(s, t);
    }
    return found;
}

uint32_t *checkpoint_tensor_crc(const struct checkpoint_saver *s, const struct tensor *t)
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

/** The safetensors header of one file into s->text, padded so that the data starts on
 * DATA_ALIGNMENT bytes. Returns its bytes, the length field included. */
static int64_t make_header(struct checkpoint_saver *s, enum file_kind file)
{
    struct json_writer w;
    json_writer_init(&w, s->text + HEADER_LENGTH_BYTES,
                     s->text_bytes - HEADER_LENGTH_BYTES - DATA_ALIGNMENT);
    json_begin_object(&w, NULL);
    for (struct tensor t = {0}; next_of_file(s, file, &t);) {
        char name[TENSOR_NAME_BYTES];
        const int64_t at = checkpoint_data_offset(s->plan, t.row, t.kind);
        checkpoint_tensor_name(name, t.param, t.kind);
        json_begin_object(&w, name);
        json_text(&w, "dtype", "F32");
        write_shape(&w, t.param);
        json_begin_array(&w, "data_offsets");
        json_int(&w, NULL, at);
        json_int(&w, NULL, at + checkpoint_tensor_bytes(t.param));
        json_end_array(&w);
        json_end_object(&w);
    }
    json_end_object(&w);
    assert(json_writer_ok(&w) && "the plan gives headers enough room");
    size_t length = w.length;
    while ((HEADER_LENGTH_BYTES + length) % DATA_ALIGNMENT != 0) {
        s->text[HEADER_LENGTH_BYTES + length++] = ' ';
    }
    for (int i = 0; i < HEADER_LENGTH_BYTES; i++) {
        s->text[i] = (char)(unsigned char)((uint64_t)length >> (8 * i));
    }
    return (int64_t)(HEADER_LENGTH_BYTES + length);
}

static bool begin_file(struct checkpoint_saver *s, enum file_kind file, struct file_writer *writer,
                       struct error *err)
{
    char name[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
    checkpoint_file_name(name, file, s->rank);
    s->record->header_bytes[file] = make_header(s, file);
    return file_join(path, s->partial, name, err) && file_writer_create(writer, path, err) &&
           file_writer_write(writer, s->text, (size_t)s->record->header_bytes[file], err);
}

static bool write_tensor(struct checkpoint_saver *s, const struct tensor *t,
                         struct file_writer *writer, struct error *err)
{
    const char *values = (const char *)checkpoint_tensor(t->model, t->param, t->kind);
    const size_t length = (size_t)checkpoint_tensor_bytes(t->param);
    uint32_t crc = 0;
    bool ok = true;
    journal_begin_alone(s->journal, JOURNAL_WRITE, (int64_t)length);
    for (size_t done = 0; ok && done < length;) {
        const void *bytes = NULL;
        const size_t n = snapshot_claim(&s->snapshot, values + done, length - done, &bytes);
        crc = zip_crc32(crc, bytes, n);
        ok = file_writer_write(writer, bytes, n, err);
        snapshot_release(&s->snapshot);
        done += n;
    }
    journal_end(s->journal);
    *checkpoint_tensor_crc(s, t) = crc;
    return ok;
}

static bool end_file(struct checkpoint_saver *s, enum file_kind file, struct file_writer *writer,
                     bool ok, struct error *err)
{
    s->record->file_bytes[file] = writer->offset;
    journal_begin_alone(s->journal, JOURNAL_FLUSH, writer->offset);
    ok = ok && file_writer_flush(writer, err);
    ok = file_writer_close(writer, ok ? err : NULL) && ok;
    journal_end(s->journal);
    return ok;
}

/** Both files side by side, row by row, as the update will go. */
static bool write_tensors(struct checkpoint_saver *s, struct error *err)
{
    struct file_writer writers[FILE_KINDS] = {{.fd = -1}, {.fd = -1}};
    bool ok = begin_file(s, FILE_MODEL, &writers[FILE_MODEL], err) &&
              begin_file(s, FILE_OPTIM, &writers[FILE_OPTIM], err);
    for (struct tensor t = {0}; ok && checkpoint_next_tensor(s, &t);) {
        ok = write_tensor(s, &t, &writers[checkpoint_tensor_file(t.kind)], err);
    }
    for (enum file_kind file = 0; file < FILE_KINDS; file++) {
        ok = end_file(s, file, &writers[file], ok, err);
    }
    return ok;
}

bool checkpoint_crc(uint32_t *crc, struct file_reader *reader, int64_t at, int64_t bytes,
                    void *buffer, int64_t capacity, struct error *err)
{
    *crc = 0;
    for (int64_t done = 0; done < bytes;) {
        const int64_t part = bytes - done < capacity ? bytes - done : capacity;
        if (!file_reader_read(reader, at + done, buffer, (size_t)part, err)) {
            return false;
        }
        *crc = zip_crc32(*crc, buffer, (size_t)part);
        done += part;
    }
    return true;
}

bool checkpoint_check_part(const struct checkpoint_saver *s, struct file_reader *reader, int64_t at,
                           int64_t bytes, uint32_t expected, struct error *err)
{
    unsigned char *buffer = memory_buffer(s->memory, BUFFER_FILE, 0);
    const int64_t capacity = (int64_t)memory_slot_bytes(s->memory, BUFFER_FILE);
    uint32_t crc;
    if (!checkpoint_crc(&crc, reader, at, bytes, buffer, capacity, err)) {
        return false;
    }
    return crc == expected ||
           error_set(err, ERROR_IO, "%s: reads back other than it was written", reader->path);
}

/** The header, made anew, and the length of the file. */
static bool read_header_back(struct checkpoint_saver *s, enum file_kind file,
                             struct file_reader *reader, struct error *err)
{
    const int64_t length = s->record->file_bytes[file], bytes = make_header(s, file);
    if (reader->length != length) {
        return error_set(err, ERROR_IO, "%s: %" PRId64 " bytes of %" PRId64 " that were written",
                         reader->path, reader->length, length);
    }
    return checkpoint_check_part(s, reader, 0, bytes, zip_crc32(0, s->text, (size_t)bytes), err);
}

static bool read_file_back(struct checkpoint_saver *s, enum file_kind file, struct error *err)
{
    char name[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
    checkpoint_file_name(name, file, s->rank);
    struct file_reader reader = {.fd = -1};
    if (!file_join(path, s->partial, name, err) || !file_reader_open(&reader, path, err)) {
        return false;
    }
    file_reader_forget(&reader);
    bool ok = read_header_back(s, file, &reader, err);
    for (struct tensor t = {0}; ok && next_of_file(s, file, &t);) {
        const int64_t at =
            s->record->header_bytes[file] + checkpoint_data_offset(s->plan, t.row, t.kind);
        const int64_t bytes = checkpoint_tensor_bytes(t.param);
        journal_begin_alone(s->journal, JOURNAL_READ_BACK, bytes);
        ok = checkpoint_check_part(s, &reader, at, bytes, *checkpoint_tensor_crc(s, &t), err);
        journal_end(s->journal);
    }
    file_reader_close(&reader);
    return ok;
}

bool checkpoint_write_files(struct checkpoint_saver *s, struct error *err)
{
    return write_tensors(s, err) && read_file_back(s, FILE_MODEL, err) &&
           read_file_back(s, FILE_OPTIM, err);
}
