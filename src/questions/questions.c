#include "questions_internal.h"

#include <math.h>
#include <stdlib.h>

#include <attnres/file.h>

enum { MAX_FILE_BYTES = 64 << 20 };

/** Room for one more of something. A file of at most MAX_FILE_BYTES bounds how often. */
static bool make_room(void **rows, int64_t n, int64_t *room, size_t size, struct error *err)
{
    if (n < *room) {
        return true;
    }
    const int64_t wanted = *room > 0 ? 2 * *room : 64;
    void *moved = realloc(*rows, (size_t)wanted * size);
    if (moved == NULL) {
        return error_set(err, ERROR_CREATE, "no memory for questions");
    }
    *rows = moved;
    *room = wanted;
    return true;
}

bool questions_add(struct questions *q, int place, struct error *err)
{
    void *rows = q->rows;
    const bool ok = make_room(&rows, q->n, &q->rows_room, sizeof *q->rows, err);
    q->rows = rows;
    if (ok) {
        q->rows[q->n++] = (struct question){
            .context.first = q->n_tokens, .first_choice = q->n_choices, .place = place};
    }
    return ok;
}

bool questions_add_choice(struct questions *q, struct error *err)
{
    void *choices = q->choices;
    const bool ok = make_room(&choices, q->n_choices, &q->choices_room, sizeof *q->choices, err);
    q->choices = choices;
    if (ok) {
        q->choices[q->n_choices++] =
            (struct question_choice){.span = {.first = q->n_tokens}, .question = q->n - 1};
        q->rows[q->n - 1].n_choices++;
    }
    return ok;
}

bool questions_add_token(struct questions *q, int32_t token, struct error *err)
{
    void *tokens = q->tokens;
    const bool ok = make_room(&tokens, q->n_tokens, &q->tokens_room, sizeof *q->tokens, err);
    q->tokens = tokens;
    if (ok) {
        struct question *row = &q->rows[q->n - 1];
        struct question_span *span =
            row->n_choices > 0 ? &q->choices[q->n_choices - 1].span : &row->context;
        q->tokens[q->n_tokens++] = token;
        span->n++;
    }
    return ok;
}

bool questions_parse(struct questions *q, const char *name, const unsigned char *bytes,
                     size_t length, const struct questions_request *request, struct error *err)
{
    *q = (struct questions){.is_text = !questions_are_llmc(bytes, length)};
    if (!q->is_text && request->form == QUESTIONS_PAIRS) {
        return error_set(err, ERROR_DATA,
                         "%s: an evaluation file of llm.c holds choices, not pairs", name);
    }
    const bool ok = q->is_text ? questions_parse_jsonl(q, name, bytes, length, request, err)
                               : questions_parse_llmc(q, name, bytes, length, request->vocab, err);
    return ok && (q->n > 0 || error_set(err, ERROR_DATA, "%s: no questions in it", name));
}

bool questions_read(struct questions *q, const char *path, const struct questions_request *request,
                    struct error *err)
{
    *q = (struct questions){0};
    struct file_bytes f = {0};
    if (!file_read(&f, path, MAX_FILE_BYTES, err)) {
        return false;
    }
    const bool ok = questions_parse(q, path, f.bytes, f.length, request, err);
    file_bytes_finish(&f);
    return ok;
}

void questions_finish(struct questions *q)
{
    free(q->rows);
    free(q->choices);
    free(q->tokens);
    *q = (struct questions){0};
}

bool questions_fit(const struct questions *q, const char *name, int64_t T, int64_t *n_cut,
                   struct error *err)
{
    *n_cut = 0;
    for (int64_t i = 0; i < q->n; i++) {
        const struct question *row = &q->rows[i];
        for (int c = 0; c < row->n_choices; c++) {
            const int64_t n = q->choices[row->first_choice + c].span.n;
            if (n > T) {
                return error_set(err, ERROR_DATA,
                                 "%s: %s %d: choice %d has %lld tokens, but model.seq_len is %lld",
                                 name, q->is_text ? "line" : "example", row->place, c + 1,
                                 (long long)n, (long long)T);
            }
            *n_cut += row->context.n + n - 1 > T;
        }
    }
    return true;
}

/** Whether the right choice's number is below that of each other. */
static bool is_right(const struct questions *q, const struct question *row, const double *nats,
                     bool normalised)
{
    double numbers[QUESTIONS_MOST_CHOICES];
    for (int c = 0; c < row->n_choices; c++) {
        const int64_t at = row->first_choice + c;
        const struct question_choice *choice = &q->choices[at];
        numbers[c] = normalised ? nats[at] / (double)(choice->span.n - choice->n_join) : nats[at];
    }
    for (int c = 0; c < row->n_choices; c++) {
        if (c != row->answer && !(numbers[row->answer] < numbers[c])) {
            return false;
        }
    }
    return true;
}

double questions_standard_error(double p, int64_t n)
{
    return n > 1 ? sqrt(p * (1.0 - p) / (double)(n - 1)) : NAN;
}

void questions_score(struct questions_score *score, const struct questions *q, const double *nats)
{
    const double n = (double)q->n;
    int64_t n_at[QUESTIONS_MOST_CHOICES] = {0}, n_most = 0, n_tokens = 0;
    *score = (struct questions_score){0};
    for (int64_t i = 0; i < q->n; i++) {
        const struct question *row = &q->rows[i];
        const int64_t answer = row->first_choice + row->answer;
        score->accuracy += is_right(q, row, nats, false) / n;
        score->accuracy_normalised += is_right(q, row, nats, true) / n;
        score->chance += 1.0 / row->n_choices / n;
        score->answer_loss += nats[answer];
        n_tokens += q->choices[answer].span.n;
        n_at[row->answer]++;
        n_most = n_at[row->answer] > n_most ? n_at[row->answer] : n_most;
    }
    score->constant = (double)n_most / n;
    score->answer_loss /= (double)n_tokens;
    score->standard_error = questions_standard_error(score->accuracy, q->n);
    score->standard_error_normalised = questions_standard_error(score->accuracy_normalised, q->n);
}
