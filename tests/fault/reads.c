/* What a load reads: every tensor once by the rank that needs it, and each file is opened once. */
#include <inttypes.h>
#include <string.h>

#include <attnres/file.h>

#include "trial.h"

static const char *const FILES[] = {"model-00001.safetensors", "model-00002.safetensors",
                                    "optim-00001.safetensors", "optim-00002.safetensors"};
enum { N_FILES = sizeof FILES / sizeof FILES[0] };

/** A file's bytes behind its header. */
static int64_t tensor_bytes(const char *folder, const char *name)
{
    char path[FILE_PATH_BYTES];
    struct file_bytes f;
    TRIAL_REQUIRE(file_join(path, folder, name, NULL) && file_read(&f, path, 1 << 24, NULL));
    const int64_t header = f.bytes[0] + 256 * f.bytes[1], n = (int64_t)f.length - 8 - header;
    file_bytes_finish(&f);
    return n;
}

bool reads_row(struct tally *tally, const struct row *row)
{
    if (strcmp(row->fault, "none") != 0 || strcmp(row->moment, "load") != 0) {
        return false;
    }
    int64_t expected = 0;
    TRIAL_REQUIRE(trial_run(&(struct trial){0})->code == 0);
    for (int i = 0; i < N_FILES; i++) {
        expected += tensor_bytes("run/checkpoints/step-00000006", FILES[i]);
    }
    /* Nothing is left to do, so nothing is saved and read back. */
    const struct outcome *o = trial_run(&(struct trial){.resumes = true});
    if (o->code != 0 || o->bytes_read != expected || o->files_opened != N_FILES) {
        trial_fail("a load reads %" PRId64 " bytes of %" PRId64
                   " files (openings), expected %" PRId64 " of %d",
                   o->bytes_read, o->files_opened, expected, N_FILES);
    }
    tally->n_cases++;
    return true;
}
