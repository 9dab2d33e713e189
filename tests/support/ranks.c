#include "ranks.h"

#include <stdio.h>

void ranks_check(struct transport *t, bool ok, const char *file, int line, const char *expression)
{
    if (!ok) {
        char message[256];
        snprintf(message, sizeof message, "%s:%d: %s", file, line, expression);
        transport_abort(t, ERROR_INTERNAL, message);
    }
}
