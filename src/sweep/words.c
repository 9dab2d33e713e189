/* Why a run failed: what its process has left in its folder, or said. */
#include "sweep_internal.h"

#include <stdio.h>
#include <string.h>

#include <attnres/rundir.h>
#include <attnres/zip.h>

static const char OURS[] = "attnres: ";

enum { MOST_STATUS_BYTES = 1 << 16, MOST_OUTPUT_BYTES = 1 << 28 };

static bool read_from(struct file_bytes *f, const char *dir, const char *name, size_t max_bytes)
{
    char path[FILE_PATH_BYTES];
    *f = (struct file_bytes){0};
    return file_join(path, dir, name, NULL) && file_read(f, path, max_bytes, NULL);
}

static uint32_t hash_status(const char *dir)
{
    struct file_bytes f;
    const bool is_there = read_from(&f, dir, "STATUS", MOST_STATUS_BYTES);
    const uint32_t hash = is_there ? zip_crc32(0, f.bytes, f.length) : 0;
    file_bytes_finish(&f);
    return hash;
}

struct sweep_mark sweep_mark_folder(const char *dir)
{
    char path[FILE_PATH_BYTES];
    const int64_t length = file_join(path, dir, "output.txt", NULL) ? file_length(path) : -1;
    return (struct sweep_mark){.output_bytes = length > 0 ? (size_t)length : 0,
                               .status = hash_status(dir)};
}

/** A launcher frames what it says. */
static bool is_rule(const char *line, size_t length)
{
    return strspn(line, "- \t\r") >= length;
}

/** The last line that a rank of ours has said, else the last one that says anything. */
static void find_last_words(char words[SWEEP_WORDS_BYTES], const char *text)
{
    bool is_ours = false;
    while (*text != '\0') {
        const size_t length = strcspn(text, "\n");
        const bool says_ours = strncmp(text, OURS, strlen(OURS)) == 0;
        const size_t skipped = says_ours ? strlen(OURS) : 0;
        if (says_ours || (!is_ours && !is_rule(text, length))) {
            snprintf(words, SWEEP_WORDS_BYTES, "%.*s", (int)(length - skipped), text + skipped);
        }
        is_ours = is_ours || says_ours;
        text += length + (text[length] == '\n');
    }
}

bool sweep_find_reason(char words[SWEEP_WORDS_BYTES], const char *dir,
                       const struct sweep_mark *before)
{
    struct rundir_status status;
    struct file_bytes f;
    const bool says_failed = hash_status(dir) != before->status &&
                             rundir_read_status(&status, dir, NULL) && status.state == RUN_FAILED;
    words[0] = '\0';
    if (says_failed && strcmp(status.reason, RUNDIR_TOLD_ELSEWHERE) != 0) {
        snprintf(words, SWEEP_WORDS_BYTES, "%.*s", (int)strcspn(status.reason, "\n"),
                 status.reason);
    } else if (read_from(&f, dir, "output.txt", MOST_OUTPUT_BYTES)) {
        if (before->output_bytes <= f.length) {
            find_last_words(words, (const char *)f.bytes + before->output_bytes);
        }
        file_bytes_finish(&f);
    }
    return says_failed;
}
