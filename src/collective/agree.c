#include <attnres/collective.h>

#include <assert.h>

/** Which rank speaks for a failure, and how it ends the job. */
struct verdict {
    int32_t rank, kind;
};

bool collective_agree(struct transport *t, bool ok, struct error *err)
{
    if (transport_all_true(t, ok)) {
        return true;
    }
    assert((ok || err->kind != ERROR_NONE) && "a failure says what it is");
    const int rank = transport_rank(t), size = transport_size(t);
    struct verdict verdict = {.rank = size, .kind = ERROR_INTERNAL};
    const struct verdict own = {.rank = ok ? size : rank, .kind = (int32_t)err->kind};
    /* The lowest rank that failed: each passes on what it has heard, from the last rank down to
     * rank 0. */
    if (rank < size - 1) {
        transport_receive(t, rank + 1, CHANNEL_COLLECTIVE, &verdict, sizeof verdict);
    }
    verdict = ok ? verdict : own;
    if (rank > 0) {
        transport_send(t, rank - 1, CHANNEL_COLLECTIVE, &verdict, sizeof verdict);
    }
    transport_broadcast(t, 0, &verdict, sizeof verdict);
    assert(verdict.rank < size);
    if (verdict.rank != rank) {
        err->message[0] = '\0';
    }
    err->kind = (enum error_kind)verdict.kind;
    return false;
}
