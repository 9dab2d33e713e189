/* The only file that knows MPI. Every message has a tag fixed by its channel and chunk; messages
 * above 2^31 - 1 bytes travel in parts behind one request; all waiting polls, since MPI makes
 * progress only inside its calls, and yields when polling has been fruitless for a while.
 *
 * The number of parts follows from the capacity, which both sides know: a message that does not use
 * it all fills its parts one after another, and the last ones may be empty. */
#include <attnres/transport.h>

#include <assert.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport_internal.h"

enum {
    POLLS_BEFORE_YIELD = 200, /* some tens of microseconds */
};

struct mpi_transport {
    struct transport base;
    MPI_Comm world;
    bool synchronous;
    size_t part_bytes;
    int n_parts[TRANSPORT_MAX_REQUESTS];
    MPI_Request parts[TRANSPORT_MAX_REQUESTS][TRANSPORT_MAX_PARTS];
};

static struct mpi_transport *mpi(struct transport *t)
{
    return (struct mpi_transport *)t; /* base is the first member */
}

static int message_tag(enum transport_channel channel, int chunk)
{
    return chunk * TRANSPORT_CHANNELS + (int)channel;
}

static void mpi_abort(struct transport *t, int exit_code, const char *message)
{
    fprintf(stderr, "attnres: rank %d: %s\n", t->rank, message);
    fflush(NULL);
    MPI_Abort(mpi(t)->world, exit_code);
    _Exit(exit_code);
}

/* Perhaps beside a thread that hangs inside MPI or holds stdio's locks: so no call of either. */
static void mpi_leave(struct transport *t, int exit_code, const char *message)
{
    (void)t;
    (void)message;
    _Exit(exit_code);
}

/* Describes an MPI error code and what was being done with which peer, and ends the job. */
static void abort_on_error(struct transport *t, int slot, int code)
{
    const struct transport_slot *s = &t->slots[slot];
    char text[MPI_MAX_ERROR_STRING] = "", message[MPI_MAX_ERROR_STRING + 128];
    int length = 0;
    MPI_Error_string(code, text, &length);
    snprintf(message, sizeof message, "MPI: %s rank %d, channel %s, chunk %d, %zu bytes: %s",
             s->is_send ? "send to" : "receive from", s->peer, transport_channel_name(s->channel),
             s->chunk, s->capacity, text);
    mpi_abort(t, ERROR_LAUNCH, message);
}

static int post_part(struct mpi_transport *m, const struct transport_slot *slot, size_t at,
                     int length, MPI_Request *request)
{
    const int tag = message_tag(slot->channel, slot->chunk);
    if (!slot->is_send) {
        unsigned char *target = slot->target;
        return MPI_Irecv(length > 0 ? target + at : NULL, length, MPI_BYTE, slot->peer, tag,
                         m->world, request);
    }
    const unsigned char *source = length > 0 ? (const unsigned char *)slot->source + at : NULL;
    return m->synchronous ? MPI_Issend(source, length, MPI_BYTE, slot->peer, tag, m->world, request)
                          : MPI_Isend(source, length, MPI_BYTE, slot->peer, tag, m->world, request);
}

static void mpi_post(struct transport *t, int index)
{
    struct mpi_transport *m = mpi(t);
    const struct transport_slot *slot = &t->slots[index];
    const size_t total = slot->is_send ? slot->length : slot->capacity;
    assert(slot->capacity <= TRANSPORT_MAX_PARTS * m->part_bytes);
    m->n_parts[index] = 0;
    size_t at = 0, room = 0;
    do { /* A capacity of 0 is one empty part. */
        const size_t left = total - at;
        const size_t length = left < m->part_bytes ? left : m->part_bytes;
        MPI_Request *request = &m->parts[index][m->n_parts[index]++];
        const int code = post_part(m, slot, at, (int)length, request);
        if (code != MPI_SUCCESS) {
            abort_on_error(t, index, code);
        }
        at += length;
        room += m->part_bytes;
    } while (room < slot->capacity);
}

/* A part that is not full and has others behind it: the other side means another message. */
static void abort_on_gap(struct transport *t, const struct transport_slot *slot)
{
    char message[160];
    snprintf(message, sizeof message,
             "rank %d sent a message in pieces that do not fit together on channel %s, chunk %d",
             slot->peer, transport_channel_name(slot->channel), slot->chunk);
    mpi_abort(t, ERROR_LAUNCH, message);
}

static void count_received(struct transport *t, int index, const MPI_Status *statuses)
{
    const struct mpi_transport *m = mpi(t);
    struct transport_slot *slot = &t->slots[index];
    for (int i = 0; i < m->n_parts[index]; i++) {
        int count = 0;
        MPI_Get_count(&statuses[i], MPI_BYTE, &count);
        if (count > 0 && slot->length != (size_t)i * m->part_bytes) {
            abort_on_gap(t, slot);
        }
        slot->length += (size_t)count;
    }
}

static bool mpi_test(struct transport *t, int index)
{
    struct mpi_transport *m = mpi(t);
    MPI_Status statuses[TRANSPORT_MAX_PARTS];
    int done = 0;
    const int code = MPI_Testall(m->n_parts[index], m->parts[index], &done, statuses);
    if (code == MPI_ERR_IN_STATUS) {
        for (int i = 0; i < m->n_parts[index]; i++) {
            const int error = statuses[i].MPI_ERROR;
            if (error != MPI_SUCCESS && error != MPI_ERR_PENDING) {
                abort_on_error(t, index, error);
            }
        }
    }
    if (code != MPI_SUCCESS) {
        abort_on_error(t, index, code);
    }
    if (done && !t->slots[index].is_send) {
        count_received(t, index, statuses);
    }
    return done != 0;
}

static bool mpi_await(struct transport *t, int index)
{
    for (int i = 0; i < POLLS_BEFORE_YIELD; i++) {
        if (mpi_test(t, index)) {
            return true;
        }
    }
    sched_yield();
    return false;
}

static bool fail(struct error *err, const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return error_set(err, ERROR_LAUNCH, "%s: %s", what, text);
}

static bool check_tags(MPI_Comm world, struct error *err)
{
    const int highest = message_tag(TRANSPORT_CHANNELS - 1, TRANSPORT_MAX_CHUNKS - 1);
    int *upper_bound = NULL, found = 0;
    MPI_Comm_get_attr(world, MPI_TAG_UB, &upper_bound, &found);
    if (!found || *upper_bound < highest) {
        return error_set(err, ERROR_LAUNCH, "this MPI has tags up to %d; %d are needed",
                         found ? *upper_bound : 0, highest);
    }
    return true;
}

/* A control variable of the library, where it has one of that name; else value stays. */
static void read_control(const char *name, void *value, int size)
{
    enum { MOST = 4096 };
    int index = 0, count = 0, length = MOST, verbosity = 0, bind = 0, scope = 0;
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_T_enum choices = MPI_T_ENUM_NULL;
    MPI_T_cvar_handle handle = MPI_T_CVAR_HANDLE_NULL;
    char full_name[MOST] = "", bytes[MOST] = "";
    if (MPI_T_cvar_get_index(name, &index) != MPI_SUCCESS ||
        MPI_T_cvar_get_info(index, full_name, &length, &verbosity, &type, &choices, NULL, NULL,
                            &bind, &scope) != MPI_SUCCESS ||
        MPI_T_cvar_handle_alloc(index, NULL, &handle, &count) != MPI_SUCCESS) {
        return;
    }
    int unit = 0;
    MPI_Type_size(type, &unit);
    if (unit * count <= MOST && size <= MOST && MPI_T_cvar_read(handle, bytes) == MPI_SUCCESS) {
        memcpy(value, bytes, (size_t)size);
    }
    MPI_T_cvar_handle_free(&handle);
}

/* As Open MPI names them; of another library nothing is known. */
static struct transport_habits find_habits(void)
{
    struct transport_habits habits = {.is_mpi = true};
    int yields = 1, segment_bytes = 0, provided = 0;
    if (MPI_T_init_thread(MPI_THREAD_SINGLE, &provided) == MPI_SUCCESS) {
        read_control("mpi_yield_when_idle", &yields, sizeof yields);
        read_control("btl_vader_segment_size", &segment_bytes, sizeof segment_bytes);
        read_control("btl_vader_backing_directory", habits.segment_folder,
                     sizeof habits.segment_folder - 1);
        MPI_T_finalize();
    }
    habits.yields = yields != 0;
    habits.segment_bytes = segment_bytes;
    return habits;
}

static bool start(struct mpi_transport *m, int *argc, char ***argv, struct error *err)
{
    static const struct transport_operations operations = {.post = mpi_post,
                                                           .test = mpi_test,
                                                           .await = mpi_await,
                                                           .abort = mpi_abort,
                                                           .leave = mpi_leave};
    int provided = MPI_THREAD_SINGLE;
    const int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS) {
        return fail(err, "MPI_Init_thread", code);
    }
    if (provided < MPI_THREAD_FUNNELED) {
        return error_set(err, ERROR_LAUNCH,
                         "this MPI cannot run beside threads (MPI_THREAD_FUNNELED)");
    }
    m->world = MPI_COMM_WORLD;
    m->part_bytes = TRANSPORT_PART_BYTES;
    MPI_Comm_set_errhandler(m->world, MPI_ERRORS_RETURN);
    int rank = 0, size = 1;
    MPI_Comm_rank(m->world, &rank);
    MPI_Comm_size(m->world, &size);
    transport_init(&m->base, &operations, rank, size);
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(library, &length);
    library[strcspn(library, ",\n")] = 0;
    snprintf(m->base.name, sizeof m->base.name, "mpi (%.80s)", library);
    m->base.habits = find_habits();
    return check_tags(m->world, err);
}

struct transport *transport_mpi_create(int *argc, char ***argv, bool synchronous, struct error *err)
{
    struct mpi_transport *m = calloc(1, sizeof *m);
    if (m == NULL) {
        error_set(err, ERROR_CREATE, "no memory for the transport");
        return NULL;
    }
    m->synchronous = synchronous;
    if (!start(m, argc, argv, err)) {
        int has_begun = 0;
        MPI_Initialized(&has_begun);
        if (has_begun) {
            MPI_Finalize();
        }
        free(m);
        return NULL;
    }
    return &m->base;
}

void transport_mpi_destroy(struct transport *t)
{
    if (t == NULL) {
        return;
    }
    MPI_Finalize();
    free(mpi(t));
}

void transport_mpi_set_part_bytes(struct transport *t, size_t bytes)
{
    assert(bytes > 0 && bytes % 64 == 0);
    mpi(t)->part_bytes = bytes;
}

/* Under Slurm a batch script's own shell has SLURM_PROCID too; a step of srun says its size. */
bool transport_mpi_is_launched(void)
{
    const char *step_tasks = getenv("SLURM_STEP_NUM_TASKS");
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL ||
           getenv("PMI_RANK") != NULL ||
           (getenv("SLURM_PROCID") != NULL && step_tasks != NULL &&
            strtol(step_tasks, NULL, 10) > 1);
}
