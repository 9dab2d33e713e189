/* The faults of inject.c in a program that is not built for them:
 *
 *     LD_PRELOAD=libfault.so ATTNRES_FAULT='kill 17 run' ATTNRES_FAULT_RANK=1 mpirun ... attnres
 * train ...
 *
 * fault, call and scope, in the one rank that is named. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "inject_calls.h"

struct inject_real inject_real;

/** Before any call of the program. */
__attribute__((constructor)) static void find_calls(void)
{
#define FIND(type, name, ...) *(void **)&inject_real.name = dlsym(RTLD_NEXT, #name);
    INJECT_CALLS(FIND)
#undef FIND
    const char *text = getenv("ATTNRES_FAULT"), *rank = getenv("ATTNRES_FAULT_RANK"),
               *own = getenv("OMPI_COMM_WORLD_RANK");
    struct inject_fault fault = {.times = 1};
    char word[32], scope[256];
    if (text != NULL && rank != NULL && own != NULL && strcmp(rank, own) == 0 &&
        sscanf(text, "%31s %" SCNd64 " %255s", word, &fault.at, scope) == 3 &&
        inject_parse(&fault, word)) {
        inject_arm(&fault, scope, NULL);
    }
}
