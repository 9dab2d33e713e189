/* Questions as JSON, an object a line. */
#include "questions_internal.h"

#include <stdio.h>
#include <string.h>

#include <attnres/file.h>
#include <attnres/json.h>
#include <attnres/text.h>

enum { MAX_LINE_BYTES = 1 << 20 };

/** The line in hand. */
struct line {
    struct questions *q;
    const struct questions_request *request;
    const char *name;
    int number;
    struct error *err;
};

static bool refuse(const struct line *l, const char *what)
{
    return error_set(l->err, ERROR_DATA, "%s:%d: %s", l->name, l->number, what);
}

static bool add_bytes(const struct line *l, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        const int byte = (unsigned char)*c;
        if (byte >= l->request->vocab) {
            return error_set(l->err, ERROR_DATA,
                             "%s:%d: byte %d is outside the model's vocabulary of %lld", l->name,
                             l->number, byte, (long long)l->request->vocab);
        }
        if (!questions_add_token(l->q, byte, l->err)) {
            return false;
        }
    }
    return true;
}

/** The index of a text among the choices; -1: none. */
static int find_choice(const struct json_value *choices, const char *text)
{
    for (size_t i = 0; i < json_count(choices); i++) {
        if (strcmp(json_as_text(json_at(choices, i)), text) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/** An index from 0, the text of a choice, or a letter; what could be two of these is refused. */
static bool take_answer(const struct line *l, const struct json_value *choices,
                        const struct json_value *value, int *answer)
{
    const int64_t n = (int64_t)json_count(choices);
    const char *text = json_as_text(value);
    int64_t index = -1;
    if (text == NULL) {
        if (!json_as_int(value, &index) || index < 0 || index >= n) {
            return refuse(l, "answer: expected an index from 0, a letter from A, or the text of a "
                             "choice");
        }
        *answer = (int)index;
        return true;
    }
    const int letter = text[0] >= 'A' && text[0] <= 'Z' && text[1] == '\0' ? text[0] - 'A' : -1;
    const int choice = find_choice(choices, text);
    if (choice >= 0 && letter >= 0 && letter < n && letter != choice) {
        return refuse(l, "answer: names two of the choices; give an index from 0");
    }
    *answer = choice >= 0 ? choice : letter;
    return (*answer >= 0 && *answer < n) ||
           refuse(l, "answer: neither the text of a choice nor the letter of one; an index, from "
                     "0, is a number without quotation marks");
}

/** Of two equal choices neither is likelier than the other: none of them could ever be right. */
static bool are_different(const struct line *l, const struct json_value *choices)
{
    for (size_t i = 0; i < json_count(choices); i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(json_as_text(json_at(choices, i)), json_as_text(json_at(choices, k))) == 0) {
                return error_set(l->err, ERROR_DATA,
                                 "%s:%d: choices %zu and %zu are the same text: whichever is the "
                                 "answer, it could not be likelier than the other",
                                 l->name, l->number, k + 1, i + 1);
            }
        }
    }
    return true;
}

static bool check_choices(const struct line *l, const struct json_value *choices)
{
    const size_t n = json_at(choices, 0) != NULL ? json_count(choices) : 0;
    bool ok = n >= 2 && n <= QUESTIONS_MOST_CHOICES;
    for (size_t i = 0; ok && i < n; i++) {
        const char *text = json_as_text(json_at(choices, i));
        ok = text != NULL && text[0] != '\0';
    }
    if (!ok) {
        return error_set(l->err, ERROR_DATA, "%s:%d: choices: expected an array of 2 to %d texts",
                         l->name, l->number, QUESTIONS_MOST_CHOICES);
    }
    return are_different(l, choices);
}

static bool take_choice(const struct line *l, const char *join, const char *text)
{
    if (!questions_add_choice(l->q, l->err) || !add_bytes(l, join)) {
        return false;
    }
    struct question_choice *choice = &l->q->choices[l->q->n_choices - 1];
    choice->n_join = choice->span.n;
    return add_bytes(l, text);
}

static bool take_question(const struct line *l, const struct json_value *root)
{
    const char *question = json_as_text(json_get(root, "question"));
    const struct json_value *choices = json_get(root, "choices");
    int answer = 0;
    if (question == NULL || question[0] == '\0') {
        return refuse(l, "question: expected a text");
    }
    if (!check_choices(l, choices) || !take_answer(l, choices, json_get(root, "answer"), &answer) ||
        !questions_add(l->q, l->number, l->err) || !add_bytes(l, question)) {
        return false;
    }
    for (size_t i = 0; i < json_count(choices); i++) {
        if (!take_choice(l, l->request->join, json_as_text(json_at(choices, i)))) {
            return false;
        }
    }
    l->q->rows[l->q->n - 1].answer = answer;
    return true;
}

static bool take_pair(const struct line *l, const struct json_value *root)
{
    const char *good = json_as_text(json_get(root, "good")),
               *bad = json_as_text(json_get(root, "bad"));
    if (good == NULL || bad == NULL || good[0] == '\0' || bad[0] == '\0') {
        return refuse(l, "expected the texts good and bad");
    }
    if (strcmp(good, bad) == 0) {
        return refuse(l, "good and bad are the same text: it cannot be likelier than itself");
    }
    return questions_add(l->q, l->number, l->err) && add_bytes(l, "\n") &&
           take_choice(l, "", good) && take_choice(l, "", bad);
}

static bool take_line(const struct line *l, const char *bytes, size_t length)
{
    char place[FILE_PATH_BYTES + 16];
    struct json_document d;
    snprintf(place, sizeof place, "%s:%d", l->name, l->number);
    if (length > MAX_LINE_BYTES) {
        return error_set(l->err, ERROR_DATA, "%s: a line of %zu bytes, at most %d are read", place,
                         length, MAX_LINE_BYTES);
    }
    if (!json_parse(&d, bytes, length, place, l->err)) {
        return false;
    }
    const bool ok =
        l->request->form == QUESTIONS_PAIRS ? take_pair(l, d.root) : take_question(l, d.root);
    json_document_finish(&d);
    return ok;
}

static bool is_blank(const char *bytes, size_t length)
{
    size_t i = 0;
    while (i < length && (bytes[i] == ' ' || bytes[i] == '\t' || bytes[i] == '\r')) {
        i++;
    }
    return i == length;
}

bool questions_parse_jsonl(struct questions *q, const char *name, const unsigned char *bytes,
                           size_t length, const struct questions_request *request,
                           struct error *err)
{
    struct line l = {.q = q, .request = request, .name = name, .err = err};
    const char *end = (const char *)bytes + length;
    for (const char *start = (const char *)bytes + text_mark_length((const char *)bytes, length);
         start < end;) {
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        const size_t n = (size_t)((newline != NULL ? newline : end) - start);
        l.number++;
        if (!is_blank(start, n) && !take_line(&l, start, n)) {
            return false;
        }
        start = newline != NULL ? newline + 1 : end;
    }
    return true;
}
