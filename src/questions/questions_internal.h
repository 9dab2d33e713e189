/** What the readers share: questions are put together choice by choice. */
#ifndef ATTNRES_QUESTIONS_INTERNAL_H
#define ATTNRES_QUESTIONS_INTERNAL_H

#include <attnres/questions.h>

/** Begin a question; its context and its choices follow. */
bool questions_add(struct questions *q, int place, struct error *err);
bool questions_add_choice(struct questions *q, struct error *err);
/** To the choice begun last, or to the context while there is none. */
bool questions_add_token(struct questions *q, int32_t token, struct error *err);

bool questions_are_llmc(const unsigned char *bytes, size_t length);
bool questions_parse_llmc(struct questions *q, const char *name, const unsigned char *bytes,
                          size_t length, int64_t vocab, struct error *err);
bool questions_parse_jsonl(struct questions *q, const char *name, const unsigned char *bytes,
                           size_t length, const struct questions_request *request,
                           struct error *err);

#endif
