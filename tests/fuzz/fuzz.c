#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/* The sanitizer's own; absent, and then NULL, in other builds. */
__attribute__((weak)) int
__sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
                                          void (*freed)(const volatile void *));
__attribute__((weak)) size_t __sanitizer_get_allocated_size(const volatile void *bytes);

/* The targets have one thread. */
static struct {
    bool is_installed, is_counting;
    size_t now, peak;
} heap;

static void note_allocated(const volatile void *bytes, size_t size)
{
    if (bytes != NULL && heap.is_counting) {
        heap.now += size;
        heap.peak = heap.now > heap.peak ? heap.now : heap.peak;
    }
}

/* What was allocated before the count began may be freed during it. */
static void note_freed(const volatile void *bytes)
{
    if (bytes != NULL && heap.is_counting) {
        const size_t size = __sanitizer_get_allocated_size(bytes);
        heap.now -= size < heap.now ? size : heap.now;
    }
}

void fuzz_begin_counting(void)
{
    if (!heap.is_installed && __sanitizer_install_malloc_and_free_hooks != NULL) {
        assert(__sanitizer_install_malloc_and_free_hooks(note_allocated, note_freed) > 0);
        heap.is_installed = true;
    }
    heap.now = heap.peak = 0;
    heap.is_counting = true;
}

void fuzz_expect_at_most(size_t bytes)
{
    heap.is_counting = false;
    assert(heap.peak <= bytes && "memory is bounded whatever the input says");
}

void fuzz_expect_refusal(const struct error *err, enum error_kind kind)
{
    const char *end = memchr(err->message, '\0', sizeof err->message);
    assert(err->kind == kind);
    assert(end != NULL && end != err->message && end[-1] != '\n');
    for (const char *c = err->message; c < end; c++) {
        assert(((unsigned char)*c >= ' ' || *c == '\n') && *c != 0x7f && "safe on a terminal");
    }
}

char *fuzz_copy_text(const unsigned char *bytes, size_t length)
{
    char *text = malloc(length + 1);
    assert(text != NULL);
    if (length > 0) {
        memcpy(text, bytes, length);
    }
    text[length] = '\0';
    return text;
}

struct zip_codec *fuzz_zip_codec(void)
{
    static struct zip_codec *codec;
    if (codec == NULL) {
        void *memory = malloc(zip_codec_bytes());
        assert(memory != NULL);
        codec = zip_codec_init(memory);
    }
    return codec;
}
