/* What a load reads: every tensor once by each rank that needs it, and each file is opened once by
 * such a rank. */
#include <inttypes.h>
#include <string.h>

#include <attnres/file.h>

#include "trial.h"

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

/** Train, and load what was saved. n_readers: of the weights; moments are one rank's each. Nothing
 * is left to do then, so nothing is saved and read back. */
static void expect_reads(const char *override, int n_readers)
{
    static const char *const FILES[2][2] = {{"model-00001.safetensors", "model-00002.safetensors"},
                                            {"optim-00001.safetensors", "optim-00002.safetensors"}};
    int64_t n_bytes = 0, n_files = 0;
    TRIAL_REQUIRE(file_remove_tree("run", NULL));
    const struct outcome *o = trial_run(&(struct trial){.override = override});
    if (o->code != 0) {
        trial_fail("%s: ends with %d: %s", override, o->code, o->message);
    }
    for (int i = 0; i < 4; i++) {
        const int n = i < 2 ? n_readers : 1;
        n_bytes += n * tensor_bytes("run/checkpoints/step-00000006", FILES[i / 2][i % 2]);
        n_files += n;
    }
    o = trial_run(&(struct trial){.resumes = true, .override = override});
    if (o->code != 0 || o->bytes_read != n_bytes || o->files_opened != n_files) {
        trial_fail("%s: a load ends with %d, reads %" PRId64 " bytes of %" PRId64
                   " files (openings), expected %" PRId64 " of %" PRId64 ": %s",
                   override, o->code, o->bytes_read, o->files_opened, n_bytes, n_files, o->message);
    }
}

bool reads_row(struct tally *tally, const struct row *row)
{
    if (strcmp(row->fault, "none") != 0 || strcmp(row->moment, "load") != 0) {
        return false;
    }
    expect_reads("pipeline.replicas=1", 1);
    expect_reads("pipeline.replicas=2", 2);
    tally->n_cases += 2;
    return true;
}
