/* The program with a fault in it, for tests/fault/ranks. ATTNRES_FAULT says which:
 *
 *      kill:RANK:MOMENT:N      rank RANK is killed when it comes to MOMENT for the N-th time
 *      stop:RANK:MOMENT:N      it is stopped there, as by SIGSTOP
 *      starve:RANK:memory:N    its N-th taking of a little memory is refused
 *      leap:RANK:clock:N:S     from its N-th reading on its clock is set S seconds ahead
 *      flip:RANK:CHANNEL:N:BIT a bit flips in the N-th message, from 0, that it receives there
 *
 * When it comes is written to standard error, by CLOCK_MONOTONIC, which a machine's processes
 * share. The linker turns the functions of the moments aside; the program that users get has none
 * of this.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <attnres/clock.h>
#include <attnres/engine.h>
#include <attnres/evaluate.h>
#include <attnres/file.h>
#include <attnres/heap.h>
#include <attnres/optim.h>
#include <attnres/session.h>

#include "flip.h"

enum { WORD_BYTES = 32 };

static struct {
    char what[WORD_BYTES], moment[WORD_BYTES];
    int rank;
    long n, n_seen;
    unsigned long long bit; /* or seconds */
} fault;

static void tell_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(stderr, "faulty: the fault comes at %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
}

/** Before main: what the environment asks of this rank. */
__attribute__((constructor)) static void read_fault(void)
{
    const char *text = getenv("ATTNRES_FAULT"), *own = getenv("OMPI_COMM_WORLD_RANK");
    if (text == NULL) {
        return;
    }
    const int n = sscanf(text, "%31[a-z]:%d:%31[a-z_]:%ld:%llu", fault.what, &fault.rank,
                         fault.moment, &fault.n, &fault.bit);
    if (n < 4) {
        fprintf(stderr, "faulty: ATTNRES_FAULT=%s: not understood\n", text);
        exit(64);
    }
    if (own == NULL || strtol(own, NULL, 10) != fault.rank) {
        fault.what[0] = '\0';
    }
    for (int channel = 0; channel < TRANSPORT_CHANNELS; channel++) {
        char name[WORD_BYTES];
        snprintf(name, sizeof name, "%s", transport_channel_name((enum transport_channel)channel));
        for (char *blank = strchr(name, ' '); blank != NULL; blank = strchr(name, ' ')) {
            *blank = '_';
        }
        if (strcmp(fault.what, "flip") == 0 && strcmp(name, fault.moment) == 0) {
            flip_arm(&(struct flip){fault.rank, channel, fault.n, fault.bit, tell_time});
        }
    }
}

/** Whether the rank has come to this moment so often. */
static bool is_at(const char *moment)
{
    return strcmp(fault.moment, moment) == 0 && ++fault.n_seen == fault.n;
}

static void reach(const char *moment)
{
    if (!is_at(moment)) {
        return;
    }
    const int signal = strcmp(fault.what, "kill") == 0   ? SIGKILL
                       : strcmp(fault.what, "stop") == 0 ? SIGSTOP
                                                         : 0;
    if (signal != 0) {
        tell_time();
        raise(signal);
    }
}

void *__real_heap_take(size_t count, size_t size, const char *what);
void *__wrap_heap_take(size_t count, size_t size, const char *what);
void *__wrap_heap_take(size_t count, size_t size, const char *what)
{
    const bool is_refused = is_at("memory") && strcmp(fault.what, "starve") == 0;
    if (is_refused) {
        tell_time();
    }
    return __real_heap_take(is_refused ? SIZE_MAX / 2 : count, size, what);
}

double __real_clock_wall_s(void);
double __wrap_clock_wall_s(void);
double __wrap_clock_wall_s(void)
{
    static double ahead_s;
    if (strcmp(fault.what, "leap") == 0 && is_at("clock")) {
        tell_time();
        ahead_s = (double)(long long)fault.bit;
    }
    return __real_clock_wall_s() + ahead_s;
}

bool __real_session_start(struct session *s, struct error *err);
bool __wrap_session_start(struct session *s, struct error *err);
bool __wrap_session_start(struct session *s, struct error *err)
{
    reach("start");
    return __real_session_start(s, err);
}

void __real_model_forward_part(const struct model *model, const struct model_work *work, int part);
void __wrap_model_forward_part(const struct model *model, const struct model_work *work, int part);
void __wrap_model_forward_part(const struct model *model, const struct model_work *work, int part)
{
    reach("forward");
    __real_model_forward_part(model, work, part);
}

void __real_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part);
void __wrap_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part);
void __wrap_model_input_gradient_part(const struct model *model, const struct model_work *work,
                                      int part)
{
    reach("backward");
    __real_model_input_gradient_part(model, work, part);
}

const struct param *__real_optim_update(const struct optim *optim,
                                        const struct optim_config *config, double lr,
                                        double clip_factor, int64_t n_updates);
const struct param *__wrap_optim_update(const struct optim *optim,
                                        const struct optim_config *config, double lr,
                                        double clip_factor, int64_t n_updates);
const struct param *__wrap_optim_update(const struct optim *optim,
                                        const struct optim_config *config, double lr,
                                        double clip_factor, int64_t n_updates)
{
    reach("update");
    return __real_optim_update(optim, config, lr, clip_factor, n_updates);
}

/** Files of a checkpoint in the making. */
bool __real_file_writer_write(struct file_writer *w, const void *bytes, size_t length,
                              struct error *err);
bool __wrap_file_writer_write(struct file_writer *w, const void *bytes, size_t length,
                              struct error *err);
bool __wrap_file_writer_write(struct file_writer *w, const void *bytes, size_t length,
                              struct error *err)
{
    if (strstr(w->path, ".partial/") != NULL) {
        reach("save");
    }
    return __real_file_writer_write(w, bytes, length, err);
}

struct evaluate_loss __real_evaluate_windows(struct engine *engine, const struct data *data,
                                             int64_t n_windows, bool tail);
struct evaluate_loss __wrap_evaluate_windows(struct engine *engine, const struct data *data,
                                             int64_t n_windows, bool tail);
struct evaluate_loss __wrap_evaluate_windows(struct engine *engine, const struct data *data,
                                             int64_t n_windows, bool tail)
{
    reach("evaluate");
    return __real_evaluate_windows(engine, data, n_windows, tail);
}

uint64_t __real_session_hash_weights(struct session *s, struct session_difference *difference);
uint64_t __wrap_session_hash_weights(struct session *s, struct session_difference *difference);
uint64_t __wrap_session_hash_weights(struct session *s, struct session_difference *difference)
{
    reach("end");
    return __real_session_hash_weights(s, difference);
}
