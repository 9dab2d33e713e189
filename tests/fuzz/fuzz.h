/** What the targets of this folder share. A target is one parser with what must hold of whatever it
 * reads: a refusal names its cause, what is accepted comes back the same when it is printed and
 * read again, and memory stays within what the input's length allows.
 *
 *  A promise is an assert. libFuzzer (tools/fuzz) and replay.c call the target; both hand over
 * memory of exactly the input's length, so that a sanitizer sees a byte read beyond. */
#ifndef ATTNRES_TESTS_FUZZ_H
#define ATTNRES_TESTS_FUZZ_H

#include <assert.h>
#include <stddef.h>

#include <attnres/error.h>
#include <attnres/zip.h>

/** The target: one input. The name is libFuzzer's. Returns 0. */
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);

/** A refusal must be of this kind and say why, in text that is safe to print on a terminal. */
void fuzz_expect_refusal(const struct error *err, enum error_kind kind);

/** Count what is allocated from here on. Only under the address sanitizer, which tells. */
void fuzz_begin_counting(void);
/** At no time since may more than so many bytes have been allocated. */
void fuzz_expect_at_most(size_t bytes);

/** A copy of the input as text with a closing 0; the caller frees it. */
char *fuzz_copy_text(const unsigned char *bytes, size_t length);

/** One codec for all inputs, as a rank has one for all messages. */
struct zip_codec *fuzz_zip_codec(void);

#endif
