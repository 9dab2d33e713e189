/** Questions whose answer is one of several continuations, read from files, and what a model's
 * likelihoods make of them.
 *
 *  Two forms of files. JSONL, a JSON object a line, whose texts are taken as bytes:
 *
 *      {"question": "2 + 2 =", "choices": ["3", "4"], "answer": 1}     choice
 *      {"good": "The cats sleep.", "bad": "The cats sleeps."}          pairs
 *
 *  answer is an index from 0, a letter from A, or the text of a choice; other members are passed
 * over. And the evaluation files of llm.c (magic 20240522), which hold u16 tokens. A pair is a
 * question of two choices that follow a newline, whose right answer is the first. Reading is a pure
 * function of the bytes; whatever is not exactly of the form is refused with its line or example.
 */
#ifndef ATTNRES_QUESTIONS_H
#define ATTNRES_QUESTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <attnres/error.h>

enum { QUESTIONS_MOST_CHOICES = 64 };

enum questions_form { QUESTIONS_CHOICE, QUESTIONS_PAIRS };

/** A run of questions.tokens. */
struct question_span {
    int64_t first, n;
};

struct question {
    struct question_span context; /* never empty: the first token of a text is not predicted */
    int64_t first_choice;         /* of questions.choices */
    int n_choices, answer;
    int place; /* line of JSONL, or example, counted from 1 */
};

struct question_choice {
    struct question_span span;
    int64_t n_join;   /* of its tokens, the first, which join it to the question */
    int64_t question; /* of questions.rows */
};

struct questions {
    struct question *rows;
    struct question_choice *choices;
    int32_t *tokens;
    int64_t n, n_choices, n_tokens;
    int64_t rows_room, choices_room, tokens_room;
    bool is_text; /* a token is a byte */
};

struct questions_request {
    enum questions_form form;
    int64_t vocab; /* tokens beyond it are refused */
    const char
        *join; /* stands between a question and a choice of JSONL, and belongs to the choice */
};

/** Read a file of either form (llm.c's only as QUESTIONS_CHOICE). ERROR_DATA names line or example;
 * no question at all is one. End with questions_finish, also after a failure. */
bool questions_read(struct questions *questions, const char *path,
                    const struct questions_request *request, struct error *err);
/** The same from memory; `name` stands in messages. */
bool questions_parse(struct questions *questions, const char *name, const unsigned char *bytes,
                     size_t length, const struct questions_request *request, struct error *err);
void questions_finish(struct questions *questions);

/** How many choices lose the beginning of their question in windows of T tokens. ERROR_DATA if a
 * choice itself does not fit, since its likelihood cannot be told then. */
bool questions_fit(const struct questions *questions, const char *name, int64_t T, int64_t *n_cut,
                   struct error *err);

/** What came of it. A question is answered right if its right choice is likelier than each of the
 * others: by all its tokens together, or by these over the number of its own, those that join it
 * left out (normalised, as lm-eval's acc_norm divides). */
struct questions_score {
    double accuracy, standard_error;
    double accuracy_normalised, standard_error_normalised;
    double chance;      /* mean of 1 / choices: what guessing reaches */
    double constant;    /* the share of the commonest place of the right answer */
    double answer_loss; /* mean nats per token of the right choices */
};
/** Of a share p of n answers, sqrt(p (1 - p) / (n - 1)); NAN for a single one. */
double questions_standard_error(double p, int64_t n);
/** nats (n_choices): minus the log-likelihood of each choice after its question. */
void questions_score(struct questions_score *score, const struct questions *questions,
                     const double *nats);

#endif
