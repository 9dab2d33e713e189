/* One checkpoint on all ranks. Each rank by itself might find another one: a run that goes on saves
 * and removes them meanwhile, and a host may not see what another one sees. */
#include "checkpoint_internal.h"

#include <attnres/collective.h>

bool checkpoint_find_together(char *out, const char *path, struct transport *t, struct error *err)
{
    const bool ok = transport_rank(t) != 0 || checkpoint_find(out, path, err);
    if (!collective_agree(t, ok, err)) {
        return false;
    }
    transport_broadcast(t, 0, out, FILE_PATH_BYTES);
    return true;
}

bool checkpoint_open_together(struct checkpoint *c, const char *step_path, struct transport *t,
                              struct error *err)
{
    bool ok = checkpoint_open(c, step_path, err);
    uint32_t crc32 = c->crc32;
    transport_broadcast(t, 0, &crc32, sizeof crc32);
    if (ok && c->crc32 != crc32) {
        ok =
            error_set(err, ERROR_CONFIG,
                      "%s: rank 0 reads another checkpoint under this name: the folder must be the "
                      "same one on all hosts",
                      step_path);
    }
    ok = collective_agree(t, ok, err);
    if (!ok) {
        checkpoint_close(c);
    }
    return ok;
}
