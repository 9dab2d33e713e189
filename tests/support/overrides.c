#include "overrides.h"

#include <stddef.h>

int overrides_join(const char **overrides, const char *const *common, int n_common,
                   const char *const *own, int most_own)
{
    int n = 0;
    for (int i = 0; i < n_common; i++) {
        overrides[n++] = common[i];
    }
    for (int i = 0; i < most_own && own[i] != NULL; i++) {
        overrides[n++] = own[i];
    }
    return n;
}
