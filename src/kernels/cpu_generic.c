/* Processors other than x86-64 have one level: what the compiler takes by default. */
#include "cpu.h"

extern const struct kernels kernels_generic;

int cpu_level_count(void)
{
    return 1;
}

const struct kernels *cpu_level(int level)
{
    (void)level;
    return &kernels_generic;
}

int cpu_built_count(void)
{
    return 1;
}
