/* What a disk may hold after the power went: the calls of a whole run up to a point, of which what
 * was not flushed is lost, torn, or there in part. A small model of a file system replays them. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <attnres/file.h>
#include <attnres/rng.h>

#include "trial.h"

enum { MOST_NODES = 4096, MOST_ENTRIES = 256, NAME_BYTES = 64 };

struct bytes {
    unsigned char *bytes;
    int64_t n;
};

struct entry {
    char name[NAME_BYTES];
    int node;
};

/** The entries of a folder. */
struct names {
    struct entry entries[MOST_ENTRIES];
    int n;
};

/** A file or folder as programs see it, and as it would be found after the power went. */
struct node {
    bool is_folder;
    struct bytes now, durable;
    struct names *names_now, *names_durable;
};

static struct {
    struct node nodes[MOST_NODES];
    int n_nodes;
} disk;

/** How what is not flushed is found. */
enum loss { LOSE_ALL, KEEP_NAMES, TEAR, ZERO, MIX };
static const char *const LOSSES[] = {"lost", "names-kept", "torn", "zeroed", "mixed"};

static int add_node(bool is_folder)
{
    TRIAL_REQUIRE(disk.n_nodes < MOST_NODES);
    struct node *node = &disk.nodes[disk.n_nodes];
    *node = (struct node){.is_folder = is_folder};
    if (is_folder) {
        node->names_now = calloc(1, sizeof *node->names_now);
        node->names_durable = calloc(1, sizeof *node->names_durable);
        TRIAL_REQUIRE(node->names_now != NULL && node->names_durable != NULL);
    }
    return disk.n_nodes++;
}

static void clear_disk(void)
{
    for (int i = 0; i < disk.n_nodes; i++) {
        free(disk.nodes[i].now.bytes);
        free(disk.nodes[i].durable.bytes);
        free(disk.nodes[i].names_now);
        free(disk.nodes[i].names_durable);
    }
    disk.n_nodes = 0;
    add_node(true);
}

static struct entry *find(struct names *names, const char *name)
{
    for (int i = 0; i < names->n; i++) {
        if (strcmp(names->entries[i].name, name) == 0) {
            return &names->entries[i];
        }
    }
    return NULL;
}

static void set_entry(struct names *names, const char *name, int node)
{
    struct entry *entry = find(names, name);
    if (entry == NULL) {
        TRIAL_REQUIRE(names->n < MOST_ENTRIES);
        entry = &names->entries[names->n++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->node = node;
}

static void remove_entry(struct names *names, const char *name)
{
    struct entry *entry = find(names, name);
    TRIAL_REQUIRE(entry != NULL);
    *entry = names->entries[--names->n];
}

/** The folder that a path lies in, and its last part. */
static struct node *parent_of(const char *path, char last[NAME_BYTES])
{
    struct node *folder = &disk.nodes[0];
    for (;;) {
        const size_t n = strcspn(path, "/");
        TRIAL_REQUIRE(n > 0 && n < NAME_BYTES);
        snprintf(last, NAME_BYTES, "%.*s", (int)n, path);
        if (path[n] == '\0') {
            return folder;
        }
        const struct entry *entry = find(folder->names_now, last);
        TRIAL_REQUIRE(entry != NULL && disk.nodes[entry->node].is_folder);
        folder = &disk.nodes[entry->node];
        path += n + 1;
    }
}

static struct node *node_of(const char *path)
{
    char last[NAME_BYTES];
    struct node *parent = parent_of(path, last);
    const struct entry *entry = find(parent->names_now, last);
    return entry != NULL ? &disk.nodes[entry->node] : NULL;
}

static void resize(struct bytes *b, int64_t n)
{
    b->bytes = realloc(b->bytes, (size_t)(n > 0 ? n : 1));
    TRIAL_REQUIRE(b->bytes != NULL);
    if (n > b->n) {
        memset(b->bytes + b->n, 0, (size_t)(n - b->n));
    }
    b->n = n;
}

static void set_bytes(struct bytes *b, const struct bytes *from)
{
    resize(b, from->n);
    memcpy(b->bytes, from->bytes != NULL ? from->bytes : b->bytes, (size_t)from->n);
}

static void play_rename(const char *from, const char *to)
{
    char last[NAME_BYTES], other[NAME_BYTES];
    struct node *parent = parent_of(from, last), *next = parent_of(to, other);
    const struct entry *entry = find(parent->names_now, last);
    TRIAL_REQUIRE(entry != NULL);
    const int node = entry->node;
    remove_entry(parent->names_now, last);
    set_entry(next->names_now, other, node);
}

static void play(const struct inject_entry *e, const char *path, const unsigned char *bytes)
{
    char last[NAME_BYTES], text[FILE_PATH_BYTES];
    struct node *parent = parent_of(path, last), *node = node_of(path);
    switch ((enum inject_call)e->call) {
    case CALL_MAKE_FOLDER:
        set_entry(parent->names_now, last, add_node(true));
        break;
    case CALL_CREATE:
        if (node == NULL) {
            set_entry(parent->names_now, last, add_node(false));
        } else if (e->offset == 1) {
            resize(&node->now, 0);
        }
        break;
    case CALL_WRITE:
        resize(&node->now,
               e->offset + e->n_bytes > node->now.n ? e->offset + e->n_bytes : node->now.n);
        memcpy(node->now.bytes + e->offset, bytes, (size_t)e->n_bytes);
        break;
    case CALL_TRUNCATE:
        resize(&node->now, e->offset);
        break;
    case CALL_FLUSH:
        set_bytes(&node->durable, &node->now);
        break;
    case CALL_FLUSH_FOLDER:
        *node->names_durable = *node->names_now;
        break;
    case CALL_REMOVE:
        remove_entry(parent->names_now, last);
        break;
    case CALL_RENAME:
        snprintf(text, sizeof text, "%.*s", (int)e->n_bytes, (const char *)bytes);
        play_rename(path, text);
        break;
    }
}

static void write_file(const char *path, const struct node *node, enum loss loss)
{
    struct bytes found = {0};
    const int64_t n = node->now.n, kept = node->durable.n < n ? node->durable.n : n;
    const bool is_flushed =
        n == node->durable.n &&
        (n == 0 || memcmp(node->now.bytes, node->durable.bytes, (size_t)n) == 0);
    set_bytes(&found, &node->durable);
    if (!is_flushed && loss == TEAR) {
        set_bytes(&found, &node->now);
        resize(&found, n / 2 > kept ? n / 2 : kept);
    } else if (!is_flushed && loss == ZERO) { /* the length came through, the contents did not */
        resize(&found, kept);
        resize(&found, n);
    }
    TRIAL_REQUIRE(file_replace(path, found.bytes, (size_t)found.n, NULL));
    free(found.bytes);
}

/** Write a folder as it would be found; what is above the run's own folder is not in question. */
static void write_folder(const char *path, const struct node *node, enum loss loss, uint64_t seed)
{
    const uint64_t chance = rng_at(seed, (uint64_t)(node - disk.nodes));
    const enum loss own = loss == MIX ? (enum loss)(chance % MIX) : loss;
    const struct names *names =
        node == &disk.nodes[0] || own != LOSE_ALL ? node->names_now : node->names_durable;
    for (int i = 0; i < names->n; i++) {
        const struct entry *entry = &names->entries[i];
        const struct node *inner = &disk.nodes[entry->node];
        const uint64_t luck = rng_at(seed, (uint64_t)entry->node);
        char inside[FILE_PATH_BYTES];
        TRIAL_REQUIRE(file_join(inside, path, entry->name, NULL));
        if (inner->is_folder) {
            TRIAL_REQUIRE(file_make_folders(inside, NULL));
            write_folder(inside, inner, loss, seed);
        } else {
            write_file(inside, inner, loss == MIX ? (enum loss)(luck % MIX) : loss);
        }
    }
}

static bool parse_loss(enum loss *loss, const char *word)
{
    for (int i = 0; i < (int)(sizeof LOSSES / sizeof LOSSES[0]); i++) {
        if (strcmp(word, LOSSES[i]) == 0) {
            *loss = (enum loss)i;
            return true;
        }
    }
    return false;
}

static void record(const char *path, bool in_background)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    TRIAL_REQUIRE(fd >= 0);
    const struct outcome *o =
        trial_run(&(struct trial){.record = fd, .in_background = in_background});
    TRIAL_REQUIRE(o->code == 0 && close(fd) == 0);
}

/** The newest checkpoint whose name is there for good: it must stand whatever happens. */
static int64_t newest_durable(void)
{
    int64_t newest = 0;
    const struct entry *run = find(disk.nodes[0].names_now, "run");
    const struct entry *folder =
        run != NULL ? find(disk.nodes[run->node].names_durable, "checkpoints") : NULL;
    const struct names *names = folder != NULL ? disk.nodes[folder->node].names_durable : NULL;
    for (int i = 0; names != NULL && i < names->n; i++) {
        const char *name = names->entries[i].name;
        const int64_t step =
            strncmp(name, "step-", 5) == 0 ? (int64_t)strtoll(name + 5, NULL, 10) : 0;
        newest = step > newest ? step : newest;
    }
    return newest;
}

/** A line of each step, also of those before the power went. */
static void expect_metrics(const char *what)
{
    struct file_bytes f;
    TRIAL_REQUIRE(file_read(&f, "run/metrics.jsonl", 1 << 20, NULL));
    const char *line = (const char *)f.bytes;
    for (int step = 1; step <= TRIAL_STEPS; step++) {
        char head[32];
        const int length = snprintf(head, sizeof head, "{\"step\": %d,", step);
        if (strncmp(line, head, (size_t)length) != 0) {
            trial_fail("%s: resumed, the metrics have no line of step %d", what, step);
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    file_bytes_finish(&f);
}

bool crash_row(struct tally *tally, const struct row *row)
{
    struct file_bytes tape;
    enum loss loss = LOSE_ALL;
    const struct trial trial = {.in_background = strcmp(row->moment, "power-off-async") == 0};
    if (!parse_loss(&loss, row->fault) ||
        (strcmp(row->moment, "power-off") != 0 && !trial.in_background)) {
        return false;
    }
    trial_expected_hash(TRIAL_STEPS);
    record("tape", trial.in_background);
    TRIAL_REQUIRE(file_read(&tape, "tape", (size_t)1 << 28, NULL));
    clear_disk();
    int64_t n = 0;
    for (size_t at = 0; at < tape.length; n++) {
        struct inject_entry e;
        char path[FILE_PATH_BYTES], what[128];
        memcpy(&e, tape.bytes + at, sizeof e);
        snprintf(path, sizeof path, "%.*s", e.path_bytes, (const char *)tape.bytes + at + sizeof e);
        play(&e, path, tape.bytes + at + sizeof e + e.path_bytes);
        at += sizeof e + (size_t)e.path_bytes + (size_t)e.n_bytes;
        if (n % row->stride != 0) {
            continue;
        }
        snprintf(what, sizeof what, "%s %s, after call %" PRId64, row->fault, row->moment, n);
        TRIAL_REQUIRE(file_remove_tree("run", NULL));
        write_folder(".", &disk.nodes[0], loss, (uint64_t)n);
        trial_expect_resumed(tally, &trial, newest_durable(), 0, what);
        expect_metrics(what);
        tally->n_cases++;
    }
    clear_disk();
    file_bytes_finish(&tape);
    return true;
}
