#include <attnres/questions.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static bool parse(struct questions *q, const char *text, enum questions_form form,
                  struct error *err)
{
    const struct questions_request request = {.form = form, .vocab = 128, .join = " "};
    *err = (struct error){0};
    return questions_parse(q, "q", (const unsigned char *)text, strlen(text), &request, err);
}

static void expect_tokens(const struct questions *q, struct question_span span, const char *text)
{
    assert_int_equal(span.n, strlen(text));
    for (int64_t i = 0; i < span.n; i++) {
        assert_int_equal(q->tokens[span.first + i], text[i]);
    }
}

static void answers_are_indices_letters_or_texts(void **state)
{
    (void)state;
    static const char TEXT[] =
        "\xef\xbb\xbf{\"question\": \"one\", \"choices\": [\"x\", \"yy\"], \"answer\": 1, \"id\": "
        "[7]}\n"
        "\n"
        "{\"question\": \"two\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": \"C\"}\r\n"
        "{\"question\": \"three\", \"choices\": [\"A\", \"x\"], \"answer\": \"x\"}\n"
        "{\"question\": \"four\", \"choices\": [\"A\", \"B\"], \"answer\": \"B\"}";
    struct questions q;
    struct error err;
    assert_true(parse(&q, TEXT, QUESTIONS_CHOICE, &err));
    assert_int_equal(q.n, 4);
    assert_int_equal(q.n_choices, 9);
    static const int ANSWERS[] = {1, 2, 1, 1}, PLACES[] = {1, 3, 4, 5};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(q.rows[i].answer, ANSWERS[i]);
        assert_int_equal(q.rows[i].place, PLACES[i]);
    }
    expect_tokens(&q, q.rows[0].context, "one");
    expect_tokens(&q, q.choices[1].span, " yy");
    expect_tokens(&q, q.choices[q.rows[3].first_choice].span, " A");
    questions_finish(&q);
}

static void pairs_follow_a_newline(void **state)
{
    (void)state;
    struct questions q;
    struct error err;
    assert_true(
        parse(&q, "{\"good\": \"They go.\", \"bad\": \"They goes.\"}\n", QUESTIONS_PAIRS, &err));
    assert_int_equal(q.n, 1);
    assert_int_equal(q.rows[0].answer, 0);
    expect_tokens(&q, q.rows[0].context, "\n");
    expect_tokens(&q, q.choices[0].span, "They go.");
    expect_tokens(&q, q.choices[1].span, "They goes.");
    questions_finish(&q);
}

static void what_is_not_of_the_form_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
        enum questions_form form;
    } CASES[] = {
        {"[1]", "q:2: question: expected a text", QUESTIONS_CHOICE},
        {"{\"question\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": 0}",
         "q:2: question: expected a text", QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\"], \"answer\": 0}",
         "q:2: choices: expected an array of 2 to 64 texts", QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": {\"a\": \"b\", \"c\": \"d\"}, \"answer\": 0}",
         "q:2: choices: expected an array of 2 to 64 texts", QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", 1], \"answer\": 0}",
         "q:2: choices: expected an array of 2 to 64 texts", QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": 2}",
         "q:2: answer: expected an index from 0, a letter from A, or the text of a choice",
         QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", \"b\"]}",
         "q:2: answer: expected an index from 0, a letter from A, or the text of a choice",
         QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": \"C\"}",
         "q:2: answer: neither the text of a choice nor the letter of one; an index, from 0, is a "
         "number without quotation marks",
         QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": \"1\"}",
         "q:2: answer: neither the text of a choice nor the letter of one; an index, from 0, is a "
         "number without quotation marks",
         QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"B\", \"A\"], \"answer\": \"A\"}",
         "q:2: answer: names two of the choices; give an index from 0", QUESTIONS_CHOICE},
        {"{\"question\": \"?\", \"choices\": [\"a\", \"a\"], \"answer\": \"a\"}",
         "q:2: choices 1 and 2 are the same text: whichever is the answer, it could not be "
         "likelier "
         "than the other",
         QUESTIONS_CHOICE},
        {"{\"good\": \"a\", \"bad\": \"a\"}",
         "q:2: good and bad are the same text: it cannot be likelier than itself", QUESTIONS_PAIRS},
        {"{\"question\": \"?\", \"choices\": [\"\303\251\", \"a\"], \"answer\": 0}",
         "q:2: byte 195 is outside the model's vocabulary of 128", QUESTIONS_CHOICE},
        {"{\"good\": \"a\"}", "q:2: expected the texts good and bad", QUESTIONS_PAIRS},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[256];
        struct questions q;
        struct error err;
        snprintf(text, sizeof text, "\n%s\n", CASES[i].line);
        assert_false(parse(&q, text, CASES[i].form, &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_string_equal(err.message, CASES[i].message);
        questions_finish(&q);
    }
    struct questions q;
    struct error err;
    assert_false(parse(&q, "\n \n", QUESTIONS_CHOICE, &err));
    assert_string_equal(err.message, "q: no questions in it");
    questions_finish(&q);
}

enum { HEADER_BYTES = 1024, MOST_WORDS = 64 };

/** A file of llm.c in memory. */
struct llmc {
    unsigned char bytes[HEADER_BYTES + 2 * MOST_WORDS];
    size_t length;
};

static void make_llmc(struct llmc *file, const int32_t head[4], const uint16_t *words, size_t n)
{
    *file = (struct llmc){.length = HEADER_BYTES + 2 * n};
    for (int i = 0; i < 16; i++) {
        file->bytes[i] = (unsigned char)((uint32_t)head[i / 4] >> 8 * (i % 4));
    }
    for (size_t i = 0; i < 2 * n; i++) {
        file->bytes[HEADER_BYTES + i] = (unsigned char)(words[i / 2] >> 8 * (i % 2));
    }
}

static bool parse_llmc(struct questions *q, const struct llmc *file, int64_t vocab,
                       struct error *err)
{
    const struct questions_request request = {.vocab = vocab, .join = " "};
    *err = (struct error){0};
    return questions_parse(q, "q", file->bytes, file->length, &request, err);
}

/* Two examples, of 26 and 24 bytes. */
static const uint16_t WORDS[] = {65535, 26, 0, 1, 2, 2, 300,   301, 1, 7, 2, 8, 9,
                                 65535, 24, 1, 0, 2, 1, 50256, 1,   5, 2, 6, 6};
enum { N_WORDS = sizeof WORDS / sizeof WORDS[0] };
static const int32_t HEAD[4] = {20240522, 1, 2, 26};

static void files_of_llmc_hold_tokens(void **state)
{
    (void)state;
    struct llmc file;
    struct questions q;
    struct error err;
    make_llmc(&file, HEAD, WORDS, N_WORDS);
    assert_true(parse_llmc(&q, &file, 50257, &err));
    assert_false(q.is_text);
    assert_int_equal(q.n, 2);
    assert_int_equal(q.rows[0].answer, 1);
    assert_int_equal(q.rows[0].context.n, 2);
    assert_int_equal(q.tokens[q.rows[1].context.first], 50256);
    assert_int_equal(q.choices[3].span.n, 2);
    assert_int_equal(q.tokens[q.choices[1].span.first], 8);
    questions_finish(&q);
    assert_false(parse_llmc(&q, &file, 50256, &err));
    assert_string_equal(err.message, "q: example 2: holds token 50256, but model.vocab is 50256");
    questions_finish(&q);
}

static void damaged_files_of_llmc_are_refused(void **state)
{
    (void)state;
    static const struct {
        int word, value; /* negative words: of the header */
        const char *message;
    } CASES[] = {
        {-3, 2, "q: version 2 of evaluation format 20240522, expected 1"},
        {-2, 3, "q: example 3: the file ends in it"},
        {-2, 1,
         "q: the header says 1 examples of at most 26 bytes; the longest has 26, and 24 bytes "
         "follow the last"},
        {-1, 24,
         "q: the header says 2 examples of at most 24 bytes; the longest has 26, and 0 bytes "
         "follow the last"},
        {0, 1, "q: example 1: does not begin with 65535, its bytes and its number"},
        {1, 24, "q: example 1: has not the number of bytes that it says"},
        {2, 1, "q: example 1: does not begin with 65535, its bytes and its number"},
        {3, 2, "q: example 1: choice 2 of 2 is right; expected 2 to 64 choices"},
        {4, 65, "q: example 1: choice 1 of 65 is right; expected 2 to 64 choices"},
        {5, 0, "q: example 1: a question or choice without tokens"},
        {22, 3, "q: example 2: the file ends in it"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int32_t head[4];
        uint16_t words[N_WORDS];
        struct llmc file;
        struct questions q;
        struct error err;
        memcpy(head, HEAD, sizeof head);
        memcpy(words, WORDS, sizeof words);
        if (CASES[i].word < 0) {
            head[4 + CASES[i].word] = CASES[i].value;
        } else {
            words[CASES[i].word] = (uint16_t)CASES[i].value;
        }
        make_llmc(&file, head, words, N_WORDS);
        assert_false(parse_llmc(&q, &file, 50257, &err));
        assert_int_equal(err.kind, ERROR_DATA);
        assert_string_equal(err.message, CASES[i].message);
        questions_finish(&q);
    }
}

static void a_choice_longer_than_the_window_is_refused(void **state)
{
    (void)state;
    struct questions q;
    struct error err;
    int64_t n_cut = 0;
    assert_true(parse(&q, "{\"question\": \"abcd\", \"choices\": [\"1\", \"234\"], \"answer\": 0}",
                      QUESTIONS_CHOICE, &err));
    assert_true(questions_fit(&q, "q", 7, &n_cut, &err));
    assert_int_equal(n_cut, 0);
    assert_true(questions_fit(&q, "q", 6, &n_cut, &err));
    assert_int_equal(n_cut, 1);
    assert_false(questions_fit(&q, "q", 3, &n_cut, &err));
    assert_string_equal(err.message, "q: line 1: choice 2 has 4 tokens, but model.seq_len is 3");
    questions_finish(&q);
}

static void expect_close(double found, double expected)
{
    assert_true(fabs(found - expected) < 1e-12);
}

/* By hand: three questions; sums say right, wrong, tied (wrong); over the choices' own bytes, of
 * which the joining space is none, they say wrong (3 > 8/3; with the space it would be 3/2 < 8/4),
 * right (6/3 < 4), wrong. */
static void scores_are_those_of_sums_and_of_means(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"question\": \"?\", \"choices\": [\"a\", \"bbb\"], \"answer\": 0}\n"
        "{\"question\": \"?\", \"choices\": [\"a\", \"bbb\"], \"answer\": 1}\n"
        "{\"question\": \"?\", \"choices\": [\"a\", \"b\", \"c\", \"d\"], \"answer\": 0}\n";
    const double nats[] = {3.0, 8.0, 4.0, 6.0, 3.0, 3.0, 5.0, 5.0};
    struct questions q;
    struct questions_score score;
    struct error err;
    assert_true(parse(&q, TEXT, QUESTIONS_CHOICE, &err));
    questions_score(&score, &q, nats);
    expect_close(score.accuracy, 1.0 / 3.0);
    expect_close(score.standard_error, sqrt(2.0 / 9.0 / 2.0));
    expect_close(score.accuracy_normalised, 1.0 / 3.0);
    expect_close(score.standard_error_normalised, sqrt(2.0 / 9.0 / 2.0));
    expect_close(score.chance, (0.5 + 0.5 + 0.25) / 3.0);
    expect_close(score.constant, 2.0 / 3.0);
    expect_close(score.answer_loss, (3.0 + 6.0 + 3.0) / (2.0 + 4.0 + 2.0));
    q.n = 1;
    questions_score(&score, &q, nats);
    assert_true(isnan(score.standard_error));
    questions_finish(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_indices_letters_or_texts),
        cmocka_unit_test(pairs_follow_a_newline),
        cmocka_unit_test(what_is_not_of_the_form_is_refused_with_its_line),
        cmocka_unit_test(files_of_llmc_hold_tokens),
        cmocka_unit_test(damaged_files_of_llmc_are_refused),
        cmocka_unit_test(a_choice_longer_than_the_window_is_refused),
        cmocka_unit_test(scores_are_those_of_sums_and_of_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
